"""Version 1 of the market's resources."""

from fastapi import APIRouter

from gridagora.service.api.v1 import (
    accounts,
    aggregates,
    bids,
    contracts,
    delivery,
    findings,
    flexibility,
    invoices,
    limits,
    market,
    metering,
    notifications,
    operations,
    payments,
    proofs,
    redispatch,
    settlements,
    stream,
    tenders,
    trades,
)
from gridagora.service.api.v1.register import SHELVES, qualification_router, shelf_router

ROUTERS: tuple[APIRouter, ...] = (
    bids.short,
    market.api,
    operations.api,
    *(shelf_router(shelf) for shelf in SHELVES),
    qualification_router(),
    bids.api,
    trades.api,
    limits.api,
    aggregates.api,
    metering.api,
    findings.api,
    settlements.api,
    payments.api,
    invoices.api,
    accounts.api,
    notifications.api,
    proofs.api,
    flexibility.api,
    tenders.api,
    contracts.api,
    delivery.api,
    redispatch.api,
    stream.api,
)
"""The routers of the market's resources."""
