"""Bills and trees of proofs of a live market hold what was booked, whatever is still on its way."""

from datetime import date
from types import SimpleNamespace

from live_village import BUSES, EPOCH, NAMES, Live

from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.store import SqlStore
from gridagora.engine.live.commands import DepositMoney
from gridagora.service.api.v1.bills import bills_of
from gridagora.service.api.v1.months import month_of
from gridagora.service.api.v1.proofs import Trees

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
            now=lambda: market.now,
        )
        bills = [one.bill for one in bills_of(live, NAMES, month_of(live, "2026-01"))]
    for bill in bills:
        name = bill.recipient.participant
        assert bill.total == -market.state.balance.get(f"participant:{name}", 0)
        assert all(line.quantity_wh for line in bill.lines if "sold to the retailer" in line.text)
    sold = next(line for line in bills[0].lines if line.text == "Energy sold to neighbours")
    assert sold.quantity_wh == 700


def test_the_tree_of_a_day_is_kept_when_the_log_has_gone_beyond_it(tmp_path):
    market, day = Live(at=EPOCH), date(2026, 1, 1)
    market.join("ann", BUSES[0])
    with Database(str(tmp_path / "a.db"), write=True, create=True) as database:
        store = SqlStore(database, "small")
        live = SimpleNamespace(
            market=SimpleNamespace(database=database, name="small"),
            state=market.state,
            terms=market.state.terms,
            number=1,
            now=lambda: EPOCH + 48 * HOUR,  # a clock that has gone ahead
            follower=SimpleNamespace(births={}),
        )
        trees = Trees()
        store.append(market.events)
        for paid, size in ((1, 2), (2, 4)):
            store.append(market.do(DepositMoney(at=EPOCH, actor="op", participant="ann", amount=paid)))
            assert trees.of(live, day).tree.size == size
        store.append(market.do(DepositMoney(at=EPOCH + 24 * HOUR, actor="op", participant="ann", amount=3)))
        assert trees.of(live, day) is trees.of(live, day)
