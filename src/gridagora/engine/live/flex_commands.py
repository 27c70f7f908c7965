"""Commands of a live market about flexibility that are more than one of the flexibility market's own."""

from collections.abc import Mapping
from dataclasses import dataclass

from numpy.typing import ArrayLike

from gridagora.model.bids import Bids
from gridagora.model.columns import Floats
from gridagora.model.flexibility_market import FlexAuction


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestFlexibility:
    """Announce an auction of flexibility and bid in it what is needed: both, or nothing.

    The auction gets the number that follows the last one's; ``bids`` are as in `SubmitFlexBids`.
    """

    at: int
    auction: FlexAuction
    bids: Bids | Mapping[str, ArrayLike]


@dataclass(frozen=True, kw_only=True, slots=True)
class RelieveArea:
    """Pair orders that wait inside an area with opposite ones outside, if the grid carries them.

    Parameters
    ----------
    buyer : the grid operator that pays the spread
    inside : participants within the congested area
    relieves : "import": those inside sell, as the area imports too much; "export": they buy
    periods, needed_kw : relief that is needed at the meters inside, by period
    """

    at: int
    buyer: str
    inside: tuple[str, ...]
    relieves: str
    periods: tuple[int, ...]
    needed_kw: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SettleFlexibility:
    """Settle [first, first + count) of the flexibility market by readings: recorded and settled, or nothing.

    ``metered_kw`` and ``baseline_kw`` are as in `RecordFlexReadings`.
    """

    at: int
    first: int
    count: int
    metered_kw: Floats
    baseline_kw: Floats | None = None


FlexibilityCommand = RequestFlexibility | RelieveArea | SettleFlexibility
