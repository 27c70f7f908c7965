"""Texts and numbers that requests may hold: the base of all models of the API, and names."""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

ODD = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Kinds of characters that no name needs: control characters and line ends, halves of characters, and such as
are not seen or turn the order of others, by which one name could look like another."""

UNKEPT = ODD - {"Cf"}
"""Kinds of characters that no text holds."""


class Model(BaseModel):
    """A body of a request or a response: unknown members and infinite numbers are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_max_length=100_000, frozen=True)


def check_name(text: str) -> str:
    r"""Return a name: one line in the composed form (NFC) of only what is seen, without blanks around it.

    >>> check_name("Zoë <b>'; --")
    "Zoë <b>'; --"
    >>> check_name(" Zoe\u0308\u200b")
    Traceback (most recent call last):
    pydantic_core._pydantic_core.PydanticCustomError: holds characters that are not seen, ...
    """
    seen = "".join(letter for letter in text if unicodedata.category(letter) not in ODD)
    plain = unicodedata.normalize("NFC", seen).strip()
    if text == plain and plain:
        return text
    if not plain:
        raise PydanticCustomError("string_too_short", "is empty")
    faults = {
        "holds characters that are not seen": seen != text,
        "has blanks around it": seen.strip() != seen,
        "is not in the composed form of Unicode (NFC)": unicodedata.normalize("NFC", seen) != seen,
    }
    reason = ", ".join(words for words, is_so in faults.items() if is_so)
    raise PydanticCustomError("text_invalid", reason, {"fix": f'write "{plain}"'})


def check_text(text: str) -> str:
    """Return a text of several lines; only line ends and tabs are taken of the control characters."""
    if any(unicodedata.category(letter) in UNKEPT and letter not in "\n\r\t" for letter in text):
        raise PydanticCustomError("text_invalid", "holds control characters")
    return unicodedata.normalize("NFC", text)


Name = Annotated[str, StringConstraints(max_length=200), AfterValidator(check_name)]
"""A name for people: any script, one line; it is data everywhere and never markup or SQL."""

Text = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(check_text)]
"""A text for people, of several lines."""

ADDRESS = re.compile(r"[^@\s\x00-\x1f<>]{1,64}@[^@\s\x00-\x1f<>]{1,189}")


def check_email(text: str) -> str:
    """Return an e-mail address in small letters, by which a person signs in.

    >>> check_email("Ann@Example.org")
    'ann@example.org'
    """
    address = check_name(text).casefold()
    if not ADDRESS.fullmatch(address):
        raise PydanticCustomError("email_invalid", "is no e-mail address")
    return address


Email = Annotated[str, Field(max_length=254), AfterValidator(check_email)]
"""An e-mail address, in small letters."""

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$"
Id = Annotated[str, Field(pattern=ID_PATTERN, examples=["north-7"])]
"""An id that programs and people write."""
