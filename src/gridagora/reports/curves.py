"""Bids of every period (or of the most telling ones), packed for the supply-demand curve of the page."""

from typing import TYPE_CHECKING, Any

import numpy as np

from gridagora.reports.bins import plain
from gridagora.reports.series import Timeline
from gridagora.reports.tables import RunTables

if TYPE_CHECKING:
    import pandas as pd

MAX_BIDS = 150_000
"""Bids a page carries before it keeps only the most telling periods (some 4 MB)."""

CHOSEN_PERIODS = 150
"""Periods kept by each of the two rules of choice in a long run."""


def curve_data(tables: RunTables, line: Timeline, *, most: int = MAX_BIDS) -> dict[str, Any]:
    """Return the bids of the shown periods as columns, with the clearing of each period.

    Bids without a price (an islanded feeder has no retailer) are left out; a quantity without bound is None.
    """
    bids = tables.bids
    usable = bids[np.isfinite(bids["price"].to_numpy(dtype=np.float64)) & (bids["quantity"].to_numpy() > 0)]
    chosen, rule = _choose(tables, line, usable, most=most)
    rows = usable[usable["period"].isin(chosen)].sort_values("period", kind="stable")
    codes, names = rows["participant"].astype(str).factorize(sort=True)
    first = np.searchsorted(rows["period"].to_numpy(dtype=np.int64), chosen)
    place = np.searchsorted(line.periods, chosen)
    cleared = {
        name: plain(line.align(tables.prices, name)[place], 6)
        for name in ("volume_kwh", "local_volume_kwh", "retail", "feed_in")
    }
    return {
        "rule": rule,
        "labels": [line.labels[number] for number in place],
        "first": [*first.tolist(), len(rows)],
        "side": "".join(np.where(rows["side"].astype(str).to_numpy() == "buy", "b", "s").tolist()),
        "price": plain(rows["price"], 6),
        "quantity": plain(rows["quantity"], 6),
        "accepted": plain(rows["accepted"], 6),
        "who": codes.tolist(),
        "names": [str(name) for name in names],
        "price_cleared": plain(line.align(tables.prices, "price")[place], 6),
        **cleared,
        "picks": _picks(tables, line, chosen),
    }


def _stress(tables: RunTables, line: Timeline) -> Any:
    """Return the highest loading over its limit, per period; 0 where it is unknown."""
    lines = line.align(tables.flows, "line_loading_percent") / tables.limits.line_loading_percent
    transformers = line.align(tables.flows, "transformer_loading_percent")
    return np.nan_to_num(np.fmax(lines, transformers / tables.limits.transformer_loading_percent))


def _choose(tables: RunTables, line: Timeline, bids: "pd.DataFrame", *, most: int) -> tuple[Any, str]:
    if len(bids) <= most:
        return line.periods, f"all {len(line.periods):,} periods of the run"
    volume = np.nan_to_num(line.align(tables.prices, "local_volume_kwh"))
    stress = _stress(tables, line)
    best = [np.argsort(-key, kind="stable")[:CHOSEN_PERIODS] for key in (stress, volume)]
    place = np.unique(np.concatenate(best))
    rule = (
        f"{len(place)} of {len(line.periods):,} periods: the {CHOSEN_PERIODS} with the highest line or "
        f"transformer "
        f"loading and the {CHOSEN_PERIODS} with the most energy traded between participants; "
        "all others are in bids.parquet"
    )
    return line.periods[place], rule


def _picks(tables: RunTables, line: Timeline, chosen: Any) -> list[list[Any]]:
    """Return (what, position among the shown periods) of periods worth a look."""
    place = np.searchsorted(line.periods, chosen)
    keys = (
        ("most local trade", line.align(tables.prices, "local_volume_kwh"), 1),
        ("highest loading", _stress(tables, line), 1),
        ("lowest voltage", line.align(tables.flows, "vm_min_pu"), -1),
        ("highest voltage", line.align(tables.flows, "vm_max_pu"), 1),
        ("highest price", line.align(tables.prices, "price"), 1),
        ("lowest price", line.align(tables.prices, "price"), -1),
    )
    found: list[list[Any]] = []
    for what, values, sign in keys:
        shown = values[place] * sign
        if np.isfinite(shown).any() and np.nanmax(np.abs(shown)) > 0:
            found.append([what, int(np.nanargmax(shown))])
    return found
