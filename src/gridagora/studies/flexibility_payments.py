"""What every payment rule would have paid on the days of a flexibility market, side by side.

All activation bids of a local day are one game (v is additive over periods, so payments of a day are sums of
its periods), cleared again from the bids as they were: MARKETS section 3, F11-F15, seed 003 tables 3-6, 3-9.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gridagora.market import CapacityLimitResult, capacity_limit_auction
from gridagora.market.payments import Payments, payments
from gridagora.market.payments.rules import LEEWAY, RuleName
from gridagora.model.bids import Bids
from gridagora.model.flexibility_events import FlexAuctionCleared
from gridagora.studies.flexibility_view import Columns, FlexView, frame_of, views
from gridagora.studies.record import RunRecord

RULE_NAMES: tuple[RuleName, ...] = ("shapley", "vcg", "vcg_one_sided", "uniform", "pay_as_bid")
"""Rules in the order in which the tables of the seed compare them."""

PAYMENTS: dict[str, str] = {
    "strategy": "text",
    "day": "text",
    "product": "text",
    "participant": "text",
    "shapley_value": "float",
    "cost_or_utility": "float",
    **dict.fromkeys(RULE_NAMES, "float"),
}

RULES = {
    "strategy": "text",
    "day": "text",
    "product": "text",
    "rule": "text",
    "settled": "flag",
    "budget_balance": "float",
    "largest_excess": "float",
    "coalition": "text",
    "budget_balanced": "flag",
    "individually_rational": "flag",
    "strategy_proof": "text",
}

PROVEN = {True: "no false bid paid", False: "no", None: "not known"}


@dataclass(frozen=True, kw_only=True, slots=True)
class DayGame:
    """All auctions of one day and product, with what every rule pays for them; "uniform" may be missing."""

    view: FlexView
    day: str
    product: str
    settled_by: str
    paid: dict[str, Payments]

    @property
    def people(self) -> list[str]:
        """Who has a row: the buyers, then all connection points."""
        return [*self.view.terms.buyers, *self.view.points]


def day_games(record: RunRecord) -> list[DayGame]:
    """Clear each day of every strategy again and pay it by every rule that fits."""
    return [game for view in views(record) for game in _games(view)]


def _games(view: FlexView) -> Iterator[DayGame]:
    days = view.record.study.axis.local_dates
    held: dict[tuple[str, str, bool], list[FlexAuctionCleared]] = {}
    for event in view.activations:
        if len(event.period) and event.auction.first + event.auction.count <= view.record.periods:
            key = (str(days[event.auction.first]), event.auction.product, event.auction.ordered)
            held.setdefault(key, []).append(event)
    for (day, product, ordered), auctions in held.items():
        result = _cleared(view, auctions, ordered=ordered)
        rules = [name for name in RULE_NAMES if name != "uniform" or result.rules.is_plain]
        people = [*view.terms.buyers, *view.points]
        yield DayGame(
            view=view,
            day=day,
            product=product,
            settled_by=auctions[0].payment_rule,
            paid={rule: payments(result, rule=rule, participants=people) for rule in rules},
        )


def _cleared(view: FlexView, auctions: list[FlexAuctionCleared], *, ordered: bool) -> CapacityLimitResult:
    """Return all auctions of a day as one: each period of each auction is a market of its own."""

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(event, name) for event in auctions])

    places = np.repeat(np.arange(len(auctions)), [len(event.period) for event in auctions])
    group = joined("group")
    bids = Bids(
        side=joined("side"),
        price=joined("price"),
        quantity=joined("quantity_kw"),
        participant=view.names[joined("participant")].astype(np.str_),
        period=places * view.record.study.axis.periods + joined("period"),
        group=group,
        step=joined("step"),
    )
    blocks = "group" if (group != "").any() else None
    direction = dict(view.terms.products)[auctions[0].auction.product].direction
    return capacity_limit_auction(bids, ordered=ordered, blocks=blocks, direction=direction)


def payments_table(record: RunRecord, games: list[DayGame]) -> pd.DataFrame:
    """One row per strategy, day and participant: what each rule pays, + received, - paid.

    ``cost_or_utility`` is -w as in the seed, so that the Shapley payment is ``shapley_value`` plus it.
    """
    parts = []
    for game in games:
        shapley = game.paid["shapley"]
        count = len(game.people)
        part: Columns = {
            "strategy": np.full(count, game.view.strategy.name),
            "day": np.full(count, game.day),
            "product": np.full(count, game.product),
            "participant": game.people,
            "shapley_value": shapley.values.to_numpy(),
            "cost_or_utility": (shapley.amounts - shapley.values).to_numpy(),
        }
        for rule in RULE_NAMES:
            paid = game.paid.get(rule)
            part[rule] = np.full(count, np.nan) if paid is None else paid.amounts.to_numpy(dtype=np.float64)
        parts.append(part)
    return frame_of(record, PAYMENTS, parts)


def rules_table(record: RunRecord, games: list[DayGame]) -> pd.DataFrame:
    """One row per strategy, day and rule: budget balance, largest excess (F14) and what held on that day."""
    rows = [_rule(game, rule, paid) for game in games for rule, paid in game.paid.items()]
    return frame_of(record, RULES, rows)


def _held(paid: Payments) -> Columns:
    """Return what held on a day.

    With blocks each false bid would take some hundred mixed-integer programs, so none is tried.
    """
    if not paid.market.rules.joins_periods:
        found: Columns = dict(paid.properties)
        return found | {"strategy_proof": PROVEN[found["strategy_proof"]]}
    bids = paid.market.bids
    leeway = LEEWAY * float(np.abs(bids.price * bids.quantity).sum()) + float(paid.errors.abs().sum())
    return {
        "budget_balanced": bool(abs(paid.budget_balance) <= leeway),
        "individually_rational": bool((paid.values >= -leeway).all()),
        "strategy_proof": "not tested",
    }


def _rule(game: DayGame, rule: str, paid: Payments) -> Columns:
    excess, held = paid.excess, _held(paid)
    row = {
        "strategy": game.view.strategy.name,
        "day": game.day,
        "product": game.product,
        "rule": rule,
        "settled": rule == game.settled_by,
        "budget_balance": float(paid.budget_balance),
        "largest_excess": excess.maximum,
        "coalition": ", ".join(map(str, excess.most_violated)),
        **held,
    }
    return {name: [value] for name, value in row.items()}
