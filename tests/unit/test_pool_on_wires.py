"""The pool that knows its wires: what is cleared anew, at which prices, and what homes then keep to."""

from types import SimpleNamespace

import numpy as np
import pytest
from pool_on_wires import bids_of, clear, make_study, net_kw

from gridagora.agents import Envelope, Team
from gridagora.engine.network import cut_off, nodes_of_homes
from gridagora.errors import InputError
from gridagora.model.columns import NodalClearing
from gridagora.model.resources import ElectricVehicle, Home
from gridagora.model.study import AgentRules, GridLimits, MarketRules
from gridagora.scenario import parse_scenario

VOLL = 10.0


def both(value):
    return [value, value]


def test_a_schedule_that_the_wires_carry_stays_as_the_pool_cleared_it():
    study = make_study()
    bids = bids_of([0, 4], [0, 0], [1, -1], price=[VOLL, 0.0], kwh=[1.0, 1.0])
    _, plate, found, _ = clear(study, bids)
    assert (found.accepted == plate).all()
    assert len(found.network.period) == 0 == len(found.network.plate.kind)
    assert np.nanmax(found.clearing_price) <= 0.2e6


def test_what_a_line_cannot_bring_is_cut_where_it_is_worth_least():
    study = make_study(limits=GridLimits(vm_min_pu=0.9, vm_max_pu=1.1, line_loading_percent=10.0))
    bids = bids_of([4, 4, 4], [0, 0, 1], [1, 1, 1], price=[VOLL, 0.21, VOLL], kwh=[2.0, 30.0, 2.0])
    orders, plate, found, (wires, fixed) = clear(study, bids)
    assert found.network.period.tolist() == [0]
    assert found.network.status == ("passed",)
    assert set(found.network.plate.kind) == {"line_loading"}
    assert plate[:3].tolist() == [2000, 30000, 2000]
    assert found.accepted[0] == 2000
    assert 0 < found.accepted[1] < 30000
    at = found.network.nodes.index("Bus R18")
    assert found.network.price[0, at] == 210_000  # the bid that is cut sets the price at its bus
    assert found.clearing_price[0] == 200_000
    assert found.network.parts[:, 0, at].sum() == pytest.approx(210_000)
    assert found.network.parts[2, 0, at] == pytest.approx(10_000)
    assert found.paid.sum() < 0  # what the line earns stays with the operator
    flow = wires.flow(net_kw(study, orders, found.accepted, fixed), fixed.kvar)
    lines = np.array(flow.kinds) == "line"
    assert flow.loading_percent[0, lines].max() == pytest.approx(10.0, abs=0.1)
    assert not wires.check(flow, fixed.kw).kind


def test_sun_that_lifts_the_voltage_is_cut_where_it_lifts_it_most():
    study = make_study(limits=GridLimits(vm_min_pu=0.9, vm_max_pu=1.04, line_loading_percent=1e3,
                                         transformer_loading_percent=1e3))  # fmt: skip
    bids = bids_of([0, 4], [0, 0], [-1, -1], price=[0.0, 0.0], kwh=[15.0, 30.0])
    _, plate, found, _ = clear(study, bids)
    assert found.network.status == ("passed",)
    near, far = (found.network.nodes.index(bus) for bus in ("Bus R11", "Bus R18"))
    assert found.network.price[0, far] < found.network.price[0, near] <= found.clearing_price[0]
    assert found.network.parts[3, 0, far] < 0
    assert found.accepted[0] == plate[0]
    assert found.accepted[1] < plate[1]
    assert cut_off(found.network, 2, first=0)[0, far] == -1


def test_what_does_not_bid_can_make_a_limit_unavoidable_and_it_is_named():
    study = make_study(limits=GridLimits(line_loading_percent=5.0), passive=(4,))
    bids = bids_of([0], [0], [1], price=[VOLL], kwh=[1.0])
    heavy = np.zeros((2, 6))
    heavy[0, 4] = 60.0
    _, _, found, _ = clear(study, bids, fixed_kw=heavy)
    assert found.network.status == ("unavoidable",)
    assert "no accepted bids can keep" in found.network.reason[0]
    assert found.accepted[0] == 0  # nothing that makes it worse


def test_homes_on_one_phase_have_prices_of_their_phase():
    limits = GridLimits(
        vm_min_pu=0.96, vm_max_pu=1.1, line_loading_percent=1e3, transformer_loading_percent=1e3
    )
    study = make_study(phases=(1, 2, 3, 1, 2, 3), limits=limits)
    bids = bids_of([4, 3], [0, 0], [1, 1], price=[0.21, 0.21], kwh=[8.0, 1.0])
    orders, _, found, (wires, fixed) = clear(study, bids)
    assert found.network.nodes[:5] == ("Bus R11.1", "Bus R15.2", "Bus R16.3", "Bus R17.1", "Bus R18.2")
    assert found.network.status == ("passed",)
    assert found.accepted[1] == 1000
    assert 0 < found.accepted[0] < 8000
    assert found.network.price[0, 4] > found.network.price[0, 3]
    net = net_kw(study, orders, found.accepted, fixed)
    assert not wires.check(wires.flow(net, fixed.kvar), net).kind
    assert nodes_of_homes(found.network, study).tolist() == [0, 1, 2, 3, 4, 5]


def test_the_retailers_limit_holds_in_whole_watt_hours():
    limits = GridLimits(vm_min_pu=0.9, line_loading_percent=10.0)
    study = make_study(limits=limits, import_limit_kw=20.0)
    rows = [0, 1, 2, 3, 4]
    bids = bids_of(
        rows, [0] * 5, [1] * 5, price=[0.21, 0.22, 0.23, 0.24, 0.25], kwh=[1.2345, 1.1111, 0.7777, 0.9, 30.0]
    )
    orders, _, found, _ = clear(study, bids)
    upstream = orders.participant == 6
    assert found.accepted[upstream].sum() <= 5000
    assert (orders.side * found.accepted).sum() == 0


def test_losses_are_priced_and_bought_where_the_rules_say_so():
    study = make_study(price_losses=True)
    bids = bids_of([4], [0], [1], price=[VOLL], kwh=[5.0])
    _, _, found, _ = clear(study, bids)
    at = found.network.nodes.index("Bus R18")
    assert found.network.period.tolist() == [0, 1]
    assert found.network.parts[1, 0, at] > 0
    assert found.network.price[0, at] > found.clearing_price[0] == 200_000
    assert found.network.loss_wh[0] > 0
    # marginal losses are about twice the losses: what is collected pays for them
    assert -found.paid.sum() > found.network.loss_wh[0] * 200_000


def test_two_solutions_of_the_same_session_are_the_same_bytes():
    study = make_study(limits=GridLimits(line_loading_percent=10.0))
    bids = bids_of([3, 4], [0, 0], [1, 1], price=[VOLL, 0.21], kwh=[2.0, 30.0])
    first, second = clear(study, bids)[2], clear(study, bids)[2]
    assert first.accepted.tobytes() == second.accepted.tobytes()
    assert first.network.price.tobytes() == second.network.price.tobytes()


def test_nodes_near_a_limit_follow_what_holds_all():
    found = NodalClearing(
        nodes=("a", "b"),
        period=np.array([5]),
        price=np.zeros((1, 2), np.int64),
        parts=np.array([[[1.0, 1.0]], [[0.0, 0.0]], [[0.0, 3.0]], [[0.0, 0.0]]]),
        rounds=np.ones(1, np.int64),
        status=("passed",),
        reason=("",),
        loss_wh=np.zeros(1, np.int64),
        residual_wh=np.zeros(1, np.int64),
        held=np.array([0, -1], np.int8),
        plate_accepted=np.zeros(0, np.int64),
        plate_price=np.zeros(1),
        plate=SimpleNamespace(),
    )
    assert cut_off(found, 2, first=4).tolist() == [[0, 0], [-1, 1]]


@pytest.fixture(scope="module")
def team():
    study = make_study()
    series = {"load_kw": np.array([2.0, 2.0]), "load_kvar": np.zeros(2)}
    car = ElectricVehicle(
        charge_kw=11.0,
        efficiency=1.0,
        arrival=np.array([0]),
        departure=np.array([2]),
        needed_kwh=np.array([1.0]),
    )
    homes = (
        Home(participant="car", bus="Bus R11", ev=car, **series),
        Home(participant="sun", bus="Bus R11", pv_kw=np.array([9.0, 9.0]), **series),
    )
    return Team(homes, study.axis, rules=AgentRules(), tariffs=study.tariffs, market=study.market)


def test_homes_keep_to_what_the_wires_let_them_exchange(team):
    free = np.full((2, 2), np.inf)
    bounds = Envelope(
        least_kw=np.array([[-np.inf, -np.inf], [-3.0, -np.inf]]),
        most_kw=np.array([[3.0, np.inf], [np.inf, np.inf]]),
        shed_kw=np.zeros((2, 2)),
    )
    loose = Envelope(least_kw=-free, most_kw=free, shed_kw=np.zeros((2, 2)))
    state = team.initial_state()
    committed = np.full((2, 2), np.nan)
    bound = team.deliver(state, 0, 2, committed_kw=committed, envelope=bounds)
    same = team.deliver(state, 0, 2, committed_kw=committed, envelope=loose)
    assert bound.net_kw[:, 0] == pytest.approx([3.0, -3.0])
    assert bound.ev_kw[0, 0] == pytest.approx(1.0)  # the car waits, the load does not
    assert bound.curtailed_kw[1, 0] == pytest.approx(4.0)
    assert same.net_kw[1].tolist() == [-7.0, -7.0]
    assert bound.unserved_load_kw.max() == 0 == same.unserved_load_kw.max()


def test_load_is_shed_no_further_than_the_market_could_not_supply_it(team):
    state, committed = team.initial_state(), np.full((2, 2), np.nan)
    bounds = Envelope(
        least_kw=np.full((2, 2), -np.inf),
        most_kw=np.array([[0.5, 0.5], [np.inf, np.inf]]),
        shed_kw=np.array([[1.0, 0.0], [0.0, 0.0]]),
    )
    found = team.deliver(state, 0, 2, committed_kw=committed, envelope=bounds)
    assert found.unserved_load_kw[0] == pytest.approx([1.0, 0.0], abs=1e-6)
    assert bounds.part(1, 1).shed_kw.tolist() == [[0.0], [0.0]]


def test_rule_based_homes_bid_load_before_devices_and_both_before_the_retailers_price():
    study = make_study()
    assert study.market.value_of_lost_load == VOLL
    series = {"load_kw": np.array([2.0, 2.0]), "load_kvar": np.zeros(2)}
    car = ElectricVehicle(
        charge_kw=11.0,
        efficiency=1.0,
        arrival=np.array([0]),
        departure=np.array([2]),
        needed_kwh=np.array([1.0]),
    )
    home = Home(participant="car", bus="Bus R11", ev=car, **series)
    team = Team(
        (home,),
        study.axis,
        rules=AgentRules(),
        tariffs=study.tariffs,
        market=MarketRules(mechanism="network"),
    )
    plan = team.plan(team.initial_state(), 0, 1, outlook=team.actual(0, 1))
    bids = team.bids(plan)
    assert bids.price.tolist() == [VOLL, 0.2]
    assert bids.quantity[0] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("market", "words"),
    [
        ({"mechanism": "network", "islanded": True}, "no upstream grid"),
        ({"mechanism": "network", "grid_margin": 1.0}, "grid_margin"),
    ],
)
def test_rules_that_do_not_fit_the_network_market_are_told(market, words):
    with pytest.raises(InputError, match=words):
        parse_scenario({"grid": "cigre-lv", "market": market})


def test_bids_must_be_what_energy_is_worth():
    with pytest.raises(InputError, match="truthful"):
        parse_scenario(
            {"grid": "cigre-lv", "market": {"mechanism": "network"}, "agents": {"bidding": "fixed_margin"}}
        )
