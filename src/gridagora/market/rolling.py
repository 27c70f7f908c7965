"""A market on a rolling horizon: it looks ahead, its first periods hold, the next starts from it."""

from typing import Any

from gridagora.market._network_rules import auction_rules
from gridagora.market._network_start import Warm
from gridagora.market.mechanisms.network import ParadoxRule, clear_network
from gridagora.market.network_result import NetworkResult
from gridagora.model.bids import Bids
from gridagora.model.dependencies import Rolling


class RollingMarket:
    """Network auctions one after the other, of windows that move on through time.

    The prices of a window and the limits that bound in it are where the next one starts, as far as both have
    the same periods.  Welfare and prices do not depend on it; where bids at different nodes are equally good,
    it may be another of them that is accepted.

    Parameters
    ----------
    horizon : how many periods of each window hold
    paradoxes, options : as of `network_auction`; a network with operating points must know all periods

    Notes
    -----
    Seed 003 section 3.3.1, figure 3-3: only the first trading period is binding.

    Examples
    --------
    >>> market = RollingMarket(horizon=Rolling(first_binding=1))
    >>> def window(first):
    ...     return Bids(side=["buy", "sell"] * 2, price=[0.3, 0.1, 0.3, 0.2], quantity=[1.0] * 4,
    ...                 period=[first, first, first + 1, first + 1], participant=["ann", "bob"] * 2)
    >>> [market.clear(window(first)).payments["bob"].item() for first in (0, 1)]
    [0.2, 0.2]
    """

    def __init__(
        self, *, horizon: Rolling | None = None, paradoxes: ParadoxRule = "report", **options: Any
    ) -> None:
        self._horizon = Rolling() if horizon is None else horizon
        self._paradoxes: ParadoxRule = paradoxes
        self._options = options
        self._warm: Warm | None = None

    def clear(self, bids: Bids, **options: Any) -> NetworkResult:
        """Clear a window: bids of its periods, options that differ from the market's (dependencies ...).

        Raises as `network_auction` does; then the next window starts from the last that had an answer.
        """
        rules = auction_rules(bids, **{**self._options, **options})
        result, warm = clear_network(
            bids, rules, horizon=self._horizon, paradoxes=self._paradoxes, warm=self._warm
        )
        self._warm = warm
        return result
