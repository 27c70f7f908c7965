"""The part of the page about a flexibility market: what it did to the wires, in sentences and a table."""

import math
from html import escape
from typing import TYPE_CHECKING, Any

from gridagora.reports.tables import FlexTables, RunTables
from gridagora.reports.words import number

if TYPE_CHECKING:
    import pandas as pd

STRATEGIES = {"impact": "impact-based", "probability": "probability-based", "rebound_aware": "rebound-aware"}
"""Ways in which the operator bids, as they are written on the page."""

RULES = {
    "shapley": "Shapley",
    "vcg": "VCG",
    "vcg_one_sided": "one-sided VCG",
    "uniform": "uniform price",
    "pay_as_bid": "pay-as-bid",
}
"""Payment rules, as they are written on the page."""

PRODUCTS = {
    "cap": "limits on consumption",
    "floor": "limits on feed-in",
    "down": "reductions of consumption",
    "up": "increases of consumption",
}

CENT = 0.005
"""Money below half a cent is not spoken of as money."""

ROWS = (
    ("Above {threshold} % before (h)", "overloaded_before_h", "hours"),
    ("&nbsp;&nbsp;of it cured (h)", "cured_h", "hours"),
    ("&nbsp;&nbsp;share cured (%)", "share_cured", "share"),
    ("&nbsp;&nbsp;of it reduced, still above (h)", "reduced_h", "hours"),
    ("Newly overloaded (h)", "newly_overloaded_h", "hours"),
    ("Above {threshold} % after (h)", "overloaded_after_h", "hours"),
    ("Highest loading before (%)", "loading_max_before_percent", "1"),
    ("Highest loading after (%)", "loading_max_after_percent", "1"),
    ("Periods with voltage out of band, before", "voltage_periods_before", "0"),
    ("Periods with voltage out of band, after", "voltage_periods_after", "0"),
    ("Sold in auctions (kWh)", "sold_kwh", "0"),
    ("Metered less while sold (kWh)", "metered_less_kwh", "0"),
    ("Ordered and not delivered (kWh)", "deficiency_kwh", "1"),
    ("{buyer} paid ({money})", "operator_cost", "2"),
    ("Sellers' cost by their offers ({money})", "sellers_cost", "2"),
    ("Sellers' gain ({money})", "sellers_gain", "2"),
    ("Left with the market ({money})", "budget_balance", "2"),
    ("Needs that no offer could cure", "unmet", "0"),
)
"""(label, column of flex_strategies, digits) of the comparison."""


def way(name: str) -> str:
    """Return a way of bidding as it is written on the page.

    >>> way("rebound_aware")
    'rebound-aware'
    """
    return STRATEGIES.get(name, name.replace("_", " "))


def hours_text(value: float) -> str:
    """Return a time in hours, with decimals only where it has some.

    >>> hours_text(3.0), hours_text(18.5), hours_text(0.25)
    ('3', '18.5', '0.25')
    """
    digits = next((k for k in (0, 1) if float(value * 10**k).is_integer()), 2)
    return number(value, digits)


def headline(tables: RunTables, flex: FlexTables) -> str:
    """Return what the market did to the wires and what it cost, in sentences for a grid engineer."""
    row: Any = flex.flex_strategies.iloc[0]
    limit = f"{flex.threshold_percent:g} %"
    new = row["newly_overloaded_h"]
    if row["overloaded_before_h"]:
        text = (
            f"Bidding {way(flex.settled)}, {flex.buyer} cured {hours_text(row['cured_h'])} of "
            f"{hours_text(row['overloaded_before_h'])} hours ({number(100 * row['share_cured'], 1)} %) in "
            f"which a line or transformer was above {limit}; {_hours_are(new)} newly overloaded. "
            f"The highest loading goes from {number(row['loading_max_before_percent'], 1)} % to "
            f"{number(row['loading_max_after_percent'], 1)} %. "
        )
    else:
        text = f"No line or transformer is above {limit} without the flexibility market"
        text += f"; with it, {_hours_are(new)} newly overloaded. " if new else ". "
    return text + _voltages(row) + _cost(tables, flex) + _unmet(flex)


def _voltages(row: Any) -> str:
    before, after = int(row["voltage_periods_before"]), int(row["voltage_periods_after"])
    if after:
        return f"A voltage is outside its limits in {_periods(after)} ({before:,} before). "
    return f"No voltage is outside its limits (in {_periods(before)} before). " if before else ""


def _cost(tables: RunTables, flex: FlexTables) -> str:
    row: Any = flex.flex_strategies.iloc[0]
    money, cost = tables.currency, float(row["operator_cost"])
    deed = (
        f"paid {number(cost, 2)} {money} for flexibility"
        if cost > -CENT
        else f"got back {number(-cost, 2)} {money} more than it paid for flexibility"
    )
    return (
        f"{flex.buyer} {deed} ({_bought(tables, flex)}); by their offers what was sold cost the sellers "
        f"{number(row['sellers_cost'], 2)} {money}.{_left(row, flex.buyer, money)}"
    )


def _bought(tables: RunTables, flex: FlexTables) -> str:
    """Return what the money was for, and what came back of it."""
    row: Any = flex.flex_strategies.iloc[0]
    contracts = of_strategy(flex.flex_contracts, flex.settled)
    missed = of_strategy(flex.flex_deliveries, flex.settled)
    fees = float((contracts["fee"] - contracts["withheld"]).sum())
    back = float((missed["claw_back"] + missed["penalty"]).sum())
    text = f"{number(row['sold_kwh'], 0)} kWh of {PRODUCTS[flex.direction]} in auctions"
    if fees >= CENT:
        text += f", {number(fees, 2)} {tables.currency} for keeping power ready"
    if back >= CENT:
        text += f"; sellers gave back {number(back, 2)} {tables.currency} for what they did not deliver"
    return text


def _left(row: Any, buyer: str, money: str) -> str:
    """Return who bears what a rule like VCG pays out beyond what it takes in: neither buyer nor seller."""
    left = float(row["budget_balance"])
    if abs(left) < CENT:
        return ""
    if left > 0:
        return f" {number(left, 2)} {money} more came in than was paid out."
    return (
        f" The sellers received {number(-left, 2)} {money} more than {buyer} paid: the market pays it out "
        "without taking it in, and somebody must bear it."
    )


def _unmet(flex: FlexTables) -> str:
    row: Any = flex.flex_strategies.iloc[0]
    if not row["unmet"]:
        return ""
    needs = "need" if row["unmet"] == 1 else "needs"
    text = f" {int(row['unmet'])} {needs} could not have been cured with all that was offered"
    unmet = flex.flex_unmet[flex.flex_unmet["strategy"] == row["strategy"]]
    proven = int(unmet["proven"].sum())
    return text + (f"; {proven} of them not even if one hand ran all devices." if proven else ".")


def _hours_are(value: float) -> str:
    """Return hours as the subject of a sentence.

    >>> _hours_are(0.0), _hours_are(1.0), _hours_are(2.5)
    ('no hour is', '1 hour is', '2.5 hours are')
    """
    if not value:
        return "no hour is"
    return f"{hours_text(value)} hour is" if value == 1 else f"{hours_text(value)} hours are"


def _periods(count: int) -> str:
    return f"{count:,} period{'' if count == 1 else 's'}"


def parts(tables: RunTables, flex: FlexTables) -> dict[str, str]:
    """Return the texts of the section, escaped, by the names in its template."""
    row: Any = flex.flex_strategies.iloc[0]
    mood = "caution" if row["overloaded_after_h"] else "proud"
    return {
        "headline": f'<p class="{mood}"><strong>{escape(headline(tables, flex))}</strong></p>',
        "strategies": _comparison(tables, flex),
        "strategies_note": _note(flex),
        "buttons": _buttons(flex),
        "threshold": f"{flex.threshold_percent:g}",
        "counted": _counted(flex),
        "delivery": escape(delivery_text(tables, flex, flex.settled)),
        "delivered": _delivered(flex),
        "currency": escape(tables.currency),
    }


def _comparison(tables: RunTables, flex: FlexTables) -> str:
    frame = flex.flex_strategies
    words = {
        "threshold": f"{flex.threshold_percent:g}",
        "buyer": escape(flex.buyer),
        "money": escape(tables.currency),
    }
    head = "".join(
        f"<th scope='col'>{escape(way(name))}{' (settled)' if settled else ''}</th>"
        for name, settled in zip(frame["strategy"], frame["settled"], strict=True)
    )
    rows = "".join(
        f"<tr><th scope='row'>{label.format(**words)}</th>"
        + "".join(
            f'<td data-flex="{column}" data-value="{float(value)!r}">{_cell(float(value), digits)}</td>'
            for value in frame[column]
        )
        + "</tr>"
        for label, column, digits in ROWS
    )
    return (
        f"<table class='ways'><thead><tr><th scope='col'>Way of bidding</th>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _cell(value: float, digits: str) -> str:
    if digits == "hours":
        return hours_text(value)
    if digits == "share":
        return number(100 * value, 1) if math.isfinite(value) else "n/a"
    return number(value, int(digits))


def _note(flex: FlexTables) -> str:
    text = (
        "Each way of bidding is run through all days by itself, with the same homes, weather and "
        "forecasts. A period counts as cured only when no line or transformer is above the threshold "
        "in it. "
    )
    if len(flex.flex_strategies) > 1:
        text += (
            "The FlexiGrid project (deliverable D2.3, section 3.4.5) reports 68 % (impact-based) and 72 % "
            "(probability-based) of congestion occasions with a lower loading, on its own data; "
            "lower is less than cured, and those are not figures of this run."
        )
    return escape(text)


def _buttons(flex: FlexTables) -> str:
    return "".join(
        f'<button type="button" class="way{" on" if k == 0 else ""}" data-way="{escape(name)}" '
        f'aria-pressed="{"true" if k == 0 else "false"}">{escape(way(name))}</button>'
        for k, name in enumerate(flex.flex_strategies["strategy"])
    )


def _counted(flex: FlexTables) -> str:
    if flex.direction in ("cap", "floor"):
        return (
            "Quantities are cuts below the connection capacities: limit = capacity &#8722; quantity. "
            "The part that nobody would have used anyway is offered at a price of 0."
        )
    return "Quantities are deviations from the baseline."


def _delivered(flex: FlexTables) -> str:
    if flex.direction in ("cap", "floor"):
        return "Delivery is proven by the meter alone: it stayed at its limit or below."
    return "Delivery is the metered deviation from the baseline."


def of_strategy(frame: "pd.DataFrame", name: str) -> "pd.DataFrame":
    """Return the rows of one strategy."""
    return frame[frame["strategy"] == name]


def delivery_text(tables: RunTables, flex: FlexTables, name: str) -> str:
    """Return how many orders of a way of bidding were kept, and what became of the others."""
    found = of_strategy(flex.flex_deliveries, name)
    if not len(found):
        return "Nothing was ordered."
    missed = found[found["deficiency_kwh"] > 0]
    money = tables.currency
    text = f"{len(found):,} orders went out; {len(found) - len(missed):,} were delivered in full."
    if len(missed):
        who = ", ".join(sorted(set(missed["participant"])))
        text += (
            f" {number(float(missed['deficiency_kwh'].sum()), 1)} kWh were missing, at {who}; "
            f"{number(float(found['claw_back'].sum()), 2)} {money} were taken back and "
            f"{number(float(found['penalty'].sum()), 2)} {money} charged as penalty."
        )
    guessed = int(found["estimated"].sum())
    return text + (f" {guessed:,} rest on estimated readings." if guessed else "")


def rules_text(rules: "pd.DataFrame", paid: "pd.DataFrame", *, buyers: set[str], currency: str) -> str:
    """Return what the differences between the rules mean on one day, from the numbers of that day."""
    settled = [RULES[str(name)] for name in rules.loc[rules["settled"], "rule"]]
    text = f"Settled by {settled[0]}. " if settled else ""
    if "uniform" not in set(rules["rule"]):
        text += "Of the day's bids no uniform price can be made that suits everyone. "
    text += _balances(rules, currency)
    cost = -paid[paid["participant"].isin(buyers)][[str(name) for name in rules["rule"]]].sum()
    low, high = str(cost.idxmin()), str(cost.idxmax())
    text += (
        f"For the same flexibility {', '.join(sorted(buyers))} would pay from "
        f"{number(float(cost[low]), 2)} ({RULES[low]}) to {number(float(cost[high]), 2)} {currency} "
        f"({RULES[high]}). "
    )
    return text + _stability(rules, currency) + _truth(rules)


def _balances(rules: "pd.DataFrame", currency: str) -> str:
    even = [RULES[str(name)] for name in rules.loc[rules["budget_balanced"], "rule"]]
    text = f"Payments sum to 0 under {_listed(even)}. " if even else ""
    for rule, left in zip(rules["rule"], rules["budget_balance"], strict=True):
        if abs(left) >= CENT:
            deed = "pays out {} more than it takes in" if left < 0 else "takes in {} more than it pays out"
            text += f"{RULES[str(rule)]} {deed.format(f'{number(abs(left), 2)} {currency}')}. "
    return text


def _stability(rules: "pd.DataFrame", currency: str) -> str:
    loses = [RULES[str(name)] for name in rules.loc[~rules["individually_rational"], "rule"]]
    text = f"Somebody is worse off than without the market under {_listed(loses)}. " if loses else ""
    leaving = rules[rules["largest_excess"] >= CENT]
    if not len(leaving):
        return text + "No group of players would gain by leaving, under any rule. "
    named = [
        f"{RULES[str(row['rule'])]} ({number(float(row['largest_excess']), 2)} {currency}: "
        f"{row['coalition']})"
        for _, row in leaving.iterrows()
    ]
    return text + f"A group of players would gain by trading without the others under {_listed(named)}. "


def _truth(rules: "pd.DataFrame") -> str:
    gained = [RULES[str(name)] for name in rules.loc[rules["strategy_proof"] == "no", "rule"]]
    held = [RULES[str(name)] for name in rules.loc[rules["strategy_proof"] == "no false bid paid", "rule"]]
    text = f"Some false bids would have paid under {_listed(gained)}. " if gained else ""
    return text + (f"None that was tried paid under {_listed(held)}." if held else "")


def _listed(names: list[str]) -> str:
    """Return names as a person lists them.

    >>> _listed(["a", "b", "c"])
    'a, b and c'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
