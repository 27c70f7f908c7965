"""Texts that come from outside and go into files and topics: which are taken."""

import re

NAME_RULE = "letters, digits, space and . : ( ) - _, 64 at most, a letter or digit first"
_NAME = re.compile(r"\w[\w .:()\-]{0,63}")
_SIGNATURE = re.compile(r"(?:[0-9a-f]{128})?")


def is_name(text: str) -> bool:
    """Tell a name of a point, source or meter: safe in a topic, a table and a spreadsheet.

    >>> is_name("R15"), is_name("home 1 (north)"), is_name("=1+1"), is_name("a/b"), is_name("")
    (True, True, False, False, False)
    """
    return _NAME.fullmatch(text) is not None


def is_signature(text: str) -> bool:
    """Tell a signature: 64 bytes in hexadecimal, or none."""
    return _SIGNATURE.fullmatch(text) is not None
