"""Runs side by side: differences are right, and every missing folder or file is told with its fix."""

import json
import re

import pytest
from report_tables import make_tables

from gridagora.errors import InputError
from gridagora.studies.compare import compare, compare_report

TABLES = ("flows", "participants")


def write(folder, tables, **kpis):
    folder.mkdir(parents=True)
    figures = {k: None if v != v else v for k, v in {**tables.kpis, **kpis}.items()}
    (folder / "kpis.json").write_text(json.dumps(figures))
    for name in TABLES:
        getattr(tables, name).to_parquet(folder / f"{name}.parquet")
    return folder


@pytest.fixture
def runs(tmp_path):
    return [
        write(tmp_path / "rule", make_tables(6, 96)),
        write(tmp_path / "optimal", make_tables(6, 96, seed=8), ems="optimal", extra=1.5),
    ]


def test_key_figures_stand_side_by_side_with_their_difference(runs):
    frame = compare(runs)
    assert list(frame.columns) == ["rule", "optimal", "optimal - rule"]
    assert frame.index.name == "kpi"
    first, second, change = frame.loc["losses_kwh"]
    assert change == pytest.approx(second - first)
    assert frame.loc["ems", "optimal"] == "optimal"
    assert frame.loc["ems", "optimal - rule"] != frame.loc["ems", "optimal - rule"]  # no difference of texts
    assert frame.loc["extra", "optimal"] == 1.5


def test_equal_folder_names_are_told_apart(tmp_path):
    folders = [write(tmp_path / parent / "village", make_tables(2, 4)) for parent in ("a", "b")]
    assert list(compare(folders).columns) == ["a/village", "b/village", "b/village - a/village"]
    columns = list(compare([folders[0], folders[0]]).columns)  # even a run beside itself
    assert len(set(columns)) == 3
    assert not columns[0].startswith("//")


def test_the_last_bits_of_a_sum_are_no_difference(tmp_path):
    tables = make_tables(2, 4)
    folders = [write(tmp_path / name, tables, extra=value) for name, value in (("a", 0.3), ("b", 0.1 + 0.2))]
    assert compare(folders).loc["extra", "b - a"] == 0.0


def test_a_page_goes_into_a_new_folder_but_not_onto_one(runs, tmp_path):
    compare_report(runs, tmp_path / "new" / "out.html")
    assert (tmp_path / "new" / "out.html").is_file()
    with pytest.raises(InputError, match="is a folder"):
        compare_report(runs, tmp_path / "new")
    with pytest.raises(InputError, match="is a file"):
        compare_report(runs, tmp_path / "new" / "out.html" / "below.html")


def test_page_holds_the_figures_and_loads_nothing(runs, tmp_path):
    html = compare_report(runs, tmp_path / "out.html")
    assert (tmp_path / "out.html").read_text(encoding="utf-8") == html
    assert len(re.findall("<polyline", html)) == 6
    assert "home 1" in html
    assert not re.search(r"https?:|src=|@import|url\(|<script", html)


def test_names_on_the_page_stay_text(tmp_path):
    names = ["<script>alert(1)</script>", "b"]
    folders = [write(tmp_path / f"{k}", make_tables(2, 8, names=names)) for k in "ab"]
    html = compare_report(folders)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_every_bad_folder_is_told_at_once(runs, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "kpis.json").write_text("{")
    bad = [tmp_path / name for name in ("nowhere", "empty", "broken")]
    with pytest.raises(InputError) as caught:
        compare([runs[0], *bad])
    assert [fault.reason for fault in caught.value.faults] == [
        "does not exist", "cannot be read", "is not the key figures of a run",
    ]  # fmt: skip
    assert all("gridagora run NAME -o" in fault.fix for fault in caught.value.faults)


def test_missing_or_broken_tables_are_told(runs):
    (runs[0] / "flows.parquet").unlink()
    (runs[1] / "flows.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError) as caught:
        compare_report(runs)
    assert len(caught.value.faults) == 2
    assert "flows.parquet" in caught.value.faults[0].place


def test_one_run_is_nothing_to_compare(runs):
    with pytest.raises(InputError, match="two to"):
        compare(runs[:1])
