"""The zones of a study: who stands in which, what their gates let through, when one is cut off."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.model.zones import ZoneTree

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneRules:
    """Zones of a study, their gates and the rules of their controllers.

    Parameters
    ----------
    tree : the zones; every bus of the grid is in one
    of_home : position in ``tree.zones`` of each home's zone, shape (homes,)
    import_kw, export_kw : what may pass the gate of each zone, kW >= 0, inf: no limit known, shape
        (periods, zones); what is said of the root is not used
    cut : True where the gate of a zone is open and the zone an island, shape (periods, zones)
    lowest_price, highest_price : bounds of a trade's price, currency per kWh
    most_kwh : largest quantity of one trade

    Notes
    -----
    MARKETS.md section 5, seed 000 section 4.
    """

    tree: ZoneTree
    of_home: Ints
    import_kw: Floats
    export_kw: Floats
    cut: NDArray[np.bool_]
    lowest_price: float = -np.inf
    highest_price: float = np.inf
    most_kwh: float = np.inf

    def islands(self, first: int, count: int) -> Ints:
        """Return the position of the island that each zone belongs to, -1: joined to the bulk grid.

        Shape (count, zones), from period ``first`` on.  The innermost open gate around a zone counts.

        >>> from gridagora.model.zones import Zone
        >>> tree = ZoneTree(zones=(Zone(name="bulk", level="bulk", parent=None),
        ...                        Zone(name="a", level="mv", parent="bulk", buses=("1",)),
        ...                        Zone(name="b", level="lv", parent="a", buses=("2",))))
        >>> free = np.full((2, 3), np.inf)
        >>> rules = ZoneRules(tree=tree, of_home=np.array([2]), import_kw=free, export_kw=free,
        ...                   cut=np.array([[False, False, False], [False, True, False]]))
        >>> rules.islands(0, 2).tolist()
        [[-1, -1, -1], [-1, 1, 1]]
        """
        return islands_of(self.tree, self.cut[first : first + count])


def islands_of(tree: ZoneTree, cut: NDArray[np.bool_]) -> Ints:
    """Return the innermost zone with an open gate around each zone, -1 where there is none.

    ``cut`` and the result have shape (periods, zones).

    >>> from gridagora.model.zones import Zone
    >>> tree = ZoneTree(zones=(Zone(name="bulk", level="bulk", parent=None),
    ...                        Zone(name="a", level="lv", parent="bulk", buses=("1",))))
    >>> islands_of(tree, np.array([[False, True]])).tolist()
    [[-1, 1]]
    """
    found = np.full(cut.shape, -1, dtype=np.int64)
    for around in tree.ancestors():  # from the root inwards: the innermost is written last
        known = around >= 0
        open_gate = cut[:, around] & known
        found = np.where(open_gate, np.where(known, around, 0), found)
    return found
