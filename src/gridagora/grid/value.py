"""What a kW of flexibility saves a distribution system operator: one function for each of its costs.

The costs are those of seed 003 section 2.4: ageing of assets, energy not served, postponed reinforcement, the
upstream grid's capacity fee, losses, curtailed renewables.  The currency is the caller's; + is a cost or what
is saved of it.
"""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.grid.ageing import ThermalModel, extra_loss_of_life, loss_of_life
from gridagora.grid.dso_costs import DsoCosts as DsoCosts
from gridagora.grid.need import Need

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

HOURS_PER_YEAR = 8760.0


def ageing_cost(
    loading_percent: ArrayLike,
    *,
    replacement_cost: float,
    ambient_c: ArrayLike = 20.0,
    hours: float,
    model: ThermalModel | None = None,
) -> Floats:
    """Return what a load profile wears off a transformer: its price times the share of its life used up.

    Parameters
    ----------
    loading_percent : percent of the rated current, (..., periods)
    replacement_cost : currency for a new transformer in place
    ambient_c, hours, model : as in `gridagora.grid.ageing.thermal_profile`

    Notes
    -----
    IEC 60076-7; seed 003 section 2.4.2 (extending the lifetime of assets).

    Examples
    --------
    >>> ageing_cost([100.0] * 24, replacement_cost=18_000.0, hours=1.0).round(6).item()
    2.4
    """
    thermal = model or ThermalModel()
    load = np.asarray(loading_percent, dtype=np.float64) / 100
    lost = loss_of_life(load, ambient_c=ambient_c, hours=hours, model=thermal)
    return np.asarray(replacement_cost * lost / thermal.life_hours)


def energy_not_served(
    load_kw: ArrayLike,
    loading_percent: ArrayLike,
    *,
    emergency_percent: float = 120.0,
    trip_percent: float = 150.0,
    outage_hours: float = 1.0,
    hours: float,
) -> Floats:
    """Return the energy that consumers do not get because an element is overloaded, kWh.

    Up to the emergency rating nothing is shed; above it the operator sheds what exceeds it; from the
    protective trip on all load is lost, for as long as it takes to restore it.

    Parameters
    ----------
    load_kw : load behind the element, kW
    loading_percent : its loading, percent
    emergency_percent : loading that the element may carry for the period
    trip_percent : loading at which its protection (fuse) trips within the period
    outage_hours : time to restore after a trip, h
    hours : length of a period, h

    Examples
    --------
    >>> energy_not_served([100.0, 125.0, 160.0], [100.0, 125.0, 160.0], hours=0.5).round(6).tolist()
    [0.0, 2.5, 160.0]
    """
    load, loading = np.asarray(load_kw, dtype=np.float64), np.asarray(loading_percent, dtype=np.float64)
    over = np.maximum(1 - emergency_percent / np.maximum(loading, emergency_percent), 0.0)
    return np.where(loading >= trip_percent, load * max(outage_hours, hours), load * over * hours)


def deferral_value(
    investment: float, *, years: float, discount_rate: float, price_growth: float = 0.0
) -> float:
    """Return the present value of postponing an investment by some years, currency.

    ``I (1 - ((1 + growth) / (1 + rate))^n)``: what is saved by spending I n years later.

    Parameters
    ----------
    investment : price of the reinforcement today
    years : by how long it is postponed, n
    discount_rate : per year
    price_growth : by which the price of the reinforcement grows, per year

    Notes
    -----
    Seed 003 section 2.4.2 (postponed/avoided investment costs).

    Raises
    ------
    InputError
        Years below 0, rates that are not above -1.

    Examples
    --------
    >>> round(deferral_value(100_000.0, years=5, discount_rate=0.05), 2)
    21647.38
    """
    terms = {
        "years": (years, years >= 0),
        "discount_rate": (discount_rate, discount_rate > -1),
        "price_growth": (price_growth, price_growth > -1),
    }
    check_faults(
        Fault(
            source="deferral",
            place=name,
            value=value,
            reason="is out of range or not finite",
            fix="write years of 0 or more and rates above -1",
        )
        for name, (value, good) in terms.items()
        if not good or not value < np.inf
    )
    return float(investment * (1 - ((1 + price_growth) / (1 + discount_rate)) ** years))


def deferral_price(
    investment: float,
    *,
    years: float,
    discount_rate: float,
    kw_periods_per_year: ArrayLike,
    price_growth: float = 0.0,
) -> Floats:
    """Return what a kW of cut in a period of need is worth if all such cuts together postpone an investment.

    The present value as a yearly annuity, spread evenly over the kW and periods of need in a year.

    Parameters
    ----------
    kw_periods_per_year : sum over a year's periods of need of the cut needed, kW
    investment, years, discount_rate, price_growth : as in `deferral_value`

    Examples
    --------
    20 kW in 100 periods a year:

    >>> deferral_price(
    ...     100_000.0, years=5, discount_rate=0.05, kw_periods_per_year=2000.0
    ... ).round(3).item()
    2.5
    """
    if years == 0:
        fault = Fault(
            source="deferral", place="years", value=years, reason="has no annuity", fix="write years above 0"
        )
        check_faults([fault])
    present = deferral_value(investment, years=years, discount_rate=discount_rate, price_growth=price_growth)
    factor = discount_rate / (1 - (1 + discount_rate) ** -years) if discount_rate else 1 / years
    total = np.asarray(kw_periods_per_year, dtype=np.float64)
    return np.asarray(np.divide(present * factor, total, out=np.zeros_like(total), where=total > 0))


def capacity_fee_price(import_kw: ArrayLike, *, fee_per_kw: float, peaks: int = 1) -> Floats:
    """Return what a kW less import in each period saves of the upstream grid's capacity fee, currency per kW.

    The fee is charged on the mean of the highest imports of the billing time; only those periods count.  It
    is the marginal value: once a peak is cut below the next period, that one sets the fee.

    Parameters
    ----------
    import_kw : import from the upstream grid over the billing time, kW, (periods,)
    fee_per_kw : currency per kW for the billing time
    peaks : how many periods make the mean; all where the billing time has fewer

    Raises
    ------
    InputError
        Fewer than one peak.

    Notes
    -----
    Seed 003 section 2.4.2 (lower connection fees paid to the upstream grid owner).

    Examples
    --------
    >>> capacity_fee_price([300, 420, 410, -50], fee_per_kw=12.0, peaks=2).tolist()
    [0.0, 6.0, 6.0, 0.0]
    """
    if peaks < 1:
        fix = "write 1 or more"
        check_faults(
            [Fault(source="capacity fee", place="peaks", value=peaks, reason="make no mean", fix=fix)]
        )
    power = np.nan_to_num(np.asarray(import_kw, dtype=np.float64))
    price = np.zeros(len(power))
    highest = np.argsort(-power, kind="stable")[:peaks]
    price[highest[power[highest] > 0]] = fee_per_kw / max(len(highest), 1)
    return price


def losses_price(losses_per_kw: ArrayLike, *, energy_price: ArrayLike, hours: float) -> Floats:
    """Return what a kW less power in a period saves of the grid's losses, currency per kW.

    Parameters
    ----------
    losses_per_kw : losses saved per kW, kW per kW (`Sensitivity.losses_per_kw`, or `Need`)
    energy_price : what the operator pays for its losses, currency per kWh
    hours : length of a period, h

    Examples
    --------
    >>> losses_price(0.08, energy_price=0.25, hours=0.5).item()
    0.01
    """
    return np.asarray(np.asarray(losses_per_kw, dtype=np.float64) * np.asarray(energy_price) * hours)


def curtailment_price(
    *,
    hours: float,
    energy_price: ArrayLike = 0.0,
    penalty_per_kwh: float = 0.0,
    emission_kg_per_kwh: float = 0.0,
    carbon_price_per_kg: float = 0.0,
) -> Floats:
    """Return the cost of curtailing a kW of renewable generation for a period, currency per kW.

    Parameters
    ----------
    hours : length of a period, h
    energy_price : compensation to the owner, currency per kWh
    penalty_per_kwh : what regulation asks beside it, currency per kWh
    emission_kg_per_kwh : of the generation that takes its place
    carbon_price_per_kg : currency per kg

    Notes
    -----
    Seed 003 section 2.4.2 (avoided emissions by not curtailing renewables).

    Examples
    --------
    >>> curtailment_price(
    ...     hours=1.0, energy_price=0.08, emission_kg_per_kwh=0.4, carbon_price_per_kg=0.07
    ... ).round(3).item()
    0.108
    """
    per_kwh = (
        np.asarray(energy_price, dtype=np.float64)
        + penalty_per_kwh
        + emission_kg_per_kwh * carbon_price_per_kg
    )
    return np.asarray(per_kwh * hours)


PARTS = ("ageing", "energy_not_served", "deferral", "capacity_fee", "losses", "curtailment")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CutValue:
    """Value of a cut at the meters, currency per kW and period, one entry per need; `total` is their sum."""

    ageing: Floats
    energy_not_served: Floats
    deferral: Floats
    capacity_fee: Floats
    losses: Floats
    curtailment: Floats

    @property
    def total(self) -> Floats:
        """Sum of the parts."""
        return np.asarray(sum(getattr(self, name) for name in PARTS))

    def to_frame(self) -> "pd.DataFrame":
        """Return the parts and their total as columns."""
        import pandas as pd

        columns = {part.name: getattr(self, part.name) for part in fields(self)}
        return pd.DataFrame({**columns, "total": self.total})


def value_of_cut(need: Need, costs: DsoCosts) -> CutValue:
    """Return what each kW of the cut that a need asks for saves, on average, by parts.

    It is the cost of the forecast minus that of the limit, over the kW at the meters between them; where
    nothing can be cut, that of a first kW.

    Parameters
    ----------
    need : from `find_need`
    costs : parameters of the costs

    Examples
    --------
    >>> from gridagora.adapters.grids import Grid
    >>> from gridagora.grid.need import find_need
    >>> from gridagora.grid.need_rules import PointForecast
    >>> load = PointForecast.certain({"R1": "Bus R1"}, import_kw=[[470.0], [520.0]], hours=1.0)
    >>> need = find_need(Grid.by_name("cigre-lv"), load)
    >>> value = value_of_cut(need, DsoCosts(energy_price=0.2, replacement_cost=20_000.0))
    >>> value.to_frame()[["ageing", "losses", "total"]].round(4).to_dict("list")
    {'ageing': [0.0031], 'losses': [0.0041], 'total': [0.0072]}
    """
    step = np.where(need.meter_kw > 0, need.meter_kw, 1.0)
    levels = np.stack([need.load_kw - step, need.load_kw], axis=1)
    parts = costs_at(need, costs, levels)
    return CutValue(**{name: (cost[:, 1] - cost[:, 0]) / step for name, cost in parts.items()})


def costs_at(need: Need, costs: DsoCosts, level_kw: Floats) -> dict[str, Floats]:
    """Return the operator's costs if the helping points take some power together, currency per period.

    Costs are told from an origin of their own: differences between two levels are what a limit saves.

    Parameters
    ----------
    need : from `find_need`
    costs : parameters of the costs
    level_kw : net power of the helping points in the product's direction, kW, (rows, levels)
    """
    loading, over = loading_at(need, level_kw), np.maximum(level_kw - need.wanted_kw[:, None], 0.0)
    is_cap, is_loading = (need.product == "cap")[:, None], np.char.endswith(need.kind, "_loading")[:, None]
    served = energy_not_served(
        np.maximum(level_kw, 0.0),
        np.where(is_loading & is_cap, loading, 0.0),
        emergency_percent=costs.emergency_percent,
        trip_percent=costs.trip_percent,
        outage_hours=costs.outage_hours,
        hours=need.hours,
    )
    fee = capacity_fee_price(need.flow.import_kw, fee_per_kw=costs.capacity_fee, peaks=costs.fee_peaks)
    curtailed = curtailment_price(
        hours=need.hours,
        energy_price=costs.curtailed_price,
        penalty_per_kwh=costs.curtailed_penalty,
        emission_kg_per_kwh=costs.emission_kg_per_kwh,
        carbon_price_per_kg=costs.carbon_price_per_kg,
    )
    return {
        "ageing": _ageing_at(need, costs, loading),
        "energy_not_served": costs.value_of_lost_load * served,
        "deferral": _deferral(need, costs)[:, None] * over,
        "capacity_fee": np.where(is_cap, fee[need.period][:, None] * level_kw, 0.0),
        "losses": _losses_at(need, costs, level_kw),
        "curtailment": np.where(is_cap, 0.0, curtailed * over),
    }


def loading_at(need: Need, level_kw: Floats) -> Floats:
    """Return the limited value if the helping points take some power together: linear through the need.

    Parameters
    ----------
    need : from `find_need`
    level_kw : net power of the helping points in the product's direction, kW, (rows, levels)
    """
    return np.asarray(need.value[:, None] + _slope(need)[:, None] * (level_kw - need.load_kw[:, None]))


def level_of(need: Need, value: Floats) -> Floats:
    """Return the power of the helping points at which the limited value is reached, kW: `loading_at` back.

    >>> from gridagora.adapters.grids import Grid
    >>> from gridagora.grid.need import find_need
    >>> from gridagora.grid.need_rules import PointForecast
    >>> load = PointForecast.certain({"R1": "Bus R1"}, import_kw=[[500.0]], hours=1.0)
    >>> need = find_need(Grid.by_name("cigre-lv"), load)
    >>> bool(abs(level_of(need, need.after[:, None]) - need.wanted_kw).max() < 1e-9)
    True
    """
    return np.asarray(need.load_kw[:, None] + (value - need.value[:, None]) / _slope(need)[:, None])


def _slope(need: Need) -> Floats:
    """Return the limited value moved per kW at the meters; falling for a voltage that is too low."""
    per_meter = need.per_kw * np.where(
        need.meter_kw > 0, need.kw / np.where(need.meter_kw > 0, need.meter_kw, 1), 1
    )
    return np.asarray(np.where(need.kind == "voltage_low", -per_meter, per_meter))


def _ageing_at(need: Need, costs: DsoCosts, loading: Floats) -> Floats:
    """Return the cost of a transformer's ageing at loadings put into its profile, currency."""
    out = np.zeros_like(loading)
    if costs.replacement_cost <= 0:
        return out
    elements = np.array(need.flow.elements, dtype=np.str_)
    kinds = np.array(need.flow.kinds, dtype=np.str_)
    ambient = np.broadcast_to(np.asarray(costs.ambient_c, dtype=np.float64), len(need.flow))
    for name in np.unique(need.element[need.kind == "transformer_loading"]):
        rows = np.flatnonzero((need.element == name) & (need.kind == "transformer_loading"))
        column = int(np.flatnonzero((elements == name) & (kinds == "transformer"))[0])
        profile = np.nan_to_num(need.flow.loading_percent[:, column], nan=costs.trip_percent)
        # Nothing ages beyond its protection: from the trip on no current flows.
        lost = extra_loss_of_life(
            np.minimum(profile, costs.trip_percent) / 100,
            need.period[rows],
            np.clip(loading[rows], 0.0, costs.trip_percent) / 100,
            ambient_c=ambient,
            hours=need.hours,
            model=costs.thermal,
        )
        out[rows] = costs.replacement_cost * lost / costs.thermal.life_hours
    return out


def _deferral(need: Need, costs: DsoCosts) -> Floats:
    """Return the deferral price of each need; the needs of an element share its reinforcement."""
    element, row = np.unique(need.element, return_inverse=True)
    if costs.kw_periods_per_year is None:
        periods = HOURS_PER_YEAR / (need.hours * len(need.flow))
        total = np.bincount(row, weights=need.meter_kw, minlength=len(element)) * periods
    else:
        total = np.full(len(element), costs.kw_periods_per_year)
    price = deferral_price(
        costs.investment,
        years=costs.deferral_years,
        discount_rate=costs.discount_rate,
        kw_periods_per_year=total,
    )
    return np.asarray(price[row])


def _losses_at(need: Need, costs: DsoCosts, level_kw: Floats) -> Floats:
    """Return the cost of losses, whose slope grows in proportion to the power, as losses with its square."""
    energy_price = np.broadcast_to(np.asarray(costs.energy_price, dtype=np.float64), len(need.flow))
    middle = need.load_kw - need.meter_kw / 2
    price = losses_price(need.losses_per_kw, energy_price=energy_price[need.period], hours=need.hours)
    per_square = np.divide(price, 2 * middle, out=np.zeros_like(price), where=middle > 0)
    return np.asarray(per_square[:, None] * level_kw * np.abs(level_kw))
