"""The scenario file as frozen, checked values: what each key may hold and is when left out.

An unknown key is an error.  Durations are written "15min", "1h", "7d"; times of day are local clock time.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, PrivateAttr, Tag, model_validator

from gridagora.model.study import BiddingName, ForecastName, MechanismName
from gridagora.scenario.spec_base import Spec
from gridagora.scenario.spec_flexibility import FlexibilitySpec
from gridagora.scenario.spec_zones import ZonesSpec
from gridagora.scenario.values import (
    Band,
    ClockTime,
    DataFile,
    Days,
    Duration,
    GridName,
    Moment,
    NonNegative,
    Number,
    Positive,
    Range,
    Resolution,
    Share,
    Timezone,
    Truth,
    Whole,
    custom,
    parse_duration,
    parse_moment,
)


class PeriodSpec(Spec):
    """The time that is studied: ``[start, start + length)`` or ``[start, end)``.

    A moment without an offset is local clock time; ``length`` counts days of 24 hours.
    """

    start: Moment = Field(default_factory=lambda: parse_moment("2016-05-23"))
    length: Duration | None = None
    end: Moment | None = None

    @model_validator(mode="after")
    def _one_end(self) -> "PeriodSpec":
        if self.length is not None and self.end is not None:
            raise custom("has both length and end", "keep one of the two")
        if self.length is not None and self.length <= parse_duration("0s"):
            raise custom("has no length", 'write a length such as "7d"')
        if self.end is not None and self.end.tzinfo == self.start.tzinfo and self.end <= self.start:
            raise custom("ends before it starts", "write an end after the start")
        return self


class WindowSpec(Spec):
    """A price between two clock times, on some days; ``from`` after ``to`` runs over midnight."""

    start: ClockTime = Field(default=0, alias="from")
    end: ClockTime = Field(default=1440, alias="to")
    price: Number
    days: Days = frozenset(range(7))

    @model_validator(mode="after")
    def _has_length(self) -> "WindowSpec":
        if self.start == self.end:
            raise custom(
                "starts when it ends", 'leave out from and to for the whole day, or write "00:00", "24:00"'
            )
        return self


class SeriesSpec(Spec):
    """A price series in a file: column ``time`` and one column of prices per kWh or MWh."""

    file: DataFile
    column: str = "price"
    timezone: Timezone | None = None
    per: Literal["kWh", "MWh"] = "kWh"


PRICE_TAGS = frozenset({"<flat>", "<windows>", "<series>"})
HOMES_TAGS = frozenset({"<listed>", "<sized>"})
"""Pydantic's names of alternatives, which are no keys of the file."""


def _price_tag(value: Any) -> str:
    """Say which kind of price a value is, so that its faults are told about that kind alone."""
    if isinstance(value, list | tuple):
        return "<windows>"
    if isinstance(value, dict | SeriesSpec):
        return "<series>"
    return "<flat>"


PriceSpec = Annotated[
    Annotated[Number, Tag("<flat>")]
    | Annotated[tuple[WindowSpec, ...], Field(min_length=1), Tag("<windows>")]
    | Annotated[SeriesSpec, Tag("<series>")],
    Discriminator(_price_tag),
]


class ImbalanceSpec(Spec):
    """Price of what was not traded: retail plus, feed-in minus ``spread`` unless prices are given.

    ``netted``: the participants are one balance group (`gridagora.settlement.settle.group_price`).
    """

    spread: NonNegative = 0.02
    netted: Truth = True
    short: PriceSpec | None = None
    long: PriceSpec | None = None


class TariffSpec(Spec):
    """Prices outside the local market, currency per kWh; each is a number, a list of windows or a series."""

    retail: PriceSpec = 0.18
    feed_in: PriceSpec = 0.08
    network: PriceSpec = 0.10
    taxes: PriceSpec = 0.05
    local_network_share: Share = 1.0
    standing_per_day: Number = 0.0
    imbalance: ImbalanceSpec = ImbalanceSpec()
    currency: Annotated[str, Field(min_length=1)] = "EUR"


def _homes_tag(value: Any) -> str:
    """Say whether homes are listed or given a size each."""
    return "<sized>" if isinstance(value, dict) else "<listed>"


HomesSpec = Annotated[
    Annotated[tuple[str, ...], Tag("<listed>")] | Annotated[dict[str, Positive], Tag("<sized>")],
    Discriminator(_homes_tag),
]


class HoldersSpec(Spec):
    """Who has a device: a share of the homes drawn with the seed, or homes by id (with sizes or not)."""

    share: Share | None = None
    homes: HomesSpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_way(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("share") is not None and data.get("homes") is not None:
            raise custom("has both share and homes", "keep one: a share to draw, or the homes by id")
        return data


class PvSpec(HoldersSpec):
    """Photovoltaics: SimBench profile PV1 ... PV8 x kWp; without ``profile`` each home draws one."""

    size_kwp: Range = (4.0, 10.0)
    profile: str | None = None


class BatterySpec(HoldersSpec):
    """Batteries; a share is one of the homes with photovoltaics.  Sized by ``size_kwh``, else by kWp."""

    size_kwh: Range | None = None
    kwh_per_kwp: Range = (0.8, 1.2)
    kw_per_kwh: Positive = 0.5
    efficiency: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.95
    initial_share: Share = 0.5


class EvSpec(HoldersSpec):
    """Electric vehicles, charged at home; their stays are drawn (`gridagora.scenario.ev`)."""

    charge_kw: Range = (11.0, 11.0)
    kwh_per_day: Range = (4.0, 10.0)
    efficiency: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.92


class HeatPumpSpec(HoldersSpec):
    """Heat pumps with a store; heat demand from SimBench's heat pump profiles (`gridagora.scenario.heat`)."""

    electric_kw: Range = (2.0, 4.0)
    tank_kwh: Range = (8.0, 16.0)
    source: Literal["air", "soil", "mixed"] = "mixed"


class ParticipantSpec(Spec):
    """One participant by hand; the same columns as a participants file."""

    participant: Annotated[str, Field(min_length=1)]
    bus: Annotated[str, Field(min_length=1)]
    kind: str = "household"
    profile: str | None = None
    load_kw: NonNegative | None = None
    phase: Literal[1, 2, 3] | None = None
    pv_kwp: NonNegative = 0.0
    pv_profile: str | None = None
    battery_kwh: NonNegative = 0.0
    battery_kw: NonNegative | None = None
    ev_kw: NonNegative = 0.0
    ev_kwh_per_day: NonNegative | None = None
    heat_pump_kw: NonNegative = 0.0
    tank_kwh: NonNegative | None = None
    import_limit_kw: NonNegative | None = None
    export_limit_kw: NonNegative | None = None
    passive: Truth = False


class ParticipantsSpec(Spec):
    """Who takes part: the grid's loads (default), a participants file, or a list; and who has which device.

    ``assets`` "shares" equips homes by the device entries below and leaves the grid's own plants out.
    ``assets`` "simbench" takes the plants, storages, heat pumps and vehicles of the SimBench grid (codes of
    scenario 1 and 2 have them all), and adds the entries below only where they are written.
    ``home_kw`` splits a load without a profile of its own into homes; null keeps it whole.
    """

    assets: Literal["shares", "simbench"] = "shares"
    file: DataFile | None = None
    listed: tuple[ParticipantSpec, ...] | None = Field(default=None, alias="list")
    pv: PvSpec = PvSpec()
    battery: BatterySpec = BatterySpec()
    ev: EvSpec = EvSpec()
    heat_pump: HeatPumpSpec = HeatPumpSpec()
    load_scale: NonNegative = 1.0
    home_kw: Positive | None = 5.0
    passive_share: Share = 0.0
    import_limit_kw: NonNegative | None = None
    export_limit_kw: NonNegative | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "ParticipantsSpec":
        if self.file is not None and self.listed is not None:
            raise custom("has both file and list", "keep one of the two")
        if self.listed == ():
            raise custom("lists no participant", "add one, or leave list out to take the grid's loads")
        return self


class ProfilesSpec(Spec):
    """Where profiles come from: SimBench's year 2016, or a file with a column per profile in kW."""

    source: Literal["simbench", "files"] = "simbench"
    file: DataFile | None = None
    timezone: Timezone | None = None
    power_factor: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.95

    @model_validator(mode="after")
    def _file_given(self) -> "ProfilesSpec":
        if (self.source == "files") != (self.file is not None):
            raise custom(
                "needs source: files and a file together", "write both, or neither for SimBench's profiles"
            )
        return self


class MarketSpec(Spec):
    """How the local pool works: a session auctions ``session`` at once, ``gate_lead`` before it begins.

    ``grid_margin``, ``hold_from`` and ``price_losses`` are for the mechanism "network" alone: the share of
    every limit that is kept free for what forecasts miss; the used share of a limit from which homes are held
    to what they sold; whether prices contain marginal losses.
    """

    mechanism: MechanismName = "pay_as_cleared"
    session: Duration = Field(default_factory=lambda: parse_duration("1h"))
    gate_lead: Duration = Field(default_factory=lambda: parse_duration("0min"))
    islanded: Truth = False
    import_limit_kw: NonNegative | None = None
    export_limit_kw: NonNegative | None = None
    value_of_lost_load: NonNegative = 10.0
    grid_margin: Annotated[float, Field(strict=True, ge=0, lt=1)] = 0.0
    hold_from: Share = 0.8
    price_losses: Truth = False

    @model_validator(mode="after")
    def _knows_the_wires(self) -> "MarketSpec":
        if self.mechanism == "network" and self.islanded:
            fix = "leave out islanded, or choose another mechanism"
            raise custom("an island has no upstream grid for the network market", fix)
        return self


class AgentsSpec(Spec):
    """How homes plan and bid."""

    ems: Literal["rule_based", "optimal"] = "rule_based"
    bidding: BiddingName = "truthful"
    forecast: ForecastName = "blended"
    horizon: Duration = Field(default_factory=lambda: parse_duration("1d"))
    replan: Duration = Field(default_factory=lambda: parse_duration("1h"))
    margin: NonNegative = 0.05


class LimitsSpec(Spec):
    """What the grid bears: voltage band per unit, loading in percent of rated current."""

    voltage: Band = (0.9, 1.1)
    line_loading_percent: Positive = 100.0
    transformer_loading_percent: Positive = 100.0


class ScenarioSpec(Spec):
    """A scenario file, checked.

    Examples
    --------
    >>> ScenarioSpec(grid="1-LV-rural1--0-sw").market.mechanism
    'pay_as_cleared'
    """

    name: Annotated[str, Field(min_length=1)] = "scenario"
    description: str = ""
    grid: GridName
    period: PeriodSpec = Field(default_factory=PeriodSpec)
    resolution: Resolution = Field(default_factory=lambda: parse_duration("15min"))
    timezone: Timezone = "Europe/Berlin"
    seed: Annotated[Whole, Field(ge=0)] = 0
    participants: ParticipantsSpec = ParticipantsSpec()
    profiles: ProfilesSpec = ProfilesSpec()
    tariffs: TariffSpec = TariffSpec()
    market: MarketSpec = MarketSpec()
    agents: AgentsSpec = AgentsSpec()
    limits: LimitsSpec = LimitsSpec()
    flexibility: FlexibilitySpec | None = None
    zones: ZonesSpec | None = None
    _origin: str = PrivateAttr(default="scenario")
    _lines: dict[str, int] = PrivateAttr(default_factory=dict)
    _moved: dict[str, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _homes_plan(cls, data: Any) -> Any:
        """Let homes plan where they are to offer flexibility, if the scenario does not say how they do."""
        if not isinstance(data, dict) or data.get("flexibility") is None:
            return data
        agents = data.get("agents")
        if agents is not None and not isinstance(agents, dict):
            return data
        return {**data, "agents": {"ems": "optimal", **(agents or {})}}

    @model_validator(mode="after")
    def _values_are_bid(self) -> "ScenarioSpec":
        if self.market.mechanism == "network" and self.agents.bidding != "truthful":
            fix = "write agents.bidding: truthful, or choose another mechanism"
            raise custom("needs bids of what energy is worth for mechanism: network", fix)
        return self

    @property
    def origin(self) -> str:
        """Name of the file that the scenario came from, for faults."""
        return self._origin

    def place_of(self, key: str) -> str:
        """Return a dotted key as the file that the scenario came from has it, with its line there."""
        line, told = self._lines.get(key), self._moved.get(key, key)
        return told if line is None else f"line {line}, {told}"

    def read_from(
        self, origin: str, lines: dict[str, int], moved: dict[str, str] | None = None
    ) -> "ScenarioSpec":
        """Return the same scenario, noted as read from a file.

        Parameters
        ----------
        origin : name of the file
        lines : line of each dotted key
        moved : keys whose list has lost items before them, and what they are in the file
        """
        copy = self.model_copy()
        copy._origin, copy._lines, copy._moved = origin, lines, moved or {}
        return copy
