"""Commands about money of a finished run: bills and proofs."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from gridagora.console import make_console
from gridagora.errors import Fault, check_faults

if TYPE_CHECKING:
    from datetime import date

    from gridagora.studies.bills import RunBills

KINDS = ("month", "trade", "lines")
RunArgument = Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder written by `gridagora run`.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(
        short_help="Write the bills of a finished run.",
        epilog="Example: gridagora invoices runs/village -o bills --parties parties.csv --vat 19",
    )(invoices)
    app.command(
        short_help="Write the proofs of a participant's records.",
        epilog='Example: gridagora proof runs/village --participant "LV2.101 Load 1" -o proofs.json',
    )(proof)


def invoices(
    *,
    directory: RunArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="New or empty folder for the bills.")
    ] = None,
    participant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Bills of one participant alone.")
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            metavar="month|trade|lines",
            help="A bill each month, a bill each trade, or lines for the bill that somebody else writes.",
        ),
    ] = "month",
    parties: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Names, addresses and accounts (CSV, XLSX).")
    ] = None,
    vat: Annotated[
        float, typer.Option(metavar="PERCENT", help="Value added tax that the amounts include.")
    ] = 0.0,
    due_days: Annotated[int, typer.Option(metavar="DAYS", help="Days until a bill is due.")] = 14,
    issued: Annotated[
        str | None,
        typer.Option(
            "--date", metavar="DAY", help="Date of the bills; else the day after the last one billed."
        ),
    ] = None,
    proof: Annotated[
        bool, typer.Option("--proof/--no-proof", help="Name the digest of the records on monthly bills.")
    ] = True,
    template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a file of parties to fill in (CSV).")
    ] = None,
) -> None:
    """Write the bills of a finished run as PDF, CSV and XLSX, and the payment file of what is paid out."""
    if template is not None:
        _write_template(directory, template)
    if output is None:
        if template is None:
            raise typer.BadParameter("name a folder for the bills with -o DIR")
        return
    from gridagora.billing.bills import Terms
    from gridagora.studies.bills import Choice, Kind, run_bills

    day, faults = _choice_faults(kind=kind, vat=vat, due_days=due_days, issued=issued)
    check_faults(faults)
    (known,) = [name for name in get_args(Kind) if name == kind]
    choice = Choice(
        kind=known,
        participant=participant,
        parties=parties,
        terms=Terms(vat_bp=round(vat * 100), due_days=due_days),
        issued=day,
        proof=proof,
    )
    with _bar("reading the run") as progress:
        found = run_bills(directory, choice, output=output, progress=progress)
        found.write(output, progress=progress)
    _tell_bills(found, output, asked=parties is not None)


def _choice_faults(
    *, kind: str, vat: float, due_days: int, issued: str | None
) -> tuple["date | None", list[Fault]]:
    """Return the date of the bills and every fault of the options."""
    from datetime import date

    faults, day = [], None
    if kind not in KINDS:
        faults.append(_fault("--kind", kind, "is no kind of bill", fix=f"use one of {', '.join(KINDS)}"))
    if not 0 <= vat <= 100 or abs(vat * 100 - round(vat * 100)) > 1e-9:
        fix = "write percent from 0 to 100 with at most two digits"
        faults.append(_fault("--vat", vat, "is no tax rate", fix=fix))
    if not 0 <= due_days <= 365:
        faults.append(_fault("--due-days", due_days, "is not within a year", fix="write 0 to 365"))
    if issued is not None:
        try:
            day = date.fromisoformat(issued)
        except ValueError:
            faults.append(_fault("--date", issued, "is no date", fix="write it as 2016-07-01"))
    return day, faults


def _tell_bills(found: "RunBills", output: Path, *, asked: bool) -> None:
    from gridagora.units import money_text

    console = make_console()
    currency = found.bills[0].terms.currency if found.bills else ""
    noun = "bill" if len(found.bills) == 1 else "bills"
    console.print(
        f"{len(found.bills)} {noun}: to pay {money_text(found.to_pay, digits=2)} {currency}, "
        f"paid out {money_text(found.paid_out, digits=2)} {currency}",
        highlight=False,
    )
    if found.payments is None and found.kind == "month" and found.paid_out:
        reason = "it is in euro alone" if asked else "name the accounts with --parties FILE"
        console.print(f"No payment file: {reason}.", highlight=False)
    console.print(f"Written: {output}", highlight=False, soft_wrap=True)


def _write_template(directory: Path, template: Path) -> None:
    from gridagora.adapters.parties_file import parties_template
    from gridagora.adapters.run_folder import read_run_folder

    check_faults(_file_faults("--template", template, ending=".csv", new=True))
    text = parties_template(read_run_folder(directory).participants)
    template.write_text(text, encoding="utf-8", newline="\n")
    make_console().print(f"Wrote {template}. Fill it in.", highlight=False, soft_wrap=True)


def proof(
    *,
    directory: RunArgument,
    participant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose records are proven; none: the roots alone.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Write roots and proofs (JSON).")
    ],
    roots: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the roots of all days, to be published.")
    ] = None,
) -> None:
    """Write a Merkle root for each day of a run, and proofs that a participant's records are under them."""
    faults = _file_faults("--output", output, ending=".json")
    faults += [] if roots is None else _file_faults("--roots", roots, ending=".txt")
    from gridagora.adapters.run_folder import read_run_folder
    from gridagora.studies.bills import participant_faults
    from gridagora.studies.proofs import run_proofs

    run = read_run_folder(directory)
    faults += [] if participant is None else participant_faults(participant, run.participants)
    check_faults(faults)
    with _bar("reading the run") as progress:
        found = run_proofs(run, participant=participant, progress=progress)
    output.write_text(json.dumps(found.to_json(), indent=0) + "\n", encoding="utf-8")
    if roots is not None:
        roots.write_text(found.checkpoints(), encoding="utf-8", newline="\n")
    console = make_console()
    told = f"{len(found.records)} records of {participant}, " if participant is not None else ""
    console.print(f"{told}{len(found.roots)} days", highlight=False, markup=False)
    console.print(f"Written: {output}" + (f", {roots}" if roots else ""), highlight=False, soft_wrap=True)


def _file_faults(place: str, path: Path, *, ending: str, new: bool = False) -> list[Fault]:
    if path.suffix.lower() != ending:
        reason, fix = f"does not end in {ending}", f"name a file that ends in {ending}"
    elif path.is_dir():
        reason, fix = "is a folder", "name a file in it"
    elif not path.absolute().parent.is_dir():
        reason, fix = "is in a folder that is not there", "make the folder, or name another"
    elif new and path.exists():
        reason, fix = "is there already and is not overwritten", "name a new file"
    else:
        return []
    return [_fault(place, str(path), reason, fix=fix)]


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="command line", place=place, value=value, reason=reason, fix=fix)


@contextmanager
def _bar(first: str) -> Iterator[Callable[[int, int, str], None]]:
    """Yield a progress callback; the bar is drawn on a terminal alone."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = make_console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}% left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    task = bar.add_task(first, total=None)
    with bar:
        yield lambda done, total, label: bar.update(task, completed=done, total=total, description=label)
