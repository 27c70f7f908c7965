"""A day of a small market through its API alone, by the typed client: from registration to the proof."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))
from api_market import BUSES, EPOCH, MarketApi

from gridagora.client import ApiError
from gridagora.ledger.merkle import leaf_hash, verify_inclusion
from gridagora.ledger.records import seal
from gridagora.service.models.accounts import NewLimit
from gridagora.service.models.market import BidLine, BulkBids, NewBid
from gridagora.service.models.metering import DisputeDecision, NewDispute, NewReading
from gridagora.service.models.records import NewAsset, NewConnectionPoint, NewForecast, NewParticipant


@pytest.fixture
def api(tmp_path):
    api = MarketApi(f"sqlite:///{tmp_path / 'day.db'}", terms={"escrow": True, "fee_ppm": 10_000})
    yield api
    api.close()


def registered(operator, own, name, bus, *, seller):
    """Register a home: it asks, the operator agrees."""
    one = own.register(NewParticipant(id=name, name=name.title(), organisation="homes"))
    assert one.status == "pending"
    operator.set_participant_status(one, "active")
    point = operator.connect(
        NewConnectionPoint(
            id=f"{name}-1", participant=name, bus=bus, import_kw=20.0, export_kw=20.0, meter=f"M{name}"
        )
    )
    operator.set_connection_status(point, "active")
    if seller:
        asset = own.submit_asset(NewAsset(id=f"{name}-pv", participant=name, type="pv", power_kw=9.0))
        rejected = operator.qualify(asset, approve=False, reason="no meter")
        assert (rejected.status, rejected.reason) == ("rejected", "no meter")
        operator.qualify(rejected, approve=True)
    operator.deposit(name, 10_000_000)


def test_a_day_of_a_market_through_its_api_alone(api):
    operator = api.client(api.person("operator", "root"))
    ann = api.client(api.person("homes", "ann", participants=("ann",)))
    bob = api.client(api.person("homes", "bob", participants=("bob",)))
    public = api.client()
    assert public.state().open_sessions == [0, 1]

    registered(operator, ann, "ann", BUSES[0], seller=False)
    registered(operator, bob, "bob", BUSES[3], seller=True)
    ann.issue_forecast(NewForecast(participant="ann", first=0, kw=[1.0] * 8))

    taken = ann.bid(NewBid(participant="ann", side="buy", period=0, price="0.28", quantity_wh=800))
    assert taken.session == 0
    lines = [BidLine(period=p, side="buy", price_micro=250_000, quantity_wh=500) for p in (1, 2, 3, 3)]
    many = ann.bid_many(BulkBids(participant="ann", session=0, bids=lines))
    assert ann.withdraw("ann", 0, [many.first_number + 3]) == [many.first_number + 3]
    lines = [BidLine(period=p, side="sell", price_micro=100_000, quantity_wh=500) for p in range(4)]
    bob.bid_many(BulkBids(participant="bob", session=0, bids=lines))
    book = public.book(0)
    assert [(one.side, one.quantity_wh) for one in book.levels if one.period == 0] == [
        ("buy", 800),
        ("sell", 500),
    ]
    with pytest.raises(ApiError) as refused:
        bob.bid(NewBid(participant="ann", side="buy", period=0, price="0.1", quantity_wh=5))
    assert (refused.value.status, refused.value.code) == (403, "forbidden")

    api.until(EPOCH - 300, status="published")
    with pytest.raises(ApiError) as late:
        ann.bid(NewBid(participant="ann", side="buy", period=0, price="0.28", quantity_wh=800))
    assert [fault.code for fault in late.value.faults] == ["gate_closed"]
    assert [one.volume_wh for one in public.results(0).periods] == [500] * 4
    trades = list(ann.trades())
    assert [(one.buyer, one.seller, one.quantity_wh) for one in trades] == [("ann", "bob", 500)] * 4
    assert {one.status for one in ann.bids()} == {"partly_accepted", "accepted", "withdrawn"}
    assert [one.net_wh for one in bob.schedule("bob")] == [-500] * 4
    assert ann.account("ann").wallet_micro < 10_000_000  # held in escrow

    api.until(EPOCH + 3600)
    read = [NewReading(participant="ann", period=p, import_wh=700) for p in range(4)]
    operator.send_readings(read)
    rows = "".join(f"Mbob,2026-01-01T00:{15 * p:02d}:00Z,900,0,500\n" for p in range(4))
    answer = operator.send_readings_file(b"point,start,duration_s,import_wh,export_wh\n" + rows.encode())
    assert answer.taken == 4

    api.until(EPOCH + 7200, status="settled")
    delivered = [one.difference_wh for one in bob.deliveries()]
    assert delivered == [0] * 4
    line = next(ann.settlements(session=0))
    assert line.local_bought_wh == 2000
    assert line.total_micro == sum(
        getattr(line, f"{name}_micro") for name in ("energy", "retail", "imbalance", "network", "taxes")
    )
    statement = list(ann.statement("ann"))
    account = ann.account("ann")
    assert account.wallet_micro + account.bill_micro == sum(one.amount_micro for one in statement)

    invoice = ann.invoice("ann", "2026-01")
    assert -invoice.total_micro == account.bill_micro
    assert ann.invoice_pdf("ann", "2026-01").startswith(b"%PDF-")
    texts = [one.text for one in ann.notifications("ann")]
    assert any("accepted" in text for text in texts)
    assert any("settled" in text for text in texts)

    dispute = ann.dispute(NewDispute(session=0, participant="ann", reason="the meter stood still"))
    operator.send_readings([NewReading(participant="ann", period=0, import_wh=600, quality="corrected")])
    decided = operator.decide(dispute.id, DisputeDecision(accepted=True, settle_again=True))
    assert not decided.open
    assert next(ann.settlements(session=0)).corrections == 1
    assert -ann.invoice("ann", "2026-01").total_micro == ann.account("ann").bill_micro

    proofs = ann.proofs("ann")
    root = {one.day: one for one in proofs.roots}
    assert len(proofs.records) > 5
    for proof in proofs.records:
        head = root[proof.day]
        assert verify_inclusion(
            leaf_hash(seal(proof.record, bytes.fromhex(proof.salt))),
            proof.index,
            size=head.size,
            proof=[bytes.fromhex(value) for value in proof.path],
            root=bytes.fromhex(head.root),
        )
    told = list(ann.stream(participant="ann", last_id=0, once=True))
    assert {one.topic for one in told} >= {"sessions", "prices", "notices"}
    again = list(ann.stream(participant="ann", last_id=told[-1].id, once=True))
    assert not again

    limit = NewLimit(
        place_kind="participant",
        place="bob",
        begins="2026-01-01T03:00:00Z",
        ends="2026-01-01T04:00:00Z",
        export_kw=0.0,
        reason="work on the line",
    )
    emergency = operator.declare_limit(limit, emergency=True)
    assert [one.id for one in bob.limits()] == [emergency.id]
    assert list(ann.limits()) == []
    assert [one.id for one in bob.flexibility.activations()] == [emergency.id]
