"""The array cache: hit, miss, damage, two keys, no objects, a directory that cannot be written."""

import numpy as np
import pytest

from gridagora.adapters.cache import CACHE_VARIABLE, cache_directory, cached_arrays, versioned_key


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def counted(calls):
    def build():
        calls.append(1)
        return {"power": np.arange(3.0), "name": np.array(["a", "bé"]), "file": np.array([True])}

    return build


def test_second_call_reads_what_the_first_built():
    calls = []
    first = cached_arrays("grid/x", counted(calls))
    second = cached_arrays("grid/x", counted(calls))
    assert len(calls) == 1
    assert set(first) == set(second) == {"power", "name", "file"}
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_keys_that_look_alike_do_not_mix():
    cached_arrays("a/b", lambda: {"x": np.array([1])})
    assert cached_arrays("a_b", lambda: {"x": np.array([2])})["x"].tolist() == [2]


@pytest.mark.parametrize("damage", ["cut", "garbage", "flipped", "empty"])
def test_a_damaged_entry_is_built_again(own_cache, damage):
    calls = []
    cached_arrays("k", counted(calls))
    (path,) = own_cache.glob("*.npz")
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "garbage":
        data = bytearray(b"not an archive")
    elif damage == "flipped":
        data[data.find(b"\x93NUMPY") + 130] ^= 0xFF
    else:
        data = bytearray()
    path.write_bytes(data)
    again = cached_arrays("k", counted(calls))
    assert len(calls) == 2
    assert again["power"].tolist() == [0.0, 1.0, 2.0]
    cached_arrays("k", counted(calls))
    assert len(calls) == 2


def test_objects_are_refused_and_nothing_is_left_behind(own_cache):
    with pytest.raises(TypeError, match="bad"):
        cached_arrays("k", lambda: {"bad": np.array([None, "x"], dtype=object)})
    assert not list(own_cache.glob("**/*"))


def test_a_failed_build_leaves_no_entry(own_cache):
    def build():
        raise RuntimeError("no data")

    with pytest.raises(RuntimeError):
        cached_arrays("k", build)
    assert not list(own_cache.glob("**/*"))


def test_a_cache_that_cannot_be_written_warns_and_still_answers(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv(CACHE_VARIABLE, str(blocked))
    with pytest.warns(UserWarning, match=CACHE_VARIABLE):
        assert cached_arrays("k", lambda: {"x": np.array([1])})["x"].tolist() == [1]


def test_key_names_the_versions():
    assert versioned_key("grid", packages=["numpy"]) == f"grid/numpy-{np.__version__}"


def test_without_the_variable_the_users_cache_directory_is_used(monkeypatch):
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_directory().name == "gridagora"
