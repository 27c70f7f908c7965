"""A feeder: a network with what its data say is connected to it, read once and kept in the cache.

Reading a SimBench code or a pandapower file takes seconds; the arrays of a feeder load in milliseconds and
need neither package.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.adapters.cache import cached_arrays, versioned_key
from gridagora.errors import Fault, InputError
from gridagora.model.network import Network
from gridagora.scenario.district import GridAssets, LoadPoint, Unit
from gridagora.scenario.suggest import near
from gridagora.scenario.values import GRID_FILE_ENDINGS

Arrays = dict[str, NDArray[Any]]

TEST_GRIDS = ("cigre-lv", "cigre-mv", "european-lv", "ieee33")
EUROPEAN_HOME_KW = 4.0
"""Nominal power of a home of the European LV feeder, whose own data are a snapshot of one minute."""

_ALIASES = {"ieee-european-lv": "european-lv", "ieee-33": "ieee33", "case33bw": "ieee33"}
_FEEDER_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Feeder:
    """A network and the loads, generators and storages that its data connect to it."""

    network: Network
    assets: GridAssets


def read_feeder(grid: str, *, source: str = "scenario") -> Feeder:
    """Read a feeder by name.

    Parameters
    ----------
    grid : SimBench code, name of a test grid (`TEST_GRIDS`), or path of a pandapower JSON or Excel file
    source : what to name in faults

    Raises
    ------
    InputError
        When there is no such grid or its file cannot be read.
    """
    name = _ALIASES.get(grid.lower(), grid)
    if name.lower() in TEST_GRIDS:
        return _cached("test-grid", name.lower(), build=lambda: _test_grid(name.lower()))
    if name.lower().endswith(GRID_FILE_ENDINGS):
        return _from_file(Path(name), source)
    return _cached("simbench", name, build=lambda: _simbench_grid(name, source))


def feeder_from_pandapower(net: Any, *, name: str = "") -> Feeder:
    """Return the feeder of a pandapower net in memory."""
    return _from_arrays(_to_arrays(net, name))


def _cached(*parts: str, build: Callable[[], Any]) -> Feeder:
    """Return a feeder from the cache, or build its net and keep its arrays."""
    key = versioned_key("feeder", *parts, _FEEDER_VERSION, packages=["pandapower", "simbench", "gridagora"])
    return _from_arrays(cached_arrays(key, lambda: _to_arrays(build(), parts[1])))


def _from_file(path: Path, source: str) -> Feeder:
    """Read a pandapower file; its content is the key of the cache."""
    if not path.is_file():
        fix = "write the path of a pandapower JSON or Excel file, relative to the scenario file"
        raise InputError([_fault(source, str(path), "there is no such file", fix=fix)])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return _cached("file", path.suffix.lower(), digest, build=lambda: _read_net(path, source))


def _read_net(path: Path, source: str) -> Any:
    """Read a pandapower net out of a file."""
    import pandapower

    try:
        net = pandapower.from_json(path) if path.suffix.lower() == ".json" else pandapower.from_excel(path)
    except Exception as error:
        fix = "write it with pandapower.to_json(net, path) or pandapower.to_excel(net, path)"
        reason = f"cannot be read as a pandapower net ({type(error).__name__}: {str(error)[:120]})"
        raise InputError([_fault(source, str(path), reason, fix=fix)]) from error
    if not isinstance(net, pandapower.pandapowerNet):
        fix = "write it with pandapower.to_json(net, path)"
        raise InputError([_fault(source, str(path), "does not hold a pandapower net", fix=fix)])
    return net


def _simbench_grid(code: str, source: str) -> Any:
    """Read a SimBench grid; an unknown code names near ones."""
    codes = _simbench_codes()
    if code not in codes:
        known = [*TEST_GRIDS, *codes]
        fix = (
            near(code, known)
            or f"use a SimBench code such as 1-LV-rural2--0-sw, a file, or {', '.join(TEST_GRIDS)}"
        )
        raise InputError(
            [_fault(source, code, "is neither a SimBench code, nor a test grid, nor a file", fix=fix)]
        )
    import simbench

    return simbench.get_simbench_net(code)


def _simbench_codes() -> list[str]:
    """Return all SimBench codes; kept, because importing SimBench to refuse a typo takes seconds."""

    def build() -> Arrays:
        import simbench

        return {"codes": np.array(simbench.collect_all_simbench_codes(), dtype=np.str_)}

    return list(
        map(
            str,
            cached_arrays(versioned_key("simbench-codes", packages=["simbench"]), build)["codes"].tolist(),
        )
    )


def _test_grid(name: str) -> Any:
    """Build a test grid of pandapower."""
    import pandapower.networks as networks

    if name == "cigre-lv":
        return networks.create_cigre_network_lv()
    if name == "cigre-mv":
        return networks.create_cigre_network_mv(with_der=False)
    if name == "ieee33":
        return networks.case33bw()
    net = networks.ieee_european_lv_asymmetric("on_peak_566")
    for phase in "abc":
        connected = net.asymmetric_load[f"p_{phase}_mw"] > 0
        power = np.where(connected, EUROPEAN_HOME_KW / 1e3, 0.0)
        net.asymmetric_load[f"p_{phase}_mw"] = power
        net.asymmetric_load[f"q_{phase}_mvar"] = power * np.tan(np.arccos(0.95))
    return net


def _to_arrays(net: Any, name: str) -> Arrays:
    """Return network and connected elements of a pandapower net as plain arrays."""
    from gridagora.grid.convert import network_from_pandapower

    network = network_from_pandapower(net, name=name)
    arrays: Arrays = {f"network/{name}": array for name, array in network.to_arrays().items()}
    bus_of = network.bus_of_number()
    tables = {"loads": _load_rows(net, bus_of), "generators": [], "storages": []}
    tables["generators"] = [_unit_row(row, bus_of) for row in _rows(net, "sgen")]
    tables["storages"] = [_unit_row(row, bus_of) for row in _rows(net, "storage")]
    for table, rows in tables.items():
        columns = ("name", "bus", "kw", "kvar", "profile", "phase", "vn_kv", "kwh")
        for column in columns:
            kind = np.str_ if column in ("name", "bus", "profile") else np.float64
            arrays[f"{table}/{column}"] = np.array([row.get(column, 0) for row in rows], dtype=kind)
    return arrays


def _rows(net: Any, table: str) -> list[dict[str, Any]]:
    """Return the rows in service of a table of the net, each with a unique name and its index."""
    if table not in net or not len(net[table]):
        return []
    frame = net[table]
    frame = frame[
        frame["in_service"].astype(bool) & net.bus["in_service"].reindex(frame["bus"]).to_numpy(bool)
    ]
    rows = [
        dict(zip(frame.columns, values, strict=True)) for values in frame.itertuples(index=False, name=None)
    ]
    taken: set[str] = set()
    for index, row in zip(frame.index, rows, strict=True):
        name = _text(row.get("name")) or f"{table} {index}"
        row["name"] = f"{name} ({index})" if name in taken else name
        taken.add(row["name"])
        row["kv"] = float(net.bus.at[row["bus"], "vn_kv"])
    return rows


def _load_rows(net: Any, bus_of: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return the loads: three-phase ones, and one-phase ones with their phase."""
    found = []
    for row in _rows(net, "load"):
        scale = 1e3 * float(row.get("scaling", 1.0))
        found.append(
            {
                "name": row["name"],
                "bus": bus_of[int(row["bus"])],
                "kw": scale * float(row["p_mw"]),
                "kvar": scale * float(row["q_mvar"]),
                "profile": _text(row.get("profile")),
                "vn_kv": row["kv"],
            }
        )
    for row in _rows(net, "asymmetric_load"):
        found += _phase_rows(row, bus_of)
    return found


def _phase_rows(row: Mapping[str, Any], bus_of: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return one load per connected phase of an asymmetric load."""
    scale = 1e3 * float(row.get("scaling", 1.0))
    powers = {number: float(row[f"p_{letter}_mw"]) for number, letter in enumerate("abc", start=1)}
    connected = [phase for phase, power in powers.items() if power]
    found = []
    for phase in connected:
        letter = "abc"[phase - 1]
        found.append(
            {
                "name": row["name"] if len(connected) == 1 else f"{row['name']} phase {phase}",
                "bus": bus_of[int(row["bus"])],
                "kw": scale * powers[phase],
                "kvar": scale * float(row[f"q_{letter}_mvar"]),
                "profile": _text(row.get("profile")),
                "phase": phase,
                "vn_kv": row["kv"],
            }
        )
    return found


def _unit_row(row: Mapping[str, Any], bus_of: Mapping[int, str]) -> dict[str, Any]:
    """Return a generator or storage: nominal power without sign, and energy."""
    power = abs(float(row["p_mw"])) * 1e3 * float(row.get("scaling", 1.0))
    energy = row.get("max_e_mwh", 0.0)
    return {
        "name": row["name"],
        "bus": bus_of[int(row["bus"])],
        "kw": power,
        "profile": _text(row.get("profile")),
        "kwh": 0.0 if energy is None or np.isnan(energy) else float(energy) * 1e3,
    }


def _text(value: Any) -> str:
    """Return a cell as text; missing is empty."""
    return "" if value is None or value != value or str(value) in ("None", "<NA>") else str(value)


def _from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Feeder:
    """Return the feeder that `_to_arrays` took apart."""
    part = {
        name.removeprefix("network/"): array for name, array in arrays.items() if name.startswith("network/")
    }
    loads = tuple(
        LoadPoint(name=name, bus=bus, kw=kw, kvar=kvar, profile=profile, phase=int(phase) or None, vn_kv=kv)
        for name, bus, kw, kvar, profile, phase, kv in _columns(
            arrays, "loads", "name", "bus", "kw", "kvar", "profile", "phase", "vn_kv"
        )
    )
    units = {
        table: tuple(
            Unit(name=name, bus=bus, kw=kw, profile=profile, kwh=kwh)
            for name, bus, kw, profile, kwh in _columns(arrays, table, "name", "bus", "kw", "profile", "kwh")
        )
        for table in ("generators", "storages")
    }
    assets = GridAssets(loads=loads, generators=units["generators"], storages=units["storages"])
    return Feeder(network=Network.from_arrays(part), assets=assets)


def _columns(arrays: Mapping[str, NDArray[Any]], table: str, *names: str) -> Iterator[tuple[Any, ...]]:
    """Return the rows of some columns of a table."""
    return zip(*(arrays[f"{table}/{name}"].tolist() for name in names), strict=True)


def _fault(source: str, value: str, reason: str, *, fix: str) -> Fault:
    return Fault(source=source, place="grid", value=value, reason=reason, fix=fix)
