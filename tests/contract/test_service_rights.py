"""Rights: every endpoint says who may use it, and each role meets its own and others' things there."""

import pytest
from service_api import KINDS, Api
from sqlalchemy import update

from gridagora.adapters.sql.database import Database
from gridagora.errors import InvariantError
from gridagora.service.api import audit, clients, jobs, me, oauth, organisations, users
from gridagora.service.auth import tables
from gridagora.service.auth.needs import needs, public
from gridagora.service.auth.records import ROLE_OF_TYPE
from gridagora.service.auth.rights import (
    NOBODYS,
    RIGHTS,
    ROLES,
    Identity,
    Reach,
    Subject,
    may,
    reach_of,
    within,
)
from gridagora.service.routes import router, routes_of

MINE = [oauth.api, me.api, organisations.api, users.api, clients.api, audit.api, jobs.api]
PUBLIC = {"/oauth/token", "/oauth/revoke"}
BODIES = {
    ("PATCH", "/api/v1/organisations/{id}"): {"name": "x"},
    ("PATCH", "/api/v1/users/{id}"): {"name": "x"},
    ("PATCH", "/api/v1/clients/{id}"): {"name": "x"},
}
ORGANISATION = {role: name for name, kind in KINDS.items() for role in [ROLE_OF_TYPE[kind]]}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A service with two organisations of each role, and a person, a machine and a job in each."""
    path = tmp_path_factory.mktemp("rights") / "a.db"
    with Database(f"sqlite:///{path}", write=True, create=True) as database:
        api = Api(database)
        admin = api.person("operator", "root")
        things = {}
        for role, organisation in ORGANISATION.items():
            for name in (organisation, f"{organisation}-2"):
                token = api.person(name, "ann")
                machine, _ = api.machine(admin, name)
                user = api.get("/api/v1/me", token=token).json()["id"]
                with api.app.state.service.desk.writing() as connection:
                    change = update(tables.clients).where(tables.clients.c.id == machine)
                    connection.execute(change.values(owner=user))
                job = api.app.state.service.jobs.start(user, "nothing", lambda _progress: {}).id
                things[role, name == organisation] = {
                    "token": token,
                    "organisations": name,
                    "users": user,
                    "clients": machine,
                    "jobs": job,
                    "subject": Subject(owner=user, organisations=frozenset({name})),
                }
        yield api, things
        api.close()


ROUTES = [
    (method, route)
    for route in routes_of(MINE)
    for method in sorted(route.methods)
    if route.action is not None
]


def ids(route):
    return f"{route[0]} {route[1].path}"


def test_every_endpoint_declares_a_right_or_is_known_to_be_public():
    routes = routes_of(MINE)
    assert {route.path for route in routes if route.action is None} == PUBLIC
    assert {route.action for route in routes} - {None} <= set(RIGHTS)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("route", ROUTES, ids=ids)
@pytest.mark.parametrize("whose", ["own", "other"])
def test_matrix(world, route, role, whose):
    api, things = world
    method, guarded = route
    mine, theirs = things[role, True], things[role, whose == "own"]
    reach = RIGHTS[guarded.action][role]
    path, expected = guarded.path, reach is not Reach.NONE
    if "{id}" in path:
        kind = path.split("/")[3]
        path = path.replace("{id}", theirs[kind])
        expected = within(identity_of(mine, role), reach, subject_of(kind, theirs))
    body, headers = BODIES.get((method, guarded.path)), {"If-Match": '"999"'}
    answer = api.ask(method, path, token=mine["token"], json=body, headers=headers)
    if path.endswith(("/reset", "/secret")) and expected:
        assert answer.status_code == 200
        restore(api, world, theirs, role)
        return
    refused = answer.status_code == 403
    assert refused is not expected, f"{role} {method} {path}: {answer.text}"
    assert answer.status_code < 500
    if refused:
        assert answer.json()["code"] == "forbidden"


def identity_of(mine, role):
    return Identity(id=mine["users"], role=role, organisation=mine["organisations"])


def subject_of(kind, theirs):
    whole = theirs["subject"]
    return {
        "organisations": Subject(organisations=whole.organisations),
        "jobs": Subject(owner=whole.owner),
    }.get(kind, whole)


def restore(api, world, theirs, role):
    """Give a person whom an administrator reset a token again."""
    me_now = api.get("/api/v1/me", token=theirs["token"])
    if me_now.status_code == 401:
        from gridagora.service.auth.admin import Administration

        people = Administration(api.database, api.settings)
        email = f"ann@{theirs['organisations']}.example"
        theirs["token"] = api.set_up(email, people.reset(email).password)
        people.close()


def test_who_is_refused_too_often_has_to_wait(tmp_path):
    with Database(f"sqlite:///{tmp_path / 'a.db'}", write=True, create=True) as database:
        api = Api(database, refusal_rate=1e-3, refusal_burst=3)
        token = api.person("homes", "ann")
        answers = [api.get("/api/v1/audit", token=token) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [403, 403, 403, 429, 429]
        assert int(answers[-1].headers["retry-after"]) > 100
        assert api.get("/api/v1/me", token=token).status_code == 200
        api.close()


def test_refusals_are_in_the_audit_log(world):
    api, things = world
    prosumer, admin = things["prosumer", True], things["administrator", True]
    assert api.get("/api/v1/audit", token=prosumer["token"]).status_code == 403
    found = api.get("/api/v1/audit", token=admin["token"], params={"actor": prosumer["users"]}).json()
    newest = found["items"][0]
    assert (newest["action"], newest["outcome"], newest["object"]) == (
        "audit.read",
        "refused",
        "/api/v1/audit",
    )


@pytest.mark.parametrize("role", ROLES)
def test_lists_show_what_the_role_may_see(world, role):
    api, things = world
    mine, other = things[role, True], things[role, False]
    identity = identity_of(mine, role)
    for kind in ("organisations", "users", "clients"):
        answer = api.get(f"/api/v1/{kind}", token=mine["token"], params={"limit": 1000})
        shown = {item["id"] for item in answer.json()["items"]}
        assert mine[kind] in shown
        right = may(identity, f"{kind}.read", subject_of(kind, other))
        assert (other[kind] in shown) is right


def test_machine_may_not_be_given_more_than_who_makes_it_has(world):
    api, things = world
    pool = things["aggregator", True]
    cases = [
        {"organisation": "pool-2"},
        {"organisation": "operator"},
        {"organisation": "pool", "participants": ["h1"]},
    ]
    for case in cases:
        body = {"name": "m", "scopes": ["*"], **case}
        assert api.post("/api/v1/clients", token=pool["token"], json=body).status_code == 403
    body = {"name": "m", "scopes": ["clients.*", "me.read"], "organisation": "pool"}
    made = api.post("/api/v1/clients", token=pool["token"], json=body).json()
    token = api.machine_token(made["client"]["id"], made["client_secret"]).json()["access_token"]
    for scopes, status in ((["*"], 403), (["bids.write"], 403), (["me.read"], 201)):
        body = {"name": "m", "scopes": scopes, "organisation": "pool"}
        assert api.post("/api/v1/clients", token=token, json=body).status_code == status


def test_blocked_organisation_locks_its_people_out_at_once(world):
    api, things = world
    admin = things["administrator", True]["token"]
    token = api.person("pool-3", "ann")
    path = "/api/v1/organisations/pool-3"
    change = {"json": {"status": "blocked"}, "headers": {"If-Match": '"1"'}}
    assert api.ask("PATCH", path, token=admin, **change).status_code == 200
    assert api.get("/api/v1/me", token=token).status_code == 401
    assert api.sign_in("ann@pool-3.example", recovery_code=api.codes[0]).json()["code"] == "invalid_grant"


def test_nobody_locks_themselves_out(world):
    api, things = world
    root = api.sign_in("root@operator.example").json()
    assert root["code"] == "mfa_required"
    admin = things["administrator", True]
    change = {"json": {"status": "blocked"}, "headers": {"If-Match": '"1"'}}
    for path in (f"users/{admin['users']}", "organisations/operator"):
        assert api.ask("PATCH", f"/api/v1/{path}", token=admin["token"], **change).status_code == 409


# --- the table itself ---------------------------------------------------------------------------------

ANN = Identity(
    id="user-1",
    role="dso",
    organisation="grid",
    participants=frozenset({"p1"}),
    areas=frozenset({"z1"}),
)


@pytest.mark.parametrize(
    ("subject", "nearest"),
    [
        (Subject(owner="user-1"), Reach.OWN),
        (Subject(participants=frozenset({"p1", "p2"})), Reach.OWN),
        (Subject(organisations=frozenset({"grid", "pool"})), Reach.ORGANISATION),
        (Subject(areas=frozenset({"z1", "z"})), Reach.AREA),
        (Subject(owner="user-2", areas=frozenset({"z2"})), Reach.ALL),
        (NOBODYS, Reach.ALL),
    ],
)
def test_reach_goes_as_far_as_it_says(subject, nearest):
    assert [within(ANN, reach, subject) for reach in Reach] == [reach >= nearest for reach in Reach]


def test_area_of_everywhere_covers_all_and_gives_nothing_below_its_reach():
    everywhere = Identity(id="user-1", role="dso", organisation="grid", areas=frozenset({"*"}))
    assert within(everywhere, Reach.AREA, NOBODYS)
    assert not within(everywhere, Reach.ORGANISATION, NOBODYS)


def test_regulator_reads_all_and_changes_nothing():
    for action, row in RIGHTS.items():
        word = action.split(".")[1]
        reads = word == "read" or action == "me.write"
        assert row["regulator"] is (Reach.ALL if reads else Reach.NONE), action
        if word == "read":
            assert row["administrator"] is Reach.ALL


def test_limited_identity_and_scopes_narrow_a_role():
    limited = Identity(id="user-1", role="administrator", organisation="o", limited=True)
    assert {action for action in RIGHTS if reach_of(limited, action)} == {"me.read", "me.write"}
    narrow = Identity(id="client-1", role="administrator", organisation="o", scopes=("users.*", "bids.read"))
    assert {a for a in RIGHTS if reach_of(narrow, a)} == {"users.read", "users.write", "bids.read"}
    nothing = Identity(id="client-1", role="administrator", organisation="o", scopes=())
    assert not any(reach_of(nothing, action) for action in RIGHTS)


def test_endpoint_without_a_right_cannot_be_made():
    api = router("odd")

    async def open_to_all() -> None:
        return

    with pytest.raises(InvariantError, match="must say with one needs"):
        api.get("/odd")(open_to_all)
    with pytest.raises(InvariantError, match="no action of the table"):
        needs("odd.read")
    assert api.get("/odd")(public(open_to_all)) is open_to_all
