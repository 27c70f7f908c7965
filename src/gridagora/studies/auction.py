"""One flexibility auction out of a file: cleared, with the payments by every rule side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from gridagora.adapters.flex_files import (
    FlexBidTable,
    moment_number,
    offer_faults,
    output_faults,
    read_capacities,
    read_flex_bids,
    write_tables,
)
from gridagora.errors import Fault, InputError, check_faults
from gridagora.market import CapacityLimitResult, capacity_limit_auction
from gridagora.market.payments import Payments, payments
from gridagora.market.payments.rules import RuleName
from gridagora.scenario.suggest import near

if TYPE_CHECKING:
    import pandas as pd

RULES: tuple[RuleName, ...] = get_args(RuleName)

EXACT_PLAYERS = 20
"""Up to so many players the excess of all coalitions is looked at; of more, the search takes long."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AuctionTables:
    """What a cleared file comes to.

    Parameters
    ----------
    bids : the bids with ``accepted_kw``
    prices : price and quantity of each period; the price is that of the last kW, with ordered steps or groups
        not what everyone pays
    payments : money per participant and rule, + received, - paid
    properties : per rule the budget balance, what held on this market, and the excess
    left_out : rules that are not defined for this market
    """

    bids: "pd.DataFrame"
    prices: "pd.DataFrame"
    payments: "pd.DataFrame"
    properties: "pd.DataFrame"
    left_out: tuple[str, ...]

    def write(self, path: str | Path) -> tuple[Path, ...]:
        """Write all tables to an Excel file, or to CSV files beside each other; return their paths."""
        tables = {name: getattr(self, name) for name in ("bids", "prices", "payments", "properties")}
        return write_tables(Path(path), tables)


def auction_file(
    path: str | Path,
    *,
    ordered: bool = False,
    rules: Sequence[str] = (),
    capacity: str | Path | None = None,
    now: str | None = None,
    output: str | Path | None = None,
) -> AuctionTables:
    """Clear the bids of a file and pay them by several rules.

    Parameters
    ----------
    path : bids (`gridagora.adapters.flex_files`)
    ordered : buyers' steps are taken in their order, whatever their prices
    rules : names of payment rules; all that are defined for this market if none is named
    capacity : file with the connection capacity of each seller, which its offers may not exceed
    now : first period, or moment, that can still be bid for
    output : where the results are to be written; only checked here, before any work

    Raises
    ------
    InputError
        With every fault of the files and options.
    """
    source = Path(path)
    faults = _rule_faults(rules)
    if output is not None:
        inputs = [source] if capacity is None else [source, Path(capacity)]
        faults += output_faults(Path(output), inputs=inputs)
    table, found = read_flex_bids(source)
    faults += found
    if table is not None:
        faults += _market_faults(table, capacity=capacity, now=now)
    check_faults(faults)
    if table is None:
        raise InputError(faults)
    try:
        result = capacity_limit_auction(
            table.bids,
            ordered=ordered,
            blocks="group" if table.has_groups else None,
            direction=table.direction,
        )
    except InputError as error:
        raise InputError(table.in_file(fault) for fault in error.faults) from None
    return _tables(table, result, rules)


def _rule_faults(rules: Sequence[str]) -> list[Fault]:
    return [
        Fault(
            source="command line",
            place="--rule",
            value=rule,
            reason="is no payment rule",
            fix=near(rule, RULES) or f"use one of {', '.join(RULES)}",
        )
        for rule in rules
        if rule not in RULES
    ]


def _market_faults(table: FlexBidTable, *, capacity: str | Path | None, now: str | None) -> list[Fault]:
    """Check the bids against each other, the connections and the present."""
    faults: list[Fault] = []
    known = None
    if capacity is not None:
        known, faults = read_capacities(Path(capacity), direction=table.sold)
        known = None if faults else known
    first = 0 if now is None else moment_number(now, table.starts)
    if first is None:
        kind = "a whole number" if table.starts is None else "a date and time"
        fix = "write the first period that can still be bid for, as the file writes it"
        reason = f"is not {kind}"
        faults.append(Fault(source="command line", place="--now", value=now, reason=reason, fix=fix))
    return faults + offer_faults(
        table, capacity_kw=known, capacity_source=str(capacity or ""), now=first or 0
    )


def _tables(table: FlexBidTable, result: CapacityLimitResult, rules: Sequence[str]) -> AuctionTables:
    """Put the results in tables."""
    import pandas as pd

    wanted = [rule for rule in RULES if rule in rules] if rules else list(RULES)
    left_out = [rule for rule in wanted if not rules and rule == "uniform" and not result.rules.is_plain]
    paid = {rule: payments(result, rule=rule) for rule in wanted if rule not in left_out}
    amounts = pd.DataFrame({rule: found.amounts for rule, found in paid.items()})
    amounts.index.name = "participant"
    return AuctionTables(
        bids=_bids(table, result),
        prices=_prices(table, result),
        payments=amounts,
        properties=_properties(paid),
        left_out=tuple(left_out),
    )


def _bids(table: FlexBidTable, result: CapacityLimitResult) -> "pd.DataFrame":
    """Return the bids as the file has them, with what was accepted."""
    frame = table.bids.to_frame().rename(columns={"quantity": "quantity_kw"})
    if table.starts is not None:
        frame["period"] = table.starts[table.bids.period]
        frame = frame.rename(columns={"period": "start"})
    first = ["participant", "side", "period" if table.starts is None else "start"]
    rest = [name for name in ("step", "group", "quantity_kw", "price") if name in frame.columns]
    frame = frame[[*first, *rest]]
    return frame.assign(accepted_kw=np.asarray(result.accepted))


def _prices(table: FlexBidTable, result: CapacityLimitResult) -> "pd.DataFrame":
    """Return price and accepted quantity of each period."""
    import pandas as pd

    sold = np.zeros(len(result.period))
    sells = ~table.bids.is_buy
    np.add.at(sold, np.searchsorted(result.period, table.bids.period[sells]), result.accepted[sells])
    when = ("period", result.period) if table.starts is None else ("start", table.starts[result.period])
    return pd.DataFrame({when[0]: when[1], "quantity_kw": sold, "price": result.price})


def _properties(paid: dict[RuleName, Payments]) -> "pd.DataFrame":
    """Return per rule what is left with the operator of the market, and what held on this market."""
    import pandas as pd

    columns = {}
    for rule, found in paid.items():
        small = len(found.market.names) <= EXACT_PLAYERS
        columns[rule] = {
            "budget_balance": found.budget_balance,
            **found.properties,
            "largest_excess": found.excess.maximum if small else None,
            "largest_error": float(found.errors.max()) if len(found.errors) else 0.0,
        }
    frame = pd.DataFrame(columns, dtype=object)
    frame.index.name = "property"
    return frame
