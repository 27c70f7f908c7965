"""Bills and proofs from the command line: a run over the end of a month, to the last micro-unit."""

import csv
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

import gridagora as ga
from gridagora.adapters.run_folder import read_run_folder
from gridagora.billing import Bill
from gridagora.billing.page import bill_page
from gridagora.cli import main
from gridagora.errors import InputError, InvariantError
from gridagora.studies.bill_sums import month_sums, trade_sides
from gridagora.studies.bills import Choice, run_bills
from gridagora.studies.proofs import run_proofs

ROOT = Path(__file__).resolve().parents[2]
TWO_MONTHS = {
    "period.start": "2016-05-31T00:00:00",
    "period.length": "2d",
    "resolution": "1h",
    "agents.ems": "rule_based",
}
ANN = "LV2.101 Load 1"
IBANS = ("DE89370400440532013000", "NL91ABNA0417164300", "BE68539007547034")


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ga.run("village", overrides=TWO_MONTHS).write(tmp_path_factory.mktemp("runs") / "village")


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = ga.run("cigre-lv-flexibility", overrides={"period.length": "1d"})
    return run.write(tmp_path_factory.mktemp("runs") / "streets")


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")


def gridagora(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    """Run the program; return its exit code and all that it said."""
    try:
        main([str(word) for word in words])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, re.sub(r"\s+", " ", said.out + said.err)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def booked(folder: Path) -> dict[str, int]:
    """Sum the postings of each participant, micro-units, + received."""
    journal = pd.read_parquet(folder / "journal.parquet").astype({"account": str})
    sums = journal.groupby("account")["amount_micro"].sum()
    names = {
        name: name.removeprefix("participant:") for name in sums.index if name.startswith("participant:")
    }
    return {names[name]: int(sums[name]) for name in names}


def parties_of(folder: Path, path: Path, **changes: dict[str, str]) -> Path:
    names = ["operator", *read_run_folder(folder).participants]
    cells = {
        name: {"participant": name, "name": name, "iban": IBANS[k % 3], "city": "Dorf", "country": "DE"}
        for k, name in enumerate(names)
    }
    for name, change in changes.items():
        cells[name] |= change
    pd.DataFrame(list(cells.values())).to_csv(path, index=False)
    return path


def test_bills_of_two_months_sum_to_the_journal(
    village: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parties = parties_of(village, tmp_path / "parties.csv")
    code, said = gridagora(
        capsys, "invoices", village, "-o", tmp_path / "bills", "--parties", parties, "--vat", "19"
    )
    assert (code, "198 bills: to pay" in said) == (0, True)
    statements, lines = rows(tmp_path / "bills" / "statements.csv"), rows(tmp_path / "bills" / "lines.csv")
    assert {row["first_day"] for row in statements} == {"2016-05-31", "2016-06-01"}
    for who, amount in booked(village).items():
        own = [row for row in statements if row["participant"] == who]
        assert sum(Decimal(row["total"]) for row in own) * 1_000_000 == -amount
        paid = sum(Decimal(row["payable"]) for row in own) + Decimal(own[-1]["carried_out"])
        assert paid * 1_000_000 == -amount
        assert own[1]["carried_in"] == own[0]["carried_out"]
        in_lines = sum(Decimal(row["amount"]) for row in lines if row["participant"] == who)
        assert in_lines * 1_000_000 == -amount
    pages = sorted((tmp_path / "bills").glob("*.pdf"))
    assert len(pages) == len(statements) == 198
    assert all(page.read_bytes().startswith(b"%PDF-") for page in pages)
    (payments,) = (tmp_path / "bills").glob("*.xml")
    out = sum(-Decimal(row["payable"]) for row in statements if Decimal(row["payable"]) < 0)
    assert f"<CtrlSum>{out}</CtrlSum>" in payments.read_text(encoding="utf-8")
    assert out > 0


def test_each_month_is_what_the_journal_booked_in_it(village: Path) -> None:
    """Sessions of this run end at midnight, so that months agree one by one."""
    run = read_run_folder(village)
    journal = run.journal.astype({"account": str})
    month = run.day.reindex(journal["period"]).str[:7].to_numpy()
    sums = journal.groupby(["account", month])["amount_micro"].sum()
    for who, first, _, found in month_sums(run):
        assert found.received == sums[f"participant:{who}", f"{first:%Y-%m}"]


def test_energy_of_the_bills_is_that_of_the_trades(village: Path) -> None:
    run = read_run_folder(village)
    found = month_sums(run)
    local = run.trades[(run.trades["buyer"] != "upstream") & (run.trades["seller"] != "upstream")]
    assert sum(sums.bought_wh for *_, sums in found) == local["quantity_wh"].sum()
    assert sum(sums.sold_wh for *_, sums in found) == local["quantity_wh"].sum()
    assert sum(sums.bought for *_, sums in found) == -local["amount_micro"].sum()


def check_trades(folder: Path) -> tuple[Bill, ...]:
    """Return the bills of all trades; their sums are the journal's trades."""
    run = read_run_folder(folder)
    bills = run_bills(folder, Choice(kind="trade")).bills
    journal = run.journal.astype({"account": str, "memo": str})
    trades = journal[journal["memo"] == "trade"].groupby("account")["amount_micro"].sum()
    money: Counter[str] = Counter()
    for one in bills:
        money[one.issuer.participant] += one.total
        money[one.recipient.participant] -= one.total
    assert [money[who] for who in run.participants] == [
        trades.get(f"participant:{who}", 0) for who in run.participants
    ]
    return bills


@pytest.mark.parametrize(
    "changes",
    [
        {"market.islanded": True},
        {"market.mechanism": "pay_as_bid"},
        {"market.mechanism": "vickrey", "market.session": "5h"},
        {"tariffs.retail": -0.05, "tariffs.feed_in": -0.1, "market.session": "6h"},
    ],
    ids=["islanded", "pay as bid", "sessions over midnight", "prices below zero"],
)
def test_bills_of_other_markets_sum_to_the_journal_too(changes: dict[str, object], tmp_path: Path) -> None:
    folder = ga.run("village", overrides=TWO_MONTHS | changes).write(tmp_path / "run")
    totals: Counter[str] = Counter()
    for one in run_bills(folder, Choice(proof=False)).bills:
        totals[one.recipient.participant] -= one.total
    assert dict(totals) == booked(folder)
    bills = check_trades(folder)
    assert {one.issuer.participant for one in bills} <= {"operator"}
    assert all((one.number[-1] == "B") == (one.lines[0].text.startswith("Energy from")) for one in bills)


def test_bills_of_trades_sum_to_the_journals_trades(village: Path, tmp_path: Path) -> None:
    bills = check_trades(village)
    other = {name for name in read_run_folder(village).participants if name != ANN}
    parties = parties_of(village, tmp_path / "parties.csv", **{name: {"name": "Secret"} for name in other})
    named = run_bills(village, Choice(kind="trade", participant=ANN, parties=parties)).bills
    assert not any("Secret" in json.dumps(bill_page(one)) for one in named)
    own = run_bills(village, Choice(kind="trade", participant=ANN)).bills
    told = {one.number: one for one in bills}
    assert own
    assert all(told[one.number] == one for one in own)
    few = run_bills(village, Choice(kind="trade", participant=ANN))
    folder = type(few)(kind=few.kind, bills=few.bills[:3], payments=None).write(tmp_path / "trades")
    assert len(list(folder.glob("*.pdf"))) == 3


def test_where_prices_differ_the_operator_stands_between(village: Path, tmp_path: Path) -> None:
    folder = tmp_path / "spread"
    folder.mkdir()
    for file in village.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    trades = pd.read_parquet(folder / "trades.parquet")
    trades["seller_price_micro_per_kwh"] -= 10_000
    trades.to_parquet(folder / "trades.parquet")
    bills = run_bills(folder, Choice(kind="trade", participant=ANN)).bills
    assert {one.issuer.participant for one in bills} == {"operator"}
    assert all(one.recipient.participant == ANN for one in bills)
    with pytest.raises(InvariantError, match="differ from the journal"):
        run_bills(folder, Choice(proof=False))  # the money of the trades is no more what was booked


def test_the_buyer_of_flexibility_gets_a_bill_too(streets: Path) -> None:
    found = run_bills(streets, Choice(proof=False))
    amounts = booked(streets)
    assert "DSO" in amounts
    totals = {one.recipient.participant: one.total for one in found.bills}
    assert totals == {who: -amount for who, amount in amounts.items() if amount}
    (dso,) = [one for one in found.bills if one.recipient.participant == "DSO"]
    assert {line.text.partition(",")[0] for line in dso.lines} == {"Flexibility"}


def test_lines_alone_have_no_pages(village: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = gridagora(capsys, "invoices", village, "-o", tmp_path / "x", "--kind", "lines", "--no-proof")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [
        "bills.xlsx",
        "lines.csv",
        "statements.csv",
    ]


def test_one_participants_bills_are_those_among_all(village: Path) -> None:
    every = run_bills(village, Choice()).bills
    own = run_bills(village, Choice(participant=ANN)).bills
    assert own == tuple(one for one in every if one.recipient.participant == ANN)


def test_names_never_become_formulas(village: Path, tmp_path: Path) -> None:
    names = {ANN: {"name": "=1+1"}, "LV2.101 Load 2": {"name": '@cmd|"/c calc"!A0'}}
    parties = parties_of(village, tmp_path / "parties.csv", **names)
    folder = run_bills(village, Choice(kind="lines", parties=parties, proof=False)).write(tmp_path / "x")
    told = {row["name"] for row in rows(folder / "lines.csv")}
    assert {"'=1+1", '\'@cmd|"/c calc"!A0'} <= told
    book = openpyxl.load_workbook(folder / "bills.xlsx")
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n", "inlineStr"}
    assert any(cell.value == "=1+1" for cell in cells)
    amounts = [cell.value for cell in book["lines"]["J"][1:]]
    assert np.isclose(sum(amounts), -sum(booked(village).values()) / 1e6)


def test_all_faults_are_told_at_once(
    village: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parties = parties_of(
        village,
        tmp_path / "parties.csv",
        operator={"iban": ""},
        **{ANN: {"iban": "DE00", "country": "Germany"}, "LV2.101 Load 3": {"iban": ""}},
    )
    with parties.open("a", encoding="utf-8") as file:
        file.write(f"{ANN},twice,,,\nLV2.101 Load 1x,typo,,,\n,nobody,,,\n")
    full = tmp_path / "full"
    full.mkdir()
    (full / "keep.txt").write_text("mine")
    words = ["-o", full, "--parties", parties, "--no-proof"]
    code, said = gridagora(capsys, "invoices", village, *words)
    assert code == 2
    for told in (
        "holds something",
        "is not two letters",
        "is no country code",
        "stands in the file twice",
        "is no participant of the run",
        "is missing, and the party has money to pay out",
        "name a participant of the run, or operator",
    ):
        assert told in said, told
    assert (full / "keep.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--kind", "daily"), "is no kind of bill"),
        (("--vat", "101"), "is no tax rate"),
        (("--vat", "19.999"), "is no tax rate"),
        (("--due-days", "-1"), "is not within a year"),
        (("--date", "1.7.2016"), "is no date"),
    ],
)
def test_options_are_checked(
    village: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    code, said = gridagora(capsys, "invoices", village, "-o", tmp_path / "x", *words)
    assert (code, told in said) == (2, True)
    assert not (tmp_path / "x").exists()


def test_a_template_names_everybody_and_can_be_used_at_once(
    village: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "parties.csv"
    assert gridagora(capsys, "invoices", village, "--template", file)[0] == 0
    assert gridagora(capsys, "invoices", village, "--template", file)[0] == 2  # not written over
    found = run_bills(village, Choice(parties=file, kind="lines", proof=False))
    assert {one.recipient.name for one in found.bills} == set(read_run_folder(village).participants)


def test_nobody_has_the_name_of_the_operator(village: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for file in village.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    for name, column, prefix in (("journal", "account", "participant:"), ("invoices", "participant", "")):
        table = pd.read_parquet(folder / f"{name}.parquet")
        table[column] = table[column].cat.rename_categories({f"{prefix}{ANN}": f"{prefix}operator"})
        table.to_parquet(folder / f"{name}.parquet")
    trades = pd.read_parquet(folder / "trades.parquet")
    for side in ("buyer", "seller"):
        trades[side] = trades[side].cat.rename_categories({ANN: "operator"})
    trades.to_parquet(folder / "trades.parquet")
    with pytest.raises(InputError, match="is the name of who writes the bills"):
        run_bills(folder, Choice(proof=False))


def test_what_is_no_run_is_told(tmp_path: Path, village: Path) -> None:
    with pytest.raises(InputError, match="is no folder"):
        read_run_folder(tmp_path / "nothing")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "trades.parquet").write_bytes(b"no")
    (broken / "kpis.json").write_text("{}")
    with pytest.raises(InputError) as caught:
        read_run_folder(broken)
    assert {fault.place for fault in caught.value.faults} == {
        "trades.parquet",
        "invoices.parquet",
        "journal.parquet",
        "prices.parquet",
        "kpis.json",
        "scenario.yaml",
    }


def script() -> str:
    text = (ROOT / "docs/how-to/check-a-proof.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0]


@pytest.fixture(scope="module")
def proven(village: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with proofs, roots and the script of the page."""
    folder = tmp_path_factory.mktemp("proof")
    with pytest.raises(SystemExit, match="0"):
        main(
            [
                *("proof", str(village), "--participant", ANN),
                *("-o", str(folder / "proofs.json"), "--roots", str(folder / "roots.txt")),
            ]
        )
    (folder / "check_proof.py").write_text(script(), encoding="utf-8")
    return folder


def check(folder: Path, proofs: str = "proofs.json") -> subprocess.CompletedProcess[str]:
    """Run the script of the page as a participant would: a bare Python without site packages."""
    words = [sys.executable, "-I", "-S", "check_proof.py", proofs, "roots.txt"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def test_the_script_of_the_page_is_short_and_proves_every_record(proven: Path, village: Path) -> None:
    assert len(script().splitlines()) <= 50
    done = check(proven)
    proofs = json.loads((proven / "proofs.json").read_text(encoding="utf-8"))
    assert done.returncode == 0, done.stderr
    assert f"{len(proofs['records'])} records proven, 0 wrong" in done.stdout
    amounts = [Decimal(text) for text in re.findall(r": (-?[0-9.]+) to pay", done.stdout)]
    bills = run_bills(village, Choice(participant=ANN, proof=False)).bills
    assert [amount * 1_000_000 for amount in amounts] == [one.total for one in bills]


def forgeries(proofs: dict) -> Iterator[dict]:
    """Yield proofs with one thing changed each."""
    for number in (0, len(proofs["records"]) // 2, -1):
        for change in (
            lambda one: one["record"].update(amount_micro=one["record"].get("amount_micro", 0) + 1),
            lambda one: one["record"].update(kind="other"),
            lambda one: one.update(index=one["index"] + 1),
            lambda one: one.update(index=-1),
            lambda one: one.update(salt="00" * 32),
            lambda one: one.update(path=one["path"][1:]),
            lambda one: one.update(path=[*one["path"], "00" * 32]),
            lambda one: one.update(path=["00" * 32, *one["path"][1:]]),
            lambda one: one.update(day="2016-07-01"),
        ):
            copy = json.loads(json.dumps(proofs))
            change(copy["records"][number])
            yield copy


def test_the_script_of_the_page_refuses_what_was_changed(proven: Path) -> None:
    names: dict = {}
    exec(script(), names)
    proofs = json.loads((proven / "proofs.json").read_text(encoding="utf-8"))
    published = (proven / "roots.txt").read_text(encoding="utf-8")
    few = proofs | {"records": proofs["records"][:20] + proofs["records"][-20:]}
    assert names["check"](few, published)[0] == []
    count = 0
    for forged in forgeries(few):
        count += 1
        assert len(names["check"](forged, published)[0]) == 1
    assert count == 27
    other = published.replace(published.split("\n")[2], "A" * 43 + "=")
    assert names["check"](few, other)[0]
    changed = few | {"records": [few["records"][0] | {"salt": "11" * 32}]}
    (proven / "forged.json").write_text(json.dumps(changed), encoding="utf-8")
    assert check(proven, "forged.json").returncode == 1


def test_proofs_hold_every_posting_trade_and_invoice_of_the_participant(village: Path, proven: Path) -> None:
    records = [entry["record"] for entry in json.loads((proven / "proofs.json").read_text())["records"]]
    run = read_run_folder(village)
    kinds = pd.Series([record["kind"] for record in records]).value_counts()
    journal = run.journal.astype({"account": str})
    assert kinds["posting"] == (journal["account"] == f"participant:{ANN}").sum()
    assert kinds["trade"] == (trade_sides(run)["participant"] == ANN).sum()
    assert kinds["invoice"] == 2
    others = [record for record in records if record.get("participant", ANN) != ANN]
    assert others == []


def test_bills_name_the_digest_of_the_days_that_they_cover(village: Path) -> None:
    proofs = run_proofs(read_run_folder(village))
    bills = run_bills(village, Choice(participant=ANN)).bills
    assert [one.proof for one in bills] == [
        proofs.digest("2016-05-31", "2016-05-31"),
        proofs.digest("2016-06-01", "2016-06-01"),
    ]


def test_every_record_of_a_run_is_in_a_tree_and_a_rerun_has_the_same_roots(village: Path) -> None:
    run = read_run_folder(village)
    found = run_proofs(run)
    sides = int((run.trades["buyer"] != "upstream").sum() + (run.trades["seller"] != "upstream").sum())
    assert sum(root.size for root in found.roots) == len(run.journal) + sides + len(run.invoices)
    assert run_proofs(read_run_folder(village)) == found


def test_options_of_a_proof_are_checked(
    village: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--participant", "nobody", "-o", tmp_path / "a.txt", "--roots", tmp_path / "no" / "b.txt"]
    code, said = gridagora(capsys, "proof", village, *words)
    assert code == 2
    for told in ("does not end in .json", "is in a folder that is not there", "is no participant of the run"):
        assert told in said
    assert list(tmp_path.iterdir()) == []
