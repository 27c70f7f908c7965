"""Each rule by a story: what came in, what is found, what is done about it."""

from dataclasses import replace

import numpy as np
import pytest

from gridagora.errors import InputError
from gridagora.model.metering import MeterReadings, canonical_bytes
from gridagora.model.time import TimeAxis
from gridagora.settlement.metering import METHODS, RULES, MeterRules, check_readings

DAY = TimeAxis(start=np.datetime64("2016-01-04T00:00:00"), periods=96)


def day(values=None, *, keep=None, late_s=300, axis=DAY, **columns) -> MeterReadings:
    """Return a day of quarter-hours of point a, each a little different."""
    energy = 100 + np.arange(axis.periods) % 7 if values is None else np.asarray(values)
    rows = np.arange(axis.periods) if keep is None else np.asarray(keep)
    told = {
        "point": "a",
        "start": axis.starts[rows],
        "duration_s": axis.mtu_s,
        "import_wh": np.broadcast_to(energy, axis.periods)[rows],
        "export_wh": 0,
        "source": "dso",
        "received": axis.starts[rows] + axis.mtu_s + late_s,
    }
    return MeterReadings(**told | columns)


def stands(at, values, *, axis=DAY, **columns) -> MeterReadings:
    moments = axis.start + np.asarray(at) * np.timedelta64(axis.mtu_s, "s")
    told = {"point": "a", "export_wh": 0, "source": "dso", "received": moments + 60}
    return MeterReadings(start=moments, duration_s=0, import_wh=np.asarray(values), **told | columns)


def rules_of(checked) -> set[str]:
    return {found.rule for found in checked.findings}


def the(checked, rule):
    (found,) = [found for found in checked.findings if found.rule == rule]
    assert rule in RULES
    return found


def test_a_good_day_passes_as_it_is() -> None:
    checked = check_readings(day(), DAY)
    assert checked.findings == ()
    assert (checked.import_wh == day().import_wh).all()
    assert checked.usable.all()


def test_the_same_again_is_dropped_and_who_said_it_first_stays() -> None:
    checked = check_readings(MeterReadings.concat([day(), day(late_s=900, source="copy")]), DAY)
    found = the(checked, "duplicate")
    assert (found.readings, found.done) == (96, "dropped")
    assert set(checked.to_readings().source.tolist()) == {"dso"}


def test_a_correction_wins_and_the_older_version_remains() -> None:
    corrected = day(np.full(96, 500), keep=[8], late_s=86_400)
    checked = check_readings(MeterReadings.concat([corrected, day()]), DAY)
    assert checked.import_wh[0, 8] == 500
    assert the(checked, "version").value == 101
    assert len(checked.readings) == 97
    back = day(keep=[8], late_s=90_000)
    assert check_readings(MeterReadings.concat([back, corrected, day()]), DAY).import_wh[0, 8] == 101


def test_different_values_at_one_moment_are_both_not_used() -> None:
    checked = check_readings(MeterReadings.concat([day(), day(np.full(96, 7), keep=[8])]), DAY)
    assert (the(checked, "conflict").readings, the(checked, "gap").done) == (2, "estimated: interpolated")
    older = day(np.full(96, 55), keep=[8], late_s=0)
    checked = check_readings(MeterReadings.concat([older, day(), day(np.full(96, 7), keep=[8])]), DAY)
    assert checked.import_wh[0, 8] == 55


def test_an_invalid_correction_leaves_the_older_value() -> None:
    wrong = day(np.full(96, -5), keep=[8], late_s=86_400)
    checked = check_readings(MeterReadings.concat([wrong, day()]), DAY)
    assert checked.import_wh[0, 8] == 101
    assert the(checked, "impossible").value == -5


def test_more_than_the_connection_carries_is_not_used() -> None:
    values = 100 + np.arange(96) % 7
    values[30] = 20_000
    checked = check_readings(day(values), DAY, capacity_kw={"a": (30.0, 10.0)})
    found = the(checked, "above_capacity")
    assert (found.value, found.limit, found.done) == (80.0, 30.0, "not used")
    assert checked.import_wh[0, 30] == 102  # between 101 and 103
    exported = day(0, export_wh=np.where(np.arange(96) == 30, 3000, np.arange(96) % 9))
    assert the(check_readings(exported, DAY, capacity_kw={"a": (30.0, 10.0)}), "above_capacity").value == -12


def test_spikes_are_kept_in_doubt_where_the_connection_carries_them() -> None:
    values = 100 + np.arange(96) % 7
    values[30] = 5000
    checked = check_readings(day(values), DAY, capacity_kw={"a": (30.0, 30.0)})
    found = the(checked, "spike")
    assert (found.value, found.limit, found.done) == (20.0, 5.0, "kept, doubtful")
    assert checked.import_wh[0, 30] == 5000
    assert checked.doubtful[0].nonzero()[0].tolist() == [30]


def test_readings_that_come_before_their_end_are_not_used() -> None:
    checked = check_readings(MeterReadings.concat([day(keep=[5], late_s=-600), day(keep=range(90))]), DAY)
    assert the(checked, "early").value == 600
    assert checked.import_wh[0, 5] == 105


def test_late_readings_are_used_and_told() -> None:
    found = the(check_readings(day(late_s=4 * 86_400), DAY), "late")
    assert (found.readings, found.done) == (96, "kept")
    assert check_readings(day(late_s=4 * 86_400), DAY, rules=MeterRules(late_after_s=None)).findings == ()


def test_stamps_beside_the_grid_are_put_on_it_and_far_ones_are_not_used() -> None:
    near = day(start=DAY.starts + 12)
    checked = check_readings(near, DAY)
    assert (the(checked, "clock_offset").value, the(checked, "clock_offset").done) == (12, "put on the grid")
    assert checked.measured.all()
    far = day(start=DAY.starts + 200)
    assert the(check_readings(far, DAY, points=["a"]), "off_grid").value == 200
    over = MeterReadings.concat([day(), day(keep=[9], start=DAY.starts[[9]] + 200)])
    assert the(check_readings(over, DAY), "overlap").done == "not used"


def test_a_clock_that_wanders_is_told() -> None:
    wandering = day(start=DAY.starts + np.arange(96) // 4)
    assert the(check_readings(wandering, DAY), "clock_drift").value == pytest.approx(16, abs=1)
    steady = day(start=DAY.starts + 20)
    assert "clock_drift" not in rules_of(check_readings(steady, DAY))


def test_a_value_that_stands_still_is_doubted_zero_only_after_long() -> None:
    found = the(check_readings(day(125), DAY), "frozen")
    assert (found.value, found.limit) == (86_400, 43_200)
    assert check_readings(day(0), DAY).findings == ()


def test_registers_that_contradict_the_intervals_are_told() -> None:
    checked = check_readings(
        MeterReadings.concat([day(125 + np.arange(96) % 2), stands([0, 96], [0, 20_000])]), DAY
    )
    assert the(checked, "sum_check").value == -7952
    holes = MeterReadings.concat([day(keep=range(4, 96)), stands([0, 96], [0, 50])])
    checked = check_readings(holes, DAY)
    assert the(checked, "sum_check").done == "registers not used for estimates"
    assert (checked.import_wh[0, :4] == 0).all()  # the gap is at the edge, and no like day is known


def test_one_missing_quarter_hour_between_registers_is_exact() -> None:
    energy = day().import_wh
    at = [40, 41]
    told = stands(at, [1000, 1000 + int(energy[40])])
    checked = check_readings(MeterReadings.concat([day(keep=np.delete(np.arange(96), 40)), told]), DAY)
    assert METHODS[checked.method[0, 40]] == "from_register"
    assert checked.import_wh[0, 40] == energy[40]
    assert the(checked, "gap").done == "calculated: from_register"
    assert checked.missing_percent[0] == 0


def test_registers_alone_over_a_rollover_and_an_exchange_of_the_meter() -> None:
    axis = TimeAxis(start=DAY.start, periods=4, mtu_s=3600)
    old = stands([0, 1, 2], [999_999_500, 999_999_900, 300], axis=axis, meter="old")
    new = stands([2, 4], [0, 1000], axis=axis, meter="new")
    checked = check_readings(MeterReadings.concat([new, old]), axis)
    assert checked.import_wh.tolist() == [[400, 400, 500, 500]]
    assert [METHODS[code] for code in checked.method[0]] == ["from_register"] * 2 + ["interpolated"] * 2
    assert the(checked, "rollover").value == 999_999_900
    assert the(checked, "meter_exchange").done == "counted apart"
    back = stands([0, 1, 2, 3, 4], [100, 200, 50, 150, 250], axis=axis)
    checked = check_readings(back, axis)
    assert the(checked, "register_backwards").value == -150
    assert checked.measured.tolist() == [[True, False, True, True]]


def test_an_hourly_value_fills_missing_quarter_hours() -> None:
    hourly = TimeAxis(start=DAY.start, periods=24, mtu_s=3600)
    hour = day(np.full(24, 470), keep=[6], axis=hourly)
    checked = check_readings(
        MeterReadings.concat([day(keep=np.delete(np.arange(96), [24, 25, 26])), hour]), DAY
    )
    assert checked.import_wh[0, 24:28].sum() == 470
    assert checked.import_wh[0, 27] == 106


def test_a_long_gap_takes_like_days_by_the_local_clock() -> None:
    zone = TimeAxis(
        start=np.datetime64("2016-03-06T23:00"), periods=22 * 24 - 1, mtu_s=3600, timezone="Europe/Berlin"
    )
    energy = zone.local_minutes // 60 * 10 + (zone.local_dates.astype(np.int64) + 3) % 7
    gap = zone.local_dates == np.datetime64("2016-03-28")  # the Monday after the clock went forward
    checked = check_readings(day(energy, keep=np.flatnonzero(~gap), axis=zone), zone)
    assert (checked.import_wh[0] == energy).all()
    assert {METHODS[code] for code in checked.method[0, gap]} == {"like_days"}


def test_like_days_are_scaled_to_the_registers() -> None:
    axis = TimeAxis(start=DAY.start, periods=8 * 24, mtu_s=3600)
    energy = np.tile(np.arange(24) * 10, 8)
    told = stands([7 * 24, 8 * 24], [0, 2 * 2760], axis=axis)
    checked = check_readings(MeterReadings.concat([day(energy, keep=range(7 * 24), axis=axis), told]), axis)
    assert checked.import_wh[0, -24:].tolist() == (np.arange(24) * 20).tolist()
    assert the(checked, "unusable").value == 12.5


def test_too_much_missing_is_not_usable_and_left_out_of_settlement() -> None:
    checked = check_readings(day(keep=range(90)), DAY)
    assert (checked.missing_percent[0], checked.usable[0]) == (6.25, False)
    assert np.isnan(checked.metered_kw(DAY, estimates=True)).all()
    assert np.isnan(checked.metered_kw(DAY)).sum() == 6
    assert check_readings(day(keep=range(90)), DAY, rules=MeterRules(most_missing_percent=7)).usable.all()


def test_delivery_gets_readings_per_period_without_estimates() -> None:
    checked = check_readings(day(1000, keep=np.delete(np.arange(96), 5)), DAY)
    hours = TimeAxis(start=DAY.start + 3600, periods=2, mtu_s=3600)
    power = checked.metered_kw(hours, points=["a"])
    assert power.shape == (1, 2, 4)
    assert np.isnan(power).nonzero()[2].tolist() == [1]
    assert checked.metered_kw(hours, estimates=True)[0, 0].tolist() == [4.0] * 4
    with pytest.raises(InputError, match=r"2 faults.*\n.*was not checked.*\n.*no multiple"):
        checked.metered_kw(replace(hours, mtu_s=300), points=["b"])


def test_strangers_and_other_times_are_told() -> None:
    readings = MeterReadings.concat(
        [day(), day(point="x"), day(start=DAY.starts + 10 * 86_400, received=DAY.starts[0] + 20 * 86_400)]
    )
    checked = check_readings(readings, DAY, points=["a"])
    assert (the(checked, "unknown_point").point, the(checked, "outside").readings) == ("x", 96)


def test_faults_of_readings_and_of_what_is_asked_come_all_at_once() -> None:
    with pytest.raises(InputError, match="3 faults"):
        MeterReadings(
            point="a",
            start=["no", "time"],
            duration_s=0.5,
            import_wh=[True],
            export_wh=0,
            source="",
            received=DAY.start,
        )
    with pytest.raises(InputError, match=r"(?s)2 faults.*below 0.*no quality"):
        day(duration_s=-1, keep=[0], quality="good")
    with pytest.raises(InputError, match=r"(?s)2 faults.*twice.*import, export"):
        check_readings(day(), DAY, points=["a", "a"], capacity_kw={"a": (-1.0, 2.0)})
    with pytest.raises(InputError, match="2 faults"):
        MeterRules(spike_factor=-1, most_missing_percent=101)


def test_bytes_that_are_signed_tell_everything_but_the_arrival() -> None:
    first = canonical_bytes(day(keep=[0]), 0)
    assert canonical_bytes(day(keep=[0], late_s=999), 0) == first
    changes = ({"source": "x"}, {"meter": "2"}, {"import_wh": [1]}, {"quality": "estimated"}, {"point": "b"})
    for changed in changes:
        assert canonical_bytes(day(keep=[0], **changed), 0) != first
