"""What every market mechanism must satisfy, as a check for any of them, also for one of your own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import require
from gridagora.market.sample_markets import sample_markets
from gridagora.model.bids import Bids
from gridagora.model.results import ClearingResult, sum_by

Mechanism = Callable[[Bids], ClearingResult]

RULES = {
    "answers": "returns finite results of the right shape for every market, also an empty one",
    "unchanged bids": "alters no bid",
    "same bytes": "gives the same bytes for the same bids",
    "limits": "accepts at least nothing and at most the quantity of each bid",
    "balance": "buys as much as it sells in every period",
    "individual rationality": "lets no participant pay more, or get less, than its bids allow",
    "budget": "pays out no more than it takes in, unless it declares a deficit",
    "order": "gives the same result whatever the order of the bids",
}
"""Names and texts of the rules, in the order in which they are checked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A rule that a mechanism broke, with the smallest market found that shows it."""

    rule: str
    message: str
    bids: Bids

    def __str__(self) -> str:
        """Return the finding with its counterexample as text."""
        return f"{self.rule}: {self.message}\n{self.bids.to_frame().to_string()}"


@dataclass(frozen=True, kw_only=True, slots=True)
class MechanismReport:
    """What `check_mechanism` found: at most one finding per rule, and on how many markets it looked."""

    findings: tuple[Finding, ...]
    markets: int

    @property
    def ok(self) -> bool:
        """True when no rule was broken."""
        return not self.findings

    def raise_if_failed(self) -> None:
        """Raise `InvariantError` with all findings and counterexamples, if there are any."""
        require(self.ok, "\n".join(["the mechanism breaks rules:", *map(str, self.findings)]))


def check_mechanism(
    mechanism: Mechanism,
    *,
    seed: int = 0,
    random_markets: int = 60,
    markets: Sequence[Bids] | None = None,
    deficit_allowed: bool = False,
    tolerance: float = 1e-9,
) -> MechanismReport:
    """Check a mechanism on many small markets: known corner cases and random ones.

    Parameters
    ----------
    mechanism : from bids to a `ClearingResult`; bind its options first, as in
        ``lambda bids: my_rule(bids, option=3)``
    seed : of the random markets
    random_markets : how many of them
    markets : your own markets instead of the built-in ones
    deficit_allowed : a deficit is no finding; a mechanism declares one by ``deficit_declared`` in its results
    tolerance : allowed error of float results, relative to the quantities and money of the market;
        0 asks for bit-for-bit equality where orders are compared

    Returns
    -------
    MechanismReport
        ``ok`` is True, or ``findings`` lists the broken `RULES`, each with a smallest counterexample.

    Examples
    --------
    >>> from gridagora.market import pay_as_cleared
    >>> check_mechanism(pay_as_cleared, random_markets=5).ok
    True
    """
    cases = list(sample_markets(seed=seed, count=random_markets)) if markets is None else list(markets)
    allowed = _Allowed(deficit=deficit_allowed, tolerance=tolerance)
    broken: dict[str, tuple[str, Bids]] = {}
    for bids in cases:
        for rule, message in _violations(mechanism, bids, allowed):
            if rule not in broken or len(bids) < len(broken[rule][1]):
                broken[rule] = (message, bids)
    findings = tuple(
        _shrunk(mechanism, rule, broken[rule], allowed=allowed) for rule in RULES if rule in broken
    )
    return MechanismReport(findings=findings, markets=len(cases))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Allowed:
    deficit: bool
    tolerance: float


def _shrunk(mechanism: Mechanism, rule: str, broken: tuple[str, Bids], *, allowed: _Allowed) -> Finding:
    """Drop bids one by one as long as the rule stays broken."""
    message, bids = broken
    for row in reversed(range(len(bids))):
        smaller = bids.take([other for other in range(len(bids)) if other != row])
        found = dict(_violations(mechanism, smaller, allowed))
        if rule in found:
            message, bids = found[rule], smaller
    return Finding(rule=rule, message=message, bids=bids)


def _violations(mechanism: Mechanism, bids: Bids, allowed: _Allowed) -> Iterator[tuple[str, str]]:
    """Yield the broken rules of one market; a mechanism without an answer is judged no further."""
    pristine = _copy(bids)
    working = _copy(bids)
    try:
        result = mechanism(working)
        again = mechanism(_copy(bids))
        problem = _shape_problem(result, bids)
    except Exception as error:  # whatever a foreign mechanism raises is the finding
        yield "answers", f"raised {type(error).__name__}: {error}"
        if _bytes(working) != _bytes(pristine):
            yield "unchanged bids", "a bid was altered"
        return
    if _bytes(working) != _bytes(pristine):
        yield "unchanged bids", "a bid was altered"
    if problem:
        yield "answers", problem
        return
    if _result_bytes(result) != _result_bytes(again):
        yield "same bytes", "two calls with equal bids differ"
    yield from _accounts(result, pristine, allowed)
    yield from _order(mechanism, result, pristine, tolerance=allowed.tolerance)


def _shape_problem(result: ClearingResult, bids: Bids) -> str:
    """Say what is wrong with the form of a result, or nothing."""
    for name in ("accepted", "paid"):
        values = np.asarray(getattr(result, name))
        if values.shape != (len(bids),):
            return f"{name} has shape {values.shape} for {len(bids)} bids"
        if values.dtype.kind not in "if" or not np.isfinite(values).all():
            return f"{name} has values that are not finite numbers: {values}"
    periods = np.unique(bids.period)
    if not np.array_equal(result.period, periods) or np.shape(result.price) != periods.shape:
        return f"period {result.period} and price {result.price} do not fit the bids' periods {periods}"
    traded = sum_by(np.searchsorted(periods, bids.period), result.accepted, len(periods)) > 0
    if np.isnan(result.price[traded]).any():
        return "a period that trades has no price"
    return ""


def _accounts(result: ClearingResult, bids: Bids, allowed: _Allowed) -> Iterator[tuple[str, str]]:
    """Check quantities and money, period by period and participant by participant."""
    accepted, paid = np.asarray(result.accepted), np.asarray(result.paid)
    slack = allowed.tolerance * float(bids.quantity.max(initial=0))
    over = (accepted < -slack) | (accepted > bids.quantity + slack)
    if over.any():
        row = int(np.flatnonzero(over)[0])
        yield "limits", f"bid {row} of {bids.quantity[row]} has {accepted[row]} accepted"
    periods, index = np.unique(bids.period, return_inverse=True)
    net = sum_by(index, bids.side * accepted, len(periods))
    total = sum_by(index, np.abs(accepted), len(periods))
    uneven = np.abs(net) > (allowed.tolerance or 1e-9) * total
    if uneven.any():
        worst = int(np.flatnonzero(uneven)[0])
        yield "balance", f"buys exceed sells by {net[worst]} in period {periods[worst]}"
    money = np.abs(bids.price * accepted) + np.abs(paid)
    leeway = (allowed.tolerance or 1e-9) * float(money.max(initial=0)) * max(1, len(bids))
    names, owner = np.unique(bids.participant, return_inverse=True)
    gain = sum_by(
        owner * len(periods) + index, bids.side * bids.price * accepted + paid, len(names) * len(periods)
    )
    if (gain < -leeway).any():
        loser = int(np.flatnonzero(gain < -leeway)[0])
        who, when = names[loser // len(periods)], periods[loser % len(periods)]
        yield "individual rationality", f"{who} loses {-gain[loser]} in period {when}"
    if result.budget_balance < -leeway and not (allowed.deficit or result.deficit_declared):
        yield "budget", f"the operator lacks {-result.budget_balance}"


def _order(
    mechanism: Mechanism, result: ClearingResult, bids: Bids, *, tolerance: float
) -> Iterator[tuple[str, str]]:
    """Clear the bids backwards and shuffled; bids that are equal in all columns may swap their results."""
    expected = _canonical(result, bids)
    size = np.abs(expected).max(axis=1, initial=0)
    backwards = np.arange(len(bids))[::-1]
    for order in (backwards, np.random.default_rng(len(bids)).permutation(len(bids))):
        shuffled = bids.take(order)
        other = mechanism(_copy(shuffled))
        if not np.array_equal(result.period, other.period):
            yield "order", f"periods {other.period} in another order of the bids, {result.period} before"
            return
        prices = np.abs(np.nan_to_num(other.price) - np.nan_to_num(result.price))
        excess = np.abs(_canonical(other, shuffled) - expected) - tolerance * size[:, None]
        if (excess > 0).any() or (prices > tolerance * np.abs(np.nan_to_num(result.price))).any():
            yield "order", f"another order of the bids changes what is accepted or paid: {order.tolist()}"
            return


def _canonical(result: ClearingResult, bids: Bids) -> NDArray[Any]:
    """List accepted and paid in an order that does not depend on the rows."""
    keys = [bids.quantity, bids.price, bids.side, bids.participant, bids.period]
    extra = [column for column in (bids.node, bids.carrier, bids.group, bids.step) if column is not None]
    order = np.lexsort((result.paid, result.accepted, *extra, *keys))
    return np.stack([np.asarray(result.accepted)[order], np.asarray(result.paid)[order]])


def _copy(bids: Bids) -> Bids:
    return bids.take(np.arange(len(bids)))


def _bytes(bids: Bids) -> list[bytes]:
    columns = (getattr(bids, name) for name in Bids.__slots__)
    return [b"" if column is None else np.asarray(column).tobytes() for column in columns]


def _result_bytes(result: ClearingResult) -> list[bytes]:
    return [np.asarray(values).tobytes() for values in (result.accepted, result.price, result.paid)]
