"""Local clock time and UTC: the axis of a scenario, local minutes and weekdays of its periods.

Everything inside is UTC; the local clock is needed for days, clock-time tariffs, habits and users' files.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault
from gridagora.model.time import SECONDS_PER_DAY, TimeAxis
from gridagora.scenario.spec import ScenarioSpec
from gridagora.scenario.values import duration_text

Times = NDArray[np.datetime64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BLOCK_S = 900
"""No zone changes its clock off a quarter of an hour."""

_CHUNK = 128 * SECONDS_PER_DAY // _BLOCK_S
"""Quarter hours in a cached table of offsets: 128 days."""

MAX_PERIODS = 10 * 366 * 288


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalClock:
    """Local clock of periods: ``minute`` of the day, ``weekday`` (Monday 0), ``day`` since 1970."""

    minute: NDArray[np.int64]
    weekday: NDArray[np.int64]
    day: NDArray[np.int64]


def local_clock(axis: TimeAxis) -> LocalClock:
    """Return the local clock of every period.

    Examples
    --------
    The night of 27 March 2016 has no hour from two to three in Berlin:

    >>> night = np.datetime64("2016-03-27T00:00")
    >>> axis = TimeAxis(start=night, periods=3, mtu_s=3600, timezone="Europe/Berlin")
    >>> local_clock(axis).minute.tolist()
    [60, 180, 240]
    """
    seconds = axis.starts.astype(np.int64) + utc_offsets(axis.starts, axis.timezone)
    day = seconds // SECONDS_PER_DAY
    return LocalClock(minute=seconds % SECONDS_PER_DAY // 60, weekday=(day + 3) % 7, day=day)


def utc_offsets(times: Times, timezone: str) -> NDArray[np.int64]:
    """Return local time minus UTC in seconds for UTC times.

    >>> utc_offsets(np.array(["2016-01-01", "2016-07-01"], dtype="datetime64[s]"), "Europe/Berlin").tolist()
    [3600, 7200]
    """
    blocks = times.astype("datetime64[s]").astype(np.int64) // _BLOCK_S
    chunks = blocks // _CHUNK
    offsets = np.zeros(blocks.shape, dtype=np.int64)
    for chunk in np.unique(chunks).tolist():
        inside = chunks == chunk
        offsets[inside] = _offset_table(chunk, timezone)[blocks[inside] - chunk * _CHUNK]
    return offsets


@lru_cache(maxsize=64)
def _offset_table(chunk: int, timezone: str) -> NDArray[np.int64]:
    """Return the offset of every quarter hour of a chunk; a day whose ends agree has one offset."""
    zone = ZoneInfo(timezone)
    per_day = SECONDS_PER_DAY // _BLOCK_S
    table = np.empty(_CHUNK, dtype=np.int64)
    for begin in range(0, _CHUNK, per_day):
        first = chunk * _CHUNK + begin
        head, tail = _offset(first, zone), _offset(first + per_day - 1, zone)
        if head == tail:
            table[begin : begin + per_day] = head
        else:
            table[begin : begin + per_day] = [_offset(first + k, zone) for k in range(per_day)]
    return table


def _offset(block: int, zone: ZoneInfo) -> int:
    """Return the offset of one quarter hour since 1970, in seconds."""
    delta = (_EPOCH + timedelta(seconds=block * _BLOCK_S)).astimezone(zone).utcoffset()
    return int(delta.total_seconds()) if delta is not None else 0


def to_utc(local: Times, timezone: str) -> tuple[Times, NDArray[np.bool_]]:
    """Turn local clock times into UTC; an hour that comes twice is told apart by order.

    Parameters
    ----------
    local : local clock times, in the order of the file
    timezone : IANA name

    Returns
    -------
    UTC times, and a mask of times that the clock skips in spring (their UTC is without meaning).

    Examples
    --------
    >>> night = np.array(["2016-10-30T02:00", "2016-10-30T02:00"], dtype="datetime64[s]")
    >>> [str(t) for t in to_utc(night, "Europe/Berlin")[0]]
    ['2016-10-30T00:00:00', '2016-10-30T01:00:00']
    """
    seconds = local.astype("datetime64[s]").astype(np.int64)
    around = np.array([-SECONDS_PER_DAY, SECONDS_PER_DAY])
    before, after = (utc_offsets((seconds + shift).astype("datetime64[s]"), timezone) for shift in around)
    early, late = seconds - before, seconds - after
    early_fits = utc_offsets(early.astype("datetime64[s]"), timezone) == before
    late_fits = utc_offsets(late.astype("datetime64[s]"), timezone) == after
    twice = early_fits & late_fits & (early != late)
    use_late = ~early_fits | (twice & _repeats(seconds))
    return np.where(use_late, late, early).astype("datetime64[s]"), ~(early_fits | late_fits)


def _repeats(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark every value that stood before in the array."""
    order = np.argsort(values, kind="stable")
    repeated = np.zeros(values.size, dtype=bool)
    repeated[order[1:]] = values[order[1:]] == values[order[:-1]]
    return repeated


def scenario_axis(spec: ScenarioSpec) -> tuple[TimeAxis | None, list[Fault]]:
    """Place the period of a scenario on the UTC axis; durations must be whole numbers of periods.

    A fault of a duration leaves the axis as it is, so that all that is read on it can still be checked.
    """
    faults = []
    start = utc_moment(spec.period.start, spec.timezone)
    for key, moment in (("period.start", spec.period.start), ("period.end", spec.period.end)):
        if moment is not None and is_skipped(moment, spec.timezone):
            reason, fix = f"the clock of {spec.timezone} skips this time", "write a time an hour later"
            faults.append(_fault(spec, key, str(moment), reason=reason, fix=fix))
    length = spec.period.length or timedelta(days=7)
    if spec.period.end is not None:
        length = utc_moment(spec.period.end, spec.timezone) - start
    mtu = spec.resolution
    if length <= timedelta(0):
        faults.append(
            _fault(
                spec, "period.end", spec.period.end, reason="ends before it starts", fix="write a later end"
            )
        )
    elif length % mtu:
        faults.append(
            _fault(
                spec,
                "period.length",
                duration_text(length),
                reason=f"is not a whole number of {duration_text(mtu)} periods",
                fix="lengthen or cut it",
            )
        )
    grid = min(mtu, timedelta(seconds=_BLOCK_S))
    if start.timestamp() % grid.total_seconds():
        fix = f"start on a multiple of {duration_text(grid)}"
        faults.append(
            _fault(spec, "period.start", str(spec.period.start), reason="is off the grid of periods", fix=fix)
        )
    periods = length // mtu
    if periods > MAX_PERIODS:
        reason = f"has {periods} periods"
        faults.append(
            _fault(
                spec,
                "period.length",
                duration_text(length),
                reason=reason,
                fix=f"stay below {MAX_PERIODS} periods",
            )
        )
    durations = _duration_faults(spec)
    if faults:
        return None, faults + durations
    utc = np.datetime64(start.replace(tzinfo=None), "s")
    axis = TimeAxis(start=utc, periods=periods, mtu_s=int(mtu.total_seconds()), timezone=spec.timezone)
    return axis, durations


def _duration_faults(spec: ScenarioSpec) -> list[Fault]:
    """Tell durations that are no whole number of periods, or zero where one period is the least."""
    faults = []
    durations = {
        "market.session": (spec.market.session, 1),
        "market.gate_lead": (spec.market.gate_lead, 0),
        "agents.horizon": (spec.agents.horizon, 1),
        "agents.replan": (spec.agents.replan, 1),
    }
    for key, (duration, least) in durations.items():
        if duration % spec.resolution or duration < least * spec.resolution:
            reason = f"is not a whole number of {duration_text(spec.resolution)} periods"
            faults.append(
                _fault(
                    spec,
                    key,
                    duration_text(duration),
                    reason=reason,
                    fix=f"write a multiple of {duration_text(spec.resolution)}",
                )
            )
    if spec.agents.replan > spec.agents.horizon:
        fix = "plan at least as far as the next planning"
        faults.append(
            _fault(
                spec,
                "agents.horizon",
                duration_text(spec.agents.horizon),
                reason="is shorter than agents.replan",
                fix=fix,
            )
        )
    return faults


def is_skipped(moment: datetime, timezone: str) -> bool:
    """Tell whether a local moment falls into the hour that the clock skips in spring.

    >>> is_skipped(datetime.fromisoformat("2016-03-27T02:30"), "Europe/Berlin")
    True
    """
    if moment.tzinfo is not None:
        return False
    back = utc_moment(moment, timezone).astimezone(ZoneInfo(timezone))
    return back.replace(tzinfo=None) != moment


def utc_moment(moment: datetime, timezone: str) -> datetime:
    """Return a moment in UTC; without an offset it is local clock time.

    >>> utc_moment(datetime.fromisoformat("2016-05-23T18:00"), "Europe/Berlin").isoformat()
    '2016-05-23T16:00:00+00:00'
    """
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(timezone))
    return aware.astimezone(UTC)


def _fault(spec: ScenarioSpec, place: str, value: object, *, reason: str, fix: str) -> Fault:
    return Fault(source=spec.origin, place=place, value=value, reason=reason, fix=fix)
