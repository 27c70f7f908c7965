"""Versions of a reading: which one is used where several tell the same period."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.settlement.metering.rules import MeterFinding
from gridagora.settlement.metering.screen import Screened

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Versions:
    """Numbers of readings: in use, and not used because of others of the same period."""

    used: Ints
    doubles: Ints
    older: Ints
    conflicts: Ints

    def findings(self, screened: Screened) -> list[MeterFinding]:
        """Tell what was not used, and why."""
        net = screened.readings.net_wh
        return [
            *screened.told("duplicate", "dropped", rows=self.doubles, value=net[self.doubles]),
            *screened.told("version", "newest used", rows=self.older, value=net[self.older]),
            *screened.told("conflict", "not used", rows=self.conflicts, value=net[self.conflicts]),
        ]


def pick_versions(screened: Screened, rows: Ints, *, key: Ints) -> Versions:
    """Choose the reading in use of each key: the newest; of equal ones in a row the first to come.

    Parameters
    ----------
    screened : the readings
    rows : those to choose from, in their canonical order
    key : what each tells, one entry per row

    Notes
    -----
    Where different values came at the same moment, none of them can be called newer and none is used.
    """
    readings = screened.readings
    moment = readings.received[rows].astype(np.int64)
    order = np.lexsort((moment, key))  # stable: canonical within a moment
    rows, key, moment = rows[order], key[order], moment[order]
    values = np.stack([readings.import_wh[rows], readings.export_wh[rows]])
    group = _starts(key, moment)
    number = np.cumsum(group) - 1
    differs = np.zeros(rows.size, dtype=np.bool_)
    differs[1:] = (values[:, 1:] != values[:, :-1]).any(axis=0) & ~group[1:]
    clash = np.zeros(int(group.sum()), dtype=np.bool_)
    clash[number[differs]] = True
    clash = clash[number] if rows.size else clash
    again = ~clash & ~group
    kept = np.flatnonzero(~clash & ~again)
    quality = readings.quality[rows[kept]]
    same = np.zeros(kept.size, dtype=np.bool_)
    same[1:] = (key[kept[1:]] == key[kept[:-1]]) & (quality[1:] == quality[:-1])
    same[1:] &= (values[:, kept[1:]] == values[:, kept[:-1]]).all(axis=0)
    left = kept[~same]
    last = np.ones(left.size, dtype=np.bool_)
    last[:-1] = key[left[1:]] != key[left[:-1]]
    return Versions(
        used=rows[left[last]],
        doubles=rows[np.concatenate([np.flatnonzero(again), kept[same]])],
        older=rows[left[~last]],
        conflicts=rows[clash],
    )


def _starts(key: Ints, moment: Ints) -> NDArray[np.bool_]:
    """Mark the first reading of each key and moment."""
    first = np.ones(key.size, dtype=np.bool_)
    first[1:] = (key[1:] != key[:-1]) | (moment[1:] != moment[:-1])
    return first
