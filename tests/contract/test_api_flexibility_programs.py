"""A day of flexibility and its money, asked of a program that another one writes the market for."""

import pytest
from api_market import EPOCH, SCENARIO, TERMS
from test_api_flexibility_day import NAMES, Day

from gridagora.adapters.sql.audit import replay, verify
from gridagora.bootstrap import live_runner
from gridagora.service.api.v1.payments import PayOut

IBAN = "DE89370400440532013000"
PAY = {"name": "Market Ltd", "iban": IBAN, "execution": "2026-02-03"}


class Shared:
    """The clock of the program that writes: the one that the test sets forward."""

    def __init__(self):
        self.hands = None

    def now(self):
        return EPOCH - 3600 if self.hands is None else self.hands.now()

    def seconds_until(self, moment):
        return 0.0 if moment <= self.now() else 0.005


@pytest.fixture
def day(new_postgresql):
    clock = Shared()
    with live_runner(new_postgresql, SCENARIO, clock=clock, epoch=EPOCH, **TERMS) as writer:
        made = Day(new_postgresql, late=NAMES[1:])
        clock.hands = made.api.hands
        assert writer.writes
        assert not made.api.runner.writes
        yield made
        assert not made.api.runner.writes
        made.api.close()


def test_flexibility_and_money_go_through_another_program(day):
    api, root = day.api, day.tokens["root"]
    day.live()
    api.made("/api/v1/accounts/ann/deposits", root, {"amount_micro": 5_000_000})
    api.made("/api/v1/accounts/ann/withdrawals", root, {"amount_micro": 1_000_000})
    record = api.get("/api/v1/participants/ann", token=root).json()
    body = {name: record[name] for name in ("name", "organisation")} | {"iban": IBAN}
    assert api.put("/api/v1/participants/ann", record["version"], token=root, json=body).is_success
    assert day.root.money.payment_file("withdrawals", PayOut.model_validate(PAY))
    (paid,) = day.root.money.payments(participant="ann", status="in_transit")
    day.root.money.close([paid.id], "returned", reason="account closed")
    ann = day.tokens["ann"]
    dispute = {"id": "d", "session": 2, "participant": "ann", "reason": "Wrong meter."}
    api.made("/api/v1/disputes", ann, dispute)
    api.made(
        "/api/v1/disputes/d/decision", root, {"accepted": True, "settle_again": True, "reason": "So it is."}
    )
    order = {"participant": "ann", "product": "cap", "side": "sell", "first": 90, "kw": 1.0, "price": 0.3}
    api.made("/api/v1/flexibility/orders", ann, order)
    version = api.get("/api/v1/participants/ann", token=root).json()["version"]
    status = {"status": "suspended"}
    assert api.put("/api/v1/participants/ann/status", version, token=root, json=status).is_success
    refused = api.post("/api/v1/flexibility/orders", token=ann, json=order)
    assert [fault["code"] for fault in refused.json()["errors"]] == ["participant_not_active"]
    told = [one.text for one in day.root.notifications("ann", topics=["flexibility", "disputes"])]
    assert told[-1].endswith("Lapsed: order 3 for cap.")
    assert "Dispute d was accepted. So it is." in told
    (returned,) = day.root.notifications("ann", topics=["bills"])
    assert returned.text == "Withdrawal W1 of 1.00 EUR was returned. account closed"
    for check in (verify, replay):
        assert check(api.database, api.platform.name).findings == ()
