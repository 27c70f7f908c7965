"""What the risk of a breach costs a seller: the last kW that it can keep at all are not free.

Close to delivery a home makes up for a forecast error with its devices, as far as it can go further below
its limit.  With ``r`` kW of such room left and an error of standard deviation ``s``, it breaches the limit
where the error is larger than the room.  A further kW sold takes a kW of room, and so costs

    penalty x P(error > r) = penalty x (1 - Phi(r / s))

which is what a seller asks for it beside what its plan costs.
"""

from dataclasses import replace
from itertools import pairwise
from statistics import NormalDist

from gridagora.model.flexibility import FlexOffer, OfferStep

SURE = 2.0
"""Standard deviations of room from which on a breach is not feared."""
PIECES = 4
"""Steps in which the price of the risk rises."""
LEAST_KW = 1e-3
"""Errors and steps below this are none."""


def risk_price(room_kw: float, *, error_kw: float, penalty: float) -> float:
    """Return the expected penalty that the next kW sold brings, currency per kW and period.

    Parameters
    ----------
    room_kw : how much further the home could go, kW >= 0
    error_kw : standard deviation of its forecast error, kW > 0
    penalty : charged for a kW above the limit, currency per kW and period

    Examples
    --------
    >>> [round(risk_price(room, error_kw=2.0, penalty=0.5), 4) for room in (0.0, 2.0, 4.0)]
    [0.25, 0.0793, 0.0114]
    """
    return penalty * (1.0 - NormalDist().cdf(room_kw / error_kw))


def with_risk(offer: FlexOffer, *, error_kw: float, penalty: float) -> FlexOffer:
    """Return an offer whose last kW cost the expected penalty too; whole steps (blocks) at their middle.

    Examples
    --------
    >>> from gridagora.model.flexibility import FlexProduct
    >>> steps = (OfferStep(quantity_kw=6.0, price=0.0, member="a"),)
    >>> offer = FlexOffer(participant="a", product=FlexProduct(direction="cap"), periods=(3,),
    ...                   capacity_kw=9.0, steps=steps)
    >>> found = with_risk(offer, error_kw=1.0, penalty=0.5)
    >>> [(step.quantity_kw, round(step.price, 3)) for step in found.steps]
    [(4.0, 0.0), (0.5, 0.02), (0.5, 0.053), (0.5, 0.113), (0.5, 0.201)]
    """
    if error_kw <= LEAST_KW or penalty <= 0.0:
        return offer
    room, steps = offer.quantity_kw, []
    for step in offer.steps:
        for quantity, middle in _cut(step, room, error_kw):
            feared = middle < SURE * error_kw
            more = risk_price(middle, error_kw=error_kw, penalty=penalty) if feared else 0.0
            steps.append(replace(step, quantity_kw=quantity, price=step.price + more))
        room -= step.quantity_kw
    return replace(offer, steps=tuple(steps))


def _cut(step: OfferStep, room: float, error_kw: float) -> list[tuple[float, float]]:
    """Cut a step where the price of the risk rises: quantities, and the room in the middle of each, kW."""
    end = room - step.quantity_kw
    edges = [room, end]
    if not step.block:
        rises = [SURE * error_kw * (1.0 - piece / PIECES) for piece in range(PIECES)]
        edges = [room, *(edge for edge in rises if end + LEAST_KW < edge < room - LEAST_KW), end]
    return [(high - low, max((high + low) / 2, 0.0)) for high, low in pairwise(edges)]
