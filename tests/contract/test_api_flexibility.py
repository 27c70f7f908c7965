"""The flexibility market by HTTP: reserved, called, activated, traded until the gate, delivered, settled."""

import pytest
from api_market import BUSES, EPOCH, MarketApi, wait_cleared

from gridagora.client import ApiError
from gridagora.service.models import flexibility as flex
from gridagora.service.models.metering import NewReading

HOUR = 3600


@pytest.fixture
def api(tmp_path):
    api = MarketApi(f"sqlite:///{tmp_path / 'flex.db'}")
    yield api
    api.close()


def at(moment):
    from datetime import UTC, datetime

    return datetime.fromtimestamp(moment, UTC)


def test_flexibility_from_the_request_to_its_settlement(api):
    operator = api.client(api.person("operator", "root"))
    dso = api.client(api.person("grid", "dora", areas=("*",)))
    people = {name: api.person("homes", name, participants=(name,)) for name in ("ann", "bob")}
    clients = {name: api.client(token) for name, token in people.items()}
    admin = api.person("operator", "ada")
    assert api.get("/api/v1/flexibility/market", token=admin).json()["errors"][0]["code"] == "market_not_open"
    terms = flex.FlexMarketOpening(
        buyers=["grid"],
        products=[
            flex.FlexProductTerms(name="cap", direction="cap", settlement="capacity_limit"),
            flex.FlexProductTerms(name="floor", direction="floor", settlement="pay_delivered"),
        ],
        first=0,
        periods=96,
        penalty_micro_per_kwh=500_000,
    )
    with pytest.raises(ApiError) as early:
        operator.flexibility.open(terms)
    assert [(one.place, one.code) for one in early.value.faults] == [("connection points", "no_rows")]
    for name, bus in zip(people, BUSES, strict=False):
        api.join(admin, name, bus)
    opened = operator.flexibility.open(terms)
    assert (opened.points, opened.buyers) == (["ann", "bob"], ["grid"])
    with pytest.raises(ApiError) as twice:
        operator.flexibility.open(terms)
    assert [fault.code for fault in twice.value.faults] == ["market_open"]

    request = dso.flexibility.request(
        flex.NewRequest(
            buyer="grid",
            horizon="reservation",
            product="cap",
            first=8,
            count=4,
            gate=at(EPOCH - 3000),
            needs=[flex.Need(period=p, kw=8.0, price=0.05) for p in range(8, 12)],
            activation_cap=0.4,
            max_activations=5,
        )
    )
    assert [row.kw for row in request.needs] == [8.0] * 4
    with pytest.raises(ApiError) as closed:
        dso.flexibility.request(
            flex.NewRequest(
                buyer="grid",
                horizon="activation",
                product="cap",
                first=8,
                count=1,
                gate=at(EPOCH - 900_000),
                needs=[flex.Need(period=8, kw=8.0, price=0.05)],
            )
        )
    (fault,) = closed.value.faults
    assert fault.value == "2025-12-21T14:00:00Z"
    assert fault.fix.startswith("write 2025-12-3")
    offer = flex.NewOffer(
        participant="ann", steps=[flex.OfferStepIn(period=p, kw=10.0, price=0.01) for p in range(8, 12)]
    )
    assert len(clients["ann"].flexibility.offer(request.number, offer)) == 4
    with pytest.raises(ApiError) as other:
        clients["bob"].flexibility.offer(request.number, offer)
    assert other.value.status == 403
    api.hands.moment = EPOCH - 2900
    wait_cleared(dso, request.number)
    assert [row.accepted_kw for row in clients["ann"].flexibility.offers(0)] == [8.0] * 4
    assert list(clients["bob"].flexibility.offers(0)) == []
    contract = next(clients["ann"].flexibility.contracts())
    assert (contract.seller, contract.buyer, contract.reserved_kw) == ("ann", "grid", [8.0] * 4)
    assert list(clients["bob"].flexibility.contracts()) == []

    dso.flexibility.release(contract.id, flex.PowerByPeriod(periods=[11], kw=[2.0]))
    called = dso.flexibility.call(flex.NewCall(contracts=[contract.id], periods=[8, 9], kw=[6.0, 6.0]))
    assert called.what == "ReservationsCalled"
    with pytest.raises(ApiError) as stranger:
        clients["bob"].flexibility.call(flex.NewCall(contracts=[contract.id], periods=[8], kw=[1.0]))
    assert stranger.value.status == 403
    assert [one.kind for one in clients["ann"].flexibility.activations()] == ["call"]
    assert list(clients["bob"].flexibility.activations()) == []
    assert any("called" in one.text for one in clients["ann"].notifications("ann"))

    activation = dso.flexibility.request(
        flex.NewRequest(
            buyer="grid",
            horizon="activation",
            product="cap",
            first=8,
            count=2,
            gate=at(EPOCH - 2000),
            needs=[flex.Need(period=p, kw=6.0, price=0.9) for p in (8, 9)],
        )
    )
    api.hands.moment = EPOCH - 1900
    wait_cleared(dso, activation.number)
    assert [row.accepted_kw for row in clients["ann"].flexibility.offers(activation.number)] == [6.0, 6.0]

    sold = clients["bob"].flexibility.order(
        flex.NewOrder(product="cap", participant="bob", side="sell", first=10, kw=5.0, price=0.1)
    )
    assert (sold.number, sold.trades) == (2, []) or sold.trades == []
    book = list(dso.flexibility.book())
    assert [(one.kw, one.participant) for one in book] == [(5.0, None)]
    bought = dso.flexibility.order(
        flex.NewOrder(product="cap", participant="grid", side="buy", first=10, kw=3.0, price=0.2),
        as_operator=True,
    )
    assert [(one.seller, one.kw) for one in bought.trades] == [("bob", 3.0)]
    path = f"/api/v1/flexibility/orders/cap/{sold.number}"
    assert api.ask("DELETE", path, token=people["ann"]).status_code == 403
    assert api.ask("DELETE", path, token=people["bob"]).json()["what"] == "FlexOrderCancelled"

    closes = api.hands.moment + 60
    tender = dso.flexibility.open_tender(
        flex.NewTender(
            name="sunny",
            buyer="grid",
            product="floor",
            windows=[flex.TenderWindow(first=20, count=2, need_kw=4.0)],
            closes=at(closes),
        )
    )
    assert (tender.status, tender.direction) == ("open", "floor")
    bid = flex.NewTenderBid(participant="bob", max_kw=4.0, availability=0.01, utilisation=0.2)
    clients["bob"].flexibility.bid_in_tender("sunny", bid)
    api.hands.moment = closes
    tender = dso.flexibility.decide_tender("sunny")
    assert [(one.accepted_kw, one.reason) for one in tender.bids] == [(4.0, "in full")]
    dispatched = dso.flexibility.dispatch(
        tender.contracts[0], flex.PowerByPeriod(periods=[20, 21], kw=[4.0, 4.0])
    )
    assert dispatched.what == "ContractDispatched"

    api.until(EPOCH + 3 * HOUR, status="published", session=2)
    ordered = {(one.participant, one.period): one.kw for one in dso.flexibility.deliveries()}
    assert ordered[("ann", 8)] == 6.0
    assert ordered[("bob", 10)] == 3.0
    mine = {one.participant for one in clients["ann"].flexibility.deliveries()}
    assert mine == {"ann"}
    readings = [NewReading(participant=name, period=p, import_wh=500) for name in people for p in range(12)]
    operator.send_readings(readings)
    body = {"first": 0, "count": 12}
    early = api.post("/api/v1/flexibility/settlements", token=admin, json={"first": 0, "count": 96})
    assert early.json()["errors"][0]["code"] == "period_unknown"
    settled = api.made("/api/v1/flexibility/settlements", admin, body)
    assert settled["total"]["ann"] > "0"
    assert settled["total"]["grid"].startswith("-")
    assert all(one.settled for one in clients["ann"].flexibility.deliveries() if one.period < 12)
