"""Where the parts of the flexibility market meet: what one hands out, the next takes as it is."""

from itertools import product

import numpy as np
import pytest

import gridagora as ga
from gridagora.grid import DsoCosts, PointForecast, demand_curve, find_need
from gridagora.model.flexibility import bids_of

POINT, CAPACITY = {"R1": "Bus R1"}, {"R1": 850.0}
COSTS = DsoCosts(investment=40_000.0, kw_periods_per_year=2000.0)
TOMORROW = 168
GAME_RULES = ["vcg", "vcg_one_sided", "shapley"]


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


@pytest.mark.parametrize("rule", ["uniform", "pay_as_bid", *GAME_RULES])
def test_a_day_without_need_is_paid_by_every_rule_and_nobody_would_rather_leave(rule):
    empty = ga.Bids(side=[], price=np.zeros(0), quantity=np.zeros(0))
    found = ga.payments(ga.capacity_limit_auction(empty), rule=rule, participants=["DSO"])
    assert found.amounts.to_dict() == {"DSO": 0}
    assert found.excess.maximum == 0
    assert found.excess.most_violated == ()
    assert found.properties["budget_balanced"]


def two_hours(ordered=False):
    load = PointForecast.certain(POINT, import_kw=[[520.0], [540.0]], hours=1.0)
    need = find_need(ga.Grid.by_name("cigre-lv"), load)
    wanted = demand_curve(
        need,
        capacity_kw=CAPACITY,
        costs=COSTS,
        basis="probability" if ordered else "impact",
        first_period=TOMORROW,
    )
    supply = bids_of([offer(TOMORROW + 1), offer(TOMORROW)])
    return ga.capacity_limit_auction(ga.Bids.concat([wanted, supply]), ordered=ordered)


@pytest.mark.parametrize("sampling", [False, True])
@pytest.mark.parametrize(
    ("rule", "ordered"), [("uniform", False), *product(["pay_as_bid", *GAME_RULES], [False, True])]
)
def test_payments_of_a_day_are_the_sums_of_its_periods(rule, ordered, sampling):
    """What settlement takes: an amount for each meter and period."""
    found = ga.payments(
        two_hours(ordered), rule=rule, participants=["DSO", "R1", "nobody"], sampling=sampling
    )
    table = found.by_period
    assert table.index.tolist() == [TOMORROW, TOMORROW + 1]
    assert table.columns.tolist() == ["DSO", "R1", "nobody"]
    assert table.sum().to_numpy() == pytest.approx(found.amounts.to_numpy(), abs=1e-9)


def test_payments_of_one_period_do_not_depend_on_the_others():
    alone = ga.capacity_limit_auction(two_hours().bids.take(two_hours().bids.period == TOMORROW))
    for rule in ("vcg", "shapley"):
        of_day = ga.payments(two_hours(), rule=rule).by_period.loc[TOMORROW]
        assert of_day.to_dict() == pytest.approx(ga.payments(alone, rule=rule).amounts.to_dict(), abs=1e-9)


def test_periods_joined_by_blocks_have_no_payment_of_their_own():
    bids = ga.Bids.concat([demand(), bids_of([offer(TOMORROW + 1, block=True)])])
    found = ga.payments(ga.capacity_limit_auction(bids, blocks="group"), rule="vcg")
    with pytest.raises(ga.InputError, match="join the periods"):
        found.by_period  # noqa: B018 - the access is the test


def test_a_market_of_nobody_has_no_period_to_pay():
    empty = ga.Bids(side=[], price=np.zeros(0), quantity=np.zeros(0))
    found = ga.payments(ga.capacity_limit_auction(empty), rule="shapley", participants=["DSO"])
    assert found.by_period.shape == (0, 1)
