"""Where a database is: the URL that a person writes, and errors that never show its password."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from gridagora.errors import Fault, InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where a database is; ``path`` is the file of an SQLite database, None for PostgreSQL."""

    url: URL
    path: Path | None

    def __str__(self) -> str:
        """Return the address without its password."""
        return self.url.render_as_string(hide_password=True)


def read_address(text: str) -> Address:
    """Return the address that a URL names; a path alone is that of an SQLite file.

    Raises
    ------
    InputError
        for a URL that cannot be read, of another kind of database, or of one in memory.

    Examples
    --------
    >>> read_address("market.db").path.name, str(read_address("postgresql://ann:secret@db/market"))
    ('market.db', 'postgresql+psycopg://ann:***@db/market')
    """
    fix = "write sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"
    if "://" not in text and text:
        return _sqlite(URL.create("sqlite", database=text))
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise _refused(text, "is no URL of a database", fix) from None
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return Address(url=url.set(drivername="postgresql+psycopg"), path=None)
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise _refused(url.drivername, "is a kind of database that is not known here", fix)
    if not url.database or url.database == ":memory:":
        raise _refused(text, "names no file: a database in memory keeps nothing", fix)
    return _sqlite(url)


def _sqlite(url: URL) -> Address:
    return Address(url=url, path=Path(str(url.database)))


def _refused(value: str, reason: str, fix: str) -> InputError:
    return InputError([Fault(source="database", place="URL", value=value, reason=reason, fix=fix)])
