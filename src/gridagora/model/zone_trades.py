"""A trade on its way through the zones' controllers: what is asked, and what each of them decides and why."""

from dataclasses import dataclass
from typing import Literal

Decision = Literal["stated", "approved", "rejected"]

STEPS = {
    1: "the parties state quantity, period and price to their local controller",
    2: "the local controller verifies the data",
    3: "the local controller checks the grid inside its zone and what may leave it",
    4: "the other zone's local controller checks and accepts, the DSO approves",
    5: "a shortage asks the DSO for supply from another zone or the bulk grid at the approved price",
}
"""The steps of a trade (MARKETS.md section 5, seed 000 section 4.2.3)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TradeRequest:
    """A trade that two parties ask for, or a shortage: a buyer without a seller.

    Parameters
    ----------
    trade : unique id
    buyer, buyer_zone : who buys, and the zone in which it stands
    seller, seller_zone : who sells and where; both "" in a shortage
    period : period of delivery
    quantity_kwh : > 0
    price : currency per kWh; of a shortage the highest that is paid
    at : when it is stated, seconds
    supply_otherwise : the buyer wants supply by the DSO (step 5) should a grid not let the trade through

    Examples
    --------
    >>> TradeRequest(trade="t1", buyer="ann", buyer_zone="east", period=3, quantity_kwh=2.0, price=0.2,
    ...              at=0).is_shortage
    True
    """

    trade: str
    buyer: str
    buyer_zone: str
    seller: str = ""
    seller_zone: str = ""
    period: int
    quantity_kwh: float
    price: float
    at: int
    supply_otherwise: bool = False

    @property
    def is_shortage(self) -> bool:
        """True when there is no seller: the DSO is to find one."""
        return not self.seller


@dataclass(frozen=True, kw_only=True, slots=True)
class Supply:
    """Energy that a zone, or the bulk grid, could give a zone that lacks it; currency per kWh."""

    zone: str
    quantity_kwh: float
    price: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Approval:
    """One step of a trade's way.

    Parameters
    ----------
    step : 1 to 5, see `STEPS`
    by : name of the zone whose controller decided; in step 1 the buyer
    decision : "stated" (step 1), "approved" or "rejected"
    reason : why, in words
    at : when, seconds
    supply : in step 5, what was approved
    """

    step: int
    by: str
    decision: Decision
    reason: str
    at: int
    supply: Supply | None = None
