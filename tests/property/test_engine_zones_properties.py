"""Whatever is bid, controllers approve only what gates and wires bear, and tell the way of every trade."""

import sys
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from zoned_study import BUSES, GRID, LOST, PERIODS, TREE, ZONES, decide, make_bids, make_study

from gridagora.engine.wires import Wires
from gridagora.engine.zone_desk import joined_trades
from gridagora.grid import check_limits
from gridagora.model.study import GridLimits
from gridagora.model.zone_columns import APPROVED, REJECTED, STATED

HOMES = range(len(BUSES))
bids = st.lists(
    st.tuples(
        st.sampled_from(HOMES),
        st.sampled_from(["buy", "sell"]),
        st.sampled_from([0.0, 0.05, 0.1, 0.15, 0.25, LOST]),
        st.integers(1, 120).map(lambda kwh: kwh / 2),
        st.integers(0, PERIODS - 1),
    ),
    min_size=1,
    max_size=14,
)
gates = st.dictionaries(st.sampled_from([z for z in ZONES if z != "bulk"]), st.integers(0, 60).map(float))
cuts = st.lists(st.tuples(st.integers(0, PERIODS - 1), st.sampled_from([*ZONES[2:]])), max_size=2)
bands = st.sampled_from([(0.9, 1.1), (0.97, 1.01), (0.99, 1.002)])


@settings(max_examples=60, deadline=None)
@given(rows=bids, gates=gates, cut=cuts, band=bands)
def test_what_is_approved_fits_gates_wires_and_orders(rows, gates, cut, band):
    limits = GridLimits(vm_min_pu=band[0], vm_max_pu=band[1])
    study = make_study(gates=gates, cut=cut, limits=limits)
    cleared, decided = decide(study, make_bids(*rows))
    told, homes = decided.decisions, len(BUSES)
    trades = joined_trades(cleared.zonal.trades, told.supplies)
    stands = np.flatnonzero(told.approved)

    assert (decided.accepted <= cleared.quantity).all()
    assert decided.accepted[cleared.side > 0].sum() == decided.accepted[cleared.side < 0].sum()
    assert decided.paid.sum() == 0
    for number in range(len(trades.period)):
        steps = told.decision[told.trade == number]
        assert steps[0] == STATED
        assert (steps[1:-1] == APPROVED).all()
        assert steps[-1] == (APPROVED if told.approved[number] else REJECTED)

    islands = study.zones.islands(0, PERIODS)
    net_wh = np.zeros((PERIODS, homes))
    for k in stands:
        row, wh = trades.period[k], trades.quantity_wh[k]
        assert islands[row, trades.buyer_zone[k]] == islands[row, trades.seller_zone[k]]
        for who, sign in ((trades.buyer[k], 1), (trades.seller[k], -1)):
            if who < homes:
                net_wh[row, who] += sign * wh
    around = TREE.ancestors()
    for depth in range(1, len(around)):
        for row in range(PERIODS):
            for zone in set(around[depth][around[depth] >= 0].tolist()):
                inside = around[depth][study.zones.of_home] == zone
                assert abs(net_wh[row, inside].sum()) <= study.zones.import_kw[row, zone] * 1000 + 1

    assert_no_limit_broken_for_a_trade(study, cleared, decided, limits=limits, net_wh=net_wh)


def assert_no_limit_broken_for_a_trade(study, cleared, decided, *, limits, net_wh):
    """With all that was approved no limit is broken that load alone does not break as far."""
    local = cleared.zonal.firm & (cleared.participant < len(BUSES))
    firm, missing = np.zeros_like(net_wh), np.zeros_like(net_wh)
    zone = np.append(study.zones.of_home, 0)[cleared.participant]
    joined = study.zones.islands(0, PERIODS)[cleared.period, zone] < 0
    wh = np.where(joined, cleared.quantity, cleared.accepted)
    np.add.at(firm, (cleared.period[local], cleared.participant[local]), wh[local])
    lacks = wh - decided.accepted
    np.add.at(missing, (cleared.period[local], cleared.participant[local]), lacks[local])
    wires = Wires(GRID, study)
    zero = np.zeros_like(net_wh)
    alone = check_limits(wires.flow(firm / 1000, zero), limits)
    after = check_limits(wires.flow((net_wh + missing) / 1000, zero), limits)
    before = {
        (period, kind, element): abs(value - limit)
        for period, kind, element, value, limit in zip(
            alone.period, alone.kind, alone.element, alone.value, alone.limit, strict=True
        )
    }
    unsolved = set(alone.period[alone.kind == "not_converged"].tolist())
    for period, kind, element, value, limit in zip(
        after.period, after.kind, after.element, after.value, after.limit, strict=True
    ):
        if period in unsolved:
            continue
        assert (period, kind, element) in before
        assert abs(value - limit) <= before[period, kind, element] + 1e-5 * limit
