"""Meter readings, deliveries, settlements, disputes."""

from typing import Annotated, Any, Literal

from pydantic import Field

from gridagora.service.models.base import (
    Answer,
    Ask,
    Count,
    Id,
    Micro,
    Moment,
    Money,
    Place,
    Text,
    WattHours,
)

Quality = Literal["measured", "estimated", "corrected"]
MOST_READINGS = 10_000
MOST_ROWS = 200_000
"""Rows of a request that becomes a job."""


class NewReading(Ask):
    """Energy through the meter of a participant in one period; say the period by number or start."""

    participant: Place
    period: Count | None = None
    start: Moment | None = None
    import_wh: Count = Field(description="taken from the grid, whole Wh")
    export_wh: Count = Field(0, description="given to the grid, whole Wh")
    quality: Quality = "measured"
    signature: str | None = Field(
        None,
        pattern="^[0-9a-f]{128}$",
        description="Ed25519, needed where the connection point has a key; of source api, no meter, quality "
        "measured where it is corrected",
    )


class BulkReadings(Ask):
    """Many readings; all are taken or none."""

    readings: Annotated[list[NewReading], Field(min_length=1, max_length=MOST_READINGS)]


class ManyReadings(Ask):
    """Very many readings: each is taken or refused by itself."""

    readings: Annotated[list[Any], Field(min_length=1, max_length=MOST_ROWS)]


class MeterFinding(Answer):
    """What the rules of meter data found."""

    rule: str
    point: str
    first: Moment | None
    done: str


class Finding(Answer):
    """What was found in the readings of a participant."""

    id: str
    participant: str
    rule: str = Field(
        description="rule of meter data, such as gap or clock_drift, or the code of what was refused"
    )
    moment: Moment = Field(description="what it is about; when it was found where that is not known")
    found_at: Moment
    source: str = Field(description="api, file or mqtt; estimate and schedule are the market's own readings")
    estimated: bool = Field(description="the market put an estimate in the place of what lacked")
    text: str


class SeriesFinding(Answer):
    """What the rules of meter data find in the readings that count, over a span of time."""

    rule: str
    begin: Moment
    end: Moment
    value: float
    limit: float | None
    readings: int
    done: str


class SeriesCheck(Answer):
    """The readings that count for a participant, checked as one series."""

    participant: str
    begin: Moment
    end: Moment
    periods: int
    measured: int = Field(description="periods that were measured")
    estimated: int = Field(description="periods with an estimate, the sender's or the market's")
    usable: bool = Field(description="enough was measured to settle by")
    findings: list[SeriesFinding]


class ReadingsAnswer(Answer):
    """Readings that were taken, and what was found in those that were not."""

    taken: int
    at: Moment
    findings: list[MeterFinding] = Field(default=[])


class MeterConnection(Answer):
    """The connection to a broker of meter readings, and counts since the service began."""

    connection: str = Field(description="what was last heard of it; empty where there is none")
    messages: int
    readings: int
    findings: int = Field(description="told to the participants concerned")
    unknown: int = Field(description="messages of points that nobody registered")


class Reading(Answer):
    """The reading that counts for a participant and period."""

    participant: str
    period: int
    start: Moment
    import_wh: WattHours
    export_wh: WattHours
    quality: Quality


class Delivery(Answer):
    """What was delivered of a schedule in a settled period."""

    participant: str
    session: int
    period: int
    start: Moment
    scheduled_wh: int = Field(description="net import that was scheduled, Wh")
    metered_wh: int = Field(description="net import by the meter, Wh")
    difference_wh: int = Field(description="metered less scheduled, Wh")


class SettlementLine(Answer):
    """Money and energy of a participant in a settled session; + received, - paid."""

    participant: str
    session: int
    settled_at: Moment
    traded_wh: WattHours
    local_bought_wh: WattHours
    local_sold_wh: WattHours
    energy_micro: Micro
    retail_micro: Micro
    imbalance_micro: Micro
    network_micro: Micro
    taxes_micro: Micro
    total: Money
    total_micro: Micro
    corrections: int = Field(description="how often it was settled again")


class NewDispute(Ask):
    """A dispute about the settlement of a session."""

    id: Id | None = Field(None, description="chosen here; made by the platform where left out")
    session: Count
    participant: Place
    reason: Annotated[Text, Field(min_length=1, examples=["The meter was exchanged on that day."])]


class DisputeDecision(Ask):
    """The operator's decision; ``settle_again`` books what the readings known now change."""

    accepted: bool
    settle_again: bool = False
    reason: Text = ""


class Dispute(Answer):
    """A dispute; ``open`` until the operator decides."""

    id: str
    session: int
    participant: str
    reason: str
    raised_at: Moment
    open: bool
