"""Flexibility on bills that are issued: what is settled after its month was billed is on the next bill."""

from datetime import UTC, datetime

import pytest
from api_market import BUSES, EPOCH, MarketApi, wait_cleared
from sqlalchemy import text

from gridagora.adapters.sql.audit import replay, verify

DAY = 86_400
ISSUER = {"name": "Market Ltd", "street": "Way 1", "postcode": "1", "city": "Town"}
FLEX = {
    "buyers": ["grid"],
    "products": [{"name": "cap", "direction": "cap", "settlement": "capacity_limit"}],
    "first": 0,
    "periods": 96,
    "activation_payment": "pay_as_bid",
    "penalty_micro_per_kwh": 100_000,
}
NEEDS = {
    "buyer": "grid",
    "horizon": "activation",
    "product": "cap",
    "first": 40,
    "count": 2,
    "gate": f"{datetime.fromtimestamp(EPOCH - 1800, UTC):%Y-%m-%dT%H:%M:%SZ}",
    "needs": [{"period": period, "kw": 5.0, "price": 0.9} for period in (40, 41)],
}


def issued(api, month):
    path = f"/api/v1/invoices/months/{month}/issue"
    return api.post(path, token=api.admin, json={"issuer": ISSUER})


def bill(api, name, month="2026-01"):
    return api.get(f"/api/v1/invoices/{name}:{month}", token=api.admin).json()


def lines(invoice):
    return {line["text"]: line["amount_micro"] for line in invoice["lines"]}


def settle(api, first):
    path, body = "/api/v1/flexibility/settlements", {"first": first, "count": 1}
    return api.made(path, api.admin, body)


def posted(api, name):
    """Return what settlements of flexibility posted for somebody, from the journal alone."""
    asked = (
        "SELECT sum(j.amount_micro) FROM journal j "
        "JOIN balances b ON b.market = j.market AND b.account = j.account "
        "JOIN events e ON e.market = j.market AND e.seq = j.seq "
        "WHERE e.kind = 'FlexSettled' AND b.name = :name"
    )
    with api.database.reading() as connection:
        return int(connection.scalar(text(asked), {"name": f"participant:{name}"}) or 0)


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """A month in which Ann sold two periods to the grid operator, the first of which is settled."""
    made = MarketApi(
        f"sqlite:///{tmp_path_factory.mktemp('bills') / 'a.db'}",
        terms={"session_periods": 96, "dispute_s": 60 * DAY},
    )
    made.admin = made.person("operator", "root")
    made.grid = made.person("grid", "dora", areas=("*",))
    ann = made.person("homes", "ann", participants=("ann",))
    made.join(made.admin, "ann", BUSES[0])
    made.made("/api/v1/flexibility/market", made.admin, FLEX)
    made.made("/api/v1/flexibility/requests", made.grid, NEEDS)
    steps = [{"period": period, "kw": 5.0, "price": 0.111111} for period in (40, 41)]
    made.made("/api/v1/flexibility/auctions/0/offers", ann, {"participant": "ann", "steps": steps})
    made.until(EPOCH - 1800)
    wait_cleared(made.client(made.grid), 0)
    made.until(EPOCH + DAY, status="published")
    readings = [
        {"participant": "ann", "period": period, "import_wh": wh, "export_wh": 0}
        for period, wh in ((40, 3000), (41, 4500))
    ]
    made.made("/api/v1/readings/bulk", made.admin, {"readings": readings})
    settle(made, 40)
    yield made
    made.close()


def test_a_month_is_issued_to_sellers_and_buyers_and_the_next_bill_holds_what_came_later(api):
    assert not bill(api, "ann")["complete"], "a period is not settled"
    api.until(EPOCH + 31 * DAY + 7200, status="settled", session=30)
    first = {name: posted(api, name) for name in ("ann", "grid")}
    assert first["ann"] == 555_555
    assert issued(api, "2026-01").is_success
    for name, amount in first.items():
        sent = bill(api, name)
        assert sent["status"] == "issued"
        own = {what: due for what, due in lines(sent).items() if what.startswith("Flexibility cap")}
        assert sum(own.values()) == -amount
    assert bill(api, "grid")["payable_micro"] % 10_000 == 0
    pays = api.get("/api/v1/payments?limit=500", token=api.admin).json()["items"]
    assert [(one["kind"], one["status"]) for one in pays if one["participant"] == "grid"] == [
        ("collection", "open")
    ]
    settle(api, 41)
    assert bill(api, "ann")["complete"]
    for name in ("ann", "grid"):
        later = posted(api, name) - first[name]
        late = {what: due for what, due in lines(bill(api, name, "2026-02")).items() if "Flexibility" in what}
        assert all(what.startswith(f"Correction of invoice {bill(api, name)['number']}") for what in late)
        assert sum(late.values()) == -later
    assert posted(api, "ann") == 2 * 555_555 - 75_000, "0.75 kWh too much, at 0.10 each"


def test_read_tables_and_books_hold(api):
    name = api.platform.name
    assert replay(api.database, name).findings == ()
    assert verify(api.database, name).findings == ()
