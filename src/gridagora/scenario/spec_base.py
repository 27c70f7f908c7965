"""What all groups of keys of a scenario file have in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Spec(BaseModel):
    """Frozen values; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_groups(cls, data: Any) -> Any:
        """Take a group of keys without any entry as left out: its keys have all their defaults."""
        if not isinstance(data, dict):
            return data
        groups = {
            field.alias or name
            for name, field in cls.model_fields.items()
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        }
        return {key: value for key, value in data.items() if value is not None or key not in groups}
