"""A day of flexibility by HTTP, every unit of its money on bills, in statements and in proofs."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from api_market import BUSES, EPOCH, MarketApi, wait_cleared
from sqlalchemy import text

from gridagora.client import ApiError
from gridagora.ledger.journal import FLEX_KINDS, KINDS
from gridagora.service.models import flexibility as flex
from gridagora.service.models.metering import NewReading

HOUR = 3600
PRODUCTS = (("cap", "capacity_limit"), ("floor", "pay_delivered"), ("down", "pay_delivered"))
NAMES = ("ann", "bob", "cem", "dea")


def at(moment):
    return datetime.fromtimestamp(moment, UTC)


def codes(error):
    return [fault.code for fault in error.value.faults]


def request(buyer, horizon, product, *, needs, gate, **more):
    """Return a request of (period, kW, price) in one row of periods."""
    periods = [period for period, *_ in needs]
    return flex.NewRequest(
        buyer=buyer,
        horizon=horizon,
        product=product,
        first=min(periods),
        count=max(periods) - min(periods) + 1,
        gate=at(gate),
        needs=[flex.Need(period=period, kw=kw, price=price) for period, kw, price in needs],
        **more,
    )


def offer(participant, *steps):
    steps = [flex.OfferStepIn(period=period, kw=kw, price=price) for period, kw, price in steps]
    return flex.NewOffer(participant=participant, steps=steps)


class Day:
    """A market in which everything of flexibility happens once; some may come when it is open already."""

    def __init__(self, url, *, late=()):
        self.api = MarketApi(url)
        api = self.api
        self.tokens = {
            "root": api.person("operator", "root"),
            "rita": api.person("watch", "rita"),
            "grid": api.person("grid", "dora", areas=("*",)),
            "grid-2": api.person("grid-2", "dave", areas=()),
            "power": api.person("power", "ravi"),
            "pool": api.person("pool", "agnes"),
        }
        for name, bus in zip(NAMES, BUSES, strict=True):
            self.tokens[name] = api.person("homes", name, participants=(name,))
            if name not in late:
                api.join(self.tokens["root"], name, bus)
        self.late = {name: bus for name, bus in zip(NAMES, BUSES, strict=True) if name in late}
        self.clients = {name: api.client(token) for name, token in self.tokens.items()}

    def __getattr__(self, name):
        return self.clients[name]

    def live(self):
        self.open()
        self.reserve_call_activate()
        self.against_a_baseline()
        self.adjust()
        self.tender()
        self.redispatch()
        self.deliver_and_settle()
        return self

    def open(self):
        products = [flex.FlexProductTerms(name=n, direction=n, settlement=rule) for n, rule in PRODUCTS]
        terms = flex.FlexMarketOpening(
            buyers=["grid", "grid-2"],
            products=products,
            first=0,
            periods=96,
            penalty_micro_per_kwh=500_000,
        )
        self.root.flexibility.open(terms)

    def reserve_call_activate(self):
        api, gate = self.api, EPOCH - 3000
        needs = [(period, 8.0, 0.05) for period in range(8, 12)]
        more = {"activation_cap": 0.4, "max_activations": 5}
        self.grid.flexibility.request(request("grid", "reservation", "cap", needs=needs, gate=gate, **more))
        for name, bus in self.late.items():
            api.join(self.tokens["root"], name, bus)
        steps = [(period, 10.0, 0.0123) for period in range(8, 12)]
        self.ann.flexibility.offer(0, offer("ann", *steps))
        self.sealed = {
            who: next(iter(api.get("/api/v1/flexibility/requests", token=token).json()["items"]))["needs"]
            for who, token in self.tokens.items()
        }
        api.hands.moment = gate
        wait_cleared(self.grid, 0)
        with pytest.raises(ApiError) as late:
            self.bob.flexibility.offer(0, offer("bob", (8, 1.0, 0.01)))
        assert codes(late) == ["gate_closed"]
        contract = next(self.ann.flexibility.contracts())
        self.grid.flexibility.release(contract.id, flex.PowerByPeriod(periods=[11], kw=[2.0]))
        self.grid.flexibility.call(flex.NewCall(contracts=[contract.id], periods=[8, 9], kw=[6.0, 6.0]))
        gate = EPOCH - 2400
        needs = [(period, 7.0, 0.9) for period in (8, 9)]
        self.grid.flexibility.request(request("grid", "activation", "cap", needs=needs, gate=gate))
        self.bob.flexibility.offer(1, offer("bob", (8, 3.0, 0.07), (9, 3.0, 0.07)))
        api.hands.moment = gate
        self.cleared = wait_cleared(self.grid, 1)

    def against_a_baseline(self):
        api, gate = self.api, EPOCH - 1800
        needs = [(12, 2.0, 0.8), (13, 3.0, 0.8)]
        self.two = self.clients["grid-2"]
        self.two.flexibility.request(request("grid-2", "activation", "down", needs=needs, gate=gate))
        self.cem.flexibility.offer(2, offer("cem", (12, 2.0, 0.3)))
        self.dea.flexibility.offer(2, offer("dea", (13, 3.0, 0.35)))
        api.hands.moment = gate
        wait_cleared(self.grid, 2)

    def adjust(self):
        order = {"product": "cap", "first": 8}
        self.dea.flexibility.order(flex.NewOrder(participant="dea", side="sell", kw=4.0, price=0.11, **order))
        bought = self.ann.flexibility.order(
            flex.NewOrder(participant="ann", side="buy", kw=1.5, price=0.2, **order)
        )
        assert [(one.seller, one.kw) for one in bought.trades] == [("dea", 1.5)]
        again = flex.NewOrder(participant="grid-2", side="buy", kw=1.0, price=0.2, **order)
        trades = self.two.flexibility.order(again, as_operator=True).trades
        assert [(one.seller, one.kw) for one in trades] == [("dea", 1.0)]

    def tender(self):
        api, closes = self.api, self.api.hands.moment + 60
        new = flex.NewTender(
            name="sunny",
            buyer="grid",
            product="floor",
            windows=[flex.TenderWindow(first=20, count=2, need_kw=4.0)],
            closes=at(closes),
            area=[BUSES[1], BUSES[2]],
            utilisation_cap=0.5,
        )
        assert self.grid.flexibility.open_tender(new).status == "open"
        with pytest.raises(ApiError) as stranger:
            self.two.flexibility.decide_tender("sunny")
        assert stranger.value.status == 403
        prices = {"bob": (3.0, 0.02), "cem": (3.0, 0.01), "dea": (9.0, 0.001), "ann": (1.0, 0.002)}
        for who, (kw, price) in prices.items():
            bid = flex.NewTenderBid(participant=who, max_kw=kw, availability=price, utilisation=0.2)
            self.clients[who].flexibility.bid_in_tender("sunny", bid)
        with pytest.raises(ApiError) as twice:
            self.ann.flexibility.bid_in_tender("sunny", bid)
        assert "bid 1, windows" in [fault.place for fault in twice.value.faults]
        self.ann.flexibility.withdraw_tender_bids("sunny", "ann")
        assert list(self.grid.flexibility.tender_bids("sunny")) == []
        assert [one.participant for one in self.bob.flexibility.tender_bids("sunny")] == ["bob"]
        with pytest.raises(ApiError) as early:
            self.grid.flexibility.decide_tender("sunny")
        assert codes(early) == ["gate_open"]
        api.hands.moment = closes
        with pytest.raises(ApiError) as late:
            self.ann.flexibility.bid_in_tender("sunny", bid.model_copy(update={"participant": "ann"}))
        assert codes(late) == ["gate_closed"]
        assert len(list(self.grid.flexibility.tender_bids("sunny"))) == 3
        assert list(self.two.flexibility.tender_bids("sunny")) == []
        done = self.grid.flexibility.decide_tender("sunny")
        answers = {one.participant: (one.accepted_kw, one.reason) for one in done.bids}
        assert answers == {
            "bob": (1.0, "in part: no more was needed"),
            "cem": (3.0, "in full"),
            "dea": (0.0, "outside the area"),
        }
        assert self.grid.flexibility.tenders().__next__().status == "decided"
        with pytest.raises(ApiError):
            self.grid.flexibility.decide_tender("sunny")
        power = flex.PowerByPeriod(periods=[20, 21], kw=[3.0, 3.0])
        self.grid.flexibility.dispatch(done.contracts[1], power)

    def redispatch(self):
        sides = (("ann", "sell", 2.0, 0.30), ("dea", "buy", 5.0, 0.10), ("bob", "sell", 1.0, 0.05))
        for who, side, kw, price in sides:
            order = flex.NewRedispatchOrder(participant=who, side=side, period=22, kw=kw, price=price)
            self.clients[who].flexibility.offer_redispatch(order)
        with pytest.raises(ApiError) as twice:
            self.bob.flexibility.offer_redispatch(order)
        assert twice.value.status == 422
        self.bob.flexibility.withdraw_redispatch("bob", 22)
        assert [one.participant for one in self.ann.flexibility.redispatch_orders()] == ["ann"]
        assert list(self.grid.flexibility.redispatch_orders()) == []
        new = flex.NewRedispatch(
            buyer="grid", area=[BUSES[0]], relieves="import", needs=[flex.Relief(period=22, kw=3.0)]
        )
        with pytest.raises(ApiError) as other:
            self.two.flexibility.pair_redispatch(new)
        assert other.value.status == 403
        found = self.grid.flexibility.pair_redispatch(new)
        rows = {(one.participant, one.side): (one.kw, one.amount_micro) for one in found.rows}
        assert rows == {
            ("ann", "sell"): (2.0, 150_000),
            ("dea", "buy"): (2.0, -50_000),
            ("grid", "spread"): (2.0, -100_000),
        }
        assert [(one.period, one.kw) for one in found.missing] == [(22, 1.0)]
        assert list(self.ann.flexibility.redispatch_orders()) == []

    def deliver_and_settle(self):
        api = self.api
        api.until(EPOCH + HOUR + 60, status="open", session=3)
        bid = {"participant": "cem", "side": "buy", "price": "0.31", "quantity_wh": 1000}
        for period in (12, 13, 14, 15):
            api.made("/api/v1/bids", self.tokens["cem"], bid | {"period": period})
        api.until(EPOCH + 6 * HOUR, status="published", session=5)
        told = {"ann": 4000, "bob": 4500, "cem": 600, "dea": 500}
        readings = [
            NewReading(participant=name, period=period, import_wh=wh)
            for name, wh in told.items()
            for period in range(24)
        ]
        self.root.send_readings(readings)
        body = flex.FlexSettlementRange(first=0, count=24)
        with pytest.raises(ApiError) as unknown:
            self.root.flexibility.settle(body)
        assert codes(unknown) == ["baseline_missing"]
        assert "dea, period 13" in [fault.place for fault in unknown.value.faults]
        path, key = "/api/v1/flexibility/settlements", {"Idempotency-Key": "settle-once"}
        asked = {"first": 0, "count": 24, "otherwise": "meter_before"}
        self.settled = api.made(path, self.tokens["root"], asked, headers=key)
        assert api.made(path, self.tokens["root"], asked, headers=key) == self.settled
        api.until(EPOCH + 8 * HOUR, status="settled", session=5)


@pytest.fixture(scope="module", params=[(), NAMES[1:]], ids=["all are there", "most join later"])
def day(tmp_path_factory, request):
    made = Day(f"sqlite:///{tmp_path_factory.mktemp('day') / 'day.db'}", late=request.param)
    yield made.live()
    made.api.close()


def journal(day):
    """Return the postings of flexibility by account and kind, read from the database alone."""
    asked = (
        "SELECT b.name, j.entry, j.amount_micro FROM journal j "
        "JOIN balances b ON b.market = j.market AND b.account = j.account "
        "JOIN events e ON e.market = j.market AND e.seq = j.seq WHERE e.kind = 'FlexSettled'"
    )
    with day.api.database.reading() as connection:
        return [tuple(row) for row in connection.execute(text(asked))]


def of_flexibility(invoice):
    return [line for line in invoice["lines"] if line["text"].startswith("Flexibility")]


def bill_of(day, name, who="root"):
    answer = day.api.get(f"/api/v1/invoices/{name}:2026-01", token=day.tokens[who])
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_bills_say_of_flexibility_is_what_the_journal_says(day):
    posted = journal(day)
    assert {entry % KINDS for _, entry, _ in posted} == set(FLEX_KINDS)
    assert sum(amount for *_, amount in posted) == 0
    sums = {}
    for account, _, amount in posted:
        sums[account] = sums.get(account, 0) + amount
    billed = {}
    for name in (*NAMES, "grid", "grid-2"):
        lines = of_flexibility(bill_of(day, name))
        billed[f"participant:{name}"] = -sum(line["amount_micro"] for line in lines)
    system = {account: amount for account, amount in sums.items() if not account.startswith("participant:")}
    assert sums == billed | system
    assert sum(billed.values()) == -sum(system.values())
    assert billed["participant:grid"] < 0 < billed["participant:ann"]
    assert all(settled == money for settled, money in zip(
        (round(float(day.settled["total"][name]) * 1e6) for name in NAMES),
        (billed[f"participant:{name}"] for name in NAMES), strict=True,
    ))  # fmt: skip


def test_lines_tell_product_time_energy_and_price(day):
    lines = {line["text"]: line for line in of_flexibility(bill_of(day, "bob", "bob"))}
    sold = lines["Flexibility cap, activated, 2026-01-01 03:00 to 03:30"]
    price = day.cleared.prices[0].price
    assert price == round(price, 9)
    assert sold["quantity_wh"] == 1500, "3 kW in each of two quarter-hours"
    assert sold["price_micro"] == round(price * 4e6), "per kW and quarter-hour, so four times that per kWh"
    words = " ".join(line["text"] for name in (*NAMES, "grid") for line in of_flexibility(bill_of(day, name)))
    for word in ("reserved, kW x h, contract 0:ann", "traded until the gate", "paired redispatch", "penalty"):
        assert word in words, word
    assert "Flexibility down, activated" in words
    pdf = day.api.get("/api/v1/invoices/grid:2026-01/pdf", token=day.tokens["grid"])
    assert pdf.content.startswith(b"%PDF")


def test_a_statement_shows_flexibility_by_period(day):
    rows = day.api.get("/api/v1/accounts/ann/postings?limit=500", token=day.tokens["ann"]).json()["items"]
    mine = [row for row in rows if row["what"].startswith(("flex_", "redispatch"))]
    assert {"flex_activation", "flex_adjustment", "flex_reservation", "redispatch"} <= {
        r["what"] for r in mine
    }
    assert "period 8" in {row["reference"] for row in mine}
    assert sum(row["amount_micro"] for row in mine) == sum(
        amount for account, _, amount in journal(day) if account == "participant:ann"
    )
    assert day.api.get("/api/v1/accounts/grid", token=day.tokens["grid"]).json()["bill_micro"] < 0
    for stranger in ("grid-2", "ann", "power", "pool"):
        assert day.api.get("/api/v1/accounts/grid", token=day.tokens[stranger]).status_code == 403


@pytest.mark.parametrize("who", [*NAMES, "grid", "grid-2"])
def test_everybody_proves_its_flexibility_by_the_script_of_the_docs(day, tmp_path, who):
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "check-a-proof.md").read_text(encoding="utf-8")
    script = tmp_path / "check_proof.py"
    script.write_text(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], encoding="utf-8")
    days = {"first": "2025-12-31", "last": "2026-01-01"}
    asked = {"participant": who} | days
    proofs = day.api.get("/api/v1/proofs", token=day.tokens[who], params=asked).json()
    roots = day.api.get("/api/v1/proofs/roots", params=days).json()["items"]
    (tmp_path / "proofs.json").write_text(json.dumps(proofs), encoding="utf-8")
    (tmp_path / "roots.txt").write_text("\n".join(one["checkpoint"] for one in roots), encoding="utf-8")
    told = subprocess.run(
        [sys.executable, script, tmp_path / "proofs.json", tmp_path / "roots.txt"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    mine = [one["record"] for one in proofs["records"] if one["record"]["kind"] == "flexibility"]
    assert mine
    assert {record["participant"] for record in mine} == {who}
    own = sum(amount for account, _, amount in journal(day) if account == f"participant:{who}")
    assert sum(record["amount_micro"] for record in mine) == own


def test_the_limits_of_a_buyer_are_sealed(day):
    for who, needs in day.sealed.items():
        shown = [row["price"] for row in needs]
        assert [row["kw"] for row in needs] == [8.0] * 4
        assert shown == ([0.05] * 4 if who in ("root", "rita", "grid") else [None] * 4), who


def test_sellers_are_named_to_whom_knows_them(day):
    seen = {
        who: day.api.get("/api/v1/flexibility/market", token=token).json()["points"]
        for who, token in day.tokens.items()
    }
    everybody, nobody = list(NAMES), []
    assert seen == {
        "root": everybody,
        "rita": everybody,
        "grid": everybody,
        "grid-2": nobody,
        "power": nobody,
        "pool": nobody,
        **{name: [name] for name in NAMES},
    }


def test_a_buyer_sees_deliveries_that_it_bought(day):
    def seen(who):
        rows = day.clients[who].flexibility.deliveries()
        return {(one.participant, one.product, one.period) for one in rows}

    both = {("dea", "cap", 8)}
    two = {("cem", "down", 12), ("dea", "down", 13)} | both
    assert seen("grid-2") == two
    assert seen("grid") == seen("root") - (two)
    assert seen("rita") == seen("root")
    assert {who for who, *_ in seen("ann")} == {"ann"}
    assert seen("power") == seen("pool") == set()


def test_changes_are_measured_from_the_schedule_or_from_the_meter_before(day):
    """Cem had bought 4 kW and took 2.4; Dea, without a bid, took as much as in the hour before."""
    found = {
        (one.participant, one.period): (one.ordered_wh, one.delivered_wh)
        for one in day.root.flexibility.deliveries()
        if one.product == "down"
    }
    assert found == {("cem", 12): (500, 400), ("dea", 13): (750, 0)}


def test_offers_and_pairs_are_told_to_their_parties(day):
    def offers(who, auction):
        return {one.participant for one in day.clients[who].flexibility.offers(auction)}

    assert offers("grid", 1) == {"ann", "bob"}
    assert offers("grid-2", 1) == set()
    assert offers("bob", 1) == {"bob"}
    assert offers("grid-2", 2) == {"cem", "dea"}

    def pairs(who):
        return {(one.participant, one.side) for one in day.clients[who].flexibility.redispatch()}

    assert pairs("grid") == {("ann", "sell"), ("dea", "buy"), ("grid", "spread")}
    assert pairs("grid-2") == pairs("bob") == pairs("power") == set()
    assert pairs("ann") == {("ann", "sell")}


def test_bills_are_issued_with_flexibility_in_them(day):
    sums = {name: bill_of(day, name)["total_micro"] for name in (*NAMES, "grid", "grid-2")}
    balance = {
        name: day.api.get(f"/api/v1/accounts/{name}", token=day.tokens["root"]).json()["bill_micro"]
        for name in sums
    }
    assert {name: -amount for name, amount in sums.items()} == balance


def test_no_participant_is_called_like_a_buyer(day):
    body = {"id": "grid-2", "name": "x", "organisation": "homes"}
    refused = day.api.post("/api/v1/participants", token=day.tokens["root"], json=body)
    assert refused.json()["errors"][0]["code"] == "id_invalid"


OWNED = (
    "/flexibility/contracts",
    "/flexibility/auctions/0/offers",
    "/flexibility/auctions/1/offers",
    "/flexibility/auctions/2/offers",
    "/flexibility/tenders/sunny/bids",
    "/flexibility/redispatch-orders",
    "/flexibility/redispatch",
    "/flexibility/deliveries",
    "/activations",
)
"""Lists whose things have an owner."""

DEALS = {
    ("grid", "/flexibility/contracts"): {"ann", "bob", "cem"},
    ("grid", "/flexibility/auctions/0/offers"): {"ann"},
    ("grid", "/flexibility/auctions/1/offers"): {"ann", "bob"},
    ("grid", "/flexibility/tenders/sunny/bids"): {"bob", "cem", "dea"},
    ("grid", "/flexibility/redispatch"): {"ann", "dea", "grid"},
    ("grid", "/flexibility/deliveries"): {"ann", "bob", "cem"},
    ("grid", "/activations"): {"ann", "cem"},
    ("grid-2", "/flexibility/auctions/2/offers"): {"cem", "dea"},
    ("grid-2", "/flexibility/deliveries"): {"cem", "dea"},
}
"""Whose things a grid operator sees: those that it bought of, and what was bid in its tender."""


@pytest.mark.parametrize("path", OWNED)
def test_each_role_sees_in_a_list_what_the_table_of_rights_lets(day, path):
    def seen(who):
        rows = day.api.get(f"/api/v1{path}?limit=500", token=day.tokens[who]).json()["items"]
        return {row.get("participant") or row["seller"] for row in rows}

    everything = seen("root")
    assert seen("rita") == everything
    for name in NAMES:
        assert seen(name) == everything & {name}
    for stranger in ("power", "pool"):
        assert seen(stranger) == set()
    for buyer in ("grid", "grid-2"):
        assert seen(buyer) == DEALS.get((buyer, path), set()), buyer
