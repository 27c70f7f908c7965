"""Payments for a cleared market by a rule, and what can be said of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.market.mechanisms.capacity_limit import CapacityLimitResult
from gridagora.market.payments.deviations import Deviation, best_deviation
from gridagora.market.payments.excess import Excess, excess_of
from gridagora.market.payments.game import Market, by_name, check_best, market_of, parts, period_markets
from gridagora.market.payments.pay_as_bid import as_bid
from gridagora.market.payments.shapley import ShapleyOptions, ShapleyValues, shapley
from gridagora.market.payments.uniform import uniform
from gridagora.market.payments.vcg import vcg, vcg_one_sided
from gridagora.model.results import ClearingResult

if TYPE_CHECKING:
    import pandas as pd

RuleName = Literal["uniform", "pay_as_bid", "vcg", "vcg_one_sided", "shapley"]

SIMPLE_RULES = {"uniform": uniform, "pay_as_bid": as_bid, "vcg": vcg, "vcg_one_sided": vcg_one_sided}

LEEWAY = 1e-9
"""Share of the money at hand that counts as rounding error."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Payments:
    """Payments of every participant by one rule; tables and tests are made when they are asked for.

    Parameters
    ----------
    rule : name of the rule
    market : the market that was paid
    paid : per participant of the market, + received, - paid
    participants : whom to list, in this order; None: all who bid, in order of their names
    shapley : values, errors and methods where the rule is "shapley"
    options : how Shapley values are computed

    Examples
    --------
    >>> from gridagora.market import pay_as_cleared
    >>> from gridagora.model.bids import Bids
    >>> bids = Bids(side=["buy", "sell"], price=[10, 4], quantity=[1, 1], participant=["dso", "ann"])
    >>> found = payments(pay_as_cleared(bids), rule="vcg")
    >>> found.amounts.to_dict(), found.budget_balance, found.values.to_dict()
    ({'ann': 10, 'dso': -4}, -6, {'ann': 6, 'dso': 6})
    """

    rule: str
    market: Market
    paid: NDArray[Any]
    participants: tuple[Any, ...] | None
    options: ShapleyOptions
    shapley: ShapleyValues | None = None

    @property
    def amounts(self) -> "pd.Series[Any]":
        """Money per participant: + received, - paid."""
        return self._series(self.paid, "payment")

    @property
    def by_period(self) -> "pd.DataFrame":
        """Money per period (rows) and participant (columns), what is settled; sums to `amounts`.

        Whole money may be rounded once more in each period.  Raises `InputError` where blocks or limits of a
        day join periods: their payment has no share for one period.
        """
        import pandas as pd

        if self.market.rules.joins_periods:
            reason, fix = "blocks or limits of a day join the periods", "use amounts, of all periods together"
            check_faults(
                [Fault(source="payments", place="by_period", value=self.rule, reason=reason, fix=fix)]
            )
        rows = [_amounts(self.rule, part, options=self.options)[0] for part in period_markets(self.market)]
        series = [self._series(row, "payment") for row in rows]
        columns = self.amounts.index
        table = np.array(series).reshape(len(series), len(columns))
        return pd.DataFrame(table, index=pd.Index(self.market.period, name="period"), columns=columns)

    @property
    def values(self) -> "pd.Series[Any]":
        """What each participant gains, w + payment; for Shapley payments this is the Shapley value phi."""
        return self._series(self._gains, "value")

    @property
    def errors(self) -> "pd.Series[Any]":
        """By how much each value may be off: 0 unless Shapley values are rounded or sampled."""
        error = np.zeros(len(self.paid)) if self.shapley is None else self.shapley.error
        return self._series(error, "error")

    @property
    def budget_balance(self) -> Any:
        """What is left with the operator; negative is a deficit."""
        return (0 - np.sort(self.paid).sum()).item()

    @property
    def excess(self) -> Excess:
        """Excess of all coalitions (up to 20 players, 12 with blocks), or of the worst ones found (F14)."""
        return excess_of(self.market.names, self._gains.astype(np.float64), parts(self.market))

    @property
    def deviation(self) -> Deviation | None:
        """The false bid that pays best among those tried, see `deviations.best_deviation`."""
        rule = partial(_amounts, self.rule, options=self.options)
        return best_deviation(self.market, lambda market: rule(market)[0], self.paid)

    @property
    def properties(self) -> dict[str, bool | None]:
        """Whether the rule was budget balanced, individually rational and strategy-proof on this market.

        ``strategy_proof`` is False when a false bid paid among those tried on this very market, True when
        none
        did (no proof), and None where payments are sampled, so that gains are within the error.
        """
        money = float(np.abs(self.market.bids.price * self.market.bids.quantity).sum())
        leeway = LEEWAY * money + float(self.errors.abs().sum())
        sampled = self.shapley is not None and self.shapley.error.any()
        return {
            "budget_balanced": bool(abs(self.budget_balance) <= leeway),
            "individually_rational": bool((self._gains >= -leeway).all()),
            "strategy_proof": None if sampled else self.deviation is None,
        }

    @property
    def _gains(self) -> NDArray[Any]:
        gains: NDArray[Any] = self.market.own_value + self.paid
        return gains if self.shapley is None else self.shapley.values

    def _series(self, values: NDArray[Any], name: str) -> "pd.Series[Any]":
        import pandas as pd

        series = pd.Series(values, index=pd.Index(self.market.names, name="participant"), name=name)
        if self.participants is None:
            return series.sort_index()
        return series.reindex(pd.Index(self.participants, name="participant"), fill_value=0)


def payments(
    result: ClearingResult,
    *,
    rule: RuleName,
    participants: Iterable[Any] | None = None,
    nodes: int | None = None,
    samples: int = 1000,
    seed: int = 0,
    sampling: bool = False,
) -> Payments:
    """Compute what everyone pays or gets for a cleared market by a rule.

    A player is a participant with all its bids of all periods; what it does in several periods adds up.

    Parameters
    ----------
    result : of `capacity_limit_auction`, or of an energy auction that clears at the highest welfare
    rule : "uniform": the dual of the balance for all (F15; impact-based only).  "pay_as_bid": sellers get
    their
        own prices, buyers pay for it.  "vcg": v(N) - v(N without i) - w (F11, F12).  "vcg_one_sided":
        sellers as
        vcg, buyers pay their sum.  "shapley": phi - w (F13)
    participants : whom to list, in this order, also some without bids; all who bid, if left out
    nodes, samples, seed, sampling : see `ShapleyOptions`

    Returns
    -------
    Payments
        ``amounts`` (+ received, - paid), ``values``, ``errors``, ``budget_balance``, ``excess``,
        ``properties``.

    Raises
    ------
    InputError
        An unknown rule; uniform prices for ordered steps, blocks or a horizon; VCG or Shapley for a result
        that is
        not of the highest welfare.

    Notes
    -----
    MARKETS.md section 3, F11-F15; seed 003 section 3.4.3.  What holds: stating true prices is a dominant
    strategy under VCG, for sellers also under one-sided VCG; VCG runs a deficit, and under one-sided VCG a
    buyer can pay more than its utility.  Shapley payments sum to zero and leave nobody worse off, but a
    seller can gain by overstating its cost, and sellers who sell nothing are paid too.

    Examples
    --------
    >>> from gridagora.market.mechanisms.capacity_limit import capacity_limit_auction
    >>> from gridagora.model.bids import Bids
    >>> bids = Bids(side=["buy", "sell", "sell"], price=[10, 4, 6], quantity=[1, 1, 1],
    ...             participant=["d", "a", "b"])
    >>> found = payments(capacity_limit_auction(bids), rule="shapley")
    >>> found.values.round(4).to_dict(), found.amounts.round(4).to_dict()
    ({'a': 1.6667, 'b': 0.6667, 'd': 3.6667}, {'a': 5.6667, 'b': 0.6667, 'd': -6.3333})
    """
    check_faults(_option_faults(rule, nodes, samples))
    market = market_of(result)
    if rule == "shapley":
        market = by_name(market)  # samples must not depend on the order of the bids
    if rule not in ("uniform", "pay_as_bid") and not isinstance(result, CapacityLimitResult):
        check_best(market, parts(market))
    options = ShapleyOptions(nodes=nodes, samples=samples, seed=seed, sampling=sampling)
    paid, values = _amounts(rule, market, options=options)
    return Payments(
        rule=rule,
        market=market,
        paid=paid,
        participants=None if participants is None else tuple(participants),
        options=options,
        shapley=values,
    )


def _amounts(
    rule: str, market: Market, *, options: ShapleyOptions
) -> tuple[NDArray[Any], ShapleyValues | None]:
    if rule != "shapley":
        return SIMPLE_RULES[rule](market), None
    found = shapley(market, options)
    return found.values - market.own_value, found


def _option_faults(rule: str, nodes: int | None, samples: int) -> list[Fault]:
    faults: list[tuple[str, object, str, str]] = []
    if rule not in get_args(RuleName):
        faults.append(("rule", rule, "unknown rule", f"use one of {', '.join(get_args(RuleName))}"))
    if nodes is not None and nodes < 1:
        faults.append(("nodes", nodes, "is below 1", "write a number of nodes, or None"))
    if samples < 2:
        faults.append(("samples", samples, "leave no interval", "draw at least 2"))
    return [
        Fault(source="payments", place=place, value=value, reason=reason, fix=fix)
        for place, value, reason, fix in faults
    ]
