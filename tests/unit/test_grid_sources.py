"""Grids by name, by code, from files; the cache between them and slow libraries."""

import numpy as np
import pandas as pd
import pytest

from gridagora.adapters import nets
from gridagora.adapters.cache import CACHE_VARIABLE
from gridagora.adapters.grids import Grid
from gridagora.errors import InputError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("name", "buses", "lines", "transformers"),
    [("cigre-lv", 44, 37, 3), ("cigre-mv", 15, 15, 2), ("ieee33", 33, 32, 0), ("european-lv", 907, 905, 1)],
)
def test_each_built_in_grid(name, buses, lines, transformers):
    grid = Grid.by_name(name)
    assert name in Grid.names()
    assert (len(grid.buses), len(grid.network.lines), len(grid.network.transformers)) == (
        buses,
        lines,
        transformers,
    )
    assert len(set(grid.buses)) == buses
    assert grid.network.coordinates == "data"
    assert grid.power_flow(*grid.base_import()).converged.all()


def test_a_second_start_reads_the_cache_and_not_the_library(monkeypatch):
    first = Grid.by_name("ieee33")

    def forbidden():
        raise AssertionError("built again")

    monkeypatch.setitem(nets.TEST_NETS, "ieee33", forbidden)
    second = Grid.by_name("ieee33")
    assert second.buses == first.buses
    np.testing.assert_array_equal(second.base_power_flow().vm_pu, first.base_power_flow().vm_pu)


def test_the_european_feeder_has_its_published_reactive_power():
    grid = Grid.by_name("european-lv")
    kw, kvar = grid.base_import_3ph()
    # 57.358 kW at power factor 0.95 on each phase.
    assert kw.sum() == pytest.approx(57.358, abs=1e-3)
    np.testing.assert_allclose(kvar.sum(axis=0), kw.sum(axis=0) * np.tan(np.arccos(0.95)), rtol=2e-3)


def test_files_of_pandapower_are_read(tmp_path):
    import pandapower as pp
    from pandapower.io_utils import to_dict_of_dfs

    net = nets.find_net("ieee33").build()
    pp.to_json(net, str(tmp_path / "feeder.json"))
    with pd.ExcelWriter(tmp_path / "feeder.xlsx", engine="openpyxl") as workbook:
        for sheet, frame in to_dict_of_dfs(net).items():
            frame.to_excel(workbook, sheet_name=sheet)
    expected = Grid.by_name("ieee33").base_power_flow().vm_pu
    for name in ("feeder.json", "feeder.xlsx"):
        grid = Grid.read(tmp_path / name)
        assert grid.network.name == "feeder"
        np.testing.assert_allclose(grid.base_power_flow().vm_pu, expected, rtol=0, atol=1e-12)


def test_a_changed_file_is_read_again(tmp_path):
    import pandapower as pp

    net = nets.find_net("ieee33").build()
    path = tmp_path / "feeder.json"
    pp.to_json(net, str(path))
    before = Grid.read(path).base_import()[0].sum()
    net.load["scaling"] = 0.5
    pp.to_json(net, str(path))
    assert Grid.read(str(path)).base_import()[0].sum() == pytest.approx(before / 2)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.json", None, "no such file"),
        ("grid.csv", "a,b", "is no pandapower file"),
        ("grid.json", "{ not json", "cannot be read"),
        ("grid.json", '{"a": 1}', "cannot be read"),
        ("grid.xlsx", "no workbook", "cannot be read"),
    ],
)
def test_files_that_hold_no_grid(tmp_path, name, content, reason):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=reason) as error:
        Grid.read(path)
    assert error.value.faults[0].fix


def test_an_unknown_name_or_code_tells_what_is_near():
    with pytest.raises(InputError, match=r"did you mean cigre-.v or cigre-.v"):
        Grid.by_name("cigre")
    with pytest.raises(InputError, match="1-LV-rural1--0-sw"):
        Grid.by_name("1-LV-rural1--O-sw")


def test_a_net_that_cannot_be_used_leaves_nothing_in_the_cache(tmp_path):
    import pandapower as pp

    net = nets.find_net("ieee33").build()
    pp.create_gen(net, 5, 0.1)
    path = tmp_path / "feeder.json"
    pp.to_json(net, str(path))
    for _ in range(2):
        with pytest.raises(InputError, match="gen 0"):
            Grid.read(path)
    assert not list((tmp_path / "cache").glob("*"))
