"""A curious participant tries every address: names, counts, tags and refusals tell nothing of others.

Two homes that have nothing to do with each other stand in one market, Annika of one aggregator and Evelyn of
another.  Whatever is read for one side must not name the other, and must stay the same, byte for byte,
whatever the other does.
"""

import re

import pytest
from api_market import BUSES, EPOCH, MarketApi

from gridagora.service.api import ROUTERS as OWN_ROUTERS
from gridagora.service.api.v1 import ROUTERS
from gridagora.service.auth.rights import RIGHTS, Reach
from gridagora.service.routes import routes_of

ROUTES = routes_of([*ROUTERS, *OWN_ROUTERS])
GETS = sorted({route.path.removeprefix("/api/v1") for route in ROUTES if "GET" in route.methods})
PRIVATE = {route.path.removeprefix("/api/v1") for route in ROUTES if route.action is not None}
SIDES = {"annika": ("homes", "pool", "bertwin"), "evelyn": ("homes-2", "pool-2", "emilwin")}
BID = {"side": "buy", "price": "0.3", "quantity_wh": 500}
LIMIT = {"begins": "2026-01-01T00:00Z", "ends": "2026-01-01T01:00Z", "import_kw": 0.2}

REQUEST = re.compile(rb"urn:request:[0-9a-f]+")
"""What is another in each refusal."""

MOVING = {
    "/stream": "tells the depth of the order book, which is public",
    "/participants/{participant}/stream": "the same",
    "/proofs": "tells the roots of days, which are public",
}
"""Private addresses where something of all stands, that changes with what others do."""


def furnish(api, root, tokens, name):
    """Give a home all kinds of things, and let it trade with its neighbour."""
    token, (_, _, other) = tokens[name], SIDES[name]
    path = f"/api/v1/participants/{name}"
    body = {"name": f"Home of {name}", "organisation": SIDES[name][0], "aggregator": SIDES[name][1]}
    assert api.put(path, 2, token=root, json=body).is_success
    for who, type_ in ((name, "load"), (other, "pv")):
        asset = {"id": f"{who}-asset", "participant": who, "type": type_, "power_kw": 5.0}
        api.made("/api/v1/assets", root, asset)
    qualified = {"decision": "approve"}
    assert api.put(f"/api/v1/assets/{other}-asset/qualification", 1, token=root, json=qualified).is_success
    api.made(
        "/api/v1/forecasts", token, {"id": f"{name}-f", "participant": name, "first": 0, "kw": [1.0] * 8}
    )
    api.made(
        "/api/v1/limits",
        root,
        LIMIT | {"id": f"{name}-limit", "place_kind": "participant", "place": name, "reason": f"for {name}"},
    )
    api.made(f"/api/v1/accounts/{name}/deposits", root, {"amount_micro": 9_000_000})
    period = 0 if name == "annika" else 1
    api.made("/api/v1/bids", token, BID | {"participant": name, "period": period})
    order = {"product": "cap", "participant": name, "side": "sell", "first": 40, "kw": 1.0, "price": 0.1}
    api.made("/api/v1/flexibility/orders", token, order)
    sold = BID | {"participant": other, "side": "sell", "period": period, "price": "0.1"}
    api.made("/api/v1/bids", root_of(tokens, other), sold)


def root_of(tokens, name):
    return tokens[next(side for side, (_, _, other) in SIDES.items() if other == name)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    path = tmp_path_factory.mktemp("attack") / "a.db"
    api = MarketApi(f"sqlite:///{path}", terms={"readings_lead_s": 0, "escrow": True})
    root = api.person("operator", "root")
    tokens = {
        name: api.person(home, name, participants=(name, other)) for name, (home, _, other) in SIDES.items()
    }
    for name, (_, pool, _) in SIDES.items():
        tokens[f"pool of {name}"] = api.person(pool, "trader")
    tokens["dso"] = api.person("grid", "nowhere")
    tokens["retailer"] = api.person("power", "nobody")
    for bus, (name, (home, _, other)) in zip((0, 2), SIDES.items(), strict=True):
        api.join(root, name, BUSES[bus], organisation=home)
        api.join(root, other, BUSES[bus + 1], organisation=home)
    product = {"name": "cap", "direction": "cap", "settlement": "capacity_limit"}
    flex = {"products": [product], "buyers": ["grid-2"], "first": 0, "periods": 96}
    api.made("/api/v1/flexibility/market", root, flex)
    for name in SIDES:
        furnish(api, root, tokens, name)
    api.until(EPOCH - 300, status="published")
    api.hands.moment = EPOCH + 3599
    names = [*SIDES, *(other for *_, other in SIDES.values())]
    rows = [{"participant": name, "period": k, "import_wh": 300 + k} for name in names for k in range(3)]
    api.made("/api/v1/readings/bulk", root, {"readings": rows})
    api.until(EPOCH + 3600, status="settled")
    for name in SIDES:
        dispute = {"id": f"{name}-d", "session": 0, "participant": name, "reason": f"{name} says so"}
        api.made("/api/v1/disputes", tokens[name], dispute)
    yield api, root, tokens
    api.close()


def fill(path, name):
    """Return a path as it is for the things of a home."""
    ids = {
        "/participants/{id}": name,
        "/connection-points/{id}": f"{name}-1",
        "/assets/{id}": f"{name}-asset",
        "/forecasts/{id}": f"{name}-f",
        "/limits/{id}": f"{name}-limit",
        "/disputes/{id}": f"{name}-d",
        "/invoices/{id}": f"{name}:2026-01",
        "/invoices/{id}/pdf": f"{name}:2026-01",
        "/organisations/{id}": SIDES[name][0] if name in SIDES else "nowhere",
    }
    row = list(SIDES).index(name) if name in SIDES else 99
    for part, value in (
        ("{id}", ids.get(path, f"0-{row}")),
        ("{number}", str(1 + 2 * row)),
        ("{session}", "0"),
        ("{participant}", name),
        ("{month}", "2026-01"),
        ("{product}", "cap"),
    ):
        path = path.replace(part, value)
    return path


def addresses(name):
    """Return all addresses to read at for a home: paths, and lists asked for its things alone."""
    found = []
    for path in GETS:
        full = fill(path, name)
        once = "&once=true" if path.endswith("stream") else ""
        found.append((path, f"{full}?{once[1:]}" if once else full))
        found.append((path, f"{full}?participant={name}{once}"))
        found.append((path, f"{full}?limit=1&participant={name}{once}"))
    return found


def read(api, token, address):
    answer = api.get("/api/v1" + address, token=token, headers={"Last-Event-ID": "0"})
    told = {key: answer.headers.get(key) for key in ("etag", "link", "content-type")}
    return answer.status_code, told, REQUEST.sub(b"", answer.content)


def strangers(tokens, name):
    """Return who has nothing to do with a home."""
    return {who: token for who, token in tokens.items() if not who.endswith(name)}


@pytest.mark.parametrize("name", SIDES)
def test_no_answer_names_who_is_none_of_ones_business(world, name):
    api, _, tokens = world
    words = [name.encode(), name.title().encode(), SIDES[name][2].encode()]
    other = next(one for one in SIDES if one != name)
    for who, token in strangers(tokens, name).items():
        for _, address in (*addresses(other), *addresses(name)):
            status, _, content = read(api, token, address)
            if status >= 400:
                continue
            assert not any(word in content for word in words), (who, address, content[:400])


@pytest.mark.parametrize("name", SIDES)
def test_a_thing_of_others_is_refused_like_one_that_is_not_there(world, name):
    api, _, tokens = world
    for who, token in strangers(tokens, name).items():
        for (path, theirs), (_, none) in zip(addresses(name), addresses("nobody"), strict=True):
            if path not in PRIVATE:
                continue
            (status, *_, content), (expected, *_, other) = read(api, token, theirs), read(api, token, none)
            assert status == expected, (who, theirs, content[:200], other[:200])
            if status == 200 and "{" not in path:
                assert b'"items":[]' in content or content == other, (who, theirs)


def test_what_others_do_changes_nothing_of_what_one_reads(world):
    api, root, tokens = world
    quiet = [
        (who, address)
        for who in ("annika", "pool of annika", "dso", "retailer")
        for path, address in addresses("annika")
        if path in PRIVATE and path not in MOVING
    ]
    before = {(who, address): read(api, tokens[who], address) for who, address in quiet}
    evelyn = tokens["evelyn"]
    api.made("/api/v1/bids", evelyn, BID | {"participant": "evelyn", "period": 9})
    api.made("/api/v1/assets", evelyn, {"participant": "evelyn", "type": "ev", "power_kw": 1.0})
    api.made("/api/v1/forecasts", evelyn, {"participant": "evelyn", "first": 9, "kw": [1.0]})
    api.made("/api/v1/limits", root, LIMIT | {"place_kind": "participant", "place": "evelyn",
        "begins": "2026-01-02T00:00Z", "ends": "2026-01-03T00:00Z"})  # fmt: skip
    api.made("/api/v1/accounts/evelyn/deposits", root, {"amount_micro": 1})
    reading = {"participant": "evelyn", "period": 1, "import_wh": 77, "quality": "corrected"}
    api.made("/api/v1/readings", root, reading)
    decision = {"accepted": True, "settle_again": True, "reason": "yes"}
    api.made("/api/v1/disputes/evelyn-d/decision", root, decision)
    api.made("/api/v1/participants", tokens["pool of evelyn"], {"name": "New"})
    for who, address in quiet:
        assert read(api, tokens[who], address) == before[who, address], (who, address)


def test_a_machine_does_nothing_beyond_its_scopes(world):
    api, root, _ = world
    actions = sorted({route.action for route in ROUTES if route.action is not None})
    tokens = {}
    for action in actions:
        others = tuple(one for one in RIGHTS if one != action)
        for scopes in ((action,), others):
            machine = api.machine(root, "operator", scopes=scopes)
            tokens[action, scopes == (action,)] = api.machine_token(*machine).json()["access_token"]
    for route in ROUTES:
        if route.action is None:
            continue
        path = fill(route.path.removeprefix("/api/v1"), "nobody").replace("{", "").replace("}", "")
        for method in route.methods:
            once = "?once=true" if path.endswith("stream") else ""
            headers = {"If-Match": '"999"'}
            asked = {"headers": headers, "json": {}} if method != "GET" else {"headers": headers}
            for own in (True, False):
                answer = api.ask(method, f"/api/v1{path}{once}", token=tokens[route.action, own], **asked)
                may = own and RIGHTS[route.action]["administrator"] is not Reach.NONE
                assert (answer.status_code != 403) == may, (method, path, own, answer.text)
