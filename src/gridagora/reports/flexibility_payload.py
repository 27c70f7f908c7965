"""What the scripts draw of a flexibility market: loadings, hours, bids, payments, orders, by strategy."""

from typing import TYPE_CHECKING, Any

import numpy as np

from gridagora.reports.bins import plain
from gridagora.reports.columns import Column, numbers, texts
from gridagora.reports.flexibility import CENT, RULES, delivery_text, of_strategy, rules_text, way
from gridagora.reports.series import Timeline
from gridagora.reports.tables import FlexTables, RunTables

if TYPE_CHECKING:
    import pandas as pd

MAX_BIDS = 150_000
"""Bids a page carries before it keeps only the hours in which something is above the threshold."""

MAX_ROWS = 5_000
"""Rows of a long table on the page; the rest are in its Parquet file."""


def flex_data(tables: RunTables, flex: FlexTables, line: Timeline) -> dict[str, Any]:
    """Return the data of the section, each part by the name of the way of bidding."""
    names = [str(name) for name in flex.flex_strategies["strategy"]]
    bids, shown = _shown_bids(flex)
    return {
        "ways": names,
        "labels": {name: way(name) for name in names},
        "settled": flex.settled,
        "threshold": flex.threshold_percent,
        "buyer": flex.buyer,
        "shown": shown,
        "before": _loading(line, of_strategy(flex.flex_loadings, names[0]), "before"),
        "after": {name: _loading(line, of_strategy(flex.flex_loadings, name), "after") for name in names},
        "marks": {name: _marks(line, of_strategy(flex.flex_hours, name)) for name in names},
        "hours": {name: _hours(line, of_strategy(flex.flex_hours, name)) for name in names},
        "curves": {name: _curves(flex, line, bids, name=name) for name in names},
        "days": {name: _days(tables, flex, name) for name in names},
        "delivery_texts": {name: delivery_text(tables, flex, name) for name in names},
        "sellers": {name: _sellers(tables, flex, name=name) for name in names},
        "deliveries": {name: _deliveries(tables, flex, line, name=name) for name in names},
        "contracts": {name: _contracts(tables, flex, line, name=name) for name in names},
        "trades": {name: _trades(tables, flex, line, name=name) for name in names},
        "unmet": {name: _unmet(line, of_strategy(flex.flex_unmet, name)) for name in names},
    }


def _loading(line: Timeline, frame: "pd.DataFrame", word: str) -> dict[str, Any]:
    values = line.align(frame, f"loading_{word}_percent")
    where = line.bins.where(values, line.names(frame, f"element_{word}"), "max")
    return {"value": plain(line.bins.gather(values, "max"), 5), "where": where}


def _marks(line: Timeline, frame: "pd.DataFrame") -> dict[str, list[int]]:
    """Return the bins in which something is newly overloaded, or above the threshold all the same."""
    kinds = {"new": ["newly overloaded"], "still": ["reduced", "still overloaded"]}
    return {
        key: _bins(line, frame.loc[frame["state"].isin(states), "period"]) for key, states in kinds.items()
    }


def _bins(line: Timeline, periods: Any) -> list[int]:
    place = np.searchsorted(line.periods, np.unique(np.asarray(periods, dtype=np.int64)))
    return [int(k) for k in np.unique(line.bins.index[place])]


def _times(line: Timeline, frame: "pd.DataFrame") -> Column:
    return texts("time", "period begins", [line.label(p) for p in frame["period"]])


def _hours(line: Timeline, frame: "pd.DataFrame") -> list[Column]:
    frame = frame.head(MAX_ROWS)
    return [
        _times(line, frame),
        texts("element", "element", frame["element"]),
        numbers("before", "before (%)", frame["loading_before_percent"], digits=2),
        numbers("after", "after (%)", frame["loading_after_percent"], digits=2),
        texts("state", "what became of it", frame["state"]),
    ]


def _shown_bids(flex: FlexTables) -> tuple["pd.DataFrame", str]:
    bids = flex.flex_bids
    if len(bids) <= MAX_BIDS:
        return bids, "All auctions of the run can be chosen."
    worst = set(flex.flex_hours["period"])
    kept = bids[bids["period"].isin(worst) & (bids["strategy"] == flex.settled)]
    return kept.head(MAX_BIDS), (
        "Of this long run only the hours above the threshold can be chosen, of the settled way of "
        "bidding; all bids are in flex_bids.parquet."
    )


def _curves(flex: FlexTables, line: Timeline, bids: "pd.DataFrame", *, name: str) -> dict[str, Any]:
    """Return auctions with their delivery periods, and the bids of these as columns, one after another."""
    rows = of_strategy(bids, name).sort_values(["auction", "period"], kind="stable", ignore_index=True)
    auctions = of_strategy(flex.flex_auctions, name).set_index(["auction", "period"])
    keys = list(dict.fromkeys(zip(rows["auction"].tolist(), rows["period"].tolist(), strict=True)))
    counts = rows.groupby(["auction", "period"], sort=False).size().tolist()
    held = auctions.loc[keys] if keys else auctions.iloc[:0]
    codes, names = rows["participant"].astype(str).factorize(sort=True)
    figures = ("asked_kw", "offered_kw", "sold_kw", "price_cleared", "welfare", "paid")
    return {
        "auction": [int(number) for number, _ in keys],
        "horizon": held["horizon"].astype(str).tolist(),
        "element": held["element"].astype(str).tolist(),
        "ordered": held["ordered"].astype(bool).tolist(),
        "rule": [RULES.get(str(rule), str(rule)) for rule in held["payment_rule"]],
        "labels": [line.label(period) for _, period in keys],
        "pick": _telling(held),
        **{key: plain(held[key.replace("_cleared", "")], 6) for key in figures},
        "first": [0, *np.cumsum(counts, dtype=np.int64).tolist()],
        "side": "".join(np.where(rows["side"] == "buy", "b", "s").tolist()),
        "step": rows["step"].astype(int).tolist(),
        "price": plain(rows["price"], 6),
        "quantity": plain(rows["quantity_kw"], 6),
        "accepted": plain(rows["accepted_kw"], 6),
        "who": codes.tolist(),
        "names": [str(who) for who in names],
    }


def _telling(held: "pd.DataFrame") -> int:
    """Return which auction period to show first: where the market is worth most, or else asks for most.

    Fees for keeping power ready come last: what a day is bought for is the activation.
    """
    if not len(held):
        return 0
    activated = (held["horizon"] == "activation").to_numpy()
    worth = held["welfare"].fillna(0.0).to_numpy()
    return int(np.lexsort((held["asked_kw"].to_numpy(), worth, activated))[-1])


def _days(tables: RunTables, flex: FlexTables, name: str) -> list[dict[str, Any]]:
    payments, rules = of_strategy(flex.flex_payments, name), of_strategy(flex.flex_rules, name)
    buyers = {flex.buyer}
    found = []
    for (day, product), paid in payments.groupby(["day", "product"], sort=True):
        held = rules[(rules["day"] == day) & (rules["product"] == product)]
        several = payments.loc[payments["day"] == day, "product"].nunique() > 1
        found.append(
            {
                "day": f"{day} ({product})" if several else str(day),
                "text": rules_text(held, paid, buyers=buyers, currency=tables.currency),
                "payments": _payment_columns(paid),
                "rules": _rule_columns(held, tables.currency),
            }
        )
    return found


def _payment_columns(paid: "pd.DataFrame") -> list[Column]:
    columns = {"shapley_value": "Shapley value", "cost_or_utility": "cost or utility"} | {
        rule: f"{label} payment" for rule, label in RULES.items()
    }
    return [
        texts("participant", "participant", [*paid["participant"], "sum"]),
        *(
            numbers(key, label, [*paid[key], paid[key].sum(min_count=1)], digits=2)
            for key, label in columns.items()
        ),
    ]


def _rule_columns(rules: "pd.DataFrame", money: str) -> list[Column]:
    def marked(column: str) -> list[str]:
        return ["yes" if value else "no" for value in rules[column]]

    leaving = np.where(rules["largest_excess"] >= CENT, rules["coalition"], "")
    settled = [" (settled)" if flag else "" for flag in rules["settled"]]
    return [
        texts(
            "rule", "rule", [RULES[rule] + word for rule, word in zip(rules["rule"], settled, strict=True)]
        ),
        numbers("left", f"left with the operator ({money})", rules["budget_balance"], digits=2),
        numbers("excess", f"largest excess ({money})", rules["largest_excess"], digits=2),
        texts("participants", "players who would leave", leaving),
        texts("balanced", "budget balanced", marked("budget_balanced")),
        texts("rational", "nobody loses", marked("individually_rational")),
        texts("proof", "strategy-proof", rules["strategy_proof"]),
    ]


def _deliveries(tables: RunTables, flex: FlexTables, line: Timeline, *, name: str) -> list[Column]:
    keys = ["strategy", "period", "participant", "product"]
    orders = of_strategy(flex.flex_orders, name).drop(columns="start")
    frame = orders.merge(of_strategy(flex.flex_deliveries, name), on=keys, how="outer", sort=True)
    frame = frame.sort_values(["deficiency_kwh", "period"], ascending=[False, True], kind="stable")
    frame = frame.head(MAX_ROWS)
    missing = frame["deficiency_kwh"]
    kept = np.select([missing.isna(), missing > 0], ["not settled", "missed"], default="delivered")
    kwh = {
        "ordered_kwh": "ordered (kWh)",
        "delivered_kwh": "delivered (kWh)",
        "deficiency_kwh": "missing (kWh)",
    }
    kw = {"cleared_kw": "cleared (kW)", "adjusted_kw": "adjusted (kW)", "limit_kw": "limit (kW)"}
    money = {"due": "due", "claw_back": "taken back", "penalty": "penalty", "received": "received"}
    return [
        _times(line, frame),
        texts("participant", "participant", frame["participant"]),
        texts("kept", "order", kept),
        *(numbers(key, label, frame[key], digits=1) for key, label in (kw | kwh).items()),
        *(numbers(key, f"{label} ({tables.currency})", frame[key], digits=2) for key, label in money.items()),
    ]


def _sellers(tables: RunTables, flex: FlexTables, *, name: str) -> list[Column]:
    """Return each seller's orders, what it missed, and its money, reservations included."""
    frame = of_strategy(flex.flex_deliveries, name)
    fees = of_strategy(flex.flex_contracts, name).groupby("participant")[["fee", "withheld"]].sum()
    money = ("due", "claw_back", "penalty", "received")
    sums = frame.assign(orders=1, missed=frame["deficiency_kwh"] > 0).groupby("participant", sort=True)
    found = sums[["orders", "missed", "ordered_kwh", "deficiency_kwh", *money]].sum()
    found = found.join(fees, how="outer").fillna(0.0)
    found["fee"] -= found["withheld"]
    found["received"] += found["fee"]
    labels = {"due": "due", "claw_back": "taken back", "penalty": "penalty", "fee": "reservation fees"}
    return [
        texts("participant", "participant", found.index),
        numbers("orders", "orders", found["orders"], digits=0),
        numbers("missed", "not in full", found["missed"], digits=0),
        numbers("ordered", "ordered (kWh)", found["ordered_kwh"], digits=1),
        numbers("missing", "missing (kWh)", found["deficiency_kwh"], digits=1),
        *(numbers(k, f"{label} ({tables.currency})", found[k], digits=2) for k, label in labels.items()),
        numbers("received", f"received ({tables.currency})", found["received"], digits=2),
    ]


def _contracts(tables: RunTables, flex: FlexTables, line: Timeline, *, name: str) -> list[Column]:
    frame = of_strategy(flex.flex_contracts, name).head(MAX_ROWS)
    kw = ("reserved_kw", "released_kw", "called_kw", "dispatched_kw", "offered_kw", "accepted_kw")
    return [
        _times(line, frame),
        texts("participant", "participant", frame["participant"]),
        texts("contracts", "contract", frame["contracts"]),
        *(numbers(key, f"{key.removesuffix('_kw')} (kW)", frame[key], digits=1) for key in kw),
        texts("test", "test call", np.where(frame["test"].astype(bool), "yes", "")),
        numbers("fee", f"fee ({tables.currency})", frame["fee"], digits=3),
        numbers("withheld", f"withheld ({tables.currency})", frame["withheld"], digits=3),
    ]


def _trades(tables: RunTables, flex: FlexTables, line: Timeline, *, name: str) -> list[Column]:
    frame = of_strategy(flex.flex_trades, name).head(MAX_ROWS)
    return [
        _times(line, frame),
        numbers("periods", "periods", frame["periods"], digits=0),
        texts("buyer", "buyer", frame["buyer"]),
        texts("seller", "seller", frame["seller"]),
        texts("product", "product", frame["product"]),
        numbers("quantity", "quantity (kW)", frame["quantity_kw"], digits=3),
        numbers("price", f"price ({tables.currency}/kW and period)", frame["price"], digits=4),
        numbers("amount", f"amount ({tables.currency})", frame["amount"], digits=2),
    ]


def _unmet(line: Timeline, frame: "pd.DataFrame") -> list[Column]:
    return [
        _times(line, frame),
        texts("element", "element", frame["element"]),
        numbers("needed", "needed (kW)", frame["needed_kw"], digits=1),
        numbers("offered", "offered (kW)", frame["offered_kw"], digits=1),
        numbers("left", "loading with all of it (%)", frame["loading_percent"], digits=2),
        numbers("least", "least overload (kW)", frame["least_kw"], digits=1),
        numbers("least_percent", "loading then (%)", frame["least_percent"], digits=2),
        texts("proven", "could be cured", np.where(frame["proven"], "no", "yes, the market left something")),
    ]
