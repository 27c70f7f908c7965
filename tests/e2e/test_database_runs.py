"""Studies through a database: the same hash, trades, prices and journal as without; commands about it."""

import json
import os
import re
import sqlite3
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gridagora as ga
from gridagora import cli
from gridagora.adapters.sql.audit import replay, verify
from gridagora.adapters.sql.database import Database
from gridagora.errors import InputError

SHORT = {"period.length": "12h"}
NOON = {"period.start": "2016-06-01T10:00", "period.length": "2h"}
SAME = ("bids", "trades", "prices", "journal", "invoices", "violations", "schedules")


def call(*words):
    """Run the command line in this process and return its exit code."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def memory():
    return ga.run("village", overrides=SHORT)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return the path of a database with the village in it, and the run."""
    path = tmp_path_factory.mktemp("database") / "village.db"
    return path, ga.run("village", overrides=SHORT, database=str(path))


def is_sound(url, name, event_hash):
    with Database(url) as database:
        assert verify(database, name, head=event_hash).findings == ()
        assert replay(database, name).findings == ()
        assert database.head(name).hash == event_hash


def assert_same(run, other):
    assert run.event_hash == other.event_hash
    assert json.dumps(run.kpis) == json.dumps(other.kpis)
    for name in SAME:
        pd.testing.assert_frame_equal(getattr(run, name), getattr(other, name), check_exact=True)


def test_village_through_sqlite_is_the_village(memory, kept):
    path, run = kept
    assert_same(run, memory)
    is_sound(str(path), "village", memory.event_hash)


def test_village_through_postgresql_is_the_village(memory, new_postgresql):
    assert_same(ga.run("village", overrides=SHORT, database=new_postgresql), memory)
    is_sound(new_postgresql, "village", memory.event_hash)


def test_tables_in_the_database_are_those_of_the_run(kept):
    path, run = kept
    with sqlite3.connect(path) as connection:

        def read(statement):
            return pd.read_sql(statement, connection)

        bids, trades = read("SELECT * FROM bids"), read("SELECT * FROM trades")
        prices, journal = read("SELECT * FROM prices"), read("SELECT * FROM journal ORDER BY seq, row")
        balances = read("SELECT * FROM balances")
        lines = read("SELECT * FROM settlement_lines")
    connection.close()
    assert (bids.quantity_wh / 1000).to_list() == run.bids.quantity.to_list()
    assert (bids.accepted_wh / 1000).to_list() == run.bids.accepted.to_list()
    assert (bids.price_micro / 1e6).to_list() == run.bids.price.to_list()
    assert trades.quantity_wh.to_list() == run.trades.quantity_wh.to_list()
    assert trades.buyer_price_micro.to_list() == run.trades.price_micro_per_kwh.to_list()
    np.testing.assert_array_equal(prices.price_micro / 1e6, run.prices.price)
    names = balances.set_index("account")["name"]
    booked = journal.assign(account=names.loc[journal.account].to_numpy())
    for column in ("entry", "account", "amount_micro"):
        assert booked[column].to_list() == run.journal[column].astype(booked[column].dtype).to_list()
    totals = run.journal.groupby("account", observed=False)["amount_micro"].sum()
    assert balances.amount_micro.to_list() == totals.loc[balances.name].to_list()
    money = lines[["energy_micro", "retail_micro", "imbalance_micro", "network_micro", "taxes_micro"]]
    assert money.to_numpy().sum() == run.record.settled().total.sum()


@pytest.mark.parametrize(
    ("scenario", "overrides"),
    [
        ("suburb-2035", NOON),
        ("cigre-lv-flexibility", {"period.length": "1d", "flexibility.compare": []}),
        ("mv-lv-zones", {"period.length": "12h"}),
    ],
)
@pytest.mark.slow
def test_other_markets_through_sqlite_are_the_same(tmp_path, scenario, overrides):
    path = tmp_path / "a.db"
    run, other = (ga.run(scenario, overrides=overrides, database=d) for d in (str(path), None))
    assert_same(run, other)
    is_sound(str(path), scenario, run.event_hash)


def test_a_market_is_never_replaced(kept):
    path, run = kept
    with pytest.raises(InputError, match=r"is kept there already.*--market village-2"):
        ga.run("village", overrides=SHORT, database=str(path))
    other = ga.run("village", overrides={"period.length": "1h"}, database=str(path), market="an hour")
    with Database(str(path)) as database:
        assert [head.name for head in database.heads()] == ["village", "an hour"]
    is_sound(str(path), "village", run.event_hash)
    is_sound(str(path), "an hour", other.event_hash)


def test_a_run_that_is_stopped_keeps_what_was_finished(tmp_path):
    path, asked = str(tmp_path / "a.db"), count()
    run = ga.run("village", overrides=SHORT, database=path, stop=lambda: next(asked) >= 5)
    assert not run.finished
    is_sound(path, "village", run.event_hash)

    def interrupt():
        if next(asked) > 12:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        ga.run("village", overrides=SHORT, database=path, market="second", stop=interrupt)
    with Database(path) as database:
        assert database.head("second").seq > 5
        assert verify(database, "second").findings == ()


# --- the command line ---------------------------------------------------------------------------------


def test_commands_tell_that_all_is_well(tmp_path, capsys):
    path = tmp_path / "a.db"
    words = ("run", "village", "-o", tmp_path / "out", "--set", "period.length=1h", "--database", path, "-q")
    assert call(*words) == 0
    assert call("verify", f"sqlite:///{path}") == 0
    assert "all is well" in capsys.readouterr().out
    assert call("replay", path, "--market", "village") == 0
    assert "all is well" in capsys.readouterr().out
    assert call(*words, "--market", "other") == 0
    assert call("verify", path, "--market", "other", "--head", "00") == 1
    assert "no event has the hash 00 that was kept elsewhere" in capsys.readouterr().out
    assert call("verify", path, "--head", "00") == 2
    assert "--market" in capsys.readouterr().err


def test_commands_name_what_differs_and_mend_it(tmp_path, capsys):
    path = tmp_path / "a.db"
    ga.run("village", overrides={"period.length": "1h"}, database=str(path))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE balances SET amount_micro = amount_micro + 1 WHERE account = 0")
    connection.close()
    assert call("verify", path) == 1
    assert "its postings sum to" in capsys.readouterr().out
    assert call("replay", path) == 1
    told = capsys.readouterr().out
    assert "village: balances, account 0: amount_micro is" in told
    assert "--repair" in told
    assert call("replay", path, "--repair") == 0
    assert "Made anew: village" in capsys.readouterr().out
    assert call("replay", path) == call("verify", path) == 0


def test_commands_refuse_what_is_no_database(tmp_path, capsys):
    for command in ("verify", "replay"):
        assert call(command, tmp_path / "a.db") == 1
        assert "there is no database" in capsys.readouterr().err
        assert call(command, "mysql://a/b") == 2
        assert "is a kind of database" in " ".join(capsys.readouterr().err.split())
    assert call("run", "village", "-o", tmp_path / "out", "--database", tmp_path / "no" / "a.db") == 1
    assert "is not there" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_run_into_a_database_that_somebody_writes_is_refused_at_once(tmp_path, capsys):
    path = tmp_path / "a.db"
    with Database(str(path), write=True, create=True):
        assert call("run", "village", "-o", tmp_path / "out", "--database", path) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"another program (process {os.getpid()}) writes into" in told


def test_version_names_the_sqlite_library(capsys):
    assert call("version") == 0
    assert f"sqlite {sqlite3.sqlite_version}" in capsys.readouterr().out


def test_page_tells_what_its_example_prints(tmp_path, monkeypatch, capsys):
    page = Path(__file__).parents[2] / "docs" / "how-to" / "database.md"
    text = page.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block, names)
    (told,) = re.findall(r"This prints `(.+?)`:", text)
    assert capsys.readouterr().out.splitlines()[-1] == told
