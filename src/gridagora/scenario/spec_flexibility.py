"""The section ``flexibility`` of a scenario file: the market in which a grid operator buys limits from homes.

`gridagora.scenario.flexibility` turns it into the numbers of a study.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gridagora.model.flexibility_study import DemandName, PaymentName, SettlementName
from gridagora.scenario.spec_base import Spec
from gridagora.scenario.values import (
    ClockTime,
    Duration,
    NonNegative,
    Number,
    Positive,
    Whole,
    custom,
    parse_duration,
)

Level = Annotated[float, Field(strict=True, gt=0, lt=1)]


class FlexProductSpec(Spec):
    """What is sold: a limit on import (``cap``) or on export (``floor``); ``min_duration`` null: a period."""

    direction: Literal["cap", "floor"] = "cap"
    min_duration: Duration | None = None
    max_duration: Duration | None = None
    max_activations_per_day: Annotated[Whole, Field(ge=1)] | None = None
    min_rest: Duration = Field(default_factory=lambda: parse_duration("0min"))
    response_time: Duration = Field(default_factory=lambda: parse_duration("0min"))

    @model_validator(mode="after")
    def _longest_is_longer(self) -> "FlexProductSpec":
        shortest, longest = self.min_duration, self.max_duration
        if longest is not None and longest < (shortest or longest):
            raise custom("has a max_duration below its min_duration", "raise the one, or lower the other")
        return self


class FlexCostsSpec(Spec):
    """What the operator's costs are (`gridagora.grid.DsoCosts`); a part whose price is 0 is not counted."""

    energy_price: NonNegative = 0.10
    replacement_cost: NonNegative = 20_000.0
    ambient_c: Number = 20.0
    value_of_lost_load: NonNegative = 10.0
    emergency_percent: Positive = 120.0
    trip_percent: Positive = 150.0
    outage_hours: NonNegative = 1.0
    investment: NonNegative = 0.0
    deferral_years: NonNegative = 5.0
    discount_rate: NonNegative = 0.05
    kw_periods_per_year: Positive | None = None
    capacity_fee: NonNegative = 0.0
    fee_peaks: Annotated[Whole, Field(ge=1)] = 1
    curtailed_price: NonNegative = 0.0
    curtailed_penalty: NonNegative = 0.0


class ReservationSpec(Spec):
    """The long-term auction: what is reserved before the study begins, for a window of every day."""

    need_kw: Positive
    start: ClockTime = Field(default=17 * 60, alias="from")
    end: ClockTime = Field(default=21 * 60, alias="to")
    fee_cap: NonNegative = 0.02
    fee_asked: NonNegative = 0.005
    activation_cap: NonNegative = 0.5
    lead: Duration = Field(default_factory=lambda: parse_duration("0min"))

    @model_validator(mode="after")
    def _has_length(self) -> "ReservationSpec":
        if self.start >= self.end:
            raise custom(
                "ends before it starts or at once",
                'write a window of one day, e.g. from: "17:00", to: "21:00"',
            )
        return self


class FlexibilitySpec(Spec):
    """How the flexibility market works; a scenario with this section has no local pool.

    ``payment`` null: uniform, or pay-as-bid where the demand is ordered (``probability``) and no uniform
    price need suit everyone.
    """

    buyer: Annotated[str, Field(min_length=1)] = "DSO"
    demand: DemandName = "rebound_aware"
    compare: tuple[DemandName, ...] = ()
    payment: PaymentName | None = None
    settlement: SettlementName = "capacity_limit"
    threshold_percent: Positive = 95.0
    margin_percent: NonNegative = 1.0
    planning_level: Level = 0.5
    forecast_error: NonNegative = 0.0
    gate_closure: Duration = Field(default_factory=lambda: parse_duration("1h"))
    rebound: Duration = Field(default_factory=lambda: parse_duration("12h"))
    horizon: Duration = Field(default_factory=lambda: parse_duration("36h"))
    tolerance_kw: NonNegative = 0.1
    penalty_per_kwh: NonNegative = 0.5
    activation_cost: NonNegative = 0.0
    price_cap: NonNegative | None = 1.0
    product: FlexProductSpec = Field(default_factory=FlexProductSpec)
    costs: FlexCostsSpec = FlexCostsSpec()
    reservation: ReservationSpec | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "FlexibilitySpec":
        if self.demand == "probability" and self.payment == "uniform":
            raise custom(
                "asks for uniform prices of ordered steps (demand: probability), which have none",
                "write payment: pay_as_bid, vcg, vcg_one_sided or shapley, or leave payment out",
            )
        if self.margin_percent >= self.threshold_percent:
            raise custom("has a margin_percent that leaves nothing of threshold_percent", "lower the margin")
        return self
