"""Zones of a grid, nested: LV zone -> MV zone -> DSO -> bulk grid, each the home of one local market.

The root is the bulk grid: its parent is None, and all that is no zone's is its.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]

ROOT = "bulk"
"""Name of the root where the caller gives none."""

DSO = "dso"
"""Level of the zone of the distribution system operator, and its name."""


TABLE_COLUMNS = ("bus", "zone", "parent", "level")


@dataclass(frozen=True, kw_only=True, slots=True)
class Zone:
    """One zone.

    Parameters
    ----------
    name : unique name
    level : "lv", "mv", "dso", "bulk" or a word of your own
    parent : name of the zone around it; None: the root
    buses : ids of the buses of the zone itself, without those of the zones inside it
    gate_elements : branches of the grid that join it to its parent; several where it hangs on several

    Examples
    --------
    >>> Zone(name="street", level="lv", parent="village", buses=("1", "2"), gate_elements=("trafo",)).level
    'lv'
    """

    name: str
    level: str
    parent: str | None
    buses: tuple[str, ...] = ()
    gate_elements: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneTree:
    """Zones nested in one root.

    Parameters
    ----------
    zones : in any order; results keep it

    Attributes
    ----------
    parent : position of each zone's parent, -1 for the root
    depth : how many zones lie around each zone, 0 for the root

    Raises
    ------
    InputError
        Lists every fault: a name twice, a bus in two zones, a zone without buses and without zones inside,
        an unknown parent, a cycle of parents, no root or several.

    Notes
    -----
    MARKETS.md section 5, seed 000 section 4.2.1.

    Examples
    --------
    >>> tree = ZoneTree(zones=(Zone(name="bulk", level="bulk", parent=None),
    ...                        Zone(name="village", level="mv", parent="bulk", buses=("0",)),
    ...                        Zone(name="street", level="lv", parent="village", buses=("1", "2"))))
    >>> tree.path("street"), tree.zone_of_bus()["2"], tree.depth.tolist()
    (('street', 'village', 'bulk'), 'street', [0, 1, 2])
    """

    zones: tuple[Zone, ...]
    parent: Ints = field(init=False, compare=False, repr=False)
    depth: Ints = field(init=False, compare=False, repr=False)
    _at: dict[str, int] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_faults(zone_faults(self.zones))
        parent, depth = _shape(self.zones)
        for name, array in (("parent", parent), ("depth", depth)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "_at", {zone.name: at for at, zone in enumerate(self.zones)})

    @classmethod
    def from_table(cls, table: "pd.DataFrame", *, root: str = ROOT) -> "ZoneTree":
        """Read zones from a table with one bus per row.

        Parameters
        ----------
        table : columns ``bus``, ``zone``, ``parent`` (empty: the root), and where wanted ``level``; a row
            without bus only says what a zone's parent is
        root : name of the bulk grid; it needs no row

        Raises
        ------
        InputError
            Lists every fault of the table and those that `ZoneTree` names.

        Examples
        --------
        >>> import pandas as pd
        >>> table = pd.DataFrame({"bus": ["1", "2", "3"], "zone": ["a", "a", "b"], "parent": ["b", "b", ""]})
        >>> ZoneTree.from_table(table).path("a")
        ('a', 'b', 'bulk')
        """
        zones, faults = read_zone_table(table, root=root)
        check_faults([*faults, *zone_faults(zones)])
        return cls(zones=zones)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the zones, in their order."""
        return tuple(zone.name for zone in self.zones)

    @property
    def root(self) -> int:
        """Position of the root."""
        return int(np.flatnonzero(self.parent < 0)[0])

    def position(self, name: str) -> int:
        """Return where a zone stands; raises `InputError` when there is none of this name."""
        if name not in self._at:
            fix = f"use one of {self.names[:9]}"
            check_faults([_fault(f"zone {name}", name, "there is no such zone", fix=fix)])
        return self._at[name]

    def __contains__(self, name: object) -> bool:
        return name in self._at

    def zone(self, name: str) -> Zone:
        """Return the zone of a name; raises `InputError` when there is none."""
        return self.zones[self.position(name)]

    def path(self, name: str) -> tuple[str, ...]:
        """Return the names of a zone and of all around it, up to the root."""
        at = self.position(name)
        found = [name]
        while self.parent[at] >= 0:
            at = int(self.parent[at])
            found.append(self.zones[at].name)
        return tuple(found)

    def inside(self, name: str) -> NDArray[np.bool_]:
        """Tell for every zone whether it is this one or lies inside it."""
        ancestors = self.ancestors()
        at = self.position(name)
        return np.asarray(ancestors[self.depth[at]] == at)

    def ancestors(self) -> Ints:
        """Return the zone around each zone at each depth, itself at its own, -1 deeper; (depths, zones).

        >>> tree = ZoneTree(zones=(Zone(name="bulk", level="bulk", parent=None),
        ...                        Zone(name="a", level="lv", parent="bulk", buses=("1",))))
        >>> tree.ancestors().tolist()
        [[0, 0], [-1, 1]]
        """
        table = np.full((int(self.depth.max()) + 1, len(self.zones)), -1, dtype=np.int64)
        at = np.arange(len(self.zones))
        while True:
            live = at >= 0
            if not live.any():
                return table
            table[self.depth[at[live]], np.flatnonzero(live)] = at[live]
            at = np.where(live, self.parent[at], -1)

    def zone_of_bus(self) -> dict[str, str]:
        """Return the name of the zone of each bus that a zone names."""
        return {bus: zone.name for zone in self.zones for bus in zone.buses}


def zone_faults(zones: Sequence[Zone]) -> list[Fault]:
    """Return every fault of zones that are to form one tree."""
    names = {zone.name for zone in zones}
    faults = [*_twice(zones)]
    parents = {zone.parent for zone in zones}
    for zone in zones:
        place = f"zone {zone.name}"
        if zone.parent is not None and zone.parent not in names:
            fix = "add that zone, or name one that is there"
            faults.append(_fault(place, zone.parent, "unknown parent", fix=fix))
        if zone.parent is not None and not zone.buses and zone.name not in parents and zone.level != DSO:
            fix = "give it a bus, or leave it out"
            faults.append(_fault(place, 0, "a zone without buses and without zones inside", fix=fix))
    roots = [zone.name for zone in zones if zone.parent is None]
    if len(roots) != 1:
        fix = "give exactly one zone no parent: the bulk grid"
        faults.append(_fault("the roots", roots, "there must be one root", fix=fix))
    return [*faults, *_cycle_faults(zones)]


def _twice(zones: Sequence[Zone]) -> Iterator[Fault]:
    seen: set[str] = set()
    owner: dict[str, str] = {}
    for zone in zones:
        if zone.name in seen:
            yield _fault(f"zone {zone.name}", zone.name, "the name is there twice", fix="rename one of them")
        seen.add(zone.name)
        for bus in zone.buses:
            if bus in owner:
                where = f"{owner[bus]} and {zone.name}"
                yield _fault(f"bus {bus}", where, "a bus in two zones", fix="leave it in one of them")
            owner.setdefault(bus, zone.name)


def _cycle_faults(zones: Sequence[Zone]) -> Iterator[Fault]:
    """Name each cycle of parents once, from the zone that comes first."""
    parent = {zone.name: zone.parent for zone in zones}
    done: set[str] = set()
    for zone in zones:
        way: list[str] = []
        at: str | None = zone.name
        while at is not None and at in parent and at not in done and at not in way:
            way.append(at)
            at = parent[at]
        if at is not None and at in way:
            cycle = [*way[way.index(at) :], at]
            fix = "let one of them hang on a zone outside the cycle"
            yield _fault(f"zone {at}", " -> ".join(cycle), "a cycle of parents", fix=fix)
        done.update(way)


def _shape(zones: Sequence[Zone]) -> tuple[Ints, Ints]:
    at = {zone.name: position for position, zone in enumerate(zones)}
    parent = np.array([-1 if z.parent is None else at[z.parent] for z in zones], dtype=np.int64)
    depth, up = np.zeros(len(zones), dtype=np.int64), parent.copy()
    while (up >= 0).any():
        depth += up >= 0
        up = np.where(up >= 0, parent[up], -1)
    return parent, depth


def read_zone_table(table: "pd.DataFrame", *, root: str = ROOT) -> tuple[tuple[Zone, ...], list[Fault]]:
    """Return the zones of a table, in order of first appearance behind the root, and the table's faults.

    Raises `InputError` when a column is missing; see `ZoneTree.from_table`.
    """
    columns = [str(name) for name in table.columns]
    lacking = [name for name in ("bus", "zone", "parent") if name not in columns]
    strange = [name for name in columns if name not in TABLE_COLUMNS]
    use = f"use only {', '.join(TABLE_COLUMNS)}"
    faults = [_fault(f"column {name}", None, "column is missing", fix="add it") for name in lacking]
    faults += [_fault(f"column {name}", name, "unknown column", fix=use) for name in strange]
    if lacking:
        check_faults(faults)
    text = {name: _texts(table[name].tolist()) for name in ("bus", "zone", "parent")}
    level = _texts(table["level"].tolist()) if "level" in columns else [""] * len(table)
    buses: dict[str, list[str]] = {root: []}
    first: dict[str, int] = {}
    for row, (bus, zone, parent) in enumerate(zip(text["bus"], text["zone"], text["parent"], strict=True)):
        if not zone:
            faults.append(_fault(f"row {row}", bus, "no zone", fix="name the zone of the bus"))
            continue
        told = first.setdefault(zone, row)
        for name, column in (("parent", text["parent"]), ("level", level)):
            if column[told] != column[row]:
                reason, fix = f"another {name} than in row {told}", f"give zone {zone} one {name}"
                faults.append(_fault(f"row {row}, column {name}", column[row], reason, fix=fix))
        if zone == root and parent:
            faults.append(_fault(f"row {row}", parent, "the root has a parent", fix="leave it empty"))
        if bus in buses.setdefault(zone, []):
            faults.append(_fault(f"row {row}", bus, f"bus is in zone {zone} already", fix="name it once"))
        elif bus:
            buses[zone].append(bus)
    zones = [Zone(name=root, level="bulk", parent=None, buses=tuple(buses.pop(root)))]
    for name, own in buses.items():
        row = first[name]
        parent, word = text["parent"][row] or root, level[row] or "zone"
        zones.append(Zone(name=name, level=word, parent=parent, buses=tuple(own)))
    return tuple(zones), faults


def _texts(values: Sequence[object]) -> list[str]:
    """Return cells as text; empty for None and NaN; numbers of a column with gaps are whole again."""
    texts = []
    for value in values:
        whole = isinstance(value, float) and value.is_integer()
        known = value is not None and value == value
        texts.append(str(int(value) if whole else value).strip() if known else "")  # type: ignore[call-overload]
    return texts


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="zones", place=place, value=value, reason=reason, fix=fix)
