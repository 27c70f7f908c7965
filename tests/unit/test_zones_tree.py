"""Trees of zones: what they tell, and every fault of a tree or a table at once."""

import pandas as pd
import pytest

from gridagora.errors import InputError
from gridagora.model.zones import Zone, ZoneTree


def zone(name, parent, *buses, level="zone"):
    return Zone(name=name, level=level, parent=parent, buses=buses)


NESTED = ZoneTree(
    zones=(
        zone("lv b", "mv", "3"),
        zone("bulk", None),
        zone("mv", "dso", "0"),
        zone("dso", "bulk", level="dso"),
        zone("lv a", "mv", "1", "2"),
    )
)


def reasons(call):
    with pytest.raises(InputError) as found:
        call()
    return [fault.reason for fault in found.value.faults]


def test_what_a_tree_tells():
    assert NESTED.path("lv a") == ("lv a", "mv", "dso", "bulk")
    assert NESTED.depth.tolist() == [3, 0, 2, 1, 3]
    assert NESTED.parent.tolist() == [2, -1, 3, 1, 2]
    assert NESTED.root == 1
    assert NESTED.inside("mv").tolist() == [True, False, True, False, True]
    assert NESTED.zone_of_bus() == {"3": "lv b", "0": "mv", "1": "lv a", "2": "lv a"}
    assert "mv" in NESTED
    assert "hv" not in NESTED
    assert ZoneTree(zones=NESTED.zones) == NESTED


def test_a_zone_that_is_not_there():
    with pytest.raises(InputError, match="no such zone"):
        NESTED.path("north")


def test_all_faults_of_a_tree_at_once():
    zones = (
        zone("bulk", None),
        zone("a", "bulk", "1", "2"),
        zone("b", "bulk", "2"),
        zone("empty", "bulk"),
        zone("lost", "nowhere", "4"),
        zone("x", "y", "5"),
        zone("y", "x", "6"),
        zone("a", "bulk", "7"),
    )
    found = reasons(lambda: ZoneTree(zones=zones))
    assert sorted(found) == [
        "a bus in two zones",
        "a cycle of parents",
        "a zone without buses and without zones inside",
        "the name is there twice",
        "unknown parent",
    ]


def test_a_tree_has_one_root():
    assert reasons(lambda: ZoneTree(zones=())) == ["there must be one root"]
    assert reasons(lambda: ZoneTree(zones=(zone("a", None, "1"), zone("b", None, "2")))) == [
        "there must be one root"
    ]


def test_a_cycle_is_named_once_from_its_first_zone():
    zones = (
        zone("bulk", None),
        zone("a", "c", "1"),
        zone("b", "a", "2"),
        zone("c", "b", "3"),
        zone("d", "a", "4"),
    )
    with pytest.raises(InputError) as found:
        ZoneTree(zones=zones)
    assert [fault.value for fault in found.value.faults] == ["a -> c -> b -> a"]


def test_a_table_of_buses():
    table = pd.DataFrame(
        {
            "bus": [1.0, 2.0, 3.0, None],
            "zone": ["street", "street", "village", "region"],
            "parent": ["village", "village", "region", None],
            "level": ["lv", "lv", "mv", "dso"],
        }
    )
    tree = ZoneTree.from_table(table)
    assert tree.path("street") == ("street", "village", "region", "bulk")
    assert tree.zone("street") == Zone(name="street", level="lv", parent="village", buses=("1", "2"))


def test_all_faults_of_a_table_at_once():
    table = pd.DataFrame(
        {
            "bus": ["1", "1", "2", "3", "4", "5", None],
            "zone": ["a", "a", "a", "b", None, "bulk", "c"],
            "parent": ["b", "b", "", "nowhere", "", "b", "bulk"],
        }
    )
    found = reasons(lambda: ZoneTree.from_table(table))
    assert sorted(found) == [
        "a zone without buses and without zones inside",
        "another parent than in row 0",
        "bus is in zone a already",
        "no zone",
        "the root has a parent",
        "unknown parent",
    ]


def test_columns_that_lack_are_named_together():
    assert reasons(lambda: ZoneTree.from_table(pd.DataFrame({"bus": ["1"]}))) == ["column is missing"] * 2


def test_unknown_columns_are_named():
    table = pd.DataFrame({"bus": ["1"], "zone": ["a"], "parent": [""], "levl": ["lv"]})
    assert reasons(lambda: ZoneTree.from_table(table)) == ["unknown column"]
