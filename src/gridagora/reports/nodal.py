"""Prices on the grid as drawn: one period at a time, a value for each bus, and what the price is made of."""

from typing import TYPE_CHECKING, Any

import numpy as np

from gridagora.reports.bins import plain
from gridagora.reports.series import Timeline
from gridagora.reports.tables import RunTables

if TYPE_CHECKING:
    import pandas as pd

MAX_SHOWN = 96
"""Periods whose nodal prices are on the page: those with the largest differences between nodes."""

PRICES = ("price", "energy", "loss", "congestion", "voltage")


def shown(table: "pd.DataFrame") -> list[int]:
    """Return the periods whose prices are on the page, in their order.

    ``table`` has a row per period with ``price_lowest`` and ``price_highest`` of its nodes.
    """
    if not len(table):
        return []
    spread = (table["price_highest"] - table["price_lowest"]).fillna(-1.0)
    best = table.assign(spread=spread).sort_values("spread", ascending=False, kind="stable").head(MAX_SHOWN)
    return sorted(int(period) for period in best["period"])


def nodal_data(
    tables: RunTables, prices: "pd.DataFrame", periods: list[int], *, line: Timeline, text: list[str]
) -> dict[str, Any]:
    """Return nodal prices as drawn: per period shown, one value per bus of the elements table.

    ``text`` says what happened in each period.  A bus that has a node per phase shows the one whose price is
    furthest from that of energy.
    """
    bus = _bus_of_nodes(tables, prices)
    frame = prices[prices["period"].isin(periods) & (prices["bus"].map(bus).astype(float) >= 0)]
    frame = frame.assign(at=frame["bus"].map(bus).astype(int), far=(frame["price"] - frame["energy"]).abs())
    frame = frame.sort_values(["period", "at", "far"], kind="stable")
    frame = frame.drop_duplicates(["period", "at"], keep="last")
    buses = sorted({int(at) for at in frame["at"]})
    data: dict[str, Any] = {"labels": [line.label(period) for period in periods], "bus": buses}
    for name in (*PRICES, "zone_price"):
        if name in frame.columns:
            wide = frame.pivot(index="period", columns="at", values=name).reindex(
                index=periods, columns=buses
            )
            data[name] = [plain(row, 6) for row in wide.to_numpy(dtype=float)]
    spread = [np.ptp([v for v in row if v is not None] or [0.0]) for row in data["price"]]
    data["worst"] = int(np.argmax(spread)) if spread else 0
    data["text"] = text
    return data


def _bus_of_nodes(tables: RunTables, prices: "pd.DataFrame") -> dict[str, int]:
    """Return the row in the elements table of each node's bus; -1 where it has none."""
    elements = tables.elements
    rows = np.flatnonzero((elements["kind"] == "bus").to_numpy())
    known = dict(zip(elements["element"].iloc[rows].astype(str), rows.tolist(), strict=True))
    nodes = [str(name) for name in prices["bus"].unique()]
    return {name: known.get(name, known.get(name.rpartition(".")[0], -1)) for name in nodes}
