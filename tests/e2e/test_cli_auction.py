"""The command `gridagora auction` from outside: a file to start from, results, and faults in a table."""

from pathlib import Path

import pandas as pd
import pytest

from gridagora import cli


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    return int(end.value.code or 0)


@pytest.fixture
def bids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "bids.csv"
    assert call("auction", "--template", path) == 0
    assert f"gridagora auction {path}" in capsys.readouterr().out
    return path


def test_a_stranger_clears_the_template_and_gets_every_table(bids, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert call("auction", bids, "-o", tmp_path / "result.xlsx") == 0
    out = capsys.readouterr().out
    for word in ("accepted_kw", "uniform", "vcg_one_sided", "shapley", "budget_balance", "strategy_proof"):
        assert word in out
    assert out.rstrip().endswith(f"Written: {tmp_path / 'result.xlsx'}")
    paid = pd.read_excel(tmp_path / "result.xlsx", sheet_name="payments", index_col=0)
    assert paid["uniform"].sum() == pytest.approx(0.0, abs=1e-9)
    assert paid["vcg"].sum() > 0.0


def test_one_rule_and_ordered_steps(bids, capsys) -> None:
    assert call("auction", bids, "--ordered", "--rule", "vcg") == 0
    out = capsys.readouterr().out
    assert "vcg" in out
    assert "shapley" not in out
    assert call("auction", bids, "--ordered") == 0
    assert "uniform: not defined" in capsys.readouterr().out


def test_faults_are_told_with_row_and_fix_and_nothing_is_written(bids, tmp_path, capsys) -> None:
    bids.write_text(bids.read_text().replace("9,0,,cap", "-9,free,,cap"))
    assert call("auction", bids, "-o", tmp_path / "result.csv", "--now", "18") == 2
    told = " ".join(capsys.readouterr().err.split())
    for word in ("column quantity_kw", "is below 0", "column price", "in the past"):
        assert word in told
    assert not (tmp_path / "result.csv").exists()


def test_a_file_that_is_not_there_and_none_at_all(tmp_path, capsys) -> None:
    assert call("auction", tmp_path / "no.csv") == 2
    assert "no such file" in " ".join(capsys.readouterr().err.split())
    assert call("auction") == 2
    assert "--template" in capsys.readouterr().err


def test_long_tables_are_cut_on_screen_alone(tmp_path, capsys) -> None:
    rows = [f"s{i},sell,1,1,0.{i + 10}" for i in range(60)]
    path = tmp_path / "many.csv"
    path.write_text("\n".join(["participant,side,period,quantity_kw,price", "d,buy,1,30,1", *rows]))
    assert call("auction", path, "--rule", "uniform", "-o", tmp_path / "r.csv") == 0
    assert "... and 21 more rows" in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "r.csv")) == 61
