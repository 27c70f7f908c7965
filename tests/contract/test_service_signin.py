"""Signing in: passwords, second factors, machines, renewals, and what happens to who guesses."""

import pyotp
import pytest
from service_api import PASSWORD, Api

from gridagora.adapters.sql.database import Database


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'a.db'}"
    return request.getfixturevalue("new_postgresql")


@pytest.fixture
def api(url):
    with Database(url, write=True, create=True) as database:
        made = Api(database)
        yield made
        made.close()


def test_person_sets_password_and_second_factor_before_anything_else(api):
    from gridagora.service.auth.admin import Administration

    made = Administration(api.database, api.settings).add_person("ann@example.org", name="Ann")
    token = api.sign_in("Ann@Example.org", made.password).json()
    assert token["setup_required"] is True
    refused = api.get("/api/v1/users", token=token["access_token"])
    assert (refused.status_code, refused.json()["code"]) == (403, "setup_required")
    assert api.get("/api/v1/me", token=token["access_token"]).json()["setup_required"] is True
    full = api.set_up("ann@example.org", made.password)
    assert api.get("/api/v1/me", token=full).json()["second_factor"] is True
    assert api.get("/api/v1/users", token=full).status_code == 200


def test_second_factor_is_asked_for_and_each_code_counts_once(api):
    api.person("operator", "ann")
    email = "ann@operator.example"
    missing = api.sign_in(email)
    assert (missing.status_code, missing.json()["code"]) == (400, "mfa_required")
    used = api.sign_in(email, totp=api.factor.at(api.clock.now))
    assert (used.status_code, used.json()["error"]) == (400, "invalid_grant")
    api.clock.now += 30
    good = api.sign_in(email, totp=api.factor.at(api.clock.now))
    assert good.status_code == 200
    assert api.sign_in(email, totp=api.factor.at(api.clock.now)).status_code == 400
    assert api.sign_in(email, totp="000000").status_code == 400


def test_recovery_code_stands_in_for_the_app_once(api):
    api.person("operator", "ann")
    email, code = "ann@operator.example", api.codes[0]
    assert len(set(api.codes)) == 10
    assert api.sign_in(email, recovery_code=code).status_code == 200
    assert api.sign_in(email, recovery_code=code).json()["code"] == "invalid_grant"
    assert api.sign_in(email, recovery_code=api.codes[1]).status_code == 200


def test_token_of_a_person_ends_and_is_renewed(api):
    api.person("operator", "ann")
    first = api.sign_in("ann@operator.example", recovery_code=api.codes[0]).json()
    api.clock.now += 601
    ended = api.get("/api/v1/me", token=first["access_token"])
    assert ended.status_code == 401
    assert ended.headers["www-authenticate"].startswith("Bearer")
    second = api.post("/oauth/token", data={"grant_type": "refresh_token", **_refresh(first)}).json()
    assert api.get("/api/v1/me", token=second["access_token"]).status_code == 200
    assert second["refresh_token"] != first["refresh_token"]


def _refresh(token):
    return {"refresh_token": token["refresh_token"]}


def test_refresh_token_that_comes_twice_ends_the_session(api):
    admin = api.person("operator", "ann")
    first = api.sign_in("ann@operator.example", recovery_code=api.codes[0]).json()
    second = api.post("/oauth/token", data={"grant_type": "refresh_token", **_refresh(first)}).json()
    stolen = api.post("/oauth/token", data={"grant_type": "refresh_token", **_refresh(first)})
    assert stolen.json()["error"] == "invalid_grant"
    assert api.get("/api/v1/me", token=second["access_token"]).status_code == 401
    again = api.post("/oauth/token", data={"grant_type": "refresh_token", **_refresh(second)})
    assert again.status_code == 400
    log = api.get("/api/v1/audit", token=admin).json()["items"]
    assert "token.reused" in {entry["action"] for entry in log}


def test_concurrent_renewals_hand_out_one_token(api):
    api.person("operator", "ann")
    first = api.sign_in("ann@operator.example", recovery_code=api.codes[0]).json()
    fields = {"grant_type": "refresh_token", **_refresh(first)}
    answers = api.together(*[("POST", "/oauth/token", {"data": fields})] * 6)
    assert sorted(answer.status_code for answer in answers)[:2] in ([200, 400], [400, 400])


def test_revoked_token_ends_at_once(api):
    api.person("operator", "ann")
    for name in ("access_token", "refresh_token"):
        token = api.sign_in("ann@operator.example", recovery_code=api.codes.pop()).json()
        assert api.get("/api/v1/me", token=token["access_token"]).status_code == 200
        assert api.post("/oauth/revoke", data={"token": token[name]}).status_code == 200
        assert api.get("/api/v1/me", token=token["access_token"]).status_code == 401
    assert api.post("/oauth/revoke", data={"token": "nonsense"}).status_code == 200


def test_revocation_by_another_process_counts_within_seconds(new_postgresql):
    with Database(new_postgresql, write=True) as database:
        api = Api(database)
        check_revocation_by_another_process(api)
        api.close()


def check_revocation_by_another_process(api):
    api.person("operator", "ann")
    token = api.sign_in("ann@operator.example", recovery_code=api.codes[0]).json()
    assert api.get("/api/v1/me", token=token["access_token"]).status_code == 200
    other = Api(api.database)
    other.clock.now = api.clock.now
    assert other.post("/oauth/revoke", data={"token": token["refresh_token"]}).status_code == 200
    other.close()
    assert api.get("/api/v1/me", token=token["access_token"]).status_code == 200
    api.clock.now += api.settings.recheck_s
    assert api.get("/api/v1/me", token=token["access_token"]).status_code == 401


def test_machine_signs_in_by_form_and_by_basic_header(api):
    admin = api.person("operator", "ann")
    api.person("pool", "bea")
    id, secret = api.machine(admin, "pool", scopes=["bids.*", "me.read"])
    token = api.machine_token(id, secret).json()
    assert (token["role"], token["refresh_token"], token["expires_in"]) == ("aggregator", None, 600)
    me = api.get("/api/v1/me", token=token["access_token"]).json()
    assert me["scopes"] == ["bids.*", "me.read"]
    assert set(me["rights"]) == {"bids.read", "bids.write", "me.read"}
    assert api.get("/api/v1/clients", token=token["access_token"]).status_code == 403
    basic = api.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=(id, secret))
    assert basic.status_code == 200
    narrow = api.machine_token(id, secret, scope="me.read").json()
    assert set(api.get("/api/v1/me", token=narrow["access_token"]).json()["rights"]) == {"me.read"}
    assert api.machine_token(id, secret, scope="users.write").json()["error"] == "invalid_scope"
    wrong = api.machine_token(id, secret + "x")
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert wrong.headers["www-authenticate"].startswith("Basic")


def test_new_secret_and_blocking_end_a_machines_tokens(api):
    admin = api.person("operator", "ann")
    id, secret = api.machine(admin, "operator")
    token = api.machine_token(id, secret).json()["access_token"]
    renewed = api.post(f"/api/v1/clients/{id}/secret", token=admin).json()["client_secret"]
    assert api.get("/api/v1/me", token=token).status_code == 401
    assert api.machine_token(id, secret).status_code == 401
    token = api.machine_token(id, renewed).json()["access_token"]
    body, match = {"status": "blocked"}, {"If-Match": '"2"'}
    path = f"/api/v1/clients/{id}"
    assert api.ask("PATCH", path, token=admin, json=body, headers=match).status_code == 200
    assert api.get("/api/v1/me", token=token).status_code == 401
    assert api.machine_token(id, renewed).status_code == 401


# --- guessing ---------------------------------------------------------------------------------------


def test_guessing_has_to_wait_longer_each_time_for_names_that_are_and_are_not(api):
    api.person("operator", "ann")
    told = {}
    for email in ("ann@operator.example", "nobody@operator.example"):
        answers = [api.sign_in(email, "wrong " * 3) for _ in range(7)]
        told[email] = [(a.status_code, a.json()["code"], a.json()["detail"]) for a in answers]
        assert [code for _, code, _ in told[email]] == ["invalid_grant"] * 5 + ["too_many_attempts"] * 2
        assert int(answers[-1].headers["retry-after"]) == 2
        api.clock.now += 2
        api.sign_in(email, "wrong " * 3)
        assert api.sign_in(email, "wrong " * 3).headers["retry-after"] == "4"
        locked = api.sign_in(email, PASSWORD, totp="123456")
        assert locked.json()["code"] == "too_many_attempts"
    assert len(set(map(tuple, told.values()))) == 1


def test_guessing_codes_counts_too(api):
    api.person("operator", "ann")
    codes = [api.sign_in("ann@operator.example", totp=f"{n:06}").json()["code"] for n in range(6)]
    assert codes == ["invalid_grant"] * 5 + ["too_many_attempts"]


def test_right_password_after_the_wait_is_taken(api):
    api.person("operator", "ann")
    for _ in range(5):
        api.sign_in("ann@operator.example", "wrong wrong wrong")
    api.clock.now += 2
    assert api.sign_in("ann@operator.example", recovery_code=api.codes[0]).status_code == 200


def test_guessing_ones_old_password_with_a_stolen_token_is_counted(api):
    token = api.person("operator", "ann")
    body = {"password": "wrong"}
    codes = [api.post("/api/v1/me/totp", token=token, json=body).json()["code"] for _ in range(6)]
    assert codes == ["invalid_grant"] * 5 + ["too_many_attempts"]


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "password_weak"),
        ("annette says hello", "password_weak"),
        ("aaaaaaaaaaaaaa", "password_weak"),
        ("password1234", "password_weak"),
        (PASSWORD, "password_same"),
    ],
)
def test_weak_passwords_are_refused_and_not_written_back(api, password, code):
    token = api.person("operator", "annette")
    body = {"old_password": PASSWORD, "new_password": password}
    refused = api.post("/api/v1/me/password", token=token, json=body)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert (error["place"], error["value"], error["code"]) == ("body.new_password", None, code)
    assert password not in refused.text


@pytest.mark.parametrize(
    "token",
    ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyOjEiLCJzaWQiOiIxIn0.", "\xe9" * 10, "A" * 5000],
)
def test_forged_tokens_are_refused(api, token):
    headers = {"Authorization": f"Bearer {token}".encode("latin-1")}
    assert api.get("/api/v1/me", headers=headers).json()["code"] == "unauthenticated"


def test_token_that_another_key_signed_is_refused(api):
    from joserfc import jwt
    from joserfc.jwk import OctKey

    token = api.person("operator", "ann")
    claims = jwt.decode(token, OctKey.import_key(api.app.state.service.desk.keys()[0].secret)).claims
    forged = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(b"k" * 32))
    assert api.get("/api/v1/me", token=forged).status_code == 401
    assert claims["exp"] - claims["iat"] == 600


def test_keys_are_renewed_and_old_tokens_live_on(api):
    api.person("operator", "ann")
    api.clock.now += api.settings.key_s - 1
    token = api.sign_in("ann@operator.example", recovery_code=api.codes[0]).json()["access_token"]
    before = api.app.state.service.desk.keys()[0].id
    api.clock.now += 120
    later = api.sign_in("ann@operator.example", recovery_code=api.codes[1]).json()["access_token"]
    assert api.app.state.service.desk.keys()[0].id != before
    assert {api.get("/api/v1/me", token=one).status_code for one in (token, later)} == {200}


def test_secrets_are_nowhere_in_the_database_in_clear(api):
    admin = api.person("operator", "ann")
    _, secret = api.machine(admin, "operator")
    token = api.sign_in("ann@operator.example", recovery_code=api.codes[0]).json()
    from gridagora.service.auth.tables import metadata

    held = ""
    with api.database.reading() as connection:
        for table in metadata.sorted_tables:
            held += repr(connection.execute(table.select()).all())
    for value in (secret, PASSWORD, token["refresh_token"], token["access_token"], *api.codes):
        assert value not in held
    assert "$argon2id$" in held


def test_person_who_is_reset_begins_anew(api):
    admin = api.person("operator", "ann")
    bea = api.person("homes", "bea")
    id = api.get("/api/v1/me", token=bea).json()["id"]
    first = api.post(f"/api/v1/users/{id}/reset", token=admin).json()["password"]
    assert api.get("/api/v1/me", token=bea).status_code == 401
    assert api.sign_in("bea@homes.example").status_code == 400
    assert api.set_up("bea@homes.example", first)


def test_codes_are_those_of_every_app(api):
    api.person("operator", "ann")
    assert pyotp.parse_uri(api.factor.provisioning_uri()).secret == api.factor.secret


def test_guessing_the_factor_that_is_to_be_replaced_is_counted(api):
    token = api.person("operator", "ann")
    body = {"password": PASSWORD, "totp": "000000"}
    codes = [api.post("/api/v1/me/totp", token=token, json=body).json()["code"] for _ in range(6)]
    assert codes == ["invalid_grant"] * 5 + ["too_many_attempts"]


def test_second_factor_is_replaced_by_who_has_it_alone(api):
    token = api.person("operator", "ann")
    first, ask = api.factor, {"password": PASSWORD}
    assert api.post("/api/v1/me/totp", token=token, json=ask).json()["code"] == "mfa_required"
    wrong = api.post("/api/v1/me/totp", token=token, json=ask | {"totp": "000000"})
    assert wrong.json()["code"] == "invalid_grant"
    api.clock.now += 30
    code = first.at(api.clock.now)
    offered = api.post("/api/v1/me/totp", token=token, json=ask | {"totp": code}).json()
    api.clock.now += 30
    assert api.sign_in("ann@operator.example", totp=first.at(api.clock.now)).status_code == 200
    second = pyotp.TOTP(offered["secret"])
    wrong = api.post("/api/v1/me/totp/confirm", token=token, json={"code": first.at(api.clock.now)})
    assert wrong.json()["errors"][0]["code"] == "totp_wrong"
    body = {"code": second.at(api.clock.now)}
    assert api.post("/api/v1/me/totp/confirm", token=token, json=body).status_code == 200
    api.clock.now += 30
    assert api.sign_in("ann@operator.example", totp=first.at(api.clock.now)).status_code == 400
    assert api.sign_in("ann@operator.example", totp=second.at(api.clock.now)).status_code == 200
