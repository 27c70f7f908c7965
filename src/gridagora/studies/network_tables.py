"""Tables of a market that knows the wires: nodal prices, and what keeping the limits costs.

Both hold the periods that were cleared on the network; in all others one price holds at every node.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gridagora.engine.machine import losses_micro
from gridagora.market.network_result import PARTS
from gridagora.model.columns import Floats, Ints, NodalClearing
from gridagora.model.events import AuctionCleared
from gridagora.studies.record import RunRecord
from gridagora.studies.zone_nodes import zones_of_nodes
from gridagora.units import MICRO, WH_PER_KWH, amount_micro, to_micro

Cleared = tuple[AuctionCleared, NodalClearing]


def clearings(record: RunRecord) -> list[Cleared]:
    """Return the sessions of a market that knows the wires; none for other markets."""
    return [(one, one.network) for one in record.auctions() if one.network is not None]


def nodal_prices_table(record: RunRecord) -> pd.DataFrame:
    """One row per period cleared on the network and node: price and its parts, currency per kWh.

    The parts sum to the price but for its rounding to a whole micro-unit; NaN where nothing traded.  With
    zones these are the periods of `RunRecord.pictures`, each bus with its zone and the price of its market.
    """
    found = [*(network for _, network in clearings(record)), *record.pictures]
    nodes = found[0].nodes if found else ()
    period = _joined([one.period for one in found]).astype(np.int64)
    price = _joined([one.price.ravel() for one in found])
    parts = {name: _joined([one.parts[k].ravel() for one in found]) / MICRO for k, name in enumerate(PARTS)}
    traded = ~np.isnan(parts["energy"])
    long = np.repeat(period, len(nodes))
    return pd.DataFrame(
        {
            "period": long,
            "start": record.study.axis.starts[long],
            "bus": pd.Categorical.from_codes(
                np.tile(np.arange(len(nodes)), len(period)), categories=pd.Index(list(nodes), dtype=object)
            ),
            "price": np.where(traded, price / MICRO, np.nan),
            **parts,
            **_of_zones(record, nodes, period=period),
        }
    )


def _of_zones(record: RunRecord, nodes: Sequence[str], *, period: Ints) -> dict[str, Any]:
    """Return the zone of each node and the price of its market; nothing without zones."""
    rules = record.study.zones
    if rules is None:
        return {}
    zone = zones_of_nodes(nodes, rules)
    found = np.concatenate([one.zonal.price for one in record.auctions() if one.zonal is not None])
    price = found[np.ix_(period, zone)].ravel()
    names = pd.Index(list(rules.tree.names), dtype=object)
    return {
        "zone": pd.Categorical.from_codes(np.tile(zone, len(period)), categories=names),
        "zone_price": np.where(price < 0, np.nan, price / MICRO),
    }


def network_clearings_table(record: RunRecord) -> pd.DataFrame:
    """One row per period cleared on the network: how it went, and the price of keeping the limits.

    Welfare is the value of what was accepted by the bids' own prices; ``_plate`` is the pool without wires.
    """
    parts = [_told(record, one, network) for one, network in clearings(record)]
    names = list(parts[0]) if parts else []
    columns: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in names}
    if not columns:
        return pd.DataFrame()
    columns = {"period": columns["period"], "start": record.study.axis.starts[columns["period"]], **columns}
    return pd.DataFrame(columns)


def _told(record: RunRecord, cleared: AuctionCleared, network: NodalClearing) -> dict[str, Any]:
    """Return the columns of one session."""
    place = np.searchsorted(network.period, cleared.period)
    rows = np.flatnonzero(np.isin(cleared.period, network.period))
    place, count = place[rows], len(network.period)
    side, price = cleared.side[rows].astype(np.float64), cleared.price[rows] / MICRO
    accepted = cleared.accepted[rows] / WH_PER_KWH
    plate = (network.plate_accepted[rows] if count else cleared.accepted[rows]) / WH_PER_KWH
    local = cleared.participant[rows] < len(record.study.homes)
    lost = cleared.price[rows] >= to_micro(record.study.market.value_of_lost_load)
    buys, less = (side > 0) & local, np.maximum(plate - accepted, 0.0)

    def summed(values: Floats) -> Floats:
        return np.asarray(np.bincount(place, weights=values, minlength=count), dtype=np.float64)

    before, after = summed(side * price * plate), summed(side * price * accepted)
    money = summed(cleared.paid[rows]) / (MICRO * WH_PER_KWH)
    at_slack = np.nan_to_num(cleared.clearing_price[network.period - cleared.first])
    losses = amount_micro(network.loss_wh, np.rint(at_slack).astype(np.int64)) / MICRO
    nodal = np.where(network.price < 0, np.nan, network.price / MICRO)
    return {
        "period": network.period,
        "status": np.array(network.status, dtype=object),
        "reason": np.array(network.reason, dtype=object),
        "rounds": network.rounds,
        "price_plate": network.plate_price / MICRO,
        "price_lowest": nodal.min(axis=1),
        "price_highest": nodal.max(axis=1),
        "welfare_plate": before,
        "welfare": after,
        "safety_cost": before - after + 0.0,
        "bought_less_kwh": summed(np.where(buys, less, 0.0)),
        "bought_more_kwh": summed(np.where(buys, np.maximum(accepted - plate, 0.0), 0.0)),
        "shed_kwh": summed(np.where(buys & lost, less, 0.0)),
        "sold_less_kwh": summed(np.where((side < 0) & local, less, 0.0)),
        "losses_kwh": network.loss_wh / WH_PER_KWH,
        "rent": -money - losses + 0.0,
        "residual_kwh": network.residual_wh / WH_PER_KWH,
    }


def network_kpis(record: RunRecord, currency: str) -> dict[str, Any]:
    """Return the key figures of a market that knows the wires; none for other markets."""
    found = clearings(record)
    if not found:
        return {}
    table = network_clearings_table(record)
    status = table["status"].to_numpy()
    broken = np.concatenate([network.plate.period for _, network in found])
    held = np.concatenate([network.held for _, network in found])
    losses = sum(losses_micro(cleared) for cleared, _ in found) / MICRO
    return {
        "violation_periods_copper_plate": len(np.unique(broken)),
        "network_cleared_periods": len(table),
        "network_unavoidable_periods": int((status == "unavoidable").sum()),
        "network_open_periods": int((status == "open").sum()),
        "network_rounds_max": int(table["rounds"].max()) if len(table) else 0,
        "network_held_periods": int((held != 0).sum()),
        f"safety_cost_{currency}": float(table["safety_cost"].sum()),
        "safety_bought_less_kwh": float(table["bought_less_kwh"].sum()),
        "safety_sold_less_kwh": float(table["sold_less_kwh"].sum()),
        "safety_shed_kwh": float(table["shed_kwh"].sum()),
        f"congestion_rent_{currency}": float(table["rent"].sum()),
        f"priced_losses_{currency}": losses,
    }


def _joined(parts: list[Any]) -> Any:
    return np.concatenate(parts) if parts else np.zeros(0)
