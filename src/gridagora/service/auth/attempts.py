"""Failures to sign in: after a few, a name has to wait, longer each time."""

import hashlib
from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, update

from gridagora.service.auth.tables import attempts
from gridagora.service.problems import Problem

FREE, FREE_EVERYWHERE = 5, 50
"""Failures without a wait: of a name from one address, and of a name from all of them."""

FIRST_WAIT_S, LONGEST_WAIT_S = 2, 900
FORGET_S = 86_400


def keys_of(name: str, address: str) -> tuple[bytes, bytes]:
    """Return what failures of a name are counted by: with the address, and without."""
    name = name.casefold()
    return _hash(f"{name}\n{address}"), _hash(name)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def wait_of(failures: int, free: int) -> int:
    """Return how long a name has to wait after so many failures, s.

    >>> [wait_of(n, FREE) for n in (4, 5, 6, 9, 40)]
    [0, 2, 4, 32, 900]
    """
    if failures < free:
        return 0
    return int(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(failures - free, 20)))


def check(connection: Connection, keys: Sequence[bytes], *, now: int) -> None:
    """Raise the problem ``too_many_attempts`` while a name has to wait."""
    until = connection.scalars(select(attempts.c.until).where(attempts.c.key.in_(keys))).all()
    wait = max(until, default=0) - now
    if wait > 0:
        raise Problem("too_many_attempts", f"wait {wait} s", headers={"Retry-After": str(wait)})


def failed(connection: Connection, keys: Sequence[bytes], *, now: int) -> None:
    """Count a failure."""
    connection.execute(delete(attempts).where(attempts.c.at < now - FORGET_S))
    for key, free in zip(keys, (FREE, FREE_EVERYWHERE), strict=True):
        counted = (
            update(attempts).where(attempts.c.key == key).values(failures=attempts.c.failures + 1, at=now)
        )
        if connection.execute(counted).rowcount == 0:
            connection.execute(insert(attempts).values(key=key, failures=1, at=now, until=0))
        failures = int(connection.scalar(select(attempts.c.failures).where(attempts.c.key == key)) or 0)
        until = now + wait_of(failures, free)
        connection.execute(update(attempts).where(attempts.c.key == key).values(until=until))


def succeeded(connection: Connection, keys: Sequence[bytes]) -> None:
    """Forget the failures of a name from its address; those from elsewhere still count."""
    connection.execute(delete(attempts).where(attempts.c.key == keys[0]))
