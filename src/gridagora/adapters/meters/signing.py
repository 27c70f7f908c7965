"""Ed25519 signatures of readings (RFC 8032): keys, signing, and what holds.

What is signed are the `gridagora.model.metering.canonical_bytes` of one reading, so a signature stays with
its value through files and stores, and anybody with the public key can check it later.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gridagora.adapters.meters.files import cells, refuse
from gridagora.adapters.meters.names import NAME_RULE, is_name
from gridagora.adapters.tables import column_faults, read_table
from gridagora.errors import Fault
from gridagora.model.metering import COLUMNS, MeterReadings, canonical_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PUBLIC_KEY = "public_key"
KEY_BYTES = 32


def new_key(path: Path) -> str:
    """Write a new private key (PEM, readable by its owner alone) and return the public key in hexadecimal.

    Raises
    ------
    FileExistsError
        Nothing is overwritten.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(text)
    return key.public_key().public_bytes_raw().hex()


def read_private_key(path: Path) -> tuple["Ed25519PrivateKey | None", list[Fault]]:
    """Read a private key from a PEM file without password."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    fix = "make one with: gridagora meter key FILE"
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        return None, [_fault(path, f"cannot be read: {error.strerror}", fix)]
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None, [_fault(path, "is no private key (PEM, without password)", fix)]
    if not isinstance(key, Ed25519PrivateKey):
        return None, [_fault(path, "is no Ed25519 key", fix)]
    return key, []


def read_public_keys(path: Path) -> tuple[dict[str, tuple[bytes, ...]], list[Fault]]:
    """Read the public keys of points; a point may have several rows, any of its keys will do.

    Parameters
    ----------
    path : file with the columns ``point`` and ``public_key`` (64 hexadecimal digits)
    """
    table, faults = read_table(path, text=True)
    if table is None:
        return {}, faults
    faults = column_faults(table, ("point", PUBLIC_KEY))
    if faults:
        return {}, faults
    points, texts = cells(table, "point"), cells(table, PUBLIC_KEY)
    no_name = [not is_name(name) for name in points.tolist()]
    no_key = [_key_of(text) is None for text in texts.tolist()]
    faults = refuse(table, "point", no_name, text=("is no name", NAME_RULE))
    faults += refuse(table, PUBLIC_KEY, no_key, text=("is no public key", "write 64 hexadecimal digits"))
    keys: dict[str, tuple[bytes, ...]] = {}
    for point, text in zip(points.tolist(), texts.tolist(), strict=True):
        key = _key_of(text)
        keys[point] = (*keys.get(point, ()), *([key] if key is not None else []))
    return keys, faults


def _key_of(text: str) -> bytes | None:
    """Return the bytes of a public key, or None."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        return None
    return key if len(key) == KEY_BYTES else None


def sign(readings: MeterReadings, key: "Ed25519PrivateKey") -> MeterReadings:
    """Return the readings with their signatures."""
    signatures = [key.sign(canonical_bytes(readings, row)).hex() for row in range(len(readings))]
    columns = {name: getattr(readings, name) for name in COLUMNS}
    return MeterReadings(**columns | {"signature": np.array(signatures, dtype=np.str_)})


def broken_signatures(readings: MeterReadings, keys: Mapping[str, tuple[bytes, ...]]) -> NDArray[np.bool_]:
    """Mark readings of points with a known key that carry no signature, or one that does not hold.

    Parameters
    ----------
    readings : readings; those of points without a key are not judged
    keys : public keys by point
    """
    broken = np.zeros(len(readings), dtype=np.bool_)
    for row in np.flatnonzero(np.isin(readings.point, list(keys))).tolist():
        signature = bytes.fromhex(str(readings.signature[row]))
        signed = canonical_bytes(readings, row)
        broken[row] = not any(_holds(key, signature, signed) for key in keys[str(readings.point[row])])
    return broken


def _holds(key: bytes, signature: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _fault(path: Path, reason: str, fix: str) -> Fault:
    return Fault(source=str(path), place="file", value=path.name, reason=reason, fix=fix)
