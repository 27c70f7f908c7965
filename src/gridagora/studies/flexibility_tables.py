"""Tables of a run's flexibility market: what the operator's ways of bidding did, and what was bought for it.

Each function reads the record alone and returns one row per thing, of all strategies; the settled one comes
first.  Columns are told in docs/reference/tables-and-kpis.md.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gridagora.grid import congestion_kpis
from gridagora.model.columns import Floats
from gridagora.model.flexibility_events import (
    DeliveryOrdered,
    FlexAuctionCleared,
    FlexOrderTaken,
    FlexSettled,
)
from gridagora.studies.flexibility_view import Columns, FlexView, frame_of, views
from gridagora.studies.record import Flows, RunRecord
from gridagora.units import MICRO, WH_PER_KWH


def strategies_table(record: RunRecord) -> pd.DataFrame:
    """One row per strategy: hours cured and newly overloaded, loading, energy, money, voltage."""
    return pd.DataFrame([_strategy_row(view, settled=k == 0) for k, view in enumerate(views(record))])


def _strategy_row(view: FlexView, *, settled: bool) -> Columns:
    record, threshold = view.record, view.rules.threshold_percent
    hours, periods = record.study.axis.hours, record.periods
    before, after = record.flows_baseline, view.strategy.flows
    found = congestion_kpis(
        _highest(before, unknown=np.nan), _highest(after, unknown=np.inf), threshold=threshold, hours=hours
    )
    sold = _sold_kw(view)[:, :periods]
    cost = -sum(int(event.payment_micro.sum()) for event in view.events(FlexSettled)) / MICRO
    asked = sum(_asked_money(event) for event in view.activations)
    received = float(view.received_micro.sum()) / MICRO
    return {
        "strategy": view.strategy.name,
        "settled": settled,
        "overloaded_before_h": found.overloaded_before * hours,
        "overloaded_after_h": found.overloaded_after * hours,
        "cured_h": found.resolved * hours,
        "share_cured": found.resolved_share,
        "reduced_h": (found.reduced - found.resolved) * hours,
        "newly_overloaded_h": found.newly_overloaded * hours,
        "loading_max_before_percent": _peak(before),
        "loading_max_after_percent": _peak(after),
        "sold_kwh": float(sold.sum()) * hours,
        "metered_less_kwh": _metered_less(view, sold > 0),
        "deficiency_kwh": float(view.per_point("deficiency_wh").sum()) / WH_PER_KWH,
        "operator_cost": cost,
        "sellers_cost": asked,
        "sellers_gain": received - asked,
        "budget_balance": cost - received,
        "voltage_periods_before": _voltage_periods(record, before),
        "voltage_periods_after": _voltage_periods(record, after),
        "unmet": len(view.strategy.unmet.element),
    }


def _highest(flows: Flows, *, unknown: float) -> Floats:
    """Return the highest loading of each period; ``unknown`` where the power flow has no solution."""
    known = np.nan_to_num(flows.loading_percent, nan=-np.inf).max(axis=1, initial=-np.inf)
    return np.where(flows.converged, known, unknown)


def _peak(flows: Flows) -> float:
    known = flows.loading_percent[np.isfinite(flows.loading_percent)]
    return float(known.max()) if known.size else float("nan")


def _voltage_periods(record: RunRecord, flows: Flows) -> int:
    limits = record.study.limits
    broken = (flows.vm_pu < limits.vm_min_pu) | (flows.vm_pu > limits.vm_max_pu)
    return int(broken.any(axis=1).sum())


def _sold_kw(view: FlexView) -> Floats:
    """Return what each point sold in activation auctions, kW, shape (points, periods)."""
    sold = np.zeros((len(view.points), view.record.study.axis.periods))
    for event in view.activations:
        rows = event.side < 0
        np.add.at(sold, (event.participant[rows], event.period[rows]), event.accepted_kw[rows])
    return sold


def _asked_money(event: FlexAuctionCleared) -> float:
    sells = event.side < 0
    return float((event.price * event.accepted_kw)[sells].sum())


def _metered_less(view: FlexView, sold: NDArray[np.bool_]) -> float:
    """Return the energy by which sellers metered less (for a floor: exported less) while they had sold."""
    record = view.record
    change = (record.baseline_metered_wh - view.strategy.metered_wh[: record.periods])[:, view.homes]
    sign = -1.0 if view.rules.product.direction in ("floor", "up") else 1.0
    return float(sign * change[sold.T].sum() / WH_PER_KWH)


HOURS = {
    "strategy": "text",
    "period": "int",
    "start": "time",
    "element": "text",
    "loading_before_percent": "float",
    "loading_after_percent": "float",
    "state": "text",
}


def hours_table(record: RunRecord) -> pd.DataFrame:
    """One row per strategy, element and period above the threshold before or after (tables 3-5, 3-8)."""
    return frame_of(record, HOURS, [_hours(view) for view in views(record)])


def _hours(view: FlexView) -> Columns:
    threshold = view.rules.threshold_percent
    before, after = view.record.flows_baseline.loading_percent, view.strategy.flows.loading_percent
    was, still = before > threshold, after > threshold
    period, element = np.nonzero(was | still)
    first, last = before[period, element], after[period, element]
    state = np.select(
        [np.isnan(last), np.isnan(first), first <= threshold, last <= threshold, last < first],
        ["not known", "not known", "newly overloaded", "cured", "reduced"],
        default="still overloaded",
    )
    return {
        "strategy": np.full(len(period), view.strategy.name),
        "period": period,
        "element": np.array(view.record.drawing.elements, dtype=object)[element],
        "loading_before_percent": first,
        "loading_after_percent": last,
        "state": state,
    }


LOADINGS = {
    "strategy": "text",
    "period": "int",
    "start": "time",
    "loading_before_percent": "float",
    "element_before": "text",
    "loading_after_percent": "float",
    "element_after": "text",
}


def loadings_table(record: RunRecord) -> pd.DataFrame:
    """One row per strategy and period: the most loaded element before and after (figures 3-12, 3-14)."""
    return frame_of(record, LOADINGS, [_loadings(view) for view in views(record)])


def _loadings(view: FlexView) -> Columns:
    names = np.array([*view.record.drawing.elements, ""], dtype=object)
    found: Columns = {
        "strategy": np.full(view.record.periods, view.strategy.name),
        "period": np.arange(view.record.periods),
    }
    for word, flows in (("before", view.record.flows_baseline), ("after", view.strategy.flows)):
        highest = _highest(flows, unknown=np.nan)
        known = np.isfinite(highest)
        worst = np.nan_to_num(flows.loading_percent, nan=-np.inf).argmax(axis=1)
        found[f"loading_{word}_percent"] = np.where(known, highest, np.nan)
        found[f"element_{word}"] = names[np.where(known, worst, -1)]
    return found


AUCTIONS = {
    "strategy": "text",
    "auction": "int",
    "horizon": "text",
    "product": "text",
    "period": "int",
    "start": "time",
    "element": "text",
    "ordered": "flag",
    "asked_kw": "float",
    "offered_kw": "float",
    "sold_kw": "float",
    "price": "float",
    "welfare": "float",
    "payment_rule": "text",
    "paid": "float",
    "surplus": "float",
}


def auctions_table(record: RunRecord) -> pd.DataFrame:
    """One row per auction and period with bids: asked, offered, sold, price, welfare, money."""
    parts = [_auction(view, event) for view in views(record) for event in view.events(FlexAuctionCleared)]
    return frame_of(record, AUCTIONS, parts)


def _auction(view: FlexView, event: FlexAuctionCleared) -> Columns:
    auction, points = event.auction, len(view.points)
    place = event.period - auction.first
    rows = np.unique(place)
    buys = event.side > 0

    def sums(values: Any) -> Any:
        return np.bincount(place, weights=values, minlength=auction.count)[rows]

    return {
        "strategy": np.full(len(rows), view.strategy.name),
        "auction": np.full(len(rows), auction.number),
        "horizon": np.full(len(rows), auction.horizon),
        "product": np.full(len(rows), auction.product),
        "period": auction.first + rows,
        "element": np.full(len(rows), auction.element),
        "ordered": np.full(len(rows), auction.ordered),
        "asked_kw": sums(event.quantity_kw * buys),
        "offered_kw": sums(event.quantity_kw * ~buys),
        "sold_kw": sums(event.accepted_kw * ~buys),
        "price": event.clearing_price[rows],
        "welfare": event.welfare[rows],
        "payment_rule": np.full(len(rows), event.payment_rule),
        "paid": -event.paid_micro[rows, points:].sum(axis=1) / MICRO,
        "surplus": event.surplus_micro[rows] / MICRO,
    }


BIDS = {
    "strategy": "text",
    "auction": "int",
    "horizon": "text",
    "product": "text",
    "period": "int",
    "start": "time",
    "participant": "text",
    "side": "text",
    "step": "int",
    "price": "float",
    "quantity_kw": "float",
    "accepted_kw": "float",
    "group": "text",
    "obligated": "flag",
}


def bids_table(record: RunRecord) -> pd.DataFrame:
    """One row per bid of an auction: kW, currency per kW and period (reservations: and hour), accepted kW."""
    parts = [
        {
            "strategy": np.full(len(event.period), view.strategy.name),
            "auction": np.full(len(event.period), event.auction.number),
            "horizon": np.full(len(event.period), event.auction.horizon),
            "product": np.full(len(event.period), event.auction.product),
            "period": event.period,
            "participant": view.names[event.participant],
            "side": np.where(event.side > 0, "buy", "sell"),
            "step": event.step,
            "price": event.price,
            "quantity_kw": event.quantity_kw,
            "accepted_kw": event.accepted_kw,
            "group": event.group,
            "obligated": event.obligated,
        }
        for view in views(record)
        for event in view.events(FlexAuctionCleared)
    ]
    return frame_of(record, BIDS, parts)


ORDERS = {
    "strategy": "text",
    "period": "int",
    "start": "time",
    "participant": "text",
    "product": "text",
    "cleared_kw": "float",
    "adjusted_kw": "float",
    "ordered_kw": "float",
    "limit_kw": "float",
}


def orders_table(record: RunRecord) -> pd.DataFrame:
    """One row per delivery order: what was cleared, adjusted since, ordered, and the limit at the meter."""
    parts = []
    for view in views(record):
        for event in view.events(DeliveryOrdered):
            held = (event.cleared_kw != 0) | (event.adjusted_kw != 0)
            part = _point_rows(view, event.first, held)
            product, point, place = np.nonzero(held)
            for name in ("cleared_kw", "adjusted_kw", "ordered_kw", "limit_kw"):
                part[name] = getattr(event, name)[product, point, place]
            parts.append(part)
    return frame_of(record, ORDERS, parts)


def _point_rows(view: FlexView, first: int, held: NDArray[np.bool_]) -> Columns:
    """Return strategy, period, participant and product of the marked (products, points, periods)."""
    product, point, place = np.nonzero(held)
    products = np.array([name for name, _ in view.terms.products], dtype=object)
    return {
        "strategy": np.full(len(place), view.strategy.name),
        "period": first + place,
        "participant": view.names[point],
        "product": products[product],
    }


DELIVERIES = {
    "strategy": "text",
    "period": "int",
    "start": "time",
    "participant": "text",
    "product": "text",
    "ordered_kwh": "float",
    "delivered_kwh": "float",
    "deficiency_kwh": "float",
    "estimated": "flag",
    "due": "float",
    "claw_back": "float",
    "penalty": "float",
    "received": "float",
}


def deliveries_table(record: RunRecord) -> pd.DataFrame:
    """One row per settled delivery: ordered, delivered and missing kWh; money due, taken back, charged."""
    parts = []
    for view in views(record):
        for event in view.events(FlexSettled):
            held = (event.ordered_wh != 0) | (event.due_micro != 0) | (event.penalty_micro != 0)
            at = np.nonzero(held)
            part = _point_rows(view, event.first, held)
            for name in ("ordered", "delivered", "deficiency"):
                part[f"{name}_kwh"] = getattr(event, f"{name}_wh")[at] / WH_PER_KWH
            for name in ("due", "claw_back", "penalty"):
                part[name] = getattr(event, f"{name}_micro")[at] / MICRO
            part["estimated"] = event.estimated[at]
            part["received"] = part["due"] - part["claw_back"] - part["penalty"]
            parts.append(part)
    return frame_of(record, DELIVERIES, parts)


TRADES = {
    "strategy": "text",
    "period": "int",
    "start": "time",
    "periods": "int",
    "at": "time",
    "buyer": "text",
    "seller": "text",
    "product": "text",
    "quantity_kw": "float",
    "price": "float",
    "amount": "float",
    "contract": "text",
}


def trades_table(record: RunRecord) -> pd.DataFrame:
    """One row per trade of the continuous market: kW in each of ``periods`` from ``period`` on."""
    parts = []
    for view in views(record):
        for event in view.events(FlexOrderTaken):
            for trade in event.trades:
                row = {
                    "strategy": view.strategy.name,
                    "period": trade.first,
                    "periods": trade.periods,
                    "at": np.datetime64(trade.at, "s"),
                    "buyer": trade.buyer,
                    "seller": trade.seller,
                    "product": event.product,
                    "quantity_kw": trade.quantity_kw,
                    "price": trade.price,
                    "amount": trade.quantity_kw * trade.price * trade.periods,
                    "contract": trade.contract,
                }
                parts.append({name: [value] for name, value in row.items()})
    return frame_of(record, TRADES, parts)


UNMET = {
    "strategy": "text",
    "period": "int",
    "start": "time",
    "element": "text",
    "needed_kw": "float",
    "offered_kw": "float",
    "loading_percent": "float",
    "least_kw": "float",
    "least_percent": "float",
    "proven": "flag",
}


def unmet_table(record: RunRecord) -> pd.DataFrame:
    """One row per need that stays although all offers are taken, with the loading that is left.

    ``proven``: joint dispatch of all devices leaves an overload there too.
    """
    parts, given = [], [name for name in UNMET if name not in ("strategy", "start", "proven")]
    for view in views(record):
        unmet = view.strategy.unmet
        part: Columns = {name: getattr(unmet, name) for name in given}
        part["proven"] = unmet.least_kw > 0.0
        part["strategy"] = np.full(len(unmet.element), view.strategy.name)
        parts.append(part)
    return frame_of(record, UNMET, parts)
