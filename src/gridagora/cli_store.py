"""Commands about databases: make the tables anew and compare, verify what is stored."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from gridagora.console import add_row, make_console, make_table

if TYPE_CHECKING:
    from gridagora.adapters.sql.audit import Audit
    from gridagora.adapters.sql.database import Database

Progress = Callable[[int, int, str], None]
Check = Callable[["Database", str, Progress], "Audit"]

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Keep events and tables in a database: sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.",
    ),
]
MarketOption = Annotated[str | None, typer.Option(metavar="NAME", help="Name of the market in the database.")]
Url = Annotated[
    str, typer.Argument(metavar="URL", help="sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(
        short_help="Make the tables of a database anew from its events and compare.",
        epilog="Example: gridagora replay sqlite:///village.db",
    )(replay)
    app.command(
        short_help="Check the chain of events, books, answers and roots of days of a database.",
        epilog="Example: gridagora verify sqlite:///village.db",
    )(verify)


def sqlite_version() -> str:
    """Return the version of the SQLite library, and what it means for a database."""
    from gridagora.adapters.sql.engines import sqlite_library

    return sqlite_library()


def replay(
    *,
    url: Url,
    market: MarketOption = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put the tables made anew in the place of those that differ.")
    ] = False,
) -> None:
    """Make every read table anew from the events and compare; exit code 1 where they differ and stay so."""
    from gridagora.adapters.sql import audit

    def check(database: "Database", name: str, progress: Progress) -> "Audit":
        return audit.replay(database, name, progress=progress)

    differ = _check_all(url, market, check)
    if differ and repair:
        _make_anew(url, differ)
    elif differ:
        make_console().print("The events are the truth: --repair makes the tables anew.", highlight=False)
        raise typer.Exit(1)


def verify(
    *,
    url: Url,
    market: MarketOption = None,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="HASH", help="Event hash kept elsewhere, which one event of the market must have."
        ),
    ] = None,
) -> None:
    """Check that no event was changed, entries sum to zero, and balances are the sums of their postings.

    Answers under idempotency keys must be those of the events, and so must the Merkle roots of days.
    """
    from gridagora.adapters.sql import audit

    if head is not None and market is None:
        raise typer.BadParameter("say with --market NAME which market has the hash of --head")

    def check(database: "Database", name: str, progress: Progress) -> "Audit":
        return audit.verify(database, name, head=head, progress=progress)

    if _check_all(url, market, check):
        raise typer.Exit(1)


def _check_all(url: str, market: str | None, check: Check) -> list[str]:
    """Check the named market, or all; print what was found and return the names of those with findings."""
    from gridagora.adapters.sql.database import Database

    with Database(url) as database:
        names = [head.name for head in database.heads()] if market is None else [market]
        with _progress() as progress:
            audits = [check(database, name, progress) for name in names]
    _print_audits(audits)
    return [audit.head.name for audit in audits if audit.findings]


def _print_audits(audits: "Sequence[Audit]") -> None:
    console = make_console()
    table = make_table("Market", "Events", "Rows checked", "Event hash", "Found")
    for audit in audits:
        found = len(audit.findings)
        state = f"{found} fault{'s' if found > 1 else ''}" if found else "all is well"
        add_row(table, audit.head.name, f"{audit.head.seq:,}", f"{audit.rows:,}", audit.head.hash[:16], state)
    console.print(table)
    for audit in audits:
        for text in audit.findings:
            console.print(f"{audit.head.name}: {text}", highlight=False, markup=False, soft_wrap=True)


def _make_anew(url: str, names: Sequence[str]) -> None:
    from gridagora.adapters.sql.database import Database
    from gridagora.adapters.sql.store import SqlStore

    with Database(url, write=True) as database, _progress() as progress:
        for name in names:
            SqlStore(database, name).rebuild(progress=progress)
    make_console().print(f"Made anew: {', '.join(names)}", highlight=False, markup=False)


@contextmanager
def _progress() -> Iterator[Progress]:
    """Yield a callback that shows on a terminal how far the work is."""
    console = make_console(stderr=True)
    with console.status("reading the database") as status:
        yield lambda done, total, what: status.update(f"{what}: {done:,} of {total:,}")
