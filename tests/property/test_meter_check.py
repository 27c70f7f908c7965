"""What checking readings must always do, whatever came in."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from meter_samples import axis_of, intervals, meters, registers, same

from gridagora.model.metering import LARGEST_INTERVAL_WH, MeterReadings
from gridagora.settlement.metering import METHODS, MeterRules, check_readings
from gridagora.settlement.metering.rules import MEASURED, MISSING

FEW = settings(deadline=None, max_examples=60)


@FEW
@given(meters())
def test_measured_values_pass_untouched_and_estimates_are_flagged(meter) -> None:
    axis, energy, came, readings = meter
    checked = check_readings(readings, axis, points=["a"])
    assert (checked.method[0, came] == MEASURED).all()
    assert (checked.import_wh[0, came] == energy[0, came]).all()
    assert (checked.export_wh[0, came] == energy[1, came]).all()
    assert (checked.method[0, ~came] != MEASURED).all()
    told = sum(found.readings for found in checked.findings if found.rule == "gap")
    silent = 0 if came.any() else (checked.method == METHODS.index("from_register")).sum()
    assert told + silent == (~came).sum()


@FEW
@given(meters())
def test_estimates_conserve_the_registers_around_them(meter) -> None:
    axis, energy, _, readings = meter
    checked = check_readings(readings, axis, points=["a"])
    stands = readings.take(readings.duration_s == 0)
    at = np.sort((stands.start - axis.start).astype(np.int64) // axis.mtu_s)
    for first, last in zip(at[:-1].tolist(), at[1:].tolist(), strict=True):
        assert (checked.method[0, first:last] != MISSING).all()
        assert checked.import_wh[0, first:last].sum() == energy[0, first:last].sum()
        assert checked.export_wh[0, first:last].sum() == energy[1, first:last].sum()
        if last - first == 1:
            assert checked.measured[0, first]


@FEW
@given(meters())
def test_checking_again_changes_nothing(meter) -> None:
    axis, _, _, readings = meter
    first = check_readings(readings, axis, points=["a"])
    stands = readings.take(readings.duration_s == 0)
    second = check_readings(MeterReadings.concat([first.to_readings(), stands]), axis, points=["a"])
    assert same(first, second)
    assert same(first, check_readings(first.to_readings(), axis, points=["a"]))


@FEW
@given(meters(), st.randoms(use_true_random=False))
def test_order_of_arrival_and_double_delivery_do_not_matter(meter, chance) -> None:
    axis, _, _, readings = meter
    rows = list(range(len(readings)))
    chance.shuffle(rows)
    first = check_readings(readings, axis, points=["a"])
    second = check_readings(readings.take(np.array(rows, dtype=np.int64)), axis, points=["a"])
    assert same(first, second)
    assert list(map(str, first.findings)) == list(map(str, second.findings))
    assert same(first, check_readings(MeterReadings.concat([readings, readings]), axis, points=["a"]))


@FEW
@given(meters(), st.integers(0, 2**32 - 1))
def test_nothing_that_came_is_lost_and_no_noise_makes_it_fail(meter, seed) -> None:
    axis, _, _, readings = meter
    rng = np.random.default_rng(seed)
    count = len(readings)
    noise = rng.choice([-1, 0, 1, 10**6], count, p=[0.05, 0.05, 0.85, 0.05])
    noisy = MeterReadings(
        point=readings.point,
        start=readings.start + rng.integers(-1000, 1000, count) * (rng.random(count) < 0.2),
        duration_s=np.where(rng.random(count) < 0.1, rng.integers(0, 9000, count), readings.duration_s),
        import_wh=np.clip(readings.import_wh * noise, -LARGEST_INTERVAL_WH, LARGEST_INTERVAL_WH),
        export_wh=readings.export_wh,
        source=readings.source,
        received=readings.received - rng.integers(0, 10_000, count) * (rng.random(count) < 0.1),
        meter=rng.choice(["1", "2"], count),
    )
    checked = check_readings(noisy, axis, points=["a"], capacity_kw={"a": (30.0, 30.0)})
    assert len(checked.readings) == count
    assert (checked.import_wh >= 0).all()
    assert (checked.method[checked.row >= 0] != MISSING).all()
    again = check_readings(checked.to_readings(), axis, points=["a"], capacity_kw={"a": (30.0, 30.0)})
    assert same(checked, again)


@FEW
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_wild_values_of_a_point_without_capacity_go_and_stay_gone(seed, wild_ones) -> None:
    axis = axis_of(14)
    rng = np.random.default_rng(seed)
    energy = rng.integers(100, 3000, axis.periods)
    at = rng.choice(axis.periods, wild_ones, replace=False)
    energy[at] = 10 ** rng.integers(6, 9, wild_ones)
    first = check_readings(intervals(axis, energy), axis)
    assert sorted(np.flatnonzero(first.method[0] != MEASURED).tolist()) == sorted(at.tolist())
    assert {found.rule for found in first.findings} >= {"spike", "gap"}
    assert same(first, check_readings(first.to_readings(), axis))


@FEW
@given(st.integers(1, 23), st.integers(0, 10**6))
def test_a_rollover_counts_on(cut, high) -> None:
    axis = axis_of(1)
    energy = np.arange(24) * 10
    modulus = 10**9
    told = registers(axis, energy, at=[0, cut, 24], first=modulus - 1 - int(energy[:cut].sum()) // 2)
    rolled = MeterReadings(
        point="a",
        start=told.start,
        duration_s=0,
        import_wh=told.import_wh % modulus,
        export_wh=high,
        source="dso",
        received=told.received,
    )
    checked = check_readings(rolled, axis, rules=MeterRules(register_modulus_wh=modulus))
    assert int(checked.import_wh.sum()) == int(energy.sum())
    assert (checked.method != MISSING).all()
