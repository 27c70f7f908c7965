"""From the section ``flexibility`` of a scenario to the rules of a study, and what must hold beside it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from gridagora.errors import Fault
from gridagora.model.flexibility import FlexProduct
from gridagora.model.flexibility_study import FlexCosts, FlexRules, ReservationRules
from gridagora.model.time import SECONDS_PER_HOUR
from gridagora.scenario.district import HomePlan
from gridagora.scenario.spec import ScenarioSpec
from gridagora.scenario.spec_flexibility import FlexibilitySpec, ReservationSpec
from gridagora.scenario.values import clock_text, duration_text

POOL_AGENTS = ("bidding", "margin")
"""Keys of ``agents`` that only bids to the pool use."""

ONE_MARKET = "a study runs the pool or the flexibility market"


def flex_rules(spec: ScenarioSpec) -> FlexRules | None:
    """Return the rules of the flexibility market, or None where the scenario has a pool.

    >>> flex_rules(ScenarioSpec(grid="cigre-lv")) is None
    True
    >>> flex_rules(ScenarioSpec(grid="cigre-lv", flexibility={"horizon": "1d"})).horizon_periods
    96
    """
    flex, mtu = spec.flexibility, spec.resolution
    if flex is None:
        return None
    payment = flex.payment or ("pay_as_bid" if flex.demand == "probability" else "uniform")
    return FlexRules(
        buyer=flex.buyer,
        product=_product(flex, mtu),
        demand=flex.demand,
        compare=tuple(dict.fromkeys(name for name in flex.compare if name != flex.demand)),
        payment=payment,
        settlement=flex.settlement,
        threshold_percent=flex.threshold_percent,
        margin_percent=flex.margin_percent,
        planning_level=flex.planning_level,
        forecast_error=flex.forecast_error,
        gate_closure_periods=flex.gate_closure // mtu,
        rebound_hours=flex.rebound.total_seconds() / SECONDS_PER_HOUR,
        horizon_periods=flex.horizon // mtu,
        tolerance_kw=flex.tolerance_kw,
        penalty_per_kwh=flex.penalty_per_kwh,
        activation_cost=flex.activation_cost,
        price_cap=flex.price_cap,
        costs=FlexCosts(**flex.costs.model_dump()),
        reservation=_reservation(flex.reservation, mtu),
    )


def _product(flex: FlexibilitySpec, mtu: timedelta) -> FlexProduct:
    """Return the product with its durations in periods."""
    chosen = flex.product
    return FlexProduct(
        direction=chosen.direction,
        min_duration=1 if chosen.min_duration is None else chosen.min_duration // mtu,
        max_duration=None if chosen.max_duration is None else chosen.max_duration // mtu,
        max_activations_per_day=chosen.max_activations_per_day,
        min_rest=chosen.min_rest // mtu,
        response_time_s=chosen.response_time.total_seconds(),
    )


def _reservation(chosen: ReservationSpec | None, mtu: timedelta) -> ReservationRules | None:
    """Return the long-term auction, its lead in periods."""
    if chosen is None:
        return None
    return ReservationRules(
        need_kw=chosen.need_kw,
        first_minute=chosen.start,
        last_minute=chosen.end,
        fee_cap=chosen.fee_cap,
        fee_asked=chosen.fee_asked,
        activation_cap=chosen.activation_cap,
        lead_periods=chosen.lead // mtu,
    )


def flexibility_key_faults(spec: ScenarioSpec) -> list[Fault]:
    """Tell keys beside ``flexibility`` that only the pool uses, and durations off the periods."""
    flex = spec.flexibility
    if flex is None:
        return []
    faults = list(_pool_faults(spec))
    faults += _duration_faults(spec, flex)
    if flex.reservation is not None:
        faults += _window_faults(spec, flex.reservation)
    return faults


def _pool_faults(spec: ScenarioSpec) -> Iterator[Fault]:
    """Tell what a flexibility market makes no use of, so that nobody believes that it does."""
    given = [f"market.{key}" for key in type(spec.market).model_fields if key in spec.market.model_fields_set]
    given += [f"agents.{key}" for key in POOL_AGENTS if key in spec.agents.model_fields_set]
    for key in given:
        group, _, name = key.partition(".")
        value = getattr(getattr(spec, group), name)
        shown = duration_text(value) if isinstance(value, timedelta) else value
        reason = f"belongs to the pool, and {ONE_MARKET}"
        yield _fault(spec, key, shown, reason=reason, fix=f"leave out {key} or flexibility")
    if spec.agents.ems != "optimal":
        reason = "does not plan, so homes cannot tell what a limit costs them"
        fix = "write agents: {ems: optimal}, or leave ems out beside flexibility"
        yield _fault(spec, "agents.ems", spec.agents.ems, reason=reason, fix=fix)
    flex = spec.flexibility
    if flex is not None and flex.forecast_error > 0 and spec.agents.forecast != "perfect":
        reason = f"is drawn around a perfect forecast alone; agents.forecast is {spec.agents.forecast}"
        fix = "write agents: {forecast: perfect}, or leave forecast_error out: a method has errors of its own"
        yield _fault(spec, "flexibility.forecast_error", flex.forecast_error, reason=reason, fix=fix)


def _duration_faults(spec: ScenarioSpec, flex: FlexibilitySpec) -> Iterator[Fault]:
    """Tell durations that are no whole number of periods, or zero where one period is the least."""
    mtu = spec.resolution
    durations: Mapping[str, tuple[timedelta | None, int]] = {
        "gate_closure": (flex.gate_closure, 0),
        "rebound": (flex.rebound, 0),
        "horizon": (flex.horizon, 1),
        "product.min_duration": (flex.product.min_duration, 1),
        "product.max_duration": (flex.product.max_duration, 1),
        "product.min_rest": (flex.product.min_rest, 0),
        "reservation.lead": (None if flex.reservation is None else flex.reservation.lead, 0),
    }
    for key, (duration, least) in durations.items():
        if duration is not None and (duration % mtu or duration < least * mtu):
            reason = f"is not a whole number of {duration_text(mtu)} periods"
            fix = f"write a multiple of {duration_text(mtu)}"
            yield _fault(spec, f"flexibility.{key}", duration_text(duration), reason=reason, fix=fix)


def _window_faults(spec: ScenarioSpec, chosen: ReservationSpec) -> Iterator[Fault]:
    """Tell clock times of the reservation that are no start of a period."""
    minutes = int(spec.resolution.total_seconds()) // 60
    for key, minute in (("from", chosen.start), ("to", chosen.end)):
        if minute % minutes:
            reason = f"is off the periods of {duration_text(spec.resolution)}"
            fix = f'write "{clock_text(minute - minute % minutes)}"'
            place = f"flexibility.reservation.{key}"
            yield _fault(spec, place, clock_text(minute), reason=reason, fix=fix)


def capacity_faults(
    spec: ScenarioSpec, plans: Sequence[HomePlan], places: Mapping[str, tuple[str, str]]
) -> list[Fault]:
    """Tell homes without the connection capacity that a limit is counted from.

    Parameters
    ----------
    spec : the scenario
    plans : its homes; passive ones sell nothing and need none
    places : file and row of participants written by hand, by id; the others are loads of the grid
    """
    if spec.flexibility is None:
        return []
    key = "import_limit_kw" if spec.flexibility.product.direction == "cap" else "export_limit_kw"
    lacking = [plan.participant for plan in plans if not plan.passive and getattr(plan, key) == float("inf")]
    reason = "has no connection capacity, from which a limit on its {} is counted".format(
        "import" if key == "import_limit_kw" else "export"
    )
    fix = f"write its {key}, or participants: {{{key}: ...}} for all that have none"
    faults = [
        Fault(source=places[home][0], place=places[home][1].format(key), value=home, reason=reason, fix=fix)
        for home in lacking
        if home in places
    ]
    others = [home for home in lacking if home not in places]
    if others:
        some = f"{len(others)} participants: {', '.join(others)}" if len(others) > 1 else others[0]
        fix = f"write participants: {{{key}: ...}} with the kW of a connection"
        faults.append(_fault(spec, f"participants.{key}", some, reason=reason, fix=fix))
    return faults


def _fault(spec: ScenarioSpec, place: str, value: object, *, reason: str, fix: str) -> Fault:
    return Fault(source=spec.origin, place=place, value=value, reason=reason, fix=fix)
