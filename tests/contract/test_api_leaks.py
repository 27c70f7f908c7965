"""What nobody may see or do by a way around: names, streams, system accounts, half-done requests."""

from datetime import UTC, datetime

import pytest
from api_market import BUSES, EPOCH, MarketApi

from gridagora.service.api.v1.stream import Watcher, has_ended
from gridagora.service.api.v1.tools import live_of
from gridagora.service.context import service_of

LIMIT = {
    "place_kind": "participant",
    "begins": "2026-01-02T00:00Z",
    "ends": "2026-01-02T01:00Z",
    "import_kw": 1.0,
}
FLEX = {"products": [{"name": "cap", "direction": "cap", "settlement": "capacity_limit"}]}
FLEX |= {"first": 0, "periods": 96}
REQUEST = {"buyer": "grid", "product": "cap", "first": 8, "count": 4, "gate": "2025-12-31T23:10:00Z"}


@pytest.fixture
def api(tmp_path):
    api = MarketApi(f"sqlite:///{tmp_path / 'a.db'}", terms={"escrow": True, "fee_ppm": 10_000})
    for organisation in ("homes", "homes-2"):
        api.person(organisation, "nobody")
    yield api
    api.close()


def machine_of(api, token, organisation, **more):
    made = api.machine(token, organisation, **more)
    form = {"grant_type": "client_credentials", "client_id": made[0], "client_secret": made[1]}
    return api.post("/oauth/token", data=form).json()["access_token"]


def told(api, token, path="/api/v1/stream", **more):
    answer = api.get(f"{path}?once=true", token=token, headers={"Last-Event-ID": "0"}, **more)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_a_name_like_that_of_a_system_account_proves_nothing_of_it(api):
    admin, eve = api.person("operator", "root"), api.person("homes-2", "eve", participants=("eve",))
    api.join(admin, "ann", BUSES[0], money=5_000_000)
    for name in ("bank", "escrow", "fees", "rounding"):
        api.made("/api/v1/participants", eve, {"id": name, "name": name})
        found = api.get(f"/api/v1/proofs?participant={name}", token=eve).json()
        assert found["records"] == [], name
    assert api.get("/api/v1/proofs?participant=ann", token=admin).json()["records"]


def test_a_stream_tells_what_the_lists_would_tell_and_nothing_else(api):
    admin, ann = api.person("operator", "root"), api.person("homes", "ann", participants=("ann",))
    api.join(admin, "ann", BUSES[0])
    api.join(admin, "eve", BUSES[1], organisation="homes-2")
    for name in ("ann", "eve"):
        api.made("/api/v1/limits", admin, LIMIT | {"id": f"limit-{name}", "place": name})
    assert "limit-ann" in told(api, ann)
    assert "limit-eve" not in told(api, ann)
    for scopes in (("market.read",), ("market.read", "me.read")):
        one = machine_of(api, ann, "homes", scopes=scopes, participants=("ann",))
        assert "limit-" not in told(api, one), "limits.read is not among its scopes"
    one = machine_of(api, ann, "homes", scopes=("market.read", "limits.read"), participants=("ann",))
    assert "limit-ann" in told(api, one)


def test_a_stream_of_activations_is_for_their_parties(api):
    admin = api.person("operator", "root")
    dora, dave = (api.person(grid, "d", areas=("*",)) for grid in ("grid", "grid-2"))
    agnes = api.person("pool", "agnes")
    api.join(admin, "ann", BUSES[0])
    # called as the buyer: a participant of the aggregator's must not make the buyer's deals its own
    for name in ("grid", "upstream"):
        refused = api.post("/api/v1/participants", token=agnes, json={"id": name, "name": "x"})
        assert refused.json()["errors"][0]["code"] == "id_invalid"
    api.made("/api/v1/flexibility/market", admin, FLEX | {"buyers": ["grid", "grid-2"]})
    tender = {
        "name": "t",
        "buyer": "grid",
        "product": "cap",
        "windows": [{"first": 8, "count": 4, "need_kw": 5.0}],
        "closes": f"{datetime.fromtimestamp(api.hands.moment + 60, UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    api.made("/api/v1/flexibility/tenders", dora, tender)
    bid = {"participant": "ann", "max_kw": 9.0, "availability": 0.01, "utilisation": 0.1}
    api.made("/api/v1/flexibility/tenders/t/bids", api.person("homes", "ann", participants=("ann",)), bid)
    api.hands.moment += 60
    contract = api.made("/api/v1/flexibility/tenders/t/decision", dora, {})["contracts"][0]
    path = f"/api/v1/flexibility/contracts/{contract}/dispatches"
    api.made(path, dora, {"periods": [8, 9], "kw": [2.0, 2.0]})
    assert '"kind": "dispatch"' in told(api, dora)
    assert '"kind": "dispatch"' not in told(api, dave)
    assert api.get("/api/v1/flexibility/contracts", token=dave).json()["items"] == []


def test_a_stream_ends_with_its_token(api):
    root = api.person("operator", "root")
    ann = api.person("homes", "ann", participants=("ann",))
    api.join(root, "ann", BUSES[0])

    class Asked:
        app = api.app

        def __init__(self, token):
            self.headers = {"authorization": f"Bearer {token}"}

    async def listen(request):
        identity = await service_of(request).tokens.of_request(request)
        return Watcher(live_of(request), identity, participant="ann", topics=None)

    def ended(watcher, request):
        return api.bridge.run(has_ended(watcher, request))

    asked = Asked(ann)
    watcher = api.bridge.run(listen(asked))
    assert not ended(watcher, asked)
    machine = Asked(machine_of(api, ann, "homes", scopes=("market.read",), participants=("ann",)))
    other = api.bridge.run(listen(machine))
    assert ended(other, machine), "without the right to notifications"
    api.post("/oauth/revoke", data={"token": ann})
    assert ended(watcher, asked)


def test_who_registered_a_participant_sees_all_that_is_its(api):
    admin, eve = api.person("operator", "root"), api.person("homes-2", "eve")
    api.made("/api/v1/participants", eve, {"id": "eve", "name": "Eve"})
    api.made("/api/v1/connection-points", admin, {"id": "eve-1", "participant": "eve", "bus": BUSES[0]})
    api.made("/api/v1/limits", admin, LIMIT | {"id": "limit-eve", "place": "eve"})
    for path in ("/participants/eve", "/connection-points/eve-1", "/limits/limit-eve", "/accounts/eve"):
        assert api.get(f"/api/v1{path}", token=eve).status_code == 200, path


def test_who_leaves_a_portfolio_is_not_seen_any_more_by_who_registered_it(api):
    admin, agnes, abel = (
        api.person(*who) for who in (("operator", "root"), ("pool", "agnes"), ("pool", "abel"))
    )
    made = api.made("/api/v1/participants", agnes, {"id": "fay", "name": "Fay"})
    assert (made["organisation"], made["aggregator"]) == (None, "pool")
    for one in (agnes, abel):
        assert api.get("/api/v1/accounts/fay", token=one).status_code == 200
    left = api.put("/api/v1/participants/fay", 1, token=admin, json={"name": "Fay", "organisation": "homes"})
    assert left.is_success, left.text
    for one in (agnes, abel):
        assert api.get("/api/v1/accounts/fay", token=one).status_code == 403
        assert api.get("/api/v1/participants", token=one).json()["items"] == []


def test_a_request_of_flexibility_is_made_whole_or_not_at_all(api):
    admin, dora = api.person("operator", "root"), api.person("grid", "dora", areas=("*",))
    api.join(admin, "ann", BUSES[0])
    api.made("/api/v1/flexibility/market", admin, FLEX | {"buyers": ["grid"]})
    body = REQUEST | {"horizon": "activation", "needs": [{"period": 99, "kw": 1.0, "price": 0.1}]}
    key = {"Idempotency-Key": "one"}
    refused = api.post("/api/v1/flexibility/requests", token=dora, json=body, headers=key)
    assert refused.status_code == 422
    assert api.get("/api/v1/flexibility/auctions", token=dora).json()["items"] == []
    body["needs"][0]["period"] = 9
    made = api.made("/api/v1/flexibility/requests", dora, body, headers=key)
    assert [row["period"] for row in made["needs"]] == [9]
    assert api.made("/api/v1/flexibility/requests", dora, body, headers=key) == made
    api.hands.moment = EPOCH
    assert len(api.get("/api/v1/flexibility/auctions", token=dora).json()["items"]) == 1


@pytest.mark.parametrize("last", ["²", "-1", "x", "1.0"])
def test_the_last_id_of_a_stream_is_a_whole_number(api, last):
    ann = api.person("homes", "ann", participants=("ann",))
    headers = {"Last-Event-ID": last.encode("latin-1")}
    answer = api.get("/api/v1/stream?once=true", token=ann, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "header_invalid")


def test_a_late_bid_is_told_when_the_gate_closed(api):
    admin, ann = api.person("operator", "root"), api.person("homes", "ann", participants=("ann",))
    api.join(admin, "ann", BUSES[0])
    api.until(EPOCH - 300, status="published")
    body = {"participant": "ann", "side": "buy", "period": 1, "price": "0.1", "quantity_wh": 1}
    late = api.post("/api/v1/bids", token=ann, json=body)
    (fault,) = late.json()["errors"]
    assert (late.status_code, fault["code"]) == (409, "gate_closed")
    assert fault["reason"].startswith(
        "the gate of the session closed at 2025-12-31T23:55:00Z, the bid came at "
    )
    body |= {"period": 2**53 - 1}
    far = api.post("/api/v1/bids", token=ann, json=body)
    assert (far.status_code, far.json()["errors"][0]["code"]) == (422, "session_unknown")
