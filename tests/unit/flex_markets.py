"""A small flexibility market for tests: three points, one grid operator, hours from 1970 on."""

from typing import Any

import numpy as np

from gridagora.adapters.stores import MemoryStore
from gridagora.engine.flexibility.commands import (
    ClearFlexAuction,
    CloseFlexGate,
    OpenFlexAuction,
    OpenFlexMarket,
    RecordFlexReadings,
    SettleFlexPeriods,
    SubmitFlexBids,
    SubmitFlexOrder,
)
from gridagora.engine.flexibility.machine import FlexMarket
from gridagora.errors import Fault, InputError
from gridagora.model.bids import Bids
from gridagora.model.continuous import FlexBid
from gridagora.model.flexibility import FlexProduct
from gridagora.model.flexibility_market import (
    ConnectionPoint,
    ContractRules,
    FlexAuction,
    FlexMarketTerms,
)

H = 3600
NAMES = ("ann", "bob", "cat")
CAP = FlexProduct(direction="cap")
DOWN = FlexProduct(direction="down")


def terms(**changed: Any) -> FlexMarketTerms:
    points = tuple(
        ConnectionPoint(participant=name, bus=f"bus {name}", import_kw=kw, export_kw=kw / 2)
        for name, kw in zip(NAMES, (10.0, 8.0, 6.0), strict=True)
    )
    given = {
        "points": points,
        "buyers": ("DSO",),
        "products": (("cap", CAP),),
        "start": 0,
        "first": 0,
        "periods": 24,
        "period_hours": 1.0,
        "settlement": ("capacity_limit",),
        "reservation_payment": "pay_as_bid",
        "penalty_micro_per_kwh": 500_000,
    }
    return FlexMarketTerms(**(given | changed))


def opened(**changed: Any) -> FlexMarket:
    market = FlexMarket(MemoryStore())
    market.do(OpenFlexMarket(at=-200 * H, terms=terms(**changed)))
    return market


def bids(*rows: tuple[str, str, int, float, float]) -> Bids:
    """Rows of (participant, side, period, kW, price); steps are numbered in their order."""
    count: dict[tuple[str, str, int], int] = {}
    steps = []
    for row in rows:
        steps.append(count.get(row[:3], 0))
        count[row[:3]] = steps[-1] + 1
    names, side, period, kw, price = zip(*rows, strict=True)
    return Bids(side=side, price=price, quantity=kw, participant=names, period=period, step=steps)


def auction(market: FlexMarket, offers: Any, *, at: int, first: int, count: int = 1, **more: Any) -> Any:
    """Open, bid into and clear an auction; returns what was cleared."""
    number = len(market.state.auctions)
    given = {"horizon": "activation", "product": "cap", "gate": at + 1} | more
    market.do(OpenFlexAuction(at=at, auction=FlexAuction(number=number, first=first, count=count, **given)))
    market.do(SubmitFlexBids(at=at, auction=number, bids=offers))
    return market.do(ClearFlexAuction(at=at + 1, auction=number))


def reserve(market: FlexMarket, offers: Any, *, first: int, count: int = 1, **rules: Any) -> Any:
    contract = ContractRules(**({"activation_cap": 0.4} | rules))
    return auction(
        market, offers, at=-100 * H, first=first, count=count, horizon="reservation", contract=contract
    )


def order(market: FlexMarket, who: str, side: Any, period: int, *, kw: float, price: float, at: int) -> Any:
    number = market.state.books[0].last_number + 1
    bid = FlexBid(
        number=number, participant=who, side=side, direction="cap", first=period, periods=1,
        quantity_kw=kw, price=price,
    )  # fmt: skip
    return market.do(SubmitFlexOrder(at=at, product="cap", bid=bid))


def settle(market: FlexMarket, first: int, readings: Any, baseline: Any = None) -> Any:
    """Close the gate up to the end of the readings, record and settle them."""
    metered = np.asarray(readings, np.float64)
    end = first + metered.shape[1]
    at = max(end * H, market.state.at or 0)
    if market.state.open_from < end:
        market.do(CloseFlexGate(at=at, before=end))
    market.do(RecordFlexReadings(at=at, first=first, metered_kw=metered, baseline_kw=baseline))
    return market.do(SettleFlexPeriods(at=at, first=first, count=metered.shape[1]))


def faults_of(market: FlexMarket, command: Any) -> tuple[Fault, ...]:
    """Faults of a command that must be refused, and leave no trace."""
    before, head = market.state, market._store.head()
    try:
        market.do(command)
    except InputError as error:
        assert market.state is before
        assert market._store.head() == head
        return error.faults
    raise AssertionError("the command was taken")
