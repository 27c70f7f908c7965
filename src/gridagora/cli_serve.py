"""The command that runs a market as a service."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gridagora.console import make_console, make_table

if TYPE_CHECKING:
    from gridagora.service.serving import Order, Prepared

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME; a file of yours when left out.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        short_help="Run a market as a service, with its API and a start page.",
        epilog="Example: gridagora serve --demo",
    )(serve)


def serve(
    *,
    database: DatabaseOption = None,
    market: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Scenario of a new market: grid, tariffs, rules. The built-in village when left out.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A term of a new market; may be repeated."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen at.")] = 8000,
    demo: Annotated[
        bool, typer.Option("--demo", help="Play a village: homes that bid, users of every role.")
    ] = False,
    speed: Annotated[
        float | None,
        typer.Option(metavar="N", help="Seconds of the market's clock in a real one: 1, 288 with --demo."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes; more than one on PostgreSQL alone.")] = 1,
    broker: Annotated[
        str | None,
        typer.Option(metavar="URL", help="mqtt://[USER@]HOST, or mqtts://: take meter readings from it."),
    ] = None,
    topic: Annotated[
        str, typer.Option(metavar="TOPIC", help="Beginning of the topics TOPIC/POINT/readings.")
    ] = "gridagora/meters",
    proxy: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESSES",
            help="Proxies in front, such as 127.0.0.1: their X-Forwarded-For tells who a client is.",
        ),
    ] = None,
    accept_clock: Annotated[
        bool, typer.Option("--accept-clock", help="The clock is right, though the last event is long ago.")
    ] = False,
) -> None:
    """Serve a live market until Ctrl-C; a new one is opened where the database holds none.

    Tables are made or brought up to date at the start.  The first administrator's password is shown once.
    """
    from gridagora.service import serving

    order = serving.Order(
        database=database or _file_of_ones_own(demo=demo),
        scenario=market or "",
        demo=demo,
        speed=speed or 0.0,
        terms=_terms(settings or []),
        host=host,
        port=port,
        workers=workers,
        broker=broker or "",
        topic=topic,
        proxy=proxy or "",
        accept_clock=accept_clock,
    )
    _serve(order)


def _serve(order: "Order") -> None:
    """Check what is ordered, open the market, tell who may sign in, and serve."""
    from gridagora.service import serving

    serving.check_order(order)
    _check_port(order.host, order.port)
    with make_console(stderr=True).status("opening the market"):
        prepared = serving.prepare_service(order)
    _tell(order, prepared)
    serving.serve(order)
    make_console().print("Stopped. All that was acknowledged is on disk.", highlight=False)


def _file_of_ones_own(*, demo: bool) -> str:
    """Return the path of the database in the person's own folder, which is made."""
    from gridagora.service.serving import default_database

    path = default_database(demo=demo)
    path.parent.mkdir(parents=True, exist_ok=True)
    return str(path)


def _terms(settings: list[str]) -> dict[str, object]:
    """Return the ``--set`` options as a mapping, values read as in a scenario file."""
    from gridagora.errors import check_faults
    from gridagora.scenario.yaml_text import read_yaml

    terms, faults = {}, []
    for setting in settings:
        key, _, text = (part.strip() for part in setting.partition("="))
        value = read_yaml(text, f"--set {key}")
        terms[key] = value.data
        faults.extend(value.faults)
    check_faults(faults)
    return terms


def _check_port(host: str, port: int) -> None:
    """Raise `InputError` for a port that is taken, before any work."""
    import socket

    from gridagora.errors import Fault, InputError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as here:
        here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            here.bind((host, port))
        except OSError as error:
            reason, fix = f"cannot be listened at: {error.strerror}", "stop what does, or take another --port"
            raise InputError(
                [
                    Fault(
                        source="serve", place="--host, --port", value=f"{host}:{port}", reason=reason, fix=fix
                    )
                ]
            ) from None


def _tell(order: "Order", prepared: "Prepared") -> None:
    """Print where the service is, where its data are, and who may sign in."""
    from gridagora.adapters.sql.address import read_address
    from gridagora.service.demo.seed import PASSWORD, PEOPLE
    from gridagora.service.serving import FIRST_ADMINISTRATOR

    console = make_console()
    address = read_address(order.database)
    kept = str(address) if address.path is None else str(Path(address.path).absolute())
    host = f"[{order.host}]" if ":" in order.host else order.host
    pace = "" if order.pace == 1.0 else f", {order.pace:g} times as fast as the real clock"
    lines = [
        f"Market:  {prepared.market}{' (new)' if prepared.opened else ''}{pace}",
        f"Address: http://{host}:{order.port}",
        f"Data:    {kept}",
    ]
    if order.scenario and not prepared.opened:
        lines.append("The market keeps the scenario that it was opened with; --market is for a new one.")
    if prepared.clock_jump_s:
        days = prepared.clock_jump_s // 86_400
        lines.append(f"The clock shows {days} days after the last event. Is it right? Until you say so with")
        lines.append("--accept-clock, or POST /api/v1/market/clock, nothing is carried out.")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if order.demo:
        table = make_table("Sign in as", "Role", "Name")
        for one in PEOPLE:
            table.add_row(one.email, one.role, one.name)
        console.print(table)
        console.print(
            f"Password of all: {PASSWORD}   (a demonstration: keep no secrets in it)", highlight=False
        )
    if prepared.password:
        console.print(
            f"First administrator: {FIRST_ADMINISTRATOR}, password {prepared.password}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        console.print("It is shown this once, and must be changed at the first sign-in.", highlight=False)
    console.print("Stop with Ctrl-C.", highlight=False)
