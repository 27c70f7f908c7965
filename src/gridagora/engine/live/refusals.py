"""Why a command is refused: faults with codes that programs can rely on."""

from gridagora.errors import Fault

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
    "kind_unknown": "no such kind of record",
    "id_invalid": "no id",
    "body_invalid": "the record is no JSON object",
    "field_unknown": "the kind of record has no such field",
    "field_missing": "the field is needed",
    "field_invalid": "the field cannot hold that",
    "status_unknown": "the kind of record has no such status",
    "version_conflict": "the record has changed since, or is there already",
    "reference_unknown": "the record that it names is not there",
    "place_unknown": "no such bus, zone or participant",
    "time_invalid": "moments that cannot be",
    "duplicate_period": "the same participant and period twice",
    "reading_in_future": "the period is not over yet",
    "reading_out_of_bounds": "no energy that a meter can show",
    "session_closed": "settled, and too long ago to be changed",
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
