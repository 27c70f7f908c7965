"""`gridagora serve`: what it prints and refuses, how it ends, many at once, several processes."""

import re
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from urllib.parse import urlencode

import pytest
from benchmarks.served import NAMES, Client, Server, free_port, seed

from gridagora.service.demo.seed import PASSWORD, PEOPLE

RUN = "from gridagora.cli import main; main()"


def serve(*options):
    """Return exit code and output of a service that is refused."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, "serve", *options, "--port", str(free_port())],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('served')}/market.db"
    seed(url)
    with Server(url) as server:
        yield server


def at_once(served, name, count, work):
    """Return what clients got that asked at the same moment."""
    clients, line = [Client(served.port, name) for _ in range(count)], Barrier(count)

    def one(number):
        line.wait()
        return work(clients[number], number)

    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(one, range(count)))
    for client in clients:
        client.__exit__()
    return found


def bid(client, **more):
    period = 4 * client.get("/api/v1/market")[1]["open_sessions"][-1]
    return {
        "participant": "ann",
        "period": period,
        "side": "buy",
        "price_micro": 200_000,
        "quantity_wh": 1000,
        **more,
    }


def test_the_same_key_at_once_bids_once(served):
    with Client(served.port, "pool") as client:
        body = bid(client)
    found = at_once(served, "pool", 8, lambda c, _: c.send("/api/v1/bids", body, "same"))
    assert {status for status, _ in found} == {201}
    assert len({told["number"] for _, told in found}) == 1


def test_the_same_key_for_other_bids_at_once_is_refused(served):
    with Client(served.port, "pool") as client:
        body = bid(client)
    found = at_once(
        served, "pool", 6, lambda c, n: c.send("/api/v1/bids", body | {"quantity_wh": 10 + n}, "other")
    )
    assert sorted(status for status, _ in found) == [201] + 5 * [409]
    assert {told["code"] for status, told in found if status == 409} == {"idempotency_key_reused"}


def test_of_changes_at_once_one_is_made_and_the_others_are_told(served):
    with Client(served.port, "op") as client:
        status, told, headers = client.ask("GET", "/api/v1/participants/bob")
    assert status == 200
    tag = {"If-Match": headers["etag"]}
    fields = {name: told[name] for name in ("name", "aggregator") if name in told}
    found = at_once(
        served,
        "op",
        6,
        lambda c, n: c.ask("PUT", "/api/v1/participants/bob", fields | {"name": f"Bob {n}"}, **tag)[:2],
    )
    assert sorted(status for status, _ in found) == [200] + 5 * [412]
    assert {told["code"] for status, told in found if status == 412} == {"version_conflict"}


def test_many_at_once_lose_nothing(served):
    with Client(served.port, "pool") as client:
        body = bid(client)

    def some(client, number):
        keys = [f"many-{number}-{k}" for k in range(25)]
        return [client.send("/api/v1/bids", body | {"participant": NAMES[number % 4]}, key) for key in keys]

    answers = [one for found in at_once(served, "pool", 8, some) for one in found]
    assert {status for status, _ in answers} == {201}
    assert len({told["number"] for _, told in answers}) == 200


def test_health_and_start_page(served):
    with Client(served.port) as client:
        assert client.get("/healthz") == (200, {"alive": True})
        status, told = client.get("/readyz")
        assert (status, told["ready"], told["writer"], told["stuck"]) == (200, True, True, {})
        status, page = client.get("/")
        assert status == 200
        assert b"Next gate" in page
        assert b"demonstration" not in page
        assert not re.search(rb'(src|href)="(https?:)?//', page)  # nothing from other machines
        assert client.get("/board")[0] == 200


def test_a_second_service_on_the_same_file_is_refused(served):
    code, said = serve("--database", served.url)
    assert code == 1
    assert "writes into" in said
    assert "stop it first" in said


def test_ctrl_c_ends_it_and_frees_the_file(tmp_path):
    url = f"sqlite:///{tmp_path}/market.db"
    server = Server(url)
    with server:
        said = server.stop()
    assert "Market:  village (new)" in said
    assert f"http://127.0.0.1:{server.port}" in said
    assert str(tmp_path) in said
    assert re.search(r"First administrator: admin@localhost, password \S{20,}", said)
    assert "Stopped." in said
    with server:
        again = server.stop()
    assert "(new)" not in again
    assert "password" not in again


def test_a_demonstration_is_kept_apart(tmp_path):
    real = tmp_path / "market.db"
    seed(f"sqlite:///{real}", market="village")
    code, said = serve("--demo", "--database", str(real))
    assert (code, "is no demonstration's" in said) == (2, True)
    path = tmp_path / "demo.db"
    seed(f"sqlite:///{path}", market="demo-village")
    code, said = serve("--database", str(path))
    assert (code, "everybody knows its passwords" in said) == (2, True)


def test_a_demonstration_lives(tmp_path):
    form = urlencode({"grant_type": "password", "username": "home@demo.example", "password": PASSWORD})
    with Server(f"sqlite:///{tmp_path}/demo.db", speed=1_800, options=("--demo",)) as server:
        with Client(server.port) as client:
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            status, told, _ = client.ask("POST", "/oauth/token", form, **kind)
            assert (status, told["role"], told["setup_required"]) == (200, "prosumer", False)
            client.token = told["access_token"]
            assert b"This is a demonstration" in client.get("/")[1]
            end = time.monotonic() + 60
            trades = []
            while not trades and time.monotonic() < end:
                time.sleep(0.3)
                trades = client.get("/api/v1/trades")[1]["items"]
            assert {"home-01"} <= {trades[0]["buyer"], trades[0]["seller"]}
        said = server.stop()
    assert PASSWORD in said
    assert all(one.email in said for one in PEOPLE)
    assert "left out" not in said


def test_tables_of_a_newer_version_are_refused(tmp_path):
    path = tmp_path / "market.db"
    seed(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        (table,) = next(
            connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '%alembic%'"), ("",)
        )
        connection.execute(f"UPDATE {table or 'gridagora_version'} SET version_num = '9999'")
    connection.close()
    code, said = serve("--database", str(path))
    assert (code, "newer version" in said) == (1, True)


def test_bad_options_are_told_together(tmp_path):
    code, said = serve(
        "--demo", "--market", "village", "--workers", "2", "--speed", "-1", "--database", f"{tmp_path}/a.db"
    )
    assert code == 2
    assert "3 faults" in said


@pytest.mark.slow
def test_processes_on_one_postgresql_work_together(new_postgresql):
    seed(new_postgresql)
    with Server(new_postgresql) as first, Server(new_postgresql) as second:
        with Client(first.port, "pool") as here, Client(second.port, "pool") as there:
            body = bid(here)
            numbers = [
                client.send("/api/v1/bids", body, f"{k}-{client is here}")[1]["number"]
                for k in range(20)
                for client in (here, there)
            ]
            assert len(set(numbers)) == 40
            assert here.send("/api/v1/bids", body, "19-False")[1]["number"] == numbers[-1]
        first.kill()  # the other takes its place
        with Client(second.port, "pool") as there:
            for k in range(100):
                status, told = there.send("/api/v1/bids", body, f"after-{k}")
                if status == 201:
                    break
            assert status == 201, told
            assert told["number"] > max(numbers)
