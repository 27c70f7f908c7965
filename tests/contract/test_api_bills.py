"""Bills and payments over HTTP: issued once and never changed, paid once, every micro-unit told."""

import csv
import io
import json
import re
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import pytest
from api_market import BUSES, EPOCH, SCENARIO, MarketApi

from gridagora.adapters.sql.audit import replay, verify
from gridagora.billing.page import bill_page
from gridagora.service.api.v1 import invoices, payments

DAY = 86_400
IBAN = "DE89370400440532013000"
FOREIGN = "NL91ABNA0417164300"
PAY = {"name": "Market Ltd", "iban": IBAN, "execution": "2026-02-03"}
ISSUER = {"name": "Market Ltd", "street": "Way 1", "postcode": "1", "city": "Town", "iban": IBAN}
NAMES = ("ann", "bob", "cem")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A market with a month behind it: ann and cem bought of bob, who delivered half of what he sold."""
    api = MarketApi(
        f"sqlite:///{tmp_path_factory.mktemp('bills') / 'a.db'}",
        terms={"escrow": True, "fee_ppm": 10_007, "session_periods": 96, "dispute_s": 60 * DAY},
        scenario=SCENARIO | {"tariffs": {"retail": 0.3, "feed_in": 0.0833337, "standing_per_day": 0.0123457}},
    )
    api.admin = api.person("operator", "root")
    for name, bus in zip(NAMES, BUSES, strict=False):
        setattr(api, name, api.person(f"homes-{name}", name, participants=(name,)))
        api.join(api.admin, name, bus, money=10**9, organisation=f"homes-{name}")
    api.made("/api/v1/assets", api.admin, {"id": "pv", "participant": "bob", "type": "pv", "power_kw": 9.0})
    api.put("/api/v1/assets/pv/qualification", 1, token=api.admin, json={"decision": "approve"})
    bid = {"side": "buy", "period": 0, "price": "0.250003"}
    api.made("/api/v1/bids", api.ann, bid | {"participant": "ann", "quantity_wh": 701})
    api.made("/api/v1/bids", api.cem, bid | {"participant": "cem", "quantity_wh": 1301})
    api.made("/api/v1/bids", api.bob, bid | {"participant": "bob", "side": "sell", "quantity_wh": 2002})
    api.until(EPOCH - 300, status="published")
    api.hands.moment = EPOCH + 3600
    send(api, "bob", [(0, 0, 999), *((k, 0, 1500) for k in range(1, 4))])
    api.until(EPOCH + DAY + 3600, status="settled")
    api.until(EPOCH + 31 * DAY + 7200, status="settled", session=30)
    yield api
    api.close()


def send(api, name, rows):
    readings = [
        {"participant": name, "period": period, "import_wh": taken, "export_wh": given}
        for period, taken, given in rows
    ]
    return api.made("/api/v1/readings/bulk", api.admin, {"readings": readings})


def codes(answer):
    return [error["code"] for error in answer.json()["errors"]]


def account(world, name):
    return world.get(f"/api/v1/accounts/{name}", token=world.admin).json()


def invoice(world, name, month="2026-01"):
    return world.get(f"/api/v1/invoices/{name}:{month}", token=world.admin).json()


def issue(world, month="2026-01"):
    return world.post(f"/api/v1/invoices/months/{month}/issue", token=world.admin, json={"issuer": ISSUER})


def test_escrow_is_told_by_trade_and_sums_to_what_was_booked(world):
    told = {name: list(world.client(getattr(world, name)).money.escrow(name)) for name in NAMES}
    assert [len(told[name]) for name in NAMES] == [1, 2, 1]
    assert told["bob"] == sorted((*told["ann"], *told["cem"]), key=lambda one: one.trade)
    for one in told["bob"]:
        assert one.held_micro == one.paid_micro + one.fee_micro + one.returned_micro
        assert one.paid_micro + one.fee_micro == one.held_micro * 999 // 2002
        assert (one.held_at.timestamp(), one.released_at.timestamp()) == (EPOCH - 300, EPOCH + DAY + 3600)
    kept = {line["text"]: line["amount_micro"] for line in invoice(world, "bob")["lines"]}
    assert kept["Fee of the market"] == sum(one.fee_micro for one in told["bob"]) > 0
    assert kept["Paid and returned by escrow"] == sum(one.paid_micro for one in told["bob"])
    assert "Fee of the market" not in {line["text"] for line in invoice(world, "ann")["lines"]}
    rows = {}
    for name in NAMES:
        for one in world.client(getattr(world, name)).statement(name):
            if one.what in ("hold", "release"):
                assert sum(part.amount_micro for part in one.trades) == one.amount_micro
                rows[name, one.what, one.account.partition(":")[0]] = one
    assert len(rows["bob", "release", "wallet"].trades) == 2
    assert rows["ann", "release", "wallet"].amount_micro == told["ann"][0].returned_micro
    text = world.get("/api/v1/accounts/bob/statement", token=world.bob).text
    lines = [row for row in csv.DictReader(io.StringIO(text)) if row["what"] == "release"]
    assert [row["trade"] for row in lines if row["account"] == "wallet:bob"] == ["0-0", "0-1"]
    first = world.get("/api/v1/accounts/bob/escrow?limit=1", token=world.bob).json()
    then = world.get(f"/api/v1/accounts/bob/escrow?limit=1&cursor={first['next']}", token=world.bob).json()
    assert [page["items"][0]["trade"] for page in (first, then)] == ["0-0", "0-1"]


def test_the_bill_of_a_trade_tells_nothing_of_the_other_side_but_its_id(world, monkeypatch):
    monkeypatch.setattr(payments, "bill_pdf", lambda bill: json.dumps(bill_page(bill)).encode())
    body = {"name": "Robert Secret", "organisation": "homes-bob", "iban": FOREIGN}
    assert world.put("/api/v1/participants/bob", 2, token=world.admin, json=body).is_success
    mine = world.get("/api/v1/trades/0-0/pdf", token=world.ann)
    page = mine.json()
    assert page["issuer"]["name"] == "small"
    assert "from bob" in page["lines"][0]["text"]
    assert not any(word in mine.text for word in ("Secret", FOREIGN, FOREIGN[-4:]))
    assert (page["title"], page["code"]) == ("Invoice", "")
    assert "nothing is to be paid by this page" in page["terms"][0]
    assert world.get("/api/v1/trades/0-0/pdf?side=seller", token=world.ann).status_code == 404
    theirs = world.get("/api/v1/trades/0-0/pdf", token=world.bob).json()
    assert (theirs["title"], theirs["recipient"]["name"]) == ("Credit note", "Robert Secret")


def test_a_draft_asks_for_nothing_and_months_are_issued_in_their_order(world, monkeypatch):
    draft = invoice(world, "ann")
    assert (draft["number"], draft["status"], draft["payment"], draft["complete"]) == (
        "draft",
        "draft",
        "none",
        True,
    )
    assert (draft["issued"], draft["due"]) == (None, None)
    monkeypatch.setattr(invoices, "bill_pdf", lambda bill: json.dumps(bill_page(bill)).encode())
    page = world.get("/api/v1/invoices/ann:2026-01/pdf", token=world.ann).json()
    assert {name for name, _ in page["facts"]} == {"Number", "Participant", "Period"}
    assert codes(issue(world, "2026-02")) == ["month_state"]
    assert codes(issue(world, "2025-12")) == ["month_state"]
    path = "/api/v1/invoices/months/2026-01/issue"
    assert world.post(path, token=world.ann, json={}).status_code == 403
    wrong = world.post(path, token=world.admin, json={"issuer": {"iban": "DE00", "country": "Germany"}})
    assert [error["place"] for error in wrong.json()["errors"]] == ["issuer.country", "issuer.iban"]


def test_a_late_reading_is_on_no_bill_and_in_no_delivery_until_a_dispute_is_decided(world):
    def told():
        rows = world.get("/api/v1/deliveries?participant=bob", token=world.bob).json()["items"]
        kwh = [line["quantity_wh"] for line in invoice(world, "bob")["lines"] if "Difference" in line["text"]]
        return [row["metered_wh"] for row in rows[:4]], kwh

    before = told()
    send(world, "bob", [(0, 0, 2002)])
    assert told() == before
    body = {"id": "late", "session": 0, "participant": "bob", "reason": "the meter was read late"}
    world.made("/api/v1/disputes", world.bob, body)
    world.made("/api/v1/disputes/late/decision", world.admin, {"accepted": True, "settle_again": True})
    metered, kwh = told()
    assert metered == [-2002, *before[0][1:]]
    assert kwh == [before[1][0] + metered[0] - before[0][0]]


def test_an_issued_bill_never_changes_and_a_late_correction_stands_on_the_next(world):
    before = invoice(world, "bob")
    told = issue(world)
    assert told.status_code == 201, told.text
    assert told.json()["invoices"] == 3
    first = {name: invoice(world, name) for name in NAMES}
    assert [first[name]["number"] for name in NAMES] == [f"202601-{k:04d}" for k in (1, 2, 3)]
    assert first["bob"]["lines"] == before["lines"]
    assert all(one["status"] == "issued" and one["issued"] < one["due"] for one in first.values())
    assert codes(issue(world)) == ["month_state"]
    page = world.get("/api/v1/invoices/bob:2026-01/pdf", token=world.bob).content
    for name in NAMES:
        owed = account(world, name)
        assert owed["invoiced_micro"] == -first[name]["payable_micro"]
        assert owed["bill_micro"] == -first[name]["carried_micro"]
    send(world, "bob", [(0, 0, 2002), (1, 0, 1789)])
    body = {"id": "d", "session": 0, "participant": "bob", "reason": "the meter was read late"}
    world.made("/api/v1/disputes", world.bob, body)
    world.made("/api/v1/disputes/d/decision", world.admin, {"accepted": True, "settle_again": True})
    assert {name: invoice(world, name) for name in NAMES} == first
    assert world.get("/api/v1/invoices/bob:2026-01/pdf", token=world.bob).content == page
    later = invoice(world, "bob", "2026-02")
    lines = [line["text"] for line in later["lines"]]
    assert any(text.startswith("Correction of invoice 202601-0002, session 0") for text in lines)
    assert later["opening_micro"] == first["bob"]["carried_micro"]
    assert later["total_micro"] + later["opening_micro"] == -account(world, "bob")["bill_micro"]


def test_a_payment_file_pays_once_and_what_comes_back_is_in_the_wallet(world):
    path = "/api/v1/payments/2026-01"
    assert codes(world.post("/api/v1/payments/2026-02", token=world.admin, json=PAY)) == ["month_state"]
    body = {"name": "Robert", "organisation": "homes-bob"}
    assert world.put("/api/v1/participants/bob", 3, token=world.admin, json=body).is_success
    lacks = world.post(path, token=world.admin, json=PAY)
    assert [error["place"] for error in lacks.json()["errors"]] == ["bob, iban"]
    left = world.post(path, token=world.admin, json=PAY | {"leave_out_without_account": True})
    assert codes(left) == ["no_rows"]
    assert world.put(
        "/api/v1/participants/bob", 4, token=world.admin, json=body | {"iban": FOREIGN}
    ).is_success
    file = world.post(path, token=world.admin, json=PAY)
    assert file.status_code == 200, file.text
    due = -invoice(world, "bob")["payable_micro"]
    control = ElementTree.fromstring(file.content).find(".//{*}CtrlSum").text
    assert Decimal(control) * 1_000_000 == due > 0
    assert invoice(world, "bob")["payment"] == "in_transit"
    assert account(world, "bob")["invoiced_micro"] == 0
    again = world.post(path, token=world.admin, json=PAY | {"execution": "2026-02-09"})
    assert again.content == file.content
    assert codes(world.post(path, token=world.admin, json=PAY | {"message": "second"})) == ["no_rows"]
    client = world.client(world.admin)
    wallet = account(world, "bob")["wallet_micro"]
    assert [one.status for one in client.money.close(["202601-0002"], "paid")] == ["paid"]
    returned = client.money.close(["202601-0002"], "returned", reason="account closed")
    assert (returned[0].status, returned[0].reason) == ("returned", "account closed")
    assert account(world, "bob")["wallet_micro"] == wallet + due
    assert invoice(world, "bob")["payment"] == "returned"
    refused = world.post(
        "/api/v1/payments/outcomes",
        token=world.admin,
        json={"payments": ["202601-0002", "none"], "outcome": "paid"},
    )
    assert codes(refused) == ["payment_state", "payment_unknown"]


def test_a_bill_that_a_participant_pays_and_a_withdrawal_are_noted_too(world):
    client = world.client(world.admin)
    (bill,) = client.money.payments(participant="cem")
    assert (bill.kind, bill.status, bill.amount_micro) == (
        "collection",
        "open",
        invoice(world, "cem")["payable_micro"],
    )
    client.money.close([bill.id], "paid")
    assert account(world, "cem")["invoiced_micro"] == 0
    odd = world.post("/api/v1/accounts/bob/withdrawals", token=world.admin, json={"amount_micro": 10_001})
    assert codes(odd) == ["amount_out_of_bounds"]
    client.pay_out("bob", 20_000, "please")
    file = client.money.payment_file("withdrawals", payments.PayOut.model_validate(PAY))
    assert file == client.money.payment_file("withdrawals", payments.PayOut.model_validate(PAY))
    (one,) = client.money.payments(participant="bob", status="in_transit")
    assert (one.id, one.kind, one.month) == ("W1", "withdrawal", "")
    before = account(world, "bob")["wallet_micro"]
    client.money.close(["W1"], "returned")
    assert account(world, "bob")["wallet_micro"] == before + 20_000
    whats = [(one.what, one.reference) for one in client.statement("bob")]
    assert ("withdrawal", "W1: please") in whats
    assert ("payment", "W1") in whats
    assert ("invoice", "202601-0002") in whats
    assert ("pay-out", "202601-0002") in whats
    assert {one.participant for one in world.client(world.ann).money.payments()} <= {"ann"}


def test_nothing_is_lost_between_months(world):
    world.until(EPOCH + 59 * DAY + 7200, status="settled", session=58)
    first = {name: invoice(world, name) for name in NAMES}
    assert issue(world, "2026-02").status_code == 201
    for name in NAMES:
        second = invoice(world, name, "2026-02")
        assert second["opening_micro"] == first[name]["carried_micro"]
        assert account(world, name)["bill_micro"] == -second["carried_micro"]
        assert abs(second["carried_micro"]) <= 5_000
        asked = first[name]["payable_micro"] + second["payable_micro"]
        exact = first[name]["total_micro"] + second["total_micro"]
        assert asked + second["carried_micro"] == exact
    assert sum(invoice(world, name, "2026-02")["carried_micro"] != 0 for name in NAMES) > 0


def test_a_participant_checks_its_invoice_by_the_script_of_the_docs(world):
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "check-a-proof.md").read_text(encoding="utf-8")
    names = {}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], names)
    for name in NAMES:
        client = world.client(getattr(world, name))
        proofs = client.proofs(name, first="2026-01-01", last="2026-03-01").model_dump()
        roots = client.money.proof_roots(first="2026-01-01", last="2026-03-01")
        published = "\n".join(one.checkpoint for one in roots)
        wrong, sums = names["check"](proofs, published)
        assert wrong == []
        assert {record["record"]["kind"] for record in proofs["records"]} == {"posting", "trade", "invoice"}
        for month in ("2026-01", "2026-02"):
            total = invoice(world, name, month)["total_micro"]
            assert sums[month, "posting"] == sums[month, "invoice"] == total
        changed = next(one["record"] for one in proofs["records"] if one["record"]["kind"] == "invoice")
        changed["document"] = changed["document"].replace("Market Ltd", "Market AG")
        assert len(names["check"](proofs, published)[0]) == 1


def test_the_database_agrees_with_its_events(world):
    for check in (verify, replay):
        assert check(world.database, world.platform.name).findings == ()
