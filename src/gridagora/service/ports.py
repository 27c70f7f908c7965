"""What the service needs of a platform: the market's runner gives it."""

from collections.abc import Mapping
from typing import Any, Protocol

from gridagora.adapters.sql.database import Database


class Platform(Protocol):
    """A market that runs, and the database that the identities are kept in too."""

    @property
    def database(self) -> Database:
        """The database, open for writing; asked for anew before each use, so that it may be reopened."""

    def public_state(self) -> Mapping[str, Any]:
        """Return what everybody may know of the market now, as JSON values; must answer at once."""
