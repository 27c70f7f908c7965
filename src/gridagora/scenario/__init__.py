"""Scenario files: YAML checked by pydantic, built-in scenarios, and the district builder."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridagora.scenario.load import (
        load_scenario,
        parse_scenario,
        scenario_descriptions,
        scenario_names,
        scenario_yaml,
    )
    from gridagora.scenario.spec import ScenarioSpec

__all__ = [
    "ScenarioSpec",
    "load_scenario",
    "parse_scenario",
    "scenario_descriptions",
    "scenario_names",
    "scenario_yaml",
]


def __getattr__(name: str) -> Any:
    """Import pydantic only when a scenario is wanted, so that ``import gridagora`` stays quick."""
    if name == "ScenarioSpec":
        from gridagora.scenario.spec import ScenarioSpec

        return ScenarioSpec
    if name in __all__:
        from gridagora.scenario import load

        return getattr(load, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
