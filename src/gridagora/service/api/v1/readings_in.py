"""Meter readings of a request, as the rules of meter data leave them: a command, and what was found."""

import io
import tempfile
import zipfile
from collections.abc import Sequence, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.adapters.meters.files import read_meter_file
from gridagora.adapters.meters.signing import broken_signatures
from gridagora.engine.live.commands import TakeReadings
from gridagora.engine.live.metered import MeterFacts, facts_of, sound_readings
from gridagora.engine.live.refusals import refusal
from gridagora.errors import Fault, InputError, check_faults
from gridagora.model.live import LiveTerms
from gridagora.model.metering import LARGEST_INTERVAL_WH, MeterReadings
from gridagora.service.api.v1.bids import period_of
from gridagora.service.api.v1.findings import Read
from gridagora.service.api.v1.parts import COLUMNS, Tally
from gridagora.service.api.v1.tools import Live, seconds
from gridagora.service.auth.needs import Caller
from gridagora.service.models.metering import MOST_READINGS, NewReading
from gridagora.service.problems import Problem, of_fault
from gridagora.service.settings import MIB
from gridagora.settlement.metering.rules import MeterFinding

Bools = NDArray[np.bool_]
QUALITY = {"measured": 0, "estimated": 1, "corrected": 2}
LARGE_FILE = MIB
"""Bytes of a file beyond which it is read in a job."""

MOST_UNPACKED = 256 * MIB


def known_rows(
    live: Live, caller: Caller, rows: list[tuple[int, NewReading]], *, tally: Tally
) -> tuple[list[tuple[int, NewReading]], list[int]]:
    """Return the rows of participants that are registered, and their periods; others are refused.

    Raises
    ------
    Problem
        where the caller has no right to one of the participants.
    """
    names = {one.participant for _, one in rows}
    there = {name for name in names if live.state.register.get("participant", name) is not None}
    for name in sorted(there):
        caller.require(live.subject(name))
    good, periods, seen = [], [], set[tuple[str, int]]()
    fix = "name one that is registered"
    for number, one in rows:
        faults: list[Fault] = []
        period = _period(one, live.terms, number, faults=faults)
        place = f"readings[{number}]"
        if one.participant not in there:
            faults.append(refusal("participant_unknown", f"{place}.participant", one.participant, fix=fix))
        if not faults and (one.participant, period) in seen:
            faults.append(
                refusal("duplicate_period", f"{place}.period", period, fix="send each reading once")
            )
        if faults:
            tally.refuse(map(of_fault, faults), rows=1)
            continue
        seen.add((one.participant, period))
        good.append((number, one))
        periods.append(period)
    return good, periods


def row_by_row(
    live: Live, told: TakeReadings, signatures: list[str], *, numbers: list[int], tally: Tally
) -> tuple[Read, list[int]]:
    """Return the readings that are signed where they must be, as the rules leave them, and their numbers."""
    facts = facts_of(live.state, told.participants, told.at)
    place = np.array(numbers, np.int64)
    readings = _meter_readings(live, told, signatures)
    broken = broken_signatures(readings, facts.keys)
    fix = "sign with the key that is known of this point"
    tally.refuse(
        (
            of_fault(refusal("signature_invalid", f"readings[{n}]", str(readings.point[row]), fix=fix))
            for row, n in zip(np.flatnonzero(broken).tolist(), place[broken].tolist(), strict=True)
        ),
        rows=int(broken.sum()),
    )
    sound = _sound(told, facts) & ~broken
    found = sound_readings(readings.take(sound), facts, at=told.at, actor=told.actor, source=told.source)
    kept = sound.copy()
    kept[sound] = _is_kept(_select(told, sound), found.command)
    tally.left_out = int((sound & ~kept).sum())
    wanted = kept | ~(sound | broken)  # what is no reading at all, the market refuses with its reasons
    return (
        Read(command=_select(told, wanted), findings=found.findings, facts=facts),
        place[wanted].tolist(),
    )


def command_of(live: Live, caller: Caller, rows: list[NewReading]) -> TakeReadings:
    """Return the command for readings of whom the caller may send them; all faults are told."""
    faults = list[Fault]()
    periods = [_period(one, live.terms, row, faults=faults) for row, one in enumerate(rows)]
    for name in dict.fromkeys(one.participant for one in rows):
        caller.require(live.subject(name))
    check_faults(faults[:100])
    return columns_of(live, caller, rows, periods=periods)


def columns_of(live: Live, caller: Caller, rows: list[NewReading], *, periods: list[int]) -> TakeReadings:
    """Return the command for readings of periods."""
    names = list(dict.fromkeys(one.participant for one in rows))
    place = {name: k for k, name in enumerate(names)}
    return TakeReadings(
        at=live.now(),
        actor=caller.identity.id,
        source="api",
        participants=tuple(names),
        participant=np.array([place[one.participant] for one in rows], np.int64),
        period=np.array(periods, np.int64),
        import_wh=np.array([one.import_wh for one in rows], np.int64),
        export_wh=np.array([one.export_wh for one in rows], np.int64),
        quality=np.array([QUALITY[one.quality] for one in rows], np.int64),
    )


def _select(told: TakeReadings, rows: Bools) -> TakeReadings:
    """Return some readings of a command."""
    columns: dict[str, Any] = {name: np.asarray(getattr(told, name))[rows] for name in COLUMNS[TakeReadings]}
    return replace(told, **columns)


def _sound(told: TakeReadings, facts: MeterFacts) -> Bools:
    """Tell which readings are such as the rules can look at: of a period that takes some, and no nonsense."""
    period, wh = np.asarray(told.period), np.stack([told.import_wh, told.export_wh])
    is_sound = (period >= facts.first) & (period < facts.end) & (wh <= LARGEST_INTERVAL_WH).all(axis=0)
    return np.asarray(is_sound)


def _meter_readings(live: Live, told: TakeReadings, signatures: list[str]) -> MeterReadings:
    """Return the readings of a command as the rules take them."""
    begins = live.terms.epoch + np.asarray(told.period) * live.terms.mtu_s
    return MeterReadings(
        point=np.array(told.participants, dtype=np.str_)[told.participant],
        start=begins.astype("datetime64[s]"),
        duration_s=np.full(len(begins), live.terms.mtu_s),
        import_wh=np.asarray(told.import_wh),
        export_wh=np.asarray(told.export_wh),
        source=np.array("api"),
        received=np.datetime64(told.at, "s"),  # type: ignore[arg-type]  # one value stands for all
        quality=np.where(np.asarray(told.quality) == QUALITY["estimated"], "estimated", "measured"),
        signature=np.array(signatures, dtype=np.str_),
    )


def by_rules(live: Live, told: TakeReadings, signatures: list[str]) -> Read:
    """Return what the rules of meter data keep of readings; where one is a fault, all, so that it is told."""
    facts = facts_of(live.state, told.participants, told.at)
    places = list(zip(np.asarray(told.participant).tolist(), np.asarray(told.period).tolist(), strict=True))
    if not _sound(told, facts).all() or len(facts.participant) < len(told.participants):
        return Read(command=told, facts=facts)
    readings = _meter_readings(live, told, signatures)
    _check_signatures(readings, facts, place="readings")
    if len(set(places)) < len(places):
        return Read(command=told, facts=facts)
    found = sound_readings(readings, facts, at=told.at, actor=told.actor, source=told.source)
    kept = _is_kept(told, found.command)
    _check_any(np.flatnonzero(kept), found.findings)
    return Read(command=_select(told, kept), findings=found.findings, facts=facts)


def _is_kept(told: TakeReadings, kept: TakeReadings | None) -> Bools:
    """Tell which readings of a command the rules kept."""
    there = set() if kept is None else _places(kept)
    names = np.array(told.participants, dtype=np.str_)[told.participant].tolist()
    places = zip(names, np.asarray(told.period).tolist(), strict=True)
    return np.array([place in there for place in places], dtype=np.bool_)


def _places(command: TakeReadings) -> set[tuple[str, int]]:
    who = np.array(command.participants, dtype=np.str_)[command.participant].tolist()
    return set(zip(who, np.asarray(command.period).tolist(), strict=True))


def _check_signatures(readings: MeterReadings, facts: MeterFacts, *, place: str) -> None:
    """Refuse readings of points with a key that carry no signature that holds."""
    fix = "sign with the key that is known of this point"
    check_faults(
        refusal("signature_invalid", f"{place}[{row}]", str(readings.point[row]), fix=fix)
        for row in np.flatnonzero(broken_signatures(readings, facts.keys))[:100].tolist()
    )


def _check_any(rows: Sized, findings: Sequence[MeterFinding]) -> None:
    """Refuse readings of which the rules keep none: an answer that nothing was taken would be overlooked."""
    if not len(rows):
        fix = "correct the readings"
        raise InputError(
            [
                refusal("reading_out_of_bounds", "readings", one.rule, reason=str(one), fix=fix)
                for one in findings[:100]
            ]
            or [refusal("no_rows", "readings", 0, fix="send one reading or more")]
        )


def _period(one: NewReading, terms: LiveTerms, row: int, *, faults: list[Fault]) -> int:
    if (one.period is None) == (one.start is None):
        fix = "write one of period and start"
        faults.append(refusal("field_missing", f"readings[{row}].period", one.period, fix=fix))
        return 0
    if one.start is not None:
        return period_of(terms, seconds(one.start), f"readings[{row}].start", faults=faults)
    return int(one.period or 0)


def of_file(
    live: Live, caller: Caller, content: bytes, *, ending: str = ".csv", most: int = MOST_READINGS
) -> Read:
    """Return the readings of a file that the rules of meter data keep, and what they found."""
    if ending == ".xlsx":
        _check_unpacked(content)
    with tempfile.TemporaryDirectory(prefix="gridagora-") as folder:
        path = Path(folder) / f"readings{ending}"
        path.write_bytes(content)
        file, faults = read_meter_file(path)
    if file is None or faults:
        raise InputError(faults)
    told, now = file.readings, live.now()
    facts = facts_of(live.state, told.point.tolist(), now)
    fix = "name a participant, or the meter of an active connection point"
    check_faults(
        refusal("participant_unknown", "point", point, fix=fix)
        for point in sorted(set(told.point.tolist()) - facts.participant.keys())[:100]
    )
    for name in sorted(set(facts.participant.values())):
        caller.require(live.subject(name))
    _check_signatures(told, facts, place="row")
    found = sound_readings(told, facts, at=now, actor=caller.identity.id, source="file")
    _check_any([] if found.command is None else found.command.period, found.findings)
    command: TakeReadings = found.command  # type: ignore[assignment]
    if len(command.period) > most:
        fix = f"send at most {most:,}, or more than {LARGE_FILE:,} bytes, or with Prefer: respond-async"
        reason, count = "more than an answer waits for", len(command.period)
        raise InputError([refusal("too_many_rows", "readings", count, reason=reason, fix=fix)])
    return Read(command=command, findings=found.findings, facts=facts)


def _check_unpacked(content: bytes) -> None:
    """Refuse an Excel file that is none, or that becomes very much more when it is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            size = sum(part.file_size for part in packed.infolist())
    except (zipfile.BadZipFile, ValueError):
        raise Problem("body_unreadable", "it is no Excel file (.xlsx)") from None
    if size > MOST_UNPACKED:
        raise Problem("body_too_large", f"at most {MOST_UNPACKED:,} bytes unpacked are taken here")
