"""Adjustment, other products, payment rules, paired redispatch and the books of the flexibility market."""

import numpy as np
import pytest
from flex_markets import CAP, DOWN, H, auction, bids, faults_of, opened, order, settle, terms
from test_engine_flexibility_faults import told

from gridagora.adapters.grids import Grid
from gridagora.engine.feasible import ScheduleCheck
from gridagora.engine.flexibility.books import journal_codes
from gridagora.engine.flexibility.commands import (
    CancelFlexOrder,
    OpenFlexAuction,
    PairRedispatch,
    SubmitFlexBids,
    SubmitFlexOrder,
)
from gridagora.engine.flexibility.machine import replay
from gridagora.errors import InputError, InvariantError
from gridagora.ledger import account_name
from gridagora.ledger.journal import KINDS, EntryKind
from gridagora.market.mechanisms.redispatch_pairs import RedispatchOrder
from gridagora.model.bids import Bids
from gridagora.model.events import canonical_bytes
from gridagora.model.flexibility import FlexProduct
from gridagora.model.flexibility_market import ConnectionPoint, FlexAuction
from gridagora.model.study import GridLimits

FULL = [[0.0], [0.0], [0.0]]


def test_whoever_sold_may_buy_all_of_it_back_and_no_more() -> None:
    market = opened()
    auction(market, bids(("DSO", "buy", 4, 3.0, 1.0), ("ann", "sell", 4, 3.0, 0.1)), at=0, first=4)
    order(market, "bob", "sell", 4, kw=3.0, price=0.2, at=H)
    taken = order(market, "ann", "buy", 4, kw=3.0, price=0.4, at=H)
    assert taken.trades[0].quantity_kw == 3.0
    event = settle(market, 4, [[10.0], [0.0], [0.0]])
    # sold at the middle of 0.1 and 1, bought back at 0.2: nothing is left to deliver, and the gain stays
    assert event.ordered_wh[0, :, 0].tolist() == [0, 3000, 0]
    assert event.due_micro[0, :, 0].tolist() == [1_050_000, 600_000, 0]
    assert not event.claw_back_micro.any()


def test_nobody_gains_by_not_delivering_what_it_bought_back_dearly() -> None:
    market = opened(settlement=("uftp",))
    auction(market, bids(("DSO", "buy", 4, 3.0, 1.0), ("ann", "sell", 4, 3.0, 1.0)), at=0, first=4)
    order(market, "bob", "sell", 4, kw=2.0, price=2.0, at=H)
    order(market, "ann", "buy", 4, kw=2.0, price=2.0, at=H)
    event = settle(market, 4, [[10.0], [0.0], [0.0]])
    # due 3 - 4 = -1 for an order of 1 kW that was not delivered: nothing to claw back, the penalty stays
    assert event.due_micro[0, 0, 0] == -1_000_000
    assert event.claw_back_micro[0, 0, 0] == 0
    assert event.penalty_micro[0, 0, 0] == 500_000


def test_operator_sells_what_it_bought_too_much() -> None:
    market = opened()
    auction(market, bids(("DSO", "buy", 4, 3.0, 1.0), ("ann", "sell", 4, 3.0, 1.0)), at=0, first=4)
    order(market, "ann", "buy", 4, kw=1.0, price=0.4, at=H)
    order(market, "DSO", "sell", 4, kw=1.0, price=0.3, at=H)
    event = settle(market, 4, FULL)
    assert event.ordered_wh[0, 0, 0] == 2000
    assert event.payment_micro.tolist() == [[-2_600_000]]


def test_cancelled_order_trades_no_more() -> None:
    market = opened()
    order(market, "ann", "sell", 4, kw=3.0, price=0.2, at=H)
    market.do(CancelFlexOrder(at=H, product="cap", number=0, participant="ann"))
    assert order(market, "DSO", "buy", 4, kw=1.0, price=0.4, at=H).trades == ()
    assert canonical_bytes(replay(market._store.events())) == canonical_bytes(market.state)


@pytest.mark.parametrize(
    ("direction", "metered", "delivered"),
    [("cap", 8.0, 2000), ("floor", -4.0, 1000), ("down", 5.0, 1000), ("up", 7.5, 1500)],
)
def test_every_product_is_proven_in_its_own_way(direction, metered: float, delivered: int) -> None:
    market = opened(products=(("thing", FlexProduct(direction=direction)),), settlement=("pay_delivered",))
    rows = bids(("DSO", "buy", 4, 2.0, 1.0), ("ann", "sell", 4, 2.0, 1.0))
    auction(market, rows, at=0, first=4, product="thing")
    event = settle(market, 4, [[metered], [0.0], [0.0]], baseline=[[6.0], [0.0], [0.0]])
    assert event.delivered_wh[0, 0, 0] == delivered
    assert event.claw_back_micro[0, 0, 0] == 1000 * (2000 - delivered)
    assert market.state.balance.sum() == 0


def test_two_products_stand_side_by_side() -> None:
    market = opened(products=(("cap", CAP), ("down", DOWN)), settlement=("capacity_limit", "uftp"))
    rows = bids(("DSO", "buy", 4, 2.0, 1.0), ("ann", "sell", 4, 2.0, 1.0))
    auction(market, rows, at=0, first=4)
    auction(market, rows, at=H, first=4, product="down")
    event = settle(market, 4, [[7.0], [0.0], [0.0]], baseline=[[8.0], [np.nan], [np.nan]])
    assert event.ordered_wh[:, 0, 0].tolist() == [2000, 2000]
    assert event.delivered_wh[:, 0, 0].tolist() == [2000, 1000]
    assert event.claw_back_micro[:, 0, 0].tolist() == [0, 1_000_000]


def test_change_against_an_unknown_baseline_is_not_settled() -> None:
    market = opened(products=(("down", DOWN),), settlement=("uftp",))
    rows = bids(("DSO", "buy", 4, 2.0, 1.0), ("ann", "sell", 4, 2.0, 1.0))
    auction(market, rows, at=0, first=4, product="down")
    with pytest.raises(InputError, match="period 4, ann: no baseline of an ordered change"):
        settle(market, 4, FULL)


def test_uniform_price_gives_way_where_steps_are_ordered() -> None:
    market = opened()
    rows = bids(("DSO", "buy", 4, 1.0, 0.2), ("DSO", "buy", 4, 2.0, 0.9), ("ann", "sell", 4, 4.0, 0.1))
    event = auction(market, rows, at=0, first=4, ordered=True)
    assert (event.payment_rule, event.auction.ordered) == ("pay_as_bid", True)
    assert event.paid_micro[0].tolist() == [300_000, 0, 0, -300_000]
    unnumbered = Bids(
        side=["buy", "buy"], price=[0.2, 0.9], quantity=[1.0, 1.0], participant=["DSO"] * 2, period=[5, 5]
    )
    market.do(
        OpenFlexAuction(
            at=H,
            auction=FlexAuction(
                number=1, horizon="activation", product="cap", first=5, count=1, gate=2 * H, ordered=True
            ),
        )
    )
    assert len(faults_of(market, SubmitFlexBids(at=H, auction=1, bids=unnumbered))) >= 1


def test_block_over_two_periods_is_paid_for_both_without_loss() -> None:
    market = opened(activation_payment="vcg_one_sided")
    offers = Bids(
        side=["buy", "buy", "sell", "sell", "sell"],
        price=[1.0, 1.0, 0.1, 0.1, 0.5],
        quantity=[3.0, 2.0, 2.0, 1.0, 3.0],
        participant=["DSO", "DSO", "ann", "ann", "bob"],
        period=[4, 5, 4, 5, 4],
        group=["", "", "night", "night", ""],
    )
    event = auction(market, offers, at=0, first=4, count=2)
    assert event.accepted_kw.tolist() == [3.0, 1.0, 2.0, 1.0, 1.0]
    # welfare is 4 - 0.2 - 0.1 - 0.5 = 3.2, without ann 3 x 0.5 = 1.5: she gets 1.7 and her cost of 0.3
    total = event.paid_micro.sum(axis=0)
    assert total[0] == pytest.approx(2_000_000, abs=2)
    assert event.paid_micro[:, 0].tolist() == pytest.approx([total[0] * 2 / 3, total[0] / 3], abs=1)
    assert event.surplus_micro.sum() == -event.paid_micro.sum() == 0
    assert market.state.period(4).cleared_micro.sum() + market.state.period(5).cleared_micro.sum() == 0


@pytest.mark.parametrize("rule", ["uniform", "pay_as_bid", "vcg", "vcg_one_sided", "shapley"])
def test_surplus_of_every_rule_is_booked_and_nothing_is_lost(rule: str) -> None:
    market = opened(activation_payment=rule)
    rows = bids(
        ("DSO", "buy", 4, 4.0, 1.0), ("ann", "sell", 4, 3.0, 0.1), ("bob", "sell", 4, 3.0, 1 / 3),
        ("cat", "sell", 4, 3.0, 0.7),
    )  # fmt: skip
    event = auction(market, rows, at=0, first=4)
    settled = settle(market, 4, [[8.0], [8.0], [6.0]])
    assert settled.surplus_micro.tolist() == event.surplus_micro.tolist()
    # VCG runs a deficit; elsewhere rounding each amount leaves a micro-unit at most
    assert (event.surplus_micro[0] < -2) == (rule == "vcg")
    assert market.state.balance.sum() == 0
    assert market.state.balance[4 + 3] == event.surplus_micro[0]


def test_area_of_an_auction_keeps_others_out() -> None:
    market = opened()
    market.do(
        OpenFlexAuction(
            at=0,
            auction=FlexAuction(
                number=0, horizon="activation", product="cap", first=4, count=1, gate=H, area=("ann",)
            ),
        )
    )
    rows = bids(("ann", "sell", 4, 1.0, 0.1), ("bob", "sell", 4, 1.0, 0.1))
    found = told(faults_of(market, SubmitFlexBids(at=0, auction=0, bids=rows)))
    assert found == [("row 1, column participant", "outside the area of the auction")]


def pairing(**changed) -> PairRedispatch:
    given = {
        "at": 0,
        "inside": (RedispatchOrder(participant="ann", side="sell", period=4, kw=3.0, price=0.30),),
        "outside": (
            RedispatchOrder(participant="bob", side="buy", period=4, kw=9.0, price=0.10),
            RedispatchOrder(participant="cat", side="buy", period=4, kw=9.0, price=0.20),
        ),
        "needed_kw": {4: 2.0},
        "shares": {"DSO": 1.0},
    }
    return PairRedispatch(**(given | changed))


def test_redispatch_is_paired_where_the_grid_carries_it() -> None:
    market = opened()
    event = market.do(pairing(), feasible=lambda delta: ("line A",) if ("cat", 4) in delta else ())
    assert event.rejected_reason == ("breaks line A",)
    assert (event.seller.tolist(), event.buyer.tolist(), event.kw.tolist()) == ([0], [1], [2.0])
    settled = settle(market, 4, FULL)
    # ann gets 2 x 0.3, bob pays 2 x 0.1, the DSO the spread
    assert settled.payment_micro.tolist() == [[-400_000]]
    assert market.state.balance[:4].tolist() == [600_000, -200_000, 0, -400_000]
    assert settled.entry.tolist() == [4 * KINDS + EntryKind.REDISPATCH] * 3
    assert canonical_bytes(replay(market._store.events())) == canonical_bytes(market.state)


def test_redispatch_needs_the_grid_and_sound_orders() -> None:
    market = opened()
    with pytest.raises(InvariantError, match="asking the grid"):
        market.do(pairing())
    stranger = RedispatchOrder(participant="zoe", side="sell", period=4, kw=-1.0, price=0.1)
    wrong = pairing(inside=(stranger,), shares={"TSO": 1.0}, needed_kw={40: 1.0})
    with pytest.raises(InputError) as error:
        market.do(wrong, feasible=lambda _: ())
    assert len(error.value.faults) >= 4


def test_accounts_fit_into_the_journal_of_a_study() -> None:
    homes = ["zoe", "cat", "bob"]
    codes, others = journal_codes(terms(), homes)
    names = [account_name(code, homes, others) for code in codes.tolist()]
    assert names == [
        "participant:ann", "participant:bob", "participant:cat", "participant:DSO",
        "retailer", "dso:network", "state:taxes", "operator:surplus", "rounding",
    ]  # fmt: skip


def test_redispatch_of_an_area_that_exports_too_much_is_checked_by_power_flow() -> None:
    grid = Grid.by_name("cigre-lv")
    kw, kvar = grid.base_import()
    kw = kw / 10
    for bus, solar in (("Bus R18", 200.0), ("Bus R15", 100.0)):
        kw[grid.bus_position[bus]] -= solar
    points = tuple(
        ConnectionPoint(participant=name, bus=f"Bus {name}", import_kw=200.0, export_kw=250.0)
        for name in ("R18", "C1", "C12")
    )
    market = opened(points=points, buyers=("DSO", "TSO"))
    check = ScheduleCheck(
        grid,
        np.tile(kw, (24, 1)),
        np.tile(kvar, (24, 1)),
        bus_of={point.participant: point.bus for point in points},
        limits=GridLimits(vm_max_pu=1.05),
    )
    command = PairRedispatch(
        at=0,
        inside=(RedispatchOrder(participant="R18", side="buy", period=5, kw=60.0, price=-0.05),),
        outside=(
            RedispatchOrder(participant="C1", side="sell", period=5, kw=60.0, price=0.2),
            RedispatchOrder(participant="C12", side="sell", period=5, kw=60.0, price=0.1),
        ),
        needed_kw={5: 50.0},
        shares={"DSO": 2, "TSO": 1},
    )
    event = market.do(command, feasible=check)
    # R18 is paid for importing 50 kW more, C12 for importing less; the operators pay 2 : 1
    due = dict(zip(event.party.tolist(), event.due_micro.tolist(), strict=True))
    assert due == {0: 2_500_000, 2: 5_000_000, 3: -5_000_000, 4: -2_500_000}
    relief = {found.element: found for found in check.relief({("R18", 5): 50.0, ("C12", 5): -50.0})}
    assert relief["Bus R10"].cured
    assert relief["Bus R18"].after < relief["Bus R18"].before


def test_more_import_than_the_baseline_is_traded_on_and_settled() -> None:
    up = FlexProduct(direction="up")
    market = opened(products=(("up", up),), settlement=("uftp",), activation_payment="pay_as_bid")
    rows = bids(("DSO", "buy", 4, 5.0, 1.0), ("ann", "sell", 4, 5.0, 0.2))
    auction(market, rows, at=0, first=4, product="up")
    given = {"direction": "up", "first": 4, "periods": 1, "quantity_kw": 2.0}
    for number, (who, side, price) in enumerate((("bob", "sell", 0.1), ("ann", "buy", 0.3))):
        row = {"number": number, "participant": who, "side": side, "price": price, **given}
        market.do(SubmitFlexOrder(at=H, product="up", bid=row))
    event = settle(market, 4, [[3.0], [1.0], [0.0]], baseline=[[0.0], [0.0], [np.nan]])
    assert event.ordered_wh[0, :, 0].tolist() == [3000, 2000, 0]
    assert event.delivered_wh[0, :, 0].tolist() == [3000, 1000, 0]
    # ann: 5 x 0.2 - 2 x 0.1; bob: 2 x 0.1, half of it taken back, and 1 kWh at the penalty of 0.5
    assert market.state.balance[:4].tolist() == [800_000, -400_000, 0, -400_000]
