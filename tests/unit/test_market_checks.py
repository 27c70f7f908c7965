"""The check for mechanisms passes the right ones and catches seeded faults, each by its name."""

import dataclasses
import itertools

import numpy as np
import pytest

from gridagora.errors import InvariantError
from gridagora.market import pay_as_bid, pay_as_cleared, trade_reduction, vickrey
from gridagora.market.checks import RULES, check_mechanism
from gridagora.model.bids import Bids


@pytest.mark.parametrize("mechanism", [pay_as_cleared, pay_as_bid, vickrey, trade_reduction])
def test_own_mechanisms_pass_bit_for_bit(mechanism):
    report = check_mechanism(mechanism, tolerance=0, random_markets=100)
    report.raise_if_failed()
    assert report.ok


def changed(mechanism=pay_as_cleared, **columns):
    """Make a mechanism that replaces columns of a right result by what the given functions say."""

    def faulty(bids):
        result = mechanism(bids)
        return dataclasses.replace(result, **{name: f(bids, result) for name, f in columns.items()})

    return faulty


def creates_energy(bids):
    """Pair whole orders: the trades of each side are as large as the orders, not as the slices."""
    return changed(accepted=lambda b, r: np.where(r.accepted > 0, b.quantity, 0))(bids)


def drops_second_bid_of_a_user(bids):
    result = pay_as_cleared(bids)
    accepted = result.accepted.copy()
    seen = set()
    for row in range(len(bids)):
        key = (bids.period[row], bids.participant[row], bids.side[row])
        accepted[row] = 0 if key in seen else accepted[row]
        seen.add(key)
    return dataclasses.replace(result, accepted=accepted)


def overcharges(bids):
    return changed(paid_by_bid=lambda b, r: r.paid - np.where(b.is_buy & (r.accepted > 0), 1, 0))(bids)


def depends_on_order(bids):
    """Serve bids at the margin first come first served: swap what two equal bids get by their rows."""
    result = pay_as_cleared(bids)
    accepted = result.accepted.copy()
    for period, side in itertools.product(result.period, (1, -1)):
        rows = np.flatnonzero((bids.period == period) & (bids.side == side))
        for price in np.unique(bids.price[rows]):
            left = accepted[rows[bids.price[rows] == price]].sum()
            for row in rows[bids.price[rows] == price]:
                accepted[row] = min(left, bids.quantity[row])
                left -= accepted[row]
    return dataclasses.replace(result, accepted=accepted)


def alters_bids(bids):
    result = pay_as_cleared(bids)
    bids.price.setflags(write=True)
    bids.price[:] = 0
    return result


def replaces_columns(bids):
    result = pay_as_cleared(bids)
    object.__setattr__(bids, "quantity", result.accepted)
    return result


def breaks_limits(bids):
    return changed(accepted=lambda b, r: r.accepted * 2)(bids)


def pays_from_nowhere(bids):
    return changed(paid_by_bid=lambda b, r: r.paid + (r.accepted > 0))(bids)


def writes_bids(bids):
    bids.price[:] = 0
    return pay_as_cleared(bids)


def forgets_a_row(bids):
    return changed(accepted=lambda b, r: r.accepted[1:])(bids)


def prices_nothing(bids):
    return changed(
        price=lambda b, r: np.full(len(r.period), np.nan), paid_by_bid=lambda b, r: np.zeros(len(b))
    )(bids)


def pays_nan(bids):
    return changed(paid_by_bid=lambda b, r: np.full(len(b), np.nan))(bids)


CALLS = itertools.count()


def rolls_dice(bids):
    return changed(price=lambda b, r: r.price + next(CALLS) * 1e-12)(bids)


@pytest.mark.parametrize(
    ("mutant", "rule"),
    [
        (creates_energy, "balance"),
        (drops_second_bid_of_a_user, "balance"),
        (overcharges, "individual rationality"),
        (depends_on_order, "order"),
        (alters_bids, "unchanged bids"),
        (replaces_columns, "unchanged bids"),
        (breaks_limits, "limits"),
        (pays_from_nowhere, "budget"),
        (writes_bids, "answers"),
        (forgets_a_row, "answers"),
        (prices_nothing, "answers"),
        (pays_nan, "answers"),
        (rolls_dice, "same bytes"),
        (changed(vickrey, deficit_declared=lambda b, r: False), "budget"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_seeded_fault_is_caught_by_its_name(mutant, rule):
    report = check_mechanism(mutant, random_markets=40)
    assert not report.ok
    assert rule in {finding.rule for finding in report.findings}
    with pytest.raises(InvariantError, match=rule):
        report.raise_if_failed()


def test_counterexample_is_small_and_shows_the_fault():
    finding = next(
        f for f in check_mechanism(creates_energy, random_markets=20).findings if f.rule == "balance"
    )
    assert len(finding.bids) == 2
    result = creates_energy(finding.bids)
    assert (finding.bids.side * result.accepted).sum() != 0
    assert "buys exceed sells" in str(finding)


def test_a_deficit_may_be_allowed_and_markets_may_be_given():
    market = Bids(side=["buy", "sell"], price=[10, 4], quantity=[1, 1])
    silent = changed(vickrey, deficit_declared=lambda b, r: False)
    assert [f.rule for f in check_mechanism(silent, markets=[market]).findings] == ["budget"]
    assert check_mechanism(silent, markets=[market], deficit_allowed=True).ok
    assert check_mechanism(pay_as_cleared, markets=[market]).markets == 1


def test_rules_are_named_once_each():
    assert len(RULES) == 8
