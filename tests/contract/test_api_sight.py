"""When somebody's sight of a participant ends: it moves, changes its aggregator, or has a user of its own."""

import pytest
from api_market import SCENARIO, MarketApi

PATHS = ("/participants/{}", "/accounts/{}", "/assets/{}-pv", "/forecasts/{}-f", "/schedules?participant={}")
PATHS += ("/participants/{}/stream?once=true", "/notifications?participant={}", "/bids?participant={}")


@pytest.fixture
def api(tmp_path):
    api = MarketApi(f"sqlite:///{tmp_path / 'a.db'}")
    for organisation in ("homes", "homes-2", "pool", "pool-2", "power", "power-2"):
        api.person(organisation, "nobody")
    yield api
    api.close()


def seen(api, token, name):
    """Return the paths of a participant that somebody may read."""
    answers = {path: api.get("/api/v1" + path.format(name), token=token).status_code for path in PATHS}
    assert set(answers.values()) <= {200, 403}, answers
    listed = [one["id"] for one in api.get("/api/v1/participants", token=token).json()["items"]]
    assert (name in listed) == (answers["/participants/{}"] == 200)
    return {path for path, status in answers.items() if status == 200}


def furnish(api, token, name):
    api.made(
        "/api/v1/assets", token, {"id": f"{name}-pv", "participant": name, "type": "pv", "power_kw": 1.0}
    )
    api.made("/api/v1/forecasts", token, {"id": f"{name}-f", "participant": name, "first": 9, "kw": [1.0]})


def test_a_change_of_aggregator_ends_what_the_old_one_sees_and_does(api):
    agnes, alan = api.person("pool", "agnes"), api.person("pool-2", "alan")
    api.made("/api/v1/participants", agnes, {"id": "fay", "name": "Fay"})
    furnish(api, agnes, "fay")
    assert (seen(api, agnes, "fay"), seen(api, alan, "fay")) == (set(PATHS), set())
    moved = {"name": "Fay", "aggregator": "pool-2"}
    assert api.put("/api/v1/participants/fay", 1, token=agnes, json=moved).is_success
    assert (seen(api, agnes, "fay"), seen(api, alan, "fay")) == (set(), set(PATHS))
    back = api.put("/api/v1/participants/fay", 2, token=agnes, json={"name": "Fay", "aggregator": "pool"})
    assert back.status_code == 403


def test_an_aggregator_that_is_the_organisation_too_ends_with_the_next_one(api):
    agnes, alan = api.person("pool", "agnes"), api.person("pool-2", "alan")
    body = {"id": "fay", "name": "Fay", "organisation": "pool"}
    api.made("/api/v1/participants", agnes, body)
    furnish(api, agnes, "fay")
    moved = {"name": "Fay", "aggregator": "pool-2"}
    assert api.put("/api/v1/participants/fay", 1, token=agnes, json=moved).is_success
    assert (seen(api, agnes, "fay"), seen(api, alan, "fay")) == (set(), set(PATHS))


def test_a_change_of_retailer_or_community_is_the_operators_and_ends_sight(api):
    root, ravi, rose = api.person("operator", "root"), api.person("power", "r"), api.person("power-2", "r")
    api.made("/api/v1/participants", ravi, {"id": "fay", "name": "Fay"})
    furnish(api, root, "fay")
    for who in (ravi, rose):
        moved = {"name": "Fay", "organisation": "power-2"}
        assert api.put("/api/v1/participants/fay", 1, token=who, json=moved).status_code == 403
    assert api.put("/api/v1/participants/fay", 1, token=root, json=moved).is_success
    assert (seen(api, ravi, "fay"), seen(api, rose, "fay")) == (set(), set(PATHS))


def test_an_aggregator_does_not_make_a_home_its_own_by_a_change(api):
    agnes, eve = api.person("pool", "agnes"), api.person("homes-2", "eve")
    api.made("/api/v1/participants", eve, {"id": "eve", "name": "Eve", "aggregator": "pool"})
    taken = {"name": "Eve", "aggregator": "pool", "organisation": "pool"}
    assert api.put("/api/v1/participants/eve", 1, token=agnes, json=taken).status_code == 403
    assert api.put("/api/v1/participants/eve", 1, token=agnes, json={"name": "E"}).is_success
    assert api.get("/api/v1/participants/eve", token=eve).json()["organisation"] == "homes-2"
    assert api.get("/api/v1/participants/eve", token=agnes).status_code == 403


def test_who_registered_a_home_sees_it_until_it_moves(api):
    root, eve = api.person("operator", "root"), api.person("homes-2", "eve")
    api.made("/api/v1/participants", eve, {"id": "eve", "name": "Eve"})
    furnish(api, eve, "eve")
    kept = api.put("/api/v1/participants/eve", 1, token=eve, json={"name": "Eve", "aggregator": "pool"})
    assert kept.is_success, "another aggregator is her own choice"
    assert seen(api, eve, "eve") == set(PATHS)
    for version, organisation in ((2, "homes"), (3, "homes-2")):
        body = {"name": "Eve", "organisation": organisation}
        assert api.put("/api/v1/participants/eve", version, token=root, json=body).is_success
        assert seen(api, eve, "eve") == set(), "back again it is the operator who says whose it is"


def test_who_registered_a_home_sees_it_until_somebody_has_it_as_their_own(api):
    root, eve = api.person("operator", "root"), api.person("homes", "eve")
    machine = api.machine(eve, "homes")
    bot = api.machine_token(*machine).json()["access_token"]
    for who, name in ((eve, "fay"), (bot, "gil")):
        api.made("/api/v1/participants", who, {"id": name, "name": name})
        furnish(api, who, name)
        assert seen(api, who, name) == set(PATHS)
    body = {"email": "fay@example.org", "name": "Fay", "organisation": "homes", "participants": ["fay"]}
    api.made("/api/v1/users", root, body)
    assert seen(api, eve, "fay") == set()
    assert seen(api, bot, "gil") == set(PATHS)
    me = api.get("/api/v1/me", token=eve).json()["id"]
    headers = {"If-Match": f'"{api.get(f"/api/v1/users/{me}", token=root).json()["version"]}"'}
    change = {"participants": ["fay", "gil"]}
    assert api.ask("PATCH", f"/api/v1/users/{me}", token=root, headers=headers, json=change).is_success
    assert (seen(api, eve, "fay"), seen(api, eve, "gil")) == (set(PATHS), set(PATHS))
    assert seen(api, bot, "gil") == set()


def test_a_grid_operator_has_to_do_with_the_technical_side_of_its_area_alone(tmp_path):
    zones = {"from": "distance", "count": 2}
    scenario = SCENARIO | {"market": {"mechanism": "zonal"}, "zones": zones}
    api = MarketApi(f"sqlite:///{tmp_path / 'z.db'}", scenario=scenario)
    try:
        root = api.person("operator", "root")
        tree = {one["id"]: one for one in api.get("/api/v1/zones").json()["items"]}
        leaves = tree.keys() - {one["parent"] for one in tree.values()}
        here, there = sorted(leaves)[:2]
        bus, far = (tree[zone]["buses"][-1] for zone in (here, there))
        dora, dave = api.person("grid", "d", areas=(here,)), api.person("grid-2", "d", areas=(there,))
        api.person("homes", "nobody")
        for name, place in (("fay", bus), ("gil", far)):
            api.join(root, name, place)
            furnish(api, root, name)
        for who, mine, theirs in ((dora, "fay", "gil"), (dave, "gil", "fay")):
            for kind, end in (("connection-points", "1"), ("assets", "pv")):
                items = api.get(f"/api/v1/{kind}", token=who).json()["items"]
                assert [one["id"] for one in items] == [f"{mine}-{end}"]
                assert not {"name", "email", "iban", "overdraft_micro"} & items[0].keys()
                assert api.get(f"/api/v1/{kind}/{theirs}-{end}", token=who).status_code == 403
                assert api.get(f"/api/v1/{kind}?participant={theirs}", token=who).status_code == 403
            for path in ("participants/{}", "forecasts/{}-f", "accounts/{}", "schedules?participant={}"):
                assert api.get(f"/api/v1/{path.format(mine)}", token=who).status_code == 403, path
            for path in ("readings", "bids", "trades", "settlements", "deliveries"):
                assert api.get(f"/api/v1/{path}?participant={mine}", token=who).status_code == 403, path
        point = {"participant": "gil", "bus": bus}
        assert api.post("/api/v1/connection-points", token=dora, json=point).status_code == 403
        api.made("/api/v1/participants", root, {"id": "hal", "name": "Hal"})
        api.made("/api/v1/connection-points", dora, point | {"participant": "hal"})
        limit = {"id": "x", "begins": "2026-01-02T00:00Z", "ends": "2026-01-03T00:00Z", "import_kw": 1.0}
        api.made("/api/v1/limits", dave, limit | {"place_kind": "zone", "place": there})
        moved = limit | {"place_kind": "zone", "place": here}
        for path in ("limits", "emergencies"):
            assert api.post(f"/api/v1/{path}", token=dora, json=moved).status_code == 403
            again = api.post(f"/api/v1/{path}", token=root, json=moved)
            assert again.json()["errors"][0]["code"] == "id_invalid"
    finally:
        api.close()
