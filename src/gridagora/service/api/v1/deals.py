"""Whose flexibility is: deals of sellers and buyers, and what of an auction its bidders alone may see."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from gridagora.engine.live.refusals import refusal
from gridagora.errors import InputError
from gridagora.model.flexibility_events import (
    ContractDispatched,
    FlexAuctionCleared,
    FlexOrderTaken,
    ReservationsCalled,
)
from gridagora.model.flexibility_market import FlexMarketTerms
from gridagora.service.api.v1.tools import Live
from gridagora.service.auth.rights import Subject

Place = tuple[str, int, str]
"""Product, period and seller of an order."""


def flex_terms(live: Live) -> FlexMarketTerms:
    """Return the terms of the flexibility market, which must be open."""
    terms = live.state.flex.terms
    if terms is None:
        fix = "the operator opens it: POST /api/v1/flexibility/market"
        raise InputError([refusal("market_not_open", "flexibility market", None, fix=fix)])
    return terms


def deal(live: Live, seller: str, *buyers: str) -> Subject:
    """Return whose a deal is: its seller, and its buyers, organisations of grid operators.

    Who sells in the continuous market may be a grid operator too.
    """
    subject = live.subject(seller)
    return replace(subject, organisations=subject.organisations.union(buyers))


class Deals:
    """Who bought what is to be delivered, from the events of the flexibility market as they come.

    An auction pools its buyers: whoever bought in a period of it shares in all that was sold in that period.
    """

    def __init__(self) -> None:
        self._read = 0
        self._buyers: dict[Place, set[str]] = {}

    def follow(self, live: Live) -> "Deals":
        """Take in the events that came since."""
        terms = live.state.flex.terms
        new = live.follower.flex[self._read :]
        self._read += len(new)
        if terms is not None:
            for numbered in new:
                for place, buyer in _deals(live, terms, numbered.event):
                    if buyer in terms.buyers:
                        self._buyers.setdefault(place, set()).add(buyer)
        return self

    def buyers(self, product: str, period: int, seller: str) -> set[str]:
        """Return the grid operators that bought of a seller."""
        return self._buyers.get((product, period, seller), set())


def deals_of(live: Live) -> Deals:
    """Return the deals of a market up to now."""
    found: Deals = live.deals or Deals()
    live.deals = found
    return found.follow(live)


def _deals(live: Live, terms: FlexMarketTerms, event: Any) -> Iterator[tuple[Place, str]]:
    match event:
        case FlexAuctionCleared() if event.auction.horizon == "activation":
            yield from _of_auction(terms, event)
        case ContractDispatched():
            yield from _of_contract(live, terms, event.contract, periods=event.periods)
        case ReservationsCalled():
            for id_ in event.contracts if event.test else ():
                yield from _of_contract(live, terms, id_, periods=event.periods)
            products = {entry.contract.id: terms.products[entry.product][0] for entry in _entries(live)}
            yield from _of_trades(products[event.contracts[0]], event.trades)
        case FlexOrderTaken():
            yield from _of_trades(event.product, event.trades)


def _of_auction(terms: FlexMarketTerms, event: FlexAuctionCleared) -> Iterator[tuple[Place, str]]:
    names, taken = terms.participants_then(len(event.capacity_kw)), event.accepted_kw > 0
    for period in np.unique(event.period[taken]).tolist():
        here = taken & (event.period == period)
        buyers = [names[code] for code in np.unique(event.participant[here & (event.side > 0)]).tolist()]
        for code in np.unique(event.participant[here & (event.side < 0)]).tolist():
            for buyer in buyers:
                yield (event.auction.product, period, names[code]), buyer


def _entries(live: Live) -> Any:
    return live.state.flex.contracts


def _of_contract(
    live: Live, terms: FlexMarketTerms, id_: str, *, periods: tuple[int, ...]
) -> Iterator[tuple[Place, str]]:
    entry = next(entry for entry in _entries(live) if entry.contract.id == id_)
    for period in periods:
        yield (terms.products[entry.product][0], period, entry.contract.seller), entry.contract.buyer


def _of_trades(product: str, trades: Any) -> Iterator[tuple[Place, str]]:
    for one in trades:
        for period in range(one.first, one.first + one.periods):
            yield (product, period, one.seller), one.buyer
