"""The template: what it writes loads and resolves as it is, in every file format."""

import re

import numpy as np
import pandas as pd
import pytest

from gridagora.adapters.files import write_template
from gridagora.adapters.studies import resolve
from gridagora.errors import InputError
from gridagora.scenario import load_scenario


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    return write_template(tmp_path_factory.mktemp("template") / "mine")


def loads(path, **overrides):
    study, _ = resolve(load_scenario(path, overrides))
    return {home.participant: home for home in study.homes}


def test_template_is_complete_and_resolves(scenario):
    names = {path.name for path in scenario.parent.iterdir()}
    assert names == {"scenario.yaml", "participants.csv", "profiles.csv", "profiles.xlsx", "prices.csv"}
    homes = loads(scenario)
    assert set(homes) == {"mill", "farm", "home-1", "home-2", "home-3", "home-4"}
    assert homes["farm"].battery.energy_kwh == 20.0
    assert homes["home-1"].ev is not None
    assert homes["home-2"].heat_pump is not None
    assert homes["home-4"].passive
    assert all(home.load_kw.shape == (192,) for home in homes.values())
    assert homes["farm"].pv_kw.max() == pytest.approx(30 * 0.72, rel=0.02)


def test_excel_and_parquet_instead_of_csv(scenario):
    folder = scenario.parent
    csv = loads(scenario)
    for name in ("profiles", "participants", "prices"):
        frame = pd.read_csv(folder / f"{name}.csv", comment="#")
        frame.to_parquet(folder / f"{name}.parquet")
    files = {
        "profiles.file": "profiles.parquet",
        "participants.file": "participants.parquet",
        "tariffs.retail": {"file": "prices.parquet", "column": "retail", "timezone": "Europe/Berlin"},
    }
    for overrides in (files, {"profiles.file": "profiles.xlsx"}):
        other = loads(scenario, **overrides)
        for participant, home in csv.items():
            np.testing.assert_allclose(other[participant].load_kw, home.load_kw)
            assert other[participant].battery == home.battery


def test_template_with_a_flexibility_market_resolves(scenario):
    before, _, after = scenario.read_text().partition("\n# flexibility:\n")
    pool = re.compile(r"^(market|agents):\n(  .*\n)+", re.MULTILINE)
    section = "".join(line.removeprefix("# ") for line in after.splitlines(keepends=True))
    path = scenario.with_name("flexible.yaml")
    path.write_text(
        pool.sub("", before).replace("participants:\n", "participants:\n  import_limit_kw: 15\n", 1)
        + "\nflexibility:\n"
        + section
    )
    study, _ = resolve(load_scenario(path))
    path.unlink()
    rules = study.flexibility
    assert (rules.demand, rules.compare, rules.reservation.need_kw) == ("rebound_aware", ("impact",), 10.0)
    limits = {home.participant: home.import_limit_kw for home in study.homes}
    assert (limits["mill"], limits["home-1"]) == (40.0, 15.0)


def test_template_with_zones_resolves(scenario):
    text = scenario.read_text().replace("mechanism: pay_as_cleared", "mechanism: zonal")
    before, _, after = text.partition("\n# zones:\n")
    section, _, rest = after.partition("\n\n")
    path = scenario.with_name("zones.yaml")
    path.write_text(before + "\nzones:\n" + re.sub("^# ", "", section, flags=re.MULTILINE) + "\n\n" + rest)
    zones = resolve(load_scenario(path))[0].zones
    path.unlink()
    yard = zones.tree.position("lv LV1.101 Bus 7")
    assert zones.import_kw[40, yard] == 8.0
    assert np.flatnonzero(zones.cut[:, yard]).tolist() == list(range(164, 172))
    assert (zones.highest_price, zones.most_kwh) == (0.5, 10.0)


def test_template_overwrites_nothing(scenario):
    before = {path: path.read_bytes() for path in scenario.parent.iterdir()}
    with pytest.raises(InputError, match="not overwritten"):
        write_template(scenario.parent)
    assert {path: path.read_bytes() for path in scenario.parent.iterdir()} == before


def test_template_in_the_place_of_a_file(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        write_template(tmp_path / "taken")


def test_prices_follow_the_local_clock(scenario):
    study, _ = resolve(load_scenario(scenario))
    cheapest = int(np.argmin(study.tariffs.retail[:96]))
    assert cheapest // 4 == 13
    assert study.tariffs.network.reshape(2, 96)[:, 68:80].min() == pytest.approx(0.14)
