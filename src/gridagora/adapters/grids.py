"""Grids by name: SimBench codes, pandapower nets, files; converted once and kept in the cache on disk."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Self

from gridagora.adapters.cache import Arrays, cached_arrays, versioned_key
from gridagora.errors import Fault, InputError
from gridagora.grid import branches, convert, frames, injections, topology, transformers
from gridagora.grid.convert import network_from_pandapower
from gridagora.grid.model import GridModel
from gridagora.model import network
from gridagora.model.network import Network


class Grid(GridModel):
    """A distribution grid from SimBench, pandapower or a file.

    Examples
    --------
    >>> grid = Grid.by_name("ieee33")
    >>> flow = grid.power_flow(*grid.base_import())
    >>> round(float(flow.losses_kw[0]), 1), round(float(flow.vm_pu.min()), 4)
    (202.7, 0.9131)
    """

    @classmethod
    def from_network(cls, value: Network) -> Self:
        """Return the grid of a `Network`."""
        return cls(value)

    @classmethod
    def from_pandapower(cls, net: Any, *, name: str = "") -> Self:
        """Return the grid of a pandapower net; see `gridagora.grid.convert.network_from_pandapower`.

        Raises
        ------
        InputError
            With every element and value of the net that cannot be used.
        """
        return cls(network_from_pandapower(net, name=name))

    @classmethod
    def from_simbench(cls, code: str) -> Self:
        """Return the grid of a SimBench code, e.g. ``"1-LV-rural1--2-sw"``; read once, then from the cache.

        Raises
        ------
        InputError
            When SimBench has no such code.
        """

        def build() -> Arrays:
            import simbench

            _check_code(code, simbench.collect_all_simbench_codes())
            return network_from_pandapower(simbench.get_simbench_net(code), name=code).to_arrays()

        return cls(_cached("simbench", code, build=build, packages=("pandapower", "simbench")))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Return the grid of a pandapower file: JSON (``.json``) or Excel (``.xlsx``).

        Raises
        ------
        InputError
            When the file is missing, is no pandapower file, or its net cannot be used.
        """
        file = Path(path)
        if not file.is_file():
            raise InputError(
                [_fault(str(file), file.name, "there is no such file", fix="give a path that exists")]
            )
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return cls(
            _cached(
                "file",
                file.name,
                digest,
                build=lambda: network_from_pandapower(_read(file), name=file.stem).to_arrays(),
            )
        )

    @classmethod
    def by_name(cls, name: str) -> Self:
        """Return a grid by a name of `names` or by a SimBench code.

        Raises
        ------
        InputError
            When there is no such grid.
        """
        builder = _NAMED.get(name)
        if builder is None:
            if name[:1].isdigit() and "-" in name:
                return cls.from_simbench(name)
            known = ", ".join(sorted(_NAMED))
            raise InputError([_fault("grid", name, "is not known", fix=f"use {known}, or a SimBench code")])
        return cls(
            _cached("named", name, build=lambda: network_from_pandapower(builder(), name=name).to_arrays())
        )

    @staticmethod
    def names() -> tuple[str, ...]:
        """Return the names that `by_name` knows beside SimBench codes."""
        return tuple(sorted(_NAMED))


def _cached(*parts: str, build: Callable[[], Arrays], packages: tuple[str, ...] = ("pandapower",)) -> Network:
    key = versioned_key("grid", _converter_digest(), *parts, packages=packages)
    return Network.from_arrays(cached_arrays(key, build))


@cache
def _converter_digest() -> str:
    """Return a digest of the code that converts, so that a changed converter reads no older cache entry."""
    modules = (branches, convert, frames, injections, topology, transformers, network)
    sources = b"".join(Path(str(module.__file__)).read_bytes() for module in modules)
    return hashlib.sha256(sources).hexdigest()[:12]


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="grid", place=place, value=value, reason=reason, fix=fix)


def _check_code(code: str, known: list[str]) -> None:
    if code not in known:
        from difflib import get_close_matches

        near = ", ".join(get_close_matches(code, known, n=3)) or "1-LV-rural1--2-sw"
        raise InputError([_fault("SimBench code", code, "is not known", fix=f"use e.g. {near}")])


def _read(file: Path) -> Any:
    """Read a pandapower file of either kind."""
    import pandapower

    readers = {".json": pandapower.from_json, ".xlsx": pandapower.from_excel}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise InputError(
            [_fault(str(file), file.suffix, "is no pandapower file", fix="give a .json or .xlsx file")]
        )
    try:
        return reader(str(file))
    except Exception as error:
        # pandapower lets whatever it stumbles over through; to the user each means the same.
        fix = "write it with pandapower.to_json or pandapower.to_excel"
        raise InputError(
            [_fault(str(file), type(error).__name__, f"cannot be read: {error}", fix=fix)]
        ) from error


def _cigre_lv() -> Any:
    import pandapower.networks

    return pandapower.networks.create_cigre_network_lv()


def _cigre_mv() -> Any:
    import pandapower.networks

    return pandapower.networks.create_cigre_network_mv()


def _ieee33() -> Any:
    import pandapower.networks

    return pandapower.networks.case33bw()


def _european_lv() -> Any:
    """Return the IEEE European LV feeder with the reactive power of phases b and c as published.

    pandapower's copy holds them 1000 times too small (issue 2218 of its repository).
    """
    import pandapower.networks

    net = pandapower.networks.ieee_european_lv_asymmetric()
    reactive = ["q_b_mvar", "q_c_mvar"]
    if net.asymmetric_load[reactive].to_numpy().max() < 1e-5:
        net.asymmetric_load[reactive] *= 1e3
    return net


_NAMED: dict[str, Callable[[], Any]] = {
    "cigre-lv": _cigre_lv,
    "cigre-mv": _cigre_mv,
    "european-lv": _european_lv,
    "ieee33": _ieee33,
}
