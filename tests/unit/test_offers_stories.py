"""Offers of single homes told as stories, their bids in the auction, and every fault at once."""

import numpy as np
import pytest

from gridagora.agents import Outlook, fleet_from_homes, initial_state
from gridagora.agents.offers import (
    FlexibilityDay,
    Limits,
    bids_of,
    capacity_offers,
    connection_limits,
    cost_curves,
    limits_after,
    portfolio_offers,
    schedule_under_limits,
)
from gridagora.errors import InputError
from gridagora.market.mechanisms.capacity_limit import capacity_limit_auction
from gridagora.model.bids import Bids
from gridagora.model.flexibility import FlexOffer, FlexProduct, OfferStep
from gridagora.model.resources import Battery, ElectricVehicle, Home
from gridagora.model.time import TimeAxis

CAP, FLOOR = FlexProduct(direction="cap"), FlexProduct(direction="floor")


def home_with(name="home", *, load=(2.0, 2.0, 2.0, 2.0), limit=10.0, **devices):
    load = np.array(load)
    return Home(
        participant=name, bus="1", load_kw=load, load_kvar=0 * load, import_limit_kw=limit,
        export_limit_kw=6.0, **devices,
    )  # fmt: skip


def day_of(*homes, buy=(0.30, 0.40, 0.20, 0.25), sell=0.1):
    axis = TimeAxis(start=np.datetime64("2016-01-01"), periods=len(homes[0].load_kw), mtu_s=3600)
    fleet = fleet_from_homes(homes, axis)
    outlook = Outlook(load_kw=fleet.load_kw, pv_kw=fleet.pv_kw, heat_kw=fleet.heat_kw, future_stays=True)
    price = np.stack([buy, np.full(len(buy), sell)], axis=1)
    state = initial_state(fleet)
    return FlexibilityDay(fleet=fleet, state=state, t=0, outlook=outlook, price=price, value_left=False)


def rounded(offer):
    return [(round(step.quantity_kw, 4), round(step.price, 4), step.block) for step in offer.steps]


def car(need):
    return ElectricVehicle(
        charge_kw=4.0, efficiency=1.0, arrival=np.array([0]), departure=np.array([4]),
        needed_kwh=np.array([need]),
    )  # fmt: skip


def test_a_home_without_flexibility_offers_what_it_never_uses():
    (offer,) = capacity_offers(day_of(home_with()), CAP, windows=[(1,)])
    assert rounded(offer) == [(8.0, 0.0, False)]


def test_a_waiting_car_costs_the_price_difference_until_it_must_charge():
    # 6 kWh: 4 in the cheapest hour, 2 in the next; out of the cheapest they move to 0.25, then to 0.30
    day = day_of(home_with(ev=car(6.0)))
    (offer,) = capacity_offers(day, CAP, windows=[(2,)], steps=4)
    assert rounded(offer) == [(4.0, 0.0, False), (2.0, 0.05, False), (2.0, 0.1, False)]


def test_a_car_that_needs_every_hour_has_nothing_to_sell():
    (offer,) = capacity_offers(day_of(home_with(ev=car(16.0))), CAP, windows=[(2,)])
    assert rounded(offer) == [(4.0, 0.0, False)]


def test_a_window_of_two_hours_is_sold_in_blocks():
    day = day_of(home_with(ev=car(6.0)))
    (offer,) = capacity_offers(day, CAP, windows=[(2, 3)], steps=2)
    assert offer.periods == (2, 3)
    assert [block for *_, block in rounded(offer)] == [False, True, True]
    groups = bids_of([offer]).group.tolist()
    assert groups == ["", "home:2:1", "home:2:2"] * 2


def test_a_floor_sells_curtailed_sun_at_the_feed_in_price():
    day = day_of(home_with(load=(1.0, 1.0), pv_kw=np.array([0.0, 5.0])), buy=(0.3, 0.3))
    (offer,) = capacity_offers(day, FLOOR, windows=[(1,)], steps=3)
    assert rounded(offer) == [(2.0, 0.0, False), (4.0, 0.1, False)]
    limits = limits_after(day, [offer], [2.0, 1.0])
    assert limits.export_kw.tolist() == [[6.0, 3.0]]
    assert schedule_under_limits(day, limits).net_kw.round(6).tolist() == [[1.0, -3.0]]


def test_load_is_never_shed_for_an_offer_but_a_limit_below_it_is_told():
    day = day_of(home_with())
    limits = connection_limits(day)
    limits.import_kw[0, 1] = 1.5
    schedule = schedule_under_limits(day, limits)
    assert schedule.unserved_load_kw.round(6).tolist() == [[0.0, 0.5, 0.0, 0.0]]
    (curve,) = cost_curves(day, CAP, windows=[(1,)])
    assert curve.limit_kw.min() == 2.0


def test_passive_homes_offer_nothing_and_unlimited_import_may_sell_a_floor():
    day = day_of(home_with("a", passive=True), home_with("b", limit=np.inf))
    assert [offer.participant for offer in capacity_offers(day, FLOOR, windows=[(0,)])] == ["b"]


def test_the_auction_takes_the_offers_and_the_schedule_keeps_the_limit():
    battery = Battery(energy_kwh=6.0, charge_kw=3.0, discharge_kw=3.0)
    day = day_of(home_with("a", ev=car(6.0)), home_with("b", battery=battery))
    offers = capacity_offers(day, CAP, windows=[(2,)], steps=4)
    for sold in (offers, portfolio_offers("aggregator", offers)):
        sells = bids_of(sold)
        need = Bids(side=["buy"], price=[1.0], quantity=[20.0 - 7.0], participant=["dso"], period=[2],
                    group=[""], step=[0])  # fmt: skip
        bids = Bids.concat([sells, need])
        result = capacity_limit_auction(bids, blocks="group")
        accepted = result.accepted[: len(sells)]
        assert accepted.sum() == pytest.approx(13.0)
        net = schedule_under_limits(day, limits_after(day, sold, accepted)).net_kw
        assert net[:, 2].sum() <= 7.0 + 1e-6
        unlimited = schedule_under_limits(day).net_kw
        assert net[:, 3].sum() > unlimited[:, 3].sum()  # the rebound


def test_a_horizon_of_one_period_can_be_offered():
    day = day_of(home_with(load=(2.0,)), buy=(0.3,))
    (offer,) = capacity_offers(day, CAP, windows=[(0,)])
    assert rounded(offer) == [(8.0, 0.0, False)]


def test_an_aggregator_keeps_what_every_member_can():
    step = OfferStep(quantity_kw=1.0, price=0.0, member="a")
    products = (
        FlexProduct(direction="cap", max_activations_per_day=2, response_time_s=60.0),
        FlexProduct(direction="cap", min_rest=3, max_duration=4, response_time_s=900.0),
    )
    offers = [
        FlexOffer(participant=name, product=product, periods=(1,), capacity_kw=5.0, steps=(step,))
        for name, product in zip("ab", products, strict=True)
    ]
    (merged,) = portfolio_offers("aggregator", offers)
    assert merged.product == FlexProduct(
        direction="cap", max_activations_per_day=2, min_rest=3, max_duration=4, response_time_s=900.0
    )
    assert portfolio_offers("aggregator", []) == ()


def places(error):
    return [fault.place for fault in error.value.faults]


def test_every_fault_of_a_call_is_listed_at_once():
    day = day_of(home_with(limit=np.inf))
    product = FlexProduct(direction="cap", max_duration=2)
    windows = [(1,), (1, 2), (3, 1), (3, 4), (0, 1, 2), ()]
    with pytest.raises(InputError) as error:
        cost_curves(day, product, windows=windows, steps=0)
    found = places(error)
    assert found[0] == "steps"
    assert found.count("window 4") == 2  # overlaps, lasts too long
    assert {"window 1", "window 2", "window 3", "window 5", "home home"} <= set(found)


def test_options_limits_and_products_are_checked():
    day = day_of(home_with())
    with pytest.raises(InputError) as error:
        capacity_offers(
            day, CAP, windows=[(1,), (2,)], together="some", shares=[0.9, 0.9], activation_cost=np.nan
        )
    assert places(error) == ["together", "shares", "activation_cost"]
    with pytest.raises(InputError) as error:
        schedule_under_limits(day, Limits(import_kw=np.zeros((2, 4)), export_kw=np.full((1, 4), np.nan)))
    assert places(error) == ["limits.import_kw", "limits.export_kw"]
    with pytest.raises(InputError) as error:
        FlexProduct(direction="roof", min_duration=4, max_duration=2, min_rest=-1, response_time_s=np.nan)
    assert places(error) == ["direction", "min_rest", "response_time_s", "max_duration"]


def test_wrong_acceptances_and_double_offers_are_refused():
    day = day_of(home_with())
    offers = capacity_offers(day, CAP, windows=[(1,)])
    with pytest.raises(InputError, match="one number per row"):
        limits_after(day, offers, [])
    with pytest.raises(InputError, match="between 0 and the offered 8 kW"):
        limits_after(day, offers, [9.0])
    with pytest.raises(InputError, match="second offer"):
        bids_of([*offers, *offers])
    floors = capacity_offers(day, FLOOR, windows=[(1,)])
    with pytest.raises(InputError) as error:
        bids_of([*offers, *floors])
    assert places(error)[0] == "direction"
    with pytest.raises(InputError, match="different products"):
        portfolio_offers("aggregator", [*offers, *floors])
    wider = capacity_offers(day, CAP, windows=[(1, 2)])
    with pytest.raises(InputError, match="overlaps"):
        portfolio_offers("aggregator", [*offers, *wider])
