"""Published and hand-made markets with known outcomes: every file in golden/market, by each rule it names."""

import json
from pathlib import Path

import numpy as np
import pytest

import gridagora.market
from gridagora.model.bids import Bids

CASES = sorted((Path(__file__).parent / "market").glob("*.json"))


def _runs():
    for path in CASES:
        for mechanism in json.loads(path.read_text(encoding="utf-8"))["expected"]:
            yield pytest.param(path, mechanism, id=f"{path.stem}-{mechanism}")


@pytest.mark.parametrize(("path", "mechanism"), list(_runs()))
def test_outcome_is_the_known_one(path, mechanism):
    case = json.loads(path.read_text(encoding="utf-8"))
    side, price, quantity, participant = (list(column) for column in zip(*case["bids"], strict=True))
    bids = Bids(side=side, price=price, quantity=quantity, participant=participant)
    result = getattr(gridagora.market, mechanism)(bids)
    expected = dict(case["expected"][mechanism])
    close = {"rel": 0, "abs": case["tolerance"]}
    checks = {
        "price": lambda want: (
            result.price[0] == pytest.approx(np.nan if want is None else want, nan_ok=True, **close)
        ),
        "buy_price": lambda want: result.buy_price[0] == pytest.approx(want, **close),
        "sell_price": lambda want: result.sell_price[0] == pytest.approx(want, **close),
        "volume": lambda want: result.volume[0] == pytest.approx(want, **close),
        "welfare": lambda want: result.welfare == pytest.approx(want, **close),
        "accepted": lambda want: result.accepted.tolist() == pytest.approx(want, **close),
        "winners": lambda want: sorted(bids.participant[result.accepted > 0]) == sorted(want),
        "paid": lambda want: (
            result.payments[list(want)].tolist() == pytest.approx(list(want.values()), **close)
        ),
        "budget_balance": lambda want: result.budget_balance == pytest.approx(want, **close),
        "trades": lambda want: _trades(result) == want,
    }
    for name, want in expected.items():
        assert checks[name](want), name


def _trades(result):
    return result.trades[["buyer", "seller", "quantity", "price"]].values.tolist()


def test_package_auction_lesson_needs_complements_which_divisible_bids_do_not_have():
    """Ausubel and Milgrom's low revenue rests on packages; here a third buyer raises it."""
    seller = {"side": ["sell"], "price": [0], "quantity": [2], "participant": ["seller"]}
    two = Bids.concat(
        [Bids(**seller), Bids(side=["buy"] * 2, price=[1, 2], quantity=[2, 1], participant=["1", "2"])]
    )
    three = Bids.concat([two, Bids(side=["buy"], price=[2], quantity=[1], participant=["3"])])
    revenue = [-gridagora.market.vickrey(bids).payments[lambda p: p < 0].sum() for bids in (two, three)]
    assert revenue == [1, 2]
