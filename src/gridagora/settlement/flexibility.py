"""Settlement of delivered flexibility: claw-back, penalty and refund in whole micro-units, nothing lost.

At clearing each DSO prepays its orders and the sellers are promised their amounts.  After delivery, per
period::

    receipt of a seller = amount - claw-back - penalty           claw-back = amount - what the rule awards
    refund to the DSOs  = sum of claw-backs and penalties, pro rata to what they prepaid
    payment of a DSO    = - prepaid + refund
    surplus             = sum prepaid - sum of amounts           (what the payment rule leaves; VCG: < 0)
    rounding            = refund - sum of the DSOs' parts

and receipts + payments + surplus + rounding = 0 in every period.  Amounts are + received, - paid.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults, require
from gridagora.settlement._proportions import split
from gridagora.settlement.flexibility_delivery import Delivery
from gridagora.settlement.flexibility_rules import RULES, FlexTerms

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FlexSettlementLines:
    """Money of delivered flexibility: whole micro-units.

    Parameters
    ----------
    amount : promised for full delivery, shape (meters, periods)
    claw_back : taken back for what was not delivered, same shape
    penalty : charged for deficiency, >= 0, same shape
    receipt : amount - claw_back - penalty, same shape
    prepaid : paid by each DSO at clearing, shape (buyers, periods)
    refund : paid back to each DSO, same shape
    payment : refund - prepaid, same shape
    surplus : kept (+) or lacked (-) by the market operator under the payment rule, shape (periods,)
    rounding : residue of splitting the refund, for the rounding account, shape (periods,)

    Examples
    --------
    See `settle_flexibility`.

    >>> [name for name in FlexSettlementLines.__slots__ if name.startswith("p")]
    ['penalty', 'prepaid', 'payment']
    """

    amount: Ints
    claw_back: Ints
    penalty: Ints
    receipt: Ints
    prepaid: Ints
    refund: Ints
    payment: Ints
    surplus: Ints
    rounding: Ints


def settle_flexibility(
    delivery: Delivery,
    terms: FlexTerms,
    *,
    rule: str,
    prepaid_micro: ArrayLike | None = None,
    test: ArrayLike | None = None,
) -> FlexSettlementLines:
    """Settle orders by a rule chosen by name: pay what it awards, claw back the rest, refund the DSOs.

    Parameters
    ----------
    delivery : what was ordered and delivered
    terms : amounts and penalty price
    rule : a name of `flexibility_rules.RULES`
    prepaid_micro : whole micro-units that each DSO paid, >= 0, shape (buyers, periods); one DSO that paid the
        amounts when left out
    test : True where the call was an unpaid test, fits (meters, periods): its amount must be 0, and no
        penalty is charged; see ``delivery.passed`` for its outcome

    Returns
    -------
    FlexSettlementLines
        They sum to 0 in every period.

    Raises
    ------
    InputError
        Lists every fault: an unknown rule, shapes, sums that are not whole, a negative penalty or prepayment,
        a paid test.
    InvariantError
        Money was made or lost: a defect of this program.

    Notes
    -----
    MARKETS.md section 3 (claw-back and refund), FIELD.md 4e.

    Examples
    --------
    Half of the cut was delivered; two DSOs had shared the price 2 : 1.

    >>> from gridagora.settlement.flexibility_delivery import Calls, check_limit
    >>> found = check_limit([[5.0]], Calls(called=[[True]], hours=1.0), limit_kw=3.0, capacity_kw=7.0)
    >>> terms = FlexTerms(amount_micro=np.array([[3000]]), penalty_micro_per_kwh=200)
    >>> lines = settle_flexibility(found, terms, rule="uftp", prepaid_micro=[[2000], [1000]])
    >>> lines.claw_back.tolist(), lines.penalty.tolist(), lines.receipt.tolist()
    ([[1500]], [[400]], [[1100]])
    >>> lines.refund.tolist(), lines.payment.tolist(), lines.rounding.tolist()
    ([[1267], [633]], [[-733], [-367]], [0])
    """
    amount = np.asarray(terms.amount_micro)
    prepaid = amount.sum(axis=0, keepdims=True) if prepaid_micro is None else np.asarray(prepaid_micro)
    tested = np.zeros((1, 1), dtype=bool) if test is None else np.asarray(test, dtype=bool)
    faults = list(_faults(delivery, terms, prepaid, judged=prepaid_micro is not None))
    if rule not in RULES:
        faults.append(_fault("rule", rule, "is not known", fix=f"write one of {', '.join(RULES)}"))
    check_faults([*faults, *_test_faults(delivery, amount, tested)])
    pay = RULES[rule](delivery, terms)
    penalty = np.where(tested, 0, pay.penalty)
    claw_back = amount - pay.earned
    refund, rounding = split((claw_back + penalty).sum(axis=0), np.maximum(prepaid, 0))
    lines = FlexSettlementLines(
        amount=amount,
        claw_back=claw_back,
        penalty=penalty,
        receipt=pay.earned - penalty,
        prepaid=prepaid,
        refund=refund,
        payment=refund - prepaid,
        surplus=prepaid.sum(axis=0) - amount.sum(axis=0),
        rounding=rounding,
    )
    left = lines.receipt.sum(axis=0) + lines.payment.sum(axis=0) + lines.surplus + lines.rounding
    require(not left.any(), "settlement of flexibility made or lost money")
    return lines


def _faults(delivery: Delivery, terms: FlexTerms, prepaid: Ints, *, judged: bool) -> Iterator[Fault]:
    meters, periods = delivery.ordered_wh.shape
    whole = "round once with units.to_micro"
    amount, penalty = np.asarray(terms.amount_micro), np.asarray(terms.penalty_micro_per_kwh)
    if amount.shape != (meters, periods):
        yield _fault("amount_micro", amount.shape, f"is not {(meters, periods)}", fix="one amount per order")
    if not np.issubdtype(amount.dtype, np.integer):
        yield _fault("amount_micro", str(amount.dtype), "is not whole micro-units", fix=whole)
    if not np.issubdtype(penalty.dtype, np.integer):
        yield _fault("penalty_micro_per_kwh", str(penalty.dtype), "is not whole micro-units", fix=whole)
    elif (penalty < 0).any():
        yield _fault("penalty_micro_per_kwh", int(penalty.min()), "is negative", fix="write a price >= 0")
    if any(a not in (1, b) for a, b in zip(penalty.shape[::-1], (periods, meters), strict=False)):
        reason = f"does not fit {(meters, periods)}"
        yield _fault(
            "penalty_micro_per_kwh", penalty.shape, reason, fix="give a number, or (meters, periods)"
        )
    if not judged:
        return
    if prepaid.ndim != 2 or len(prepaid) == 0 or prepaid.shape[1] != periods:
        reason = f"is not (buyers, {periods})"
        yield _fault("prepaid_micro", prepaid.shape, reason, fix="one row per DSO")
    if not np.issubdtype(prepaid.dtype, np.integer):
        yield _fault("prepaid_micro", str(prepaid.dtype), "is not whole micro-units", fix=whole)
    elif (prepaid < 0).any():
        yield _fault("prepaid_micro", int(prepaid.min()), "is negative", fix="a DSO pays; write >= 0")


def _test_faults(delivery: Delivery, amount: Ints, tested: NDArray[np.bool_]) -> Iterator[Fault]:
    shape = delivery.ordered_wh.shape
    if tested.ndim > 2 or any(a not in (1, b) for a, b in zip(tested.shape[::-1], shape[::-1], strict=False)):
        yield _fault("test", tested.shape, f"does not fit {shape}", fix="give (meters, periods)")
    elif amount.shape == shape:
        for meter, period in np.argwhere(tested & (amount != 0)).tolist():
            place = f"amount_micro, meter {meter}, column {period}"
            yield _fault(place, amount[meter, period].item(), "is the price of an unpaid test", fix="write 0")


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="flexibility settlement", place=place, value=value, reason=reason, fix=fix)
