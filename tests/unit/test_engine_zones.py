"""Stories of trades in zones: who covers whom, what controllers refuse, what an island does."""

from dataclasses import replace

import numpy as np
import pytest
from zoned_study import LOST, PERIODS, ZONES, decide, make_bids, make_study, ways

from gridagora.engine.envelope import envelope_of
from gridagora.engine.machine import MarketContext
from gridagora.market.mechanisms.pay_as_cleared import pay_as_cleared
from gridagora.model.study import GridLimits
from gridagora.settlement import Prices

R1, C1 = ZONES.index("lv Bus R1"), ZONES.index("lv Bus C1")
SUN, ANN, BOB, SHOP, CAFE, MILL = range(6)
BULK = 6
TRADES = (
    (SUN, "sell", 0.0, 6, 0),
    (ANN, "buy", LOST, 4, 0),
    (SHOP, "buy", LOST, 5, 0),
    (CAFE, "buy", 0.15, 3, 0),
    (MILL, "sell", 0.1, 2, 0),
    (BOB, "buy", LOST, 1, 1),
)


def found(study):
    return ways(*decide(study, make_bids(*TRADES)))


def parties(told):
    return [(buyer, seller, wh, approved) for buyer, seller, wh, approved, _ in told]


def test_a_zone_covers_itself_then_its_siblings_then_asks_the_bulk_grid():
    told = found(make_study())
    assert parties(told) == [
        (ANN, SUN, 4000, True),
        (SHOP, SUN, 2000, True),
        (SHOP, MILL, 2000, True),
        (SHOP, BULK, 1000, True),
        (BOB, BULK, 1000, True),
    ]
    assert [step for step, *_ in told[0][4]] == [1, 2, 3]
    assert [(step, by) for step, by, *_ in told[1][4]] == [
        (1, "h3"), (2, "lv Bus R1"), (2, "lv Bus C1"), (3, "lv Bus R1"), (3, "lv Bus R1"),
        (4, "lv Bus C1"), (4, "lv Bus C1"), (4, "dso"),
    ]  # fmt: skip
    assert told[3][4][-1] == (5, "dso", "approved", "1 kWh from bulk at 0.2")


def test_prices_lie_between_those_of_the_retailer_although_load_bids_its_lost_value():
    cleared, _ = decide(make_study(), make_bids(*TRADES))
    traded = cleared.zonal.price[cleared.zonal.price >= 0]
    assert traded.min() >= 80_000
    assert traded.max() <= 200_000
    assert cleared.zonal.firm.tolist().count(True) == 3


def test_a_gate_with_less_room_lets_less_through():
    told = found(make_study(gates={"lv Bus R1": 1.0}))
    assert (SHOP, SUN, 1000, True) in parties(told)
    assert (SHOP, BULK, 2000, True) in parties(told)


def test_load_that_a_gate_cannot_supply_is_refused_by_name_and_still_runs():
    study = make_study(gates={"lv Bus C1": 1.5})
    cleared, decided = decide(study, make_bids(*TRADES))
    told = ways(cleared, decided)
    refused = [one for one in told if not one[3]]
    assert [(one[0], one[1]) for one in refused] == [(SHOP, BULK)]
    assert refused[0][4][-1][1:3] == ("dso", "rejected")
    assert "lv Bus C1 says: only 0 kWh may still enter" in refused[0][4][-1][3]
    from gridagora.engine.pool import firm_in_zones

    assert firm_in_zones(cleared, study).sum() == 3


def test_an_island_serves_itself_and_sheds_what_it_lacks():
    cleared, decided = decide(make_study(cut=[(0, "lv Bus C1")]), make_bids(*TRADES))
    assert cleared.zonal.not_served_wh[0, C1] == 5000
    assert (cleared.zonal.island[0] == [-1, -1, -1, -1, C1]).all()
    assert (cleared.zonal.island[1] == -1).all()
    told = ways(cleared, decided)
    assert not any(approved for buyer, *_, approved, _ in told if buyer == SHOP)
    assert "only 0 kWh may still enter the zone" in told[-2][4][-1][3]


def test_an_island_with_sun_of_its_own_trades_it():
    cleared, decided = decide(make_study(cut=[(0, "lv Bus R1")]), make_bids(*TRADES))
    told = parties(ways(cleared, decided))
    assert (ANN, SUN, 4000, True) in told
    assert not any(seller == SUN and buyer != ANN for buyer, seller, *_ in told)
    assert cleared.zonal.import_wh[0, R1] == 0


def test_a_price_beyond_the_bounds_is_refused_at_once_and_gives_no_claim_to_other_supply():
    told = found(make_study(highest_price=0.1))
    refused = [steps[-1] for *_, approved, steps in told if not approved]
    assert {step for step, *_ in refused} == {2}
    assert all("is not within" in reason for *_, reason in refused)
    assert len(told) == 5


def test_who_was_refused_is_held_whatever_the_order_asked():
    study = make_study(most_kwh=1.5)
    asks_more_than_feed_in = ((MILL, "sell", 0.1, 2, 0), (SHOP, "buy", LOST, 2, 0), (SUN, "sell", 0.15, 1, 0))
    cleared, decided = decide(study, make_bids(*asks_more_than_feed_in))
    assert not decided.accepted.any()
    context = MarketContext(
        study=study,
        prices=Prices.from_tariffs(study.tariffs),
        standing_micro=np.zeros(PERIODS, np.int64),
        mechanism=pay_as_cleared,
        check=lambda first, kw, kvar: None,
        rules_text="",
    )
    kept = replace(cleared, accepted=decided.accepted)
    bounds = envelope_of(kept, context, committed_kw=np.zeros((len(study.homes), PERIODS)))
    assert np.argwhere(bounds.least_kw == 0).tolist() == [[MILL, 0]]
    assert np.isinf(bounds.most_kw).all()


def test_a_broken_limit_refuses_the_sale_and_the_dso_supplies_the_load():
    cleared, decided = decide(make_study(limits=GridLimits(vm_max_pu=1.0001)), make_bids(*TRADES))
    told = ways(cleared, decided)
    sold = [one for one in told if one[1] in (SUN, MILL)]
    assert sold
    assert not any(one[3] for one in sold)
    assert "voltage high of Bus R11" in sold[0][4][-1][3]
    supplied = told[-len(decided.decisions.follows) :]
    assert [(one[0], one[1], one[2]) for one in supplied] == [
        (ANN, BULK, 4000), (SHOP, BULK, 2000), (SHOP, BULK, 2000),
    ]  # fmt: skip
    assert all(one[3] for one in supplied)
    assert decided.decisions.follows.tolist() == [0, 1, 2]


def test_devices_are_refused_where_load_alone_fills_the_wires():
    rows = [(ANN, "buy", LOST, 10, 0), (BOB, "buy", 0.25, 200, 0), (BOB, "buy", 0.25, 2, 1)]
    cleared, decided = decide(make_study(limits=GridLimits(vm_min_pu=0.97)), make_bids(*rows))
    told = ways(cleared, decided)
    assert (ANN, BULK, 10_000, True) in parties(told)
    assert (BOB, BULK, 200_000, False) in parties(told)
    assert (BOB, BULK, 2000, True) in parties(told)
    refused = next(steps for buyer, _, wh, ok, steps in told if not ok)
    assert "voltage low" in refused[-1][3]


def test_homes_that_do_not_trade_take_room_in_the_gates():
    bids = make_bids((CAFE, "buy", LOST, 2, 0))
    fixed = np.zeros((2, 6))
    fixed[:, SHOP] = 3.0
    study = make_study(gates={"lv Bus C1": 4.0}, passive=(SHOP,))
    told = ways(*decide(study, bids, fixed_kw=fixed))
    assert parties(told) == [(CAFE, BULK, 1000, True), (CAFE, BULK, 1000, False)]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 3, 1, 0, 2, 4)])
def test_the_order_of_bids_changes_nothing_but_their_rows(order):
    told = ways(*decide(make_study(), make_bids(*(TRADES[k] for k in order))))
    assert sorted(parties(told)) == sorted(parties(found(make_study())))
