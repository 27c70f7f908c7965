"""Gates that change over time, zones cleared side by side, and prices of the joint market on ties."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from zonal_samples import slack, zone_markets

from gridagora.errors import InputError
from gridagora.market import pay_as_bid, pay_as_cleared, trade_reduction, vickrey
from gridagora.market.zonal import GateLimits, hierarchical_clearing, with_bulk
from gridagora.market.zonal_joint import joint_clearing, welfare_gap
from gridagora.model.bids import Bids
from gridagora.model.zones import Zone, ZoneTree

property_test = settings(deadline=None, max_examples=60)
OUTCOME = ("accepted", "by_depth", "paid", "period", "price", "volume", "imports")


def same_bytes(one, other):
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in OUTCOME)


@st.composite
def changing_gates(draw):
    """Return a market and, for its periods in any order and one more, limits of every gate, kW."""
    bids, tree, _ = draw(zone_markets())
    period = draw(st.permutations([*np.unique(bids.period).tolist(), 99]))
    unit = 1000 if bids.is_integer else 1
    size = st.one_of(st.just(np.inf), st.integers(0, 9).map(lambda kw: kw / unit))
    shape = (len(period), len(tree.zones))

    def table():
        count = shape[0] * shape[1]
        return np.array(draw(st.lists(size, min_size=count, max_size=count))).reshape(shape)

    return bids, tree, GateLimits(period=period, import_kw=table(), export_kw=table())


def of_period(limits, tree, period):
    """Return what gates let through in one period as a table of numbers."""
    row = list(limits.period).index(period)
    return {
        name: (limits.import_kw[row, zone], limits.export_kw[row, zone])
        for zone, name in enumerate(tree.names)
        if zone != tree.root
    }


@property_test
@given(changing_gates())
def test_gates_that_change_are_those_of_each_period_by_itself(market):
    bids, tree, limits = market
    result = hierarchical_clearing(bids, tree, transfer_kw=limits)
    joint = joint_clearing(bids, tree, transfer_kw=limits)
    for row, period in enumerate(result.period.tolist()):
        mine = bids.period == period
        alone = of_period(limits, tree, period)
        one = hierarchical_clearing(bids.take(mine), tree, transfer_kw=alone)
        assert one.accepted.tobytes() == result.accepted[mine].tobytes()
        assert one.price.tobytes() == result.price[row].tobytes()
        assert one.imports.tobytes() == result.imports[row].tobytes()
        other = joint_clearing(bids.take(mine), tree, transfer_kw=alone)
        assert np.allclose(other.imports, joint.imports[row], atol=slack(bids))
        for zone, (enter, leave) in alone.items():
            unit = 1000 if bids.is_integer else 1
            for imports in (result.imports, joint.imports):
                through = imports[row, tree.position(zone)]
                assert -leave * unit - slack(bids) - 1e-9 <= through <= enter * unit + slack(bids) + 1e-9


@property_test
@given(zone_markets())
def test_gates_that_could_change_and_do_not(market):
    bids, tree, limits = market
    period = np.unique(bids.period)
    both = np.full((2, len(period), len(tree.zones)), np.inf)
    for name, kw in limits.items():
        both[:, :, tree.position(name)] = np.broadcast_to(kw, 2)[:, None]
    changing = GateLimits(period=period, import_kw=both[0], export_kw=both[1])
    for clear in (hierarchical_clearing, joint_clearing):
        one, other = (clear(bids, tree, transfer_kw=given) for given in (limits, changing))
        assert one.accepted.tobytes() == other.accepted.tobytes()
        assert one.imports.tobytes() == other.imports.tobytes()


@given(wh=st.integers(0, 10**9), period_h=st.sampled_from([1.0, 0.5, 0.25, 1 / 6]))
def test_a_limit_of_whole_wh_stays_whole(wh, period_h):
    """Of 1.001 kW 1,001 Wh, though 1.001 x 1,000 is less in floats; what is no whole Wh is rounded down."""
    tree = ZoneTree(
        zones=(
            Zone(name="bulk", level="bulk", parent=None),
            Zone(name="a", level="lv", parent="bulk", buses=("1",)),
        )
    )
    bids = Bids(side=["buy", "sell"], price=[3, 1], quantity=[2 * 10**9] * 2, node=["a", "bulk"])
    for kwh, expected in ((wh / 1000, wh), ((wh + 0.9) / 1000, wh)):
        result = hierarchical_clearing(bids, tree, transfer_kw={"a": kwh / period_h}, period_h=period_h)
        assert result.imports.tolist() == [[0, expected]]


@pytest.fixture(scope="module")
def executors():
    fresh = get_context("spawn")
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(1, mp_context=fresh) as processes:
        yield threads, processes


def large_market(*, whole):
    """Return 60 zones of three levels, 40 bids each over five periods, gates that bind, and ties."""
    rng = np.random.default_rng(5)
    zones = [Zone(name="z0", level="bulk", parent=None)]
    zones += [
        Zone(name=f"z{k}", level="zone", parent=f"z{(k - 1) // 5}", buses=(f"b{k}",)) for k in range(1, 60)
    ]
    tree = ZoneTree(zones=tuple(zones))
    side = rng.choice([1, -1], 2400)
    price, quantity = rng.integers(1, 40, 2400) + 5 * side, rng.integers(0, 900, 2400)
    bids = Bids(
        side=side,
        price=price if whole else price / 7,
        quantity=quantity if whole else quantity / 900,
        period=rng.integers(0, 5, 2400),
        participant=rng.permutation(2400),
        node=rng.choice(tree.names, 2400),
    )
    limits = dict.fromkeys(tree.names[1:], 0.5 if whole else 0.7)
    return with_bulk(bids, tree, pays=1, asks=45), tree, limits


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("mechanism", [pay_as_cleared, pay_as_bid, trade_reduction, vickrey])
def test_zones_cleared_side_by_side_give_the_same_bytes(executors, whole, mechanism):
    bids, tree, limits = large_market(whole=whole)
    alone = hierarchical_clearing(bids, tree, transfer_kw=limits, mechanism=mechanism)
    assert alone.volume.sum() > 0
    for executor in executors:
        shared = hierarchical_clearing(bids, tree, transfer_kw=limits, mechanism=mechanism, executor=executor)
        assert same_bytes(alone, shared)


@settings(deadline=None, max_examples=30)
@given(zone_markets())
def test_small_markets_side_by_side(executors, market):
    bids, tree, limits = market
    alone = hierarchical_clearing(bids, tree, transfer_kw=limits)
    assert same_bytes(alone, hierarchical_clearing(bids, tree, transfer_kw=limits, executor=executors[0]))
    found = welfare_gap(bids, tree, transfer_kw=limits, executor=executors[0])
    assert same_bytes(alone, found.hierarchical)


def refuses(bids):
    raise InputError([])


def test_errors_of_a_mechanism_come_back_and_no_executor_is_told(executors):
    bids, tree, limits = large_market(whole=True)
    for executor in executors:
        with pytest.raises(InputError):
            hierarchical_clearing(bids, tree, transfer_kw=limits, mechanism=refuses, executor=executor)
    with pytest.raises(InputError) as found:
        hierarchical_clearing(bids, tree, transfer_kw={"z1": -1.0}, executor=4)
    assert [fault.place for fault in found.value.faults] == ["executor", "transfer_kw z1"]


@property_test
@given(changing_gates())
def test_joint_prices_support_the_optimum_also_on_ties(market):
    """Complementary slackness: who trades gains or breaks even, who does not would lose; gates that are not
    full join equal prices, full ones lead from the cheap to the dear side."""
    bids, tree, limits = market
    joint = joint_clearing(bids, tree, transfer_kw=limits)
    unit = 1000 if bids.is_integer else 1
    tolerance = 1e-6
    zone = np.array([tree.position(str(node)) for node in bids.node], dtype=int)
    gain = bids.side * (bids.price - joint.price[np.searchsorted(joint.period, bids.period), zone])
    assert (gain[joint.accepted > tolerance] >= -tolerance).all()
    assert (gain[joint.accepted < bids.quantity - tolerance] <= tolerance).all()
    for row, period in enumerate(joint.period.tolist()):
        for name, (enter, leave) in of_period(limits, tree, period).items():
            at = tree.position(name)
            rise = joint.price[row, at] - joint.price[row, tree.parent[at]]
            if joint.imports[row, at] < enter * unit - tolerance:
                assert rise <= tolerance
            if joint.imports[row, at] > -leave * unit + tolerance:
                assert rise >= -tolerance


@settings(deadline=None, max_examples=40)
@given(changing_gates(), st.data())
def test_joint_prices_lie_between_what_one_unit_more_and_one_less_are_worth(market, data):
    """The slopes of the optimal welfare to both sides, from a second program, bound every dual."""
    bids, tree, limits = market
    joint = joint_clearing(bids, tree, transfer_kw=limits)
    if not len(joint.period):
        return
    row = data.draw(st.integers(0, len(joint.period) - 1))
    zone = data.draw(st.integers(0, len(tree.zones) - 1))
    period = int(joint.period[row])
    mine = bids.take(bids.period == period)
    step = 1e-3
    middle, more, less = (
        best_welfare(mine, tree, of_period(limits, tree, period), extra=(zone, extra))
        for extra in (0.0, step, -step)
    )
    # Energy to be taken away that nobody can give: no price is too high; energy that nobody takes: too low.
    if more is not None:
        assert joint.price[row, zone] >= (more - middle) / step - 1e-4
    if less is not None:
        assert joint.price[row, zone] <= (middle - less) / step + 1e-4


def best_welfare(bids, tree, gates, *, extra):
    """Return the largest welfare when a zone is given extra energy, None where that cannot be balanced."""
    unit = 1000 if bids.is_integer else 1
    inside = np.array([[name in tree.path(str(node)) for node in bids.node] for name in tree.names])
    around = np.array([name in tree.path(tree.names[extra[0]]) for name in tree.names])
    given_inside = around * extra[1]
    nets = inside * bids.side
    upper, bounds = [], []
    for name, (enter, leave) in gates.items():
        k = tree.position(name)
        for sign, limit in ((1, enter * unit), (-1, leave * unit)):
            if np.isfinite(limit):
                upper.append(sign * nets[k])
                bounds.append(limit + sign * given_inside[k])
    answer = linprog(
        -bids.side * bids.price.astype(float),
        A_ub=np.array(upper) if upper else None,
        b_ub=bounds or None,
        A_eq=nets[[tree.root]],
        b_eq=given_inside[[tree.root]],
        bounds=[(0, float(q)) for q in bids.quantity],
    )
    return -answer.fun if answer.status == 0 else None
