"""Readings of meters: what is taken, and what stands in for those that lack.

A lacking reading is estimated by `gridagora.settlement.metering` from the participant's own readings that the
market still keeps: between neighbours over short gaps, by like days over long ones.  Where that finds
nothing, the participant is taken to have taken what it was scheduled to and to have given nothing, so that
nobody gains by a meter that keeps silent.  Estimates are readings of their own in the log, flagged, and prove
no delivery; a reading that comes later is booked when the session is settled again.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gridagora.engine.live.bidding import MOST_FAULTS, whole_column
from gridagora.engine.live.commands import MARKET, NoteFindings, TakeReadings
from gridagora.engine.live.context import axis_of
from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.state import NO_READING, LiveState, SessionState
from gridagora.errors import Fault, InputError, check_faults
from gridagora.model.events import Event
from gridagora.model.live_events import FindingsNoted, Ints, ReadingsTaken
from gridagora.model.metering import LARGEST_INTERVAL_WH, MeterReadings
from gridagora.model.time import SECONDS_PER_DAY
from gridagora.settlement.metering.check import check_readings
from gridagora.settlement.metering.rules import MISSING, merge_findings

MEASURED, ESTIMATED, CORRECTED = 0, 1, 2
"""Qualities of readings."""

HISTORY_S = 8 * SECONDS_PER_DAY
"""How far back readings are looked at to estimate what lacks: like days are a week apart."""

ESTIMATE, SCHEDULE = "estimate", "schedule"
"""Sources of the market's own readings: by the participant's other readings, or by its schedule."""


def take_readings(state: LiveState, command: TakeReadings) -> tuple[Event, ...]:
    """Take readings of meters, all or none; what a meter had said before about a period is a finding."""
    faults: list[Fault] = []
    names = ("participant", "period", "import_wh", "export_wh", "quality")
    columns = {name: whole_column(getattr(command, name), name, faults=faults) for name in names}
    check_faults(faults)
    if not len(columns["quality"]):
        columns["quality"] = np.zeros(len(columns["period"]), np.int64)
    check_faults(_faults(state, command, columns))
    quality = columns.pop("quality").astype(np.int8)
    taken = ReadingsTaken(
        at=command.at,
        actor=command.actor,
        source=command.source,
        participants=tuple(command.participants),
        quality=quality,
        **columns,
    )
    return taken, *_said_before(state, taken)


def _said_before(state: LiveState, taken: ReadingsTaken) -> Iterator[FindingsNoted]:
    """Yield what meters had said before about the periods of readings: the same, or something else."""
    before, wh = np.full(len(taken.period), NO_READING, np.int8), np.zeros((2, len(taken.period)), np.int64)
    terms = state.open_terms
    session = taken.period // terms.session_periods
    for number in np.unique(session).tolist():
        rows, meters = session == number, state.meters[number]
        if meters.row.keys() & set(taken.participants):
            energy, quality = meters.of(taken.participants)
            at = taken.period[rows] - meters.times.first, taken.participant[rows]
            before[rows], wh[:, rows] = quality[at], energy[:, at[0], at[1]]
    said = (before == MEASURED) | (before == CORRECTED)
    if not said.any():
        return
    same = (wh[0] == taken.import_wh) & (wh[1] == taken.export_wh)
    start = terms.epoch + taken.period * terms.mtu_s
    found = [
        one
        for rule, done, rows in (
            ("duplicate", "told before", said & same),
            ("version", "the newest is used", said & ~same),
        )
        for one in merge_findings(
            rule,
            done,
            point=np.array(taken.participants, dtype=np.str_)[taken.participant[rows]],
            start=start[rows],
            end=start[rows] + terms.mtu_s,
            value=(wh[0] - wh[1])[rows].astype(np.float64),
            limit=np.full(int(rows.sum()), np.nan),
        )
    ]
    yield FindingsNoted(
        at=taken.at,
        actor=taken.actor,
        source=taken.source,
        participant=tuple(one.point for one in found),
        start=np.array([one.start.astype(np.int64) for one in found], np.int64),
        rule=tuple(one.rule for one in found),
        told=tuple(str(one) for one in found),
    )


def apply_readings(state: LiveState, event: ReadingsTaken) -> None:
    """Put readings to their sessions."""
    session = event.period // state.open_terms.session_periods
    names, who, quality = list(event.participants), event.participant, event.quality
    wh = np.stack([event.import_wh, event.export_wh])
    for number in np.unique(session).tolist():
        rows = session == number
        state.meters[number].take(
            names, who[rows], period=event.period[rows], wh=wh[:, rows], quality=quality[rows]
        )


def note_findings(state: LiveState, command: NoteFindings) -> FindingsNoted:
    """Keep what was found in readings of participants."""
    faults: list[Fault] = []
    start = whole_column(command.start, "start", faults=faults)
    check_faults(faults)
    lengths = {len(command.participant), len(start), len(command.rule), len(command.told)}
    if lengths != {len(start)} or not len(start):
        code = "columns_differ" if len(lengths) > 1 else "no_rows"
        fix = "give each column one entry per finding"
        raise InputError([refusal(code, "findings", sorted(lengths), fix=fix)])
    check_faults(
        refusal("participant_unknown", f"participant[{k}]", name, fix="name one that is registered")
        for k, name in enumerate(command.participant)
        if state.register.get("participant", name) is None
    )
    return FindingsNoted(
        at=command.at,
        actor=command.actor,
        source=command.source,
        participant=tuple(command.participant),
        start=start,
        rule=tuple(command.rule),
        told=tuple(command.told),
    )


def estimates(
    state: LiveState, session: SessionState, at: int, *, scheduled_wh: Ints, by_history: bool = True
) -> list[ReadingsTaken]:
    """Return readings that stand in for those of a session that lack: by history, then by schedule.

    ``scheduled_wh`` is the scheduled net import, (periods, participants of the session); ``by_history`` False
    leaves history out.
    """
    gate, times = session.closed, session.times
    _, quality = state.meters[times.number].of(gate.participants)
    lacks = quality == NO_READING
    if not lacks.any():
        return []
    codes = np.flatnonzero(lacks.any(axis=0))
    names = tuple(gate.participants[code] for code in codes.tolist())
    shape = (session.times.count, len(names))
    known, wh = np.zeros(shape, dtype=np.bool_), np.zeros((2, *shape), np.int64)
    if by_history:
        known, wh = _by_history(state, session, names)
    found = []
    for source, usable in ((ESTIMATE, known), (SCHEDULE, ~known)):
        period, column = np.nonzero(lacks[:, codes] & usable)
        if not len(period):
            continue
        energy = wh[:, period, column]
        if source == SCHEDULE:
            energy = np.stack(
                [np.maximum(scheduled_wh[period, codes[column]], 0), np.zeros(len(period), np.int64)]
            )
        found.append(
            ReadingsTaken(
                at=at,
                actor=MARKET,
                source=source,
                participants=names,
                participant=column.astype(np.int64),
                period=period + times.first,
                import_wh=energy[0],
                export_wh=energy[1],
                quality=np.full(len(period), ESTIMATED, np.int8),
            )
        )
    return found


def _by_history(
    state: LiveState, session: SessionState, names: tuple[str, ...]
) -> tuple[NDArray[np.bool_], Ints]:
    """Return where history tells an energy, (periods, names), and import and export, (2, periods, names)."""
    times = session.times
    oldest = times.delivery_start - HISTORY_S
    numbers = [
        number
        for number, meters in state.meters.items()
        if number <= times.number and meters.times.delivery_start >= oldest
    ]
    parts = [state.meters[number].of(names) for number in numbers]
    wh = np.concatenate([energy for energy, _ in parts], axis=1)
    seen = np.concatenate([quality for _, quality in parts], axis=0)
    seen = (seen == MEASURED) | (seen == CORRECTED)
    count = times.count
    if not seen.any():
        return np.zeros((count, len(names)), dtype=np.bool_), np.zeros((2, count, len(names)), np.int64)
    axis = axis_of(state.open_terms, state.sessions[numbers[0]].times.first, len(seen))
    row, column = np.nonzero(seen)
    checked = check_readings(
        MeterReadings(
            point=np.array(names, dtype=np.str_)[column],
            start=axis.starts[row],
            duration_s=axis.mtu_s,  # type: ignore[arg-type]  # one value stands for all
            import_wh=wh[0, row, column],
            export_wh=wh[1, row, column],
            source="meter",  # type: ignore[arg-type]
            received=axis.starts[row] + axis.mtu_s,
        ),
        axis,
        points=names,
    )
    tail = slice(len(seen) - count, None)
    energy = np.stack([checked.import_wh[:, tail].T, checked.export_wh[:, tail].T])
    return (checked.method[:, tail] != MISSING).T, energy


def _faults(state: LiveState, command: TakeReadings, columns: dict[str, Ints]) -> Iterator[Fault]:
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        yield refusal(
            "columns_differ", "readings", sorted(lengths), fix="give each column one entry per reading"
        )
        return
    if not len(columns["period"]):
        yield refusal("no_rows", "readings", 0, fix="give one reading or more")
        return
    for k, name in enumerate(command.participants):
        if state.register.get("participant", name) is None:
            yield refusal(
                "participant_unknown", f"participants[{k}]", name, fix="name one that is registered"
            )
    terms, period, who = state.open_terms, columns["period"], columns["participant"]
    over = terms.epoch + (period + 1) * terms.mtu_s > command.at
    begins = state.oldest * terms.session_periods
    bounds = f"write 0 to {LARGEST_INTERVAL_WH} Wh"
    checks = (
        ("participant_unknown", "participant", (who < 0) | (who >= len(command.participants)),
         "give positions in participants"),
        ("session_closed", "period", period < begins, f"periods from {begins} on are still kept"),
        ("period_unknown", "period", ~over & (period >= state.next_open * terms.session_periods),
         "read periods of sessions that were opened"),
        ("reading_in_future", "period", over, "send readings when the period is over"),
        ("reading_out_of_bounds", "import_wh", ~_sound(columns["import_wh"]), bounds),
        ("reading_out_of_bounds", "export_wh", ~_sound(columns["export_wh"]), bounds),
        ("field_invalid", "quality", ~np.isin(columns["quality"], (MEASURED, ESTIMATED, CORRECTED)),
         "write 0 measured, 1 estimated or 2 corrected"),
    )  # fmt: skip
    for code, name, wrong, fix in checks:
        for row in np.flatnonzero(wrong)[:MOST_FAULTS].tolist():
            yield refusal(code, f"{name}[{row}]", int(columns[name][row]), fix=fix)
    order = np.lexsort((period, who))
    same = (np.diff(who[order]) == 0) & (np.diff(period[order]) == 0)
    for row in np.sort(order[1:][same])[:MOST_FAULTS].tolist():
        yield refusal("duplicate_period", f"period[{row}]", int(period[row]), fix="send each reading once")
    if len(set(command.participants)) < len(command.participants):
        yield refusal("duplicate_period", "participants", "", fix="name each participant once")


def _sound(wh: Ints) -> NDArray[np.bool_]:
    return np.asarray((wh >= 0) & (wh <= LARGEST_INTERVAL_WH))
