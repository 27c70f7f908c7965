"""What a market must know of its wires: limits that are linear in the net imports of the nodes.

Net import P (kW) and reactive import Q (kvar) of a node count + for consumption.  Three kinds:

- "transfer": lines between zones that carry any flow within their capacities, with a share lost on the way;
- "dc": flows follow reactances; limit rows ``lower <= offset + per_kw P <= upper``;
- "linear_ac": the same rows in P and Q around an operating point: voltages, branch currents, losses.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.model.numbers import read_numbers

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Strings = NDArray[np.str_]
Kind = Literal["transfer", "dc", "linear_ac"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TransferLines:
    """Lines between nodes; ``start`` and ``end`` are positions of nodes, + flows from start to end.

    ``capacity_kw`` bounds the flow at the sending end, ``reverse_kw`` that of the other direction;
    ``loss_share`` of what is sent is lost.
    """

    name: Strings
    start: Ints
    end: Ints
    capacity_kw: Floats
    reverse_kw: Floats
    loss_share: Floats

    def __len__(self) -> int:
        return len(self.name)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LimitRows:
    """Limits ``lower <= offset + per_kw @ P + per_kvar @ Q <= upper``, R rows at K operating points.

    Parameters
    ----------
    name : of the branch or bus that is limited; rows of one name limit the same thing in several directions
    part : "congestion" or "voltage": where the dual of the row goes in a nodal price
    unit : of the limited value: "kW", "percent" (of rated current), "pu" or "pu2" (voltage squared)
    per_kw, per_kvar : (K, R, nodes), or (1, R, nodes): the same at all points
    offset, lower, upper : (K, R)
    """

    name: Strings
    part: Strings
    unit: Strings
    per_kw: Floats
    per_kvar: Floats
    offset: Floats
    lower: Floats
    upper: Floats

    def __len__(self) -> int:
        return len(self.name)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LinearNetwork:
    """A network as a market sees it.

    Parameters
    ----------
    kind : "transfer", "dc" or "linear_ac"
    nodes : ids of nodes, zones or buses
    slack : the node of the upstream connection, whose orders are bids there
    import_kw, export_kw : what the slack node's bids may feed in and draw at most, kW; one number, or (K,) of
        kinds with limit rows
    lines : of a "transfer" network
    limits : of the other kinds
    loss_kw, loss_per_kw, loss_per_kvar : losses ``loss_kw + loss_per_kw @ P + loss_per_kvar @ Q``, never
        below 0; (K,), (K, nodes), (K, nodes); None: lossless
    kvar_per_kw : reactive import per kW of bids that state no power factor, (nodes,)
    kvar_min, kvar_max : reactive import that each node can add at no cost (inverters), kvar, (nodes,)
    periods : ids of the periods of the K operating points, ascending; None: one holds for all periods

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"from": ["north"], "to": ["south"], "capacity_kw": [100.0]})
    >>> network = LinearNetwork.from_table(table)
    >>> network.kind, network.nodes, network.slack
    ('transfer', ('north', 'south'), 'north')
    """

    kind: Kind
    nodes: tuple[str, ...]
    slack: str
    import_kw: float | Floats = np.inf
    export_kw: float | Floats = np.inf
    lines: TransferLines | None = None
    limits: LimitRows | None = None
    loss_kw: Floats | None = None
    loss_per_kw: Floats | None = None
    loss_per_kvar: Floats | None = None
    kvar_per_kw: Floats | None = None
    kvar_min: Floats | None = None
    kvar_max: Floats | None = None
    periods: Ints | None = field(default=None)

    def __post_init__(self) -> None:
        if self.slack not in self.nodes:
            reason, fix = "the network has no such node, so no slack", "name the node of the upstream grid"
            check_faults([_fault("slack", self.slack, (reason, fix))])

    @property
    def slack_position(self) -> int:
        """Position of the slack in ``nodes``."""
        return self.nodes.index(self.slack)

    @property
    def is_reactive(self) -> bool:
        """True when reactive power moves a limit or the losses."""
        of_limits = self.limits is not None and bool(self.limits.per_kvar.any())
        return of_limits or (self.loss_per_kvar is not None and bool(self.loss_per_kvar.any()))

    @classmethod
    def single(cls, node: str = "") -> "LinearNetwork":
        """Return a copper plate: one node, no limits.

        >>> LinearNetwork.single("here").nodes
        ('here',)
        """
        return cls(kind="transfer", nodes=(node,), slack=node, lines=_lines([], [], np.zeros((3, 0))))

    @classmethod
    def from_table(
        cls,
        table: "pd.DataFrame",
        *,
        slack: str | None = None,
        import_kw: float = np.inf,
        export_kw: float = np.inf,
    ) -> "LinearNetwork":
        """Read a network from a table with one line per row.

        Parameters
        ----------
        table : columns ``from``, ``to``, ``capacity_kw`` (NaN: no limit), and where wanted ``reverse_kw``
            (the other direction; default as ``capacity_kw``), ``loss_share`` of what is sent (0 to 1), and
            ``reactance`` (any common unit): with it flows follow the reactances ("dc"), without it any flow
            within the capacities will do ("transfer"); ``name`` of the line
        slack : node of the upstream connection; default the ``from`` of the first row
        import_kw, export_kw : its limits

        Raises
        ------
        InputError
            Lists every fault: missing or unknown columns, values that are no limits, a line from a node to
            itself, reactances of some lines only, no slack, a node that no line joins to it; limits of the
            connection that are none.

        Examples
        --------
        >>> import pandas as pd
        >>> ring = pd.DataFrame({"from": ["a", "a", "b"], "to": ["b", "c", "c"], "capacity_kw": [9.0, 9, 9],
        ...                      "reactance": [1.0, 1, 1]})
        >>> LinearNetwork.from_table(ring, slack="a").limits.per_kw[0, :, 1].round(3).tolist()
        [0.667, 0.333, -0.333]
        """
        from gridagora.model._network_table import read_table

        start, end, numbers, names = read_table(
            table, slack, connection={"import_kw": import_kw, "export_kw": export_kw}
        )
        nodes = tuple(dict.fromkeys(name for pair in zip(start, end, strict=True) for name in pair))
        at = {node: position for position, node in enumerate(nodes)}
        lines = _lines([at[name] for name in start], [at[name] for name in end], numbers[:3], names=names)
        chosen = slack if slack is not None else nodes[0]
        common = {"nodes": nodes, "slack": chosen, "import_kw": import_kw, "export_kw": export_kw}
        if np.isnan(numbers[3]).any():
            return cls(kind="transfer", lines=lines, **common)  # type: ignore[arg-type]
        rows = _dc_rows(lines, numbers[3], len(nodes), slack=at[chosen])
        return cls(kind="dc", limits=rows, **common)  # type: ignore[arg-type]

    def with_fixed(self, import_kw: ArrayLike, import_kvar: ArrayLike = 0.0) -> "LinearNetwork":
        """Return the network as loads outside the market leave it: they move limits and losses.

        Parameters
        ----------
        import_kw, import_kvar : net import of all that does not bid, kW and kvar, (nodes,) or (K, nodes)

        Raises
        ------
        InputError
            A "transfer" network cannot say which way they take: let them bid there.

        Examples
        --------
        >>> import pandas as pd
        >>> line = pd.DataFrame({"from": ["a"], "to": ["b"], "capacity_kw": [9.0], "reactance": [1.0]})
        >>> LinearNetwork.from_table(line).with_fixed([0.0, 4.0]).limits.offset.tolist()
        [[4.0]]
        """
        if self.limits is None:
            reason = "flows of a transfer network are chosen by the market"
            check_faults([_fault("with_fixed", self.kind, (reason, "give these loads as bids"))])
            return self
        kw, kvar = self._fixed(import_kw, import_kvar)
        limits = self.limits
        moved = np.einsum("krn,kn->kr", *_same(limits.per_kw, kw)) + np.einsum(
            "krn,kn->kr", *_same(limits.per_kvar, kvar)
        )
        offset = limits.offset + moved
        rows = replace(
            limits,
            offset=offset,
            lower=np.broadcast_to(limits.lower, offset.shape),
            upper=np.broadcast_to(limits.upper, offset.shape),
        )
        loss = self.loss_kw
        if loss is not None and self.loss_per_kw is not None and self.loss_per_kvar is not None:
            loss = loss + (self.loss_per_kw * kw).sum(axis=1) + (self.loss_per_kvar * kvar).sum(axis=1)
        # what does not bid fetches its energy upstream, through the same connection
        inside = kw.sum(axis=1) - kw[:, self.slack_position]
        return replace(
            self,
            limits=rows,
            loss_kw=loss,
            import_kw=_plain(self.import_kw - inside),
            export_kw=_plain(self.export_kw + inside),
        )

    def _fixed(self, import_kw: ArrayLike, import_kvar: ArrayLike) -> tuple[Floats, Floats]:
        """Return loads as (K, nodes) arrays; raises `InputError` with what is no such array."""
        given, faults = read_numbers("network", import_kw=import_kw, import_kvar=import_kvar)
        told = {fault.place for fault in faults}
        points = (1,) if self.periods is None else (1, len(self.periods))
        for place, array in zip(("import_kw", "import_kvar"), given, strict=True):
            shape = np.atleast_2d(array).shape
            fits = array.ndim <= 2 and shape[-1] in (1, len(self.nodes))
            fits &= shape[0] in points or self.periods is None
            reason, fix = "does not fit", f"give finite numbers, ({len(self.nodes)},) or (points, nodes)"
            if place not in told and not (fits and np.isfinite(array).all()):
                faults.append(_fault(place, array.shape, (reason, fix)))
        check_faults(faults)
        count = max(len(np.atleast_2d(array)) for array in given)
        kw, kvar = (np.broadcast_to(array, (count, len(self.nodes))) for array in given)
        return kw, kvar

    def rows(self) -> LimitRows | None:
        """Return the limits with that of the connection, whose value is what the slack's bids feed in, kW."""
        if self.limits is None:
            return None
        most, least = np.atleast_1d(self.import_kw), -np.atleast_1d(self.export_kw)
        if not (np.isfinite(most).any() or np.isfinite(least).any()):
            return self.limits
        return _with_connection(self.limits, (least, most), self.slack_position)

    def point_of(self, periods: Ints) -> Ints:
        """Return the position of each period's operating point.

        Raises `InputError` naming every period that the network does not know.

        >>> LinearNetwork.single().point_of(np.array([4, 5])).tolist()
        [0, 0]
        """
        if self.periods is None:
            return np.zeros(len(periods), dtype=np.int64)
        check_faults(self.period_faults(periods))
        return np.searchsorted(self.periods, periods)

    def period_faults(self, periods: Ints) -> list[Fault]:
        """Return a fault for each period that the network does not know."""
        if self.periods is None:
            return []
        unknown = periods[~np.isin(periods, self.periods)]
        reason = "the network has no operating point for it"
        fix = f"build the network for its periods (it has {self.periods.tolist()[:8]} ...)"
        return [_fault(f"period {p}", p, (reason, fix)) for p in unknown.tolist()]


def _same(matrix: Floats, vector: Floats) -> tuple[Floats, Floats]:
    """Bring the operating points of a (K, R, N) and a (K, N) array to one number."""
    count = max(len(matrix), len(vector))
    return (
        np.broadcast_to(matrix, (count, *matrix.shape[1:])),
        np.broadcast_to(vector, (count, vector.shape[1])),
    )


def _plain(values: Floats | float) -> float | Floats:
    """Return one number where all are the same."""
    array = np.atleast_1d(values)
    return float(array[0]) if (array == array[0]).all() else array


def _with_connection(limits: LimitRows, bounds: tuple[Floats, Floats], slack: int) -> LimitRows:
    points = max(len(limits.offset), len(bounds[0]), len(bounds[1]))
    row = np.zeros((len(limits.per_kw), 1, limits.per_kw.shape[2]))
    row[:, :, slack] = -1.0

    def below(old: Floats, new: Floats | float) -> Floats:
        column = np.broadcast_to(np.reshape(new, (-1, 1)), (points, 1))
        return np.concatenate([np.broadcast_to(old, (points, old.shape[1])), column], axis=1)

    return LimitRows(
        name=np.append(limits.name, "connection"),
        part=np.append(limits.part, "congestion"),
        unit=np.append(limits.unit, "kW"),
        per_kw=np.concatenate([limits.per_kw, row], axis=1),
        per_kvar=np.concatenate([limits.per_kvar, np.zeros_like(row)], axis=1),
        offset=below(limits.offset, 0.0),
        lower=below(limits.lower, bounds[0]),
        upper=below(limits.upper, bounds[1]),
    )


def _lines(
    start: list[int], end: list[int], numbers: Floats, *, names: list[str] | None = None
) -> TransferLines:
    return TransferLines(
        name=np.array([] if names is None else names, dtype=np.str_),
        start=np.array(start, dtype=np.int64),
        end=np.array(end, dtype=np.int64),
        capacity_kw=numbers[0],
        reverse_kw=numbers[1],
        loss_share=numbers[2],
    )


def _dc_rows(lines: TransferLines, reactance: Floats, count: int, *, slack: int) -> LimitRows:
    """Return flows by net imports, from the inverse of the susceptance matrix without the slack (PTDF)."""
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import splu

    row = np.arange(len(lines))
    twice, both = np.tile(row, 2), np.concatenate([lines.start, lines.end])
    signs = np.repeat([1.0, -1.0], len(lines))
    incidence = coo_array((signs, (twice, both)), shape=(len(lines), count)).tocsr()
    weighted = coo_array((signs / np.tile(reactance, 2), (twice, both)), shape=(len(lines), count)).tocsr()
    kept = np.setdiff1d(np.arange(count), [slack])
    per_kw = np.zeros((len(lines), count))
    if len(kept):
        factors = splu((incidence.T @ weighted).tocsr()[kept][:, kept].tocsc())
        per_kw[:, kept] = -factors.solve(np.ascontiguousarray(weighted[:, kept].toarray().T)).T
    return LimitRows(
        name=lines.name,
        part=np.full(len(lines), "congestion"),
        unit=np.full(len(lines), "kW"),
        per_kw=per_kw[None],
        per_kvar=np.zeros((1, len(lines), count)),
        offset=np.zeros((1, len(lines))),
        lower=-lines.reverse_kw[None],
        upper=lines.capacity_kw[None],
    )


def _fault(place: str, value: object, text: tuple[str, str]) -> Fault:
    return Fault(source="network", place=place, value=value, reason=text[0], fix=text[1])
