"""Why a command is refused: faults with codes that programs can rely on."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, cast

from gridagora.errors import Fault

LONGEST_TEXT = 2_000
"""Characters of a text in a command or a record at most."""

WHOLE_TEXTS = frozenset({"body", "scenario", "documents"})
"""Fields that hold documents: they are read and checked as such."""

CODES = {
    "market_not_open": "the market was never opened",
    "market_open": "the market is open already",
    "session_unknown": "no such session takes bids or is kept",
    "gate_closed": "the gate of the session is closed",
    "gate_open": "the gate of the session is not due yet",
    "session_state": "the session is not at that step",
    "participant_unknown": "no participant has that id",
    "participant_not_active": "the participant is not active",
    "participant_passive": "the participant never trades: its energy is the retailer's",
    "no_connection": "the participant has no active connection point",
    "not_prequalified": "the participant has no approved asset that can give energy",
    "period_unknown": "the period belongs to no session, or not to this one",
    "side_unknown": "neither 1 nor -1",
    "price_out_of_bounds": "outside the prices that the market takes",
    "quantity_out_of_bounds": "outside the quantities that the market takes",
    "columns_differ": "columns have different lengths",
    "no_rows": "there is nothing in it",
    "not_whole": "not whole numbers",
    "bid_unknown": "no such bid of the participant stands in the session",
    "insufficient_funds": "the wallet does not cover it",
    "amount_out_of_bounds": "no amount of money above zero that the market takes",
    "text_invalid": "no text that can be kept",
    "kind_unknown": "no such kind of record",
    "id_invalid": "no id",
    "body_invalid": "the record is no JSON object",
    "field_unknown": "the kind of record has no such field",
    "field_missing": "the field is needed",
    "field_invalid": "the field cannot hold that",
    "status_unknown": "the kind of record has no such status",
    "version_conflict": "the record has changed since",
    "exists": "somebody or something has that id or address already",
    "reference_unknown": "the record that it names is not there",
    "place_unknown": "no such bus, zone or participant",
    "time_invalid": "moments that cannot be",
    "duplicate_period": "the same participant and period twice",
    "reading_in_future": "the period is not over yet",
    "reading_out_of_bounds": "no energy that a meter can show",
    "signature_invalid": "no signature that holds by the key of the connection point",
    "clock_jump": "the clock leapt ahead, and the market waits until it is back or is accepted",
    "clock_steady": "the clock has not leapt: there is nothing to accept",
    "clock_differs": "the clock shows another time",
    "month_state": "the month is not the next one to be billed, or not settled yet",
    "bills_changed": "something was booked on a bill since these were made",
    "payment_unknown": "no payment that can change has that id",
    "payment_state": "the payment is not at that step",
    "message_used": "a file of another month has that name",
    "session_closed": "settled, and too long ago to be changed",
    "baseline_missing": "nothing tells what the meter would have shown without the order",
    "dispute_exists": "a dispute has that id already",
    "dispute_unknown": "no open dispute has that id",
    "dispute_late": "the time for disputes is over",
}
"""Every code of a refusal, with what it means."""


def refusal(code: str, place: str, value: object, *, reason: str = "", fix: str) -> Fault:
    """Return a fault with a code; the reason is that of the code unless it is told better.

    >>> print(refusal("gate_closed", "session", 7, fix="bid in the next one"))
    live market, session: the gate of the session is closed (found 7); bid in the next one
    """
    return Fault(
        source="live market", place=place, value=value, reason=reason or CODES[code], fix=fix, code=code
    )


def is_text(value: Any) -> bool:
    r"""Tell whether a value is text that every database keeps: no control characters, no half surrogates.

    >>> is_text("Zoë\n"), is_text("a\x00"), is_text("\ud800"), is_text(1)
    (True, False, False, False)
    """
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        return False
    return value.isprintable() or not any(_is_control(ord(c)) for c in value if c not in "\n\t")


def plain_text(text: str) -> str:
    r"""Return text as it can be kept: shortened, a point for each character that no database keeps.

    >>> plain_text("a\x00b")
    'a.b'
    """
    told = "".join(c if c in "\n\t" or c.isprintable() or not _is_control(ord(c)) else "." for c in text)
    return told[: LONGEST_TEXT // 2]


def _is_control(code: int) -> bool:
    return code < 32 or code == 127 or 0xD800 <= code < 0xE000


def text_faults(value: Any, place: str = "") -> Iterator[Fault]:
    r"""Yield the texts of a command, and of what it is made of, that cannot be kept.

    >>> from gridagora.engine.live.commands import CloseGate
    >>> [fault.place for fault in text_faults(CloseGate(at=0, session=1, actor="a\x07"))]
    ['actor']
    """
    if isinstance(value, str):
        if not is_text(value):
            fix = f"write up to {LONGEST_TEXT} characters, none of them control characters"
            yield refusal("text_invalid", place, value[:80], fix=fix)
    elif isinstance(value, tuple):
        for k, item in enumerate(value if value and not isinstance(value[0], int | float) else ()):
            yield from text_faults(item, f"{place}[{k}]")
    elif is_dataclass(value):
        for name in _names(cast(Any, type(value))):
            held = getattr(value, name)
            if not isinstance(held, int | float):
                yield from text_faults(held, f"{place}.{name}" if place else name)


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name not in WHOLE_TEXTS)
