"""A SimBench grid with several of its lower grids: codes that SimBench itself does not know.

SimBench's codes have one lower grid (``1-MVLV-rural-2.107-0-sw``) or all (``1-MVLV-rural-all-0-sw``).  Here
any of them are joined: ``1-MVLV-rural-1.108+2.107+4.101-0-sw``.  The lower grids named take the place of
their equivalents; those left out stay one load and one plant each on the upper grid, so that nothing is
missing or double.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from gridagora.errors import Fault, InputError
from gridagora.scenario.suggest import near

JOINT = "+"
"""Joins the lower grids of a code."""

_LOWER = 3
"""Which part of a code, split at its hyphens, says the lower grids."""


def read_joint_grid(code: str, codes: Iterable[str], *, source: str) -> Any:
    """Read the pandapower net of a code with several lower grids.

    Parameters
    ----------
    code : e.g. ``"1-MVLV-rural-1.108+2.107-0-no_sw"``
    codes : those of SimBench
    source : what to name in faults

    Raises
    ------
    InputError
        With every fault: no such upper grid, lower grids that it has not, or twice.
    """
    import simbench

    whole = {known: known.split("-") for known in codes if "-all-" in known and "VHVMV" not in known}
    parts = code.split("-")
    asked = parts[_LOWER].split(JOINT) if len(parts) > _LOWER else []
    faults = list(_upper_faults(code, parts, whole.values(), source=source))
    like = next((name for name, split in whole.items() if split[:_LOWER] == parts[:_LOWER]), None)
    if like is None:
        raise InputError(faults)
    scenario = like.split("-")[4] if faults else parts[4]
    folder = simbench.complete_data_path(scenario)
    upper, lower = simbench.get_relevant_subnets(like, folder)
    subnets = {name.lstrip("EHMLV"): name for name in lower}
    faults += _lower_faults(code, asked, list(subnets), source=source)
    if faults:
        raise InputError(faults)
    return _net(upper, [subnets[name] for name in asked], folder, switches=parts[5] == "sw")


def _net(upper: str, lower: list[str], folder: str, *, switches: bool) -> Any:
    """Return the net of an upper grid and some lower ones, as SimBench makes that of one."""
    import simbench

    tables = simbench.get_extracted_csv_data((upper, lower), folder)
    simbench.filter_unapplied_profiles(tables)
    simbench.filter_loadcases(tables)
    net = simbench.csv_data2pp(tables)
    if not switches:
        simbench.generate_no_sw_variant(net)
    return net


def _upper_faults(code: str, parts: list[str], whole: Iterable[list[str]], *, source: str) -> Iterator[Fault]:
    """Tell a code whose parts beside the lower grids are no SimBench grid with lower ones."""
    others = [[part for at, part in enumerate(split) if at != _LOWER] for split in whole]
    if [part for at, part in enumerate(parts) if at != _LOWER] in others:
        return
    asked = parts[_LOWER] if len(parts) > _LOWER else "1.108+2.107"
    fitting = ["-".join([*split[:_LOWER], asked, *split[_LOWER:]]) for split in others]
    fix = near(code, fitting) or "write a code such as 1-MVLV-rural-1.108+2.107-0-sw"
    reason = "is no SimBench code of an upper grid with lower ones"
    yield Fault(source=source, place="grid", value=code, reason=reason, fix=fix)


def _lower_faults(code: str, asked: list[str], known: list[str], *, source: str) -> Iterator[Fault]:
    """Tell lower grids that the upper grid has not, or that stand twice."""
    for at, name in enumerate(asked):
        fix = ""
        if name not in known:
            reason = f"is no lower grid of {code}"
            fix = near(name, known) or f"use some of {len(known)}, e.g. {', '.join(sorted(known)[:3])}"
        elif name in asked[:at]:
            reason, fix = f"stands twice in {code}", "name each lower grid once"
        if fix:
            yield Fault(source=source, place="grid", value=name, reason=reason, fix=fix)
