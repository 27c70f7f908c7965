"""What must hold of islands that balance themselves, whatever their homes, schedules and cuts."""

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
from agents_samples import AXIS, DAY, PERIODS, outlook
from hypothesis import given, settings
from hypothesis import strategies as st
from test_agents_homes import HOMES, assert_cars_are_ready, assert_physical, team_of

from gridagora.agents import Delivery
from gridagora.agents.fleet import Param
from gridagora.engine.island import balance_islands

CLOSE = 1e-6
SERIES = [field.name for field in fields(Delivery) if field.name not in ("t", "state")]


def random_islands(rng, periods):
    """Each home changes between two islands and the grid now and then; the first home is never on one."""
    changes = rng.random((HOMES, periods)) < 0.1
    drawn = rng.integers(-1, 2, (HOMES, periods))
    at = np.maximum.accumulate(np.where(changes, np.arange(periods), 0), axis=1)
    island = np.take_along_axis(drawn, at, axis=1)
    island[0] = -1
    return island


def run(seed, *, ems="rule_based", island=None, n=4, periods=PERIODS, deviation_kw=2.0):
    """Deliver random commitments session by session and balance each; yields what was and what became."""
    rng = np.random.default_rng(seed)
    team = team_of(seed, ems=ems)
    island = random_islands(rng, periods) if island is None else island
    state = team.initial_state()
    for t in range(0, periods, n):
        plan = team.plan(state, t, n, outlook=outlook(team, t, team.horizon(t, n)))
        due = plan.net_kw + rng.normal(0.0, deviation_kw, (HOMES, n))
        did = team.deliver(state, t, n, plan=plan, committed_kw=due)
        now = balance_islands(did, team.fleet, start=state, island=island[:, t : t + n])
        yield team, state, did, now, island[:, t : t + n]
        state = now.state


def totals(values, island):
    return np.stack([np.where(island == number, values, 0.0).sum(axis=0) for number in (0, 1)])


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10**6), ems=st.sampled_from(["rule_based", "optimal"]), n=st.sampled_from([1, 4, 12])
)
def test_islands_balance_and_devices_keep_to_physics(seed, ems, n):
    parts = []
    for team, state, did, now, island in run(seed, ems=ems, n=n, periods=2 * DAY):
        assert np.abs(totals(now.net_kw, island)).max() < CLOSE
        assert_physical(team, state, now)
        window = slice(now.t, now.t + now.net_kw.shape[1])
        assert (now.unserved_load_kw <= team.fleet.load_kw[:, window] + CLOSE).all()
        for name in SERIES:
            np.testing.assert_array_equal(getattr(now, name)[0], getattr(did, name)[0])
        for stored, series in (("battery_kwh", now.battery_kwh), ("tank_kwh", now.tank_kwh)):
            np.testing.assert_array_equal(getattr(now.state, stored), series[:, -1])
        parts.append((None, now, state))
    ev = np.concatenate([now.ev_kw for _, now, _ in parts], axis=1)
    assert not ev[team.fleet.stay[:, : 2 * DAY] < 0].any()


@pytest.mark.parametrize("seed", range(3))
def test_cars_that_gave_way_are_short_by_what_they_lack(seed):
    island = np.full((HOMES, PERIODS), 0)
    parts = [(None, now, state) for team, state, _, now, _ in run(seed, island=island)]
    team = team_of(seed)
    assert sum(now.ev_short_kwh.sum() for _, now, _ in parts) > 1.0
    assert_cars_are_ready(team, parts)
    for (_, now, _), (_, _, state) in pairwise(parts):
        stays = team.fleet.stay[:, now.t + 3] == team.fleet.stay[:, min(now.t + 4, PERIODS - 1)]
        np.testing.assert_allclose(state.ev_kwh[stays], now.ev_kwh[stays, -1], rtol=0, atol=CLOSE)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_nothing_is_shed_or_curtailed_as_long_as_something_else_can_give(seed):
    """Beside what a home's own connection asks for."""
    for team, state, did, now, island in run(seed, periods=2 * DAY):
        p, hours = team.fleet.params, AXIS.hours
        start = np.concatenate([state.battery_kwh[:, None], now.battery_kwh[:, :-1]], axis=1)
        left = np.maximum(start - p[:, [Param.BATTERY_MIN_KWH]], 0.0) * p[:, [Param.DISCHARGE_EFF]] / hours
        room = np.maximum(p[:, [Param.BATTERY_KWH]] - start, 0.0) / (p[:, [Param.CHARGE_EFF]] * hours)
        least = -np.minimum(p[:, [Param.DISCHARGE_KW]], left)
        most = np.minimum(p[:, [Param.CHARGE_KW]], room)
        may_rise = np.minimum(most - now.battery_kw, p[:, [Param.IMPORT_KW]] - now.net_kw)
        may_fall = np.minimum(now.battery_kw - least, p[:, [Param.EXPORT_KW]] + now.net_kw)
        gone = np.minimum(now.ev_kw + now.heat_pump_kw, p[:, [Param.EXPORT_KW]] + now.net_kw)
        within = now.net_kw < p[:, [Param.IMPORT_KW]] - CLOSE, now.net_kw > CLOSE - p[:, [Param.EXPORT_KW]]
        shed = np.where(within[0], now.unserved_load_kw - did.unserved_load_kw, 0.0)
        curtailed = np.where(within[1], now.curtailed_kw - did.curtailed_kw, 0.0)
        for number in (0, 1):
            here = island == number
            more_shed = np.where(here, shed, 0.0).max(axis=0) > CLOSE
            more_curtailed = np.where(here, curtailed, 0.0).max(axis=0) > CLOSE
            assert np.where(here, may_fall, 0.0)[:, more_shed].max(initial=0.0) < CLOSE
            assert np.where(here, gone, 0.0)[:, more_shed].max(initial=0.0) < CLOSE
            assert np.where(here, may_rise, 0.0)[:, more_curtailed].max(initial=0.0) < CLOSE
