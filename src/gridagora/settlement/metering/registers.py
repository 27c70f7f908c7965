"""From counters to energy: differences of register readings, over rollovers and exchanges of the meter."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.settlement.metering.rules import MeterFinding, MeterRules
from gridagora.settlement.metering.screen import REGISTER, SPAN, Screened, text_codes
from gridagora.settlement.metering.versions import Versions, pick_versions

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NEARLY = 0.9
"""Where no capacity is known, a counter rolls over from this part of its range to the other end."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Spans:
    """Energy that is known over the periods [first, last) of a point: one entry per span.

    Parameters
    ----------
    point : number of the point
    first, last : periods, half-open
    energy_wh : import and export, shape (spans, 2)
    """

    point: Ints
    first: Ints
    last: Ints
    energy_wh: Ints

    def take(self, rows: Ints | Bools) -> "Spans":
        """Return some of the spans."""
        return Spans(
            point=self.point[rows],
            first=self.first[rows],
            last=self.last[rows],
            energy_wh=self.energy_wh[rows],
        )


def known_spans(screened: Screened, rules: MeterRules) -> tuple[Spans, list[MeterFinding]]:
    """Return what registers and long intervals say about spans of time, short spans first."""
    registers, found = _register_spans(screened, rules)
    longer, more = _long_intervals(screened)
    spans = Spans(
        point=np.concatenate([registers.point, longer.point]),
        first=np.concatenate([registers.first, longer.first]),
        last=np.concatenate([registers.last, longer.last]),
        energy_wh=np.concatenate([registers.energy_wh, longer.energy_wh]),
    )
    return spans.take(np.lexsort((spans.first, spans.last - spans.first, spans.point))), [*found, *more]


def _long_intervals(screened: Screened) -> tuple[Spans, list[MeterFinding]]:
    """Return intervals over several periods."""
    rows = np.flatnonzero(screened.state == SPAN)
    count = screened.readings.duration_s[rows] // screened.axis.mtu_s
    width = screened.axis.periods + 1
    key = (screened.point[rows] * width + screened.slot[rows]) * width + count
    versions = pick_versions(screened, rows, key=key)
    used, first = versions.used, screened.slot[versions.used]
    spans = Spans(
        point=screened.point[used],
        first=first,
        last=first + screened.readings.duration_s[used] // screened.axis.mtu_s,
        energy_wh=_energy(screened, used),
    )
    return spans, versions.findings(screened)


def _register_spans(screened: Screened, rules: MeterRules) -> tuple[Spans, list[MeterFinding]]:
    """Return the differences of counters that follow each other on the same meter."""
    rows = np.flatnonzero(screened.state == REGISTER)
    meter, names = text_codes(screened.readings.meter[rows])
    chain = screened.point[rows] * max(len(names), 1) + meter
    versions = pick_versions(screened, rows, key=chain * (screened.axis.periods + 1) + screened.slot[rows])
    chain_of = np.zeros(len(screened.readings), dtype=np.int64)
    chain_of[rows] = chain
    used = versions.used
    follows = chain_of[used[1:]] == chain_of[used[:-1]]
    before, after = used[:-1][follows], used[1:][follows]
    change, fine, found = _differences(screened, (before, after), rules=rules)
    spans = Spans(
        point=screened.point[after],
        first=screened.slot[before],
        last=screened.slot[after],
        energy_wh=change,
    )
    heads = used[np.concatenate([[True], ~follows])] if used.size else used
    return spans.take(fine), [*versions.findings(screened), *found, *_exchanges(screened, heads)]


def _differences(
    screened: Screened, pair: tuple[Ints, Ints], *, rules: MeterRules
) -> tuple[Ints, Bools, list[MeterFinding]]:
    """Return energy between readings, where it can be used, and what was found."""
    before, after = pair
    stands = _energy(screened, before)
    change = _energy(screened, after) - stands
    periods = (screened.slot[after] - screened.slot[before])[:, None]
    capacity = screened.capacity_wh[screened.point[after]] * periods
    allowed = capacity * (1 + rules.capacity_tolerance) + 1
    modulus = rules.register_modulus_wh
    wrapped = change + modulus
    near_end = (stands > NEARLY * modulus) & (wrapped < (1 - NEARLY) * modulus)
    rolled = (change < 0) & (wrapped >= 0) & np.where(np.isfinite(allowed), wrapped <= allowed, near_end)
    energy = np.where(rolled, wrapped, change)
    back, above = energy < 0, energy > allowed
    found: list[MeterFinding] = []
    hours = screened.axis.hours
    for side in (0, 1):
        turned, fell = np.flatnonzero(rolled[:, side]), np.flatnonzero(back[:, side])
        high = np.flatnonzero(above[:, side] & ~back[:, side])
        found += screened.told("rollover", "counted on", rows=after[turned], value=stands[turned, side])
        found += screened.told("register_backwards", "not used", rows=after[fell], value=energy[fell, side])
        power = energy[high, side] / (periods[high, 0] * hours * 1000.0)
        limit = capacity[high, side] / (periods[high, 0] * hours * 1000.0)
        found += screened.told("above_capacity", "not used", rows=after[high], value=power, limit=limit)
    return np.asarray(energy), np.asarray(~(back | above).any(axis=1)), found


def _exchanges(screened: Screened, heads: Ints) -> list[MeterFinding]:
    """Tell points whose meter was exchanged: ``heads`` are the first readings of each meter."""
    order = np.lexsort((screened.slot[heads], screened.point[heads]))
    heads = heads[order]
    later = np.zeros(heads.size, dtype=np.bool_)
    later[1:] = screened.point[heads[1:]] == screened.point[heads[:-1]]
    rows = heads[later]
    return screened.told(
        "meter_exchange", "counted apart", rows=rows, value=screened.readings.import_wh[rows]
    )


def _energy(screened: Screened, rows: Ints) -> Ints:
    """Return import and export of readings, shape (rows, 2)."""
    return np.stack([screened.readings.import_wh[rows], screened.readings.export_wh[rows]], axis=1)


def pick_intervals(screened: Screened, allowed: Bools) -> Versions:
    """Choose the interval in use of each period among the readings that are allowed."""
    rows = np.flatnonzero((screened.state == 0) & allowed)
    return pick_versions(
        screened, rows, key=screened.point[rows] * screened.axis.periods + screened.slot[rows]
    )
