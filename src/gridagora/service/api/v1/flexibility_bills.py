"""Flexibility on the bills of its sellers and buyers, from the items of its settlements."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from gridagora.adapters.sql import tables
from gridagora.billing.bills import BillLine
from gridagora.billing.flexibility import FlexibilityItem, flexibility_lines
from gridagora.ledger.journal import KINDS
from gridagora.service.api.v1.months import Month
from gridagora.service.api.v1.tools import Live


def flexibility_of(live: Live, connection: Connection, number: int, *, month: Month) -> tuple[BillLine, ...]:
    """Return the lines of a bill for what was delivered in the sessions of a month."""
    line, terms = tables.flexibility_lines.c, live.terms
    first, end = _periods(live, month)
    asked = select(*tables.flexibility_lines.columns).where(
        line.market == live.number,
        line.participant == number,
        line.entry >= first * KINDS,
        line.entry < end * KINDS,
    )
    items = (
        FlexibilityItem(
            period=row.entry // KINDS,
            reason=row.reason,
            product=row.product,
            contract=row.contract,
            energy_wh=row.energy_wh,
            amount=row.amount_micro,
        )
        for row in connection.execute(asked.order_by(line.seq, line.row))
    )
    zone = ZoneInfo(terms.timezone)

    def begins(period: int) -> datetime:
        return datetime.fromtimestamp(terms.begins(period), UTC).astimezone(zone)

    return flexibility_lines(items, begins)


def flexibility_is_settled(live: Live, month: Month) -> bool:
    """Tell whether all flexibility that was agreed for the sessions of a month is settled."""
    flex = live.state.flex
    if flex.terms is None:
        return True
    first, end = _periods(live, month)
    first, end = max(first, flex.terms.first), min(end, flex.terms.end)
    return all(
        period.settled_wh is not None
        or (
            not (period.cleared_kw.any() or period.adjusted_micro.any() or period.reserved_micro.any())
            and not period.redispatch_micro.any()
        )
        for period in (flex.window(first, end - first) if first < end else ())
    )


def _periods(live: Live, month: Month) -> tuple[int, int]:
    """Return the periods of a month's sessions."""
    return month.first * live.terms.session_periods, month.end * live.terms.session_periods
