"""A feeder: a network with what its data say is connected to it, read once and kept in the cache.

Reading a SimBench code or a pandapower file takes seconds; the arrays of a feeder load in milliseconds and
need neither package.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.adapters.cache import Arrays
from gridagora.adapters.nets import converted, find_net
from gridagora.errors import Fault, InputError
from gridagora.grid.convert import network_from_pandapower
from gridagora.grid.frames import Frame
from gridagora.model.network import Network
from gridagora.scenario.district import GridAssets, LoadPoint, Unit

MOTOR_PROFILE = "G3-A"
"""SimBench's industrial profile, which motors follow: a net states their working point alone."""

EUROPEAN_HOME_KW = 4.0
"""Nominal power of a home of the European LV feeder, whose own data are a snapshot of one minute."""

EUROPEAN_POWER_FACTOR = 0.95
"""Power factor of that feeder's loads, as published."""

Row = dict[str, Any]
_POWERS = (("p", "mw"), ("q", "mvar"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Feeder:
    """A network and the loads, generators and storages that its data connect to it."""

    network: Network
    assets: GridAssets


def read_feeder(grid: str, *, source: str = "scenario") -> Feeder:
    """Read a feeder by name.

    The homes of ``european-lv`` have a nominal power of `EUROPEAN_HOME_KW` each, which profiles multiply; the
    snapshot of one minute that its data hold is what `gridagora.adapters.grids.Grid` takes.

    Parameters
    ----------
    grid : SimBench code, name of a test grid, or path of a pandapower JSON or Excel file (`find_net`)
    source : what to name in faults

    Raises
    ------
    InputError
        When there is no such grid or its file cannot be read.
    """
    net = find_net(grid, source=source)
    if net.key == ("test-grid", "european-lv"):
        build = net.build
        net = replace(net, build=lambda: _with_home_sizes(build()))
    return _from_arrays(converted("feeder", net, _to_arrays))


def feeder_from_pandapower(net: Any, *, name: str = "") -> Feeder:
    """Return the feeder of a pandapower net in memory; ``name`` is that of the network, default the net's.

    Raises
    ------
    InputError
        When it is no pandapower net, or with every fault of the net.
    """
    import pandapower

    if not isinstance(net, pandapower.pandapowerNet):
        fix = "give what pandapower.create_empty_network() or pandapower.from_json(path) returns"
        value = type(net).__name__
        raise InputError(
            [Fault(source="net", place="type", value=value, reason="is no pandapower net", fix=fix)]
        )
    return _from_arrays(_to_arrays(net, name))


def name_of_net(net: Any) -> str:
    """Return the name of a pandapower net in memory; what is no net or has no name is just called so."""
    return str(getattr(net, "name", None) or "") or "pandapower net"


def _with_home_sizes(net: Any) -> Any:
    """Give every connected phase of the European LV feeder the nominal power of a home."""
    for phase in "abc":
        connected = net.asymmetric_load[f"p_{phase}_mw"] > 0
        power = np.where(connected, EUROPEAN_HOME_KW / 1e3, 0.0)
        net.asymmetric_load[f"p_{phase}_mw"] = power
        net.asymmetric_load[f"q_{phase}_mvar"] = power * np.tan(np.arccos(EUROPEAN_POWER_FACTOR))
    return net


def _to_arrays(net: Any, name: str) -> Arrays:
    """Return network and connected elements of a pandapower net as plain arrays."""
    network = network_from_pandapower(net, name=name)
    arrays: Arrays = {f"network/{part}": array for part, array in network.to_arrays().items()}
    reader = _Connected(net, network)
    tables = {
        "loads": [*reader.loads(), *reader.phase_loads(), *reader.motors()],
        "generators": [*reader.units("sgen"), *reader.phase_generators()],
        "storages": reader.units("storage"),
    }
    for table, rows in tables.items():
        for column in ("name", "bus", "kw", "kvar", "profile", "phase", "vn_kv", "kwh"):
            kind = np.str_ if column in ("name", "bus", "profile") else np.float64
            arrays[f"{table}/{column}"] = np.array([row.get(column, 0) for row in rows], dtype=kind)
    return arrays


class _Connected:
    """Reads what is connected to the buses of a network; no two things get the same name."""

    def __init__(self, net: Any, network: Network) -> None:
        self._net = net
        kv = network.node_kv[network.bus_node].tolist()
        numbers = network.bus_number.tolist()
        self._place = dict(zip(numbers, zip(network.buses, kv, strict=True), strict=True))
        self._taken: set[str] = set()

    def loads(self) -> list[Row]:
        """Return three-phase loads."""
        return [
            self._load(head, kw=value["p_mw"], kvar=value["q_mvar"])
            for head, value in self._rows("load", ("p_mw", "q_mvar"))
        ]

    def phase_loads(self) -> list[Row]:
        """Return one load per connected phase of the asymmetric loads."""
        found = []
        columns = tuple(f"{power}_{phase}_{unit}" for power, unit in _POWERS for phase in "abc")
        for head, value in self._rows("asymmetric_load", columns):
            phases = [phase for phase in "abc" if value[f"p_{phase}_mw"]]
            for phase in phases:
                number = "abc".index(phase) + 1
                name = head["name"] if len(phases) == 1 else f"{head['name']} phase {number}"
                row = self._load(head, kw=value[f"p_{phase}_mw"], kvar=value[f"q_{phase}_mvar"])
                found.append(row | {"name": name, "phase": number})
        return found

    def motors(self) -> list[Row]:
        """Return motors at their working point as industrial loads."""
        found = []
        for head, value in self._rows("motor", ("pn_mech_mw", "efficiency_percent", "cos_phi")):
            kw = value["pn_mech_mw"] / (value["efficiency_percent"] / 100)
            kw *= value["loading_percent"] / 100
            row = self._load(head, kw=kw, kvar=kw * float(np.tan(np.arccos(value["cos_phi"]))))
            found.append(row | {"profile": MOTOR_PROFILE})
        return found

    def units(self, table: str) -> list[Row]:
        """Return generators or storages: nominal power without sign, and energy."""
        return [
            head | {"kw": abs(value["p_mw"]) * head["scale"], "kwh": 1e3 * value["max_e_mwh"]}
            for head, value in self._rows(table, ("p_mw", "max_e_mwh"))
        ]

    def phase_generators(self) -> list[Row]:
        """Return generators given per phase, all their phases together."""
        columns = tuple(f"p_{phase}_mw" for phase in "abc")
        return [
            head | {"kw": abs(sum(value[name] for name in columns)) * head["scale"]}
            for head, value in self._rows("asymmetric_sgen", columns)
        ]

    @staticmethod
    def _load(head: Row, *, kw: float, kvar: float) -> Row:
        return head | {"kw": head["scale"] * kw, "kvar": head["scale"] * kvar}

    def _rows(self, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Row, dict[str, float]]]:
        """Return name, place and scale of each row in service at a live bus, and its values of columns."""
        frame = Frame(self._net, table)
        names, profiles = frame.texts("name"), frame.texts("profile")
        bus, scaling = frame.numbers("bus", -1), frame.numbers("scaling", 1.0)
        values = {name: frame.numbers(name, 0.0) for name in columns}
        values["loading_percent"] = frame.numbers("loading_percent", 100.0)
        for row in np.flatnonzero(frame.flags("in_service", default=True)).tolist():
            if int(bus[row]) not in self._place:
                continue  # a bus without supply, where nothing but loads of zero can be
            place, kv = self._place[int(bus[row])]
            name = names[row] or f"{table} {frame.index[row]}"
            while name in self._taken:
                name = f"{name} ({frame.index[row]})"
            self._taken.add(name)
            head = {"name": name, "bus": place, "vn_kv": kv, "profile": profiles[row]}
            yield head | {"scale": 1e3 * scaling[row]}, {c: float(values[c][row]) for c in values}


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
