"""The commands `gridagora meter ...` from outside, without a broker."""

from pathlib import Path

import pandas as pd
import pytest

from gridagora import cli, metering
from gridagora.adapters.meters.files import readings_frame
from gridagora.adapters.meters.signing import read_private_key, sign


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(["meter", *(str(word) for word in words)])
    return int(end.value.code or 0)


@pytest.fixture
def meters(tmp_path: Path) -> Path:
    path = tmp_path / "meters.csv"
    rows = [
        f"2016-01-04 {hour:02}:{minute:02},{hour + minute / 60}"
        for hour in range(24)
        for minute in (0, 15, 30, 45)
    ]
    rows[40] = rows[40].split(",")[0] + ",500"
    path.write_text("start,a kW\n" + "\n".join(rows) + "\n")
    return path


def test_a_stranger_checks_a_file_and_gets_three_tables(meters, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    out = tmp_path / "checked.csv"
    assert call("check", meters, "--timezone", "Europe/Berlin", "--capacity", 30, "-o", out) == 0
    shown = capsys.readouterr().out
    for word in ("above_capacity", "not used", "estimated: interpolated", "1.042", "usable", str(out)):
        assert word in shown
    assert pd.read_csv(tmp_path / "checked-findings.csv")["rule"].tolist() == ["above_capacity", "gap"]
    assert pd.read_csv(tmp_path / "checked-points.csv")["interpolated"].tolist() == [1]
    assert pd.read_csv(out)["import_wh"][40] == 2500
    assert call("check", out, "--timezone", "Europe/Berlin", "-o", tmp_path / "again.xlsx") == 0
    again = pd.read_excel(tmp_path / "again.xlsx", sheet_name=None)
    assert list(again) == ["checked", "findings", "points"]
    assert again["checked"]["import_wh"].tolist() == pd.read_csv(out)["import_wh"].tolist()


def test_faults_are_told_in_a_table_and_nothing_is_written(meters, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    meters.write_text("start,a\nnever,1\n")
    assert call("check", meters, "-o", tmp_path / "no folder" / "x.csv") == 2
    told = " ".join(capsys.readouterr().err.split())
    for word in ("--unit", "folder that is not there"):
        assert word in told
    assert call("check", tmp_path / "none.csv") == 2
    assert call("send", tmp_path / "none.csv", "--broker", "mqtt://localhost") == 2
    assert call("listen", "--broker", "nowhere", "-o", tmp_path / "x.csv") == 2
    assert not (tmp_path / "x.csv").exists()


def test_a_key_signs_and_a_file_is_checked_by_it(meters, tmp_path, capsys) -> None:
    assert call("key", tmp_path / "a.pem") == 0
    public = capsys.readouterr().out.strip()
    (tmp_path / "keys.csv").write_text(f"point,public_key\na,{public}\n")
    key, _ = read_private_key(tmp_path / "a.pem")
    readings = metering.read_meter_file(meters)[0].readings
    frame = readings_frame(sign(readings, key))
    frame.loc[3, "import_wh"] += 1
    frame.to_csv(tmp_path / "signed.csv", index=False)
    check = metering.check_meter_file(tmp_path / "signed.csv", keys=tmp_path / "keys.csv")
    (found,) = check.unsigned
    assert (found.rule, found.readings, found.done) == ("signature", 1, "not used")
    assert call("check", tmp_path / "signed.csv", "--keys", tmp_path / "keys.csv") == 0
    assert "signature" in capsys.readouterr().out
    assert call("key", tmp_path / "a.pem") == 1
    assert "exists" in capsys.readouterr().err
