"""Random histories of a flexibility market: no money is made or lost, nobody oversells, and replay agrees."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gridagora.adapters.stores import MemoryStore
from gridagora.engine.flexibility.commands import (
    AwardTender,
    CallReservations,
    CancelFlexOrder,
    ClearFlexAuction,
    CloseFlexGate,
    DispatchContract,
    FlexCommand,
    OpenFlexAuction,
    OpenFlexMarket,
    PairRedispatch,
    RecordFlexReadings,
    ReleaseReservation,
    SettleFlexPeriods,
    SubmitFlexBids,
    SubmitFlexOrder,
    WithdrawFlexBids,
)
from gridagora.engine.flexibility.machine import FlexMarket, replay
from gridagora.errors import InputError
from gridagora.ledger import Postings, check_postings
from gridagora.market.mechanisms.redispatch_pairs import RedispatchOrder
from gridagora.model.continuous import FlexBid
from gridagora.model.events import canonical_bytes
from gridagora.model.flexibility import FlexProduct
from gridagora.model.flexibility_events import (
    FlexAuctionCleared,
    FlexOrderTaken,
    FlexSettled,
    ReservationsCalled,
)
from gridagora.model.flexibility_market import (
    ConnectionPoint,
    ContractRules,
    FlexAuction,
    FlexMarketTerms,
)
from gridagora.model.reservation import Tender, TenderBid

POINTS = ("ann", "bob", "cat", "dan")
BUYERS = ("DSO", "TSO")
PERIODS = 8
HOURS = 0.25
PRODUCTS = (
    ("cap", FlexProduct(direction="cap")),
    ("up", FlexProduct(direction="up", max_activations_per_day=1)),
)
RULES = ("uniform", "pay_as_bid", "vcg", "vcg_one_sided", "shapley")
SETTLEMENTS = ("capacity_limit", "pay_delivered", "sliding_50", "threshold_75", "uftp")
FEES = ("offered", "delivered", "previous")


class Trader:
    """Sends random commands, sound and unsound ones; a refused one must change nothing."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.market = FlexMarket(MemoryStore())
        self.now = -10_000
        self.taken = self.refused = 0

    def pick(self, values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def some(self, high: int) -> int:
        return int(self.rng.integers(high))

    def kw(self, most: float = 6.0) -> float:
        return round(float(self.rng.uniform(0.2, most)), 3)

    def price(self) -> float:
        return round(float(self.rng.uniform(0, 2)), 4)

    def do(self, command: FlexCommand) -> bool:
        before, head = self.market.state, self.market._store.head()
        try:
            self.market.do(command, feasible=lambda delta: ("a line",) if len(delta) > 4 else ())
        except InputError:
            assert self.market.state is before
            assert self.market._store.head() == head
            self.refused += 1
            return False
        self.taken += 1
        return True

    def open(self) -> None:
        points = tuple(
            ConnectionPoint(participant=name, bus=name, import_kw=self.kw(12) + 4, export_kw=self.kw(9))
            for name in POINTS
        )
        terms = FlexMarketTerms(
            points=points, buyers=BUYERS, products=PRODUCTS, start=0, first=0, periods=PERIODS,
            period_hours=HOURS, settlement=(self.pick(SETTLEMENTS), self.pick(SETTLEMENTS)),
            reservation_payment=self.pick(RULES), activation_payment=self.pick(RULES),
            fee_rule=self.pick(FEES), penalty_micro_per_kwh=self.some(900_000),
            gate_closure_periods=self.some(2), most_missing_percent=self.pick((5.0, 30.0)),
        )  # fmt: skip
        assert self.do(OpenFlexMarket(at=self.now, terms=terms))

    def bids(self, first: int, count: int) -> dict[str, list[Any]]:
        rows = [
            (name, side, first + period, step, self.kw(4), price, block if side == "sell" else "")
            for name, side in [(self.pick(BUYERS), "buy"), *((name, "sell") for name in POINTS)]
            for period in range(count)
            if self.rng.random() < 0.8
            for block in [self.pick(("", "", "", "night"))]
            for step, price in enumerate(sorted([self.price() for _ in range(1 + self.some(2))]))
        ]
        names = ("participant", "side", "period", "step", "quantity", "price", "group")
        return {name: [row[place] for row in rows] for place, name in enumerate(names)}

    def auction(self) -> None:
        number, horizon = (
            len(self.market.state.auctions),
            self.pick(("activation", "activation", "reservation")),
        )
        first = self.some(PERIODS)
        count = 1 + self.some(min(2, PERIODS - first))
        rules = ContractRules(
            activation_cap=self.price(),
            auto_offer=bool(self.some(2)),
            rest_periods=self.some(2),
            activation=self.pick(("auction", "continuous")),
            max_tests=self.some(3),
        )
        auction = FlexAuction(
            number=number, horizon=horizon, product=self.pick(PRODUCTS)[0], first=first, count=count,
            gate=self.now + 5, ordered=bool(self.some(2)),
            contract=rules if horizon == "reservation" else None,
        )  # fmt: skip
        if not self.do(OpenFlexAuction(at=self.now, auction=auction)):
            return
        for _ in range(2):
            self.do(SubmitFlexBids(at=self.now, auction=number, bids=self.bids(first, count)))
        if self.some(3) == 0:
            self.do(WithdrawFlexBids(at=self.now, auction=number, participant=self.pick(POINTS)))
        if self.some(2):
            self.order()
        self.now += 5
        self.do(ClearFlexAuction(at=self.now, auction=number))

    def order(self) -> None:
        product, side = self.some(2), self.pick(("buy", "sell"))
        name, attributes = PRODUCTS[product]
        bid = FlexBid(
            number=self.market.state.books[product].last_number + 1,
            participant=self.pick(POINTS + BUYERS), side=side,
            direction=attributes.direction, first=self.some(PERIODS), periods=1 + self.some(2),
            quantity_kw=self.kw(3), price=self.price(), fill=self.pick(("normal", "normal", "fill_and_kill")),
            valid_until=self.pick((None, None, self.now + 400)),
            contract=self.contract_name() if side == "sell" else "",
        )  # fmt: skip
        if bid.contract and bid.side == "sell":
            held = next(h for h in self.market.state.contracts if h.contract.id == bid.contract).contract
            bid = replace(
                bid, participant=held.seller, first=held.periods[0], periods=1, price=bid.price / 10
            )
        self.do(SubmitFlexOrder(at=self.now, product=name, bid=bid))
        if self.some(8) == 0:
            self.do(
                CancelFlexOrder(
                    at=self.now, product=name, number=self.some(bid.number + 1), participant=self.pick(POINTS)
                )
            )

    def contract_name(self) -> str:
        """Name of a contract for one of three orders."""
        contracts = self.market.state.contracts
        return self.pick(contracts).contract.id if contracts and self.some(3) == 0 else ""

    def contract(self) -> None:
        contracts = self.market.state.contracts
        if not contracts:
            bids = tuple(
                TenderBid(
                    participant=name, max_kw=self.kw(), availability=self.price(), utilisation=self.price()
                )
                for name in POINTS
            )
            tender = Tender(
                activation=self.pick(("dispatch", "continuous")),
                auto_offer=True,
                name="t",
                buyer=self.pick(BUYERS),
                product=PRODUCTS[0][1],
                windows=((4, 3),),
                need_kw=[self.kw()],
            )
            self.do(AwardTender(at=self.now, product="cap", tender=tender, bids=bids))
            return
        held = self.pick(contracts).contract
        start = self.some(len(held.periods))
        periods, test = held.periods[start : start + 1], self.some(4) == 0
        kw = (self.kw(4),) * len(periods)
        self.do(
            self.pick(
                (
                    CallReservations(
                        at=self.now, contracts=(held.id,), periods=periods, requested_kw=kw, test=test
                    ),
                    DispatchContract(at=self.now, contract=held.id, periods=periods, kw=kw, test=test),
                    ReleaseReservation(at=self.now, contract=held.id, periods=periods, kw=kw),
                )
            )
        )

    def redispatch(self) -> None:
        period = self.some(PERIODS)
        inside = (
            RedispatchOrder(participant="ann", side="sell", period=period, kw=self.kw(), price=self.price()),
        )
        outside = tuple(
            RedispatchOrder(participant=name, side="buy", period=period, kw=self.kw(), price=self.price())
            for name in ("bob", "cat")
        )
        shares = {"DSO": 1.0 + self.some(3), "TSO": 1.0}
        command = PairRedispatch(
            at=self.now, inside=inside, outside=outside, needed_kw={period: self.kw()}, shares=shares
        )
        self.do(command)

    def live(self) -> None:
        """Trade, close gates as time goes by, read meters and settle."""
        steps = (
            self.auction,
            self.auction,
            self.order,
            self.order,
            self.order,
            self.contract,
            self.redispatch,
        )
        for _ in range(25):
            self.pick(steps)()
        for period in range(PERIODS):
            self.now = max(self.now, round(period * HOURS * 3600))
            for _ in range(3):
                self.pick(steps)()
            self.do(CloseFlexGate(at=self.now, before=period + 1))
        self.now = max(self.now, round(PERIODS * HOURS * 3600))
        finer = self.pick(((), (4,)))
        metered = self.rng.uniform(-8, 14, (len(POINTS), PERIODS, *finer))
        metered[self.rng.random(metered.shape) < 0.1] = np.nan
        baseline = self.rng.uniform(-4, 8, metered.shape[:2])
        assert self.do(RecordFlexReadings(at=self.now, first=0, metered_kw=metered, baseline_kw=baseline))
        assert self.do(SettleFlexPeriods(at=self.now, first=0, count=3))
        assert self.do(SettleFlexPeriods(at=self.now, first=3, count=PERIODS - 3))
        assert not self.do(SettleFlexPeriods(at=self.now, first=2, count=1))


@pytest.fixture(scope="module", params=range(16))
def trader(request: pytest.FixtureRequest) -> Trader:
    trader = Trader(request.param)
    trader.open()
    trader.live()
    return trader


def test_money_sums_to_zero(trader: Trader) -> None:
    settled = [event for event in trader.market._store.events() if isinstance(event, FlexSettled)]
    for event in settled:
        check_postings(Postings(entry=event.entry, account=event.account, amount=event.amount))
    keys = [key for event in settled for key in np.unique(event.entry).tolist()]
    assert len(set(keys)) == len(keys)
    assert trader.market.state.balance.sum() == 0
    total = sum(int(event.payment_micro.sum()) for event in settled)
    assert total == trader.market.state.balance[len(POINTS) : len(POINTS) + len(BUYERS)].sum()
    surplus = sum(int(event.surplus_micro.sum()) for event in settled)
    assert surplus == trader.market.state.balance[len(POINTS) + len(BUYERS) + 3]


def test_what_points_sold_is_what_buyers_hold_and_below_their_capacity(trader: Trader) -> None:
    state = trader.market.state
    for period in state.periods:
        sold = period.sold_kw
        assert sold[:, : len(POINTS)].sum(axis=1) == pytest.approx(
            sold[:, len(POINTS) :].sum(axis=1), abs=1e-6
        )
        for product, (name, _) in enumerate(PRODUCTS):
            assert (period.ordered_kw[product] <= state.open_terms.capacity_kw(name) + 1e-6).all()
            assert (period.ordered_kw >= 0).all()
        assert (sold >= -1e-6).all()


def test_nobody_is_paid_more_than_was_agreed(trader: Trader) -> None:
    for event in trader.market._store.events():
        if isinstance(event, FlexSettled):
            assert (event.claw_back_micro >= 0).all()
            assert (event.claw_back_micro <= np.maximum(event.due_micro, 0)).all()
            assert (event.penalty_micro >= 0).all()
            assert (event.withheld_micro >= 0).all()
            assert (event.withheld_micro <= event.fee_micro).all()


def test_called_holders_owe_no_more_than_they_reserved(trader: Trader) -> None:
    for held in trader.market.state.contracts:
        owed = np.array([held.owed_kw(period) for period in held.contract.periods])
        assert (owed <= np.asarray(held.contract.reserved_kw) + 1e-9).all()
    for event in trader.market._store.events():
        if isinstance(event, FlexAuctionCleared):
            assert (event.side[event.obligated] < 0).all()
            assert event.surplus_micro.tolist() == (-event.paid_micro.sum(axis=1)).tolist()


def test_orders_of_contracts_keep_to_them(trader: Trader) -> None:
    held = {one.contract.id: one for one in trader.market.state.contracts}
    for event in trader.market._store.events():
        orders = event.orders if isinstance(event, ReservationsCalled) else ()
        if isinstance(event, FlexOrderTaken) and event.bid.contract:
            orders = (event.bid,)
        for bid in orders:
            contract = held[bid.contract].contract
            assert bid.participant == contract.seller
            assert set(range(bid.first, bid.end)) <= set(contract.periods)
            assert bid.price <= contract.activation_cap_micro_per_kwh / 1e6 * HOURS + 1e-9


def test_replay_gives_the_same_state(trader: Trader) -> None:
    again = replay(trader.market._store.events())
    assert canonical_bytes(again) == canonical_bytes(trader.market.state)


def test_histories_do_something() -> None:
    traders = [Trader(seed) for seed in range(100, 103)]
    for trader in traders:
        trader.open()
        trader.live()
    kinds = {type(event).__name__ for trader in traders for event in trader.market._store.events()}
    assert len(kinds) >= 12
    assert all(trader.taken > 30 for trader in traders)
