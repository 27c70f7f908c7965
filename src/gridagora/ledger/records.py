"""Records as leaves of a Merkle tree: canonical bytes, salts, and the text that publishes a root.

A record is a flat mapping of texts and whole numbers about one participant.  Its bytes are the canonical JSON
of RFC 8785.  What is hashed into the tree is ``SHA-256(domain || salt || bytes)``: a bare hash of a bid or a
reading is opened in milliseconds by trying all of them.  The salt of a leaf follows from the participant's
key, so that whoever erases the key erases the way back from every leaf to the person, and the tree still
stands.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

from gridagora.errors import require

Record = Mapping[str, str | int]

DOMAIN = b"gridagora record v1\n"
"""Beginning of everything hashed as a record, so that no hash made elsewhere passes for one."""

LARGEST = 2**53 - 1
"""Largest whole number that RFC 8785 writes exactly."""


def canonical_json(record: Record) -> bytes:
    """Return the bytes of RFC 8785 of a flat record of texts and whole numbers.

    Raises
    ------
    InvariantError
        where a value is neither text nor a whole number within 2^53 - 1, or a text is no Unicode.

    Examples
    --------
    >>> canonical_json({"kind": "trade", "amount_micro": -5})
    b'{"amount_micro":-5,"kind":"trade"}'
    """
    for name, value in record.items():
        whole = type(value) is int and abs(value) <= LARGEST
        require(whole or type(value) is str, f"{name} of a record is neither text nor a whole number")
    try:
        ordered = {name: record[name] for name in sorted(record, key=lambda text: text.encode("utf-16-be"))}
        return json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        require(False, "a record holds half of a surrogate pair, which is no Unicode")
        raise


def leaf_salt(key: bytes, day: str, index: int) -> bytes:
    """Return the salt of the leaf at a place of a day's tree: HMAC-SHA-256 by its participant's key.

    >>> len(leaf_salt(bytes(32), "2016-06-01", 0))
    32
    """
    return hmac.digest(key, f"{day} {index}".encode(), "sha256")


def seal(record: Record, salt: bytes) -> bytes:
    """Return what stands for a record in the tree: it can be checked with the salt and tells nothing without.

    >>> seal({"kind": "trade"}, bytes(32)) == seal({"kind": "trade"}, bytes(31) + b"1")
    False
    """
    return hashlib.sha256(DOMAIN + salt + canonical_json(record)).digest()


def checkpoint(origin: str, size: int, root: bytes) -> str:
    """Return the text of a tree's head as in C2SP tlog-checkpoint: origin, size and root, a line each.

    Signatures follow it after an empty line, where there are any.

    >>> checkpoint("example.org/2016-06-01", 0, bytes(32)).splitlines()[:2]
    ['example.org/2016-06-01', '0']
    """
    require(bool(origin) and origin.isprintable() and " " not in origin, "an origin holds a space or a break")
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
