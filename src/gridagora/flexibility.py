"""All that a flexibility market of your own needs, in one place: the market, its commands, what they carry.

`FlexMarket` takes a command and answers with an event, or refuses it with every fault::

    from gridagora import flexibility as flex

    market = flex.FlexMarket(flex.MemoryStore())
    market.do(flex.OpenFlexMarket(at=..., terms=flex.FlexMarketTerms(...)))

The how-to page "Run a flexibility market" goes through all horizons and products.
"""

from gridagora.adapters.stores import MemoryStore
from gridagora.agents.offers import bids_of, capacity_offers
from gridagora.engine.feasible import Relief, ScheduleCheck
from gridagora.engine.flexibility.commands import (
    AddFlexSeller,
    AwardTender,
    CallReservations,
    CancelFlexOrder,
    ClearFlexAuction,
    CloseFlexGate,
    DecideTender,
    DispatchContract,
    DropFlexSeller,
    FlexCommand,
    OpenFlexAuction,
    OpenFlexMarket,
    OpenTender,
    PairRedispatch,
    RecordFlexReadings,
    ReleaseReservation,
    SettleFlexPeriods,
    SubmitFlexBids,
    SubmitFlexOrder,
    SubmitRedispatchOrder,
    SubmitTenderBid,
    WithdrawFlexBids,
    WithdrawRedispatchOrder,
    WithdrawTenderBids,
)
from gridagora.engine.flexibility.machine import FlexMarket, replay
from gridagora.engine.flexibility.state import FlexMarketState
from gridagora.grid import (
    DsoCosts,
    NeedRules,
    PointForecast,
    Rebound,
    demand_curve,
    find_need,
    needed_quantity,
    value_of_cut,
)
from gridagora.market import capacity_limit_auction, check_offers
from gridagora.market.mechanisms.redispatch_pairs import RedispatchResult, pair_redispatch
from gridagora.market.mechanisms.tender import TenderResult, award_tender
from gridagora.market.payments import payments
from gridagora.model.bids import Bids
from gridagora.model.continuous import FlexBid, FlexTrade
from gridagora.model.flexibility import FlexOffer, FlexProduct, OfferStep
from gridagora.model.flexibility_events import FlexEvent
from gridagora.model.flexibility_market import (
    ConnectionPoint,
    ContractRules,
    FlexAuction,
    FlexMarketTerms,
    RedispatchOrder,
)
from gridagora.model.reservation import FlexContract, Tender, TenderBid, Trigger
from gridagora.model.study import GridLimits

__all__ = [
    "AddFlexSeller",
    "AwardTender",
    "Bids",
    "CallReservations",
    "CancelFlexOrder",
    "ClearFlexAuction",
    "CloseFlexGate",
    "ConnectionPoint",
    "ContractRules",
    "DecideTender",
    "DispatchContract",
    "DropFlexSeller",
    "DsoCosts",
    "FlexAuction",
    "FlexBid",
    "FlexCommand",
    "FlexContract",
    "FlexEvent",
    "FlexMarket",
    "FlexMarketState",
    "FlexMarketTerms",
    "FlexOffer",
    "FlexProduct",
    "FlexTrade",
    "GridLimits",
    "MemoryStore",
    "NeedRules",
    "OfferStep",
    "OpenFlexAuction",
    "OpenFlexMarket",
    "OpenTender",
    "PairRedispatch",
    "PointForecast",
    "Rebound",
    "RecordFlexReadings",
    "RedispatchOrder",
    "RedispatchResult",
    "ReleaseReservation",
    "Relief",
    "ScheduleCheck",
    "SettleFlexPeriods",
    "SubmitFlexBids",
    "SubmitFlexOrder",
    "SubmitRedispatchOrder",
    "SubmitTenderBid",
    "Tender",
    "TenderBid",
    "TenderResult",
    "Trigger",
    "WithdrawFlexBids",
    "WithdrawRedispatchOrder",
    "WithdrawTenderBids",
    "award_tender",
    "bids_of",
    "capacity_limit_auction",
    "capacity_offers",
    "check_offers",
    "demand_curve",
    "find_need",
    "needed_quantity",
    "pair_redispatch",
    "payments",
    "replay",
    "value_of_cut",
]
