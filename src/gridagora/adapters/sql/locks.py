"""One writer: a second one gets a clear error at once.

SQLite: a lock on the file ``NAME-writer`` beside the database, which the system frees when its process ends,
however it ends.  PostgreSQL: an advisory lock that lives as long as the connection that writes.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, func, select

from gridagora.errors import MarketTaken, StoreError

SCHEMA_LOCK = 0
"""What PostgreSQL's advisory lock is about: 0 the tables, then the number of a market."""

LOCK_SPACE = 0x47724167
"""First half of all advisory locks of ours ("GrAg")."""


class FileLock:
    """A lock on a file beside an SQLite database, held until `release` or the end of the process."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + "-writer")
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(self._file)
        except OSError:
            owner = os.read(self._file, 32).decode(errors="replace").strip()
            os.close(self._file)
            who = f" (process {owner})" if owner else ""
            raise StoreError(
                f"another program{who} writes into {database}; one at a time may, stop it first"
            ) from None
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def release(self) -> None:
        """Give the lock back; the file stays, so that nobody locks a file that is gone."""
        with suppress(OSError):
            os.close(self._file)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        os.lseek(file, 1 << 20, os.SEEK_SET)  # a byte far behind the number that the file holds
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lock_market(connection: Connection, market: int, name: str) -> None:
    """Take the writer's lock of a market in PostgreSQL for as long as the connection lives.

    Raises
    ------
    MarketTaken
        when another connection holds it.
    """
    if not connection.scalar(select(func.pg_try_advisory_lock(LOCK_SPACE, market))):
        raise MarketTaken(
            f"another program writes the market {name!r} in this database; one at a time may, stop it first"
        )


def lock_schema(connection: Connection) -> None:
    """Wait until no other program changes tables; the transaction's end gives the lock back."""
    connection.execute(select(func.pg_advisory_xact_lock(LOCK_SPACE, SCHEMA_LOCK)))
