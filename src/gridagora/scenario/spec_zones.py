"""The section ``zones`` of a scenario file: markets and controllers of zones, their gates and islands.

`gridagora.scenario.zones` and `gridagora.adapters.zones` turn it into the numbers of a study.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gridagora.scenario.spec_base import Spec
from gridagora.scenario.values import (
    DataFile,
    Moment,
    NonNegative,
    Number,
    Positive,
    Timezone,
    Whole,
    custom,
)


class ZoneWindowSpec(Spec):
    """A zone and a time ``[start, end)``; without an end of its own it lasts as long as the study."""

    zone: Annotated[str, Field(min_length=1)]
    start: Moment | None = Field(default=None, alias="from")
    end: Moment | None = Field(default=None, alias="to")

    @model_validator(mode="after")
    def _ends_later(self) -> "ZoneWindowSpec":
        start, end = self.start, self.end
        if start is not None and end is not None and start.tzinfo == end.tzinfo and end <= start:
            raise custom("ends before it starts or at once", "write a time to that is after from")
        return self


class GateLimitSpec(ZoneWindowSpec):
    """What may pass the gate of a zone, instead of its rating: numbers, or the columns of a file."""

    import_kw: NonNegative | None = None
    export_kw: NonNegative | None = None
    file: DataFile | None = None
    timezone: Timezone | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "GateLimitSpec":
        numbers = self.import_kw is not None or self.export_kw is not None
        if numbers and self.file is not None:
            raise custom("has both numbers and a file", "keep import_kw and export_kw, or the file")
        if not numbers and self.file is None:
            raise custom("limits nothing", "write import_kw, export_kw or both, or the file of a series")
        if self.timezone is not None and self.file is None:
            raise custom("has a timezone without a file", "leave timezone out: from and to are local time")
        return self


class ControllersSpec(Spec):
    """What every local controller demands of a trade."""

    lowest_price: Number | None = None
    highest_price: Number | None = None
    most_kwh: Positive | None = None

    @model_validator(mode="after")
    def _leaves_prices(self) -> "ControllersSpec":
        low, high = self.lowest_price, self.highest_price
        if low is not None and high is not None and low > high:
            raise custom("has its lowest_price above its highest_price", "exchange the two")
        return self


class ZonesSpec(Spec):
    """Which zones there are and how they trade; a scenario with this section has the mechanism "zonal".

    ``loading_percent`` null: the lower one of the scenario's limits of lines and transformers.
    """

    origin: Literal["feeders", "table", "distance"] = Field(default="feeders", alias="from")
    lv_feeders: Literal["station", "outgoing"] = "station"
    sources: tuple[str, ...] | None = None
    file: DataFile | None = None
    count: Annotated[Whole, Field(ge=1)] | None = None
    gates: Literal["ratings", "none"] = "ratings"
    loading_percent: Positive | None = None
    limits: tuple[GateLimitSpec, ...] = ()
    islands: tuple[ZoneWindowSpec, ...] = ()
    controllers: ControllersSpec = ControllersSpec()
