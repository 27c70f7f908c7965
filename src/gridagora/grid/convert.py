"""A pandapower net becomes a `Network`: switches resolved, scalings applied, every fault named at once.

Only the tables of the net are read; pandapower itself is not imported.  What the power flow cannot represent
(PV generators, DC lines, wards, three-winding transformers ...) is a fault with its fix, not left out.
"""

import json
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np

from gridagora.errors import check_faults
from gridagora.grid.branches import Switches, read_lines, read_switches, read_transformers
from gridagora.grid.frames import Bools, Buses, Faults, Floats, Frame, Ints, positive, unique_names
from gridagora.grid.injections import read_loads, read_shunts, read_sources
from gridagora.grid.topology import components, reached, tree_layout
from gridagora.model.network import (
    NO_LIMIT_A,
    BaseLoads,
    Lines,
    Network,
    Shunts,
    Sources,
    Table,
    Transformers,
)

T = TypeVar("T", bound=Table)

_UNSUPPORTED = {
    "gen": "replace it by an sgen with fixed p_mw and q_mvar, or by an ext_grid if it holds the voltage",
    "trafo3w": "replace it by two-winding transformers that meet in an auxiliary bus",
    "dcline": "replace it by a load and an sgen of its power",
    "ward": "replace it by a load and a shunt",
    "xward": "replace it by a load and a shunt",
    "impedance": "replace it by a line of the same ohms",
    "svc": "replace it by a shunt at its operating point",
    "ssc": "replace it by a shunt at its operating point",
    "tcsc": "replace it by a line of the same ohms",
    "vsc": "replace it by a load or an sgen of its power",
    "b2b_vsc": "replace it by a load and an sgen of its power",
    "line_dc": "leave out the DC part",
    "load_dc": "leave out the DC part",
    "source_dc": "leave out the DC part",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Parts:
    """The tables of a net before its buses are numbered anew; buses are rows of its bus table."""

    buses: Buses
    switches: Switches
    lines: Lines
    transformers: Transformers
    sources: Sources
    shunts: Shunts
    loads: BaseLoads
    frequency_hz: float


def network_from_pandapower(net: Any, *, name: str = "") -> Network:
    """Convert a pandapower net to a `Network`.

    Buses are named by ``bus.name`` where it is unique, else by their number.  Parallel systems are one line,
    transformers a pi equivalent (``trafo_model="pi"``) at their tap position; storages are loads, ``scaling``
    is applied once.  Dead buses without load are left out and noted, branches open at both ends left out.

    Parameters
    ----------
    net : a pandapower net (>= 3, or older with phase-shifter flags)
    name : name of the grid; default: the net's own

    Raises
    ------
    InputError
        With every fault found: elements that cannot be represented, values that are no numbers, unknown
        buses, loads on a bus without supply, no source, two sources that disagree on one node.

    Examples
    --------
    >>> import pandapower.networks
    >>> network_from_pandapower(pandapower.networks.create_cigre_network_mv()).buses[:2]
    ('Bus 0', 'Bus 1')
    """
    title = name or str(net.get("name") or "") or "pandapower net"
    faults = Faults(source=title)
    _check_tables(net, faults)
    parts = _fuse_zero_impedance(_read(net, faults), faults)
    fused = np.array(parts.switches.fused, dtype=np.int64).reshape(-1, 2)
    node = components(len(parts.buses), fused[:, 0], fused[:, 1])
    parts = _drop_loops(parts, node, faults)
    alive = _energised(parts, node)
    _check_supply(parts, alive, faults)
    _check_voltages(parts, node, alive, faults=faults)
    _check_sources(parts, node, faults)
    check_faults(faults.found)
    return _assemble(net, parts, node=node, alive=alive, title=title, faults=faults)


def _check_tables(net: Any, faults: Faults) -> None:
    """Add a fault for each element in service that the power flow cannot represent."""
    for table, fix in _UNSUPPORTED.items():
        frame = Frame(net, table)
        for row in np.flatnonzero(frame.flags("in_service", default=True)).tolist():
            faults.add(frame.place(row), table, "cannot be represented in the power flow", fix=fix)


def _read(net: Any, faults: Faults) -> Parts:
    """Read all tables; a net without buses has nothing to read and ends here."""
    frame = Frame(net, "bus")
    if not len(frame):
        faults.add("bus", 0, "the net has no bus", fix="give a net with buses, lines and an external grid")
        check_faults(faults.found)
    buses = Buses(frame)
    frame.check("vn_kv", buses.kv, positive, faults=faults, rows=buses.in_service, need="a voltage above 0")
    switches = read_switches(net, buses, faults)
    return Parts(
        buses=buses,
        switches=switches,
        lines=read_lines(net, buses, switches, faults=faults),
        transformers=read_transformers(net, buses, switches, faults=faults),
        sources=read_sources(net, buses, faults),
        shunts=read_shunts(net, buses, faults),
        loads=read_loads(net, buses, faults),
        frequency_hz=float(net.get("f_hz") or 50.0),
    )


def _fuse_zero_impedance(parts: Parts, faults: Faults) -> Parts:
    """Treat a line without impedance (length 0) as a closed switch: its buses are one node."""
    lines = parts.lines
    zero = (lines.r_ohm == 0) & (lines.x_ohm == 0)
    if not zero.any():
        return parts
    closed = np.flatnonzero(zero & lines.from_closed & lines.to_closed)
    pairs = tuple((int(lines.from_bus[row]), int(lines.to_bus[row])) for row in closed)
    names = ", ".join(lines.name[zero].tolist())
    faults.notes.append(f"lines without impedance, taken as closed switches: {names}")
    switches = replace(parts.switches, fused=parts.switches.fused + pairs)
    return replace(parts, lines=_rows(lines, ~zero), switches=switches)


def _drop_loops(parts: Parts, node: Ints, faults: Faults) -> Parts:
    """Leave out lines whose ends closed switches join: they carry no current; their charging is a shunt."""
    lines = parts.lines
    loop = (node[lines.from_bus] == node[lines.to_bus]) & lines.from_closed & lines.to_closed
    if not loop.any():
        return parts
    faults.notes.append(f"lines bridged by closed switches, left out: {', '.join(lines.name[loop].tolist())}")
    susceptance = 2 * np.pi * parts.frequency_hz * lines.c_farad
    charging = loop & ((susceptance != 0) | (lines.g_siemens != 0))
    added = {
        "name": np.char.add("charging of ", lines.name[charging]),
        "bus": lines.from_bus[charging],
        "g_siemens": lines.g_siemens[charging],
        "b_siemens": susceptance[charging],
    }
    shunts = {name: np.concatenate([getattr(parts.shunts, name), column]) for name, column in added.items()}
    return replace(parts, lines=_rows(lines, ~loop), shunts=Shunts(**shunts))


def _energised(parts: Parts, node: Ints) -> Bools:
    """Tell which buses are in service and joined to a source by closed branches."""
    lines, transformers = parts.lines, parts.transformers
    line, trafo = lines.from_closed & lines.to_closed, transformers.hv_closed & transformers.lv_closed
    start = np.concatenate([lines.from_bus[line], transformers.hv_bus[trafo]])
    end = np.concatenate([lines.to_bus[line], transformers.lv_bus[trafo]])
    supplied = reached(len(parts.buses), node[start], node[end], sources=node[parts.sources.bus])
    return parts.buses.in_service & supplied[node]


def _check_supply(parts: Parts, alive: Bools, faults: Faults) -> None:
    """Add a fault for each bus with a load but no supply; one for all when there is no source."""
    if not len(parts.sources):
        faults.add(
            "ext_grid",
            0,
            "the net has no source in service",
            fix="add an ext_grid where the feeder is supplied",
        )
        return
    loaded = (parts.loads.p_kw != 0).any(axis=1) | (parts.loads.q_kvar != 0).any(axis=1)
    for bus in np.unique(parts.loads.bus[loaded]).tolist():
        if alive[bus]:
            continue
        names = parts.loads.name[loaded & (parts.loads.bus == bus)].tolist()
        fix = "close a switch or line to it, or set its loads out of service"
        faults.add(parts.buses.place(bus), ", ".join(names), "has a load but no supply", fix=fix)


def _check_voltages(parts: Parts, node: Ints, alive: Bools, *, faults: Faults) -> None:
    """Add a fault where a closed switch or a line joins two nominal voltages."""
    kv, lines = parts.buses.kv, parts.lines
    fix = "correct bus.vn_kv or put a transformer there"
    for start, end in parts.switches.fused:
        if alive[start] and kv[start] != kv[end]:
            place = f"{parts.buses.place(start)} and {parts.buses.place(end)}"
            faults.add(
                place, f"{kv[start]} and {kv[end]} kV", "are joined but differ in nominal voltage", fix=fix
            )
    differ = np.abs(kv[lines.from_bus] - kv[lines.to_bus]) > 1e-9 * kv[lines.to_bus]
    for row in np.flatnonzero(differ & lines.from_closed & lines.to_closed & alive[lines.from_bus]).tolist():
        value = f"{kv[lines.from_bus[row]]} and {kv[lines.to_bus[row]]} kV"
        faults.add(f"line {lines.name[row]}", value, "joins two nominal voltages", fix=fix)


def _check_sources(parts: Parts, node: Ints, faults: Faults) -> None:
    """Add a fault for each source that wants another voltage than the first one on its node."""
    first: dict[int, int] = {}
    sources = parts.sources
    for row, bus in enumerate(sources.bus.tolist()):
        other = first.setdefault(int(node[bus]), row)
        pair = [(float(sources.vm_pu[k]), float(sources.va_degree[k])) for k in (other, row)]
        if pair[0] != pair[1]:
            place = f"ext_grid {sources.name[other]} and {sources.name[row]}"
            faults.add(
                place,
                pair,
                "hold the same node at two voltages",
                fix="keep one, or give both the same voltage",
            )


def _assemble(net: Any, parts: Parts, *, node: Ints, alive: Bools, title: str, faults: Faults) -> Network:
    """Build the value, its buses numbered anew: the live ones in their order."""
    buses, keep = parts.buses, np.flatnonzero(alive)
    column = np.full(len(buses), -1, dtype=np.int64)
    column[keep] = np.arange(len(keep))
    bus_node = np.unique(node[keep], return_inverse=True)[1].astype(np.int64)
    node_kv = np.empty(bus_node.max() + 1)
    node_kv[bus_node] = buses.kv[keep]
    names = [buses.name[row] for row in keep]
    lines = _on_live_ends(parts.lines, column, ("from", "to"))
    transformers = _on_live_ends(parts.transformers, column, ("hv", "lv"))
    sources = _on_live_buses(parts.sources, column)
    edges = (
        np.concatenate([lines.from_bus, transformers.hv_bus]),
        np.concatenate([lines.to_bus, transformers.lv_bus]),
    )
    x, y, origin = _coordinates(net, parts, keep, edges=edges, bus_node=bus_node, roots=sources.bus)
    _note_left_out(parts, alive, lines, faults=faults)
    return Network(
        name=title,
        frequency_hz=parts.frequency_hz,
        buses=tuple(unique_names(names, [buses.number[row] for row in keep], word="bus")),
        bus_number=np.array(buses.number, dtype=np.int64)[keep],
        bus_node=bus_node,
        bus_x=x,
        bus_y=y,
        coordinates=origin,
        node_kv=node_kv,
        lines=lines,
        transformers=transformers,
        shunts=_on_live_buses(parts.shunts, column),
        sources=sources,
        loads=_on_live_buses(parts.loads, column),
        notes=tuple(faults.notes),
    )


def _note_left_out(parts: Parts, alive: Bools, lines: Lines, *, faults: Faults) -> None:
    dead = [parts.buses.place(row) for row in np.flatnonzero(~alive).tolist()]
    if dead:
        faults.notes.append(f"buses out of service or without supply and load, left out: {', '.join(dead)}")
    unlimited = int(np.count_nonzero(lines.rated_a >= NO_LIMIT_A))
    if unlimited:
        faults.notes.append(f"lines without a current limit in the data: {unlimited} of {len(lines)}")


def _rows(table: T, chosen: Bools | Ints) -> T:
    """Return some rows of a table."""
    return replace(table, **{column.name: getattr(table, column.name)[chosen] for column in fields(table)})


def _on_live_buses(table: T, column: Ints) -> T:
    """Keep the rows at live buses and number their buses anew."""
    bus = column[table.bus]  # type: ignore[attr-defined]
    return _rows(replace(table, bus=bus), bus >= 0)  # type: ignore[call-arg]


def _on_live_ends(table: T, column: Ints, ends: tuple[str, str]) -> T:
    """Keep branches with a closed end at a live bus; an end at a dead bus is open and has no bus."""
    changes: dict[str, Any] = {}
    live = np.zeros(len(table), dtype=bool)
    for end in ends:
        bus = column[getattr(table, f"{end}_bus")]
        closed = getattr(table, f"{end}_closed") & (bus >= 0)
        changes |= {f"{end}_bus": bus, f"{end}_closed": closed}
        live |= closed
    return _rows(replace(table, **changes), live)


def _coordinates(
    net: Any, parts: Parts, keep: Ints, *, edges: tuple[Ints, Ints], bus_node: Ints, roots: Ints
) -> tuple[Floats, Floats, str]:
    """Return coordinates of the live buses: the data's where each has some, else a tree below the sources."""
    buses = parts.buses
    place = {number: _point(text) for number, text in zip(buses.number, buses.geo, strict=True)}
    table = Frame(net, "bus_geodata")
    place |= dict(zip(table.index, zip(table.numbers("x"), table.numbers("y"), strict=True), strict=True))
    known = np.array([place[buses.number[row]] for row in keep], dtype=np.float64)
    if np.isfinite(known).all():
        return known[:, 0].copy(), known[:, 1].copy(), "data"
    start, end = edges
    both = (start >= 0) & (end >= 0)
    nodes = int(bus_node.max()) + 1
    x, y = tree_layout(nodes, bus_node[start[both]], bus_node[end[both]], roots=bus_node[roots])
    return x[bus_node], y[bus_node], "layout"


def _point(text: Any) -> tuple[float, float]:
    """Return x and y of a GeoJSON point, NaN where there is none."""
    try:
        x, y = (json.loads(text) if isinstance(text, str) else text)["coordinates"][:2]
        return float(x), float(y)
    except (TypeError, ValueError, KeyError):
        return np.nan, np.nan
