"""Commands: what the engine is asked to do, in the imperative.

Arrays have one entry per bid or (periods, homes).
"""

from dataclasses import dataclass

from gridagora.engine.timetable import MarketSession
from gridagora.model.bids import Bids
from gridagora.model.columns import DeviceColumns, Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenMarket:
    """Open the market of a study."""

    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ClearAuction:
    """Clear a session: the homes' bids (participant = home number, currency per kWh, kWh), retailer apart.

    A market that knows wires or zones also needs what loads them without a bid: the planned net import of
    homes that do not trade, kW, and the reactive import of all, kvar, shape (periods, homes).
    """

    at: int
    session: MarketSession
    bids: Bids
    fixed_kw: Floats | None = None
    net_kvar: Floats | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DecideTrades:
    """Let the controllers of zones decide on every trade of a cleared session.

    ``fixed_kw`` and ``net_kvar`` as in `ClearAuction`.
    """

    at: int
    session: MarketSession
    fixed_kw: Floats
    net_kvar: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckSchedule:
    """Check the cleared schedule of a session by power flow.

    Net import kW and kvar, shape (periods, homes).
    """

    at: int
    session: MarketSession
    net_kw: Floats
    net_kvar: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordDelivery:
    """Record what meters and devices of a session's periods showed, kW and kWh, shape (periods, homes)."""

    at: int
    session: MarketSession
    cleared_kw: Floats
    metered_kw: Floats
    devices: DeviceColumns


@dataclass(frozen=True, kw_only=True, slots=True)
class SettleSession:
    """Settle a delivered session."""

    at: int
    session: MarketSession


Command = OpenMarket | ClearAuction | DecideTrades | CheckSchedule | RecordDelivery | SettleSession
