"""The life of single trades: which of them are told, and the steps of each through the controllers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gridagora.reports.columns import Column, numbers, texts
from gridagora.reports.series import Timeline
from gridagora.reports.tables import UPSTREAM, ZoneTables

if TYPE_CHECKING:
    import pandas as pd

MOST_TRADES = 30
"""Trades whose life is on the page."""

SHARES = (
    ("refused", 12),
    ("supplied instead", 6),
    ("between zones", 5),
    ("shortage", 3),
    ("to the bulk grid", 2),
)
"""Groups of trades in the order in which they are told, and how many of each at most; the rest is in-zone."""


def trade_lives(zones: ZoneTables, line: Timeline) -> list[dict[str, Any]]:
    """Return the chosen trades with their way: who stated or decided what, why, and between which zones."""
    frame = chosen(zones.zone_trades)
    steps = zones.approvals[zones.approvals["trade"].isin(frame["trade"])]
    ways = {str(name): rows for name, rows in steps.groupby(steps["trade"].astype(str), sort=False)}
    parent = dict(zip(zones.zones["zone"], zones.zones["parent"], strict=True))
    after = _followers(zones.zone_trades, frame)
    return [
        _life(row, ways.get(str(row["trade"])), parent, line=line, after=after.get(str(row["trade"]), ""))
        for row in frame.to_dict("records")
    ]


def chosen(trades: "pd.DataFrame") -> "pd.DataFrame":
    """Return the most telling trades, with the ``group`` of each: different deciders first, then by size."""
    frame = trades.assign(group=_groups(trades)).astype({"decided_by": str, "last_step": int})
    parts, left = [], MOST_TRADES
    for group, most in (*SHARES, ("inside one zone", MOST_TRADES)):
        rows = frame[frame["group"] == group].sort_values("quantity_kwh", ascending=False, kind="stable")
        keys = ["decided_by", "last_step", "buyer_zone"]
        turn = rows.groupby([rows[key].astype(str) for key in keys], sort=False).cumcount()
        rows = rows.assign(turn=turn).sort_values("turn", kind="stable").head(min(most, left))
        parts.append(rows)
        left -= len(rows)
    import pandas as pd

    return pd.concat(parts, ignore_index=True)


def _groups(trades: "pd.DataFrame") -> Any:
    kind, fine = trades["kind"].astype(str), trades["decision"].astype(str) == "approved"
    upstream = trades["buyer"].astype(str) == UPSTREAM
    apart = trades["buyer_zone"].astype(str) != trades["seller_zone"].astype(str)
    conditions = [kind == "supply", ~fine, kind == "shortage", upstream, apart]
    names = ["supplied instead", "refused", "shortage", "to the bulk grid", "between zones"]
    return np.select([one.to_numpy() for one in conditions], names, default="inside one zone")


def _followers(trades: "pd.DataFrame", frame: "pd.DataFrame") -> dict[str, str]:
    """Return, per chosen trade that was refused, what became of the request in its place."""
    rows = trades[trades["follows"].astype(str).isin(frame["trade"].astype(str)) & (trades["follows"] != "")]
    return {
        str(row["follows"]): f"{row['trade']}: {row['decision']}, {row['reason']}"
        for row in rows.to_dict("records")
    }


def _life(
    row: Mapping[Any, Any],
    steps: "pd.DataFrame | None",
    parent: dict[str, str],
    *,
    line: Timeline,
    after: str,
) -> dict[str, Any]:
    way = [] if steps is None else steps.to_dict("records")
    start, end = str(row["seller_zone"]), str(row["buyer_zone"])
    return {
        "id": str(row["trade"]),
        "group": row["group"],
        "when": line.label(row["period"]),
        "buyer": str(row["buyer"]),
        "seller": str(row["seller"]),
        "path": path_between(start, end, parent),
        "market": str(row["market"]),
        "kwh": round(float(row["quantity_kwh"]), 3),
        "price": round(float(row["price"]), 4),
        "decision": str(row["decision"]),
        "follows": str(row["follows"]),
        "after": after,
        "steps": [
            {
                "step": int(one["step"]),
                "by": str(one["by"]),
                "decision": str(one["decision"]),
                "reason": str(one["reason"]),
            }
            for one in way
        ],
    }


def path_between(start: str, end: str, parent: dict[str, str]) -> list[str]:
    """Return the zones from one to another, through the nearest zone around both.

    >>> path_between("east", "west", {"bulk": "", "village": "bulk", "east": "village", "west": "village"})
    ['east', 'village', 'west']
    """
    out, back = _up(start, parent), _up(end, parent)
    meet = next((name for name in out if name in back), out[-1])
    return [*out[: out.index(meet) + 1], *reversed(back[: back.index(meet)])]


def _up(zone: str, parent: dict[str, str]) -> list[str]:
    found = [zone]
    while parent.get(found[-1]):
        found.append(parent[found[-1]])
    return found


def decision_columns(zones: ZoneTables) -> list[Column]:
    """Return how often each controller approved and refused in each step."""
    frame = zones.approvals[zones.approvals["decision"].astype(str) != "stated"]
    by = [frame["by"].astype(str), frame["step"].astype(int)]
    fine = (frame["decision"].astype(str) == "approved").groupby(by).agg(["sum", "size"]).reset_index()
    return [
        texts("by", "who", fine["by"]),
        numbers("step", "step", fine["step"], digits=0),
        numbers("approved", "approved", fine["sum"], digits=0),
        numbers("rejected", "refused", fine["size"] - fine["sum"], digits=0),
    ]
