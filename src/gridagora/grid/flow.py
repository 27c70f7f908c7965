"""The result of a power flow, one row per period."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Strings = NDArray[np.str_]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PowerFlow:
    """Voltages, loadings and losses of each period; NaN in every column of a period that did not converge.

    Parameters
    ----------
    buses : bus ids, the columns of ``vm_pu``
    elements : names of the branches, lines first, the columns of ``loading_percent``
    kinds : "line" or "transformer" of each element
    vm_pu : voltage magnitude, (periods, buses), with three phases (periods, buses, 3)
    loading_percent : current in percent of the rated current, the larger end and phase, (periods, elements)
    losses_kw : active losses of lines and transformers, (periods,)
    import_kw, import_kvar : power drawn from the upstream grid, + import, (periods,)
    converged : False where the power flow has no solution, (periods,)
    weakest_bus : where not converged, the bus furthest from nominal voltage at the largest share of the loads
        that has a solution ("" if none has); "" where converged, (periods,)
    unbalance_percent : largest deviation of a phase from the phase average / average (MARKETS section 9),
        (periods, buses); None for one phase
    bus_kw, bus_kvar : the net import that it was calculated for, (periods, buses) or (periods, buses, 3);
        kvar None: 0
    source_kw, source_kvar : of the import what each source gives, (periods, sources)
    """

    buses: tuple[str, ...]
    elements: tuple[str, ...]
    kinds: tuple[str, ...]
    vm_pu: Floats
    loading_percent: Floats
    losses_kw: Floats
    import_kw: Floats
    import_kvar: Floats
    converged: Bools
    weakest_bus: Strings
    unbalance_percent: Floats | None = None
    bus_kw: Floats | None = None
    bus_kvar: Floats | None = None
    source_kw: Floats | None = None
    source_kvar: Floats | None = None

    @property
    def reverse_flow(self) -> Bools:
        """Tell where the grid as a whole feeds the upstream grid, (periods,)."""
        return np.asarray(self.import_kw < 0)

    @property
    def vm_min_pu(self) -> Floats:
        """Voltage of the lowest phase, (periods, buses)."""
        return self.vm_pu if self.vm_pu.ndim == 2 else self.vm_pu.min(axis=2)

    @property
    def vm_max_pu(self) -> Floats:
        """Voltage of the highest phase, (periods, buses)."""
        return self.vm_pu if self.vm_pu.ndim == 2 else self.vm_pu.max(axis=2)

    def __len__(self) -> int:
        return len(self.converged)


def unbalance_percent(vm_pu: Floats) -> Floats:
    """Return the phase voltage unbalance rate: largest deviation from the phase average / average, percent.

    Examples
    --------
    >>> unbalance_percent(np.array([1.02, 1.0, 0.98])).round(6).item()
    2.0
    """
    average = vm_pu.mean(axis=-1, keepdims=True)
    return np.asarray(np.abs(vm_pu - average).max(axis=-1) / average[..., 0] * 100)
