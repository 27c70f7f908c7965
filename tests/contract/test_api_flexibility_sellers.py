"""Sellers of flexibility over HTTP that come late, are suspended, close down; what each of them is told."""

from datetime import UTC, datetime

import pytest
from api_market import BUSES, EPOCH, MarketApi, wait_cleared

from gridagora.adapters.sql.audit import replay, verify

DAY = 86_400
FLEX = {
    "buyers": ["grid"],
    "products": [{"name": "cap", "direction": "cap", "settlement": "capacity_limit"}],
    "first": 0,
    "periods": 96,
    "activation_payment": "pay_as_bid",
}


def at(moment):
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"


def needs(horizon, period, *, gate, **more):
    return {
        "buyer": "grid",
        "horizon": horizon,
        "product": "cap",
        "first": period,
        "count": 1,
        "gate": at(gate),
        "needs": [{"period": period, "kw": 5.0, "price": 0.9}],
        **more,
    }


def offer(name, period, price):
    return {"participant": name, "steps": [{"period": period, "kw": 5.0, "price": price}]}


def set_status(api, path, status):
    version = api.get(path, token=api.admin).json()["version"]
    answer = api.put(f"{path}/status", version, token=api.admin, json={"status": status})
    assert answer.is_success, answer.text


def told(api, name, topic):
    path = f"/api/v1/notifications?participant={name}&topic={topic}&limit=500"
    return [one["text"] for one in api.get(path, token=api.admin).json()["items"]]


def points(api):
    return api.get("/api/v1/flexibility/market", token=api.admin).json()["points"]


@pytest.fixture
def api(tmp_path):
    made = MarketApi(f"sqlite:///{tmp_path / 'a.db'}", terms={"session_periods": 96, "dispute_s": 60 * DAY})
    made.admin, made.grid = made.person("operator", "root"), made.person("grid", "dora", areas=("*",))
    made.ann = made.person("homes", "ann", participants=("ann",))
    made.join(made.admin, "ann", BUSES[0])
    made.made("/api/v1/flexibility/market", made.admin, FLEX)
    yield made
    made.close()


def test_who_registers_itself_later_sells_once_it_is_approved_and_connected(api):
    api.made("/api/v1/flexibility/requests", api.grid, needs("activation", 40, gate=EPOCH - 1800))
    bob = api.person("pool", "agnes")
    api.made("/api/v1/participants", bob, {"id": "bob", "name": "Bob", "organisation": "pool"})
    refused = api.post("/api/v1/flexibility/auctions/0/offers", token=bob, json=offer("bob", 40, 0.2))
    assert refused.status_code == 422
    assert points(api) == ["ann"]
    set_status(api, "/api/v1/participants/bob", "active")
    point = {"id": "bob-1", "participant": "bob", "bus": BUSES[1], "import_kw": 20.0, "export_kw": 20.0}
    api.made("/api/v1/connection-points", api.admin, point)
    assert points(api) == ["ann"], "its connection point is not approved"
    set_status(api, "/api/v1/connection-points/bob-1", "active")
    assert points(api) == ["ann", "bob"]
    api.made("/api/v1/flexibility/auctions/0/offers", bob, offer("bob", 40, 0.2))
    rows = api.get("/api/v1/flexibility/requests", token=api.grid).json()["items"][0]["needs"]
    assert [row["buyer"] for row in rows] == ["grid"]
    api.until(EPOCH - 1800)
    wait_cleared(api.client(api.grid), 0)
    api.join(api.admin, "cem", BUSES[2])  # what was cleared tells the same names with one more seller
    rows = api.get("/api/v1/flexibility/auctions/0/offers", token=api.grid).json()["items"]
    assert [(row["participant"], row["accepted_kw"]) for row in rows] == [("bob", 5.0)]
    api.until(EPOCH + DAY, status="published")
    reading = {"participant": "bob", "period": 40, "import_wh": 3000, "export_wh": 0}
    api.made("/api/v1/readings/bulk", api.admin, {"readings": [reading]})
    settled = api.made("/api/v1/flexibility/settlements", api.admin, {"first": 40, "count": 1})
    assert settled["total"] == {"bob": "1.000000", "grid": "-1.000000"}
    assert told(api, "bob", "flexibility") == [
        "Flexibility can be sold from now on.",
        "1.25 of 1.25 kWh offered in auction 0 were taken.",
    ]
    assert told(api, "bob", "settlement")[-1] == "Flexibility of period 40 is settled: +1.00 EUR."
    assert told(api, "cem", "settlement") == []
    for check in (verify, replay):
        assert check(api.database, api.platform.name).findings == ()


def test_who_is_suspended_offers_nothing_and_what_it_offered_lapses(api):
    ann = api.ann
    gate = EPOCH - 1800
    api.made("/api/v1/flexibility/requests", api.grid, needs("activation", 40, gate=gate))
    api.made("/api/v1/flexibility/auctions/0/offers", ann, offer("ann", 40, 0.2))
    order = {"participant": "ann", "product": "cap", "side": "sell", "first": 41, "kw": 1.0, "price": 0.3}
    api.made("/api/v1/flexibility/orders", ann, order)
    tender = {
        "name": "winter",
        "buyer": "grid",
        "product": "cap",
        "windows": [{"first": 44, "count": 1, "need_kw": 2.0}],
        "closes": at(EPOCH - 3000),
    }
    api.made("/api/v1/flexibility/tenders", api.grid, tender)
    bid = {"participant": "ann", "max_kw": 2.0, "availability": 0.01, "utilisation": 0.2}
    api.made("/api/v1/flexibility/tenders/winter/bids", ann, bid)
    set_status(api, "/api/v1/participants/ann", "suspended")
    assert told(api, "ann", "flexibility") == [
        "Flexibility cannot be sold any more: the participant is suspended. "
        "Lapsed: offer in auction 0, bid in tender winter, order 0 for cap."
    ]
    assert told(api, "ann", "register")[-1] == "Participant ann is suspended."
    again = {
        "/api/v1/flexibility/auctions/0/offers": offer("ann", 40, 0.2),
        "/api/v1/flexibility/orders": order,
        "/api/v1/flexibility/tenders/winter/bids": bid,
        "/api/v1/flexibility/redispatch-orders": {
            "participant": "ann",
            "side": "sell",
            "period": 42,
            "kw": 1.0,
            "price": 0.2,
        },
    }
    for path, body in again.items():
        refused = api.post(path, token=ann, json=body)
        assert refused.status_code == 422, path
        assert [fault["code"] for fault in refused.json()["errors"]] == ["participant_not_active"]
    api.until(gate)
    wait_cleared(api.client(api.grid), 0)
    assert api.get("/api/v1/flexibility/auctions/0/offers", token=api.admin).json()["items"] == []
    set_status(api, "/api/v1/participants/ann", "active")
    api.made("/api/v1/flexibility/orders", ann, order)
    assert told(api, "ann", "flexibility")[-1] == "Flexibility can be sold again."
    set_status(api, "/api/v1/connection-points/ann-1", "closed")
    assert api.post("/api/v1/flexibility/orders", token=ann, json=order).status_code == 422
    assert told(api, "ann", "flexibility")[-1] == (
        "Flexibility cannot be sold any more: the participant has no active connection point. "
        "Lapsed: order 1 for cap."
    )
    for check in (verify, replay):
        assert check(api.database, api.platform.name).findings == ()


def test_sellers_are_told_of_tenders_contracts_assets_bills_and_payments(api):
    ann = api.ann
    bob = api.person("homes", "bob", participants=("bob",))
    api.join(api.admin, "bob", BUSES[1])
    tender = {
        "name": "winter",
        "buyer": "grid",
        "product": "cap",
        "windows": [{"first": 44, "count": 2, "need_kw": 2.0}],
        "closes": at(EPOCH - 3000),
    }
    api.made("/api/v1/flexibility/tenders", api.grid, tender)
    for token, name, price in ((ann, "ann", 0.01), (bob, "bob", 0.02)):
        bid = {"participant": name, "max_kw": 2.0, "availability": price, "utilisation": 0.2}
        api.made("/api/v1/flexibility/tenders/winter/bids", token, bid)
    api.until(EPOCH - 3000)
    body = {"rejected": [{"participant": "bob", "reason": "has no meter"}]}
    done = api.made("/api/v1/flexibility/tenders/winter/decision", api.grid, body)
    assert told(api, "ann", "flexibility") == ["Tender winter is decided. window 0: 2 kW accepted, in full."]
    assert told(api, "bob", "flexibility")[-1] == (
        "Tender winter is decided. window 0: rejected, rejected by the buyer: has no meter."
    )
    (contract,) = done["contracts"]
    path = f"/api/v1/flexibility/contracts/{contract}"
    api.made(f"{path}/releases", api.grid, {"periods": [45], "kw": [1.0]})
    api.made(f"{path}/dispatches", api.grid, {"periods": [44], "kw": [2.0]})
    assert told(api, "ann", "activations") == [
        f"Contract {contract} was released: reserved are now 1 kW in period 45.",
        f"Contract {contract} was dispatched.",
    ]
    asset = api.made("/api/v1/assets", ann, {"participant": "ann", "type": "pv", "power_kw": 5.0})
    decision = {"decision": "reject", "reason": "No meter yet."}
    answer = api.put(f"/api/v1/assets/{asset['id']}/qualification", 1, token=api.admin, json=decision)
    assert answer.is_success, answer.text
    assert told(api, "ann", "register")[-1] == f"Asset {asset['id']} is rejected. No meter yet."
    api.until(EPOCH + DAY, status="published")
    reading = {"participant": "ann", "period": 44, "import_wh": 3000, "export_wh": 0}
    api.made("/api/v1/readings/bulk", api.admin, {"readings": [reading]})
    api.made("/api/v1/flexibility/settlements", api.admin, {"first": 40, "count": 8})
    api.until(EPOCH + 31 * DAY + 7200, status="settled", session=30)
    issuer = {"name": "Market Ltd", "street": "Way 1", "postcode": "1", "city": "Town"}
    issued = api.post("/api/v1/invoices/months/2026-01/issue", token=api.admin, json={"issuer": issuer})
    assert issued.is_success, issued.text
    (bill,) = told(api, "grid", "bills")
    assert bill.startswith("Bill 202601-")
    assert "EUR is to be paid." in bill
    number = bill.split()[1]
    closed = api.made("/api/v1/payments/outcomes", api.admin, {"outcome": "paid", "payments": [number]})
    assert closed
    assert told(api, "grid", "bills")[-1].startswith(f"Collection {number} of ")


def test_a_client_is_told_of_the_topics_that_it_asks_for(api):
    client = api.client(api.ann)
    listed = [one.topic for one in client.notifications("ann", topics=["register"])]
    stream = client.stream(participant="ann", notices=["register"], last_id=0, once=True)
    heard = [one.data["topic"] for one in stream if one.topic == "notices"]
    assert listed == heard == ["register"] * 4
    set_status(api, "/api/v1/participants/ann", "suspended")
    both = [one.topic for one in client.notifications("ann", topics=["flexibility", "bills"])]
    assert both == ["flexibility"]
