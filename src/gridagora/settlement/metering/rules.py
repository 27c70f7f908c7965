"""Named rules that readings are checked by, their thresholds, and what a finding tells."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.model.metering import LARGEST_WH

RULES = {
    "gap": "periods without a usable reading; value: how many, limit: the longest filled by its neighbours",
    "duplicate": "the same value again; value: Wh net. The first to come is kept",
    "version": "a later reading with another value; value: Wh net of the older one. The newest is used",
    "conflict": "different values that came at the same moment; value: Wh net. None of them is used",
    "overlap": "an interval off the grid that lies over readings in use; value: its seconds",
    "off_grid": "an interval or register off the grid of periods; value: seconds off, or its length",
    "clock_offset": "a stamp beside the grid within the limit; value: seconds. It is put on the grid",
    "clock_drift": "the stamps' offset grew or shrank over the span; value: seconds",
    "early": "came in before its end; value: seconds. A meter cannot know; its clock or the sender is wrong",
    "late": "came in later than the limit after its end; value: seconds",
    "impossible": "negative import or export; value: Wh",
    "above_capacity": "more than the connection can carry; value: kW",
    "spike": "far above what the point mostly shows; value: kW",
    "frozen": "the same value for longer than the limit; value: seconds",
    "sum_check": "registers and intervals tell different energy; value: Wh net of intervals less registers",
    "rollover": "a counter went over its last digit; value: its stand before, Wh",
    "meter_exchange": "another meter from here on; value: its counter at the start, Wh",
    "register_backwards": "a counter went back without a rollover; value: by how many Wh",
    "signature": "missing or broken where the point's key is known; value: Wh net",
    "outside": "not within the span that is checked; value: Wh net",
    "unknown_point": "of a point that was not asked for; value: Wh net",
    "unusable": "too many periods without measurement to settle by; value: percent",
}
"""Rules by name: what breaks each, and what value and limit of its findings are."""

METHODS = ("missing", "measured", "from_register", "estimated", "interpolated", "like_days")
"""How a value came about; the code of a method is its place here.

"measured": the meter's interval; "from_register": the difference of two register readings over this period
alone; "estimated": by who sent it; "interpolated": between neighbours, or even over what registers left;
"like_days": the mean of like days, scaled to registers where they bracket it.
"""

MISSING, MEASURED, FROM_REGISTER, SENT_ESTIMATE, INTERPOLATED, LIKE_DAYS = range(6)


@dataclass(frozen=True, kw_only=True, slots=True)
class MeterRules:
    """Thresholds of the rules.

    Parameters
    ----------
    most_clock_offset_s : stamps so far off the grid are put on it, others are not used; 3 % of a quarter-hour
    most_drift_s : growth of the offset from the first to the last third of the readings
    late_after_s : arrival so long after a reading's end is late; None: arrival is not known
    capacity_tolerance : part of the connection capacity that a reading may lie above it
    spike_factor, spike_floor_kw : a reading is a spike above this many times the level that 98 % of the
        point's readings keep to, and above the floor; it is kept and marked doubtful
    wild_factor, wild_floor_kw : the same, where no capacity is known, for readings that are not used
    least_history : readings that a point must have to be judged by its history
    frozen_s, frozen_zero_s : length of a constant value other than zero, and of zero, that is doubtful
    sum_percent : difference of registers and intervals, percent of the energy; 1 Wh and half a Wh per
        interval are always allowed for rounding
    register_modulus_wh : a counter starts from 0 again here: 10^9 Wh for six digits of kWh
    short_gap_s : gaps up to this are filled from their neighbours, longer ones by like days
    like_days : how many like days are averaged
    most_missing_percent : periods without measurement, percent, with which a point can still be settled

    Examples
    --------
    >>> MeterRules().most_missing_percent, MeterRules(short_gap_s=3600).short_gap_s
    (5.0, 3600)
    """

    most_clock_offset_s: int = 27
    most_drift_s: int = 10
    late_after_s: int | None = 3 * 86_400
    capacity_tolerance: float = 0.05
    spike_factor: float = 5.0
    spike_floor_kw: float = 5.0
    wild_factor: float = 20.0
    wild_floor_kw: float = 50.0
    least_history: int = 96
    frozen_s: int = 12 * 3600
    frozen_zero_s: int = 7 * 86_400
    sum_percent: float = 1.0
    register_modulus_wh: int = 10**9
    short_gap_s: int = 2 * 3600
    like_days: int = 4
    most_missing_percent: float = 5.0

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        faults = [
            _fault(name, value, "is below 0 or not finite", fix="write a number >= 0")
            for name, value in given.items()
            if value is not None and not 0 <= value < np.inf
        ]
        faults += [
            _fault(name, given[name], "is below 1", fix="write 1 or more")
            for name in ("like_days", "register_modulus_wh", "least_history")
            if 0 <= given[name] < 1
        ]
        if LARGEST_WH < self.register_modulus_wh < np.inf:
            modulus, fix = self.register_modulus_wh, f"write at most {LARGEST_WH}"
            faults.append(_fault("register_modulus_wh", modulus, "is above any counter", fix=fix))
        if 100 < self.most_missing_percent < np.inf:
            faults.append(
                _fault("most_missing_percent", self.most_missing_percent, "is above 100", fix="write e.g. 5")
            )
        check_faults(faults)


@dataclass(frozen=True, kw_only=True, slots=True)
class MeterFinding:
    """What a rule found at a point: periods in a row are one finding.

    Parameters
    ----------
    point : connection point
    start, end : the time it concerns, UTC, half-open; equal for a register reading
    rule : one of `RULES`, which tell what value and limit mean
    value : the largest found in it
    limit : what was allowed; NaN where the rule has none
    readings : how many readings or periods
    done : what was done about it

    Examples
    --------
    >>> begin = np.datetime64("2026-01-01T10:00:00")
    >>> str(MeterFinding(point="a", start=begin, end=begin + 900, rule="spike", value=70.0, limit=10.5,
    ...                  readings=1, done="kept, doubtful"))
    'a, 2026-01-01T10:00:00Z to 2026-01-01T10:15:00Z: spike, 70 (limit 10.5), 1 reading; kept, doubtful'
    """

    point: str
    start: np.datetime64
    end: np.datetime64
    rule: str
    value: float
    limit: float
    readings: int
    done: str

    def __str__(self) -> str:
        """Return the finding as one line."""
        allowed = "" if np.isnan(self.limit) else f" (limit {self.limit:g})"
        count = f"{self.readings} reading{'s' if self.readings != 1 else ''}"
        return (
            f"{self.point}, {self.start}Z to {self.end}Z: {self.rule}, {self.value:g}{allowed}, {count};"
            f" {self.done}"
        )


def merge_findings(
    rule: str,
    done: str,
    *,
    point: NDArray[np.str_],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    value: NDArray[np.float64],
    limit: NDArray[np.float64],
) -> list[MeterFinding]:
    """Make findings of one rule out of single readings, those that follow each other as one.

    Parameters
    ----------
    rule, done : the same for all
    point, start, end, value, limit : one entry per reading; seconds since 1970 UTC

    Examples
    --------
    >>> found = merge_findings("gap", "left missing", point=np.array(["a", "a"]), start=np.array([900, 0]),
    ...                        end=np.array([1800, 900]), value=np.ones(2), limit=np.full(2, np.nan))
    >>> len(found), found[0].readings, str(found[0].end)
    (1, 2, '1970-01-01T00:30:00')
    """
    if not point.size:
        return []
    order = np.lexsort((value, end, start, point))
    point, start, end = point[order], start[order], end[order]
    value, limit = value[order], limit[order]
    first = np.ones(point.size, dtype=np.bool_)
    first[1:] = (point[1:] != point[:-1]) | (start[1:] > end[:-1])
    heads = np.flatnonzero(first)
    out = []
    for head, tail in zip(heads.tolist(), [*heads[1:].tolist(), point.size], strict=True):
        worst = head + int(np.argmax(np.abs(value[head:tail])))
        out.append(
            MeterFinding(
                point=str(point[head]),
                start=np.datetime64(int(start[head]), "s"),
                end=np.datetime64(int(end[head:tail].max()), "s"),
                rule=rule,
                value=float(value[worst]),
                limit=float(limit[worst]),
                readings=tail - head,
                done=done,
            )
        )
    return out


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="meter rules", place=place, value=value, reason=reason, fix=fix)
