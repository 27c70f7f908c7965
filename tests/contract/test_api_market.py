"""Resources of the market by HTTP: what they answer, and how they refuse."""

import time

import numpy as np
import pytest
from api_market import BUSES, EPOCH, SCENARIO, MarketApi

from gridagora.engine.live.commands import DepositMoney
from gridagora.model.live_events import BidsTaken
from gridagora.service.api.v1 import stream
from gridagora.service.api.v1.market import order_book
from gridagora.service.api.v1.stream import Watcher

BID = {"participant": "ann", "side": "buy", "period": 4, "price": "0.25", "quantity_wh": 500}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A market with a buyer and a seller, whose first session is settled."""
    api = MarketApi(f"sqlite:///{tmp_path_factory.mktemp('market') / 'a.db'}")
    api.admin = api.person("operator", "root")
    api.ann = api.person("homes", "ann", participants=("ann",))
    api.bob = api.person("homes", "bob", participants=("bob",))
    api.join(api.admin, "ann", BUSES[0])
    api.join(api.admin, "bob", BUSES[1])
    api.made("/api/v1/assets", api.bob, {"id": "pv", "participant": "bob", "type": "pv", "power_kw": 9.0})
    api.put("/api/v1/assets/pv/qualification", 1, token=api.admin, json={"decision": "approve"})
    for period in range(4):
        api.made("/api/v1/bids", api.ann, BID | {"period": period})
        api.made("/api/v1/bids", api.bob, BID | {"period": period, "participant": "bob", "side": "sell"})
    api.until(EPOCH - 300, status="published")
    api.until(EPOCH + 7200, status="settled")
    yield api
    api.close()


def codes(answer):
    return [error["code"] for error in answer.json()["errors"]]


def open_period(api):
    """Return a period that takes bids."""
    return 4 * min(api.get("/api/v1/market").json()["open_sessions"])


# --- bids -----------------------------------------------------------------------------------------


def test_all_that_is_wrong_with_a_bid_is_told_at_once(world):
    wrong = {
        "participant": "ann",
        "side": "steal",
        "period": -1,
        "price": "a lot",
        "quantity_wh": 0.5,
        "x": 1,
    }
    answer = world.post("/api/v1/bids", token=world.ann, json=wrong)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    places = {error["place"] for error in answer.json()["errors"]}
    assert places == {"body.side", "body.period", "body.price", "body.quantity_wh", "body.x"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"price": "99"}, "price_out_of_bounds"),
        ({"quantity_wh": 0}, "quantity_out_of_bounds"),
        ({"price_micro": 5}, "field_invalid"),
        ({"price": None}, "field_missing"),
        ({"period": None, "start": "2026-01-01T03:00:01Z"}, "period_unknown"),
        ({"side": "sell"}, "not_prequalified"),
        ({"period": 0}, "gate_closed"),
        ({"period": 4_000}, "session_unknown"),
    ],
)
def test_a_refusal_has_the_code_of_the_engine(world, change, code):
    body = BID | {"period": open_period(world)} | change
    answer = world.post(
        "/api/v1/bids", token=world.ann, json={k: v for k, v in body.items() if v is not None}
    )
    assert answer.status_code in (409, 422), answer.text
    assert code in codes(answer)


def test_a_bid_can_say_the_same_in_other_words(world):
    period = open_period(world)
    start = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(EPOCH + 900 * period))
    body = {
        "participant": "ann",
        "side": "buy",
        "start": start,
        "price_micro": 250_000,
        "quantity_kwh": "0.5",
    }
    number = world.made("/api/v1/bids", world.ann, body)["number"]
    found = world.get(f"/api/v1/bids/{number}", token=world.ann).json()
    assert (found["period"], found["price"], found["quantity_wh"]) == (period, "0.250000", 500)


@pytest.mark.parametrize("path", ["/api/v1/bids", "/api/v1/bids/bulk"])
def test_the_same_key_bids_once_and_not_for_something_else(world, path):
    period = open_period(world)
    one = BID | {"period": period}
    many = {"participant": "ann", "session": period // 4}
    many |= {"bids": [{"period": period, "side": "buy", "price_micro": 9, "quantity_wh": 5}]}
    body, other = (one, one | {"price": "0.26"}) if path.endswith("bids") else (many, many | {"session": 99})
    headers = {"Idempotency-Key": f"key-{path}"}
    first = world.post(path, token=world.ann, json=body, headers=headers)
    again = world.post(path, token=world.ann, json=body, headers=headers)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    refused = world.post(path, token=world.ann, json=other, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_key_reused")


def test_many_bids_come_as_csv_or_as_a_job(world):
    period = open_period(world)
    path = f"/api/v1/bids/bulk?participant=ann&session={period // 4}"
    text = f"period,side,price_micro,quantity_wh\n{period},buy,250000,100\n{period + 1},buy,260000,200\n"
    csv = {"Content-Type": "text/csv"}
    taken = world.post(path, token=world.ann, content=text.encode(), headers=csv).json()
    assert taken["count"] == 2
    job = world.post(path, token=world.ann, content=text.encode(), headers=csv | {"Prefer": "respond-async"})
    assert job.status_code == 202
    deadline = time.monotonic() + 10
    while (state := world.get(job.headers["location"], token=world.ann).json())["status"] != "done":
        assert time.monotonic() < deadline, state
    assert state["result"]["first_number"] == taken["first_number"] + 2


def test_every_fault_of_a_csv_file_is_told(world):
    csv = {"Content-Type": "text/csv"}
    path = f"/api/v1/bids/bulk?participant=ann&session={open_period(world) // 4}"
    text = b"period,side,price_micro,quantity_wh\n8,steal,250000,100\n9,buy,1.5,\n"
    answer = world.post(path, token=world.ann, content=text, headers=csv)
    assert (answer.status_code, codes(answer)) == (422, ["not_whole"] * 3)
    answer = world.post(path, token=world.ann, content=b"period,side\n", headers=csv)
    assert codes(answer) == ["field_missing"] * 2
    answer = world.post("/api/v1/bids/bulk", token=world.ann, content=text, headers=csv)
    assert [error["place"] for error in answer.json()["errors"]] == ["query.participant", "query.session"]


def test_bids_are_listed_by_pages_and_filters(world):
    first = world.get("/api/v1/bids?limit=3&session=0", token=world.admin)
    numbers = [one["number"] for one in first.json()["items"]]
    second = world.get(f"/api/v1/bids?limit=3&session=0&cursor={first.json()['next']}", token=world.admin)
    numbers += [one["number"] for one in second.json()["items"]]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 6
    late = world.get("/api/v1/bids?session=0&from=2026-01-01T00:45:00Z", token=world.ann).json()["items"]
    assert [one["period"] for one in late] == [3]
    early = world.get("/api/v1/bids?session=0&to=2026-01-01T00:15:00Z", token=world.ann).json()["items"]
    assert [one["period"] for one in early] == [0]
    wrong = world.get("/api/v1/bids?cursor=abc", token=world.ann)
    assert wrong.json()["code"] == "cursor_invalid"
    other = world.get(f"/api/v1/trades?cursor={first.json()['next']}", token=world.ann)
    assert other.json()["code"] == "cursor_invalid"


def test_withdrawn_bids_leave_the_book(world):
    period = open_period(world) + 3
    session = period // 4
    world.made("/api/v1/bids", world.bob, BID | {"participant": "bob", "period": period, "price": "0.01"})
    path = f"/api/v1/sessions/{session}/book?period={period}"
    before = world.get(path)
    assert [one["bids"] for one in before.json()["levels"] if one["price_micro"] == 10_000] == [1]
    assert "bob" not in before.text
    assert world.get(path, headers={"If-None-Match": before.headers["etag"]}).status_code == 304
    world.made("/api/v1/bids/withdrawals", world.bob, {"participant": "bob", "session": session})
    after = world.get(path, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert [one for one in after.json()["levels"] if one["price_micro"] == 10_000] == []
    again = world.post(
        "/api/v1/bids/withdrawals", token=world.bob, json={"participant": "bob", "session": session}
    )
    assert codes(again) == ["bid_unknown"]


# --- the register ---------------------------------------------------------------------------------


def test_a_record_is_changed_by_its_version_alone(world):
    made = world.made("/api/v1/assets", world.ann, {"participant": "ann", "type": "load", "power_kw": 2.0})
    path = f"/api/v1/assets/{made['id']}"
    body = {"participant": "ann", "type": "load", "power_kw": 3.0}
    assert world.ask("PUT", path, token=world.ann, json=body).json()["code"] == "precondition_required"
    assert world.put(path, 7, token=world.ann, json=body).status_code == 412
    assert world.put(path, 0, token=world.ann, json=body).json()["code"] == "header_invalid"
    taken = world.post("/api/v1/assets", token=world.ann, json=body | {"id": made["id"]})
    assert (taken.status_code, taken.json()["code"], codes(taken)) == (409, "conflict", ["exists"])
    changed = world.put(path, 1, token=world.ann, json=body)
    assert (changed.json()["power_kw"], changed.headers["etag"]) == (3.0, '"2"')
    same = world.get(path, token=world.ann, headers={"If-None-Match": '"2"'})
    assert same.status_code == 304
    world.put(f"{path}/qualification", 2, token=world.admin, json={"decision": "approve"})
    assert world.put(path, 3, token=world.ann, json=body).json()["status"] == "pending"
    assert world.ask("DELETE", path, token=world.ann).json()["status"] == "withdrawn"


def test_names_are_data_and_never_markup_or_sql(world):
    name = "'; DROP TABLE events; -- <script>alert(1)</script>"
    made = world.made("/api/v1/participants", world.admin, {"id": "odd", "name": name})
    assert world.get("/api/v1/participants/odd", token=world.admin).json()["name"] == made["name"] == name
    text = world.get("/api/v1/invoices/odd:2026-01/pdf", token=world.admin)
    assert text.content.startswith(b"%PDF-")
    bad = world.post("/api/v1/participants", token=world.admin, json={"name": "a\u0007b"})
    assert bad.status_code == 422


def test_a_reference_to_nothing_and_a_second_connection_are_refused(world):
    body = {"participant": "nobody", "type": "pv", "power_kw": 1.0}
    assert codes(world.post("/api/v1/assets", token=world.admin, json=body)) in ([], ["reference_unknown"])
    body = {"participant": "ann", "bus": "nowhere"}
    assert codes(world.post("/api/v1/connection-points", token=world.admin, json=body)) == ["place_unknown"]
    unknown = {"name": "x", "organisation": "nobody"}
    answer = world.post("/api/v1/participants", token=world.admin, json=unknown)
    assert codes(answer) == ["reference_unknown"]
    answer = world.put("/api/v1/assets/pv/qualification", 2, token=world.admin, json={"decision": "reject"})
    assert codes(answer) == ["field_missing"]


# --- after delivery -------------------------------------------------------------------------------


def test_readings_are_refused_with_every_fault(world):
    rows = [{"participant": "ann", "period": 5_000, "import_wh": 1}, {"participant": "zoe", "period": 1}]
    answer = world.post("/api/v1/readings/bulk", token=world.admin, json={"readings": rows})
    assert [error["place"] for error in answer.json()["errors"]] == ["body.readings.1.import_wh"]
    rows[1]["import_wh"] = 4
    answer = world.post("/api/v1/readings/bulk", token=world.admin, json={"readings": rows})
    assert set(codes(answer)) == {"participant_unknown", "reading_in_future"}
    text = b"point,start,duration_s,import_wh,export_wh\nnobody,2026-01-01T00:00Z,900,1,1\n"
    answer = world.post(
        "/api/v1/readings/bulk", token=world.admin, content=text, headers={"Content-Type": "text/csv"}
    )
    assert codes(answer) == ["participant_unknown"]
    answer = world.post(
        "/api/v1/readings/bulk",
        token=world.admin,
        content=b"a,b\n1,2\n",
        headers={"Content-Type": "text/csv"},
    )
    assert answer.status_code == 422


def test_lost_readings_are_told_as_estimates(world):
    found = world.get("/api/v1/readings?participant=ann", token=world.ann).json()["items"]
    assert [one["quality"] for one in found[:4]] == ["estimated"] * 4


def test_a_dispute_waits_for_the_operator(world):
    body = {"id": "d1", "session": 0, "participant": "ann", "reason": "wrong"}
    assert world.made("/api/v1/disputes", world.ann, body)["open"]
    assert codes(world.post("/api/v1/disputes", token=world.ann, json=body)) == ["dispute_exists"]
    early = world.post("/api/v1/disputes", token=world.ann, json=body | {"id": "d2", "session": 2})
    assert codes(early) == ["session_unknown"]
    decided = world.made("/api/v1/disputes/d1/decision", world.admin, {"accepted": False, "reason": "no"})
    assert not decided["open"]
    again = world.post("/api/v1/disputes/d1/decision", token=world.admin, json={"accepted": False})
    assert codes(again) == ["dispute_unknown"]
    assert [
        one["id"] for one in world.get("/api/v1/disputes?open=false", token=world.ann).json()["items"]
    ] == ["d1"]


def test_money_moves_for_the_operator_alone_and_never_below_zero(world):
    path = "/api/v1/accounts/bob"
    assert world.made(f"{path}/deposits", world.admin, {"amount_micro": 20_000})["wallet_micro"] == 20_000
    answer = world.post(f"{path}/withdrawals", token=world.admin, json={"amount_micro": 30_000})
    assert (answer.status_code, codes(answer)) == (409, ["insufficient_funds"])
    assert world.made(f"{path}/withdrawals", world.admin, {"amount_micro": 20_000})["wallet"] == "0.000000"
    told = world.get(f"{path}/postings?limit=2", token=world.bob).json()
    assert len(told["items"]) == 2
    rest = world.get(f"{path}/postings?cursor={told['next']}", token=world.bob).json()["items"]
    assert [one["what"] for one in rest][-2:] == ["deposit", "withdrawal"]
    unknown = world.post("/api/v1/accounts/zoe/deposits", token=world.admin, json={"amount_micro": 5})
    assert codes(unknown) == ["participant_unknown"]


def test_the_invoice_is_what_was_booked(world):
    for name, token in (("ann", world.ann), ("bob", world.bob)):
        invoice = world.get(f"/api/v1/invoices/{name}:2026-01", token=token).json()
        account = world.get(f"/api/v1/accounts/{name}", token=token).json()
        assert invoice["total_micro"] == -account["bill_micro"]
        assert not invoice["complete"]
    empty = world.get("/api/v1/invoices/ann:2031-12", token=world.ann).json()
    assert empty["lines"] == []
    assert world.get("/api/v1/invoices/ann:2026-13", token=world.ann).status_code == 422
    assert world.get("/api/v1/invoices/ann:9999-12", token=world.ann).status_code in (200, 422)


def test_a_stream_goes_on_where_a_client_left_off(world):
    client = world.client(world.ann)
    told = list(client.stream(last_id=0, once=True))
    middle = len(told) // 2
    again = list(client.stream(last_id=told[middle].id, once=True))
    assert len(again) >= len(told[middle + 1 :])
    assert again == told[-len(again) :]
    assert {one.topic for one in client.stream(last_id=0, once=True, topics=["prices"])} == {"prices"}
    gone = world.get("/api/v1/stream?once=true", token=world.ann, headers={"Last-Event-ID": "999999"})
    assert (gone.status_code, gone.json()["code"]) == (410, "gone")
    odd = world.get("/api/v1/stream?once=true", token=world.ann, headers={"Last-Event-ID": "x"})
    assert odd.json()["code"] == "header_invalid"


def test_bids_of_others_wake_a_stream_once_and_a_book_is_made_once_for_all_streams(world, monkeypatch):
    live, one = world.app.state.live, np.ones(1, np.int64)
    market, bob = (Watcher(live, None, participant=name, topics=None) for name in (None, "bob"))
    for number in range(50):
        bids = {"number": number, "period": 12 * one, "side": one, "price": one, "quantity": one}
        for watcher in (market, bob):
            watcher.take(number, BidsTaken(at=0, actor="bob", session=3, participant="bob", **bids))
    assert (market.queue.qsize(), market.changed, bob.queue.qsize()) == (1, {3}, 51)

    world.made("/api/v1/bids", world.ann, BID | {"period": open_period(world)})
    made = []
    monkeypatch.setattr(stream, "order_book", lambda *book: made.append(order_book(*book)) or made[-1])
    live.follower.depth.texts.clear()
    books = [
        [told.data for told in world.client(who).stream(last_id=0, once=True, topics=["book"])]
        for who in (world.ann, world.bob)
    ]
    assert len(made) == len(books[0]) > 0
    assert books[0] == books[1]


def test_a_stream_waits_for_what_a_client_saw_at_a_service_that_was_ahead(world, monkeypatch):
    follower = world.app.state.live.follower
    take, loop = follower._take, follower._loop
    monkeypatch.setattr(follower, "_take", lambda *told: loop.call_later(0.2, take, *told))
    money = DepositMoney(at=0, actor="op", participant="ann", amount=1)
    seen = world.runner.do(money).last
    answer = world.get("/api/v1/stream?once=true", token=world.ann, headers={"Last-Event-ID": str(seen)})
    assert (answer.status_code, follower.seq >= seen) == (200, True)


def test_results_and_sessions_are_public_and_have_tags(world):
    answer = world.get("/api/v1/sessions/0/results")
    assert [one["volume_wh"] for one in answer.json()["periods"]] == [500] * 4
    tag = {"If-None-Match": answer.headers["etag"]}
    assert world.get("/api/v1/sessions/0/results", headers=tag).status_code == 304
    waiting = world.get("/api/v1/sessions?status=published").json()["items"]
    assert all(one["status"] == "published" for one in waiting)
    assert world.get("/api/v1/sessions/999999").status_code == 404
    day = world.get("/api/v1/sessions?from=2026-01-01T05:00:00Z&to=2026-01-01T07:00:00Z").json()["items"]
    assert [one["session"] for one in day] == [5, 6]
    assert world.get("/api/v1/sessions?from=yesterday").status_code == 422
    prices = world.get("/api/v1/prices?from=2026-01-01T00:30:00Z&limit=1").json()
    assert [one["period"] for one in prices["items"]] == [2]


def test_trades_of_zones_tell_their_way_through_the_controllers(tmp_path):
    scenario = SCENARIO | {"market": {"mechanism": "zonal"}, "zones": {"from": "distance", "count": 2}}
    api = MarketApi(f"sqlite:///{tmp_path / 'z.db'}", scenario=scenario)
    try:
        admin = api.person("operator", "root")
        grid = api.person("grid", "dora", areas=("*",))
        ann = api.person("homes", "ann", participants=("ann",))
        bob = api.person("homes", "bob", participants=("bob",))
        for name, bus in zip(("ann", "bob"), BUSES, strict=False):
            api.join(admin, name, bus)
        api.made("/api/v1/assets", bob, {"id": "pv", "participant": "bob", "type": "pv", "power_kw": 9.0})
        api.put("/api/v1/assets/pv/qualification", 1, token=grid, json={"decision": "approve"})
        zones = api.get("/api/v1/zones").json()["items"]
        assert sum(BUSES[0] in one["buses"] for one in zones) == 1
        api.made("/api/v1/bids", ann, BID | {"period": 0, "price": "0.31", "quantity_wh": 1000})
        api.made(
            "/api/v1/bids", bob, BID | {"participant": "bob", "side": "sell", "period": 0, "price": "0.1"}
        )
        api.until(EPOCH - 300, status="published")
        found = api.get("/api/v1/approvals", token=ann).json()["items"]
        local = next(one for one in found if one["seller"] == "bob")
        assert local["approved"]
        assert [step["step"] for step in local["steps"]] == sorted(step["step"] for step in local["steps"])
        assert local["steps"][0]["decision"] == "stated"
        assert api.get(f"/api/v1/approvals/{local['id']}", token=bob).json() == local
        one = api.get("/api/v1/approvals", token=bob).json()["items"]
        assert all("bob" in (entry["buyer"], entry["seller"]) for entry in one)
        results = api.get("/api/v1/sessions/0/results").json()
        assert {entry["zone"] for entry in results["zones"]} <= {entry["id"] for entry in zones}
        dave = api.person("grid-2", "dave", areas=(zones[0]["id"],))
        points = api.get("/api/v1/connection-points", token=dave).json()["items"]
        inside = [name for name, bus in zip(("ann", "bob"), BUSES, strict=False) if bus in zones[0]["buses"]]
        assert {point["participant"] for point in points} >= set(inside)
    finally:
        api.close()
