"""Products against a baseline (down, up) are cleared like limits, and refused where a limit is meant."""

import numpy as np
import pytest

from gridagora.agents import Outlook, fleet_from_homes, initial_state
from gridagora.agents.offers import FlexibilityDay, capacity_offers, limits_after
from gridagora.errors import InputError
from gridagora.market import capacity_limit_auction, check_offers
from gridagora.model.bids import Bids
from gridagora.model.flexibility import DIRECTIONS, FlexOffer, FlexProduct, OfferStep, bids_of
from gridagora.model.resources import Home
from gridagora.model.time import TimeAxis


def offer(direction, kw=4.0):
    step = OfferStep(quantity_kw=kw, price=0.1, member="ann")
    product = FlexProduct(direction=direction)
    return FlexOffer(participant="ann", product=product, periods=(1,), capacity_kw=8.0, steps=(step,))


def day():
    load = np.full(3, 2.0)
    home = Home(participant="ann", bus="1", load_kw=load, load_kvar=0 * load, import_limit_kw=8.0)
    fleet = fleet_from_homes((home,), TimeAxis(start=np.datetime64("2016-01-01"), periods=3, mtu_s=3600))
    outlook = Outlook(load_kw=fleet.load_kw, pv_kw=fleet.pv_kw, heat_kw=fleet.heat_kw)
    price = np.array([[0.2, 0.1]] * 3)
    return FlexibilityDay(fleet=fleet, state=initial_state(fleet), t=0, outlook=outlook, price=price)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_every_direction_clears_alike(direction):
    columns = {"participant": ["dso"], "period": [1], "group": [""], "step": [0]}
    demand = Bids(side=["buy"], price=[0.5], quantity=[3.0], **columns)
    bids = Bids.concat([demand, bids_of([offer(direction)])])
    result = capacity_limit_auction(bids, direction=direction)
    assert (result.accepted.tolist(), result.direction) == ([3.0, 3.0], direction)
    asked = {"connection_kw": {"ann": 8.0}, "now_period": 0, "direction": direction}
    assert check_offers(bids_of([offer(direction)]), **asked) == ()
    assert len(check_offers(bids_of([offer(direction, kw=9.0)]), **asked)) == 1


def test_directions_do_not_mix():
    with pytest.raises(InputError, match="each direction is cleared apart"):
        bids_of([offer("cap"), offer("down")])
    with pytest.raises(InputError, match="unknown product direction"):
        FlexProduct(direction="sideways")


@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_product_against_a_baseline_is_no_limit(direction):
    with pytest.raises(InputError, match="sold against a baseline"):
        capacity_offers(day(), FlexProduct(direction=direction), windows=[(1,)])
    with pytest.raises(InputError, match="sold against a baseline"):
        limits_after(day(), [offer(direction)], [1.0])
