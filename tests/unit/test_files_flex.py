"""Files of flexibility bids: what is read, every fault with its row, and what an auction of one comes to."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gridagora import Bids, capacity_limit_auction, payments
from gridagora.adapters.flex_files import read_flex_bids, write_bids_template
from gridagora.errors import Fault, InputError
from gridagora.studies.auction import RULES, auction_file

GOOD = """\
# the DSO's need of one evening
participant,side,period,step,quantity_kw,price
DSO,buy,17,0,20,0.9
DSO,buy,17,1,15,0.35

anna,sell,17,0,9,0
anna,sell,17,1,4,0.15
ben,sell,17,0,30,0.2
"""


def write(folder: Path, text: str, name: str = "bids.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def faults_of(path: Path, **options: object) -> dict[str, Fault]:
    with pytest.raises(InputError) as caught:
        auction_file(path, **options)
    assert {fault.source for fault in caught.value.faults if fault.place.startswith("row")} <= {str(path)}
    return {fault.place: fault for fault in caught.value.faults}


def test_bids_of_a_file_are_those_that_were_written(tmp_path) -> None:
    table, faults = read_flex_bids(write(tmp_path, GOOD))
    assert faults == []
    assert table.rows.tolist() == [3, 4, 6, 7, 8]
    bids = table.bids
    assert bids.participant.tolist() == ["DSO", "DSO", "anna", "anna", "ben"]
    assert bids.side.tolist() == [1, 1, -1, -1, -1]
    assert bids.quantity.tolist() == [20.0, 15.0, 9.0, 4.0, 30.0]
    assert not bids.is_integer
    assert (table.direction, table.has_groups, table.starts) == ("cap", False, None)


def test_auction_of_a_file_is_that_of_its_bids(tmp_path) -> None:
    path = write(tmp_path, GOOD)
    found = auction_file(path)
    table, _ = read_flex_bids(path)
    result = capacity_limit_auction(table.bids)
    assert found.bids["accepted_kw"].tolist() == result.accepted.tolist()
    assert list(found.payments.columns) == list(RULES)
    assert found.left_out == ()
    for rule in RULES:
        direct = payments(result, rule=rule)
        assert found.payments[rule].to_dict() == direct.amounts.to_dict()
        told = found.properties[rule]
        assert told["budget_balance"] == direct.budget_balance
        assert told["strategy_proof"] == direct.properties["strategy_proof"]
        assert told["largest_excess"] == direct.excess.maximum


@pytest.mark.parametrize("ending", ["xlsx", "parquet"])
def test_other_formats_give_the_same_bids(tmp_path, ending) -> None:
    table, _ = read_flex_bids(write(tmp_path, GOOD))
    frame = pd.read_csv(tmp_path / "bids.csv", comment="#")
    path = tmp_path / f"bids.{ending}"
    frame.to_excel(path, index=False) if ending == "xlsx" else frame.to_parquet(path)
    other, faults = read_flex_bids(path)
    assert faults == []
    pd.testing.assert_frame_equal(other.bids.to_frame(), table.bids.to_frame(), check_dtype=False)


def test_times_become_periods_in_their_order(tmp_path) -> None:
    text = (
        "participant;side;start;quantity_kw;price;direction\n"
        "DSO;buy;2016-01-04T18:00Z;5;0.5;floor\n"
        "ann;sell;2016-01-04T19:00+01:00;5;0.1;\n"
        "DSO;buy;2016-01-04T17:00Z;5;0.5;floor\n"
    )
    table, faults = read_flex_bids(write(tmp_path, text))
    assert faults == []
    assert table.bids.period.tolist() == [1, 1, 0]
    assert [str(start) for start in table.starts] == ["2016-01-04T17:00:00", "2016-01-04T18:00:00"]
    assert set(table.direction.tolist()) == {"floor"}
    found = auction_file(tmp_path / "bids.csv")
    assert found.prices["start"].tolist() == list(pd.to_datetime(table.starts))
    assert found.prices["quantity_kw"].tolist() == [0.0, 5.0]
    late = faults_of(tmp_path / "bids.csv", now="2016-01-04T17:30Z")
    assert late["row 4, column start"].value == "2016-01-04T17:00:00Z"
    assert "tomorrow" in str(faults_of(tmp_path / "bids.csv", now="tomorrow")["--now"].value)


def test_every_fault_of_a_file_is_told_at_once_with_its_row(tmp_path) -> None:
    text = """\
participant,side,period,step,quantity_kw,price,direction
DSO,buy,17,0,20,0.9,cap
DSO,purchase,17,1,15,0.35,cap
anna,sell,17,0,-9,0,cap
ben,sell,17,0,5,nan,cap
eve,sell,17.5,0,5,"0,3",cap
fay,sell,17,x,5,0.3,cap
,sell,17,0,5,0.3,cap
gil,sell,17,0,5,0.3,lid
hal,sell,17,0,5,,cap
ida,sell,17,0,5,0.4,cap
ida,sell,17,0,5,0.4,cap
jon,sell,17,0,5,0.4,cap
jon,sell,17,2,5,0.4,cap
kim,sell,17,0,5,0.4,cap
kim,sell,17,1,5,0.3,cap
leo,sell,16,0,5,0.3,cap
mia,sell,17,0,25,0.3,cap
"""
    people = ["anna", "ben", "eve", "fay", "gil", "hal", "ida", "jon", "kim", "leo", "mia"]
    write(tmp_path, "participant,capacity_kw\n" + "".join(f"{name},20\n" for name in people), "kw.csv")
    found = faults_of(write(tmp_path, text), capacity=tmp_path / "kw.csv", now="17", rules=["vgc"])
    assert set(found) == {
        "--rule",
        "row 3, column side",
        "row 4, column quantity_kw",
        "row 5, column price",
        "row 6, column period",
        "row 6, column price",
        "row 7, column step",
        "row 8, column participant",
        "row 9, column direction",
        "row 10, column price",
        "row 12, column step",
        "row 14, column step",
        "row 16, column price",
        "row 17, column period",
        "row 18, column quantity_kw",
    }
    assert all(fault.reason and fault.fix for fault in found.values())
    assert found["--rule"].fix == "did you mean vcg?"
    assert found["row 6, column price"].fix == "write 0.3"
    assert "above the connection capacity of mia, 20 kW" in found["row 18, column quantity_kw"].reason
    assert "in the past" in found["row 17, column period"].reason


@pytest.mark.parametrize(
    ("header", "place", "words"),
    [
        ("participant,side,period,quantity_kw,cost", "column price", "is missing"),
        ("participant,side,period,quantity_kw,price,prize", "header", "no column of bids"),
        ("participant,side,quantity_kw,price", "columns period, start", "both missing"),
        ("participant,side,quantity_kw,price,period,start", "columns period, start", "both there"),
    ],
)
def test_faulty_headers(tmp_path, header, place, words) -> None:
    row = ",".join("1" for _ in header.split(","))
    found = faults_of(write(tmp_path, f"{header}\n{row}\n"))
    assert words in found[place].reason


def test_two_directions_do_not_trade(tmp_path) -> None:
    text = "participant,side,period,quantity_kw,price,direction\nd,buy,1,5,1,cap\na,sell,1,5,0,floor\n"
    assert "different directions" in faults_of(write(tmp_path, text))["column direction"].reason


def test_capacities_may_come_from_a_participants_file(tmp_path) -> None:
    path = write(tmp_path, GOOD)
    header = "participant,bus,import_limit_kw,export_limit_kw\n"
    people = write(tmp_path, header + "anna,b,13,5\nben,b,,\n", "p.csv")
    (fault,) = faults_of(path, capacity=people).values()
    assert (fault.place, fault.fix) == ("row 8, column participant", f"add a row for it to {people}")
    write(tmp_path, header + "anna,b,13,5\nben,b,30,\n", "p.csv")
    assert auction_file(path, capacity=people).bids["accepted_kw"].sum() > 0
    write(tmp_path, "participant,capacity_kw\nanna,13\nanna,14\nben,x\n", "p.csv")
    with pytest.raises(InputError) as caught:
        auction_file(path, capacity=people)
    assert {fault.place for fault in caught.value.faults} == {
        "row 3, column participant",
        "row 4, column capacity_kw",
    }


def test_ordered_steps_need_numbers_and_have_no_uniform_price(tmp_path) -> None:
    path = write(tmp_path, GOOD)
    found = auction_file(path, ordered=True)
    assert found.left_out == ("uniform",)
    assert "uniform" not in found.payments.columns
    with pytest.raises(InputError, match="uniform"):
        auction_file(path, ordered=True, rules=["uniform"])


def test_groups_are_accepted_in_whole_or_not_at_all(tmp_path) -> None:
    text = (
        "participant,side,period,quantity_kw,price,group\n"
        "d,buy,1,8,1,\nd,buy,2,8,1,\n"
        "a,sell,1,8,0.1,both\na,sell,2,8,0.1,both\nb,sell,1,4,0,\n"
    )
    accepted = auction_file(write(tmp_path, text), rules=["pay_as_bid"]).bids["accepted_kw"].tolist()
    assert accepted in ([8.0, 8.0, 8.0, 8.0, 0.0], [4.0, 0.0, 0.0, 0.0, 4.0])


def test_many_bidders_are_cleared_like_the_bids_themselves(tmp_path) -> None:
    rng = np.random.default_rng(4)
    bids = Bids(
        side=np.r_[np.ones(8), -np.ones(240)],
        price=np.r_[rng.random(8), rng.random(240)].round(3),
        quantity=np.r_[np.full(8, 9.0), rng.random(240).round(3)],
        participant=np.r_[np.full(8, "DSO"), np.repeat([f"s{i}" for i in range(30)], 8)],
        period=np.r_[np.arange(8), np.tile(np.arange(8), 30)],
    )
    frame = bids.to_frame().rename(columns={"quantity": "quantity_kw"})
    frame.to_csv(tmp_path / "many.csv", index=False)
    found = auction_file(tmp_path / "many.csv", rules=["uniform", "vcg"])
    np.testing.assert_allclose(found.bids["accepted_kw"], capacity_limit_auction(bids).accepted, atol=1e-12)
    assert found.properties.loc["largest_excess"].isna().all()


def test_template_of_bids_is_cleared_as_it_is(tmp_path) -> None:
    for name in ("bids.csv", "bids.xlsx"):
        assert write_bids_template(tmp_path / name) == []
        assert len(auction_file(tmp_path / name, rules=["uniform"]).bids) == 10
        (fault,) = write_bids_template(tmp_path / name)
        assert "not overwritten" in fault.reason
    (fault,) = write_bids_template(tmp_path / "bids.ods")
    assert ".csv or .xlsx" in fault.fix


def test_results_are_written_by_the_ending_of_the_file(tmp_path) -> None:
    tables = auction_file(write(tmp_path, GOOD), output=tmp_path / "result.xlsx")
    assert tables.write(tmp_path / "result.xlsx") == (tmp_path / "result.xlsx",)
    sheets = pd.read_excel(tmp_path / "result.xlsx", sheet_name=None)
    assert list(sheets) == ["bids", "prices", "payments", "properties"]
    assert sheets["payments"]["participant"].tolist() == ["DSO", "anna", "ben"]
    written = tables.write(tmp_path / "result.csv")
    names = ["result.csv", "result-prices.csv", "result-payments.csv", "result-properties.csv"]
    assert [path.name for path in written] == names
    assert pd.read_csv(written[0])["accepted_kw"].tolist() == tables.bids["accepted_kw"].tolist()


def test_results_do_not_replace_what_was_read(tmp_path) -> None:
    path = write(tmp_path, GOOD)
    for output, words in (
        (path, "was read"),
        (tmp_path / "a.txt", ".txt"),
        (tmp_path / "x" / "a.csv", "not there"),
    ):
        (fault,) = faults_of(path, output=output).values()
        assert words in fault.reason
    assert path.read_text() == GOOD
