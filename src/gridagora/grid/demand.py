"""Demand curves of a system operator for a capacity-limit product: by impact, or by impact and probability.

A limit is bought from the sum of the connection capacities downwards (seed 003 section 3.4.2, figures 3-8 and
3-9).  With the cost K(l) of a period in which the connection points together take l kW, a limit at l saves
``E[K(load) - K(min(load, l))]``, whose slope at l is ``K'(l) P(load > l)``: impact times probability.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, check_faults
from gridagora.grid.need import Need, helping_capacity
from gridagora.grid.need_rules import probability_beyond
from gridagora.grid.value import DsoCosts, costs_at, level_of
from gridagora.model.bids import Bids

Floats = NDArray[np.float64]

BASES = ("impact", "probability")
"""What the price of a step is."""

_TAIL_FOLDS = 7
"""How far tails reach, in factors of e."""
_POINTS = 16
"""Points at which impact times probability is averaged over a step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveSteps:
    """Where a demand curve is cut into granularity steps.

    Parameters
    ----------
    shares : parts of the range from the connection capacities down to the forecast loading, summing to 1
    overload_steps : equal steps from the forecast loading down to the wanted limit
    margin : step below the wanted limit, as part of all above it; 0: none
    """

    shares: tuple[float, ...] = (0.8, 0.2)
    overload_steps: int = 1
    margin: float = 0.02

    def __post_init__(self) -> None:
        good_shares = all(0 < share <= 1 for share in self.shares) and abs(sum(self.shares) - 1) < 1e-9
        wrong = {
            "shares": not good_shares,
            "overload_steps": self.overload_steps < 1 or self.overload_steps != int(self.overload_steps),
            "margin": not 0 <= self.margin < 1,
        }
        check_faults(
            Fault(
                source="demand curve",
                place=name,
                value=getattr(self, name),
                reason="gives no steps",
                fix="shares above 0 that sum to 1, one overload step or more, a margin from 0 to 1",
            )
            for name, bad in wrong.items()
            if bad
        )


def step_quantities(
    capacity_kw: ArrayLike,
    *,
    forecast_kw: ArrayLike,
    limit_kw: ArrayLike,
    steps: CurveSteps | None = None,
) -> Floats:
    """Return the quantities of a demand curve's steps, in the order in which a limit is bought, kW.

    First the capacity above the forecast loading in shares, then the forecast overload down to the wanted
    limit, then a margin below it.

    Parameters
    ----------
    capacity_kw : sum of the connection capacities
    forecast_kw : forecast power of the connection points together
    limit_kw : wanted limit on it
    steps : how to cut; default 80/20, one step of overload, 2 % margin

    Notes
    -----
    Seed 003 table 3-4: with capacities 376.09 kW above the wanted limit and 24.70 kW of forecast overload,
    the steps of 17:00 are 281.11, 70.28, 24.70 and 7.52 kW.

    Examples
    --------
    >>> step_quantities(876.09, forecast_kw=524.70, limit_kw=500.0).round(2).tolist()
    [281.11, 70.28, 24.7, 7.52]
    """
    rule = steps or CurveSteps()
    limit = np.asarray(limit_kw, dtype=np.float64)
    forecast = np.maximum(np.asarray(forecast_kw, dtype=np.float64), limit)
    above = np.maximum(np.asarray(capacity_kw, dtype=np.float64), forecast) - forecast
    over = forecast - limit
    columns = [above * share for share in rule.shares]
    columns += [over / rule.overload_steps] * rule.overload_steps
    columns += [(above + over) * rule.margin] if rule.margin > 0 else []
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


def demand_curve(
    need: Need,
    *,
    capacity_kw: Mapping[str, ArrayLike],
    costs: DsoCosts,
    basis: Literal["impact", "probability"],
    steps: CurveSteps | None = None,
    participant: str = "DSO",
    first_period: int = 0,
    price_cap: float | None = None,
) -> Bids:
    """Return the operator's bids to buy a capacity limit in every period of need.

    Parameters
    ----------
    need : needs of one element (`Need.at`), rebound periods included if it has them
    capacity_kw : connection capacity of each helping point in the product's direction, kW, one number or one
        per need: what is left of it where limits were sold before
    costs : what the operator's costs are
    basis : "impact": price = mean impact of a step, steps told from the highest price down; "probability":
        price = mean of impact times probability of a loading above, steps in the order in which a limit is
        bought, so that the prices need not fall
    steps : how to cut the curve
    participant : id of the operator
    first_period : period of the study that the forecast starts at: a need counts periods from there, a bid
        from the start of the study
    price_cap : what another way out costs the operator (a penalty, a temporary subscription, a generator),
        currency per kWh: the impact of a kW and period counts no more than that; None: no such way

    Returns
    -------
    Bids
        Side buy, price in currency per kW and period, quantity in kW at the meters.  Steps without quantity
        are left out, the others numbered without a gap.  ``group`` is empty, as of divisible offers, so that
        `Bids.concat` joins both.

    Raises
    ------
    InputError
        The needs are of several elements, the basis is unknown, a capacity is missing or the cap negative.

    Notes
    -----
    Probability is linear between quantiles and falls off exponentially beyond the outermost two, with the
    density that it has there.  MARKETS section 3; seed 003 section 3.4.2, table 3-4, figures 3-8 and 3-9.

    Examples
    --------
    >>> from gridagora.adapters.grids import Grid
    >>> from gridagora.grid.need import find_need
    >>> from gridagora.grid.need_rules import PointForecast
    >>> load = PointForecast.of_levels(
    ...     {"R1": "Bus R1"}, levels=[0.1, 0.5, 0.9], import_kw=[[[400.0]], [[490.0]], [[560.0]]], hours=1.0
    ... )
    >>> need = find_need(Grid.by_name("cigre-lv"), load)
    >>> costs = DsoCosts(investment=40_000.0, kw_periods_per_year=2000.0, value_of_lost_load=10.0)
    >>> bids = demand_curve(need, capacity_kw={"R1": 850.0}, costs=costs, basis="probability")
    >>> bids.to_frame()[["price", "quantity", "step"]].round(2).to_dict("list")
    {'price': [0.02, 0.29, 0.54, 0.0], 'quantity': [288.0, 72.0, 19.86, 7.6], 'step': [0, 1, 2, 3]}
    """
    check_faults(_curve_faults(need, basis, price_cap=price_cap))
    capacity = helping_capacity(need, capacity_kw)
    quantity = step_quantities(capacity, forecast_kw=need.load_kw, limit_kw=need.wanted_kw, steps=steps)
    top = quantity[:, :-1].sum(axis=1) if (steps or CurveSteps()).margin > 0 else quantity.sum(axis=1)
    price = _prices(
        need,
        costs,
        quantity=quantity,
        top=need.wanted_kw + top,
        by_probability=basis == "probability",
        most=np.inf if price_cap is None else price_cap * need.hours,
    )
    if basis == "impact":
        order = np.argsort(-price, axis=1, kind="stable")
        price, quantity = (np.take_along_axis(values, order, axis=1) for values in (price, quantity))
    row, step = np.nonzero(quantity > 0)
    number = (np.cumsum(quantity > 0, axis=1) - 1)[row, step]
    return Bids(
        side=np.ones(len(row), dtype=np.int8),
        price=price[row, step],
        quantity=quantity[row, step],
        participant=np.full(len(row), participant),
        period=need.period[row] + first_period,
        group=np.full(len(row), ""),
        step=number,
    )


def _curve_faults(need: Need, basis: str, *, price_cap: float | None) -> Iterator[Fault]:
    elements = np.unique(need.element)
    if len(elements) > 1:
        fix = "bid for one element at a time: need.at(name)"
        reason = "a demand curve is of one element"
        yield Fault(source="need", place="element", value=elements.tolist(), reason=reason, fix=fix)
    if basis not in BASES:
        fix = f"write {' or '.join(BASES)}"
        yield Fault(source="demand curve", place="basis", value=basis, reason="is not known", fix=fix)
    if price_cap is not None and not price_cap >= 0:
        fix = "write 0 or more, or None for no cap"
        yield Fault(source="demand curve", place="price_cap", value=price_cap, reason="is no price", fix=fix)


def _prices(
    need: Need, costs: DsoCosts, *, quantity: Floats, top: Floats, by_probability: bool, most: float
) -> Floats:
    """Return the mean of impact, ``most`` at most, (times probability) over each step, (rows, steps)."""
    ends = top[:, None] - np.cumsum(quantity, axis=1)
    starts = ends + quantity
    part = np.linspace(0, 1, _POINTS + 1)
    levels = starts[..., None] - quantity[..., None] * part
    rows, steps, points = levels.shape
    cost = sum(costs_at(need, costs, levels.reshape(rows, steps * points)).values())
    saved = -np.diff(np.asarray(cost).reshape(rows, steps, points), axis=2)
    if most < np.inf:
        saved = np.minimum(saved, most * quantity[..., None] / _POINTS)
    if by_probability:
        middle = (levels[..., 1:] + levels[..., :-1]) / 2
        saved = saved * _exceeded(need, top, middle)
    total = saved.sum(axis=2)
    return np.asarray(np.divide(total, quantity, out=np.zeros_like(total), where=quantity > 0))


def _exceeded(need: Need, top: Floats, level: Floats) -> Floats:
    """Return the probability that the points together take more than a level, (rows, steps, points)."""
    known = level_of(need, need.quantile_value)
    known = np.where(np.isnan(known), top[:, None], known)
    levels, values = _with_tails(need.levels, known)
    values = np.minimum(values, np.maximum(known.max(axis=1), top)[:, None])
    return probability_beyond(levels, values[:, None, None, :], level)


def _with_tails(levels: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Add points of exponential tails to quantiles, (quantiles,) and (rows, quantiles); one has none."""
    if len(levels) < 2:
        return levels, values
    low, high = levels[0], 1 - levels[-1]
    folds = np.arange(1, 2 * _TAIL_FOLDS + 1) / 2
    below = (values[:, :1] - values[:, 1:2]) / (levels[1] - levels[0]) * low
    above = (values[:, -1:] - values[:, -2:-1]) / (levels[-1] - levels[-2]) * high
    left, right = values[:, :1] + below * folds[::-1], values[:, -1:] + above * folds
    shrunk = np.exp(-folds)
    return (
        np.concatenate([low * shrunk[::-1], levels, 1 - high * shrunk]),
        np.concatenate([left, values, right], axis=1),
    )
