"""Rights of the market's resources: each role meets its own and others' things at every endpoint."""

import pytest
from api_market import BUSES, EPOCH, MarketApi

from gridagora.service.api.v1 import ROUTERS
from gridagora.service.auth.rights import NOBODYS, Identity, Reach, Subject, may, reach_of
from gridagora.service.routes import routes_of

ANN = Subject(participants=frozenset({"ann"}), organisations=frozenset({"homes", "pool"}))
GRID = Subject(organisations=frozenset({"grid"}))
SUPPLY = Subject(organisations=frozenset({"power"}))
NOWHERE = Subject()

READS = {
    "/participants/{id}": ("/participants/ann", ANN),
    "/connection-points/{id}": ("/connection-points/ann-1", ANN),
    "/assets/{id}": ("/assets/ann-pv", ANN),
    "/forecasts/{id}": ("/forecasts/f1", ANN),
    "/schedules": ("/schedules?participant=ann", ANN),
    "/limits/{id}": ("/limits/l1", ANN),
    "/disputes/{id}": ("/disputes/d0", NOWHERE),
    "/invoices/{id}": ("/invoices/ann:2026-01", ANN),
    "/invoices/{id}/pdf": ("/invoices/ann:2026-01/pdf", ANN),
    "/accounts/{participant}": ("/accounts/ann", ANN),
    "/accounts/{participant}/postings": ("/accounts/ann/postings", ANN),
    "/accounts/{participant}/escrow": ("/accounts/ann/escrow", ANN),
    "/accounts/{participant}/statement": ("/accounts/ann/statement", ANN),
    "/notifications": ("/notifications?participant=ann", ANN),
    "/proofs": ("/proofs?participant=ann", ANN),
    "/participants/{participant}/stream": ("/participants/ann/stream?once=true", ANN),
    "/readings/checks/{participant}": ("/readings/checks/ann", ANN),
    "/readings/connection": ("/readings/connection", NOBODYS),
    "/market/clock": ("/market/clock", NOBODYS),
    "/stream": ("/stream?once=true", NOBODYS),
    "/flexibility/contracts/{id}": ("/flexibility/contracts/none", NOWHERE),
}
"""Things of one owner: where they are, and whose."""

LISTS = (
    "/participants",
    "/connection-points",
    "/assets",
    "/forecasts",
    "/bids",
    "/trades",
    "/approvals",
    "/limits",
    "/breaches",
    "/aggregates",
    "/readings",
    "/readings/findings",
    "/deliveries",
    "/settlements",
    "/disputes",
    "/invoices",
    "/accounts",
    "/payments",
    "/flexibility/contracts",
    "/activations",
    "/bids/{number}",
    "/trades/{id}",
    "/approvals/{id}",
)
"""Where everybody sees what is theirs."""

OPEN = ("/flexibility/market", "/flexibility/auctions", "/flexibility/requests", "/flexibility/book")
OPEN += ("/flexibility/auctions/{number}", "/flexibility/auctions/{number}/offers", "/flexibility/deliveries")
OPEN += ("/flexibility/tenders", "/flexibility/tenders/{name}", "/flexibility/tenders/{name}/bids")
OPEN += ("/flexibility/redispatch-orders", "/flexibility/redispatch")
"""Of everybody who has a role with the right."""

STATUS = {"status": "active"}
POWER = {"periods": [1], "kw": [1.0]}
ORDER = {"product": "cap", "side": "sell", "first": 1, "kw": 1.0, "price": 0.1}
LIMIT = {
    "place_kind": "participant",
    "place": "ann",
    "begins": "2026-01-02T00:00Z",
    "ends": "2026-01-02T01:00Z",
}
REQUEST = {"buyer": "grid", "horizon": "activation", "product": "cap", "first": 1, "count": 1}
REQUEST |= {"gate": "2026-01-01T00:00:00Z", "needs": [{"period": 1, "kw": 1.0, "price": 0.1}]}
TENDER = {
    "name": "t",
    "buyer": "grid",
    "product": "cap",
    "windows": [{"first": 1, "count": 1, "need_kw": 1.0}],
}
TENDER |= {"closes": "2026-01-01T00:00:00Z"}
TENDER_BID = {"participant": "ann", "max_kw": 1.0, "availability": 0.0, "utilisation": 0.0}
WILLING = {"participant": "ann", "side": "sell", "period": 9, "kw": 1.0, "price": 0.1}
REDISPATCH = {"buyer": "grid", "area": [BUSES[0]], "relieves": "import", "needs": [{"period": 9, "kw": 1.0}]}
FLEX = {"buyers": ["grid"], "products": [{"name": "cap", "direction": "cap", "settlement": "x"}]}
FLEX |= {"first": 0, "periods": 9}
POINT = {"participant": "ann", "bus": BUSES[0]}
ASSET = {"participant": "ann", "type": "pv", "power_kw": 1.0}
FORECAST = {"participant": "ann", "first": 900, "kw": [1.0]}
TARIFF = {"first": 900, "retail": [0.3]}
PAYMENT = {"amount_micro": 1}
BID = {"participant": "ann", "side": "buy", "period": 9, "price": "0.1", "quantity_wh": 1}
READING = {"participant": "ann", "period": 900, "import_wh": 1}

WRITES = {
    ("POST", "/participants"): ("/participants", {"name": "x", "organisation": "homes"}, GRID),
    ("PUT", "/participants/{id}"): ("/participants/ann", {"name": "Ann", "organisation": "homes"}, ANN),
    ("PUT", "/participants/{id}/status"): ("/participants/ann/status", STATUS, ANN),
    ("POST", "/connection-points"): ("/connection-points", POINT, ANN),
    ("PUT", "/connection-points/{id}"): ("/connection-points/ann-1", POINT, ANN),
    ("PUT", "/connection-points/{id}/status"): ("/connection-points/ann-1/status", STATUS, ANN),
    ("POST", "/assets"): ("/assets", ASSET, ANN),
    ("PUT", "/assets/{id}"): ("/assets/ann-pv", ASSET, ANN),
    ("DELETE", "/assets/{id}"): ("/assets/ann-pv", None, ANN),
    ("PUT", "/assets/{id}/qualification"): ("/assets/ann-pv/qualification", {"decision": "approve"}, ANN),
    ("POST", "/products"): ("/products", {"name": "x", "market": "energy"}, NOBODYS),
    ("PUT", "/products/{id}"): ("/products/p1", {"name": "x", "market": "energy"}, NOBODYS),
    ("PUT", "/products/{id}/status"): ("/products/p1/status", STATUS, NOBODYS),
    ("POST", "/forecasts"): ("/forecasts", FORECAST, ANN),
    ("PUT", "/forecasts/{id}"): ("/forecasts/f1", FORECAST, ANN),
    ("DELETE", "/forecasts/{id}"): ("/forecasts/f1", None, ANN),
    ("POST", "/tariffs"): ("/tariffs", TARIFF, SUPPLY),
    ("PUT", "/tariffs/{id}"): ("/tariffs/t1", TARIFF, SUPPLY),
    ("DELETE", "/tariffs/{id}"): ("/tariffs/t1", None, SUPPLY),
    ("POST", "/bids"): ("/bids", BID, ANN),
    ("POST", "/bids/bulk"): ("/bids/bulk", {"participant": "ann", "session": 0, "bids": [
        {"period": 9, "side": "buy", "price_micro": 1, "quantity_wh": 1}]}, ANN),
    ("POST", "/bids/withdrawals"): ("/bids/withdrawals", {"participant": "ann", "session": 0}, ANN),
    ("POST", "/limits"): ("/limits", LIMIT, ANN),
    ("POST", "/readings"): ("/readings", READING, ANN),
    ("POST", "/readings/bulk"): ("/readings/bulk", {"readings": [READING]}, ANN),
    ("POST", "/sessions/{session}/call-off"): ("/sessions/0/call-off", {"reason": "x"}, NOBODYS),
    ("POST", "/sessions/{session}/settlement"): ("/sessions/0/settlement", {"reason": "x"}, NOBODYS),
    ("POST", "/market/clock"): (
        "/market/clock",
        {"now": "2026-01-01T00:00:00Z", "reason": "x"},
        NOBODYS,
    ),
    ("POST", "/disputes"): ("/disputes", {"session": 0, "participant": "ann", "reason": "x"}, ANN),
    ("POST", "/disputes/{id}/decision"): ("/disputes/d0/decision", {"accepted": True}, NOBODYS),
    ("POST", "/accounts/{participant}/deposits"): ("/accounts/ann/deposits", PAYMENT, ANN),
    ("POST", "/accounts/{participant}/withdrawals"): ("/accounts/ann/withdrawals", PAYMENT, ANN),
    ("POST", "/invoices/months/{month}/issue"): ("/invoices/months/2026-01/issue", {}, NOBODYS),
    ("POST", "/payments/outcomes"): ("/payments/outcomes", {"payments": ["x"], "outcome": "paid"}, NOBODYS),
    ("POST", "/payments/{month}"): ("/payments/2026-01", {
        "name": "x", "iban": "DE89370400440532013000", "execution": "2026-02-02"}, NOBODYS),
    ("POST", "/flexibility/market"): ("/flexibility/market", FLEX, NOBODYS),
    ("POST", "/flexibility/requests"): ("/flexibility/requests", REQUEST, GRID),
    ("POST", "/flexibility/tenders"): ("/flexibility/tenders", TENDER, GRID),
    ("POST", "/flexibility/tenders/{name}/bids"): ("/flexibility/tenders/t/bids", TENDER_BID, ANN),
    ("DELETE", "/flexibility/tenders/{name}/bids/{participant}"): (
        "/flexibility/tenders/t/bids/ann", None, ANN),
    ("POST", "/flexibility/redispatch-orders"): ("/flexibility/redispatch-orders", WILLING, ANN),
    ("DELETE", "/flexibility/redispatch-orders/{participant}/{period}"): (
        "/flexibility/redispatch-orders/ann/9", None, ANN),
    ("POST", "/flexibility/redispatch"): ("/flexibility/redispatch", REDISPATCH, GRID),
    ("POST", "/flexibility/operator-orders"): (
        "/flexibility/operator-orders", ORDER | {"participant": "grid"}, GRID),
    ("POST", "/flexibility/orders"): ("/flexibility/orders", ORDER | {"participant": "ann"}, ANN),
    ("POST", "/flexibility/auctions/{number}/offers"): ("/flexibility/auctions/0/offers", {
        "participant": "ann", "steps": [{"period": 1, "kw": 1.0, "price": 0.1}]}, ANN),
    ("DELETE", "/flexibility/auctions/{number}/offers/{participant}"): (
        "/flexibility/auctions/0/offers/ann", None, ANN),
    ("POST", "/flexibility/settlements"): ("/flexibility/settlements", {"first": 0, "count": 1}, NOBODYS),
}  # fmt: skip
"""Changes: where, what, and whose it is.  The new participant is registered for the home's organisation."""

ELSEWHERE = {
    ("GET", "/trades/{id}/pdf"): "as the trade; by what is found",
    ("GET", "/invoices/months/{month}/lines"): "tested with money: holds what one may see",
    ("DELETE", "/bids/{number}"): "by what is found",
    ("POST", "/emergencies"): "tested with areas below",
    ("POST", "/flexibility/calls"): "by the contract's buyer",
    ("POST", "/flexibility/tenders/{name}/decision"): "by the tender's buyer",
    ("POST", "/flexibility/contracts/{id}/releases"): "by the contract's buyer",
    ("POST", "/flexibility/contracts/{id}/dispatches"): "by the contract's buyer",
    ("DELETE", "/flexibility/orders/{product}/{number}"): "by the order's owner",
    ("DELETE", "/flexibility/operator-orders/{product}/{number}"): "by the order's owner",
}

PEOPLE = {
    "root": ("operator", (), ()),
    "rita": ("watch", (), ()),
    "dora": ("grid", (), ("*",)),
    "dave": ("grid-2", (), ()),
    "ravi": ("power", (), ()),
    "rolf": ("power-2", (), ()),
    "agnes": ("pool", (), ()),
    "alan": ("pool-2", (), ()),
    "ann": ("homes", ("ann",), ()),
    "eve": ("homes-2", ("eve",), ()),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    path = tmp_path_factory.mktemp("rights") / "a.db"
    api = MarketApi(f"sqlite:///{path}", terms={"retailer": "power"})
    tokens = {
        name: api.person(organisation, name, participants=whose, areas=areas)
        for name, (organisation, whose, areas) in PEOPLE.items()
    }
    identities = {}
    for name, token in tokens.items():
        me = api.get("/api/v1/me", token=token).json()
        organisation, whose, areas = PEOPLE[name]
        identities[name] = Identity(
            id=me["id"],
            role=me["role"],
            organisation=organisation,
            participants=frozenset(whose),
            areas=frozenset(areas),
        )
    admin = tokens["root"]
    api.join(admin, "ann", BUSES[0])
    api.put(
        "/api/v1/participants/ann",
        2,
        token=admin,
        json={"name": "Ann", "organisation": "homes", "aggregator": "pool"},
    )
    api.join(admin, "eve", BUSES[1], organisation="homes-2")
    own = tokens["ann"]
    api.made("/api/v1/assets", own, ASSET | {"id": "ann-pv"})
    api.made("/api/v1/forecasts", own, FORECAST | {"id": "f1"})
    api.made("/api/v1/tariffs", admin, TARIFF | {"id": "t1"})
    api.made("/api/v1/products", admin, {"id": "p1", "name": "x", "market": "energy"})
    api.made("/api/v1/limits", admin, LIMIT | {"id": "l1"})
    api.made("/api/v1/bids", own, BID | {"period": 1, "price": "0.3"})
    api.until(EPOCH - 300, status="published")
    yield api, tokens, identities
    api.close()


ROUTES = [(method, route) for route in routes_of(ROUTERS) for method in sorted(route.methods)]


def test_every_endpoint_is_tested_or_public():
    told = {("GET", path) for path in (*READS, *LISTS, *OPEN)} | WRITES.keys() | ELSEWHERE.keys()
    known = {
        (method, route.path.removeprefix("/api/v1")) for method, route in ROUTES if route.action is not None
    }
    assert known == told


def action_of(method, path):
    return next(r.action for m, r in ROUTES if (m, r.path) == (method, "/api/v1" + path))


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("path", READS)
def test_a_thing_is_read_by_whom_the_table_of_rights_lets(world, path, who):
    api, tokens, identities = world
    place, subject = READS[path]
    answer = api.get("/api/v1" + place, token=tokens[who])
    allowed = may(identities[who], action_of("GET", path), subject)
    assert (answer.status_code != 403) == allowed, answer.text
    has_week = path != "/readings/checks/{participant}"  # the market is younger than that
    assert answer.status_code in ((200 if has_week else 422, 404, 409) if allowed else (403,))


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_a_change_is_made_by_whom_the_table_of_rights_lets(world, method, path, who):
    api, tokens, identities = world
    place, body, subject = WRITES[method, path]
    if (method, path) == ("POST", "/participants"):
        own = identities[who].organisation
        subject, body = Subject(owner=identities[who].id, organisations=frozenset({own})), {"name": "x"}
    headers = {"If-Match": '"999"'}  # rights are asked before versions, and nothing is changed here
    answer = api.ask(method, "/api/v1" + place, token=tokens[who], json=body, headers=headers)
    allowed = may(identities[who], action_of(method, path), subject)
    assert (answer.status_code != 403) == allowed, answer.text
    assert answer.status_code < 500


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("path", LISTS)
def test_a_list_holds_what_one_may_see(world, path, who):
    api, tokens, identities = world
    place = path.replace("{number}", "1").replace("{id}", "0-0")
    answer = api.get("/api/v1" + place, token=tokens[who])
    identity, action = identities[who], action_of("GET", path)
    if reach_of(identity, action) is Reach.NONE:
        assert answer.status_code == 403
        return
    assert answer.status_code == (200 if "{" not in path else answer.status_code)
    if "{" in path:
        sees = may(identity, action, ANN) and path in ("/bids/{number}", "/trades/{id}")
        assert (answer.status_code == 200) == sees
        return
    for item in answer.json()["items"]:
        name = item.get("participant") or item.get("place") or item["id"]
        if isinstance(name, str) and name in ("ann", "eve"):
            whose = (
                ANN
                if name == "ann"
                else Subject(participants=frozenset({"eve"}), organisations=frozenset({"homes-2"}))
            )
            assert may(identity, action, whose), (path, who, item)


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("path", OPEN)
def test_what_is_of_all_is_read_by_every_role_with_the_right(world, path, who):
    api, tokens, identities = world
    answer = api.get("/api/v1" + path.replace("{number}", "0"), token=tokens[who])
    has = reach_of(identities[who], action_of("GET", path)) is not Reach.NONE
    assert (answer.status_code != 403) == has
    assert answer.status_code in ((200, 404, 409) if has else (403,))


def test_whose_a_bid_is_decides_who_takes_it_back(world):
    api, tokens, _ = world
    made = api.made("/api/v1/bids", tokens["ann"], BID | {"period": 5})
    path = f"/api/v1/bids/{made['number']}"
    assert api.ask("DELETE", path, token=tokens["eve"]).status_code == 404
    assert api.ask("DELETE", path, token=tokens["root"]).status_code == 403
    assert api.ask("DELETE", path, token=tokens["agnes"]).json() == {"numbers": [made["number"]]}


def test_an_emergency_is_declared_by_the_operator_and_by_the_grid_operator_of_the_place(world):
    api, tokens, _ = world
    for who, expected in (("root", 201), ("dora", 201), ("dave", 403), ("rita", 403), ("ann", 403)):
        answer = api.post("/api/v1/emergencies", token=tokens[who], json=LIMIT)
        assert answer.status_code == expected, (who, answer.text)


def test_nobody_gives_itself_credit_or_another_organisation(world):
    api, tokens, _ = world
    for more in ({"overdraft_micro": 5}, {"organisation": "grid"}):
        body = {"name": "Ann"} | more
        answer = api.put("/api/v1/participants/ann", 3, token=tokens["agnes"], json=body)
        assert answer.status_code == 403, answer.text
    made = api.made("/api/v1/participants", tokens["eve"], {"id": "eve-2", "name": "E"})
    assert made["status"] == "pending"
    assert api.get("/api/v1/participants/eve-2", token=tokens["eve"]).status_code == 200
    assert api.get("/api/v1/participants/eve-2", token=tokens["ann"]).status_code == 403


def test_only_what_is_public_is_told_without_a_token(world):
    api, *_ = world
    for method, route in ROUTES:
        path = route.path.replace("{session}", "0").replace("{id}", "p1").replace("{number}", "0")
        answer = api.ask(method, path.replace("{participant}", "ann").replace("{product}", "cap"))
        assert (answer.status_code == 401) == (route.action is not None), path
