"""Where the parts of the flexibility market meet: what one hands out, the next takes as it is."""

import numpy as np
import pytest

import gridagora as ga
from gridagora.grid import DsoCosts, PointForecast, demand_curve, find_need
from gridagora.model.flexibility import bids_of

POINT, CAPACITY = {"R1": "Bus R1"}, {"R1": 850.0}
COSTS = DsoCosts(investment=40_000.0, kw_periods_per_year=2000.0)
TOMORROW = 168


def demand(first_period=TOMORROW, basis="impact"):
    load = PointForecast.certain(POINT, import_kw=[[400.0], [540.0]], hours=1.0)
    need = find_need(ga.Grid.by_name("cigre-lv"), load)
    return demand_curve(need, capacity_kw=CAPACITY, costs=COSTS, basis=basis, first_period=first_period)


def offer(period, *, block=False):
    steps = (
        ga.OfferStep(quantity_kw=310.0, price=0.0, member="R1"),
        ga.OfferStep(quantity_kw=60.0, price=0.01, block=block, member="R1"),
    )
    return ga.FlexOffer(
        participant="R1",
        product=ga.FlexProduct(direction="cap"),
        periods=(period,),
        capacity_kw=850.0,
        steps=steps,
    )


def test_a_need_of_tomorrow_is_bid_for_in_the_periods_of_the_study():
    assert set(demand().period.tolist()) == {TOMORROW + 1}
    assert set(demand(first_period=0).period.tolist()) == {1}


@pytest.mark.parametrize("block", [False, True])
@pytest.mark.parametrize("basis", ["impact", "probability"])
def test_demand_and_offers_join_and_clear_with_and_without_blocks(basis, block):
    supply = bids_of([offer(TOMORROW + 1, block=block)])
    bids = ga.Bids.concat([demand(basis=basis), supply])
    result = ga.capacity_limit_auction(
        bids, ordered=basis == "probability", blocks="group" if block else None
    )
    assert result.volume == pytest.approx(370.0)
    assert ga.payments(result, rule="shapley").budget_balance == pytest.approx(0.0, abs=1e-9)


def test_offers_for_other_periods_do_not_meet_the_need():
    result = ga.capacity_limit_auction(ga.Bids.concat([demand(), bids_of([offer(1)])]))
    assert not result.accepted.any()


@pytest.mark.parametrize("rule", ["uniform", "pay_as_bid", "vcg", "vcg_one_sided", "shapley"])
def test_a_day_without_need_is_paid_by_every_rule_and_nobody_would_rather_leave(rule):
    empty = ga.Bids(side=[], price=np.zeros(0), quantity=np.zeros(0))
    found = ga.payments(ga.capacity_limit_auction(empty), rule=rule, participants=["DSO"])
    assert found.amounts.to_dict() == {"DSO": 0}
    assert found.excess.maximum == 0
    assert found.excess.most_violated == ()
    assert found.properties["budget_balanced"]
