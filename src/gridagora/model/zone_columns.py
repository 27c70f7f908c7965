"""Columns of zone markets: what they cleared, and what controllers decided on every trade.

Zones are positions in ``ZonalClearing.zones``; homes are codes, the retailer (bulk grid) is ``len(homes)``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

STATED, APPROVED, REJECTED = 0, 1, 2
DECISIONS = ("stated", "approved", "rejected")
"""Words of the codes in ``TradeDecisions.decision``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneTrades:
    """Trades as matched in the markets of zones, one entry each, in the order in which they are decided.

    Parameters
    ----------
    period : period of the study
    market : position of the zone in whose market they were matched
    buyer, seller : codes of participants; the retailer as seller: a shortage that asks for supply
    buyer_zone, seller_zone : positions of the zones where they stand
    buy_row, sell_row : rows of the orders in the auction, from its first
    quantity_wh : whole Wh
    price : whole micro-currency per kWh
    """

    period: Ints
    market: Ints
    buyer: Ints
    seller: Ints
    buyer_zone: Ints
    seller_zone: Ints
    buy_row: Ints
    sell_row: Ints
    quantity_wh: Ints
    price: Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class ZonalClearing:
    """What the markets of zones made of a session; P periods of the session, Z zones.

    Parameters
    ----------
    zones : names, in the order of the tree
    island : (P, Z) position of the island that a zone belongs to, -1: joined to the bulk grid
    price : (P, Z) micro-currency per kWh of each zone's market, -1 where nothing was traded in it; zones of
        an island have the island's
    volume_wh : (P, Z) bought in it
    import_wh : (P, Z) net through its gate as matched, + into the zone
    not_served_wh : (P, Z) firm load that an island cannot supply, as matched
    joint_price : (P, Z) micro-currency per kWh in one joint clearing of all zones over the same gates, NaN
        in periods without a trade
    joint_import_wh : (P, Z) and what would pass the gates
    firm : (bids,) True for load that must run
    welfare, joint_welfare : (P,) by the bids' own prices, micro-currency x Wh / kWh
    trades : what was matched
    """

    zones: tuple[str, ...]
    island: Ints
    price: Ints
    volume_wh: Ints
    import_wh: Ints
    not_served_wh: Ints
    joint_price: Floats
    joint_import_wh: Floats
    firm: NDArray[np.bool_]
    welfare: Floats
    joint_welfare: Floats
    trades: ZoneTrades


@dataclass(frozen=True, kw_only=True, slots=True)
class TradeDecisions:
    """The way of each trade through the controllers: one entry per step, in order.

    Parameters
    ----------
    trade : position of the trade in `ZoneTrades`, or beyond them: in the supplies that follow
    step : 1 to 5 (`gridagora.model.zone_trades.STEPS`)
    by : position in ``names`` of who stated or decided
    decision : position in `DECISIONS`
    reason : position in ``reasons``
    names, reasons : texts
    approved : per trade, those of `ZoneTrades` first, then supplies
    supplies : shortages that follow a refused trade whose buyer must be served: what the DSO found instead,
        or the refused request
    follows : (supplies,) position of the trade in whose place each stands
    """

    trade: Ints
    step: Ints
    by: Ints
    decision: Ints
    reason: Ints
    names: tuple[str, ...]
    reasons: tuple[str, ...]
    approved: NDArray[np.bool_]
    supplies: ZoneTrades
    follows: Ints
