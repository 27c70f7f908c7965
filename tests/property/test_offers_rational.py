"""Offers pay for themselves: what is accepted under its terms costs a home no more than it earns."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.agents import Outlook, fleet_from_homes, initial_state
from gridagora.agents._offers_steps import curve_steps
from gridagora.agents.offers import (
    FlexibilityDay,
    bids_of,
    capacity_offers,
    connection_limits,
    cost_curves,
    limits_after,
    portfolio_offers,
    schedule_under_limits,
)
from gridagora.model.flexibility import FlexProduct
from gridagora.model.resources import Battery, ElectricVehicle, HeatPump, Home
from gridagora.model.time import TimeAxis

H = 24
AXIS = TimeAxis(start=np.datetime64("2016-01-01"), periods=H, mtu_s=3600)
CAP, FLOOR = FlexProduct(direction="cap"), FlexProduct(direction="floor")
TOLERANCE = 1e-5


def winter_day(seed, devices=("b", "c", "p", "bcp")):
    """Homes on an evening of high prices: batteries, cars that came home at five, heat pumps, some sun."""
    rng = np.random.default_rng(seed)
    clock = np.arange(H)
    homes = tuple(
        Home(
            participant=f"home {index}",
            bus="1",
            load_kw=0.5 + rng.exponential(0.4, H) + 2.0 * np.exp(-(((clock - 18) / 2.0) ** 2)),
            load_kvar=np.zeros(H),
            pv_kw=rng.uniform(1.0, 6.0) * np.maximum(0.0, np.sin((clock - 7) / 10 * np.pi)),
            battery=Battery(energy_kwh=5.0, charge_kw=2.5, discharge_kw=2.5, initial_share=0.1)
            if "b" in kind
            else None,
            ev=ElectricVehicle(
                charge_kw=7.0,
                efficiency=0.9,
                arrival=np.array([16]),
                departure=np.array([23]),
                needed_kwh=rng.uniform(6.0, 20.0, 1),
            )
            if "c" in kind
            else None,
            heat_pump=HeatPump(
                electric_kw=3.0,
                cop=rng.uniform(2.5, 3.5, H),
                heat_demand_kw=rng.uniform(2.0, 6.0, H),
                tank_kwh=8.0,
            )
            if "p" in kind
            else None,
            import_limit_kw=14.0,
            export_limit_kw=8.0,
        )
        for index, kind in enumerate(devices)
    )
    fleet = fleet_from_homes(homes, AXIS)
    outlook = Outlook(load_kw=fleet.load_kw, pv_kw=fleet.pv_kw, heat_kw=fleet.heat_kw, future_stays=True)
    buy = np.where((clock >= 17) & (clock < 21), 0.30, 0.25) + rng.uniform(0.0, 0.15, H)
    price = np.stack([buy, np.full(H, 0.06)], axis=1)
    return FlexibilityDay(fleet=fleet, state=initial_state(fleet), t=0, outlook=outlook, price=price)


def earned(day, offers, accepted):
    """Money per home for what was accepted."""
    money = np.zeros(day.fleet.homes)
    steps = [step for offer in offers for _ in offer.periods for step in offer.steps]
    for step, kw in zip(steps, accepted, strict=True):
        money[day.fleet.participants.index(step.member)] += step.price * kw
    return money


def random_acceptance(rng, bids):
    """Merit order per seller and period, ending anywhere; blocks in whole."""
    accepted = np.zeros(len(bids))
    taken = {}
    for row in range(len(bids)):
        key = bids.group[row] or row
        share = taken.setdefault(key, rng.choice([0.0, 1.0]) if bids.group[row] else rng.uniform())
        accepted[row] = bids.quantity[row] * share
    return accepted


@pytest.mark.parametrize("product", [CAP, FLOOR], ids=["cap", "floor"])
def test_cost_does_not_fall_as_the_limit_falls_and_is_convex(product):
    for seed in range(3):
        for curve in cost_curves(winter_day(seed), product, windows=[(t,) for t in range(H)]):
            rise = np.diff(curve.cost)
            assert np.all(np.diff(curve.cut_kw) > 0)
            assert np.all(rise >= 0)
            slope = rise / np.diff(curve.cut_kw)
            assert np.all(np.diff(slope) >= -1e-5)


def test_free_part_is_what_the_plan_does_not_use():
    for seed in range(3):
        day = winter_day(seed)
        net = schedule_under_limits(day).net_kw
        offers = capacity_offers(day, CAP, windows=[(t,) for t in range(H)])
        assert len(offers) == day.fleet.homes * H
        for offer in offers:
            home = day.fleet.participants.index(offer.participant)
            unused = 14.0 - max(net[home, offer.periods[0]], 0.0)
            assert offer.steps[0].quantity_kw >= unused - 1e-6
            prices = [step.price for step in offer.steps]
            assert prices == sorted(prices)
            if len(prices) > 1 and prices[1] > 1e-3 and offer.steps[0].quantity_kw > unused + 1e-6:
                # more than unused is free only if the plan can be moved at no cost
                moved = connection_limits(day)
                moved.import_kw[home, offer.periods[0]] = 14.0 - offer.steps[0].quantity_kw
                assert schedule_under_limits(day, moved).cost[home] == pytest.approx(
                    schedule_under_limits(day).cost[home], abs=1e-5
                )


@pytest.mark.parametrize("product", [CAP, FLOOR], ids=["cap", "floor"])
@pytest.mark.parametrize("length", [1, 3])
def test_one_accepted_window_leaves_nobody_worse_off(product, length):
    rng = np.random.default_rng(8)
    for seed in range(3):
        day = winter_day(seed)
        before = schedule_under_limits(day).cost
        for first in (11, 17, 20):
            window = tuple(range(first, first + length))
            offers = capacity_offers(day, product, windows=[window], steps=5)
            assert all(offer.product.max_activations_per_day == 1 for offer in offers)
            bids = bids_of(offers)
            for accepted in (bids.quantity, random_acceptance(rng, bids)):
                after = schedule_under_limits(day, limits_after(day, offers, accepted))
                assert np.all(after.cost - before <= earned(day, offers, accepted) + TOLERANCE)
                assert after.unserved_load_kw.max() < 1e-6


@pytest.mark.parametrize("product", [CAP, FLOOR], ids=["cap", "floor"])
@pytest.mark.parametrize("windows", [[(t,) for t in range(17, 21)], [(10, 11), (12,), (17, 18), (19,)]])
def test_any_accepted_windows_leave_nobody_worse_off(product, windows):
    rng = np.random.default_rng(9)
    paid = 0
    for seed in range(3):
        day = winter_day(seed)
        before = schedule_under_limits(day).cost
        offers = capacity_offers(day, product, windows=windows, together="any", steps=5)
        bids = bids_of(offers)
        paid += sum(step.price > 0 for offer in offers for step in offer.steps)
        for _ in range(6):
            accepted = random_acceptance(rng, bids)
            after = schedule_under_limits(day, limits_after(day, offers, accepted))
            assert np.all(after.cost - before <= earned(day, offers, accepted) + TOLERANCE)
        after = schedule_under_limits(day, limits_after(day, offers, bids.quantity))
        assert np.all(after.cost - before <= earned(day, offers, bids.quantity) + TOLERANCE)
    assert paid or product is FLOOR


def test_offers_one_after_the_other_add_up_to_the_cost_of_all():
    day = winter_day(2)
    limits, paid = connection_limits(day), np.zeros(day.fleet.homes)
    for window in [(17,), (18,), (19,), (20,)]:
        offers = capacity_offers(day, CAP, windows=[window], steps=1, limits=limits)
        bids = bids_of(offers)
        paid += earned(day, offers, bids.quantity)
        limits = limits_after(day, offers, bids.quantity, limits=limits)
    more = schedule_under_limits(day, limits).cost - schedule_under_limits(day).cost
    np.testing.assert_allclose(paid, more, atol=TOLERANCE)
    assert paid.max() > 0.01


def test_a_portfolio_sells_what_its_members_sell():
    rng = np.random.default_rng(1)
    day = winter_day(1)
    offers = capacity_offers(day, CAP, windows=[(17,), (19,)], together="any")
    merged = portfolio_offers("aggregator", offers)
    assert [offer.periods for offer in merged] == [(17,), (19,)]
    assert merged[0].capacity_kw == 14.0 * day.fleet.homes
    bids = bids_of(merged)
    assert set(bids.participant.tolist()) == {"aggregator"}
    before = schedule_under_limits(day).cost
    accepted = random_acceptance(rng, bids)
    after = schedule_under_limits(day, limits_after(day, merged, accepted)).cost
    assert np.all(after - before <= earned(day, merged, accepted) + TOLERANCE)
    total = bids_of(offers)
    for period in (17, 19):
        assert bids.quantity[bids.period == period].sum() == pytest.approx(
            total.quantity[total.period == period].sum()
        )


def test_the_same_day_gives_the_same_offers():
    def once():
        return capacity_offers(winter_day(3), CAP, windows=[(17,), (18,)], together="any")

    assert once() == once()


curves = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 8)), min_size=2, max_size=7
).map(lambda rows: np.cumsum([(0, 0), *rows], axis=0).astype(float))  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(curves, st.integers(0, 2**31))
def test_no_choice_of_steps_is_paid_less_than_it_costs(rows, seed):
    cut, cost = rows[:, 0], rows[:, 1]
    inside = cut < cut[-1]
    inside[np.argmax(~inside)] = True  # a jump is followed by a larger cut
    cut, cost = cut[inside], cost[inside]
    if cut[-1] == 0:
        return
    steps = curve_steps(cut, cost)
    assert sum(quantity for quantity, *_ in steps) == pytest.approx(cut[-1])
    assert sum(quantity * price for quantity, price, _ in steps) == pytest.approx(lowest_end(cut, cost))
    prices = [price for _, price, _ in steps]
    assert prices == sorted(prices)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        left = np.cumsum([quantity for quantity, _, block in steps if not block])
        divisible = rng.uniform(0.0, left[-1]) if len(left) else 0.0
        chosen = [min(max(divisible - (end - q), 0.0), q) for (q, *_), end in zip(steps, left, strict=False)]
        chosen += [q * rng.integers(0, 2) for q, _, block in steps if block]
        paid = sum(kw * price for kw, price in zip(chosen, prices, strict=True))
        assert paid >= cost_of(cut, cost, sum(chosen)) - 1e-6


def lowest_end(cut, cost):
    """Cost at the end of the curve: where the last cut stands more than once, the lowest."""
    return cost[np.isclose(cut, cut[-1])].min()


def cost_of(cut, cost, wanted):
    """Cost of a cut, linear between the points; at a jump its foot."""
    at = np.flatnonzero(np.isclose(cut, wanted))
    if len(at):
        return cost[at[0]]
    after = int(np.searchsorted(cut, wanted, side="right"))
    share = (wanted - cut[after - 1]) / (cut[after] - cut[after - 1])
    return cost[after - 1] + share * (cost[after] - cost[after - 1])


def test_convex_curves_stay_divisible_and_others_become_blocks():
    cut = np.array([0.0, 1.0, 2.0, 3.0])
    convex = curve_steps(cut, np.array([0.0, 1.0, 3.0, 6.0]))
    assert convex == [(1.0, 1.0, False), (1.0, 2.0, False), (1.0, 3.0, False)]
    assert curve_steps(cut, np.array([0.0, 3.0, 5.0, 6.0])) == [(3.0, 2.0, True)]
    # behind a block even a convex step is one: alone it would have to bear the block's fixed cost
    mixed = curve_steps(np.array([0.0, 1.0, 1.0, 3.0, 5.0]), np.array([0.0, 0.0, 1.0, 2.0, 6.0]))
    assert mixed == [(1.0, 0.0, False), (2.0, 1.0, True), (2.0, 2.0, True)]


def test_an_activation_cost_makes_blocks_and_is_always_covered():
    rng = np.random.default_rng(5)
    day, fixed = winter_day(0), 0.4
    before = schedule_under_limits(day).cost
    plain = capacity_offers(day, CAP, windows=[(t,) for t in range(H)])
    dearest = max(plain, key=lambda offer: len(offer.steps)).periods
    offers = capacity_offers(day, CAP, windows=[dearest], activation_cost=fixed)
    bids = bids_of(offers)
    assert np.any(bids.group != "")
    assert np.all((bids.group == "") == (bids.price == 0))
    for _ in range(5):
        accepted = random_acceptance(rng, bids)
        limits = limits_after(day, offers, accepted)
        after = schedule_under_limits(day, limits).cost
        called = np.zeros(day.fleet.homes)
        for home, name in enumerate(day.fleet.participants):
            free = next(offer for offer in offers if offer.participant == name).free_kw
            called[home] = fixed * (accepted[bids.participant == name].sum() > free + 1e-6)
        assert np.all(after - before + called <= earned(day, offers, accepted) + TOLERANCE)


def test_a_day_that_starts_later_offers_the_same_as_one_that_begins_there():
    day = winter_day(1, devices=("b", "bp"))
    fleet, later = day.fleet, 15
    window = slice(later, H)
    outlook = Outlook(
        load_kw=fleet.load_kw[:, window],
        pv_kw=fleet.pv_kw[:, window],
        heat_kw=fleet.heat_kw[:, window],
        future_stays=True,
    )
    whole = replace(day, t=later, outlook=outlook, price=day.price[window])
    cut = replace(
        fleet,
        load_kw=outlook.load_kw,
        pv_kw=outlook.pv_kw,
        heat_kw=outlook.heat_kw,
        cop=fleet.cop[:, window],
        stay=fleet.stay[:, window],
    )
    alone = replace(whole, fleet=cut, t=0)
    there = cost_curves(whole, CAP, windows=[(18,)])
    here = cost_curves(alone, CAP, windows=[(18 - later,)])
    for a, b in zip(there, here, strict=True):
        np.testing.assert_allclose(a.cost, b.cost, atol=1e-6)
