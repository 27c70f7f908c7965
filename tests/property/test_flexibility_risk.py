"""What sellers ask for the risk of a breach."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.engine.flexibility.risk import SURE, risk_price, with_risk
from gridagora.model.flexibility import FlexOffer, FlexProduct, OfferStep


def offer_of(steps: list[tuple[float, float]], *, block: bool) -> FlexOffer:
    rising = np.cumsum([price for _, price in steps])
    return FlexOffer(
        participant="a",
        product=FlexProduct(direction="cap"),
        periods=(3,),
        capacity_kw=500.0,
        steps=tuple(
            OfferStep(quantity_kw=kw, price=float(price), block=block, member="a")
            for (kw, _), price in zip(steps, rising, strict=True)
        ),
    )


@settings(deadline=None, max_examples=60)
@given(
    steps=st.lists(st.tuples(st.floats(0.1, 50.0), st.floats(0.0, 0.2)), min_size=1, max_size=5),
    error_kw=st.floats(0.0, 20.0),
    block=st.booleans(),
)
def test_a_dearer_offer_sells_the_same_and_rises(
    steps: list[tuple[float, float]], error_kw: float, block: bool
) -> None:
    offer = offer_of(steps, block=block)
    found = with_risk(offer, error_kw=error_kw, penalty=0.5)
    prices = [step.price for step in found.steps]
    assert found.quantity_kw == pytest.approx(offer.quantity_kw)
    assert prices == sorted(prices)
    assert found.steps[0].price >= offer.steps[0].price
    assert prices[-1] <= offer.steps[-1].price + 0.25 + 1e-12  # at no room left, half of all errors breach


def test_the_price_covers_the_penalty_that_errors_bring() -> None:
    """Sold to the end, the sum of the premiums is the mean penalty of many drawn errors."""
    error_kw, penalty = 3.0, 0.5
    found = with_risk(offer_of([(40.0, 0.0)], block=False), error_kw=error_kw, penalty=penalty)
    asked = sum(step.quantity_kw * step.price for step in found.steps)
    drawn = np.maximum(np.random.default_rng(1).normal(0.0, error_kw, 400_000), 0.0).mean() * penalty
    assert asked == pytest.approx(drawn, rel=0.03)


def test_nothing_is_asked_where_nothing_is_feared() -> None:
    offer = offer_of([(40.0, 0.0)], block=False)
    assert with_risk(offer, error_kw=0.0, penalty=0.5) == offer
    assert with_risk(offer, error_kw=3.0, penalty=0.0) == offer
    found = with_risk(offer, error_kw=3.0, penalty=0.5)
    assert found.steps[0] == OfferStep(quantity_kw=40.0 - SURE * 3.0, price=0.0, member="a")
    assert risk_price(100.0, error_kw=3.0, penalty=0.5) == pytest.approx(0.0, abs=1e-12)
