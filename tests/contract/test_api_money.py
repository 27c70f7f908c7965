"""Money and meters through the API: statements, bills, pay-outs, proofs, sessions called off."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from api_market import BUSES, EPOCH, SCENARIO, MarketApi

BID = {"participant": "ann", "side": "buy", "period": 4, "price": "0.25", "quantity_wh": 500_000}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A market whose first session is settled: ann bought of bob, half of it was delivered."""
    api = MarketApi(
        f"sqlite:///{tmp_path_factory.mktemp('money') / 'a.db'}",
        terms={"escrow": True, "fee_ppm": 10_000, "session_periods": 96},
        scenario=SCENARIO | {"tariffs": {"retail": 0.3, "feed_in": 0.08}},
    )
    api.admin = api.person("operator", "root")
    api.ann = api.person("homes", "ann", participants=("ann",))
    for name, bus in zip(("ann", "bob"), BUSES, strict=False):
        api.join(api.admin, name, bus, money=10**10)
    api.made("/api/v1/assets", api.admin, {"id": "pv", "participant": "bob", "type": "pv", "power_kw": 9.0})
    api.put("/api/v1/assets/pv/qualification", 1, token=api.admin, json={"decision": "approve"})
    api.bob = api.person("homes-2", "bob", participants=("bob",))
    for token, who, side in ((api.ann, "ann", "buy"), (api.bob, "bob", "sell")):
        api.made(
            "/api/v1/bids", token, BID | {"participant": who, "side": side, "period": 0, "quantity_wh": 4000}
        )
    api.until(EPOCH - 300, status="published")
    api.hands.moment = EPOCH + 3600
    rows = [
        {"participant": "ann", "period": 0, "import_wh": 4000},
        {"participant": "ann", "period": 1, "import_wh": 900_000},
        {"participant": "bob", "period": 0, "import_wh": 0, "export_wh": 2000},
        *({"participant": "bob", "period": k, "import_wh": 0, "export_wh": 5000} for k in (1, 2, 3)),
    ]
    api.read = api.made("/api/v1/readings/bulk", api.admin, {"readings": rows})
    api.until(EPOCH + 86_400 + 3600, status="settled")
    yield api
    api.close()


def table(answer):
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_readings_that_the_rules_refuse_are_findings_of_the_answer(world):
    assert world.read["taken"] == 5
    assert [found["rule"] for found in world.read["findings"]] == ["above_capacity"]


def test_a_statement_tells_what_escrow_held_paid_and_returned(world):
    rows = table(world.get("/api/v1/accounts/ann/statement", token=world.ann))
    wallet = [(row["what"], row["amount"]) for row in rows if row["account"] == "wallet:ann"]
    held, returned = (float(amount) for what, amount in wallet if what in ("hold", "release"))
    assert wallet[0] == ("deposit", "10000.000000")
    assert held < 0 < returned == pytest.approx(-held / 2, abs=1e-6)
    assert world.get("/api/v1/accounts/bob/statement", token=world.ann).status_code == 403


def test_a_trade_has_a_bill(world):
    trade = world.get("/api/v1/trades?participant=bob", token=world.bob).json()["items"][0]
    answer = world.get(f"/api/v1/trades/{trade['id']}/pdf", token=world.ann)
    assert answer.content.startswith(b"%PDF-")
    assert world.get("/api/v1/trades/99-0/pdf", token=world.ann).status_code == 404


def test_lines_for_the_existing_bill_sum_to_the_invoice(world):
    path = "/api/v1/invoices/months/2026-01/lines"
    rows = table(world.get(path, token=world.admin))
    invoice = world.get("/api/v1/invoices/ann:2026-01", token=world.ann).json()
    mine = sum(round(float(row["amount"]) * 1e6) for row in rows if row["participant"] == "ann")
    assert mine == invoice["total_micro"]
    assert {row["participant"] for row in table(world.get(path, token=world.ann))} == {"ann"}


def test_proofs_are_accepted_by_the_script_of_the_docs(world, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "check-a-proof.md").read_text(encoding="utf-8")
    script = tmp_path / "check_proof.py"
    script.write_text(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], encoding="utf-8")
    proofs = world.get(
        "/api/v1/proofs?participant=ann&first=2025-12-31&last=2026-01-03", token=world.ann
    ).json()
    roots = world.get("/api/v1/proofs/roots?first=2025-12-31&last=2026-01-03").json()["items"]
    assert [one["over"] for one in roots] == [True] * (len(roots) - 1) + [False]
    assert proofs["roots"] == roots
    (tmp_path / "roots.txt").write_text("\n".join(one["checkpoint"] for one in roots), encoding="utf-8")
    for changed, code in ((False, 0), (True, 1)):
        if changed:
            row = next(one["record"] for one in proofs["records"] if one["record"]["kind"] == "posting")
            row["amount_micro"] += 1
        (tmp_path / "proofs.json").write_text(json.dumps(proofs), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, script, tmp_path / "proofs.json", tmp_path / "roots.txt"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, len(proofs["records"]) > 3) == (code, True), done.stdout + done.stderr


def test_the_operator_calls_a_session_off(world):
    world.until(EPOCH + 2 * 86_400 - 3600, status="open", session=2)
    path = "/api/v1/sessions/2/call-off"
    told = world.made(path, world.admin, {"reason": "the transformer burns"})
    assert (told["status"], told["called_off"]) == ("cleared", "the transformer burns")
    again = world.post(path, token=world.admin, json={"reason": "again"})
    assert again.json()["errors"][0]["code"] == "session_state"
