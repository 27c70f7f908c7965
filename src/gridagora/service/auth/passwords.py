"""Passwords and other secrets: made by chance, kept as argon2id hashes, checked without haste or hints."""

import base64
import hashlib
import secrets
from functools import partial

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from gridagora.errors import Fault
from gridagora.service.limits import Lane
from gridagora.service.settings import Settings

SHORTEST, LONGEST = 12, 256
"""Letters of a password that a person chooses."""

COMMON = ("password", "passwort", "123456", "qwerty", "gridagora", "letmein", "iloveyou", "admin", "welcome")


class Hashes:
    """Argon2id in threads of its own, so that nobody else waits for it.

    Parameters
    ----------
    settings : memory, passes, threads and queue
    """

    def __init__(self, settings: Settings) -> None:
        self._hasher = PasswordHasher(
            time_cost=settings.argon2_passes, memory_cost=settings.argon2_kib, parallelism=1, type=Type.ID
        )
        self._lane = Lane("argon2", threads=settings.hash_threads, queue=settings.hash_queue)
        self._nobodys = self._hasher.hash(secrets.token_urlsafe(32))

    async def make(self, secret: str) -> str:
        """Return the hash to keep of a secret."""
        return str(await self._lane.run(partial(self._hasher.hash, secret)))

    def make_now(self, secret: str) -> str:
        """Return the hash of a secret where nobody else waits."""
        return self._hasher.hash(secret)

    async def fits(self, secret: str, kept: str | None) -> bool:
        """Tell whether a secret has a hash; for None, nobody's, it takes as long to say no."""
        return bool(await self._lane.run(partial(self._fits, secret, kept)))

    def _fits(self, secret: str, kept: str | None) -> bool:
        try:
            found = self._hasher.verify(kept or self._nobodys, secret)
        except (VerificationError, InvalidHashError):
            return False
        return found and kept is not None

    def close(self) -> None:
        """End the threads."""
        self._lane.close()


def new_secret(kind: str) -> str:
    """Return a secret of 256 bits whose beginning tells what it is, for those who search for leaked ones."""
    return f"ga_{kind}_{secrets.token_urlsafe(32)}"


def new_id(kind: str) -> str:
    """Return an id that nobody can guess, e.g. ``"user-..."``."""
    return f"{kind}-{secrets.token_hex(12)}"


def new_password() -> str:
    """Return a password for the first sign-in, in groups that can be read out."""
    letters = base64.b32encode(secrets.token_bytes(15)).decode().lower()
    return "-".join(letters[i : i + 6] for i in range(0, 24, 6))


def digest(secret: str) -> bytes:
    """Return the hash of a secret that was made by chance, which needs no slow one.

    >>> len(digest("ga_refresh_..."))
    32
    """
    return hashlib.sha256(secret.encode()).digest()


def password_fault(password: str, *, email: str, place: str) -> Fault | None:
    """Return what is wrong with a password that a person chose, None for nothing.

    >>> password_fault("correct horse battery", email="ann@example.org", place="password") is None
    True
    """
    plain, owner = password.casefold(), email.split("@")[0].casefold()
    reason = ""
    if not SHORTEST <= len(password) <= LONGEST:
        reason = f"has not {SHORTEST} to {LONGEST} letters"
    elif len(owner) >= 4 and owner in plain:
        reason = "holds the name of its owner"
    elif len(set(plain)) < 5 or any(word in plain and len(plain) < len(word) + 8 for word in COMMON):
        reason = "is one that is tried first"
    if not reason:
        return None
    fix = "take several words that nobody else would put together"
    return Fault(source="password", place=place, value=None, reason=reason, fix=fix, code="password_weak")
