"""Sources, shunts and loads of a pandapower net, with buses as rows of its bus table."""

from typing import Any

import numpy as np

from gridagora.grid.frames import Bools, Buses, Faults, Floats, Frame, any_number, positive
from gridagora.model.network import BaseLoads, Shunts, Sources

_KW_PER_MW = 1e3


def read_sources(net: Any, buses: Buses, faults: Faults) -> Sources:
    """Read the external grids in service at buses in service."""
    frame = Frame(net, "ext_grid")
    rows, bus = buses.at_service(frame, faults)
    vm = frame.numbers("vm_pu", 1.0)
    frame.check("vm_pu", vm, positive, faults=faults, rows=rows, need="a voltage above 0")
    return Sources(
        name=np.array(frame.names(), dtype=np.str_)[rows],
        bus=bus[rows],
        vm_pu=vm[rows],
        va_degree=frame.numbers("va_degree", 0.0)[rows],
    )


def read_shunts(net: Any, buses: Buses, faults: Faults) -> Shunts:
    """Read the shunts in service: admittance = (p - jq) x step / vn_kv^2."""
    frame = Frame(net, "shunt")
    rows, bus = buses.at_service(frame, faults)
    for row in np.flatnonzero(rows & frame.flags("step_dependency_table", default=False)).tolist():
        fix = "write the values of its step to p_mw and q_mvar and clear step_dependency_table"
        faults.add(frame.place(row), frame.values("step")[row], "takes its power from a table", fix=fix)
    p, q = frame.numbers("p_mw", 0.0), frame.numbers("q_mvar")
    frame.check("q_mvar", q, any_number, faults=faults, rows=rows, need="a number")
    kv = frame.numbers("vn_kv")
    kv = np.where(np.isnan(kv), buses.kv[bus], kv)
    frame.check("vn_kv", kv, positive, faults=faults, rows=rows, need="a voltage above 0")
    per_square = frame.numbers("step", 1.0) / np.where(kv > 0, kv, np.nan) ** 2
    return Shunts(
        name=np.array(frame.names(), dtype=np.str_)[rows],
        bus=bus[rows],
        g_siemens=(p * per_square)[rows],
        b_siemens=(-q * per_square)[rows],
    )


def read_loads(net: Any, buses: Buses, faults: Faults) -> BaseLoads:
    """Read loads, generators, storages and motors in service, + consumption, scaling applied once."""
    tables = [
        _three_phase(net, buses, faults, table="load", sign=1.0),
        _three_phase(net, buses, faults, table="sgen", sign=-1.0),
        _three_phase(net, buses, faults, table="storage", sign=1.0),
        _motors(net, buses, faults),
        _per_phase(net, buses, faults, table="asymmetric_load", sign=1.0),
        _per_phase(net, buses, faults, table="asymmetric_sgen", sign=-1.0),
    ]
    return BaseLoads(**{name: np.concatenate([table[name] for table in tables]) for name in tables[0]})


def _three_phase(net: Any, buses: Buses, faults: Faults, *, table: str, sign: float) -> dict[str, Any]:
    """Read a table of balanced loads with optional shares of constant impedance and current."""
    frame = Frame(net, table)
    rows, bus = buses.at_service(frame, faults)
    scale = sign * frame.numbers("scaling", 1.0) * _KW_PER_MW / 3
    p, q = frame.numbers("p_mw"), frame.numbers("q_mvar", 0.0)
    frame.check("p_mw", p, any_number, faults=faults, rows=rows, need="a number")
    columns = _columns(
        frame, bus, p_kw=np.repeat((p * scale)[:, None], 3, 1), q_kvar=np.repeat((q * scale)[:, None], 3, 1)
    )
    for kind in "zi":
        for power in "pq":
            # Nets older than pandapower 3 have one share for P and Q.
            both = frame.numbers(f"const_{kind}_percent", 0.0)
            share = frame.numbers(f"const_{kind}_{power}_percent")
            columns[f"{kind}_share_{power}"] = np.where(np.isnan(share), both, share) / 100
    for power in "pq":
        total = columns[f"z_share_{power}"] + columns[f"i_share_{power}"]
        place = f"const_z_{power}_percent"
        frame.check(
            place, total, _share, faults=faults, rows=rows, need="with const_i a share from 0 to 100 %"
        )
    return {name: column[rows] for name, column in columns.items()}


def _per_phase(net: Any, buses: Buses, faults: Faults, *, table: str, sign: float) -> dict[str, Any]:
    """Read a table of loads given per phase."""
    frame = Frame(net, table)
    rows, bus = buses.at_service(frame, faults)
    scale = (sign * frame.numbers("scaling", 1.0) * _KW_PER_MW)[:, None]
    power = {}
    for quantity, unit in (("p", "mw"), ("q", "mvar")):
        names = [f"{quantity}_{phase}_{unit}" for phase in "abc"]
        for name in names:
            frame.check(name, frame.numbers(name), any_number, faults=faults, rows=rows, need="a number")
        power[quantity] = np.stack([frame.numbers(name) for name in names], axis=1) * scale
    columns = _columns(frame, bus, p_kw=power["p"], q_kvar=power["q"])
    return {name: column[rows] for name, column in columns.items()}


def _motors(net: Any, buses: Buses, faults: Faults) -> dict[str, Any]:
    """Read motors at their working point: p = pn_mech / efficiency x loading, q by power factor."""
    frame = Frame(net, "motor")
    rows, bus = buses.at_service(frame, faults)
    efficiency, factor = frame.numbers("efficiency_percent"), frame.numbers("cos_phi")
    for column, values in (("efficiency_percent", efficiency), ("cos_phi", factor)):
        frame.check(column, values, positive, faults=faults, rows=rows, need="a number above 0")
    load = frame.numbers("loading_percent", 100.0) / 100 * frame.numbers("scaling", 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = frame.numbers("pn_mech_mw") / (efficiency / 100) * load * _KW_PER_MW / 3
        q = p * np.sqrt(np.maximum(1 / factor**2 - 1, 0.0))
    frame.check("pn_mech_mw", p, any_number, faults=faults, rows=rows, need="a number")
    columns = _columns(frame, bus, p_kw=np.repeat(p[:, None], 3, 1), q_kvar=np.repeat(q[:, None], 3, 1))
    return {name: column[rows] for name, column in columns.items()}


def _columns(frame: Frame, bus: Any, *, p_kw: Floats, q_kvar: Floats) -> dict[str, Any]:
    """Return constant-power rows."""
    count = len(frame)
    return {
        "name": np.array(frame.names(), dtype=np.str_),
        "kind": np.full(count, frame.table, dtype="<U16"),
        "bus": bus,
        "p_kw": p_kw,
        "q_kvar": q_kvar,
        **{f"{kind}_share_{power}": np.zeros(count) for kind in "zi" for power in "pq"},
        "phase_to_phase": np.array([text == "delta" for text in frame.texts("type")], dtype=bool),
    }


def _share(values: Floats) -> Bools:
    return np.asarray((values >= 0) & (values <= 1 + 1e-9))
