"""What each participant's month comes to, out of the tables of a run, in whole Wh and micro-units.

Energy of the pool and its money are summed from the trades; what the invoices hold beyond them was settled
with the retailer.  The sums are then compared with the journal: a micro-unit of difference is a defect.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from gridagora.adapters.run_folder import RunFolder
from gridagora.billing.bills import MonthSums
from gridagora.billing.parties import RETAILER
from gridagora.errors import require
from gridagora.units import MICRO, WH_PER_KWH, amount_micro

KEYS = ["participant", "month"]
RECEIVED = ("energy_credit", "flexibility")
"""Columns of the invoices that are + received; the others are + paid."""

PAID = ("energy_charge", "imbalance_charge", "network_charge", "taxes", "standing")
ENERGY = ("imbalance_kwh", "retail_kwh", "feed_in_kwh")

TOLD = ("trade", "imbalance", "network", "taxes", "standing")
"""Kinds of postings that the trades and the invoices tell by themselves."""

MonthOf = tuple[str, date, date, MonthSums]


def month_sums(run: RunFolder) -> list[MonthOf]:
    """Return participant, first and last day, and sums, by participant and month.

    Raises
    ------
    InvariantError
        where they are not what the journal booked for each participant.
    """
    found: list[MonthOf] = []
    traded: Counter[str] = Counter()
    for _, part in run.by_months():
        sides = trade_sides(part)
        found += _months(part, sides)
        for who, amount in sides.groupby("participant")["amount"].sum().items():
            traded[str(who)] += int(amount)
    order = {who: place for place, who in enumerate(run.participants)}
    found.sort(key=lambda month: (order.get(month[0], len(order)), month[1]))
    found += _others(run, {participant for participant, *_ in found})
    _check(run, found, traded)
    return found


def _months(run: RunFolder, traded: pd.DataFrame) -> list[MonthOf]:
    """Return the months of those with invoices, of tables that are cut to one month."""
    billed = _invoices(run)
    pool = _pool(traded)
    # charges and credits of the invoices net each period; the same is taken off them for the trades
    each = traded.groupby([*KEYS, "period"], observed=True)["amount"].sum()
    for name, part in (("traded_charge", each.clip(upper=0)), ("traded_credit", each.clip(lower=0))):
        pool[name] = part.groupby(level=KEYS, observed=True).sum().reindex(pool.index, fill_value=0)
    table = billed.join(pool).fillna(0).astype(dict.fromkeys(pool.columns, np.int64))
    return [_month(key, row) for key, row in zip(table.index, table.to_dict("records"), strict=True)]


def trade_sides(run: RunFolder) -> pd.DataFrame:
    """Return both sides of every trade: who, the other party, Wh, amount + received, place in the trades.

    The retailer's own sides are left out.
    """
    trades = run.trades
    wh, day = trades["quantity_wh"], run.day.reindex(trades["period"]).to_numpy()
    received = amount_micro(wh, trades["seller_price_micro_per_kwh"])
    parts = []
    for side, who, other, amount in (
        ("buy", "buyer", "seller", -trades["amount_micro"].to_numpy()),
        ("sell", "seller", "buyer", received),
    ):
        price = "price_micro_per_kwh" if side == "buy" else "seller_price_micro_per_kwh"
        columns = {
            "trade": trades.index.to_numpy(),
            "side": side,
            "participant": trades[who].astype(str).to_numpy(),
            "other": trades[other].astype(str).to_numpy(),
            "period": trades["period"].to_numpy(),
            "start": trades["start"].to_numpy(),
            "day": day,
            "quantity_wh": wh.to_numpy(),
            "price": trades[price].to_numpy(),
            "amount": amount,
        }
        parts.append(pd.DataFrame(columns))
    both = pd.concat(parts, ignore_index=True)
    both["month"] = both["day"].str[:7]
    return both[both["participant"] != RETAILER]


def _invoices(run: RunFolder) -> pd.DataFrame:
    """Sum the invoices of each month: amounts + received in micro-units, energy in Wh, days."""
    table = run.invoices
    day = table["day"].astype(str)
    columns: dict[str, Any] = {"participant": table["participant"].astype(str), "month": day.str[:7]}
    for name in (*PAID, *RECEIVED):
        values = table[name] if name in table.columns else pd.Series(0.0, index=table.index)
        sign = 1 if name in RECEIVED else -1
        columns[name] = sign * np.rint(values * MICRO).astype(np.int64)
    for name in ENERGY:
        columns[name] = np.rint(table[name] * WH_PER_KWH).astype(np.int64)
    groups = pd.DataFrame(columns).groupby(KEYS, sort=False)
    days = pd.DataFrame(columns | {"day": day}).groupby(KEYS, sort=False)["day"].agg(["min", "max", "count"])
    return groups.sum().join(days)


def _pool(traded: pd.DataFrame) -> pd.DataFrame:
    """Sum the trades of each month by side and by whether the retailer is the other party."""
    upstream = traded["other"] == RETAILER
    parts = {}
    for place, which in (("local", ~upstream), ("upstream", upstream)):
        for side in ("buy", "sell"):
            group = traded[which & (traded["side"] == side)].groupby(KEYS)
            parts[f"{place}_{side}_wh"] = group["quantity_wh"].sum()
            parts[f"{place}_{side}"] = group["amount"].sum()
    return pd.DataFrame(parts).fillna(0).astype(np.int64)


def _month(key: Any, row: dict[Any, Any]) -> MonthOf:
    participant, _ = key
    sums = MonthSums(
        days=int(row["count"]),
        bought_wh=int(row["local_buy_wh"]),
        bought=int(row["local_buy"]),
        sold_wh=int(row["local_sell_wh"]),
        sold=int(row["local_sell"]),
        retail_wh=int(row["retail_kwh"]),
        retail=int(row["upstream_buy"] + row["energy_charge"] - row["traded_charge"]),
        feed_in_wh=int(row["feed_in_kwh"]),
        feed_in=int(row["upstream_sell"] + row["energy_credit"] - row["traded_credit"]),
        imbalance_wh=int(row["imbalance_kwh"]),
        imbalance=int(row["imbalance_charge"]),
        network=int(row["network_charge"]),
        taxes=int(row["taxes"]),
        standing=int(row["standing"]),
        flexibility=int(row["flexibility"]),
    )
    return participant, date.fromisoformat(row["min"]), date.fromisoformat(row["max"]), sums


def _own_postings(run: RunFolder) -> pd.DataFrame:
    """Return the postings of participants with their names and days."""
    account = run.journal["account"].astype(str)
    own = run.journal[account.str.startswith("participant:")]
    names = account[own.index].str.removeprefix("participant:")
    return own.assign(participant=names, day=run.day.reindex(own["period"]).to_numpy())


def _others(run: RunFolder, known: set[str]) -> list[MonthOf]:
    """Return the months of those that have an account and no invoices, such as the buyer of flexibility."""
    postings = _own_postings(run)
    rest = postings[~postings["participant"].isin(known)]
    found = []
    for (who, _), rows in rest.groupby(["participant", rest["day"].str[:7]]):
        days = [day for day in run.days if day[:7] == rows["day"].iloc[0][:7]]
        amounts = rows.groupby(rows["memo"].astype(str), sort=False)["amount_micro"].sum()
        journal = tuple((str(memo), int(amount)) for memo, amount in amounts.items())
        first, last = date.fromisoformat(days[0]), date.fromisoformat(days[-1])
        found.append((str(who), first, last, MonthSums(days=len(days), journal=journal)))
    return found


def _check(run: RunFolder, found: list[MonthOf], traded: Mapping[str, int]) -> None:
    """Raise unless each participant's sums are its postings, in all and of each kind that the tables tell."""
    postings = _own_postings(run)
    booked: Counter[tuple[str, str]] = Counter()
    columns = (postings["participant"], postings["memo"].astype(str), postings["amount_micro"])
    for who, what, amount in zip(*(column.tolist() for column in columns), strict=True):
        booked[who, "all"] += amount
        if what in TOLD:
            booked[who, what] += amount
    billed: Counter[tuple[str, str]] = Counter()
    for who, _, _, sums in found:
        billed[who, "all"] += sums.received
        for what, amount in (("trade", 0), *((name, getattr(sums, name)) for name in TOLD[1:])):
            billed[who, what] += amount + sum(value for name, value in sums.journal if name == what)
    billed.update({(who, "trade"): amount for who, amount in traded.items()})
    wrong = [
        f"{who} ({what})"
        for who, what in sorted({*booked, *billed})
        if booked[who, what] != billed[who, what]
    ]
    require(not wrong, f"bills differ from the journal for {wrong[:5]}")
