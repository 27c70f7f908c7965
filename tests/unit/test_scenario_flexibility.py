"""The section ``flexibility`` of a scenario: numbers of the study, faults at once, and what it refuses."""

from typing import get_args

import pytest

from gridagora.bootstrap import prepare
from gridagora.errors import Fault, InputError
from gridagora.model.flexibility_study import FlexRules, PaymentName, SettlementName
from gridagora.scenario import load_scenario, parse_scenario, scenario_yaml
from gridagora.scenario.flexibility import flex_rules, flexibility_key_faults
from gridagora.scenario.yaml_text import read_yaml

HOMES = [
    {"participant": "anna", "bus": "Bus R11", "import_limit_kw": 14.0},
    {"participant": "ben", "bus": "Bus R15", "import_limit_kw": 14.0, "export_limit_kw": 10.0},
]


def scenario(**flexibility):
    return {
        "grid": "cigre-lv",
        "period": {"start": "2016-01-04", "length": "1d"},
        "resolution": "1h",
        "participants": {"list": HOMES},
        "flexibility": flexibility,
    }


def rules(**flexibility) -> FlexRules:
    found = flex_rules(parse_scenario(scenario(**flexibility)))
    assert found is not None
    return found


def faults_of(data, overrides=()) -> dict[str, Fault]:
    with pytest.raises(InputError) as caught:
        prepare(data, overrides=dict(overrides))
    return {fault.place: fault for fault in caught.value.faults}


def test_defaults_are_those_of_the_rules() -> None:
    assert rules() == FlexRules()


def test_names_are_those_of_the_rules_that_are_there() -> None:
    from gridagora.market.payments.rules import RuleName
    from gridagora.settlement.flexibility_rules import RULES

    assert set(get_args(SettlementName)) == set(RULES)
    assert get_args(PaymentName) == get_args(RuleName)


def test_durations_become_periods() -> None:
    data = scenario(
        gate_closure="30min",
        rebound="6h",
        horizon="1d",
        product={"min_duration": "30min", "max_duration": "2h", "min_rest": "15min", "response_time": "90s"},
        reservation={"need_kw": 30, "lead": "1d", "from": "16:30", "to": "24:00"},
    )
    found = flex_rules(parse_scenario(data | {"resolution": "15min"}))
    assert (found.gate_closure_periods, found.rebound_hours, found.horizon_periods) == (2, 6.0, 96)
    product = found.product
    assert (product.min_duration, product.max_duration, product.min_rest) == (2, 8, 1)
    assert product.response_time_s == 90.0
    held = found.reservation
    assert (held.first_minute, held.last_minute, held.lead_periods) == (990, 1440, 96)


def test_ordered_demand_is_paid_as_bid_if_nothing_else_is_said() -> None:
    assert rules(demand="probability").payment == "pay_as_bid"
    assert rules(demand="probability", payment="vcg").payment == "vcg"
    assert "uniform" in faults_of(scenario(demand="probability", payment="uniform"))["flexibility"].reason


def test_comparison_leaves_out_what_is_run_anyway() -> None:
    assert rules(demand="impact", compare=["impact", "probability", "impact"]).compare == ("probability",)


def test_homes_plan_unless_the_file_says_otherwise() -> None:
    assert parse_scenario(scenario()).agents.ems == "optimal"
    assert parse_scenario(scenario() | {"agents": {"horizon": "2d"}}).agents.ems == "optimal"
    assert parse_scenario({"grid": "cigre-lv"}).agents.ems == "rule_based"
    assert parse_scenario({"grid": "cigre-lv", "flexibility": None}).agents.ems == "rule_based"
    fault = faults_of(scenario() | {"agents": {"ems": "rule_based"}})["agents.ems"]
    assert "what a limit costs" in fault.reason


def test_keys_of_the_pool_are_refused_each_by_name() -> None:
    data = scenario() | {
        "market": {"mechanism": "pay_as_bid", "session": "1h"},
        "agents": {"bidding": "truthful", "margin": 0.1},
    }
    found = faults_of(data)
    assert set(found) == {"market.mechanism", "market.session", "agents.bidding", "agents.margin"}
    for fault in found.values():
        assert "a study runs the pool or the flexibility market" in fault.reason
        assert fault.fix.startswith("leave out")


def test_forecast_error_needs_a_perfect_forecast() -> None:
    assert "perfect" in faults_of(scenario(forecast_error=0.03))["flexibility.forecast_error"].fix
    study = prepare(scenario(forecast_error=0.03) | {"agents": {"forecast": "perfect"}}, overrides={}).study
    assert study.flexibility.forecast_error == 0.03


def test_all_faults_of_the_section_are_told_at_once() -> None:
    found = faults_of(
        scenario(
            demand="impct",
            settlement="uftpp",
            threshold_percent=-1,
            planning_level=1.0,
            rebound="a while",
            product={"direction": "down", "max_activations_per_day": 0},
            costs={"fee_peaks": 0, "investment": -5},
            reservation={"from": "21:00", "to": "17:00"},
            recieve=1,
        )
    )
    below = {place.removeprefix("flexibility.") for place in found}
    assert below == {
        "demand",
        "settlement",
        "threshold_percent",
        "planning_level",
        "rebound",
        "product.direction",
        "product.max_activations_per_day",
        "costs.fee_peaks",
        "costs.investment",
        "reservation.need_kw",
        "recieve",
    }
    assert found["flexibility.planning_level"].reason == "must be below 1.0"
    assert found["flexibility.demand"].fix == "did you mean impact?"
    assert "reservation" in found["flexibility.recieve"].fix


@pytest.mark.parametrize(
    ("flexibility", "place", "words"),
    [
        ({"product": {"min_duration": "2h", "max_duration": "1h"}}, "product", "below its min_duration"),
        ({"reservation": {"need_kw": 1, "from": "21:00", "to": "17:00"}}, "reservation", "ends before"),
        ({"margin_percent": 95}, "", "margin_percent"),
        ({"gate_closure": "90min"}, "gate_closure", "whole number of 1h periods"),
        ({"horizon": "0h"}, "horizon", "whole number"),
        ({"product": {"min_rest": "15min"}}, "product.min_rest", "whole number"),
        ({"product": {"min_duration": "0h"}}, "product.min_duration", "whole number"),
        ({"reservation": {"need_kw": 1, "lead": "5min"}}, "reservation.lead", "whole number"),
        ({"reservation": {"need_kw": 1, "from": "16:45"}}, "reservation.from", "off the periods"),
    ],
)
def test_what_contradicts_itself_is_told(flexibility, place, words) -> None:
    found = faults_of(scenario(**flexibility))
    (fault,) = found.values()
    assert fault.place == f"flexibility.{place}".rstrip(".")
    assert words in fault.reason


def test_every_home_without_a_connection_capacity_is_named() -> None:
    homes = [{key: value for key, value in home.items() if "limit" not in key} for home in HOMES]
    homes.append({"participant": "eve", "bus": "Bus R17", "passive": True})
    found = faults_of(scenario() | {"participants": {"list": homes}})
    assert set(found) == {f"participants.list.{i}.import_limit_kw" for i in range(2)}
    assert [fault.value for fault in found.values()] == ["anna", "ben"]
    assert "participants: {import_limit_kw" in found["participants.list.0.import_limit_kw"].fix
    everyone = {"participants": {"list": homes, "import_limit_kw": 20.0}}
    assert len(prepare(scenario() | everyone, overrides={}).study.homes) == 3


def test_a_floor_needs_the_capacity_to_export() -> None:
    found = faults_of(scenario(product={"direction": "floor"}))
    assert [(fault.place, fault.value) for fault in found.values()] == [
        ("participants.list.0.export_limit_kw", "anna")
    ]


def test_homes_of_a_file_are_named_with_their_rows(tmp_path) -> None:
    (tmp_path / "p.csv").write_text("participant,bus,import_limit_kw\nanna,Bus R11,14\nben,Bus R15,\n")
    found = faults_of(scenario() | {"participants": {"file": str(tmp_path / "p.csv")}})
    assert [(fault.place, fault.value) for fault in found.values()] == [
        ("row 3, column import_limit_kw", "ben")
    ]


def test_loads_of_the_grid_get_one_fault_with_all_names() -> None:
    (fault,) = faults_of(scenario() | {"participants": {"home_kw": None}}).values()
    assert fault.place == "participants.import_limit_kw"
    assert "Load R11" in fault.value
    assert "Load C20" in fault.value


def test_faults_of_a_file_have_their_line(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "grid: cigre-lv\nresolution: 1h\nparticipants: {import_limit_kw: 50}\nmarket:\n  session: 1h\n"
        "flexibility:\n  rebound: 30min\n  compare: [impat]\n"
    )
    with pytest.raises(InputError) as caught:
        prepare(path, overrides={})
    places = {fault.place for fault in caught.value.faults}
    assert places == {
        "line 5, market.session",
        "line 7, flexibility.rebound",
        "line 8, flexibility.compare.0",
    }


def test_overrides_set_single_keys_and_turn_the_market_off() -> None:
    changed = load_scenario(
        "cigre-lv-flexibility",
        ["flexibility.demand=impact", "flexibility.product.min_rest=2h", "flexibility.reservation.need_kw=5"],
    )
    found = flex_rules(changed)
    assert (found.demand, found.compare, found.product.min_rest) == ("impact", ("probability",), 2)
    assert found.reservation.need_kw == 5.0
    assert (
        flex_rules(load_scenario("cigre-lv-flexibility", {"flexibility.reservation": None})).reservation
        is None
    )
    assert load_scenario("cigre-lv-flexibility", ["flexibility=null"]).flexibility is None
    made = load_scenario("village", ["flexibility.demand=impact"])
    assert (made.flexibility.demand, flexibility_key_faults(made)) == ("impact", [])


@pytest.mark.parametrize(
    "flexibility",
    [
        {},
        {"demand": "probability", "product": {"direction": "floor", "max_duration": "4h"}},
        {"reservation": {"need_kw": 12.5}, "costs": {"kw_periods_per_year": 500.0}, "compare": ["impact"]},
    ],
)
def test_written_scenario_is_read_back_and_runs_again(flexibility) -> None:
    spec = parse_scenario(scenario(**flexibility))
    again = parse_scenario(read_yaml(scenario_yaml(spec), "copy").data)
    assert again == spec
    assert flexibility_key_faults(again) == []


def test_case_study_is_the_feeder_of_the_benchmark() -> None:
    study = prepare("cigre-lv-flexibility", overrides={}).study
    benchmark = {"R1": 190.0, "R11": 14.25, "R15": 49.4, "R16": 52.25, "R17": 33.25, "R18": 44.65}
    assert {home.participant: home.bus for home in study.homes} == {name: f"Bus {name}" for name in benchmark}
    assert (str(study.axis.start), study.axis.periods, study.axis.mtu_s) == ("2016-01-01T00:00:00", 144, 3600)
    for home in study.homes:
        kw = benchmark[home.participant]
        assert home.import_limit_kw == pytest.approx(2 * kw)
        assert home.load_kw.max() == pytest.approx(1.65 * kw, rel=0.02)
        assert (home.pv_peak_kw, home.battery.energy_kwh) == pytest.approx((0.3 * kw, 0.7 * kw))
    assert study.flexibility.threshold_percent == 95.0
    assert study.flexibility.demand == "rebound_aware"
    assert set(study.flexibility.compare) == {"impact", "probability"}


def test_names_of_scenarios_are_completed() -> None:
    from gridagora.cli import _complete_scenario

    assert _complete_scenario("cigre-lv-f") == ["cigre-lv-flexibility"]
