"""The public names: complete, documented by a runnable example, and cheap to import."""

import inspect
import subprocess
import sys
from types import ModuleType
from typing import get_args

import pytest

import gridagora

PROMISED = {
    "Bids",
    "Grid",
    "LinearNetwork",
    "OrderBook",
    "network_auction",
    "pay_as_bid",
    "pay_as_cleared",
    "run",
    "trade_reduction",
    "vickrey",
}
"""Names that others build on: they stay."""

HEAVY = ("highspy", "numba", "pandapower", "pandas", "plotly", "power_grid_model", "pyarrow", "scipy")


def test_promised_names_are_exported() -> None:
    assert set(gridagora.__all__) >= PROMISED


def test_all_equals_what_is_exported() -> None:
    for name in gridagora.__all__:
        getattr(gridagora, name)
    found = {name for name in dir(gridagora) if not name.startswith("_")}
    values = {name for name in found if not isinstance(getattr(gridagora, name), ModuleType)}
    assert values == {name for name in gridagora.__all__ if not name.startswith("_")}


def test_all_is_sorted_and_without_doubles() -> None:
    assert list(gridagora.__all__) == sorted(set(gridagora.__all__))


@pytest.mark.parametrize("name", [name for name in gridagora.__all__ if not name.startswith("_")])
def test_public_name_has_a_docstring_with_an_example(name: str) -> None:
    value = getattr(gridagora, name)
    if not (inspect.isclass(value) or callable(value)):
        pytest.skip("a constant")
    text = inspect.getdoc(value) or ""
    is_error = inspect.isclass(value) and issubclass(value, Exception)
    assert text, f"gridagora.{name} says nothing of itself"
    assert is_error or ">>>" in text, f"gridagora.{name} shows no example of its use"


def test_all_of_a_flexibility_market_is_in_one_module() -> None:
    from gridagora import flexibility
    from gridagora.engine.flexibility.commands import FlexCommand

    assert list(flexibility.__all__) == sorted(set(flexibility.__all__))
    assert {command.__name__ for command in get_args(FlexCommand)} <= set(flexibility.__all__)
    for name in flexibility.__all__:
        assert inspect.getdoc(getattr(flexibility, name)), (
            f"gridagora.flexibility.{name} says nothing of itself"
        )


def test_all_of_zone_markets_is_in_one_module() -> None:
    from gridagora import zones

    assert len(zones.__all__) == len(set(zones.__all__))
    for name in zones.__all__:
        value = getattr(zones, name)
        assert name == "STEPS" or inspect.getdoc(value), f"gridagora.zones.{name} says nothing of itself"


def test_all_of_meter_data_is_in_one_module() -> None:
    from gridagora import metering

    assert len(metering.__all__) == len(set(metering.__all__))
    for name in metering.__all__:
        value = getattr(metering, name)
        assert name.isupper() or inspect.getdoc(value), f"gridagora.metering.{name} says nothing of itself"


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        gridagora.no_such_name  # noqa: B018 - the access is the test


def test_import_brings_in_nothing_heavy() -> None:
    program = f"import sys, gridagora, gridagora.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
