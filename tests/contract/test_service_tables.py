"""Identities in the database: migrations, the audit log, jobs, and what is done at the machine."""

import threading
import time

import pyotp
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from service_api import PASSWORD, Api
from sqlalchemy import inspect, text
from typer.testing import CliRunner

from gridagora.adapters.sql.audit import verify as verify_market
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.store import SqlStore
from gridagora.cli import app as program
from gridagora.errors import StoreError
from gridagora.service.auth import audit, tables
from gridagora.service.auth.audit import Note
from gridagora.service.auth.desk import Desk
from gridagora.service.auth.schema import prepare
from gridagora.service.jobs import Jobs
from gridagora.service.problems import Problem


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


def test_migrations_make_the_tables_that_the_program_names(api):
    def ours(object_, name, kind, _reflected, _compare_to):
        return kind != "table" or name.startswith("auth_")

    with api.database.looking() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"version_table": tables.VERSION_TABLE, "compare_type": True, "include_object": ours},
        )
        assert compare_metadata(context, tables.metadata) == []
        prepare(connection)
    assert api.app.state.service.desk.keys()


def test_newer_identities_are_refused(api):
    with api.database.looking() as connection:
        connection.execute(text("UPDATE auth_version SET version_num = 'a999'"))
    with pytest.raises(StoreError, match="written by a newer version"), api.database.looking() as connection:
        prepare(connection)


def test_market_beside_identities_is_opened_again(url):
    with Database(url, write=True, create=True) as database:
        api = Api(database)
        api.person("homes", "ann")
        SqlStore(database, "village")
        api.close()
    with Database(url, write=True) as database:
        assert verify_market(database, "village").findings == ()
        api = Api(database)
        assert api.sign_in("ann@homes.example").json()["code"] == "mfa_required"
        api.close()


# --- audit log ----------------------------------------------------------------------------------------


def test_audit_log_tells_who_did_what_and_no_secret(api):
    admin = api.person("operator", "ann")
    body = {"email": "bea@homes.example", "name": "Bea", "organisation": "operator"}
    made = api.post("/api/v1/users", token=admin, json=body).json()
    log = api.get("/api/v1/audit", token=admin).json()["items"]
    assert (log[0]["action"], log[0]["object"], log[0]["outcome"]) == (
        "users.write",
        made["user"]["id"],
        "done",
    )
    assert log[0]["at"] == made["user"]["made_at"] == "2027-01-15T08:00:00Z"
    assert [entry["seq"] for entry in log] == list(range(len(log), 0, -1))
    assert {"sign_in", "password.changed", "totp.offered", "totp.confirmed"} <= {e["action"] for e in log}
    for secret in (made["password"], PASSWORD, api.factor.secret, *api.codes):
        assert secret not in str(log)


def test_change_that_fails_leaves_no_entry(api):
    admin = api.person("operator", "ann")
    body = {"email": "ann@operator.example", "name": "Ann", "organisation": "operator"}
    count = len(api.get("/api/v1/audit", token=admin).json()["items"])
    refused = api.post("/api/v1/users", token=admin, json=body)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "exists")
    assert len(api.get("/api/v1/audit", token=admin).json()["items"]) == count


@pytest.mark.parametrize("change", ["UPDATE auth_audit SET actor = 'x'", "DELETE FROM auth_audit"])
def test_audit_log_cannot_be_changed_by_accident(api, change):
    api.person("operator", "ann")
    with pytest.raises(StoreError, match="kept for ever"), api.database.looking() as connection:
        connection.execute(text(change))


def allow_changes(connection):
    if connection.dialect.name == "sqlite":
        for word in ("update", "delete"):
            connection.execute(text(f"DROP TRIGGER auth_audit_no_{word}"))
    else:
        connection.execute(text("DROP TRIGGER auth_audit_kept ON auth_audit"))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("UPDATE auth_audit SET actor = 'x' WHERE seq = 3", "entry 3 was changed"),
        ("DELETE FROM auth_audit WHERE seq = 3", "entry 3 is missing"),
        ("DELETE FROM auth_audit WHERE seq = 1", "entry 1 is missing"),
    ],
)
def test_audit_log_that_was_changed_by_force_is_found(api, change, found):
    token = api.person("operator", "ann")
    with api.database.looking() as connection:
        assert audit.verify(connection, lambda *_: None)[1] == ""
        allow_changes(connection)
        connection.execute(text(change))
    answer = api.post("/api/v1/audit/verifications", token=token)
    assert answer.status_code == 202
    job = finished(api, token, answer.headers["location"])
    assert (job["status"], job["result"]["whole"], job["result"]["fault"]) == ("done", False, found)


def finished(api, token, where):
    for _ in range(200):
        job = api.get(where, token=token).json()
        if job["status"] in ("done", "failed"):
            return job
        threading.Event().wait(0.02)
    raise AssertionError(job)


def test_entries_of_many_threads_and_processes_are_one_chain(api, url):
    desk = api.app.state.service.desk
    server = "postgresql" in url
    other = Database(url, write=True) if server else api.database
    another = Desk(lambda: other, api.settings)

    def work(name):
        for n in range(10):
            (another if n % 2 else desk).note(Note(actor=name, action="test", detail={"n": n}))

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with api.database.reading() as connection:
        assert audit.verify(connection, lambda *_: None) == (40, "")
    another.hashes.close()
    if server:
        other.close()


# --- jobs ---------------------------------------------------------------------------------------------


def test_job_tells_how_far_it_is_and_how_it_ended(api):
    token = api.person("operator", "ann")
    ann = api.get("/api/v1/me", token=token).json()["id"]
    jobs, go = api.app.state.service.jobs, threading.Event()

    def work(progress):
        progress(1, 3)
        assert go.wait(5)
        return {"rows": 3}

    where = f"/api/v1/jobs/{jobs.start(ann, 'reading', work).id}"
    for _ in range(200):
        now = api.get(where, token=token)
        if now.json()["done"] == 1:
            break
        time.sleep(0.01)
    assert (now.json()["status"], now.json()["total"], now.headers["retry-after"]) == ("running", 3, "1")
    go.set()
    ended = finished(api, token, where)
    assert (ended["result"], ended["done"], ended["total"]) == ({"rows": 3}, 3, 3)
    uncounted = finished(api, token, f"/api/v1/jobs/{jobs.start(ann, 'reading', lambda _: {}).id}")
    assert (uncounted["status"], uncounted["done"], uncounted["total"]) == ("done", 1, 1)

    def failing(_progress):
        raise Problem("conflict", "it does not fit")

    failed = finished(api, token, f"/api/v1/jobs/{jobs.start(ann, 'reading', failing).id}")
    assert (failed["status"], failed["problem"]["detail"]) == ("failed", "it does not fit")

    def defect(_progress):
        raise ZeroDivisionError("secret")

    failed = finished(api, token, f"/api/v1/jobs/{jobs.start(ann, 'reading', defect).id}")
    assert failed["problem"]["code"] == "internal_error"
    assert "secret" not in str(failed)
    assert api.get("/api/v1/jobs/job-x", token=token).status_code == 404


def test_job_of_a_process_that_ended_is_told_as_failed(api):
    jobs, stay = api.app.state.service.jobs, threading.Event()
    first = jobs.start("user-1", "waiting", lambda _progress: {"waited": stay.wait(5)})
    with api.database.looking() as connection:
        connection.execute(text("UPDATE auth_jobs SET worker = 'elsewhere:1'"))
    Jobs(api.app.state.service.desk).close()
    assert jobs.get(first.id).status != "failed"
    with api.database.looking() as connection:
        here = jobs._worker.rpartition(":")[0]
        connection.execute(text(f"UPDATE auth_jobs SET worker = '{here}:99999999'"))
    Jobs(api.app.state.service.desk).close()
    assert jobs.get(first.id).status == "failed"
    stay.set()


# --- at the machine -----------------------------------------------------------------------------------


def test_first_administrator_is_made_at_the_machine_and_helped_there(tmp_path):
    run, url = CliRunner(), f"sqlite:///{tmp_path / 'a.db'}"
    who = ["--database", url, "--email", "Ann@example.org"]
    made = run.invoke(program, ["admin", "create", *who, "--name", "Ann"])
    assert made.exit_code == 0, made.output
    with Database(url, write=True) as database:
        api = Api(database)
        assert api.set_up("ann@example.org", made.stdout.split()[4])
        api.close()
    reset = run.invoke(program, ["admin", "reset", *who])
    shown = run.invoke(program, ["admin", "list", "--database", url], env={"COLUMNS": "200"}).stdout
    assert "administrator" in shown
    with Database(url, write=True) as database:
        api = Api(database)
        assert api.sign_in("ann@example.org", reset.stdout.split()[4]).json()["setup_required"]
        token = api.set_up("ann@example.org", reset.stdout.split()[4])
        api.close()
    assert run.invoke(program, ["admin", "renew-key", "--database", url]).exit_code == 0
    with Database(url, write=True) as database:
        api = Api(database)
        assert api.get("/api/v1/me", token=token).status_code == 401
        api.close()
    assert "all is well" in run.invoke(program, ["admin", "verify", "--database", url]).stdout
    with Database(url, write=True) as database, database.looking() as connection:
        allow_changes(connection)
        connection.execute(text("DELETE FROM auth_audit WHERE seq = 2"))
    found = run.invoke(program, ["admin", "verify", "--database", url])
    assert (found.exit_code, "entry 2 is missing" in found.stdout) == (1, True)


@pytest.mark.parametrize("email", ["ann", "a b@c", "@c", "a@", "a\u202eb@c.example"])
def test_addresses_that_are_none_are_refused_at_the_machine(tmp_path, email):
    words = ["admin", "create", "--database", str(tmp_path / "a.db"), "--email", email]
    assert CliRunner().invoke(program, words).exit_code == 2


def test_identities_of_one_market_do_not_stand_in_study_databases(tmp_path):
    with Database(tmp_path.joinpath("a.db").as_posix(), write=True, create=True) as database:
        with database.looking() as connection:
            names = inspect(connection).get_table_names()
        assert not [name for name in names if name.startswith("auth_")]


def test_second_factor_of_another_person_does_not_fit(api):
    api.person("operator", "ann")
    other = pyotp.TOTP(pyotp.random_base32()).at(api.clock.now + 30)
    api.clock.now += 30
    assert api.sign_in("ann@operator.example", totp=other).json()["code"] == "invalid_grant"
