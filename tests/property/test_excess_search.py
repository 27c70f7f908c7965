"""Beyond 20 players the worst coalition is searched for: it is the one that listing all of them finds."""

import numpy as np
import pytest

from gridagora.market import capacity_limit_auction
from gridagora.market.payments import payments
from gridagora.market.payments.excess import excess_of
from gridagora.market.payments.game import market_of, parts, value_table
from gridagora.model.bids import Bids


@pytest.mark.parametrize("buyers", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_search_finds_the_worst_of_all_coalitions(buyers, seed):
    rng = np.random.default_rng([seed, buyers])
    count = 21
    sellers = count - buyers
    bids = Bids(
        side=[1] * 3 * buyers + [-1] * 2 * sellers,
        price=np.concatenate([rng.integers(2, 30, 3 * buyers), rng.integers(0, 28, 2 * sellers)]) * 1.0,
        quantity=np.concatenate([rng.uniform(5, 40, 3 * buyers), rng.uniform(1, 9, 2 * sellers)]),
        participant=np.concatenate(
            [np.repeat([f"d{k}" for k in range(buyers)], 3), np.repeat([f"s{k}" for k in range(sellers)], 2)]
        ),
    )
    found = payments(capacity_limit_auction(bids), rule="shapley")
    market = market_of(capacity_limit_auction(bids))
    (part,) = parts(market)
    gains = found.values.reindex(market.names).to_numpy()
    masks = np.arange(1 << count)
    total = value_table(part)
    for player, gain in enumerate(gains[part.players]):
        total = total - gain * (masks >> player & 1)
    searched = excess_of(market.names, gains, [part])
    assert not searched.is_complete
    assert searched.maximum == pytest.approx(total[1:].max(), rel=1e-9, abs=1e-6)
