"""The outcome of a network auction: prices per node and their parts, flows, limits that bind, paradoxes."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridagora.model.linear_network import LimitRows
from gridagora.model.results import ClearingResult

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PARTS = ("energy", "loss", "congestion", "voltage")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CarrierOutcome:
    """What an auction gave for one carrier; arrays (periods, nodes) unless said otherwise.

    Parameters
    ----------
    name : of the carrier
    nodes : ids of its nodes
    slack : position of the node of the upstream connection
    price : currency per unit of quantity; NaN in periods without trade
    parts : (4, periods, nodes): energy, loss, congestion, voltage; their sum is the price
    reactive : currency per kvarh (per unit of quantity with kvar for kW)
    kw, kvar : net import of the bids at each node
    losses_kw : (periods,)
    lines : names of the lines of ``flows``
    flows : (periods, lines): kW from start to end; in a linearised AC network percent of the rated current
    rows, values : every limit that follows from net imports, with its value, (periods, rows)
    """

    name: str
    nodes: tuple[str, ...]
    slack: int
    price: Floats
    parts: Floats
    reactive: Floats
    kw: Floats
    kvar: Floats
    losses_kw: Floats
    lines: tuple[str, ...]
    flows: Floats
    rows: LimitRows | None = None
    values: Floats | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Binding:
    """Limits whose dual is not 0, one entry each.

    ``worth`` is what one more unit of the limit would add to welfare in that period, currency per unit: kW
    for flows and connections, percent of rated current for branches, pu (LinDistFlow: pu squared) for buses.
    Where several prices support the optimum it adds at most this.
    """

    period: Ints
    carrier: NDArray[np.str_]
    name: NDArray[np.str_]
    part: NDArray[np.str_]
    side: NDArray[np.str_]
    value: Floats
    worth: Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Paradoxes:
    """Bids that prices alone do not explain, one entry each.

    ``kind`` "accepted": with its unit accepted at a loss, though all of the unit could have stayed out;
    "rejected": left out, though it would gain at these prices; "forced": at a loss by its own conditions, or
    because the market has no answer without it.
    ``loss`` is currency, of the whole unit: bids that switches and conditions join, numbered by ``unit``.
    """

    bid: Ints
    unit: Ints
    kind: NDArray[np.str_]
    loss: Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NetworkResult(ClearingResult):
    """Outcome of a `network_auction`: what every mechanism gives, and what the network adds.

    Parameters
    ----------
    carriers : outcome per carrier, the first is that of ``price``, its energy price
    binding_limits, paradoxes : as tables: `binding`, `paradoxical`
    kvar : reactive import of each bid, kvar
    binding_periods : how many periods, from the first, hold; the others are a forecast nobody pays for
    compensation : money per bid, + received, that paradoxically accepted bids got
    kw_per_unit : kW that one unit of quantity is in a period

    Examples
    --------
    >>> from gridagora.model.bids import Bids
    >>> from gridagora.market.mechanisms.network import network_auction
    >>> import pandas as pd
    >>> line = pd.DataFrame({"from": ["grid"], "to": ["village"], "capacity_kw": [4.0]})
    >>> bids = Bids(side=["sell", "sell", "buy"], price=[0.1, 0.4, 0.5], quantity=[9.0, 9.0, 6.0],
    ...             node=["grid", "village", "village"])
    >>> result = network_auction(bids, network=line)
    >>> result.prices.loc[0].to_dict(), result.flows.loc[0].to_dict()
    ({'grid': 0.1, 'village': 0.4}, {'grid-village': 4.0})
    >>> result.binding[["name", "worth"]].round(3).to_dict("list")
    {'name': ['grid-village'], 'worth': [0.3]}
    """

    carriers: tuple[CarrierOutcome, ...] = ()
    binding_limits: Binding | None = None
    paradoxes: Paradoxes | None = None
    kvar: Floats = field(default_factory=lambda: np.zeros(0))
    binding_periods: int | None = None
    compensation: Floats | None = None
    kw_per_unit: float = 1.0

    @property
    def prices(self) -> "pd.DataFrame":
        """Price per period (rows) and node (columns), NaN without trade; with several carriers two levels."""
        return self._nodal([one.price for one in self.carriers])

    @property
    def price_parts(self) -> "dict[str, pd.DataFrame]":
        """Parts of the nodal prices by name: energy, loss, congestion, voltage; their sum is `prices`."""
        return {
            name: self._nodal([one.parts[place] for one in self.carriers]) for place, name in enumerate(PARTS)
        }

    @property
    def reactive_prices(self) -> "pd.DataFrame":
        """Price of reactive power per period and node, currency per kvarh."""
        return self._nodal([one.reactive for one in self.carriers])

    @property
    def imports(self) -> "pd.DataFrame":
        """Net import of the bids per period and node, kW, + import."""
        return self._nodal([one.kw for one in self.carriers])

    @property
    def flows(self) -> "pd.DataFrame":
        """Flow per period and line: kW along the line; percent of rated current in linearised AC networks."""
        return self._table([one.flows for one in self.carriers], [one.lines for one in self.carriers])

    @property
    def losses(self) -> "pd.DataFrame":
        """Losses per period and carrier, kW."""
        return self._by_carrier([one.losses_kw for one in self.carriers])

    @property
    def slack(self) -> "pd.DataFrame":
        """What the bids at the slack feed into the network per period and carrier, kW."""
        return self._by_carrier([-one.kw[:, one.slack] for one in self.carriers])

    @property
    def voltages(self) -> "pd.DataFrame":
        """Voltage per period and bus of linearised AC networks, pu, as their limits see it."""
        arrays, names = [], []
        for one in self.carriers:
            mine = np.zeros(0, np.int64) if one.rows is None else np.flatnonzero(one.rows.part == "voltage")
            found = np.zeros((len(self.period), 0)) if one.values is None else one.values[:, mine]
            squared = np.zeros(0, bool) if one.rows is None else one.rows.unit[mine] == "pu2"
            arrays.append(np.where(squared, np.sqrt(np.maximum(found, 0.0)), found))
            names.append(() if one.rows is None else tuple(one.rows.name[mine].tolist()))
        return self._table(arrays, names)

    @property
    def binding(self) -> "pd.DataFrame":
        """Limits that bind: period, carrier, name, part, side, value, worth (see `Binding`)."""
        return _frame(self.binding_limits)

    @property
    def paradoxical(self) -> "pd.DataFrame":
        """Bids that prices alone do not explain: bid, unit, kind, loss (see `Paradoxes`)."""
        return _frame(self.paradoxes)

    @property
    def rent(self) -> "pd.Series[float]":
        """What the operator keeps, currency, by part of the price; the sum is ``budget_balance``.

        Energy and loss together are the surplus of marginal over average losses.
        """
        import pandas as pd

        held = slice(self.binding_periods)
        money = dict.fromkeys((*PARTS, "reactive", "compensation"), 0.0)
        for one in self.carriers:
            for place, name in enumerate(PARTS):
                money[name] += float(np.nansum(one.parts[place, held] * one.kw[held])) / self.kw_per_unit
            money["reactive"] += float(np.nansum(one.reactive[held] * one.kvar[held])) / self.kw_per_unit
        if self.compensation is not None:
            money["compensation"] = -float(self.compensation.sum())
        return pd.Series(money, name="rent")

    @property
    def trades(self) -> "pd.DataFrame":
        """Trades: everyone with the market, since a network loses energy and prices differ by node."""
        import pandas as pd

        held = self.period_index < (
            len(self.period) if self.binding_periods is None else self.binding_periods
        )
        rows = np.flatnonzero((self.accepted > 0) & held)
        buys = self.bids.is_buy[rows]
        names = self.bids.participant[rows].astype(np.str_)
        return pd.DataFrame(
            {
                "buyer": np.where(buys, names, "market"),
                "seller": np.where(buys, "market", names),
                "period": self.bids.period[rows],
                "quantity": self.accepted[rows],
                "price": -self.bids.side[rows] * self.paid[rows] / self.accepted[rows],
            }
        )

    def _by_carrier(self, columns: list[Floats]) -> "pd.DataFrame":
        import pandas as pd

        names = [one.name for one in self.carriers]
        return pd.DataFrame(dict(zip(names, columns, strict=True)), index=self._index())

    def _nodal(self, arrays: list[Floats]) -> "pd.DataFrame":
        names = [one.nodes if one.nodes != ("",) else ("price",) for one in self.carriers]
        return self._table(arrays, names)

    def _table(self, arrays: list[Floats], names: "list[tuple[str, ...]]") -> "pd.DataFrame":
        import pandas as pd

        if len(arrays) == 1:
            return pd.DataFrame(arrays[0], index=self._index(), columns=list(names[0]))
        pairs = [(one.name, name) for one, mine in zip(self.carriers, names, strict=True) for name in mine]
        columns = pd.MultiIndex.from_tuples(pairs, names=["carrier", "node"])
        return pd.DataFrame(np.concatenate(arrays, axis=1), index=self._index(), columns=columns)

    def _index(self) -> "pd.Index[Any]":
        import pandas as pd

        return pd.Index(self.period, name="period")


def _frame(columns: Binding | Paradoxes | None) -> "pd.DataFrame":
    from dataclasses import fields

    import pandas as pd

    if columns is None:
        return pd.DataFrame()
    return pd.DataFrame({one.name: getattr(columns, one.name) for one in fields(columns)})
