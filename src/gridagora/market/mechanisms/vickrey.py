"""The Vickrey-Clarke-Groves auction: everyone gets what its presence is worth to the others."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.market.merit import MeritOrder, merit_order
from gridagora.model.bids import Bids
from gridagora.model.results import ClearingResult


def vickrey(bids: Bids) -> ClearingResult:
    """Clear a double auction at the welfare optimum with Vickrey-Clarke-Groves payments.

    Per period participant i receives VCG_i = v(N) - v(N without i) - w_i, with v the welfare of an optimum
    and w_i the value of i's accepted bids (minus for sells).  Stating true prices is a dominant strategy,
    also for participants with several bids.  The operator pays for it: the auction runs a deficit.

    Parameters
    ----------
    bids : of any number of periods; all nodes form one copper plate, groups and steps do not matter

    Returns
    -------
    ClearingResult
        ``paid`` spreads a participant's payment over its bids: the uniform price for each, and the rest in
        proportion to what is accepted.  ``price`` is the dual of the balance, as in `pay_as_cleared`.

    Raises
    ------
    InputError
        The bids name more than one carrier.

    Notes
    -----
    MARKETS.md section 3, F11.  With p a clearing price, n_i what i buys net, and U_(-i)(p) the gains at price
    p of all but i, the payment is -p n_i + U_(-i)(p) - min U_(-i): the uniform price plus a bonus >= 0.  The
    minimum is found by bisection on the curve of all bids corrected by i's own, so all payments together
    take O(n log n) time.

    Examples
    --------
    >>> bids = Bids(side=["buy", "sell"], price=[10, 4], quantity=[1, 1], participant=["buyer", "seller"])
    >>> result = vickrey(bids)
    >>> result.payments.to_dict(), result.budget_balance
    ({'buyer': -4, 'seller': 10}, -6)
    """
    merit = merit_order(bids)
    paid = np.zeros(len(bids), dtype=merit.accepted.dtype)
    rows = np.flatnonzero(
        (bids.quantity > 0) & (merit.volume > 0)[np.searchsorted(merit.period, bids.period)]
    )
    if len(rows):
        paid[rows] = _payments(bids.take(rows), merit.accepted[rows], merit)
    return ClearingResult(
        bids=bids,
        accepted=merit.accepted,
        period=merit.period,
        price=merit.price,
        paid_by_bid=paid,
        deficit_declared=True,
    )


def _payments(bids: Bids, accepted: NDArray[Any], merit: MeritOrder) -> NDArray[Any]:
    """Return the money per bid of periods that trade."""
    from gridagora.market import _period_kernel, _vickrey_kernel

    # equal prices are added, and a bonus is spread over equal bids, in one order whatever the input's
    ties = [column for column in (bids.node, bids.group, bids.step) if column is not None]
    order = np.lexsort((*ties, bids.quantity, bids.side, bids.price, bids.period))
    _, starts = _period_kernel.run_starts(bids.period[order])
    run_periods = np.searchsorted(merit.period, bids.period[order[starts[:-1]]])
    reference = merit.price[run_periods].astype(bids.price.dtype)
    owner = np.unique(bids.participant, return_inverse=True)[1][order]
    run = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    owned = np.lexsort((owner, run))
    changes = np.diff(owner[owned], prepend=-1) | np.diff(run[owned], prepend=-1)
    owned_starts = np.append(np.flatnonzero(changes), len(owned))
    given = accepted[order]
    bonus = _vickrey_kernel.bonuses(
        bids.price[order],
        bids.side[order],
        bids.quantity[order],
        given,
        starts,
        reference,
        owned,
        owned_starts,
    )
    spread = _vickrey_kernel.spread_integers if bids.is_integer else _vickrey_kernel.spread_floats
    extra = spread(bonus, given, owned, owned_starts)
    paid = np.empty_like(given)
    paid[order] = extra - bids.side[order] * reference[run] * given + 0
    return paid
