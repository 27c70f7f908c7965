"""Flexibility offers as values: what is sold, in which steps, under which conditions.

The quantity sold as a cap or a floor is a cut below the connection capacity, so no baseline is needed:
limit = connection capacity - quantity sold (MARKETS section 3).  A cap keeps net import below the limit, a
floor net export.  What is sold "down" or "up" is less or more net import than a baseline.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from gridagora.errors import Fault, check_faults
from gridagora.model.bids import Bids

Direction = Literal["cap", "floor", "down", "up"]
"""A cap limits net import, a floor net export; down is less net import than the baseline, up is more."""

DIRECTIONS: tuple[str, ...] = get_args(Direction)

NUMBERS = (int, float, np.number)
"""Types that a number of periods, calls or kW may have."""

LIMITS = ("cap", "floor")
"""Directions that are counted from the connection capacity, without a baseline."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexProduct:
    """Attributes of a flexibility product (seed 003, table 2-2); durations in periods of the study.

    Parameters
    ----------
    direction : "cap" limits net import, "floor" net export; "down" is less, "up" more net import than the
        baseline
    min_duration, max_duration : periods that one activation lasts; ``max_duration`` None: without end
    max_activations_per_day : how often it may be called; None: any number
    min_rest : idle periods between two activations
    response_time_s : seconds that the seller needs from the call to the limit being kept

    Raises
    ------
    InputError
        Lists every attribute that is out of range or contradicts another.

    Examples
    --------
    >>> FlexProduct(direction="cap", min_duration=2).max_duration is None
    True
    >>> FlexProduct(direction="cap", min_duration=0)
    Traceback (most recent call last):
    gridagora.errors.InputError: 1 fault in the input
      flexibility product, min_duration: is below 1 or not finite (found 0); write 1 or more
    """

    direction: Direction
    min_duration: int = 1
    max_duration: int | None = None
    max_activations_per_day: int | None = None
    min_rest: int = 0
    response_time_s: float = 0.0

    def __post_init__(self) -> None:
        check_faults(self._faults())

    def _faults(self) -> Iterator[Fault]:
        if self.direction not in DIRECTIONS:
            fix = f"write one of {', '.join(DIRECTIONS)}"
            yield _fault("direction", self.direction, "unknown product direction", fix=fix)
        lowest = (
            ("min_duration", 1),
            ("max_duration", 1),
            ("max_activations_per_day", 0),
            ("min_rest", 0),
            ("response_time_s", 0),
        )
        for name, low in lowest:
            value: Any = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, NUMBERS) or not low <= value < np.inf:
                yield _fault(name, value, f"is below {low} or not finite", fix=f"write {low} or more")
            elif name != "response_time_s" and float(value) % 1:
                yield _fault(name, value, "is not whole", fix="count whole periods and activations")
        longest, shortest = self.max_duration, self.min_duration
        if isinstance(longest, NUMBERS) and isinstance(shortest, NUMBERS) and longest < shortest:
            reason = f"is shorter than min_duration {self.min_duration}"
            yield _fault("max_duration", self.max_duration, reason, fix="raise it, or lower min_duration")


@dataclass(frozen=True, kw_only=True, slots=True)
class OfferStep:
    """A step of an offer: ``quantity_kw`` in each period at ``price``, currency per kW and period.

    ``block``: accepted in whole, in all periods of the offer, or not at all.  ``member`` is the connection
    point that delivers it.

    Examples
    --------
    >>> OfferStep(quantity_kw=2.0, price=0.15, member="a").block
    False
    """

    quantity_kw: float
    price: float
    block: bool = False
    member: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexOffer:
    """What a participant offers for one period, or for several periods under one limit.

    Parameters
    ----------
    participant : seller, a home or an aggregator
    product : attributes of what is sold
    periods : the period, or the periods that the limit covers
    capacity_kw : what the limit is counted from: connection capacity less what is sold already; the sum of
        the members of an aggregator; for "down" and "up" the most that it can deviate from the baseline
    steps : ascending in price

    Examples
    --------
    >>> steps = (OfferStep(quantity_kw=9.0, price=0.0, member="a"),
    ...          OfferStep(quantity_kw=2.0, price=0.15, member="a"))
    >>> offer = FlexOffer(participant="a", product=FlexProduct(direction="cap"), periods=(17,),
    ...                   capacity_kw=14.0, steps=steps)
    >>> offer.quantity_kw, offer.free_kw
    (11.0, 9.0)
    """

    participant: str
    product: FlexProduct
    periods: tuple[int, ...]
    capacity_kw: float
    steps: tuple[OfferStep, ...] = field(default=())

    @property
    def quantity_kw(self) -> float:
        """Cut offered at most, kW."""
        return float(sum(step.quantity_kw for step in self.steps))

    @property
    def free_kw(self) -> float:
        """Cut that costs nothing, kW: the part of the connection capacity that is not needed anyway."""
        return float(sum(step.quantity_kw for step in self.steps if step.price == 0.0))


def bids_of(offers: Sequence[FlexOffer]) -> Bids:
    """Offers as bids to sell: one row per offer, period and step, in that order.

    Parameters
    ----------
    offers : offers of one direction; a participant's periods may not overlap

    Returns
    -------
    Bids
        quantity in kW, price in currency per kW and period, steps numbered from 0; ``group`` is empty for
        divisible steps and names the rows that are accepted together for blocks.

    Raises
    ------
    InputError
        Several directions together, or two offers of a participant for one period.

    Notes
    -----
    MARKETS.md section 3, "FSP offer"; the auction reads the blocks with ``blocks="group"``.

    Examples
    --------
    >>> steps = (OfferStep(quantity_kw=9.0, price=0.0, member="a"),
    ...          OfferStep(quantity_kw=2.0, price=0.15, block=True, member="a"))
    >>> offer = FlexOffer(participant="a", product=FlexProduct(direction="cap"), periods=(17, 18),
    ...                   capacity_kw=14.0, steps=steps)
    >>> bids_of([offer]).to_frame()[["period", "step", "quantity", "price", "group"]].values.tolist()
    [[17, 0, 9.0, 0.0, ''], [17, 1, 2.0, 0.15, 'a:17:1'], [18, 0, 9.0, 0.0, ''], [18, 1, 2.0, 0.15, 'a:17:1']]
    """
    check_faults(_offer_faults(offers))
    rows = [
        (offer, period, number, step)
        for offer in offers
        for period in offer.periods
        for number, step in enumerate(offer.steps)
    ]
    return Bids(
        side=np.full(len(rows), -1),
        price=np.array([step.price for *_, step in rows], dtype=np.float64),
        quantity=np.array([step.quantity_kw for *_, step in rows], dtype=np.float64),
        participant=np.array([offer.participant for offer, *_ in rows], dtype=np.str_),
        period=np.array([period for _, period, *_ in rows], dtype=np.int64),
        group=np.array(
            [
                f"{offer.participant}:{offer.periods[0]}:{number}" if step.block else ""
                for offer, _, number, step in rows
            ],
            dtype=np.str_,
        ),
        step=np.array([number for _, _, number, _ in rows], dtype=np.int64),
    )


def _offer_faults(offers: Sequence[FlexOffer]) -> Iterator[Fault]:
    directions = sorted({offer.product.direction for offer in offers})
    if len(directions) > 1:
        yield _fault(
            "direction",
            directions,
            "each direction is cleared apart",
            fix="make bids of one direction at a time",
        )
    seen: set[tuple[str, int]] = set()
    for offer in offers:
        for key in ((offer.participant, period) for period in offer.periods):
            if key in seen:
                place = f"participant {key[0]}, period {key[1]}"
                yield _fault(place, key[1], "second offer for one period", fix="keep one of them")
            seen.add(key)


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="flexibility product", place=place, value=value, reason=reason, fix=fix)
