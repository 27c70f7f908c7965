"""One walk through all three horizons, delivery and settlement; every number is worked out by hand."""

import numpy as np
import pytest
from flex_markets import H, auction, bids, opened, order, reserve

from gridagora.adapters.stores import MemoryStore
from gridagora.engine.flexibility.commands import (
    CallReservations,
    CloseFlexGate,
    RecordFlexReadings,
    ReleaseReservation,
    SettleFlexPeriods,
)
from gridagora.engine.flexibility.machine import FlexMarket, apply, replay
from gridagora.errors import InvariantError
from gridagora.model.events import canonical_bytes
from gridagora.model.flexibility_events import FlexEvent


def walked() -> tuple[FlexMarket, dict[str, FlexEvent]]:
    market, told = opened(), {}
    told["reserved"] = reserve(
        market,
        bids(
            ("DSO", "buy", 4, 5.0, 0.02),
            ("DSO", "buy", 5, 5.0, 0.02),
            ("ann", "sell", 4, 3.0, 0.005),
            ("ann", "sell", 5, 3.0, 0.005),
            ("bob", "sell", 4, 3.0, 0.010),
            ("bob", "sell", 5, 3.0, 0.010),
            ("cat", "sell", 4, 3.0, 0.030),
        ),
        first=4,
        count=2,
        lead_periods=2,
    )
    market.do(ReleaseReservation(at=0, contract="0:bob", periods=(5,), kw=(0.0,)))
    market.do(CallReservations(at=H, contracts=("0:ann", "0:bob"), periods=(4,), requested_kw=(2.5,)))
    told["activated"] = auction(
        market,
        bids(
            ("DSO", "buy", 4, 6.75, 1.0),
            ("DSO", "buy", 5, 3.0, 1.0),
            ("ann", "sell", 4, 1.0, 0.2),
            ("cat", "sell", 4, 4.0, 0.3),
            ("ann", "sell", 5, 5.0, 0.4),
        ),
        at=2 * H - 1,
        first=4,
        count=2,
    )
    order(market, "ann", "buy", 4, kw=1.0, price=0.5, at=2 * H)
    told["swapped"] = order(market, "bob", "sell", 4, kw=2.0, price=0.45, at=2 * H + 60)
    told["bought"] = order(market, "DSO", "buy", 4, kw=1.0, price=0.45, at=2 * H + 120)
    told["ordered"] = market.do(CloseFlexGate(at=3 * H, before=5))
    market.do(CloseFlexGate(at=4 * H, before=6))
    metered = np.array([[9.0, 7.0], [5.5, 0.0], [np.nan, 0.0]])
    market.do(RecordFlexReadings(at=6 * H, first=4, metered_kw=metered))
    told["settled"] = market.do(SettleFlexPeriods(at=6 * H, first=4, count=2))
    return market, told


@pytest.fixture(scope="module")
def walk() -> tuple[FlexMarket, dict[str, FlexEvent]]:
    return walked()


def test_reservation_pays_each_winner_its_own_fee(walk) -> None:
    event = walk[1]["reserved"]
    assert event.paid_micro.tolist() == [[15_000, 20_000, 0, -35_000]] * 2
    found = [(one.id, one.reserved_kw.tolist(), one.availability_micro_per_kw_h) for one in event.contracts]
    assert found == [("0:ann", [3.0, 3.0], 5000), ("0:bob", [2.0, 2.0], 10_000)]


def test_called_contracts_offer_what_is_missing_at_their_cap(walk) -> None:
    event = walk[1]["activated"]
    rows = np.flatnonzero(event.obligated)
    found = list(zip(event.participant[rows], event.quantity_kw[rows], event.price[rows], strict=True))
    assert found == [(0, 1.5, 0.4), (1, 2.0, 0.4)]


def test_activation_clears_at_the_cap_with_the_newcomer_below_it(walk) -> None:
    event = walk[1]["activated"]
    assert event.clearing_price.tolist() == pytest.approx([0.4, 0.4])
    assert event.paid_micro.tolist() == [
        [700_000, 400_000, 1_600_000, -2_700_000],
        [1_200_000, 0, 0, -1_200_000],
    ]
    assert event.surplus_micro.tolist() == [0, 0]
    # 1 kW at 0.2, 4 at 0.3, 1.75 at 0.4 for 6.75 kW of worth 1
    assert event.welfare.tolist() == pytest.approx([6.75 - 0.2 - 1.2 - 0.7, 1.8])


def test_adjustment_trades_at_the_price_of_the_earlier_order(walk) -> None:
    (swap,), (bought,) = walk[1]["swapped"].trades, walk[1]["bought"].trades
    assert (swap.buyer, swap.seller, swap.quantity_kw, swap.price) == ("ann", "bob", 1.0, 0.5)
    assert (bought.buyer, bought.seller, bought.quantity_kw, bought.price) == ("DSO", "bob", 1.0, 0.45)


def test_order_is_cleared_and_adjusted(walk) -> None:
    event = walk[1]["ordered"]
    assert event.first == 0
    assert event.ordered_kw[0, :, 4].tolist() == [0.75, 3.0, 4.0]
    assert event.adjusted_kw[0, :, 4].tolist() == [-1.0, 2.0, 0.0]
    assert event.limit_kw[0, :, 4].tolist() == [9.25, 5.0, 2.0]
    assert np.isnan(event.limit_kw[0, :, :4]).all()


def test_settlement_claws_back_and_charges(walk) -> None:
    event = walk[1]["settled"]
    assert event.due_micro[0].tolist() == [[200_000, 1_200_000], [1_350_000, 0], [1_600_000, 0]]
    # bob is 0.5 kW over its limit, the meter of cat is lost: 4 kW
    assert event.deficiency_wh[0].tolist() == [[0, 0], [500, 0], [4000, 0]]
    assert event.claw_back_micro[0].tolist() == [[0, 0], [0, 0], [1_600_000, 0]]
    assert event.penalty_micro[0].tolist() == [[0, 0], [250_000, 0], [2_000_000, 0]]
    assert event.fee_micro.tolist() == [[15_000, 15_000], [20_000, 0], [0, 0]]
    assert not event.withheld_micro.any()
    # - 2.70 - 0.45 + 3.85 of refund - 0.035; - 1.20 - 0.015 after the release
    assert event.payment_micro.tolist() == [[665_000, -1_215_000]]


def test_balances_sum_to_zero(walk) -> None:
    assert walk[0].state.balance.tolist() == [1_430_000, 1_120_000, -2_000_000, -550_000, 0, 0, 0, 0, 0]


def test_state_is_the_fold_of_its_events(walk) -> None:
    market = walk[0]
    again = replay(market._store.events())
    assert canonical_bytes(again) == canonical_bytes(market.state)


def test_market_goes_on_where_its_store_ends(walk) -> None:
    store = MemoryStore()
    store.append(list(walk[0]._store.events())[:8])
    assert FlexMarket(store).state.at == replay(list(walk[0]._store.events())[:8]).at


@pytest.mark.parametrize("gone", [0, 1, 2, 3, 7, 8, 9, 11, 12, 14])
def test_history_with_a_gap_is_refused(walk, gone: int) -> None:
    events = list(walk[0]._store.events())
    with pytest.raises(InvariantError):
        replay(events[:gone] + events[gone + 1 :])


def test_event_may_not_happen_twice(walk) -> None:
    events = list(walk[0]._store.events())
    state = replay(events)
    for event in (events[0], events[1], events[3], events[-1]):
        with pytest.raises(InvariantError):
            apply(state, event)
