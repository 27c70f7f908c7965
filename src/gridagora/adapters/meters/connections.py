"""What each connection carries, out of a file."""

from pathlib import Path

import numpy as np

from gridagora.adapters.meters.files import cells, columns_of, refuse
from gridagora.adapters.tables import column_faults, read_table
from gridagora.errors import Fault

CAPACITY = "capacity_kw"
LIMITS = ("import_limit_kw", "export_limit_kw")


def read_connections(path: Path) -> tuple[dict[str, tuple[float, float]], list[Fault]]:
    """Read what each connection carries, (import, export) in kW; a participants file of a scenario will do.

    Parameters
    ----------
    path : file with ``point`` (or ``participant``) and ``capacity_kw``, or ``import_limit_kw`` and
        ``export_limit_kw``; an empty cell is a capacity that is not known
    """
    table, faults = read_table(path, text=True)
    if table is None:
        return {}, faults
    given = [str(name) for name in table.frame.columns]
    key = "participant" if "point" not in given and "participant" in given else "point"
    sides = LIMITS if CAPACITY not in given and set(LIMITS) & set(given) else (CAPACITY, CAPACITY)
    faults = column_faults(table, [key] if sides == LIMITS else [key, CAPACITY])
    if faults:
        return {}, faults
    names = cells(table, key)
    values, columns, faults = columns_of(table, dict.fromkeys(sides, ("import", "kW")))
    for name in columns:
        faults += refuse(table, name, values[name] < 0, text=("is below 0", "write kW >= 0"))
    _, first = np.unique(names, return_index=True)
    again = ~np.isin(np.arange(names.size), first)
    faults += refuse(table, key, again, text=("stands twice", "keep one of the rows"))
    unknown = np.full(names.size, np.inf)
    pair = [np.nan_to_num(values.get(name, unknown), nan=np.inf, posinf=np.inf).tolist() for name in sides]
    return dict(zip(names.tolist(), zip(*pair, strict=True), strict=True)), faults
