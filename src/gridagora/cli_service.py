"""The commands `gridagora admin ...`: the first administrator of a platform, and help when locked out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from gridagora.console import add_row, make_console, make_table

if TYPE_CHECKING:
    from gridagora.service.auth.admin import Administration, FirstSignIn

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DatabaseUrl = Annotated[
    str,
    typer.Option("--database", metavar="URL", help="sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME."),
]
Email = Annotated[str, typer.Option("--email", metavar="ADDRESS", help="By which the person signs in.")]


@app.command(
    short_help="Add an administrator.",
    epilog="Example: gridagora admin create --database sqlite:///market.db --email ann@example.org",
)
def create(
    *,
    database: DatabaseUrl,
    email: Email,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the person.")] = None,
) -> None:
    """Add an administrator and print a password for the first sign-in, where another must be chosen."""
    address, called = _checked(email, name)
    with _administration(database, create=True) as administration:
        _print_password(administration.add_person(address, name=called))


@app.command(
    short_help="Let a person begin anew who is locked out.",
    epilog="Example: gridagora admin reset --database sqlite:///market.db --email ann@example.org",
)
def reset(*, database: DatabaseUrl, email: Email) -> None:
    """Print a new first password for a person and take the second factor away; their sessions end."""
    with _administration(database) as administration:
        _print_password(administration.reset(email))


@app.command(
    "list", short_help="List people.", epilog="Example: gridagora admin list --database sqlite:///market.db"
)
def list_people(*, database: DatabaseUrl) -> None:
    """List the people of a platform."""
    table = make_table("E-mail", "Name", "Role", "Organisation", "Status", "Second factor")
    with _administration(database) as administration:
        for user in administration.people():
            factor = "yes" if user.totp_secret else "no"
            add_row(table, user.email, user.name, user.role, user.organisation, user.status, factor)
    make_console().print(table)


@app.command(
    "renew-key",
    short_help="End all sessions and sign tokens by a new key.",
    epilog="Example: gridagora admin renew-key --database sqlite:///market.db",
)
def renew_key(*, database: DatabaseUrl) -> None:
    """Sign tokens by a new key and end all sessions, as when a copy of the database was lost."""
    with _administration(database) as administration:
        administration.renew_key()
    make_console().print("All sessions have ended; tokens are signed by a new key.", highlight=False)


@app.command(
    short_help="Check that the audit log was never changed.",
    epilog="Example: gridagora admin verify --database sqlite:///market.db",
)
def verify(*, database: DatabaseUrl) -> None:
    """Recompute the chain of the audit log; exit code 1 where an entry was changed or removed."""
    with _administration(database) as administration, make_console(stderr=True).status("reading") as status:
        count, fault = administration.verify(
            lambda done, total, what: status.update(f"{what}: {done:,} of {total:,}")
        )
    make_console().print(f"{count:,} entries: {fault or 'all is well'}", highlight=False)
    if fault:
        raise typer.Exit(1)


@contextmanager
def _administration(url: str, *, create: bool = False) -> "Iterator[Administration]":
    from gridagora.adapters.sql.database import Database
    from gridagora.service.auth.admin import Administration

    with Database(url, write=True, create=create) as database:
        administration = Administration(database)
        try:
            yield administration
        finally:
            administration.close()


def _checked(email: str, name: str | None) -> tuple[str, str]:
    """Return address and name as the API would take them."""
    from pydantic_core import PydanticCustomError

    from gridagora.service.texts import check_email, check_name

    try:
        address = check_email(email)
    except PydanticCustomError as error:
        raise typer.BadParameter(error.message(), param_hint="--email") from None
    try:
        return address, check_name(name or address.split("@")[0])
    except PydanticCustomError as error:
        raise typer.BadParameter(error.message(), param_hint="--name") from None


def _print_password(made: "FirstSignIn") -> None:
    console = make_console()
    console.print(f"{made.user.role} {made.user.email}", highlight=False, markup=False)
    console.print(f"first password: {made.password}", highlight=False, markup=False)
    console.print("It is shown this once, and another must be chosen at the first sign-in.", highlight=False)
