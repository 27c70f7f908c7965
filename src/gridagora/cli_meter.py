"""The commands `gridagora meter ...`: check the readings of a file, collect and send them, make keys."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from gridagora.console import make_console, print_frame
from gridagora.errors import check_faults

PASSWORD = "GRIDAGORA_MQTT_PASSWORD"  # noqa: S105 - the name of a variable, not what it holds

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Timezone = Annotated[
    str | None,
    typer.Option(metavar="ZONE", help="Zone of times without offset, e.g. Europe/Berlin; else UTC."),
]
Unit = Annotated[
    str | None, typer.Option(metavar="Wh|kWh|W|kW", help="Unit of a wide file's columns that name none.")
]
BrokerUrl = Annotated[
    str,
    typer.Option(
        "--broker",
        metavar="URL",
        help=f"mqtt://[user@]host[:port], or mqtts:// for TLS; the password from {PASSWORD}.",
    ),
]
Topic = Annotated[str, typer.Option(metavar="TOPIC", help="Beginning of the topics TOPIC/POINT/readings.")]
Keys = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Public keys (point, public_key): readings of these points must be signed."
    ),
]


@app.command(
    short_help="Check the meter readings of a file.",
    epilog="Example: gridagora meter check meters.csv --timezone Europe/Berlin --capacity 30 -o checked.csv",
)
def check(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Readings (CSV, XLSX or Parquet).")],
    timezone: Timezone = None,
    unit: Unit = None,
    capacity: Annotated[
        float | None, typer.Option(metavar="KW", help="What every connection carries, kW.")
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What each connection carries; only these points are checked."),
    ] = None,
    keys: Keys = None,
    most_missing: Annotated[
        float, typer.Option(metavar="PERCENT", help="Periods not measured with which a point is usable.")
    ] = 5.0,
    digits: Annotated[
        int, typer.Option(min=1, max=10, help="Digits of the counters before the point, in kWh.")
    ] = 6,
    period: Annotated[
        int, typer.Option(metavar="SECONDS", help="Periods of points that have counters alone.")
    ] = 900,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write checked values and findings (XLSX or CSV)."
        ),
    ] = None,
) -> None:
    """Check readings: gaps, doubles, spikes, clocks, counters; estimate what lacks, and say so."""
    from gridagora.settlement.metering import MeterRules
    from gridagora.studies.meter import check_meter_file

    rules = MeterRules(most_missing_percent=most_missing, register_modulus_wh=10 ** (digits + 3))
    with make_console(stderr=True).status("reading and checking"):
        found = check_meter_file(
            file,
            timezone=timezone,
            unit=unit,
            capacity_kw=capacity,
            points=points,
            keys=keys,
            rules=rules,
            register_period_s=period,
            output=output,
        )
    summary = found.summary()
    if len(summary):
        print_frame(summary, "What the rules found")
    else:
        make_console().print("The rules found nothing.", highlight=False)
    print_frame(found.shares(), "Points: how many periods were measured, estimated, left missing")
    if output is not None:
        with make_console(stderr=True).status("writing"):
            written = ", ".join(map(str, found.write(output)))
        make_console().print(f"Written: {written}", highlight=False, soft_wrap=True)


@app.command(
    short_help="Collect readings from an MQTT broker into a file.",
    epilog="Example: gridagora meter listen --broker mqtt://localhost -o readings.csv",
)
def listen(
    *,
    broker: BrokerUrl,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="CSV file; readings are added to it.")
    ],
    topic: Topic = "gridagora/meters",
    keys: Keys = None,
    client_id: Annotated[
        str | None,
        typer.Option(help="Name of the session at the broker; made of the file's path if left out."),
    ] = None,
    count: Annotated[
        int | None, typer.Option(metavar="N", help="Stop after this many readings, refused ones included.")
    ] = None,
) -> None:
    """Collect readings until Ctrl-C; each is on the disk before the broker is told that it came."""
    from gridagora.adapters.meters import mqtt
    from gridagora.adapters.meters.log import ReadingsLog, session_name
    from gridagora.adapters.meters.signing import read_public_keys

    address = mqtt.broker_of(broker, topic=topic, password=os.environ.get(PASSWORD))
    known, faults = ({}, []) if keys is None else read_public_keys(keys)
    check_faults(faults)
    console = make_console(stderr=True)
    seen = [0]
    with ReadingsLog(output) as log, _stopped_by_signals() as stopped, console.status("listening") as status:

        def progress(kept: int, refused: int) -> None:
            seen[0] = kept + refused
            status.update(f"{kept} readings, {refused} refused")

        kept, refused = mqtt.listen(
            address,
            log,
            client_id=client_id or session_name(output),
            stop=lambda: stopped() or (count is not None and seen[0] >= count),
            keys=known,
            notice=lambda text: console.print(text, highlight=False, markup=False),
            progress=progress,
        )
    told = f"{kept} readings in {output}"
    make_console().print(told, highlight=False, markup=False, soft_wrap=True)
    if refused:
        told = f"{refused} faults, told in {log.refused_path}"
        make_console().print(told, highlight=False, markup=False, soft_wrap=True)


@app.command(
    short_help="Send the readings of a file to an MQTT broker.",
    epilog="Example: gridagora meter send meters.csv --broker mqtt://localhost --timezone Europe/Berlin",
)
def send(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Readings (CSV, XLSX or Parquet).")],
    broker: BrokerUrl,
    topic: Topic = "gridagora/meters",
    timezone: Timezone = None,
    unit: Unit = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who says it, where the file does not tell.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Private key (PEM, Ed25519) to sign each reading with."),
    ] = None,
) -> None:
    """Send readings, each message confirmed by the broker; sending them again does no harm."""
    from gridagora.adapters.meters import mqtt
    from gridagora.adapters.meters.files import read_meter_file
    from gridagora.adapters.meters.signing import read_private_key, sign

    address = mqtt.broker_of(broker, topic=topic, password=os.environ.get(PASSWORD))
    table, faults = read_meter_file(file, timezone=timezone, unit=unit, source=source)
    private, found = (None, []) if key is None else read_private_key(key)
    check_faults([*faults, *found])
    if table is None:
        return
    console = make_console(stderr=True)
    with console.status("sending") as status:
        readings = table.readings if private is None else sign(table.readings, private)
        messages = mqtt.send(
            address,
            readings,
            notice=lambda text: console.print(text, highlight=False, markup=False),
            progress=lambda done, all_of_them: status.update(f"{done} of {all_of_them} messages"),
        )
    told = f"{len(readings)} readings in {messages} messages, all confirmed"
    make_console().print(told, highlight=False)


@app.command(
    short_help="Make a key to sign readings with.", epilog="Example: gridagora meter key gateway-7.pem"
)
def key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New file for the private key (PEM).")],
) -> None:
    """Write a new private key, for its owner's eyes alone, and print the public key for the keys file."""
    from gridagora.adapters.meters.signing import new_key

    typer.echo(new_key(file))


@contextmanager
def _stopped_by_signals() -> Iterator[Callable[[], bool]]:
    """Yield a question that Ctrl-C and SIGTERM answer with yes, so that nothing is cut off."""
    stopped: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)

    previous: dict[int, Any] = {
        number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield lambda: bool(stopped)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
