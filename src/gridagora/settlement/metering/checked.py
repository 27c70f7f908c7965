"""Checked readings: one value per point and period, how it came about, and what to settle by."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.model.metering import MeterReadings
from gridagora.model.time import TimeAxis
from gridagora.settlement.metering.rules import (
    FROM_REGISTER,
    MEASURED,
    METHODS,
    MISSING,
    MeterFinding,
    MeterRules,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

OWN_SOURCE = "gridagora"
"""Source of values that were calculated here."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CheckedReadings:
    """Readings after `check_readings`; matrices have shape (points, periods).

    Parameters
    ----------
    axis : the periods, of the length of the meters' intervals
    points : connection points, one row each
    import_wh, export_wh : whole Wh, 0 where missing
    method : how each value came about, the place in `METHODS`
    doubtful : kept although a rule doubts it
    row : number of the reading in ``readings`` that a value is of, -1 for none
    readings : all that came in, also what was not used: who said what, and when
    findings : what the rules found, by point and time
    rules : the thresholds

    Examples
    --------
    See `check_readings`.
    """

    axis: TimeAxis
    points: tuple[str, ...]
    import_wh: Ints
    export_wh: Ints
    method: NDArray[np.int8]
    doubtful: Bools
    row: Ints
    readings: MeterReadings
    findings: tuple[MeterFinding, ...]
    rules: MeterRules

    @property
    def measured(self) -> Bools:
        """Where a meter said what is told, by its interval or by its registers."""
        return np.asarray((self.method == MEASURED) | (self.method == FROM_REGISTER))

    @property
    def missing_percent(self) -> Floats:
        """Part of the periods of each point without measurement, percent."""
        return np.asarray(100.0 * (1.0 - self.measured.mean(axis=1)))

    @property
    def usable(self) -> Bools:
        """Points with few enough periods missing to be settled."""
        return np.asarray(self.missing_percent <= self.rules.most_missing_percent)

    @property
    def net_kw(self) -> Floats:
        """Mean net import in kW, estimates included; NaN where nothing is known."""
        power = (self.import_wh - self.export_wh) / (1000.0 * self.axis.hours)
        return np.asarray(np.where(self.method == MISSING, np.nan, power))

    def metered_kw(
        self, axis: TimeAxis, *, points: Sequence[str] | None = None, estimates: bool = False
    ) -> Floats:
        """Return mean net import in kW as `RecordFlexReadings` and `check_limit` take it.

        Parameters
        ----------
        axis : periods of the market
        points : connection points in the market's order; all, as they stand here, when left out
        estimates : False tells only what was measured, so that proof of delivery judges gaps by its own rule
            and no estimate proves anything; True is for settling energy, and leaves out points that are not
            usable

        Returns
        -------
        Shape (points, periods, readings of a period), NaN where missing.

        Raises
        ------
        InputError
            Periods shorter than the readings or off their grid, or points that were not checked.
        """
        names = self.points if points is None else tuple(points)
        number = {name: row for row, name in enumerate(self.points)}
        readings, rest = divmod(axis.mtu_s, self.axis.mtu_s)
        offset, off = divmod(int((axis.start - self.axis.start).astype(np.int64)), self.axis.mtu_s)
        faults = [
            _fault("points", name, "was not checked", fix=f"there are {', '.join(self.points[:8])}")
            for name in names
            if name not in number
        ]
        if rest or off:
            reason, fix = f"is no multiple of readings of {self.axis.mtu_s} s", "check longer periods"
            faults.append(_fault("axis", axis.mtu_s, reason, fix=fix))
        check_faults(faults)
        wanted = offset + np.arange(axis.periods * readings)
        inside = (wanted >= 0) & (wanted < self.axis.periods)
        values = self.net_kw if estimates else np.where(self.measured, self.net_kw, np.nan)
        if estimates:
            values = np.where(self.usable[:, None], values, np.nan)
        out = np.full((len(names), wanted.size), np.nan)
        rows = np.array([number[name] for name in names], dtype=np.int64)
        out[:, inside] = values[rows][:, wanted[inside]]
        return out.reshape(len(names), axis.periods, readings)

    def to_readings(self, *, at: np.datetime64 | None = None) -> MeterReadings:
        """Return one reading per period that has a value: the chosen one as it came, or what was estimated.

        Parameters
        ----------
        at : arrival of estimates; the last arrival of all readings when left out
        """
        point, period = np.nonzero(self.method != MISSING)
        row = self.row[point, period]
        given = row >= 0
        latest = self.readings.received.max() if len(self.readings) else self.axis.start
        moment = (latest if at is None else at).astype("datetime64[s]")
        old = self.readings.take(np.maximum(row, 0)) if len(self.readings) else MeterReadings.none()
        return MeterReadings(
            point=np.array(self.points, dtype=np.str_)[point],
            start=self.axis.starts[period],
            duration_s=np.full(point.size, self.axis.mtu_s),
            import_wh=self.import_wh[point, period],
            export_wh=self.export_wh[point, period],
            source=np.where(given, old.source, OWN_SOURCE),
            received=np.where(given, old.received, moment),
            quality=np.array(METHODS, dtype=np.str_)[self.method[point, period]],
            meter=np.where(given, old.meter, ""),
            signature=np.where(given & (old.start == self.axis.starts[period]), old.signature, ""),
        )


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="checked readings", place=place, value=value, reason=reason, fix=fix)
