"""The command line on real grids: run, compare, template, faults, Ctrl-C. Short periods keep it quick."""

import json
import signal
from pathlib import Path

import pandas as pd
import pytest

from gridagora import cli
from gridagora.reports.tables import TABLE_NAMES
from gridagora.studies import run as study

SHORT = ("--set", "period.length=2h")


def call(*words: object) -> int:
    """Run the command line in this process and return its exit code."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a short run of the village."""
    folder = tmp_path_factory.mktemp("runs") / "village"
    assert call("run", "village", "-o", folder, *SHORT, "--quiet") == 0
    return folder


def test_run_writes_key_figures_tables_and_report(village: Path) -> None:
    kpis = json.loads((village / "kpis.json").read_text())
    assert kpis["scenario"] == "village"
    assert kpis["periods"] == 8
    for name in TABLE_NAMES:
        pd.read_parquet(village / f"{name}.parquet")
    assert (village / "report.html").read_text(encoding="utf-8").startswith("<!")


def test_reference_names_every_column_and_key_figure(village: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "tables-and-kpis.md"
    text = page.read_text(encoding="utf-8")
    names = list(json.loads((village / "kpis.json").read_text()))
    for table in TABLE_NAMES:
        assert f"## {table}" in text
        names += pd.read_parquet(village / f"{table}.parquet").columns.to_list()
    missing = {name for name in names if f"`{name.removesuffix('_baseline')}`" not in text}
    assert missing == set(), f"add them to {page.name}"


def test_run_leaves_nothing_beside_its_folder(village: Path) -> None:
    assert [path.name for path in village.parent.iterdir()] == [village.name]


def test_journal_on_disk_sums_to_zero_per_entry(village: Path) -> None:
    journal = pd.read_parquet(village / "journal.parquet")
    assert len(journal) > 0
    assert (journal.groupby("entry")["amount_micro"].sum() == 0).all()


def test_same_seed_gives_the_same_event_hash_and_replaces_the_run(
    village: Path, tmp_path: Path, capsys
) -> None:
    before = json.loads((village / "kpis.json").read_text())
    assert call("run", "village", "-o", village, *SHORT) == 0
    assert json.loads((village / "kpis.json").read_text()) == before
    assert f"Event hash: {before['event_hash']}" in capsys.readouterr().out
    assert call("run", "village", "-o", tmp_path / "other", *SHORT, "--seed", "99", "-q") == 0
    assert json.loads((tmp_path / "other" / "kpis.json").read_text())["event_hash"] != before["event_hash"]


def test_run_prints_key_figures_with_and_without_market(tmp_path: Path, capsys) -> None:
    assert call("run", "village", "-o", tmp_path / "out", *SHORT) == 0
    told = capsys.readouterr().out
    for label in (
        "with market",
        "without market",
        "Bills of all",
        "Self-sufficiency",
        "Transformer loading",
        "Voltage",
    ):
        assert label in told


def test_interrupt_writes_the_finished_sessions(tmp_path: Path, monkeypatch, capsys) -> None:
    real = study.run
    sent: list[int] = []

    def interrupted(scenario, *, progress, **options):
        def report(done: int, total: int, what: str) -> None:
            progress(done, total, what)
            if done > 0 and not sent:
                sent.append(done)
                signal.raise_signal(signal.SIGINT)

        return real(scenario, progress=report, **options)

    monkeypatch.setattr(study, "run", interrupted)
    assert call("run", "village", "-o", tmp_path / "out", "--set", "period.length=2d") == 130
    kpis = json.loads((tmp_path / "out" / "kpis.json").read_text())
    assert 0 < kpis["periods"] < kpis["periods_planned"] == 192
    assert (tmp_path / "out" / "report.html").exists()
    assert "Stopped early" in capsys.readouterr().err


def test_scenarios_lists_each_built_in_with_what_it_is(capsys) -> None:
    assert call("scenarios") == 0
    told = capsys.readouterr().out
    for name in ("village", "cigre-lv", "suburb", "year"):
        assert name in told


BAD_SCENARIO = """\
grid: 1-LV-rural2--0-sw
perod: {start: 2016-05-23}
market: {mechanism: pay_as_cleard}
agents: {margin: -1}
seed: many
"""


def test_bad_scenario_tells_every_fault_and_writes_nothing(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    file = tmp_path / "bad.yaml"
    file.write_text(BAD_SCENARIO)
    assert call("run", file, "-o", tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert "4 faults" in told
    for word in ("perod", "pay_as_cleard", "agents.margin", "'many'"):
        assert word in told
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


@pytest.mark.parametrize(
    "words",
    [
        ("run", "vilage"),
        ("run", "no-such-file.yaml"),
        ("run", "village", "--set", "market.mechanism=nothing"),
        ("run", "village", "--set", "no.such.key=1"),
        ("run", "village", "--ems", "clever"),
        ("run", "village", "--set", "grid=1-LV-nowhere--0-sw"),
    ],
)
def test_bad_words_end_with_exit_code_2_and_nothing_written(tmp_path: Path, capsys, words) -> None:
    assert call(*words, "-o", tmp_path / "out") == 2
    assert "Traceback" not in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_template_runs_as_it_is(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "mine"
    assert call("template", folder) == 0
    advice = [line for line in capsys.readouterr().out.splitlines() if "gridagora run" in line]
    scenario = advice[0].split()[2]
    assert call("run", scenario, "-o", tmp_path / "out", "-q") == 0
    assert (tmp_path / "out" / "report.html").exists()


def test_template_overwrites_nothing(tmp_path: Path) -> None:
    assert call("template", tmp_path / "mine") == 0
    before = {path: path.read_bytes() for path in (tmp_path / "mine").iterdir()}
    assert call("template", tmp_path / "mine") == 2
    assert {path: path.read_bytes() for path in (tmp_path / "mine").iterdir()} == before


def test_compare_puts_runs_side_by_side(village: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    other = tmp_path / "pay-as-bid"
    assert call("run", "village", "-o", other, *SHORT, "--set", "market.mechanism=pay_as_bid", "-q") == 0
    capsys.readouterr()
    page = tmp_path / "compare.html"
    assert call("compare", village, other, "-o", page) == 0
    told = capsys.readouterr().out
    assert "pay_as_bid" in told
    assert str(page) in told
    assert page.stat().st_size > 10_000


def test_compare_of_a_folder_without_a_run_is_bad_input(
    village: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert call("compare", village, tmp_path) == 2
    assert tmp_path.name in capsys.readouterr().err.replace("\n", "")
