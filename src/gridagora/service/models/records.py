"""Records of the register: participants, connection points, assets, products, forecasts, tariffs."""

from typing import Annotated, Literal

from pydantic import Field

from gridagora.service.models.base import (
    Answer,
    Ask,
    Count,
    Id,
    Kilowatts,
    Moment,
    Number,
    Place,
    Text,
)
from gridagora.service.texts import Name


class ParticipantFields(Ask):
    """Who buys and sells."""

    name: Annotated[Name, Field(examples=["Ann's house"])]
    kind: Literal["household", "business", "producer", "storage", "public"] | None = None
    organisation: Place | None = Field(None, description="organisation that it belongs to")
    aggregator: Place | None = Field(None, description="organisation that acts for it")
    email: Text | None = None
    overdraft_micro: Count | None = Field(
        None, description="micro-units that its wallet may go below zero; only the operator sets it"
    )
    street: Text | None = Field(None, description="address for its invoices")
    postcode: Text | None = None
    city: Text | None = None
    country: Text | None = Field(None, examples=["DE"])
    vat_id: Text | None = Field(None, description="number for value added tax")
    iban: Text | None = Field(None, description="account to which it is paid, capitals without spaces")
    bic: Text | None = None


class ConnectionPointFields(Ask):
    """Where a participant is on the grid."""

    participant: Place
    bus: Place = Field(description="bus of the grid", examples=["Bus R4"])
    phase: Literal[0, 1, 2, 3] = Field(0, description="0: all three")
    import_kw: Kilowatts | None = Field(None, description="most that it can take, kW")
    export_kw: Kilowatts | None = Field(None, description="most that it can give, kW")
    meter: Text | None = Field(None, description="number of its meter, as meter data name it")
    public_key: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="Ed25519; with it only signed readings are taken"
    )


class AssetFields(Ask):
    """A device behind a connection point."""

    participant: Place
    type: Literal["pv", "battery", "generator", "ev", "heat_pump", "load"]
    power_kw: Kilowatts = Field(description="rated power, kW", examples=[10.0])
    energy_kwh: Kilowatts | None = Field(None, description="usable energy of a store, kWh")
    connection_point: Place | None = None
    products: list[Place] | None = Field(None, description="products that it is to deliver")


class ProductFields(Ask):
    """What is traded, as people and prequalification see it."""

    name: Annotated[Name, Field(examples=["Cap on import"])]
    market: Literal["energy", "flexibility"]
    horizon: Literal["reservation", "activation", "adjustment"] | None = None
    direction: Literal["up", "down", "cap", "floor"] | None = None
    least_kw: Kilowatts | None = Field(None, description="smallest offer, kW")
    response_time_s: Count | None = Field(None, description="from the call to delivery, s")
    description: Text | None = None


class ForecastFields(Ask):
    """Expected net import of a participant."""

    participant: Place
    first: Count = Field(description="first period")
    kw: list[Number] = Field(
        min_length=1,
        max_length=20_000,
        description="net import, kW, + import, one for each period from first on",
    )
    method: Text | None = None


Prices = Annotated[list[Number] | None, Field(min_length=1, max_length=20_000)]


class TariffFields(Ask):
    """Prices of retailer, grid and state from a period on; a column left out keeps those of the scenario."""

    first: Count = Field(description="first period; the gate of its session must be open")
    retail: Prices = Field(None, description="what the retailer sells at, currency per kWh, by period")
    feed_in: Prices = Field(None, description="what it buys at")
    network: Prices = Field(None, description="use of the grid, on import")
    taxes: Prices = Field(None, description="on import")
    imbalance_short: Prices = Field(None, description="what lacks of the schedule; left out: with retail")
    imbalance_long: Prices = Field(None, description="what is left of it; left out: with feed_in")


class _Kept(Answer):
    id: str
    status: str
    version: int = Field(description="counts changes from 1; the ETag")
    changed_at: Moment


class Participant(ParticipantFields, _Kept):
    """A participant as it is registered."""

    name: str


class ConnectionPoint(_Kept, ConnectionPointFields):
    """A connection point as it is registered."""


class Asset(_Kept, AssetFields):
    """An asset as it is registered; "approved": it is prequalified."""

    reason: Text | None = Field(None, description="why it was rejected")


class Product(_Kept, ProductFields):
    """A product as it is registered."""

    name: str


class Forecast(_Kept, ForecastFields):
    """A forecast as it was issued."""


class Tariff(_Kept, TariffFields):
    """A tariff as it was issued."""


class NewParticipant(ParticipantFields):
    """A participant to be registered."""

    id: Id | None = Field(None, description="chosen here; made by the platform where left out")


class NewConnectionPoint(ConnectionPointFields):
    """A connection point to be registered."""

    id: Id | None = Field(None, description="chosen here; made by the platform where left out")


class NewAsset(AssetFields):
    """An asset to be registered; it waits for prequalification."""

    id: Id | None = Field(None, description="chosen here; made by the platform where left out")


class NewProduct(ProductFields):
    """A product to be registered."""

    id: Id | None = Field(None, description="chosen here; made by the platform where left out")


class NewForecast(ForecastFields):
    """A forecast to be issued."""

    id: Id | None = Field(None, description="chosen here; made by the platform where left out")


class NewTariff(TariffFields):
    """A tariff to be issued."""

    id: Id | None = Field(None, description="chosen here; made by the platform where left out")


class StatusChange(Ask):
    """Another status of a record."""

    status: Annotated[str, Field(min_length=1, max_length=20, examples=["active"])]


class Qualification(Ask):
    """The decision on an asset's prequalification."""

    decision: Literal["approve", "reject"]
    reason: Text = Field("", description="needed to reject; shown to the owner", examples=["No meter yet."])
