"""A market that runs on the real clock: its terms, and when each of its sessions is due."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gridagora.errors import Fault, check_faults
from gridagora.model.study import MechanismName
from gridagora.model.time import SECONDS_PER_DAY, SECONDS_PER_HOUR

Topic = Literal[
    "session",
    "bids",
    "trades",
    "prices",
    "limits",
    "activations",
    "readings",
    "settlement",
    "disputes",
    "register",
    "flexibility",
    "bills",
]
"""What notifications of a live market are about."""

PPM = 1_000_000
"""Millionths of the whole."""

HIGHEST_BREACH = 1_000.0
"""Largest price of a kWh beyond a limit, currency per kWh."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveTerms:
    """What holds for a live market as a whole.

    Session n delivers the periods ``[n x session_periods, (n + 1) x session_periods)``, counted from
    ``epoch``; all moments are seconds since 1970 UTC.

    Parameters
    ----------
    name : of the market
    epoch : moment at which period 0 begins; a multiple of ``mtu_s``
    mtu_s : length of a period, s
    session_periods : periods that are auctioned together
    open_lead_s : a session takes bids from so long before its delivery begins
    gate_lead_s : and until so long before
    readings_lead_s : meter readings are taken until so long after its delivery ends; then it is settled
    dispute_s : a settlement may be disputed for so long
    mechanism : name of the clearing rule
    lowest_price, highest_price : bounds of a bid's price, currency per kWh
    most_kwh : largest quantity of one bid
    fee_ppm : millionths of what sellers are paid that the operator keeps
    escrow : True: a buyer's money is held from the match until delivery is proven
    breach_price : currency that each kWh beyond a declared limit costs those who caused it; 0: nothing, since
        a penalty is owed only where people agreed to one
    least_group : aggregates of fewer connection points are told to nobody
    retailer : organisation that supplies everybody, and may send its prices ahead; "": the operator does
    currency, timezone : of bills, and of the people
    scenario : the scenario file that the market was made of: grid, tariffs, limits, zones

    Examples
    --------
    >>> terms = LiveTerms(name="village", epoch=0, session_periods=4, gate_lead_s=300, scenario="")
    >>> when = terms.session(2)
    >>> when.first, when.opens, when.gate, when.delivery_start, when.settles
    (8, -79200, 6900, 7200, 97200)
    """

    name: str
    epoch: int
    scenario: str
    mtu_s: int = 900
    session_periods: int = 4
    open_lead_s: int = SECONDS_PER_DAY
    gate_lead_s: int = 300
    readings_lead_s: int = SECONDS_PER_DAY
    dispute_s: int = 14 * SECONDS_PER_DAY
    mechanism: MechanismName = "pay_as_cleared"
    lowest_price: float = -10.0
    highest_price: float = 10.0
    most_kwh: float = 10_000.0
    fee_ppm: int = 0
    escrow: bool = False
    breach_price: float = 0.0
    least_group: int = 4
    retailer: str = ""
    currency: str = "EUR"
    timezone: str = "Europe/Berlin"

    def __post_init__(self) -> None:
        check_faults(_faults(self))

    @property
    def hours(self) -> float:
        """Length of a period, h."""
        return self.mtu_s / SECONDS_PER_HOUR

    def begins(self, period: int) -> int:
        """Return the moment at which a period begins."""
        return self.epoch + period * self.mtu_s

    def period_at(self, moment: int) -> int:
        """Return the period in which a moment lies; below 0 before the market's first."""
        return (moment - self.epoch) // self.mtu_s

    def session_of(self, period: int) -> int:
        """Return the number of the session that auctions a period."""
        return period // self.session_periods

    def session(self, number: int) -> "SessionTimes":
        """Return when a session is due."""
        first = number * self.session_periods
        start, end = self.begins(first), self.begins(first + self.session_periods)
        return SessionTimes(
            number=number,
            first=first,
            count=self.session_periods,
            opens=start - self.open_lead_s,
            gate=start - self.gate_lead_s,
            delivery_start=start,
            delivery_end=end,
            settles=end + self.readings_lead_s,
        )

    @property
    def kept_s(self) -> int:
        """How long a settled session is kept, s: for disputes, and as long again for decisions."""
        return 2 * self.dispute_s


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionTimes:
    """The moments of a session, seconds since 1970 UTC, and its periods ``[first, first + count)``.

    Bids are taken in ``[opens, gate)``, readings until ``settles``.
    """

    number: int
    first: int
    count: int
    opens: int
    gate: int
    delivery_start: int
    delivery_end: int
    settles: int


def _faults(terms: LiveTerms) -> Iterator[Fault]:
    if terms.mtu_s < 1 or SECONDS_PER_DAY % terms.mtu_s:
        yield _fault(terms, "mtu_s", "does not divide a day", fix="use 300, 900, 1800 or 3600")
    elif terms.epoch % terms.mtu_s:
        yield _fault(terms, "epoch", "is not the beginning of a period", fix="use a multiple of mtu_s")
    if terms.session_periods < 1:
        yield _fault(terms, "session_periods", "is no number of periods", fix="auction one or more together")
    if not 0 <= terms.gate_lead_s < terms.open_lead_s:
        reason, fix = "does not lie between the opening and the delivery", "take 0 or more, below open_lead_s"
        yield _fault(terms, "gate_lead_s", reason, fix=fix)
    for name in ("readings_lead_s", "dispute_s"):
        if getattr(terms, name) < 0:
            yield _fault(terms, name, "is below 0", fix="give seconds >= 0")
    if not terms.lowest_price <= terms.highest_price:
        yield _fault(terms, "lowest_price", "is above highest_price", fix="swap the two")
    if not 0 < terms.most_kwh < np.inf:
        yield _fault(terms, "most_kwh", "is no largest quantity", fix="give kWh above 0")
    if terms.least_group < 1:
        yield _fault(terms, "least_group", "is no group", fix="take 1 or more")
    if not 0 <= terms.breach_price <= HIGHEST_BREACH:
        fix = f"give currency per kWh from 0 to {HIGHEST_BREACH:g}"
        yield _fault(terms, "breach_price", "is no price of a breach", fix=fix)
    if not 0 <= terms.fee_ppm <= PPM:
        yield _fault(terms, "fee_ppm", "is no share", fix=f"give millionths from 0 to {PPM}")


def _fault(terms: LiveTerms, place: str, reason: str, *, fix: str) -> Fault:
    return Fault(source="live market", place=place, value=getattr(terms, place), reason=reason, fix=fix)
