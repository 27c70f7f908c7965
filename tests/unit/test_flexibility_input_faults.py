"""Bad input to the parts of the flexibility market: faults with place, reason and fix, no other error."""

import numpy as np
import pytest

from gridagora.adapters.grids import Grid
from gridagora.errors import InputError
from gridagora.grid import DsoCosts, NeedRules, PointForecast, Rebound, demand_curve, find_need
from gridagora.grid.ageing import loss_of_life
from gridagora.grid.demand import CurveSteps
from gridagora.grid.need import helping_capacity
from gridagora.grid.value import capacity_fee_price, deferral_price, deferral_value
from gridagora.market import ActivationLimits, Horizon, capacity_limit_auction
from gridagora.model.bids import Bids
from gridagora.model.flexibility import FlexProduct
from gridagora.model.numbers import read_numbers
from gridagora.settlement import Calls, check_limit
from gridagora.settlement.baselines import BaselineInputs, Calendar
from gridagora.settlement.reservation import ReservationTerms, check_availability, settle_reservation

NAN, INF = float("nan"), float("inf")


def places(work):
    with pytest.raises(InputError) as error:
        work()
    assert all(fault.reason and fault.fix for fault in error.value.faults)
    return [fault.place for fault in error.value.faults]


@pytest.fixture(scope="module")
def need():
    load = PointForecast.certain({"R1": "Bus R1", "R15": "Bus R15"}, import_kw=[[460.0, 30.0]], hours=1.0)
    return find_need(Grid.by_name("cigre-lv"), load)


CALLS = Calls(called=[[True, True]], hours=1.0)


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (lambda: check_limit([["a", 1]], CALLS, limit_kw=3, capacity_kw=8), ["metered_kw[0, 0]"]),
        (lambda: check_limit([[1, 1]], CALLS, limit_kw="3 kW", capacity_kw=8), ["limit_kw"]),
        (lambda: Calls(called=[[True], [True, False]], hours=1.0), ["called"]),
        (lambda: Calls(called=[[NAN]], hours=1.0), ["called"]),
        (lambda: Calls(called=[[True, True]], hours=NAN, window=[0.0, 0.5]), ["window", "hours"]),
        (lambda: check_availability(reserved_kw=[["x"]], requested_kw=[[1]], offered_kw=[[1]], hours=1.0),
         ["reserved_kw[0, 0]"]),
    ],
)  # fmt: skip
def test_readings_and_powers(work, told):
    assert places(work) == told


def test_fees_and_deliveries_of_another_shape():
    found = check_availability(reserved_kw=[[5, 5]], requested_kw=[[5, 5]], offered_kw=[[5, 5]], hours=1.0)
    meter = check_limit([[1.0]], Calls(called=[[True]], hours=1.0), limit_kw=3.0, capacity_kw=8.0)
    terms = ReservationTerms(fee_micro_per_kwh=np.array([[1, 2, 3]]), delivery=meter)
    assert places(lambda: settle_reservation(found, terms, rule="delivered")) == [
        "fee_micro_per_kwh",
        "delivery",
    ]


def test_calendars_and_events():
    def inputs(event, **columns):
        calendar = {"day": np.zeros(4, int), "minute": np.arange(4) * 60, "weekday": np.zeros(4, int)}
        clock = Calendar(**(calendar | columns))
        return BaselineInputs(readings_kw=np.ones((1, 4)), calendar=clock, event=event, period_minutes=60)

    assert places(lambda: inputs([2.5])) == ["event"]
    assert places(lambda: inputs([2], weekday=np.full(4, 7), minute=np.full(4, 1440))) == [
        "calendar.minute, period 0",
        "calendar.weekday, period 0",
    ]
    assert places(lambda: inputs([2], holidays=("2016-01-06",))) == ["calendar.holidays"]


def test_profiles_and_rates():
    assert places(lambda: loss_of_life([1.0, -0.5], ambient_c=NAN, hours=0.0)) == [
        "load",
        "ambient_c",
        "hours",
    ]
    assert places(lambda: deferral_value(1e5, years=-1, discount_rate=-1.0)) == ["years", "discount_rate"]
    assert deferral_value(1e5, years=0, discount_rate=0.05) == 0
    assert places(lambda: deferral_price(1e5, years=0, discount_rate=0.05, kw_periods_per_year=9.0)) == [
        "years"
    ]
    assert places(lambda: capacity_fee_price([1.0], fee_per_kw=1.0, peaks=0)) == ["peaks"]
    assert capacity_fee_price([3.0, 4.0], fee_per_kw=12.0, peaks=9).tolist() == [6.0, 6.0]


def test_costs_of_the_operator_at_once():
    told = places(
        lambda: DsoCosts(
            energy_price=NAN, ambient_c="mild", investment=-1.0, deferral_years=0, fee_peaks=0,
            kw_periods_per_year=-3.0, emergency_percent=160.0, thermal=None,
        )
    )  # fmt: skip
    assert sorted(told) == sorted(
        ["energy_price", "ambient_c", "investment", "deferral_years", "fee_peaks", "kw_periods_per_year",
         "trip_percent", "thermal"]
    )  # fmt: skip


def test_needs_and_demand_curves(need):
    assert places(lambda: Rebound(hours_after=-1, share=NAN, spread="slow")) == [
        "rebound.hours_after",
        "rebound.share",
        "rebound.spread",
    ]
    grid = Grid.by_name("cigre-lv")
    empty = PointForecast.of_levels({"R1": "Bus R1"}, levels=[0.5], import_kw=np.zeros((1, 0, 1)), hours=INF)
    assert places(lambda: find_need(grid, empty, NeedRules(sellers=("R1", "R99")))) == [
        "import_kw",
        "hours",
        "sellers",
    ]
    assert places(lambda: PointForecast.certain({"R1": "Bus R1"}, import_kw=[["much"]], hours=1.0)) == [
        "import_kw[0, 0, 0]"
    ]
    assert places(lambda: helping_capacity(need, {"R1": "big", "R15": INF})) == ["point R1", "point R15"]
    capacity = {"R1": 600.0, "R15": 90.0}
    assert places(lambda: demand_curve(need, capacity_kw=capacity, costs=DsoCosts(), basis="guess")) == [
        "basis"
    ]
    assert places(lambda: CurveSteps(overload_steps=1.5)) == ["overload_steps"]


def test_limits_horizons_products_and_blocks():
    assert places(lambda: ActivationLimits(max_activations=1.5, min_duration="two")) == [
        "max_activations",
        "min_duration",
    ]
    assert places(lambda: Horizon(limits={"s": None}, periods_per_day=1.5, period_hours=INF)) == [
        "period_hours",
        "periods_per_day",
        "limits of s",
    ]
    assert places(lambda: FlexProduct(direction="roof", min_duration=1.5, min_rest="long")) == [
        "direction",
        "min_duration",
        "min_rest",
    ]
    bids = Bids(side=[1, -1], price=[2.0, 1.0], quantity=[1.0, 1.0])
    assert places(lambda: capacity_limit_auction(bids, blocks=["a", 1], direction="roof")) == [
        "direction",
        "blocks[0]",
    ]


def test_rows_of_different_length_are_one_fault():
    (values,), faults = read_numbers("table", kw=[[1, 2], [3]])
    assert values.size == 0
    assert [fault.place for fault in faults] == ["kw"]
