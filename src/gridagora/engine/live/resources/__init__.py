"""Kinds of records in the register: a new one is a file here and a line in `KINDS`."""

from collections.abc import Mapping
from types import MappingProxyType

from gridagora.engine.live.resources.assets import ASSET
from gridagora.engine.live.resources.forecasts import FORECAST
from gridagora.engine.live.resources.kind import Kind
from gridagora.engine.live.resources.participants import CONNECTION_POINT, ORGANISATION, PARTICIPANT
from gridagora.engine.live.resources.products import PRODUCT
from gridagora.engine.live.resources.tariffs import TARIFF

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            ORGANISATION,
            PARTICIPANT,
            CONNECTION_POINT,
            ASSET,
            PRODUCT,
            FORECAST,
            TARIFF,
        )
    }
)
"""Every kind of record by its name."""

__all__ = ["KINDS", "Kind"]
