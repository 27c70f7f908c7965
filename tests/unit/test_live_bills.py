"""Bills of a live market come to what was booked, also while sessions wait for their settlement."""

from types import SimpleNamespace

from live_village import BUSES, EPOCH, NAMES, Live

from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.store import SqlStore
from gridagora.service.api.v1.invoices import bills_of, month_of

HOUR = 3600


def test_a_bill_is_what_was_booked_for_settled_sessions(tmp_path):
    market = Live(readings_lead_s=HOUR)
    for name, bus in zip(NAMES, BUSES, strict=True):
        market.join(name, bus)
    market.until(market.now)
    for session in (0, 1):
        first = 4 * session
        rows = [(first, 1, 200_000, 1_000), (first, -1, 100_000, 400), (first + 1, -1, 90_000, 300)]
        market.bid("ann", session, *rows)
        market.bid("bob", session, (first, -1, 110_000, 500), (first + 1, 1, 250_000, 300))
    market.until(EPOCH + 2 * HOUR)
    assert market.state.next_settle == 1
    assert market.state.sessions[1].cleared is not None
    with Database(str(tmp_path / "a.db"), write=True, create=True) as database:
        SqlStore(database, "small").append(market.events)
        live = SimpleNamespace(
            market=SimpleNamespace(database=database, name="small"),
            state=market.state,
            terms=market.state.terms,
            number=1,
        )
        bills = bills_of(live, NAMES, month_of(live, "2026-01"))
    for bill in bills:
        name = bill.recipient.participant
        assert bill.total == -market.state.balance.get(f"participant:{name}", 0)
        assert all(line.quantity_wh for line in bill.lines if "sold to the retailer" in line.text)
    sold = next(line for line in bills[0].lines if line.text == "Energy sold to neighbours")
    assert sold.quantity_wh == 700
