"""Bills: what one party owes another for a month or for one trade, to the last micro-unit.

A bill's lines are exact.  Banks move whole cents, so a bill asks for whole cents and carries the rest, at
most half a cent, into the next bill between the same two parties: over time the sum of what is paid is that
of the journal's postings.  Amounts are + owed by the recipient, - owed to it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from gridagora.billing.amounts import Rounded, divide, tax_included, to_cents
from gridagora.billing.parties import Party

ESCROWED = "Paid and returned by escrow"
"""What a line says of money that changed hands before the bill: it is paid, and no supply that is taxed."""

DRAFT = "draft"
"""Number of a bill that is not issued: it may still change, and asks for nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BillLine:
    """One line: what it is for, energy in Wh where it has one, amount in micro-units, + owed.

    ``priced`` is False where the energy is a difference of both signs: a mean price would say nothing.
    ``taxed`` is False where the amount is a payment and includes no value added tax.
    """

    text: str
    amount: int
    quantity_wh: int | None = None
    priced: bool = True
    taxed: bool = True

    @property
    def price(self) -> int | None:
        """Mean price in micro-units per kWh, without the sign of who pays; None where there is none."""
        energy = (self.quantity_wh or 0) if self.priced else 0
        return divide(abs(self.amount) * 1000, energy) if energy > 0 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What is the same on all bills.

    Parameters
    ----------
    currency : ISO code
    vat_bp : value added tax that the amounts include, basis points; 0: none is shown
    due_days : days from issue until a bill is due
    """

    currency: str = "EUR"
    vat_bp: int = 0
    due_days: int = 14


@dataclass(frozen=True, kw_only=True, slots=True)
class Bill:
    """A bill of one month or one trade.

    Parameters
    ----------
    number : unique among the bills of its issuer
    issuer, recipient : who writes it, and who pays it where the sum is above zero
    first, last : days that it covers
    issued : its date
    lines : exact amounts
    opening : carried from the bill before it, micro-units
    proof : digest of the records of the days covered; "" where none was made
    paid_with : what this is paid with where not by itself, as in "the invoice of 2016-06"

    Examples
    --------
    >>> party = Party(participant="ann", name="Ann")
    >>> bill = Bill(number="1", issuer=party, recipient=party, first=date(2016, 6, 1), last=date(2016, 6, 30),
    ...     issued=date(2016, 7, 1), terms=Terms(), lines=(BillLine(text="Energy", amount=5_004_000),))
    >>> bill.payable, bill.carried, bill.due.isoformat()
    (5000000, 4000, '2016-07-15')
    """

    number: str
    issuer: Party
    recipient: Party
    first: date
    last: date
    issued: date
    terms: Terms
    lines: tuple[BillLine, ...]
    opening: int = 0
    proof: str = ""
    paid_with: str = ""

    @property
    def charges(self) -> int:
        """Sum of the lines that the recipient owes, >= 0."""
        return sum(line.amount for line in self.lines if line.amount > 0)

    @property
    def credits(self) -> int:
        """Sum of the lines that are owed to the recipient, >= 0."""
        return sum(-line.amount for line in self.lines if line.amount < 0)

    @property
    def total(self) -> int:
        """Charges less credits: one amount for all."""
        return self.charges - self.credits

    @property
    def payable(self) -> int:
        """What is to be paid, whole cents; below zero it is paid out."""
        return self._rounded.payable

    @property
    def carried(self) -> int:
        """What the next bill begins with."""
        return self._rounded.carried

    @property
    def _rounded(self) -> Rounded:
        return to_cents(self.total, carried=self.opening)

    @property
    def vat(self) -> tuple[int, int]:
        """Value added tax in the charges, and in the credits where the recipient is registered for it."""
        taxed = [line.amount for line in self.lines if line.taxed]
        charges = sum(amount for amount in taxed if amount > 0)
        credits_ = sum(-amount for amount in taxed if amount < 0) if self.recipient.vat_id else 0
        return tax_included(charges, self.terms.vat_bp), tax_included(credits_, self.terms.vat_bp)

    @property
    def due(self) -> date:
        """Last day to pay."""
        return self.issued + timedelta(days=self.terms.due_days)


def carry_over(bills: Iterable[Bill]) -> tuple[Bill, ...]:
    """Return bills with what each begins with: what the last one between the same two parties left over.

    >>> party = Party(participant="ann", name="Ann")
    >>> one = Bill(number="1", issuer=party, recipient=party, first=date(2016, 6, 1), last=date(2016, 6, 1),
    ...     issued=date(2016, 6, 2), terms=Terms(), lines=(BillLine(text="Energy", amount=4_000),))
    >>> [(bill.payable, bill.carried) for bill in carry_over([one, one])]
    [(0, 4000), (10000, -2000)]
    """
    left: dict[tuple[str, str], int] = {}
    done = []
    for bill in bills:
        pair = (bill.issuer.participant, bill.recipient.participant)
        whole = replace(bill, opening=left.get(pair, 0))
        left[pair] = whole.carried
        done.append(whole)
    return tuple(done)


@dataclass(frozen=True, kw_only=True, slots=True)
class MonthSums:
    """What one participant's month comes to: sums of energy in Wh and of money in micro-units, + received.

    ``journal`` are postings that no other entry tells, by what they are about.
    """

    days: int
    bought_wh: int = 0
    bought: int = 0
    sold_wh: int = 0
    sold: int = 0
    retail_wh: int = 0
    retail: int = 0
    feed_in_wh: int = 0
    feed_in: int = 0
    imbalance_wh: int = 0
    imbalance: int = 0
    network: int = 0
    taxes: int = 0
    standing: int = 0
    flexibility: int = 0
    journal: tuple[tuple[str, int], ...] = ()

    @property
    def received(self) -> int:
        """All money of the month, micro-units, + received."""
        energy = self.bought + self.sold + self.retail + self.feed_in + self.imbalance
        charges = self.network + self.taxes + self.standing
        return energy + charges + self.flexibility + sum(amount for _, amount in self.journal)


MEMOS: Mapping[str, str] = {
    "trade": "Local trades",
    "retail": "Energy with the retailer",
    "imbalance": "Difference of meter and schedule",
    "network": "Network charges",
    "taxes": "Taxes and levies on electricity",
    "standing": "Standing charge",
    "flex_activation": "Flexibility, activated",
    "flex_adjustment": "Flexibility, adjusted",
    "flex_delivery": "Flexibility, difference of delivery and order",
    "flex_reservation": "Flexibility, reserved",
    "redispatch": "Redispatch",
}
"""What a posting is about, as a bill says it."""


def month_lines(sums: MonthSums) -> tuple[BillLine, ...]:
    """Return the lines of a month, without those of nothing.

    >>> month_lines(MonthSums(days=30, sold_wh=2_000, sold=240_000, standing=-9_000_000))[0]
    BillLine(text='Energy sold to neighbours', amount=-240000, quantity_wh=2000, priced=True, taxed=True)
    """
    days = f"{sums.days} day{'s' if sums.days != 1 else ''}"
    lines = (
        BillLine(text="Energy bought from neighbours", quantity_wh=sums.bought_wh, amount=-sums.bought),
        BillLine(text="Energy sold to neighbours", quantity_wh=sums.sold_wh, amount=-sums.sold),
        BillLine(text="Energy bought from the retailer", quantity_wh=sums.retail_wh, amount=-sums.retail),
        BillLine(text="Energy sold to the retailer", quantity_wh=sums.feed_in_wh, amount=-sums.feed_in),
        BillLine(
            text=MEMOS["imbalance"], quantity_wh=sums.imbalance_wh, amount=-sums.imbalance, priced=False
        ),
        BillLine(text=MEMOS["network"], amount=-sums.network),
        BillLine(text=MEMOS["taxes"], amount=-sums.taxes),
        BillLine(text=f"{MEMOS['standing']}, {days}", amount=-sums.standing),
        BillLine(text="Flexibility", amount=-sums.flexibility),
        *(
            BillLine(text=MEMOS.get(memo, memo), amount=-amount, taxed=memo != ESCROWED)
            for memo, amount in sums.journal
        ),
    )
    return tuple(line for line in lines if line.amount or line.quantity_wh)


def month_bills(
    months: Sequence[tuple[Party, date, date, MonthSums]],
    *,
    issuer: Party,
    terms: Terms,
    issued: date | None = None,
    proofs: Mapping[tuple[date, date], str] | None = None,
) -> tuple[Bill, ...]:
    """Return the monthly bills of participants, each netted to one amount.

    Parameters
    ----------
    months : recipient, first and last day, and sums; each recipient's months in their order
    issuer : the operator
    terms : currency, tax and time to pay
    issued : date of all bills; the day after the last day of each when left out
    proofs : digest of the records by first and last day

    Examples
    --------
    >>> ann, operator = Party(participant="ann", name="Ann"), Party(participant="operator", name="Us")
    >>> sums = MonthSums(days=1, taxes=-1_000_000)
    >>> bills = month_bills([(ann, date(2016, 6, 1), date(2016, 6, 1), sums)], issuer=operator, terms=Terms())
    >>> bills[0].number, bills[0].payable
    ('201606-0001', 1000000)
    """
    places: dict[str, int] = {}
    for recipient, *_ in months:
        places.setdefault(recipient.participant, len(places) + 1)
    return carry_over(
        Bill(
            number=f"{first:%Y%m}-{places[recipient.participant]:04d}",
            issuer=issuer,
            recipient=recipient,
            first=first,
            last=last,
            issued=issued or last + timedelta(days=1),
            terms=terms,
            lines=month_lines(sums),
            proof=(proofs or {}).get((first, last), ""),
        )
        for recipient, first, last, sums in months
    )
