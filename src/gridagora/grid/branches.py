"""Switches, lines and transformers of a pandapower net, with buses as rows of its bus table."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gridagora.grid.frames import (
    Bools,
    Buses,
    Faults,
    Floats,
    Frame,
    Ints,
    any_number,
    not_negative,
    positive,
)
from gridagora.grid.transformers import transformer_columns
from gridagora.model.network import Lines, Transformers

_SWITCH_RX_RATIO = 2.0
"""R/X of a closed switch with impedance (pandapower's ``switch_rx_ratio``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Switches:
    """What the switches say: joined buses, open branch ends, closed switches with an impedance."""

    fused: tuple[tuple[int, int], ...]
    open_ends: frozenset[tuple[str, int, int]]
    """(switch type "l" or "t", branch number, bus number)"""
    frame: Frame
    with_impedance: Bools


def read_switches(net: Any, buses: Buses, faults: Faults) -> Switches:
    """Read the switch table; a closed switch between buses without impedance fuses them."""
    frame = Frame(net, "switch")
    closed = frame.flags("closed", default=True)
    kind = np.array(frame.texts("et"), dtype=np.str_)
    between = (kind == "b") & closed
    impedance = frame.numbers("z_ohm", 0.0) > 0
    start = buses.rows(frame, "bus", rows=between, faults=faults)
    end = buses.rows(frame, "element", rows=between, faults=faults)
    live = between & (start >= 0) & (end >= 0) & buses.in_service[start] & buses.in_service[end]
    fused = tuple((int(start[row]), int(end[row])) for row in np.flatnonzero(live & ~impedance))
    number, bus = frame.numbers("element", -1), frame.numbers("bus", -1)
    open_ends = frozenset(
        (str(kind[row]), int(number[row]), int(bus[row])) for row in np.flatnonzero(~closed & (kind != "b"))
    )
    return Switches(fused=fused, open_ends=open_ends, frame=frame, with_impedance=live & impedance)


def read_lines(net: Any, buses: Buses, switches: Switches, *, faults: Faults) -> Lines:
    """Read the lines in service and the closed switches with impedance.

    ``rated_a`` is ``max_i_ka x df x parallel``; r, x are divided and c, g multiplied by ``parallel``.
    """
    frame = Frame(net, "line")
    rows = frame.flags("in_service", default=True)
    length, parallel = frame.numbers("length_km"), frame.numbers("parallel", 1.0)
    frame.check("length_km", length, not_negative, faults=faults, rows=rows, need="a length not below 0")
    frame.check("parallel", parallel, positive, faults=faults, rows=rows, need="a number of systems above 0")
    series = length / np.where(parallel > 0, parallel, np.nan)
    values = {}
    for column in ("r_ohm_per_km", "x_ohm_per_km"):
        values[column] = frame.numbers(column)
        frame.check(column, values[column], any_number, faults=faults, rows=rows, need="a number")
    shunt = length * parallel
    ends, closed = _ends(
        frame, buses, switches, kind="l", columns=("from_bus", "to_bus"), rows=rows, faults=faults
    )
    table = {
        "name": np.array(frame.names(), dtype=np.str_),
        "from_bus": ends[0],
        "to_bus": ends[1],
        "from_closed": closed[0],
        "to_closed": closed[1],
        "r_ohm": values["r_ohm_per_km"] * series,
        "x_ohm": values["x_ohm_per_km"] * series,
        "c_farad": frame.numbers("c_nf_per_km", 0.0) * 1e-9 * shunt,
        "g_siemens": frame.numbers("g_us_per_km", 0.0) * 1e-6 * shunt,
        "r0_ohm": frame.numbers("r0_ohm_per_km") * series,
        "x0_ohm": frame.numbers("x0_ohm_per_km") * series,
        "c0_farad": frame.numbers("c0_nf_per_km") * 1e-9 * shunt,
        "rated_a": _line_ratings(frame, parallel, rows=rows, faults=faults),
    }
    keep = rows & (ends[0] >= 0) & (ends[1] >= 0) & (closed[0] | closed[1])
    extra = _switch_lines(buses, switches)
    return Lines(**{name: np.concatenate([column[keep], extra[name]]) for name, column in table.items()})


def read_transformers(net: Any, buses: Buses, switches: Switches, *, faults: Faults) -> Transformers:
    """Read the two-winding transformers in service."""
    frame = Frame(net, "trafo")
    rows = frame.flags("in_service", default=True)
    columns = transformer_columns(net, frame, rows=rows, faults=faults)
    ends, closed = _ends(
        frame, buses, switches, kind="t", columns=("hv_bus", "lv_bus"), rows=rows, faults=faults
    )
    columns |= {
        "name": np.array(frame.names(), dtype=np.str_),
        "hv_bus": ends[0],
        "lv_bus": ends[1],
        "hv_closed": closed[0],
        "lv_closed": closed[1],
    }
    keep = rows & (ends[0] >= 0) & (ends[1] >= 0) & (closed[0] | closed[1])
    return Transformers(**{name: column[keep] for name, column in columns.items()})


def _ends(
    frame: Frame,
    buses: Buses,
    switches: Switches,
    *,
    kind: str,
    columns: tuple[str, str],
    rows: Bools,
    faults: Faults,
) -> tuple[list[Ints], list[Bools]]:
    """Return bus rows of both ends and whether each end is closed (no open switch, bus in service)."""
    ends, closed = [], []
    for column in columns:
        bus = buses.rows(frame, column, rows=rows, faults=faults)
        numbers = frame.numbers(column, -1)
        opened = np.array(
            [
                (kind, number, int(at)) in switches.open_ends
                for number, at in zip(frame.index, numbers, strict=True)
            ],
            dtype=bool,
        )
        ends.append(bus)
        closed.append(rows & ~opened & (bus >= 0) & buses.in_service[bus])
    same = rows & (ends[0] == ends[1]) & (ends[0] >= 0)
    for row in np.flatnonzero(same).tolist():
        value = frame.values(columns[0])[row]
        faults.add(
            frame.place(row),
            value,
            "starts and ends at the same bus",
            fix="correct its buses or leave it out",
        )
    return ends, closed


def _line_ratings(frame: Frame, parallel: Floats, *, rows: Bools, faults: Faults) -> Floats:
    """Return the current of 100 % loading, ampere; infinite where none is given."""
    limit, factor = frame.numbers("max_i_ka", np.inf), frame.numbers("df", 1.0)
    wrong = rows & ((limit <= 0) | (factor <= 0))
    for row in np.flatnonzero(wrong).tolist():
        value = (float(limit[row]), float(factor[row]))
        fix = "write a current above 0, or leave max_i_ka empty for no limit"
        faults.add(f"{frame.place(row)}, max_i_ka and df", value, "is no current above 0", fix=fix)
    return limit * 1e3 * factor * parallel


def _switch_lines(buses: Buses, switches: Switches) -> dict[str, Any]:
    """Return the closed switches with impedance as rows of the line table."""
    frame, chosen = switches.frame, switches.with_impedance
    count = int(chosen.sum())
    z = frame.numbers("z_ohm", 0.0)[chosen]
    x = z / np.hypot(1.0, _SWITCH_RX_RATIO)
    names = [f"switch {number}" for number, use in zip(frame.index, chosen, strict=True) if use]
    ends = [
        np.array([buses.row[int(n)] for n in frame.numbers(c)[chosen]], dtype=np.int64)
        for c in ("bus", "element")
    ]
    return {
        "name": np.array(names, dtype=np.str_),
        "from_bus": ends[0],
        "to_bus": ends[1],
        "from_closed": np.ones(count, dtype=bool),
        "to_closed": np.ones(count, dtype=bool),
        "r_ohm": x * _SWITCH_RX_RATIO,
        "x_ohm": x,
        "c_farad": np.zeros(count),
        "g_siemens": np.zeros(count),
        "r0_ohm": x * _SWITCH_RX_RATIO,
        "x0_ohm": x,
        "c0_farad": np.zeros(count),
        "rated_a": frame.numbers("in_ka", np.inf)[chosen] * 1e3,
    }
