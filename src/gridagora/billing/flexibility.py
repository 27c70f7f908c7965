"""Flexibility on a bill: what was reserved, activated, adjusted and not delivered, by product and time.

Items are those of a settlement (`gridagora.model.flexibility_events.FlexItems`).  Those of periods in a row
that have one price are one line, so the lines of a bill sum to its items to the micro-unit.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from gridagora.billing.amounts import divide
from gridagora.billing.bills import BillLine

REASONS = {
    "reserved": "reserved, kW x h",
    "withheld": "withheld from the fee, as less was offered than owed",
    "activated": "activated",
    "adjusted": "traded until the gate",
    "redispatch": "paired redispatch",
    "claw_back": "taken back, as it was not delivered",
    "penalty": "penalty, as it was not delivered",
    "refund": "refund, as it was not delivered",
}
"""Why money moves, in the order in which a bill tells it."""

Clock = Callable[[int], datetime]
"""Returns when a period begins, by the local clock."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlexibilityItem:
    """What one participant gets (+) or pays for one period, micro-units; ``energy_wh`` >= 0 is kW x h.

    ``reason`` is one of `REASONS`, ``product`` and ``contract`` are names, "" for none.
    """

    period: int
    reason: str
    product: str
    contract: str
    energy_wh: int
    amount: int

    @property
    def price(self) -> int | None:
        """Price in micro-units per kWh, without the sign of who pays; None where there is no energy."""
        return divide(abs(self.amount) * 1000, self.energy_wh) if self.energy_wh else None


def flexibility_lines(items: Iterable[FlexibilityItem], begins: Clock) -> tuple[BillLine, ...]:
    """Return the lines of a bill for items of one participant.

    Examples
    --------
    >>> sold = [FlexibilityItem(period=p, reason="activated", product="cap", contract="", energy_wh=1500,
    ...                         amount=600_000) for p in (8, 9)]
    >>> line, = flexibility_lines(sold, lambda period: datetime(2026, 1, 1, period // 4, period % 4 * 15))
    >>> line.text, line.quantity_wh, line.price, line.amount
    ('Flexibility cap, activated, 2026-01-01 02:00 to 02:30', 3000, 400000, -1200000)
    """
    order = list(REASONS)
    ranked = sorted(items, key=lambda one: (order.index(one.reason), one.product, one.contract, one.period))
    return tuple(_line(run, begins) for run in _runs(ranked))


def _runs(items: list[FlexibilityItem]) -> Iterator[list[FlexibilityItem]]:
    """Yield items of periods in a row that are alike in all but the period."""
    run: list[FlexibilityItem] = []
    for one in items:
        if run and not _continues(run[-1], one):
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def _continues(last: FlexibilityItem, one: FlexibilityItem) -> bool:
    same = (last.reason, last.product, last.contract) == (one.reason, one.product, one.contract)
    alike = last.price == one.price and (last.amount < 0) == (one.amount < 0)
    return same and alike and one.period == last.period + 1


def _line(run: list[FlexibilityItem], begins: Clock) -> BillLine:
    first, energy = run[0], sum(one.energy_wh for one in run)
    what = f"Flexibility {first.product}".strip() + f", {REASONS[first.reason]}"
    if first.contract:
        what += f", contract {first.contract}"
    start, end = begins(first.period), begins(run[-1].period + 1)
    until = f"{end:%H:%M}" if end.date() == start.date() else f"{end:%Y-%m-%d %H:%M}"
    return BillLine(
        text=f"{what}, {start:%Y-%m-%d %H:%M} to {until}",
        quantity_wh=energy or None,
        amount=-sum(one.amount for one in run),
    )
