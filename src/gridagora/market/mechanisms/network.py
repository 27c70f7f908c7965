"""The energy market that knows its wires: one price per node, at the highest welfare the network allows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, SolverError
from gridagora.market._network_conflict import check_conditions, explain
from gridagora.market._network_limits import Cuts
from gridagora.market._network_market import Market, read_market
from gridagora.market._network_outcome import (
    BidOutcome,
    all_prices,
    bid_outcome,
    binding_of,
    carrier_outcome,
)
from gridagora.market._network_paradox import Units, compensate, find_paradoxes, units_of
from gridagora.market._network_plate import clear_plates
from gridagora.market._network_prices import price_duals
from gridagora.market._network_rules import Rules, auction_rules
from gridagora.market._network_solve import Solved, share_ties, solve_market
from gridagora.market._network_start import Warm
from gridagora.market.network_result import NetworkResult, Paradoxes
from gridagora.model.bids import Bids
from gridagora.model.dependencies import Carrier, Dependency, Rolling
from gridagora.model.linear_network import LinearNetwork

if TYPE_CHECKING:
    import pandas as pd

ParadoxRule = Literal["report", "compensate", "reclear"]
Floats = NDArray[np.float64]

SNAP = 1e-9
"""Quantities this share of the largest bid from 0 or from the whole bid are that."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cleared:
    """A cleared market: program, duals, outcome per bid, and what prices do not explain."""

    solved: Solved
    duals: Floats
    of_bids: BidOutcome
    paradoxes: Paradoxes


def network_auction(
    bids: Bids,
    *,
    network: "LinearNetwork | pd.DataFrame | None" = None,
    carriers: "Mapping[str, LinearNetwork | pd.DataFrame | None] | Sequence[Carrier] | None" = None,
    dependencies: Sequence[Dependency] | None = None,
    horizon: Rolling | None = None,
    blocks: Literal["group"] | ArrayLike | None = None,
    power_factor: ArrayLike | None = None,
    kvar_limits: tuple[ArrayLike, ArrayLike] | None = None,
    paradoxes: ParadoxRule = "report",
    period_hours: float = 1.0,
    unit_kwh: float = 1.0,
    gap: float = 0.0,
) -> NetworkResult:
    """Clear a double auction on a network at the highest welfare, all periods and carriers at once.

    Every accepted kWh must pass the wires, so prices differ by node; upstream orders are bids at the slack.

    Parameters
    ----------
    bids : ``node`` names a node of the carrier's network, ``carrier`` the carrier (default: the first)
    network : of electricity: from `Grid.linear_network`, `LinearNetwork.from_table`, or such a table; None:
        a copper plate
    carriers : networks of carriers by name, or `Carrier` values; a converter (heat pump, CHP, chiller) is a
        bid on each side joined by `Dependency.sum_of` with its efficiency as coefficient
    dependencies : conditions between bids, by row
    horizon : `Rolling`: only the first periods are paid; None: all
    blocks : None; a least share per bid that is accepted if any is (1: all or nothing); or "group": bids of
        one participant with the same ``group`` are accepted in whole or not at all
    power_factor : of bids, one or per bid (NaN: that of the node); > 0 draws reactive power while importing
    kvar_limits : (least, most) reactive import that each bid's inverter adds at no cost, kvar
    paradoxes : what happens to units (bids that switches or conditions join) accepted at a loss: "report";
        "compensate": they are made whole from the rent, then by those who gain, in proportion; "reclear":
        they are left out and the market is cleared again until there are none, but for those without
        which it has no answer, which are told as "forced"
    period_hours, unit_kwh : length of a period, h, and what one unit of quantity is, kWh
    gap : relative gap of the mixed-integer program

    Returns
    -------
    NetworkResult
        Integer bids give floats, but on a plain copper plate.

    Raises
    ------
    InputError
        Lists every fault: unknown nodes, carriers or bids, conditions that cannot hold together, a carrier
        nobody supplies, values out of range.
    InfeasibleMarket
        Conditions and limits exclude each other; it names a smallest such set.

    Notes
    -----
    E1 and E2 of MARKETS.md section 2; seed 003 section 3.3 (3-1, 3-2).  Prices are duals, with what is on or
    off held fixed.  Tie rule: where several price vectors support the optimum, the middle of those with the
    lowest and the highest sum of nodal prices; at one node the middle of its interval, as `pay_as_cleared`.
    Equal bids of a node share pro rata.  Losses are linear with a floor at 0.

    Examples
    --------
    >>> import pandas as pd
    >>> line = pd.DataFrame({"from": ["n"], "to": ["s"], "capacity_kw": [100.0]})
    >>> bids = Bids(side=["sell", "sell", "sell", "buy", "buy"], price=[0, 20, 60, 200, 65.0],
    ...             quantity=[120, 50, 70, 150, 40.0], node=["n", "n", "s", "s", "s"])
    >>> result = network_auction(bids, network=line)
    >>> result.prices.loc[0].to_dict(), result.welfare, float(result.budget_balance)
    ({'n': 0.0, 's': 65.0}, 27100.0, 6500.0)
    """
    rules = auction_rules(
        bids,
        network=network,
        carriers=carriers,
        dependencies=dependencies,
        blocks=blocks,
        power_factor=power_factor,
        kvar_limits=kvar_limits,
        period_hours=period_hours,
        unit_kwh=unit_kwh,
        gap=gap,
    )
    return clear_network(bids, rules, horizon=horizon, paradoxes=paradoxes)[0]


def clear_network(
    bids: Bids,
    rules: Rules,
    *,
    horizon: Rolling | None = None,
    paradoxes: ParadoxRule = "report",
    warm: Warm | None = None,
) -> tuple[NetworkResult, Warm | None]:
    """Clear by rules read already; ``warm`` is what an earlier clearing learned of the same periods."""
    found = _rule_faults(horizon, paradoxes)
    market = read_market(bids, replace(rules, faults=(*rules.faults, *found)))
    binding = None if horizon is None else min(horizon.first_binding, len(market.period))
    is_plain = not rules.dependencies and rules.blocks is None
    if len(bids) == 0 or (is_plain and all(one.network is None for one in rules.carriers)):
        return clear_plates(bids, rules.carriers, binding=binding, kw_per_unit=rules.kw_per_unit), None
    check_conditions(market)
    units = units_of(market)
    try:
        cleared = _cleared(market, rules, units, warm=warm)
    except SolverError:
        conflict = explain(market)
        if conflict is None:
            raise
        raise conflict from None
    if paradoxes == "reclear":
        cleared = _cleared_again(market, rules, units, first=cleared, warm=warm)
    learned = _learned(market, cleared)
    return _result(bids, market, cleared, binding=binding, paid=paradoxes == "compensate"), learned


def _cleared(
    market: Market,
    rules: Rules,
    units: Units,
    *,
    off: NDArray[np.bool_] | None = None,
    warm: Warm | None = None,
) -> Cleared:
    """Solve, take the prices, share ties, look for paradoxes."""
    solved = solve_market(market, gap=rules.gap, off=off, warm=warm)
    duals = price_duals(market, solved)
    quantity = solved.answer.values[: len(market)] / solved.program.quantity_scale
    near = SNAP * float(market.quantity.max(initial=0))
    quantity = np.where(
        quantity < near, 0.0, np.where(quantity > market.quantity - near, market.quantity, quantity)
    )
    tied = sorted({row for one in market.dependencies for row in one.bids})
    accepted = share_ties(market, quantity, tied=tied)
    of_bids = bid_outcome(market, solved, accepted, prices=all_prices(market, solved, duals))
    found = find_paradoxes(market, units, accepted, price=of_bids.price)
    return Cleared(solved=solved, duals=duals, of_bids=of_bids, paradoxes=found)


def _rule_faults(horizon: object, paradoxes: object) -> Iterator[Fault]:
    source = "network_auction"
    if paradoxes not in ("report", "compensate", "reclear"):
        reason, fix = "unknown rule", "write report, compensate or reclear"
        yield Fault(source=source, place="paradoxes", value=paradoxes, reason=reason, fix=fix)
    if horizon is not None and not isinstance(horizon, Rolling):
        reason, fix = "is no horizon", "give Rolling(first_binding=...), or None: all periods hold"
        yield Fault(source=source, place="horizon", value=horizon, reason=reason, fix=fix)


def _cleared_again(
    market: Market, rules: Rules, units: Units, *, first: Cleared, warm: Warm | None
) -> Cleared:
    """Leave out units accepted at a loss until there are none but those that the market cannot do without.

    Where it has no answer without all of them, the one that loses most is tried alone; if it cannot be left
    out either, conditions or limits force it in.
    """
    cleared, forced = first, set[int]()
    while True:
        found = cleared.paradoxes
        open_units = (found.kind == "accepted") & ~np.isin(found.unit, sorted(forced))
        lossy = found.unit[open_units]
        if not len(lossy):
            kind = np.where(found.kind == "accepted", "forced", found.kind)
            return replace(cleared, paradoxes=replace(found, kind=kind))
        worst = lossy[[np.argmax(found.loss[open_units])]]
        for chosen in (lossy, worst) if (lossy != worst).any() else (lossy,):
            try:
                cleared = _cleared(
                    market, rules, units, off=_off(market, units, cleared, chosen=chosen), warm=warm
                )
                break
            except SolverError:
                continue
        else:
            forced.add(int(worst[0]))


def _off(market: Market, units: Units, cleared: Cleared, *, chosen: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the switches to leave off: those off already, and those of the chosen units."""
    off = np.zeros(market.switches, dtype=np.bool_)
    lossy = np.isin(units.of_bid, chosen) & (market.switch >= 0)
    off[market.switch[lossy]] = True
    hung = np.flatnonzero(market.switch >= 0)
    off[market.switch[hung]] |= ~cleared.solved.allowed[market.switch[hung]]
    return off


def _result(
    bids: Bids, market: Market, cleared: Cleared, *, binding: int | None, paid: bool
) -> NetworkResult:
    """Put everything back into the order of the bids."""
    solved, of_bids, found = cleared.solved, cleared.of_bids, cleared.paradoxes
    prices = all_prices(market, solved, cleared.duals)
    outcomes = [
        carrier_outcome(market, solved, number, of_bids=of_bids, prices=prices[number])
        for number in range(len(market.carriers))
    ]
    held = market.slot < (len(market.period) if binding is None else binding)
    money = np.where(held, of_bids.paid, 0.0)
    extra = None
    if paid:
        given = np.where(held, of_bids.accepted, 0.0)
        rent = -float(money.sum())
        extra = compensate(market, found, given, price=of_bids.price, rent=rent)
        money = money + extra
    return NetworkResult(
        bids=bids,
        accepted=_unsorted(of_bids.accepted, market),
        period=market.period,
        price=outcomes[0].price[:, outcomes[0].slack].copy(),
        paid_by_bid=_unsorted(money, market),
        carriers=tuple(outcomes),
        binding_limits=binding_of(market, solved, cleared.duals, outcomes=outcomes),
        paradoxes=replace(found, bid=market.order[found.bid]),
        kvar=_unsorted(of_bids.kvar, market),
        binding_periods=binding,
        compensation=None if extra is None else _unsorted(extra, market),
        kw_per_unit=market.kw_per_unit,
    )


def _learned(market: Market, cleared: Cleared) -> Warm:
    """Keep prices and the limits with a dual for the next clearing."""
    solved = cleared.solved
    prices = all_prices(market, solved, cleared.duals)
    duals = cleared.duals[len(solved.program.linear.row_lower) :]
    bound = np.abs(duals) > 0
    cuts = solved.cuts
    return Warm(
        period=market.period,
        price=tuple(one.price for one in prices),
        reactive=tuple(one.reactive for one in prices),
        cuts=Cuts(block=cuts.block[bound], slot=cuts.slot[bound], row=cuts.row[bound]),
        at_upper=duals[bound] < 0,
    )


def _unsorted(values: Floats, market: Market) -> Floats:
    out = np.empty_like(values)
    out[market.order] = values
    return out
