"""Sums of areas: what connection points there did together."""

from typing import Literal

from pydantic import Field

from gridagora.service.models.base import Answer, Moment, WattHours


class Aggregate(Answer):
    """An area in a period: sums over its connection points, areas within it included."""

    place: str = Field(description="zone; where the market has no zones a bus, or * for all of it")
    kind: Literal["zone", "bus", "market"]
    parent: str | None = Field(description="place around it")
    session: int
    period: int
    start: Moment
    settled: bool = Field(description="false: of what was metered and traded nothing is known yet")
    withheld: Literal["few_points", "remainder"] | None = Field(
        description="why sums are not told: too few connection points, or too few that would be left of the "
        "place around it less those that are told"
    )
    points: int | None = Field(description="connection points that are counted")
    import_wh: WattHours | None = Field(description="metered, of points that took more than they gave")
    export_wh: WattHours | None = Field(description="metered, of points that gave more than they took")
    scheduled_import_wh: WattHours | None
    scheduled_export_wh: WattHours | None
    local_bought_wh: WattHours | None = Field(description="bought from other participants")
    local_sold_wh: WattHours | None
    forecast_points: int | None = Field(description="points with a forecast when the gate closed")
    forecast_wh: WattHours | None = Field(description="their expected net import, + import")
    gate_kw: float | None = Field(description="mean load of the zone's gate, + import")
    gate_import_kw: float | None = Field(description="what the gate lets in at any time")
    gate_export_kw: float | None
    limits: int = Field(description="declared limits that hold for places within")
    limit_import_kw: float | None = Field(description="sum of those of import; null: there is none")
    limit_export_kw: float | None
    breaches: int = Field(description="deliveries beyond limits")
    beyond_wh: WattHours = Field(description="energy beyond them")
