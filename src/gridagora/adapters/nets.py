"""Where grids come from: a name becomes a key of the cache and a builder of its pandapower net.

SimBench codes, the test grids of pandapower and pandapower's files are read here alone, with one set of
faults.  Reading takes seconds; nothing heavy is imported before a net is built, so that a start which finds
its arrays in the cache needs neither pandapower nor SimBench.
"""

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from gridagora.adapters import simbench_grids
from gridagora.adapters.cache import Arrays, cached_arrays, versioned_key
from gridagora.adapters.simbench_grids import JOINT, read_joint_grid
from gridagora.errors import Fault, InputError
from gridagora.grid import branches, convert, frames, injections, topology, transformers
from gridagora.model import network
from gridagora.scenario.suggest import near

NET_FILE_ENDINGS = (".json", ".xlsx")

_ALIASES = {"ieee-european-lv": "european-lv", "ieee-33": "ieee33", "case33bw": "ieee33"}
_SOME_CODE = "1-LV-rural2--0-sw"


@dataclass(frozen=True, kw_only=True, slots=True)
class NetSource:
    """Where a net comes from.

    Parameters
    ----------
    title : names the network that is made of it
    key : tells its content apart in the cache
    packages : packages whose version its content depends on
    build : reads the pandapower net, new at each call; raises `InputError` when it cannot be read
    """

    title: str
    key: tuple[str, ...]
    packages: tuple[str, ...]
    build: Callable[[], Any]


def find_net(name: str, *, source: str = "grid") -> NetSource:
    """Say where a grid of this name comes from.

    Parameters
    ----------
    name : test grid (`TEST_NETS`), SimBench code, code of several lower grids
        (`gridagora.adapters.simbench_grids`), or path of a pandapower JSON or Excel file
    source : what to name in faults

    Raises
    ------
    InputError
        When it is a file that is missing or no pandapower file; other faults come from ``build``.

    Examples
    --------
    >>> find_net("case33bw").title
    'ieee33'
    """
    short = _ALIASES.get(name.lower(), name.lower())
    if short in TEST_NETS:
        return NetSource(
            title=short, key=("test-grid", short), packages=("pandapower",), build=lambda: TEST_NETS[short]()
        )
    path = Path(name)
    if path.suffix.lower() in (*NET_FILE_ENDINGS, ".xls") or path.name != name or path.is_file():
        return net_file(path, source=source)
    return simbench_net(name, source=source, others=tuple(TEST_NETS))


def simbench_net(code: str, *, source: str = "grid", others: tuple[str, ...] = ()) -> NetSource:
    """Say where the grid of a SimBench code comes from; ``others`` are names to suggest beside codes."""
    build = partial(_simbench, code, source, others)
    return NetSource(title=code, key=("simbench", code), packages=("pandapower", "simbench"), build=build)


def net_file(path: Path, *, source: str = "grid") -> NetSource:
    """Say where the grid of a pandapower file comes from; its content is the key of the cache.

    Raises
    ------
    InputError
        When the file is missing or neither JSON nor Excel.
    """
    if path.suffix.lower() not in NET_FILE_ENDINGS:
        raise InputError([_fault(source, str(path), "is no pandapower file", fix=_FILE_FIX)])
    if not path.is_file():
        fix = "write the path of a pandapower JSON or Excel file; in a scenario, relative to its file"
        raise InputError([_fault(source, str(path), "there is no such file", fix=fix)])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return NetSource(
        title=path.stem,
        key=("file", path.name, digest),
        packages=("pandapower",),
        build=partial(_read, path, source),
    )


def converted(kind: str, net: NetSource, convert: Callable[[Any, str], Arrays]) -> Arrays:
    """Return what a converter makes of a net and its title: from the cache, or built and kept.

    The key holds a digest of the code that reads and converts: a changed converter reads no older entry.
    """
    digest = _digest_of_code(convert.__module__)
    key = versioned_key(kind, digest, *net.key, packages=net.packages)
    return cached_arrays(key, lambda: convert(net.build(), net.title))


@cache
def _digest_of_code(module: str) -> str:
    """Return a digest of the sources that turn a file into arrays, those of a module among them."""
    modules = (branches, convert, frames, injections, topology, transformers, network, simbench_grids)
    files = [Path(str(part.__file__)) for part in (*modules, sys.modules[__name__], sys.modules[module])]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


_FILE_FIX = "give a .json or .xlsx file, written by pandapower.to_json(net, path) or to_excel(net, path)"


def _read(path: Path, source: str) -> Any:
    """Read a pandapower net out of a file."""
    import pandapower

    reader = pandapower.from_json if path.suffix.lower() == ".json" else pandapower.from_excel
    try:
        net = reader(str(path))
    except Exception as error:
        # pandapower lets whatever it stumbles over through; to the user each means the same.
        reason = f"cannot be read as a pandapower net ({type(error).__name__}: {str(error)[:120]})"
        raise InputError([_fault(source, str(path), reason, fix=_FILE_FIX)]) from error
    if not isinstance(net, pandapower.pandapowerNet):
        reason = "cannot be read as a pandapower net: it holds something else"
        raise InputError([_fault(source, str(path), reason, fix=_FILE_FIX)])
    return net


def _simbench(code: str, source: str, others: tuple[str, ...]) -> Any:
    """Read a SimBench grid; an unknown code names near ones."""
    if JOINT in code:
        return read_joint_grid(code, _simbench_codes(), source=source)
    codes = _simbench_codes()
    if code not in codes:
        names = f", a file, or {', '.join(others)}" if others else ""
        reason = "is no SimBench code" + (", no test grid and no file" if others else "")
        fix = near(code, [*others, *codes]) or f"use a SimBench code such as {_SOME_CODE}{names}"
        raise InputError([_fault(source, code, reason, fix=fix)])
    import simbench

    return simbench.get_simbench_net(code)


def _simbench_codes() -> list[str]:
    """Return all SimBench codes; kept, because importing SimBench to refuse a typo takes seconds."""

    def build() -> Arrays:
        import simbench

        return {"codes": np.array(simbench.collect_all_simbench_codes(), dtype=np.str_)}

    key = versioned_key("simbench-codes", packages=["simbench"])
    return [str(code) for code in cached_arrays(key, build)["codes"].tolist()]


def _cigre_lv() -> Any:
    import pandapower.networks

    return pandapower.networks.create_cigre_network_lv()


def _cigre_mv() -> Any:
    import pandapower.networks

    return pandapower.networks.create_cigre_network_mv(with_der=False)


def _ieee33() -> Any:
    import pandapower.networks

    return pandapower.networks.case33bw()


def _european_lv() -> Any:
    """Return the IEEE European LV feeder with the reactive power of phases b and c as published.

    pandapower's copy holds them 1000 times too small (issue 2218 of its repository).
    """
    import pandapower.networks

    net = pandapower.networks.ieee_european_lv_asymmetric("on_peak_566")
    reactive = ["q_b_mvar", "q_c_mvar"]
    if net.asymmetric_load[reactive].to_numpy().max() < 1e-5:
        net.asymmetric_load[reactive] *= 1e3
    return net


TEST_NETS: dict[str, Callable[[], Any]] = {
    "cigre-lv": _cigre_lv,
    "cigre-mv": _cigre_mv,
    "european-lv": _european_lv,
    "ieee33": _ieee33,
}
"""Builders of pandapower's test grids by our names."""


def _fault(source: str, value: str, reason: str, *, fix: str) -> Fault:
    return Fault(source=source, place="grid", value=value, reason=reason, fix=fix)
