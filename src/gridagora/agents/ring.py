"""The linear program of a home with several devices, kept in the solver as a ring of periods.

Period t lives in slot t mod H of a ring of H slots, so that a window of H periods that moves on reuses the
slots of the periods gone by: only numbers change, the matrix keeps its shape, and the dual simplex starts
from the last basis.  Per slot, in kWh (``hours`` x kW), with s the battery's content, w the vehicle's, h the
tank's:

    import - export - curtailed + shed - charge + discharge - vehicle - pump = load - pv
    s = s_before + eff charge - discharge / eff
    w = w_before + eff vehicle + short - (need, when the car leaves)
    h = keep h_before + cop pump + cold - heat demand
    cost = buy import - sell export + penalties (shed, short, cold) - terminal value of what is left at the
    end

At the seam, the first slot of the window, ``before`` is the present content: its entry in the matrix is
zeroed. Slots beyond the end of the study are free rows with all columns fixed to zero.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gridagora.agents.fleet import Fleet, Floats, Param, Stay
from gridagora.agents.penalties import EV_PENALTY, HEAT_PENALTY, LOAD_PENALTY
from gridagora.agents.rules import Outlook
from gridagora.solve import HotModel, LinearProgram

IMPORT, EXPORT, CURTAILED, SHED, CHARGE, DISCHARGE, BATTERY = range(7)
CAR, CAR_STORE, SHORT, PUMP, TANK, COLD = range(7, 13)
COLUMNS = 13
BALANCE, BATTERY_ROW, CAR_ROW, TANK_ROW = range(4)
ROWS = 4
STORES = ((BATTERY_ROW, BATTERY), (CAR_ROW, CAR_STORE), (TANK_ROW, TANK))
"""Row and store column of battery, vehicle, tank: the order of a home's state."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Numbers of one home's program over the window, by period: columns (H, 13), rows (H, 4), cop (H,)."""

    cost: Floats
    upper: Floats
    row_lower: Floats
    row_upper: Floats
    cop: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """`Window` of several homes: the same arrays with the home in front."""

    cost: Floats
    upper: Floats
    row_lower: Floats
    row_upper: Floats
    cop: Floats

    def of(self, index: int) -> Window:
        """Return the numbers of one home."""
        return Window(
            cost=self.cost[index],
            upper=self.upper[index],
            row_lower=self.row_lower[index],
            row_upper=self.row_upper[index],
            cop=self.cop[index],
        )


def windows(
    fleet: Fleet,
    homes: NDArray[np.int64],
    t: int,
    *,
    outlook: Outlook,
    stay: NDArray[np.int32],
    price: Floats,
    terminal: Floats,
    slots: int,
) -> Windows:
    """Numbers of the programs of ``homes`` over the outlook's periods, padded to ``slots``; kWh.

    ``stay`` (homes of the fleet, horizon) as known at ``t``; ``price`` (horizon, 2) import and export;
    ``terminal`` (homes of the fleet, 3) value of a kWh left in battery, tank, vehicle.
    """
    horizon, hours = outlook.periods, fleet.hours
    p = fleet.params[homes][:, None, :]
    load, pv, heat = (
        series[homes, :horizon] * hours for series in (outlook.load_kw, outlook.pv_kw, outlook.heat_kw)
    )
    shape = (len(homes), slots)
    cost, upper = np.zeros((*shape, COLUMNS)), np.zeros((*shape, COLUMNS))
    lower_rows, upper_rows = np.full((*shape, ROWS), -np.inf), np.full((*shape, ROWS), np.inf)
    now = slice(0, horizon)
    cost[:, now, IMPORT], cost[:, now, EXPORT] = price[:, 0], -price[:, 1]
    cost[:, now, SHED], cost[:, now, SHORT], cost[:, now, COLD] = LOAD_PENALTY, EV_PENALTY, HEAT_PENALTY
    for column, value in (
        (IMPORT, p[..., Param.IMPORT_KW] * hours),
        (EXPORT, p[..., Param.EXPORT_KW] * hours),
        (CURTAILED, pv),
        (SHED, np.maximum(load - pv - p[..., Param.IMPORT_KW] * hours, 0.0)),
        (CHARGE, p[..., Param.CHARGE_KW] * hours),
        (DISCHARGE, p[..., Param.DISCHARGE_KW] * hours),
        (BATTERY, p[..., Param.BATTERY_KWH]),
        (PUMP, p[..., Param.PUMP_KW] * hours),
        (TANK, p[..., Param.TANK_KWH]),
        (COLD, np.where(p[..., Param.PUMP_KW] > 0.0, heat, 0.0)),
    ):
        upper[:, now, column] = value
    right = np.zeros((len(homes), horizon, ROWS))
    right[..., BALANCE] = load - pv
    right[..., TANK_ROW] = -upper[:, now, COLD]
    _vehicles(fleet, homes, t, stay=stay[homes], terminal=terminal, cost=cost, upper=upper, right=right)
    cost[:, horizon - 1, BATTERY] -= terminal[homes, 0]
    cost[:, horizon - 1, TANK] -= terminal[homes, 1]
    lower_rows[:, now], upper_rows[:, now] = right, right
    cop = np.ones(shape)
    cop[:, now] = fleet.cop[homes, t : t + horizon]
    return Windows(cost=cost, upper=upper, row_lower=lower_rows, row_upper=upper_rows, cop=cop)


def _vehicles(
    fleet: Fleet,
    homes: NDArray[np.int64],
    t: int,
    *,
    stay: NDArray[np.int32],
    terminal: Floats,
    cost: Floats,
    upper: Floats,
    right: Floats,
) -> None:
    """Fill in the columns and rows of the vehicles; a stay cut by the horizon must only be kept reachable."""
    horizon = stay.shape[1]
    power = fleet.params[homes, Param.EV_KW][:, None] * fleet.hours
    row = fleet.stays[np.maximum(stay, 0)] if len(fleet.stays) else np.zeros((*stay.shape, len(Stay)))
    plugged = (stay >= 0) & (power > 0.0)
    leaves = plugged & (row[..., Stay.DEPARTURE] == t + 1 + np.arange(horizon))
    cut = plugged & ~leaves
    cut[:, :-1] = False
    later = (row[..., Stay.DEPARTURE] - t - horizon) * power * fleet.params[homes, Param.EV_EFF][:, None]
    due = np.where(leaves, row[..., Stay.NEED_KWH], 0.0)
    due += np.where(cut, np.maximum(row[..., Stay.NEED_KWH] - later, 0.0), 0.0)
    upper[:, :horizon, CAR] = np.where(plugged, power, 0.0)
    upper[:, :horizon, CAR_STORE] = np.where(plugged, row[..., Stay.NEED_KWH] - due, 0.0)
    upper[:, :horizon, SHORT] = due
    right[..., CAR_ROW] = -due
    cost[:, horizon - 1, CAR_STORE] -= np.where(cut[:, -1], terminal[homes, 2], 0.0)


class Ring:
    """One home's program in the solver; only the columns and rows of devices that it has.

    Parameters
    ----------
    params : the home's row of `Fleet.params`
    slots : length of the ring in periods; the horizon is never longer
    """

    def __init__(self, params: Floats, slots: int) -> None:
        self._slots = slots
        self._minimum = params[Param.BATTERY_MIN_KWH]
        columns, rows = _present(params)
        self._columns, self._rows = np.array(columns), np.array(rows)
        keep = (1.0, 1.0, params[Param.TANK_KEEP])
        self._stores = [
            (rows.index(row), columns.index(column), kept, place)
            for place, ((row, column), kept) in enumerate(zip(STORES, keep, strict=True))
            if row in rows
        ]
        self._pump = (rows.index(TANK_ROW), columns.index(PUMP)) if PUMP in columns else None
        self._cop = np.ones(slots)
        self._seam = -1
        self._program = _program(params, slots, columns=columns, rows=rows)
        self._model = HotModel(self._program)

    def solve(self, window: Window, state: Floats, t: int) -> tuple[Floats, Floats]:
        """Solve the window from period ``t``: columns (slots, 13) in kWh and duals (slots, 4), by period.

        ``state`` is the content of battery, vehicle and tank, kWh; raises `SolverError` if there is no
        optimum.
        """
        slot = np.arange(t, t + self._slots) % self._slots
        place = np.argsort(slot)
        self._set_entries(window.cop[place], t % self._slots)
        lower = _lower(window, self._minimum)
        low, high = window.row_lower[:, self._rows], window.row_upper[:, self._rows]
        for row, _, keep, which in self._stores:
            low[0, row] += keep * state[which]
            high[0, row] += keep * state[which]
        self._program = self._model.change(
            self._program,
            cost=window.cost[place][:, self._columns].ravel(),
            lower=lower[place][:, self._columns].ravel(),
            upper=window.upper[place][:, self._columns].ravel(),
            row_lower=low[place].ravel(),
            row_upper=high[place].ravel(),
        )
        answer = self._model.solve()
        values, duals = np.zeros((self._slots, COLUMNS)), np.zeros((self._slots, ROWS))
        values[:, self._columns] = answer.values.reshape(self._slots, -1)[slot]
        duals[:, self._rows] = answer.duals.reshape(self._slots, -1)[slot]
        return values, duals

    def _set_entries(self, cop: Floats, seam: int) -> None:
        """Write the COP of the periods that are new and move the seam."""
        columns, rows = len(self._columns), len(self._rows)
        if self._pump is not None:
            row, column = self._pump
            for slot in np.flatnonzero(cop != self._cop).tolist():
                self._model.change_entry(slot * rows + row, slot * columns + column, -cop[slot])
            self._cop = cop
        if seam == self._seam:
            return
        for row, column, keep, _ in self._stores:
            for slot, entry in ((self._seam, -keep), (seam, 0.0)):
                if slot >= 0:
                    before = (slot - 1) % self._slots
                    self._model.change_entry(slot * rows + row, before * columns + column, entry)
        self._seam = seam


def whole_program(params: Floats, window: Window, state: Floats) -> tuple[LinearProgram, int]:
    """Return a home's program by period, not as a ring, with all numbers, and its columns per period.

    A period's columns begin with import and export; ``state`` is as in `Ring.solve`.
    """
    columns, rows = _present(params)
    slots, minimum = len(window.cop), params[Param.BATTERY_MIN_KWH]
    ring = _program(params, slots, columns=columns, rows=rows)
    column = np.repeat(np.arange(len(ring.cost)), np.diff(ring.starts))
    entries = ring.entries.copy()
    entries[(ring.rows < len(rows)) & (column >= (slots - 1) * len(columns))] = 0.0
    low, high = window.row_lower[:, rows].copy(), window.row_upper[:, rows].copy()
    for place, (row, keep) in enumerate(
        ((BATTERY_ROW, 1.0), (CAR_ROW, 1.0), (TANK_ROW, params[Param.TANK_KEEP]))
    ):
        if row in rows:
            low[0, rows.index(row)] += keep * state[place]
            high[0, rows.index(row)] += keep * state[place]
    if PUMP in columns:
        heat = (column % len(columns) == columns.index(PUMP)) & (
            ring.rows % len(rows) == rows.index(TANK_ROW)
        )
        entries[heat] = -window.cop[ring.rows[heat] // len(rows)]
    program = replace(
        ring,
        cost=window.cost[:, columns].ravel(),
        lower=_lower(window, minimum)[:, columns].ravel(),
        upper=window.upper[:, columns].ravel(),
        row_lower=low.ravel(),
        row_upper=high.ravel(),
        entries=entries,
    )
    return program, len(columns)


def _lower(window: Window, minimum: float) -> Floats:
    """Return the lower bounds of the columns, (slots, 13)."""
    lower = np.zeros(window.upper.shape)
    lower[:, BATTERY] = np.minimum(minimum, window.upper[:, BATTERY])
    return lower


def _present(params: Floats) -> tuple[list[int], list[int]]:
    """Columns and rows of the devices that a home has."""
    columns, rows = [IMPORT, EXPORT, CURTAILED], [BALANCE]
    if np.isfinite(params[Param.IMPORT_KW]):
        columns.append(SHED)
    for parameter, device, row in (
        (Param.BATTERY_KWH, [CHARGE, DISCHARGE, BATTERY], BATTERY_ROW),
        (Param.EV_KW, [CAR, CAR_STORE, SHORT], CAR_ROW),
        (Param.PUMP_KW, [PUMP, TANK, COLD], TANK_ROW),
    ):
        if params[parameter] > 0.0:
            columns += device
            rows.append(row)
    return columns, rows


def _program(params: Floats, slots: int, *, columns: list[int], rows: list[int]) -> LinearProgram:
    """Build the matrix of the ring; all numbers that a window sets are left at zero."""
    charge, discharge, car = params[Param.CHARGE_EFF], params[Param.DISCHARGE_EFF], params[Param.EV_EFF]
    signs = (
        (IMPORT, 1),
        (EXPORT, -1),
        (CURTAILED, -1),
        (SHED, 1),
        (CHARGE, -1),
        (DISCHARGE, 1),
        (CAR, -1),
        (PUMP, -1),
    )
    within = [(BALANCE, column, float(sign)) for column, sign in signs]
    within += [
        (BATTERY_ROW, BATTERY, 1.0),
        (BATTERY_ROW, CHARGE, -charge),
        (BATTERY_ROW, DISCHARGE, 1.0 / discharge),
    ]
    within += [(CAR_ROW, CAR_STORE, 1.0), (CAR_ROW, CAR, -car), (CAR_ROW, SHORT, -1.0)]
    within += [(TANK_ROW, TANK, 1.0), (TANK_ROW, PUMP, -1.0), (TANK_ROW, COLD, -1.0)]
    before = [
        (BATTERY_ROW, BATTERY, -1.0),
        (CAR_ROW, CAR_STORE, -1.0),
        (TANK_ROW, TANK, -params[Param.TANK_KEEP]),
    ]
    entries = []
    for slot in range(slots):
        for shift, terms in ((0, within), (1, before)):
            base = (slot + shift) % slots * len(rows)
            entries += [
                (slot * len(columns) + columns.index(column), base + rows.index(row), value)
                for row, column, value in terms
                if column in columns and row in rows
            ]
    entries.sort()
    at, row_numbers, values = (np.array(part) for part in zip(*entries, strict=True))
    no_columns, no_rows = np.zeros(slots * len(columns)), np.zeros(slots * len(rows))
    return LinearProgram(
        cost=no_columns,
        lower=no_columns,
        upper=no_columns,
        row_lower=no_rows,
        row_upper=no_rows,
        starts=np.searchsorted(at, np.arange(len(no_columns) + 1)).astype(np.int32),
        rows=row_numbers.astype(np.int32),
        entries=values,
    )
