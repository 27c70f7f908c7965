"""Cost of a limit against an independent linear program (scipy), and portfolios against the joint optimum."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog
from test_agents_lp import AXIS, DEVICES, HOURS, PERIODS, random_home, random_tariffs, reference_cost

from gridagora.agents import Outlook, fleet_from_homes, initial_state
from gridagora.agents.offers import (
    FlexibilityDay,
    capacity_offers,
    connection_limits,
    cost_curves,
    portfolio_offers,
    schedule_under_limits,
)
from gridagora.model.flexibility import FlexProduct
from gridagora.model.resources import Battery, Home

CAP, FLOOR = FlexProduct(direction="cap"), FlexProduct(direction="floor")


def day_of(homes, tariffs):
    fleet = fleet_from_homes(homes, AXIS)
    outlook = Outlook(load_kw=fleet.load_kw, pv_kw=fleet.pv_kw, heat_kw=fleet.heat_kw, future_stays=True)
    buy = tariffs.retail + tariffs.network + tariffs.taxes
    price = np.stack([buy, np.clip(tariffs.feed_in, 0.0, buy)], axis=1)
    state = initial_state(fleet)
    return FlexibilityDay(fleet=fleet, state=state, t=0, outlook=outlook, price=price, value_left=False)


def under(home, direction, window, limit):
    """The home with its connection reduced to the limit within the window."""
    name = "import_limit_kw" if direction == "cap" else "export_limit_kw"
    series = np.full(PERIODS, getattr(home, name))
    series[list(window)] = np.minimum(series[list(window)], limit)
    return replace(home, **{name: series})


def busy_home(seed, devices):
    """A home of `random_home` with more load, and its hours of most import and export as windows."""
    home, tariffs = random_home(seed, *devices), random_tariffs(seed)
    home = replace(home, load_kw=np.minimum(2.5 * home.load_kw, 6.0))
    net = schedule_under_limits(day_of((home,), tariffs)).net_kw[0]
    most, least = int(net.argmax()), int(net.argmin())
    rest = [t for t in range(PERIODS - 3) if abs(t - most) > 4 and abs(t - least) > 4]
    several = max(rest, key=lambda t: (net[t : t + 3].sum(), t))
    return home, tariffs, [(most,), (least,), (several, several + 1, several + 2)]


@pytest.mark.parametrize("product", [CAP, FLOOR], ids=["cap", "floor"])
@pytest.mark.parametrize("devices", [(False, False, False), *DEVICES])
def test_cost_of_a_limit_equals_an_independent_linear_program(devices, product):
    solved = 0
    for seed in (1, 2, 4):
        home, tariffs, windows = busy_home(seed, devices)
        unlimited = reference_cost(home, tariffs)
        for curve in cost_curves(day_of((home,), tariffs), product, windows=windows, steps=3):
            for limit, cost in zip(curve.limit_kw, curve.cost, strict=True):
                reference = reference_cost(under(home, product.direction, curve.periods, limit), tariffs)
                assert cost == pytest.approx(reference - unlimited, abs=5e-6), (seed, curve.periods, limit)
                solved += cost > 1e-6
    if product is CAP:
        assert (solved > 0) == any(devices)


@pytest.mark.parametrize("devices", DEVICES)
def test_below_the_lowest_limit_something_goes_missing(devices):
    found = 0
    for seed in range(4):
        home, tariffs, windows = busy_home(seed, devices)
        unlimited = reference_cost(home, tariffs)
        for curve in cost_curves(day_of((home,), tariffs), CAP, windows=windows, steps=1):
            lowest = curve.limit_kw[-1]
            if lowest > 0.05:
                more = reference_cost(under(home, "cap", curve.periods, lowest - 0.05), tariffs) - unlimited
                assert more > curve.cost[-1] + 0.1  # penalties, far above any price
                found += 1
    assert found


def test_schedule_costs_what_the_independent_program_costs():
    rng = np.random.default_rng(4)
    for seed in range(4):
        home, tariffs = random_home(seed, True, True, True), random_tariffs(seed)
        day = day_of((home,), tariffs)
        limits = connection_limits(day)
        limits.import_kw[0, rng.integers(0, PERIODS, 6)] = rng.uniform(1.0, 5.0, 6)
        limits.export_kw[0, rng.integers(0, PERIODS, 6)] = rng.uniform(0.0, 2.0, 6)
        schedule = schedule_under_limits(day, limits)
        limited = replace(home, import_limit_kw=limits.import_kw[0], export_limit_kw=limits.export_kw[0])
        assert schedule.cost[0] == pytest.approx(reference_cost(limited, tariffs), abs=2e-6)
        assert np.all(schedule.net_kw <= limits.import_kw + 1e-6)
        assert np.all(-schedule.net_kw <= limits.export_kw + 1e-6)


def joint_cost(homes, price, *, period, cut_kw):
    """Least cost of a total cut below the connections' sum: homes with a battery in one program."""
    n, count = PERIODS, len(homes)
    one, sums = sparse.eye(n), sparse.csr_matrix(np.tril(np.ones((n, n))))
    zero = sparse.csr_matrix((n, n))
    balances, stores, bounds, right, room = [], [], [], [], []
    for home in homes:
        b = home.battery
        balances.append(sparse.hstack([one, -one, -one, one]))
        content = sparse.hstack([zero, zero, b.charge_efficiency * sums, -sums / b.discharge_efficiency])
        stores += [sparse.vstack([content, -content])]
        start = b.energy_kwh * b.initial_share
        room += [np.full(n, b.energy_kwh - start), np.full(n, start)]
        for high in (home.import_limit_kw, home.export_limit_kw, b.charge_kw, b.discharge_kw):
            bounds += [(0.0, high * HOURS)] * n
        right.append(home.load_kw * HOURS)
    capped = sparse.csr_matrix((np.ones(count), (np.zeros(count, int), np.arange(count) * 4 * n + period)))
    capped.resize((1, 4 * n * count))
    total = (sum(home.import_limit_kw for home in homes) - cut_kw) * HOURS
    answer = linprog(
        np.tile(np.concatenate([price[:, 0], -price[:, 1], np.zeros(2 * n)]), count),
        A_eq=sparse.block_diag(balances).tocsr(),
        b_eq=np.concatenate(right),
        A_ub=sparse.vstack([sparse.block_diag(stores), capped]).tocsr(),
        b_ub=np.concatenate([*room, [total]]),
        bounds=bounds,
    )
    assert answer.status == 0
    return answer.fun


def test_portfolio_in_merit_order_is_the_joint_optimum():
    rng = np.random.default_rng(3)
    homes = tuple(
        Home(
            participant=f"home {index}", bus="1", load_kw=rng.uniform(0.5, 3.0, PERIODS),
            load_kvar=np.zeros(PERIODS), import_limit_kw=8.0, export_limit_kw=8.0,
            battery=Battery(energy_kwh=float(rng.uniform(2, 6)), charge_kw=3.0, discharge_kw=2.5,
                            charge_efficiency=float(rng.uniform(0.85, 0.97))),
        )
        for index in range(3)
    )  # fmt: skip
    day = day_of(homes, random_tariffs(5))
    for period in (9, 30):
        unlimited = joint_cost(homes, day.price, period=period, cut_kw=0.0)
        gaps = []
        for steps in (4, 64):
            offers = capacity_offers(day, CAP, windows=[(period,)], steps=steps)
            (offer,) = portfolio_offers("aggregator", offers)
            quantity = np.cumsum([step.quantity_kw for step in offer.steps])
            money = np.cumsum([step.quantity_kw * step.price for step in offer.steps])
            asked = np.linspace(offer.free_kw, offer.quantity_kw, 6)
            sold = np.interp(asked, quantity, money)
            best = np.array([joint_cost(homes, day.price, period=period, cut_kw=cut) for cut in asked])
            assert np.all(sold >= best - unlimited - 1e-6)  # never underpaid
            assert sold[-1] == pytest.approx(best[-1] - unlimited, abs=1e-5)
            gaps.append(np.abs(sold - (best - unlimited)).max())
        assert gaps[1] <= 0.01 * sold[-1] + 1e-6  # the grid of limits is all that parts them
        assert gaps[1] <= gaps[0] + 1e-6
