"""Whatever homes bid, the pool that knows its wires keeps the limits, in whole Wh, or says why it cannot."""

import sys
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from pool_on_wires import BUSES, PERIODS, bids_of, clear, make_study, net_kw

from gridagora.model.study import GridLimits

LIMITS = (
    GridLimits(vm_min_pu=0.95, vm_max_pu=1.03, line_loading_percent=12.0, transformer_loading_percent=12.0),
    GridLimits(vm_min_pu=0.97, vm_max_pu=1.05, line_loading_percent=8.0),
)
BID = st.tuples(
    st.integers(0, len(BUSES) - 1),
    st.integers(0, PERIODS - 1),
    st.sampled_from([1, -1]),
    st.sampled_from([0.0, 0.05, 0.12, 0.21, 0.3, 10.0]),
    st.floats(0.01, 25.0),
)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(BID, min_size=1, max_size=12),
    limits=st.sampled_from(LIMITS),
    phases=st.sampled_from([None, None, (1, 2, 3, 1, 2, 3)]),
    passive=st.floats(-20.0, 20.0),
    kvar=st.floats(-2.0, 2.0),
)
def test_limits_are_kept_in_whole_watt_hours_or_the_reason_is_named(rows, limits, phases, passive, kvar):
    study = make_study(limits=limits, phases=phases, passive=(5,))
    home, period, side, price, kwh = (list(column) for column in zip(*rows, strict=True))
    home = [min(k, 4) for k in home]
    fixed_kw = np.zeros((PERIODS, len(BUSES)))
    fixed_kw[:, 5] = passive
    bids = bids_of(home, period, side, price=price, kwh=kwh)
    orders, plate, found, (wires, fixed) = clear(study, bids, fixed_kw=fixed_kw, kvar=kvar)
    network = found.network
    assert (found.accepted >= 0).all()
    assert (found.accepted <= orders.quantity).all()
    net = net_kw(study, orders, found.accepted, fixed)
    broken = set(wires.check(wires.flow(net, fixed.kvar), net).period.tolist())
    excused = {p for p, s in zip(network.period.tolist(), network.status, strict=True) if s != "passed"}
    assert broken <= excused
    assert all(
        bool(reason) == (status != "passed")
        for reason, status in zip(network.reason, network.status, strict=True)
    )
    for p in range(PERIODS):
        rows_of = orders.period == p
        assert (orders.side * found.accepted)[rows_of].sum() == 0
        worth = (orders.side * orders.price * found.accepted)[rows_of].sum()
        best = (orders.side * orders.price * plate)[rows_of].sum()
        # nobody gains by the wires, but for whole Wh: half of one per bid, at the highest price
        assert worth <= best + 0.5 * rows_of.sum() * 10e6
    # nobody pays more than bid, or gets less than asked, but for half a micro-unit per kWh
    # (a price is below zero where to take energy helps others: who does is paid for it)
    unit = -orders.side * found.paid / np.maximum(found.accepted, 1)
    taken = found.accepted > 0
    assert (orders.side * (unit - orders.price) <= 1.0)[taken].all()
    assert (
        np.allclose(network.parts.sum(axis=0), network.price, atol=1.0, equal_nan=True)
        or (network.price < 0).any()
    )
