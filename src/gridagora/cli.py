"""The command line: reads the arguments, calls the library, prints what a person wants to see.

Everything heavy is imported inside the command that needs it, so that ``gridagora --help`` answers at once.
Exit codes: 0 done, 1 failed, 2 bad input or bad usage, 130 stopped by Ctrl-C.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gridagora import cli_billing, cli_serve, cli_store
from gridagora.cli_meter import app as meter_app
from gridagora.cli_service import app as admin_app
from gridagora.console import add_row, make_console, make_table, print_frame
from gridagora.errors import Fault, GridAgoraError, InputError, check_faults

if TYPE_CHECKING:
    from rich.table import Table

    from gridagora.studies.run import Run

LONGEST_CELL = 16
"""Letters of a text shown side by side; of a longer one, a hash, the first eight tell it from others."""

ZONES_ONLY = ("traded_between", "trades_refused", "welfare_gap")
ONLY_IF_ANY = frozenset({"curtailed_kwh", "energy_not_served_kwh", "not_converged_periods"})
"""Key figures shown only where they are not zero."""

FLEX_ONLY = ("flex_",)
POOL_ONLY = ("local_volume", "mean_price")
"""Beginnings of key figures that runs with the other market do not have."""

Progress = Callable[[int, int, str], None]

app = typer.Typer(
    name="gridagora",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: drawing it with rich triples the time to answer
    context_settings={"help_option_names": ["-h", "--help"]},
)

PARTS = ("numpy", "pandas", "highspy", "numba", "power-grid-model", "pandapower", "simbench")
"""Packages whose version decides the numbers of a run."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code.

    Parameters
    ----------
    arguments : words after ``gridagora``; the process's own when not given
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    if debug:  # accepted anywhere, although it belongs to the program and not to one command
        words = ["--debug", *(word for word in words if word != "--debug")]
    _use_one_blas_thread()
    try:
        app(args=words, prog_name="gridagora")
    except Exception as error:
        if debug:
            raise
        sys.exit(_explain(error))


@app.callback()
def _program(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Local energy markets on distribution grids: run a market on a real feeder and see what it does."""


def _complete_scenario(incomplete: str) -> list[str]:
    from gridagora.scenario.load import scenario_names

    return [name for name in scenario_names() if name.startswith(incomplete)]


@app.command(
    short_help="Run a scenario and write its report.",
    epilog="Example: gridagora run village -o runs/village --ems optimal --set market.mechanism=pay_as_bid",
)
def run(
    *,
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE",
            help="A built-in scenario or a scenario file (YAML).",
            autocompletion=_complete_scenario,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder of the results; an older run there is replaced."
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one entry of the scenario; may be repeated."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything drawn by chance.")] = None,
    ems: Annotated[
        str | None,
        typer.Option(metavar="rule_based|optimal", help="How homes plan: short for --set agents.ems=..."),
    ] = None,
    database: cli_store.DatabaseOption = None,
    market: cli_store.MarketOption = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the path of the report and nothing else.")
    ] = False,
) -> None:
    """Run a scenario with and without its market; write tables, key figures and a report."""
    overrides = _overrides(settings or [], ems=ems)
    from gridagora.studies import run as study

    study.check_target(output)  # before any work, not after minutes of it
    try:
        with _progress(show=not quiet) as (progress, stop):
            result = study.run(
                scenario,
                overrides=overrides,
                seed=seed,
                progress=progress,
                stop=stop,
                database=database,
                market=market,
            )
        with nullcontext() if quiet else make_console(stderr=True).status("writing tables and report"):
            result.write(output)
    except KeyboardInterrupt:
        _say(f"[yellow]Stopped.[/] Nothing was written{' but to the database' if database else ''}.")
        raise typer.Exit(130) from None
    _print_result(result, output=output, quiet=quiet)
    if not result.finished:
        _say("[yellow]Stopped early:[/] the folder holds the sessions that were finished.")
        raise typer.Exit(130)


@app.command(epilog="Example: gridagora scenarios")
def scenarios() -> None:
    """List the built-in scenarios."""
    from gridagora.scenario.load import load_scenario, scenario_names

    table = make_table("Scenario", "What it is")
    for name in scenario_names():
        add_row(table, name, load_scenario(name).description)
    make_console().print(table)
    make_console().print("Run one with: gridagora run NAME -o DIR", highlight=False)


@app.command(
    short_help="Write a scenario of your own to start from.", epilog="Example: gridagora template my-feeder"
)
def template(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the files.")],
) -> None:
    """Write a small scenario with its data files, ready to run and to be filled with your own."""
    from gridagora.adapters.template import write_template

    scenario = write_template(directory)
    make_console().print(f"Wrote {directory}. Try it:", highlight=False)
    make_console().print(
        f"  gridagora run {scenario} -o runs/{directory.name}", highlight=False, soft_wrap=True
    )


@app.command(epilog="Example: gridagora compare runs/rule-based runs/optimal -o compare.html")
def compare(
    directories: Annotated[
        list[Path], typer.Argument(metavar="A B [...]", help="Folders written by `gridagora run`.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write a comparison report (HTML).")
    ] = None,
) -> None:
    """Put the key figures of runs side by side."""
    from gridagora.studies import compare as study

    if output is not None:
        study.check_page(output)
    frame = study.compare(directories)
    table = make_table("", *map(str, frame.columns), numbers=True)
    for name, *values in frame.itertuples():
        add_row(table, name, *map(_plain, values))
    make_console().print(table)
    if output is not None:
        study.compare_report(directories, output)
        make_console().print(f"Report: {output}", highlight=False, soft_wrap=True)


@app.command(
    short_help="Clear the flexibility bids of a file and pay by every rule.",
    epilog="Example: gridagora auction bids.csv --capacity participants.csv -o result.xlsx",
)
def auction(
    *,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Bids, one per row (CSV, XLSX or Parquet).")
    ] = None,
    ordered: Annotated[
        bool, typer.Option("--ordered", help="Take each buyer's steps in their order, whatever their prices.")
    ] = False,
    rules: Annotated[
        list[str] | None,
        typer.Option(
            "--rule",
            metavar="uniform|pay_as_bid|vcg|vcg_one_sided|shapley",
            help="A payment rule; may be repeated. All of them if none is named.",
        ),
    ] = None,
    capacity: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Connection capacity of each seller, which offers may not exceed."),
    ] = None,
    now: Annotated[
        str | None, typer.Option(metavar="PERIOD|TIME", help="First period that can still be bid for.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the results (XLSX or CSV).")
    ] = None,
    sample: Annotated[
        Path | None, typer.Option("--template", metavar="FILE", help="Write a file of bids to start from.")
    ] = None,
) -> None:
    """Clear a flexibility auction: accepted quantities, prices, and the payments by rules side by side."""
    if sample is not None:
        from gridagora.adapters.flex_files import write_bids_template

        check_faults(write_bids_template(sample))
        make_console().print(
            f"Wrote {sample}. Try it: gridagora auction {sample}", highlight=False, soft_wrap=True
        )
    if file is None:
        if sample is None:
            raise typer.BadParameter("name a file of bids, or write one to start from with --template FILE")
        return
    from gridagora.studies.auction import auction_file

    tables = auction_file(file, ordered=ordered, rules=rules or [], capacity=capacity, now=now, output=output)
    print_frame(tables.bids, "Bids and what was accepted of them")
    print_frame(tables.prices, "Quantity and price of each period")
    print_frame(tables.payments, "Payments by each rule, + received, - paid")
    print_frame(tables.properties, "What held on this market")
    for rule in tables.left_out:
        make_console().print(f"{rule}: not defined for ordered steps or groups", highlight=False)
    if output is not None:
        written = ", ".join(map(str, tables.write(output)))
        make_console().print(f"Written: {written}", highlight=False, soft_wrap=True)


app.add_typer(admin_app, name="admin", help="People of a live platform: make, list and help administrators.")
app.add_typer(meter_app, name="meter", help="Meter readings: check a file, collect and send over MQTT.")


@app.command(short_help="Time the engine against its limits.", epilog="Example: gridagora bench --only study")
def bench(
    only: Annotated[
        str | None, typer.Option(metavar="WORD", help="Only files whose name holds the word.")
    ] = None,
    long: Annotated[bool, typer.Option("--long", help="Also the runs of a whole year.")] = False,
) -> None:
    """Time the engine on this machine against its limits (in a source checkout)."""
    import subprocess

    root = Path(__file__).resolve().parents[2]
    if not (root / "benchmarks" / "__main__.py").exists():
        raise GridAgoraError(
            "the benchmarks come with the source: clone the repository and run `make bench` there"
        )
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        *(["--only", only] if only else []),
        *(["--long"] if long else []),
    ]
    raise typer.Exit(subprocess.run(command, cwd=root, check=False).returncode)  # noqa: S603 - our own program


@app.command(short_help="Print the versions that decide the numbers.", epilog="Example: gridagora version")
def version() -> None:
    """Print the versions of GridAgora, of Python and of the packages that decide the numbers."""
    from importlib import metadata

    console = make_console()
    console.print(f"gridagora {metadata.version('gridagora')}", highlight=False)
    console.print(f"python {sys.version.split()[0]}", highlight=False)
    for name in PARTS:
        console.print(f"{name} {metadata.version(name)}", highlight=False)
    console.print(f"sqlite {cli_store.sqlite_version()}", highlight=False)


cli_store.register(app)
cli_billing.register(app)
cli_serve.register(app)


def _use_one_blas_thread() -> None:
    """Keep BLAS to one thread: on the small systems here a thread pool costs far more than it gains."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def _overrides(settings: Sequence[str], *, ems: str | None) -> dict[str, object]:
    """Return the ``--set`` options as a mapping, values read as in a scenario file.

    Raises
    ------
    InputError
        naming each option that is not ``KEY=VALUE`` or whose value is no YAML.
    """
    from gridagora.scenario.yaml_text import read_yaml

    faults: list[Fault] = []
    overrides: dict[str, object] = {}
    for setting in settings:
        key, equals, text = (part.strip() for part in setting.partition("="))
        if key and equals:
            value = read_yaml(text, f"--set {key}")
            overrides[key] = value.data
            faults.extend(value.faults)
        else:
            faults.append(_no_key_and_value(setting))
    check_faults(faults)
    return overrides | ({"agents.ems": ems} if ems else {})


def _no_key_and_value(setting: str) -> Fault:
    fix = "write for example --set market.mechanism=pay_as_bid"
    return Fault(source="command line", place="--set", value=setting, reason="is not KEY=VALUE", fix=fix)


@contextmanager
def _progress(*, show: bool) -> Iterator[tuple[Progress, Callable[[], bool]]]:
    """Yield a progress callback and a stop question; the first Ctrl-C answers it with yes.

    Before the first session is done there is nothing to keep, so Ctrl-C ends at once; so does a second one.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = make_console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not (show and console.is_terminal),
        transient=True,
    )
    task = bar.add_task("reading grid and profiles", total=None)
    started: list[bool] = []
    stopped: list[bool] = []

    def report(done: int, total: int, label: str) -> None:
        if done > 0:
            started.append(True)
        bar.update(task, completed=done, total=total, description=label)

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        if stopped or not started:
            raise KeyboardInterrupt
        stopped.append(True)
        bar.console.print("Stopping after this session; Ctrl-C again stops at once and writes nothing.")

    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        with bar:
            yield report, lambda: bool(stopped)
    finally:
        signal.signal(signal.SIGINT, previous)


def _print_result(result: "Run", *, output: Path, quiet: bool) -> None:
    report = output / "report.html"
    if quiet:
        typer.echo(report)
        return
    console = make_console()
    console.print(_key_figures(result.kpis))
    console.print(f"Event hash: {result.kpis['event_hash']}", highlight=False, soft_wrap=True)
    console.print(f"Report:     {report}", highlight=False, soft_wrap=True)


def _key_figures(kpis: Mapping[str, Any]) -> "Table":
    """Return the table of key figures, with the market beside the same feeder without one."""
    currency = str(kpis.get("currency", "EUR"))
    money = currency.lower()
    rows = (
        (
            f"Bills of all participants [{currency}]",
            f"cost_total_{money}",
            f"cost_total_baseline_{money}",
            "{:,.2f}",
        ),
        ("Participants better off", "participants_better_off", None, "{:,.0f}"),
        (
            "Above the threshold [h]",
            "flex_hours_overloaded_after",
            "flex_hours_overloaded_before",
            "{:,.2f}",
        ),
        ("  of it newly overloaded [h]", "flex_hours_newly_overloaded", None, "{:,.2f}"),
        (f"Paid for flexibility [{currency}]", f"flex_cost_{money}", None, "{:,.2f}"),
        ("Traded locally [kWh]", "local_volume_kwh", None, "{:,.1f}"),
        ("  between zones [kWh]", "traded_between_zones_kwh", None, "{:,.1f}"),
        ("Trades refused by controllers", "trades_refused", None, "{:,.0f}"),
        (f"Welfare given up by zones [{currency}]", f"welfare_gap_{money}", None, "{:,.2f}"),
        (f"Mean local price [{currency}/kWh]", f"mean_price_{money}_per_kwh", None, "{:.4f}"),
        ("Self-sufficiency", "self_sufficiency", "self_sufficiency_baseline", "{:.1%}"),
        ("Self-consumption", "self_consumption", "self_consumption_baseline", "{:.1%}"),
        ("Transformer loading, highest [%]", *_both("transformer_loading_max_percent"), "{:.1f}"),
        ("Line loading, highest [%]", *_both("line_loading_max_percent"), "{:.1f}"),
        ("Voltage, lowest [pu]", *_both("vm_min_pu"), "{:.4f}"),
        ("Voltage, highest [pu]", *_both("vm_max_pu"), "{:.4f}"),
        ("Periods with a violation", *_both("violation_periods"), "{:,.0f}"),
        ("Reverse flow [h]", *_both("reverse_flow_hours"), "{:,.1f}"),
        ("Grid losses [kWh]", *_both("losses_kwh"), "{:,.1f}"),
        ("Curtailed [kWh]", *_both("curtailed_kwh"), "{:,.1f}"),
        ("Not served [kWh]", *_both("energy_not_served_kwh"), "{:,.1f}"),
        ("Periods without a power flow", *_both("not_converged_periods"), "{:,.0f}"),
    )
    table = make_table(str(kpis.get("scenario", "")), "with market", "without market", numbers=True)
    for label, key, key_baseline, form in rows:
        other_market = POOL_ONLY if "flex_strategy" in kpis else FLEX_ONLY
        if key.startswith(other_market) or (key.startswith(ZONES_ONLY) and key not in kpis):
            continue
        if key in ONLY_IF_ANY and not (kpis.get(key) or kpis.get(f"{key}_baseline")):
            continue
        cells = ["" if name is None else _form(kpis.get(name), form) for name in (key, key_baseline)]
        add_row(table, label, *cells)
    return table


def _both(name: str) -> tuple[str, str]:
    return name, f"{name}_baseline"


def _form(value: object, form: str) -> str:
    return "-" if value is None or value != value else form.format(value)  # NaN differs from itself


def _plain(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return "-" if value != value else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    text = str(value)
    return text if len(text) <= LONGEST_CELL else f"{text[:8]}..."


def _say(text: str) -> None:
    make_console(stderr=True).print(text, highlight=False, soft_wrap=True)


def _explain(error: Exception) -> int:
    """Tell a person what went wrong, on standard error; return the exit code."""
    from rich.markup import escape

    if isinstance(error, InputError):
        _print_faults(error)
        return 2
    if isinstance(error, GridAgoraError | OSError):
        _say(f"[red]Error:[/] {escape(str(error))}")
        return 1
    _say(f"[red]Defect:[/] {type(error).__name__}: {escape(str(error))}")
    _say("This should not happen. Run it again with --debug and report what it prints.")
    return 1


def _print_faults(error: InputError) -> None:
    count = len(error.faults)
    _say(f"[red]{count} fault{'s' if count != 1 else ''} in the input.[/] Nothing was written.")
    table = make_table("where", "found", "what is wrong, and what to do")
    table.leading = 1
    for fault in error.faults:
        add_row(table, f"{fault.source}\n{fault.place}", repr(fault.value), f"{fault.reason};\n{fault.fix}")
    make_console(stderr=True).print(table)
