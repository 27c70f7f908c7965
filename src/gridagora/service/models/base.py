"""What all bodies share: moments, money, energy, names."""

from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from gridagora.service.texts import Id, Model, check_text
from gridagora.units import money_text as money

__all__ = ["Answer", "Ask", "Count", "Id", "Kilowatts", "Micro", "Moment", "Money", "Number", "Place"]
__all__ += ["Text", "WattHours", "Whole", "money"]

LARGEST = 2**53 - 1
"""Largest whole number that every JSON reader keeps exactly."""

Moment = Annotated[
    AwareDatetime,
    Field(description="RFC 3339 with offset, answered in UTC", examples=["2026-01-01T12:00:00Z"]),
]


def no_truth(value: object) -> object:
    """Return what is to be a number; true and false are none."""
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "is true or false, no number")
    return value


Whole = Annotated[int, Field(ge=-LARGEST, le=LARGEST), BeforeValidator(no_truth)]
Count = Annotated[int, Field(ge=0, le=LARGEST), BeforeValidator(no_truth)]
Place = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(check_text)]
"""Name of something that is there: a bus, a zone, an organisation, a contract."""

Text = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(check_text)]
Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(no_truth)]
Kilowatts = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(no_truth)]
Money = Annotated[
    str,
    Field(
        pattern=r"^-?[0-9]+\.[0-9]{6}$",
        description="currency, with 6 places; the same in whole micro-units stands beside it",
        examples=["1.250000"],
    ),
]
Micro = Annotated[int, Field(description="whole micro-units of currency", examples=[1_250_000])]
WattHours = Annotated[int, Field(description="whole Wh", examples=[1500])]


class Ask(Model):
    """Body of a request: a field that is not known is a fault."""


class Answer(BaseModel):
    """Body of an answer: fields may be added to it in later versions."""

    model_config = ConfigDict(extra="ignore", frozen=True)
