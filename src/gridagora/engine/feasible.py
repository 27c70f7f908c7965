"""May schedules change like that?  A power flow says which limits a change breaks, and what it relieves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.grid import GridModel, PowerFlow, Violations, check_limits
from gridagora.model.study import GridLimits

Floats = NDArray[np.float64]

WORSE = 1e-6
"""Relative change of a value beyond its limit that counts: less is the accuracy of a power flow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Relief:
    """A limit that is broken without the change, and its value with it; percent or per unit.

    ``after`` is the value with the change, also where it is within the limit then; NaN: no solution.

    Examples
    --------
    >>> Relief(period=3, kind="line_loading", element="A", limit=100.0, before=112.0, after=98.0).cured
    True
    """

    period: int
    kind: str
    element: str
    limit: float
    before: float
    after: float

    @property
    def cured(self) -> bool:
        """Whether the value is within the limit with the change."""
        return self.after >= self.limit if self.kind == "voltage_low" else self.after <= self.limit

    @property
    def share(self) -> float:
        """Share of the excess that the change takes away; below 0 where it adds to it."""
        return (self.before - self.after) / (self.before - self.limit)


class ScheduleCheck:
    """Judges changes of schedules on the grid; call it with the change of net import, kW.

    A change is refused when a limit is broken that was not, or when a broken one is broken further.  It may
    leave a broken limit as it is: what it cures is told by `relief`.  Reactive power stays as it is.

    Parameters
    ----------
    grid : the grid
    base_kw, base_kvar : net import at each bus before any change, shape (periods, buses)
    bus_of : bus of each participant
    limits : of voltages and loadings
    first : period of the study of the first row

    Raises
    ------
    InputError
        Unknown buses, or powers that do not fit the grid.

    Notes
    -----
    FIELD.md 4d, IDCONS: feasibility is checked on both sides by power flow.  Three phases alike.

    Examples
    --------
    Less import at the end of the feeder is fine, more at a weak bus of another branch is not.

    >>> from gridagora.adapters.grids import Grid
    >>> grid = Grid.by_name("cigre-lv")
    >>> kw, kvar = grid.base_import()
    >>> check = ScheduleCheck(grid, kw[None], kvar[None], bus_of={"ann": "Bus R18", "zoe": "Bus C12"},
    ...                       limits=GridLimits(vm_min_pu=0.91))
    >>> check({("ann", 0): -20.0})
    ()
    >>> check({("ann", 0): -20.0, ("zoe", 0): 20.0})[0]
    'period 0: voltage_low of Bus C11 0.9029 pu, limit 0.91 pu'
    """

    def __init__(
        self,
        grid: GridModel,
        base_kw: ArrayLike,
        base_kvar: ArrayLike,
        *,
        bus_of: Mapping[str, str],
        limits: GridLimits,
        first: int = 0,
    ) -> None:
        self._grid, self._limits, self._first = grid, limits, first
        self._kw = np.atleast_2d(np.asarray(base_kw, dtype=np.float64))
        self._kvar = np.atleast_2d(np.asarray(base_kvar, dtype=np.float64))
        check_faults(
            _fault(f"participant {name}", bus, "unknown bus", fix="use a bus of the grid")
            for name, bus in bus_of.items()
            if bus not in grid.bus_position
        )
        self._column = {name: grid.bus_position[bus] for name, bus in bus_of.items()}
        self._base = grid.power_flow(self._kw, self._kvar)
        self._broken = _by_limit(check_limits(self._base, limits))

    def __call__(self, delta_kw: Mapping[tuple[str, int], float]) -> tuple[str, ...]:
        """Name the limits that a change breaks, or breaks further; nothing when it may be done."""
        if not delta_kw:
            return ()
        rows, flow = self._changed(delta_kw)
        found = check_limits(flow, self._limits)
        return tuple(
            self._named(rows[row], kind, element, value=value, limit=limit)
            for row, kind, element, value, limit in _entries(found)
            if self._is_worse((rows[row], kind, element), value)
        )

    def relief(self, delta_kw: Mapping[tuple[str, int], float]) -> tuple[Relief, ...]:
        """Measure what a change does, in its periods, to each limit that is broken without it."""
        if not delta_kw:
            return ()
        rows, flow = self._changed(delta_kw)
        place = {row: at for at, row in enumerate(rows)}
        return tuple(
            Relief(
                period=row + self._first,
                kind=kind,
                element=element,
                limit=limit,
                before=before,
                after=_value(flow, kind, element)[place[row]],
            )
            for (row, kind, element), (before, limit) in self._broken.items()
            if row in place and kind != "not_converged"
        )

    def _changed(self, delta_kw: Mapping[tuple[str, int], float]) -> tuple[list[int], PowerFlow]:
        """Return the rows of the periods that change, and their power flow with the change."""
        check_faults(self._delta_faults(delta_kw))
        rows = sorted({period - self._first for _, period in delta_kw})
        place = {row: at for at, row in enumerate(rows)}
        kw = self._kw[rows]
        for (name, period), change in delta_kw.items():
            kw[place[period - self._first], self._column[name]] += change
        return rows, self._grid.power_flow(kw, self._kvar[rows])

    def _is_worse(self, place: tuple[int, str, str], value: float) -> bool:
        if place[1] == "not_converged":
            return True
        if place not in self._broken:
            # where the schedule has no power flow at all, any solution is better
            return bool(self._base.converged[place[0]])
        before, limit = self._broken[place]
        return abs(value - limit) > abs(before - limit) + WORSE * abs(limit)

    def _named(self, row: int, kind: str, element: str, *, value: float, limit: float) -> str:
        period = f"period {row + self._first}"
        if kind == "not_converged":
            return f"{period}: the power flow has no solution"
        unit = "pu" if kind.startswith("voltage") else "%"
        return f"{period}: {kind} of {element} {value:.4g} {unit}, limit {limit:g} {unit}"

    def _delta_faults(self, delta_kw: Mapping[tuple[str, int], float]) -> Iterator[Fault]:
        last = self._first + len(self._kw) - 1
        for (name, period), change in delta_kw.items():
            place = f"{name}, period {period}"
            if name not in self._column:
                yield _fault(place, name, "unknown participant", fix="name it in bus_of")
            if not self._first <= period <= last:
                reason = f"is outside the schedule, periods {self._first} to {last}"
                yield _fault(place, period, reason, fix="give a schedule that covers it")
            if not np.isfinite(change):
                yield _fault(place, change, "is no power", fix="write kW, + import")


def _by_limit(found: Violations) -> dict[tuple[int, str, str], tuple[float, float]]:
    return {(row, kind, element): (value, limit) for row, kind, element, value, limit in _entries(found)}


def _entries(found: Violations) -> Iterator[tuple[int, str, str, float, float]]:
    columns = (found.period, found.kind, found.element, found.value, found.limit)
    yield from zip(*(column.tolist() for column in columns), strict=True)


def _value(flow: PowerFlow, kind: str, element: str) -> list[float]:
    """Return the value that a limit is about, in each row of a power flow."""
    if kind.endswith("_loading"):
        column = flow.loading_percent[:, flow.elements.index(element)]
    else:
        values = flow.vm_min_pu if kind == "voltage_low" else flow.vm_max_pu
        column = values[:, flow.buses.index(element)]
    return [float(value) for value in column.tolist()]


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="schedule check", place=place, value=value, reason=reason, fix=fix)
