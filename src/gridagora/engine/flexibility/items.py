"""What entries of the flexibility market are made of: one item per participant, period, product and reason.

The items of a participant sum to what is posted on its account, entry by entry, to the micro-unit.  Bills and
proofs are made of them; what buyers pay for reservations is spread over the contracts of the period in
proportion to what their holders are awarded, whatever payment rule an auction has.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from gridagora.engine.flexibility.fees import Fees
from gridagora.engine.flexibility.paying import spread
from gridagora.engine.flexibility.state import ContractState, PeriodState
from gridagora.errors import require
from gridagora.ledger import Postings
from gridagora.ledger.journal import KINDS, EntryKind
from gridagora.model.columns import Ints
from gridagora.model.flexibility_events import FlexItems
from gridagora.model.flexibility_market import FlexMarketTerms
from gridagora.settlement import FlexSettlementLines
from gridagora.units import to_wh

Item = tuple[int, EntryKind, str, int, str, str, int, int]
"""Period, kind of entry, reason, participant, product, contract, Wh >= 0, micro-units + received."""


def settled_items(
    terms: FlexMarketTerms,
    window: Sequence[PeriodState],
    *,
    first: int,
    delivered: Sequence[tuple[FlexSettlementLines, Ints]],
    held: Sequence[ContractState],
    fees: Fees,
) -> FlexItems:
    """Return the items of the periods from ``first`` on.

    Parameters
    ----------
    terms, window : of the market, and its periods
    delivered : per product the money of delivery, and what was not delivered, Wh, shape (points, periods)
    held, fees : contracts, and their fees
    """
    found: list[Item] = []
    for row, period in enumerate(window):
        found += _agreed(terms, period, first + row)
        found += _delivered(terms, delivered, row=row, number=first + row)
        found += _reserved(terms, period, row=row, number=first + row, held=held, fees=fees)
    kept = [item for item in found if item[6] or item[7]]
    columns = list(zip(*kept, strict=True)) if kept else [()] * 8
    period_, kind, reason, who, product, contract, wh, amount = columns
    number = np.array(period_, np.int64) * KINDS + np.array(kind, np.int64)
    return FlexItems(
        entry=number.astype(np.int64),
        participant=np.array(who, np.int64),
        product=tuple(product),
        reason=tuple(reason),
        contract=tuple(contract),
        energy_wh=np.array(wh, np.int64),
        amount=np.array(amount, np.int64),
    )


def check_items(items: FlexItems, postings: Postings, *, participants: int) -> None:
    """Raise `InvariantError` unless items sum to the postings of participants, entry by entry."""
    own = postings.account < participants
    sums: dict[tuple[int, int], int] = {}
    columns = (
        (items.entry, items.participant, items.amount),
        (postings.entry[own], postings.account[own], -postings.amount[own]),
    )
    for entry, who, amount in columns:
        for key, value in zip(zip(entry.tolist(), who.tolist(), strict=True), amount.tolist(), strict=True):
            sums[key] = sums.get(key, 0) + value
    require(not any(sums.values()), "items of flexibility differ from what is posted")


def _agreed(terms: FlexMarketTerms, period: PeriodState, number: int) -> Iterator[Item]:
    """Yield what auctions, dispatches, the continuous market and paired redispatch pay."""
    hours = terms.period_hours
    agreed = (
        (EntryKind.FLEX_ACTIVATION, "activated", period.cleared_kw - period.tested_kw, period.cleared_micro),
        (EntryKind.FLEX_ADJUSTMENT, "adjusted", period.adjusted_kw, period.adjusted_micro),
        (EntryKind.REDISPATCH, "redispatch", period.redispatch_kw[None], period.redispatch_micro[None]),
    )
    for kind, reason, kw, money in agreed:
        energy = to_wh(np.abs(kw) * hours)
        for product, who in np.argwhere((energy > 0) | (money != 0)).tolist():
            of = "" if kind == EntryKind.REDISPATCH else terms.products[product][0]
            amount = int(money[product, who])
            yield number, kind, reason, who, of, "", int(energy[product, who]), amount


def _delivered(
    terms: FlexMarketTerms, delivered: Sequence[tuple[FlexSettlementLines, Ints]], *, row: int, number: int
) -> Iterator[Item]:
    """Yield what is taken back of sellers, their penalties, and what buyers get back."""
    kind, points = EntryKind.FLEX_DELIVERY, len(terms.points)
    for (product, _), (money, deficiency_wh) in zip(terms.products, delivered, strict=True):
        for reason, amounts in (("claw_back", money.claw_back), ("penalty", money.penalty)):
            for point in np.flatnonzero(amounts[:, row]).tolist():
                energy, amount = int(deficiency_wh[point, row]), -int(amounts[point, row])
                yield number, kind, reason, point, product, "", energy, amount
        for buyer in np.flatnonzero(money.refund[:, row]).tolist():
            yield number, kind, "refund", points + buyer, product, "", 0, int(money.refund[buyer, row])


def _reserved(
    terms: FlexMarketTerms,
    period: PeriodState,
    *,
    row: int,
    number: int,
    held: Sequence[ContractState],
    fees: Fees,
) -> Iterator[Item]:
    """Yield the fees of contracts, what is withheld of them, and what buyers pay for each."""
    kind, points = EntryKind.FLEX_RESERVATION, len(terms.points)
    rows = [place for place, one in enumerate(held) if number in one.contract.periods]
    for place in rows:
        one = held[place]
        energy = int(to_wh(one.contract.kw_in(number) * terms.period_hours))
        named = one.point, terms.products[one.product][0], one.contract.id
        yield number, kind, "reserved", *named, energy, int(fees.of_contract[place, row])
        yield number, kind, "withheld", *named, 0, -int(fees.withheld_of_contract[place, row])
    for buyer in range(len(terms.buyers)):
        awarded = int(period.reserved_micro[points + buyer])
        shares = np.array([_share(held[place], number, buyer) for place in rows], np.float64)
        if awarded and not shares.any():
            yield number, kind, "reserved", points + buyer, "", "", 0, awarded
        parts = spread(awarded, shares) if shares.any() else np.zeros(len(rows), np.int64)
        for place, part, share in zip(rows, parts.tolist(), shares.tolist(), strict=True):
            one, back = held[place], int(fees.returned[place, buyer, row])
            whole = float(one.awarded_micro[one.contract.periods.index(number)]) or 1.0
            energy = int(to_wh(one.contract.kw_in(number) * terms.period_hours * share / whole))
            named = points + buyer, terms.products[one.product][0], one.contract.id
            yield number, kind, "reserved", *named, energy, part + back


def _share(one: ContractState, number: int, buyer: int) -> float:
    """Return what a buyer bears of what the holder of a contract is awarded for a period."""
    place = one.contract.periods.index(number)
    weights = one.weights[place]
    total = int(weights.sum())
    return float(one.awarded_micro[place]) * int(weights[buyer]) / total if total else 0.0
