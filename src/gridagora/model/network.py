"""A distribution network as columns: what a power flow needs, with switches already resolved.

Columns of one table have equal length.  ``*_bus`` columns hold positions in `Network.buses`; -1 marks the far
end of a branch that is open there and ends at no bus.  Buses joined by closed switches share a node.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Strings = NDArray[np.str_]
Arrays = dict[str, NDArray[Any]]
T = TypeVar("T", bound="Table")

NO_LIMIT_A = 9e7
"""Rated currents from here on (MATPOWER's 99,999 kA) say that the data know no limit."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Table:
    """Named columns of equal length that travel to and from plain arrays."""

    def to_arrays(self, prefix: str) -> Arrays:
        """Return the columns, each name behind ``prefix`` and a dot."""
        return {f"{prefix}.{column.name}": getattr(self, column.name) for column in fields(self)}

    @classmethod
    def from_arrays(cls: type[T], prefix: str, arrays: Mapping[str, NDArray[Any]]) -> T:
        """Return the table whose columns `to_arrays` wrote with the same ``prefix``."""
        return cls(**{column.name: arrays[f"{prefix}.{column.name}"] for column in fields(cls)})

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lines(Table):
    """Lines, and closed switches with impedance; physical values of the whole line, parallel systems merged.

    ``r_ohm``, ``x_ohm``, ``c_farad``, ``g_siemens`` are positive sequence, those with 0 zero sequence (NaN:
    unknown); ``rated_a`` is the current of 100 % loading, `NO_LIMIT_A` or more where the data state none.
    """

    name: Strings
    from_bus: Ints
    to_bus: Ints
    from_closed: Bools
    to_closed: Bools
    r_ohm: Floats
    x_ohm: Floats
    c_farad: Floats
    g_siemens: Floats
    r0_ohm: Floats
    x0_ohm: Floats
    c0_farad: Floats
    rated_a: Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Transformers(Table):
    """Two-winding transformers as a pi equivalent on the low-voltage side, at their tap position.

    ``hv_kv`` and ``lv_kv`` are winding voltages at the tap position; the low-voltage side lags by
    ``shift_degree``.  ``r_ohm``, ``x_ohm``, ``g_siemens``, ``b_siemens`` are of all parallel units together,
    seen from the low-voltage side; ``r0_ohm``, ``x0_ohm`` the zero-sequence impedance (NaN: unknown).
    ``rated_hv_a`` and ``rated_lv_a`` are the currents of 100 % loading.  ``vector_group`` is the IEC letters
    without clock number ("Dyn"; "": unknown).  ``tap_position`` is the one in force, NaN without a changer.
    """

    name: Strings
    hv_bus: Ints
    lv_bus: Ints
    hv_closed: Bools
    lv_closed: Bools
    rated_kva: Floats
    hv_kv: Floats
    lv_kv: Floats
    shift_degree: Floats
    r_ohm: Floats
    x_ohm: Floats
    g_siemens: Floats
    b_siemens: Floats
    r0_ohm: Floats
    x0_ohm: Floats
    rated_hv_a: Floats
    rated_lv_a: Floats
    vector_group: Strings
    tap_position: Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shunts(Table):
    """Constant admittances from a bus to earth, siemens per phase; ``b_siemens`` > 0 is capacitive."""

    name: Strings
    bus: Ints
    g_siemens: Floats
    b_siemens: Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sources(Table):
    """Points where the upstream grid holds the voltage."""

    name: Strings
    bus: Ints
    vm_pu: Floats
    va_degree: Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BaseLoads(Table):
    """Loads, generators and storages of the net itself at nominal voltage, scaled; + is consumption.

    ``p_kw``, ``q_kvar`` have shape (loads, 3), one column per phase.  Shares of constant impedance (z) and
    constant current (i) are of P and of Q; the rest is constant power.
    ``phase_to_phase`` rows stand between phases (delta); only a symmetric calculation can take them.
    """

    name: Strings
    kind: Strings
    bus: Ints
    p_kw: Floats
    q_kvar: Floats
    z_share_p: Floats
    i_share_p: Floats
    z_share_q: Floats
    i_share_q: Floats
    phase_to_phase: Bools


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Network:
    """A network ready for power flow: buses, branches, sources and its own loads, as frozen columns.

    Parameters
    ----------
    name : name of the grid
    frequency_hz : system frequency
    buses : unique bus ids; the column order of every result
    bus_number : the number of each bus in the data it came from
    bus_node : electrical node of each bus; fused buses share one
    bus_x, bus_y : coordinates for drawing
    coordinates : where they come from: "data" or "layout" (a computed tree)
    node_kv : nominal phase-to-phase voltage of each node, kV
    notes : what the conversion left out or took as given, one sentence each
    """

    name: str
    frequency_hz: float
    buses: tuple[str, ...]
    bus_number: Ints
    bus_node: Ints
    bus_x: Floats
    bus_y: Floats
    coordinates: str
    node_kv: Floats
    lines: Lines
    transformers: Transformers
    shunts: Shunts
    sources: Sources
    loads: BaseLoads
    notes: tuple[str, ...] = ()

    _TABLES: ClassVar[dict[str, type[Table]]] = {
        "lines": Lines,
        "transformers": Transformers,
        "shunts": Shunts,
        "sources": Sources,
        "loads": BaseLoads,
    }
    _COLUMNS: ClassVar[tuple[str, ...]] = ("bus_number", "bus_node", "bus_x", "bus_y", "node_kv")

    @property
    def elements(self) -> tuple[str, ...]:
        """Names of the branches: lines, then transformers."""
        return (*self.lines.name.tolist(), *self.transformers.name.tolist())

    def bus_of_number(self) -> dict[int, str]:
        """Return the bus id of each bus number of the data that the network came from."""
        return dict(zip(self.bus_number.tolist(), self.buses, strict=True))

    def to_arrays(self) -> Arrays:
        """Return the network as plain arrays without objects, e.g. for an npz file.

        Examples
        --------
        >>> from gridagora.adapters.grids import Grid
        >>> network = Grid.by_name("ieee33").network
        >>> Network.from_arrays(network.to_arrays()).buses == network.buses
        True
        """
        arrays: Arrays = {
            "name": np.array(self.name),
            "frequency_hz": np.array(self.frequency_hz),
            "buses": np.array(self.buses, dtype=np.str_),
            "coordinates": np.array(self.coordinates),
            "notes": np.array(self.notes, dtype=np.str_),
        }
        arrays.update({name: getattr(self, name) for name in self._COLUMNS})
        for name in self._TABLES:
            arrays.update(getattr(self, name).to_arrays(name))
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Network":
        """Return the network that `to_arrays` took apart."""
        columns: dict[str, Any] = {name: arrays[name] for name in cls._COLUMNS}
        tables: dict[str, Any] = {name: kind.from_arrays(name, arrays) for name, kind in cls._TABLES.items()}
        return cls(
            name=str(arrays["name"]),
            frequency_hz=float(arrays["frequency_hz"]),
            buses=tuple(arrays["buses"].tolist()),
            coordinates=str(arrays["coordinates"]),
            notes=tuple(arrays["notes"].tolist()),
            **columns,
            **tables,
        )
