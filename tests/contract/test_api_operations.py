"""What operators do over the API: a clock in doubt, a settlement that is stuck, limits that cost money."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from api_market import BUSES, EPOCH, Hands, MarketApi

from gridagora.adapters import live_steps
from gridagora.adapters.clocks import SystemClock
from gridagora.client import ApiError
from gridagora.engine.live import machine
from gridagora.engine.live.commands import SettleLiveSession
from gridagora.errors import SolverError
from gridagora.service import serving

HOUR = 3600
BID = {"participant": "ann", "side": "buy", "period": 0, "price": "0.25", "quantity_wh": 1000}


class Wall(Hands):
    """A clock that says how far it is from a moment, so that a leap shows."""

    def seconds_until(self, moment):
        return max(0.0, float(moment - self.moment))


@pytest.fixture
def api(tmp_path):
    """A market with ann and bob, who is to give her 1 kWh in the first period."""
    one = MarketApi(f"sqlite:///{tmp_path / 'a.db'}", terms={"breach_price": 0.5})
    one.admin = one.person("operator", "root")
    one.ann = one.person("homes", "ann", participants=("ann",))
    one.dso = one.person("grid", "gita", areas=("*",))
    for name, bus in zip(("ann", "bob"), BUSES, strict=False):
        one.join(one.admin, name, bus)
    yield one
    one.close()


def test_a_clock_that_leapt_is_accepted_by_the_operator(api):
    api.runner.clock = api.hands = Wall(api.hands.moment)
    root = api.client(api.admin)
    assert root.clock().jump_s == 0
    api.hands.moment += 86_400
    answer = api.post("/api/v1/bids", token=api.ann, json=BID)
    assert (answer.status_code, answer.json()["code"]) == (503, "clock_jump")
    assert answer.headers["retry-after"] == "30"
    ready = api.platform.readiness()
    assert not ready["ready"]
    jumps = (ready["clock_jump_s"], api.platform.public_state()["clock_jump_s"], root.clock().jump_s)
    assert min(jumps) > 86_300
    with pytest.raises(ApiError) as caught:
        root.accept_clock(datetime.fromtimestamp(api.hands.moment - 86_400, UTC), "by my watch")
    assert caught.value.status == 409
    now = datetime.fromtimestamp(api.hands.moment, UTC)
    assert root.accept_clock(now, "by my watch").jump_s == 0
    with pytest.raises(ApiError):
        root.accept_clock(now, "twice")
    notices = api.get("/api/v1/notifications", token=api.admin).json()["items"]
    assert "by my watch" in notices[-1]["text"]
    refused = api.get("/api/v1/notifications", token=api.ann)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "name a participant" in refused.json()["detail"]


def test_a_settlement_that_is_stuck_is_settled_by_schedule(api, monkeypatch):
    def broken(state, command, context):
        raise SolverError("no sum")

    monkeypatch.setattr(machine, "HANDLERS", dict(machine.HANDLERS) | {SettleLiveSession: broken})
    monkeypatch.setattr(live_steps, "RETRY_S", 0.01)
    api.until(EPOCH - 300, status="published")
    api.hands.moment = EPOCH + 2 * HOUR + 1
    root = api.client(api.admin)
    while root.session(0).stuck is None:
        pass
    assert root.session(0).stuck == "no sum"
    notices = api.get("/api/v1/notifications?topic=settlement", token=api.admin).json()["items"]
    assert "no sum" in notices[-1]["text"]
    done = root.settle_by_schedule(0, "the readings are damaged")
    assert (done.status, done.stuck, done.by_schedule) == ("settled", None, "the readings are damaged")


def test_a_breach_is_on_the_bill_of_who_caused_it(api):
    api.until(EPOCH - 300, status="published")
    limit = {"place_kind": "participant", "place": "ann", "import_kw": 1.0, "reason": "fire"}
    limit |= {"begins": "2026-01-01T00:00:00Z", "ends": "2026-01-01T01:00:00Z"}
    api.made("/api/v1/emergencies", api.dso, limit)
    api.hands.moment = EPOCH + HOUR
    rows = [{"participant": "ann", "period": k, "import_wh": 1250 if k == 2 else 0} for k in range(4)]
    api.made("/api/v1/readings/bulk", api.admin, {"readings": rows})
    api.until(EPOCH + 2 * HOUR + 1, status="settled")
    bill = api.get("/api/v1/invoices/ann:2026-01", token=api.ann).json()
    lines = {line["text"]: line["amount_micro"] for line in bill["lines"]}
    assert lines["Energy beyond a declared limit"] == 500_000
    postings = api.get("/api/v1/accounts/ann/postings", token=api.ann).json()["items"]
    assert [one["amount_micro"] for one in postings if one["what"] == "breach"] == [-500_000]


class Shifted(SystemClock):
    """The computer's clock, some days later."""

    days = 0

    def now(self):
        return super().now() + self.days * 86_400

    def seconds_until(self, moment):
        return super().seconds_until(moment - self.days * 86_400)


@pytest.mark.parametrize(("days", "asked"), [(3, False), (40, True)])
def test_a_market_that_was_long_at_rest_asks_at_the_start_whether_its_clock_is_right(
    tmp_path, monkeypatch, days, asked
):
    monkeypatch.setattr(serving, "SystemClock", Shifted)
    monkeypatch.setattr(Shifted, "days", 0)
    order = serving.Order(database=str(tmp_path / "a.db"), scenario="cigre-lv", terms={"session_periods": 96})
    assert not serving.prepare_service(order).clock_jump_s
    monkeypatch.setattr(Shifted, "days", days)
    jump = serving.prepare_service(order).clock_jump_s
    assert (jump > 39 * 86_400) == asked == (jump > 0)
    if asked:
        assert serving.prepare_service(replace(order, accept_clock=True)).clock_jump_s == 0
        assert serving.prepare_service(order).clock_jump_s == 0


def test_what_a_demonstration_plans_by_is_compiled_while_its_clock_stands(tmp_path, monkeypatch):
    did = []

    class Seen(serving.Running):
        def close(self):
            super().close()
            did.append("closed")

    class Homes(serving.VillageHomes):
        def bids(self, session):
            did.append("planned")
            return super().bids(session)

    monkeypatch.setattr(serving, "Running", Seen)
    monkeypatch.setattr(serving, "VillageHomes", Homes)
    serving.prepare_service(serving.Order(database=str(tmp_path / "demo.db"), demo=True))
    assert did == ["closed", "planned"]
