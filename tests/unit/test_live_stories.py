"""Stories of a live market: who may bid until when, what is held, settled and refused, and why."""

import numpy as np
import pytest
from live_village import BUSES, EPOCH, NAMES, Live, small

from gridagora import flexibility as flex
from gridagora.bootstrap import live_context, prepare
from gridagora.engine.live.commands import (
    CloseGate,
    DecideDispute,
    DeclareLimit,
    DepositMoney,
    OpenSession,
    PublishSession,
    RaiseDispute,
    SettleLiveSession,
    SubmitBids,
    TakeReadings,
    WithdrawBids,
    WithdrawMoney,
)
from gridagora.engine.live.machine import replay
from gridagora.engine.live.money import available, bill, wallet
from gridagora.engine.live.refusals import CODES
from gridagora.engine.live.timetable import due, next_moment
from gridagora.errors import InputError
from gridagora.model.events import AuctionCleared, ScheduleChecked, SessionSettled, TradesDecided
from gridagora.model.live_events import (
    LimitsBroken,
    MoneyMoved,
    ReadingsTaken,
    SettlementCorrected,
)

HOUR = 3600


def village(**changes):
    """Return a market with its four homes, sessions of an hour that open two hours ahead."""
    leads = {"gate_lead_s": 900, "open_lead_s": 2 * HOUR, "readings_lead_s": HOUR}
    live = Live(**(leads | changes))
    for name, bus in zip(NAMES, BUSES, strict=True):
        live.join(name, bus, money=5_000_000)
    return live


def codes(live, command):
    """Return the codes of why a command is refused, and check that nothing changed."""
    before = live.state.events
    with pytest.raises(InputError) as caught:
        live.do(command)
    assert live.state.events == before
    assert all(fault.code in CODES and fault.fix for fault in caught.value.faults)
    return [fault.code for fault in caught.value.faults]


def one_bid(live, **changes):
    """Return a command with one good bid of ann, changed."""
    bid = {
        "session": 0,
        "participant": "ann",
        "period": [0],
        "side": [1],
        "price": [250_000],
        "quantity": [500],
    }
    return SubmitBids(at=live.now, actor="ann", **(bid | changes))


def of(live, kind):
    return [event for event in live.events if isinstance(event, kind)]


def traded(live):
    """Let ann buy 800 Wh of bob at 0.28 in period 0 and 1000 Wh at 0.12 in period 1; go on to publication."""
    live.until(EPOCH - HOUR)
    live.bid("ann", 0, (0, 1, 280_000, 1000), (1, 1, 290_000, 1000))
    live.bid("bob", 0, (0, -1, 100_000, 800), (1, -1, 120_000, 2000))
    live.until(EPOCH)
    return live.state.sessions[0]


# --- bids -----------------------------------------------------------------------------------------


def test_bids_are_taken_from_the_opening_to_the_gate():
    live = village()
    assert codes(live, one_bid(live)) == ["session_unknown"]
    live.until(EPOCH - 2 * HOUR)
    live.do(one_bid(live))
    live.now = EPOCH - 900
    assert codes(live, one_bid(live)) == ["gate_closed"]  # also before the gate was seen to close
    live.until(EPOCH - 900)
    assert codes(live, one_bid(live)) == ["gate_closed"]


def test_every_fault_of_a_bid_is_told_at_once():
    live = village(at=EPOCH - HOUR)
    live.until(live.now)
    wrong = one_bid(live, period=[9, 0], side=[1, 2], price=[10**9, 0], quantity=[0, 10**9])
    found = codes(live, wrong)
    assert sorted(found) == sorted(
        [
            "period_unknown",
            "side_unknown",
            "price_out_of_bounds",
            "quantity_out_of_bounds",
            "quantity_out_of_bounds",
        ]
    )
    assert codes(live, one_bid(live, participant="zoe", session=77)) == [
        "session_unknown",
        "participant_unknown",
    ]
    assert codes(live, one_bid(live, price=[0.25])) == ["not_whole"]
    assert codes(live, one_bid(live, price=[1, 2])) == ["columns_differ"]
    assert codes(live, one_bid(live, period=[], side=[], price=[], quantity=[])) == ["no_rows"]


def test_who_is_not_active_or_not_prequalified_cannot_bid():
    live = village(at=EPOCH - HOUR)
    live.until(live.now)
    live.keep("participant", "eva", name="Eva")
    assert codes(live, one_bid(live, participant="eva")) == ["participant_not_active"]
    live.keep("participant", "eva", "active", version=1, name="Eva")
    assert codes(live, one_bid(live, participant="eva")) == ["no_connection"]
    live.keep("connection_point", "e", "active", participant="eva", bus=BUSES[0], import_kw=2.0)
    live.do(one_bid(live, participant="eva"))
    assert codes(live, one_bid(live, participant="eva", side=[-1])) == ["not_prequalified"]
    assert codes(live, one_bid(live, participant="eva", quantity=[501])) == ["quantity_out_of_bounds"]
    live.keep("asset", "e", "rejected", participant="eva", type="pv", power_kw=3, reason="no meter")
    assert codes(live, one_bid(live, participant="eva", side=[-1])) == ["not_prequalified"]
    live.keep("participant", "eva", "active", version=2, name="Eva", passive=True)
    assert codes(live, one_bid(live, participant="eva")) == ["participant_passive"]


def test_withdrawn_bids_are_not_cleared_and_free_the_wallet():
    live = village(escrow=True, at=EPOCH - HOUR)
    live.until(live.now)
    live.bid("ann", 0, (0, 1, 280_000, 1000), (1, 1, 280_000, 1000))
    bound = available(live.state, "ann")
    assert bound < 5_000_000
    back = WithdrawBids(at=live.now, actor="ann", session=0, participant="ann", numbers=[2])
    live.do(back)
    assert bound < available(live.state, "ann") < 5_000_000
    assert codes(live, back) == ["bid_unknown"]
    assert codes(live, WithdrawBids(at=live.now, actor="bob", session=0, participant="bob")) == [
        "bid_unknown"
    ]
    live.do(WithdrawBids(at=live.now, actor="ann", session=0, participant="ann"))
    assert available(live.state, "ann") == 5_000_000
    live.bid("ann", 0, (2, 1, 280_000, 1000))
    live.until(EPOCH)
    assert live.state.sessions[0].closed.bids.tolist() == [3]


def test_sessions_free_what_they_reserved_and_nothing_else():
    live = village(escrow=True, at=EPOCH - HOUR)
    live.until(EPOCH - HOUR)
    live.bid("ann", 0, (0, 1, 280_000, 1000))
    live.bid("ann", 1, (4, -1, 280_000, 1000))  # costs nothing
    live.until(EPOCH)
    live.bid("ann", 1, (4, 1, 280_000, 1000))
    assert live.state.reserved == {"ann": 280_001}
    live.until(EPOCH + HOUR)
    assert live.state.reserved == {}


def test_who_is_suspended_before_the_gate_is_not_in_the_session():
    live = village(at=EPOCH - HOUR)
    live.until(live.now)
    live.bid("ann", 0, (0, 1, 280_000, 1000))
    live.bid("bob", 0, (0, -1, 100_000, 1000))
    live.keep("participant", "ann", "suspended", version=1, name="ann")
    live.until(EPOCH)
    gate = live.state.sessions[0].closed
    assert gate.participants == ("bob", "cem", "dea")
    assert gate.bids.tolist() == [2]


# --- the timetable --------------------------------------------------------------------------------


def test_steps_come_in_their_order_at_their_moments():
    live = village()
    seen = []
    for moment in range(EPOCH - 3 * HOUR, EPOCH + 4 * HOUR, 300):
        live.now = moment
        while (command := due(live.state, moment)) is not None:
            seen.append((type(command), command.session, (moment - EPOCH) // 60))
            live.do(command)
    first = [step for step in seen if step[1] == 0]
    assert first == [
        (OpenSession, 0, -120),
        (CloseGate, 0, -15),
        (PublishSession, 0, -15),
        (SettleLiveSession, 0, 120),
    ]


def test_nothing_is_done_before_it_is_due():
    live = village(at=EPOCH - HOUR)
    live.until(live.now)
    assert codes(live, CloseGate(at=live.now, session=0)) == ["gate_open"]
    assert codes(live, PublishSession(at=live.now, session=0)) == ["session_state"]
    assert codes(live, SettleLiveSession(at=live.now, session=0)) == ["session_state"]
    assert codes(live, OpenSession(at=live.now, session=3)) == ["session_state"]
    assert next_moment(live.state) == EPOCH - 900


def test_a_market_that_slept_settles_every_session_of_the_time_between():
    live = village(at=EPOCH - HOUR)
    live.until(live.now)
    live.until(EPOCH + 30 * HOUR)
    assert live.state.next_settle == 29
    assert [event.session for event in of(live, SessionSettled)] == list(range(29))


@pytest.mark.parametrize(("day", "quarters"), [("2026-03-29", 92), ("2026-10-25", 100), ("2026-06-01", 96)])
def test_days_on_which_the_clock_changes_are_sessions_like_any_other(day, quarters):
    """Sessions are UTC; the day's standing charge falls due once, at local midnight."""
    begin = np.datetime64(day, "s") - np.timedelta64(1, "D")
    epoch = int(begin.astype(np.int64))
    live = Live(epoch=epoch, at=epoch - HOUR, open_lead_s=HOUR + 1, gate_lead_s=0, readings_lead_s=0)
    live.join("ann", BUSES[0])
    live.until(epoch + 3 * 24 * HOUR)
    charged = [event.first for event in of(live, SessionSettled) if (event.account == 0).any()]
    starts = [first * 900 + epoch for first in charged]
    local = [np.datetime64(start, "s") for start in starts]
    assert len(local) == 3
    whole = dict(zip(charged, [*np.diff(charged), 0], strict=True))
    assert whole[charged[0]] == quarters


# --- settlement -----------------------------------------------------------------------------------


def test_a_session_is_settled_by_its_readings():
    live = village()
    session = traded(live)
    assert session.auction.accepted[:4].tolist() == [800, 1000, 800, 1000]
    live.now = EPOCH + 2 * HOUR - 1
    live.read(0, ann=[1000, 1000, 0, 0], bob=[-800, -1000, 0, 0])
    live.until(EPOCH + 2 * HOUR)
    assert session.status == "settled"
    lines = session.lines()
    assert lines.energy[:, :2].tolist() == [[-224_000, 224_000], [-120_000, 120_000], [0, 0], [0, 0]]
    assert sum(live.state.balance.values()) == 0


def test_what_no_meter_told_is_estimated_and_says_so():
    live = village()
    traded(live)
    live.now = EPOCH + 2 * HOUR - 1
    live.read(0, bob=[-800, -1000, 0, 0], cem=[100, 100, 100, 100])
    live.until(EPOCH + 2 * HOUR)
    stood_in = [event for event in of(live, ReadingsTaken) if event.actor == "market"]
    assert [(event.source, event.participants) for event in stood_in] == [("schedule", ("ann", "dea"))]
    assert (stood_in[0].quality == 1).all()
    assert live.state.sessions[0].delivered.metered_wh[:, 0].tolist() == [800, 1000, 0, 0]


def test_gaps_between_readings_are_filled_by_their_neighbours():
    live = village(at=EPOCH - HOUR)
    live.until(EPOCH + HOUR)
    live.now = EPOCH + HOUR
    times = live.state.open_terms.session(0)
    live.read(0, ann=[400, 400])
    live.do(
        TakeReadings(
            at=live.now,
            actor="m",
            source="t",
            participants=("ann",),
            participant=[0],
            period=[times.first + 3],
            import_wh=[200],
            export_wh=[0],
        )
    )
    live.until(EPOCH + 2 * HOUR)
    assert live.state.sessions[0].delivered.metered_wh[:, 0].tolist() == [400, 400, 300, 200]


def test_readings_are_refused_with_reasons():
    live = village(at=EPOCH - HOUR)
    live.until(EPOCH + 1800)

    def reading(**changes):
        columns = {"participant": [0], "period": [0], "import_wh": [1], "export_wh": [0]}
        return TakeReadings(
            at=live.now, actor="m", source="t", **({"participants": ("ann",)} | columns | changes)
        )

    live.do(reading())
    assert codes(live, reading(period=[2])) == ["reading_in_future"]
    assert codes(live, reading(period=[-1])) == ["session_closed"]
    assert codes(live, reading(import_wh=[-5])) == ["reading_out_of_bounds"]
    assert codes(live, reading(participants=("zoe",))) == ["participant_unknown"]
    twice = {"participant": [0, 0], "period": [1, 1], "import_wh": [1, 1], "export_wh": [0, 0]}
    assert codes(live, reading(**twice)) == ["duplicate_period"]
    assert codes(live, reading(quality=[9])) == ["field_invalid"]


def test_a_dispute_books_what_other_readings_change():
    live = village()
    traded(live)
    live.now = EPOCH + 2 * HOUR - 1
    live.read(0, ann=[800, 1000, 0, 0], bob=[-800, -500, 0, 0])
    live.until(EPOCH + 2 * HOUR)
    before = dict(live.state.balance)
    dispute = {"at": live.now, "actor": "bob", "session": 0, "participant": "bob", "reason": "meter"}
    live.do(RaiseDispute(id="1", **dispute))
    assert codes(live, RaiseDispute(id="1", **dispute)) == ["dispute_exists"]
    live.read(0, bob=[-800, -1000, 0, 0])
    live.do(DecideDispute(at=live.now, actor="op", id="1", accepted=True, settle_again=True))
    corrected = of(live, SettlementCorrected)[0]
    moved = live.state.balance[bill("bob")] - before[bill("bob")]
    assert moved == corrected.amount[corrected.account == 1].sum() > 0
    assert sum(live.state.balance.values()) == 0
    lines = live.state.sessions[0].lines()
    assert lines.imbalance[1, 1] == 0
    again = DecideDispute(at=live.now, actor="op", id="1", accepted=False)
    assert codes(live, again) == ["dispute_unknown"]
    late = live.state.sessions[0].settled.at + live.state.open_terms.dispute_s + 1
    assert codes(live, RaiseDispute(id="2", **(dispute | {"at": late}))) == ["dispute_late"]


# --- money ----------------------------------------------------------------------------------------


def test_escrow_pays_what_was_delivered_and_returns_the_rest():
    live = village(escrow=True, fee_ppm=10_000)
    traded(live)
    assert live.state.balance["escrow"] == 344_000
    assert live.state.balance[wallet("ann")] == 5_000_000 - 344_000
    live.now = EPOCH + 2 * HOUR - 1
    live.read(0, ann=[1000, 1000, 0, 0], bob=[-800, -500, 0, 0])
    live.until(EPOCH + 2 * HOUR)
    balance = live.state.balance
    assert balance["escrow"] == 0
    assert balance[wallet("ann")] == 5_000_000 - 224_000 - 60_000
    assert balance[wallet("bob")] == 5_000_000 + 284_000 - 2_840
    assert balance["operator:fees"] == 2_840
    assert sum(balance.values()) == 0
    # the bills note what escrow paid: the trades are paid but for what was not delivered
    lines = live.state.sessions[0].lines()
    due_ann = int(lines.total[:, 0].sum())
    assert balance[bill("ann")] == due_ann + 284_000


def test_estimates_prove_no_delivery():
    live = village(escrow=True)
    traded(live)
    live.until(EPOCH + 2 * HOUR)
    assert live.state.balance[wallet("ann")] == live.state.balance[wallet("bob")] == 5_000_000


def test_bids_beyond_the_wallet_are_refused():
    live = village(escrow=True, at=EPOCH - HOUR)
    live.until(live.now)
    much = one_bid(live, price=[6_000_000], quantity=[1000])
    assert codes(live, much) == ["insufficient_funds"]
    live.do(one_bid(live, price=[4_000_000], quantity=[1000]))
    assert codes(live, one_bid(live, price=[2_000_000], quantity=[1000])) == ["insufficient_funds"]
    drawn = WithdrawMoney(at=live.now, actor="op", participant="ann", amount=2_000_000)
    assert codes(live, drawn) == ["insufficient_funds"]
    live.keep("participant", "ann", "active", version=1, name="ann", overdraft_micro=3_000_000)
    live.do(one_bid(live, price=[2_000_000], quantity=[1000]))
    body = {"name": "ann", "overdraft_micro": 0}
    with pytest.raises(InputError) as caught:
        live.keep("participant", "ann", "active", version=2, **body)
    assert [fault.code for fault in caught.value.faults] == ["insufficient_funds"]


def test_payments_of_nothing_or_to_nobody_are_refused():
    live = village()
    assert codes(live, DepositMoney(at=live.now, actor="op", participant="zoe", amount=0)) == [
        "participant_unknown",
        "amount_out_of_bounds",
    ]
    live.do(WithdrawMoney(at=live.now, actor="op", participant="ann", amount=5_000_000))
    assert live.state.balance[wallet("ann")] == 0


def test_without_escrow_the_fee_is_on_the_bill():
    live = village(fee_ppm=10_000)
    traded(live)
    live.now = EPOCH + 2 * HOUR - 1
    live.read(0, ann=[800, 1000, 0, 0], bob=[-800, -1000, 0, 0])
    live.until(EPOCH + 2 * HOUR)
    assert live.state.balance["operator:fees"] == 3_440
    assert [event.kind for event in of(live, MoneyMoved)] == ["deposit"] * 4 + ["fee"]


# --- limits ---------------------------------------------------------------------------------------


def limit(live, **changes):
    """Return a command that lets ann take 2 kW in the first hour."""
    said = {
        "id": "l1",
        "place_kind": "participant",
        "place": "ann",
        "begins": EPOCH,
        "ends": EPOCH + HOUR,
        "import_kw": 2.0,
    }
    return DeclareLimit(at=live.now, **({"actor": "dso"} | said | changes))


def bought(live, code):
    """Return what a participant bought in session 0, Wh per period."""
    cleared = live.state.sessions[0].auction
    rows = (cleared.participant == code) & (cleared.side > 0)
    return np.bincount(cleared.period[rows], weights=cleared.accepted[rows], minlength=4).tolist()


@pytest.mark.parametrize(("kind", "place"), [("participant", "ann"), ("bus", BUSES[0])])
def test_a_declared_limit_cuts_the_bids_worth_least(kind, place):
    live = village(at=EPOCH - HOUR)
    live.until(live.now)
    live.do(limit(live, place_kind=kind, place=place))
    live.bid("ann", 0, (0, 1, 310_000, 400), (0, 1, 320_000, 300), (1, 1, 310_000, 500))
    live.until(EPOCH)
    assert bought(live, 0) == [500, 500, 0, 0]
    cleared = live.state.sessions[0].auction
    assert cleared.quantity[:2].tolist() == [200, 300]


def test_a_limit_on_giving_cuts_sales():
    live = village(at=EPOCH - HOUR)
    live.until(live.now)
    live.do(limit(live, place="bob", import_kw=float("inf"), export_kw=1.0))
    live.bid("bob", 0, (0, -1, 70_000, 400), (0, -1, 50_000, 200))
    live.until(EPOCH)
    cleared = live.state.sessions[0].auction
    assert cleared.accepted[:2].tolist() == [50, 200]


def test_an_emergency_binds_what_was_cleared_already():
    live = village()
    traded(live)
    live.do(limit(live, id="e", emergency=True, import_kw=1.0, reason="transformer"))
    live.do(limit(live, id="n", import_kw=1.0))
    live.now = EPOCH + 2 * HOUR - 1
    live.read(0, ann=[260, 1000, 0, 0])
    live.until(EPOCH + 2 * HOUR)
    broken = of(live, LimitsBroken)[0]
    assert broken.limit == ("e", "e")
    assert broken.net_wh.tolist() == [260, 1000]
    assert broken.allowed_wh.tolist() == [250, 250]


def test_texts_that_no_database_keeps_are_refused():
    live = village()
    assert codes(live, limit(live, reason="a\x00b", actor="\ud800")) == ["text_invalid", "text_invalid"]
    assert codes(live, limit(live, reason="a" * 2001)) == ["text_invalid"]
    live.do(limit(live, reason="zwei\nZeilen; DROP TABLE bids <b>"))


def test_limits_are_refused_with_reasons():
    live = village()
    assert codes(live, limit(live, begins=10**30, ends=10**31)) == ["time_invalid"]
    assert codes(live, limit(live, place="zoe")) == ["place_unknown"]
    assert codes(live, limit(live, place_kind="planet", ends=EPOCH - 10**6, import_kw=-1.0)) == [
        "place_unknown",
        "time_invalid",
        "field_invalid",
    ]


# --- the register ---------------------------------------------------------------------------------


def test_a_record_is_changed_by_who_knows_its_version():
    live = village()
    with pytest.raises(InputError) as caught:
        live.keep("participant", "ann", version=7, name="Ann", colour="red", overdraft_micro="much")
    assert [f.code for f in caught.value.faults] == ["version_conflict", "field_unknown", "field_invalid"]
    live.keep("participant", "ann", version=1, name="Ann")
    record = live.state.register.get("participant", "ann")
    assert (record.version, record.status, record.body["name"]) == (2, "active", "Ann")


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("planet", {}, "kind_unknown"),
        ("participant", {}, "field_missing"),
        ("participant", {"name": "a\x00b"}, "field_invalid"),
        ("connection_point", {"participant": "zoe", "bus": "Bus R4"}, "reference_unknown"),
        ("connection_point", {"participant": "ann", "bus": "nowhere"}, "place_unknown"),
        ("asset", {"participant": "ann", "type": "sun", "power_kw": 1}, "field_invalid"),
        ("forecast", {"participant": "ann", "first": 0, "kw": []}, "field_invalid"),
        ("product", {"name": "a", "market": "energy", "least_kw": -1}, "field_invalid"),
        ("organisation", {"name": "a", "role": "king"}, "field_invalid"),
    ],
)
def test_records_with_faults_are_refused(kind, body, code):
    live = village()
    with pytest.raises(InputError) as caught:
        live.keep(kind, "new", **body)
    assert [fault.code for fault in caught.value.faults] == [code]


def test_forecasts_load_the_grid_where_nobody_bids():
    live = village(at=EPOCH - HOUR)
    live.until(live.now)
    live.keep("forecast", "f", participant="dea", first=0, kw=[500.0] * 4)
    live.until(EPOCH)
    found = of(live, ScheduleChecked)[0].found
    assert "dea" in found.participants[0]


# --- replaying ------------------------------------------------------------------------------------


def same_state(one, other):
    assert one.balance == other.balance
    assert one.reserved == other.reserved
    assert one.events == other.events
    steps = ("next_open", "next_close", "next_publish", "next_settle", "next_bid", "oldest", "at")
    assert [getattr(one, name) for name in steps] == [getattr(other, name) for name in steps]
    assert {n: s.status for n, s in one.sessions.items()} == {n: s.status for n, s in other.sessions.items()}
    assert due(one, one.at + 900) == due(other, other.at + 900)


def test_the_events_up_to_any_moment_make_the_state_of_that_moment():
    live = village(escrow=True)
    traded(live)
    live.now = EPOCH + 2 * HOUR - 1
    live.read(0, ann=[1000, 1000, 0, 0], bob=[-800, -500, 0, 0])
    live.until(EPOCH + 2 * HOUR)
    same_state(replay(live.events), live.state)


def test_old_sessions_are_forgotten_when_nothing_can_change_them():
    live = village(at=EPOCH - HOUR, dispute_s=HOUR)
    for hour in range(49):
        live.until(EPOCH + hour * HOUR)
    assert len(live.state.sessions) < 12
    assert live.state.oldest > 36


# --- other markets --------------------------------------------------------------------------------


def test_a_market_on_wires_clears_live():
    prepared = prepare(small_scenario(market={"mechanism": "network"}), overrides={})
    live = Live(prepared, live_context(prepared), at=EPOCH - HOUR)
    for name, bus in zip(NAMES, BUSES, strict=True):
        live.join(name, bus)
    live.until(live.now)
    live.bid("ann", 0, (0, 1, 310_000, 1000))
    live.bid("bob", 0, (0, -1, 100_000, 1000))
    live.until(EPOCH)
    cleared = of(live, AuctionCleared)[0]
    assert cleared.network is not None
    assert cleared.accepted[:2].tolist() == [1000, 1000]


def small_scenario(**more):
    """Return the small scenario as a mapping."""
    listed = [
        {"participant": name, "bus": bus, "profile": "H0-A", "load_kw": 1.0}
        for name, bus in zip(NAMES, BUSES, strict=True)
    ]
    return {
        "name": "small",
        "grid": "cigre-lv",
        "period": {"start": "2016-05-23", "length": "1d"},
        "participants": {"list": listed},
        "tariffs": {"retail": 0.3, "feed_in": 0.08},
        **more,
    }


def test_the_small_scenario_has_four_homes():
    assert len(small().study.homes) == len(NAMES)


def test_zones_have_markets_and_controllers_live():
    scenario = small_scenario(market={"mechanism": "zonal"}, zones={"from": "distance", "count": 2})
    prepared = prepare(scenario, overrides={})
    live = Live(prepared, live_context(prepared), at=EPOCH - HOUR, escrow=True, readings_lead_s=0)
    for name, bus in zip(NAMES, BUSES, strict=True):
        live.join(name, bus, money=10_000_000)
    live.until(live.now)
    live.bid("ann", 0, (0, 1, 310_000, 1000))
    live.bid("bob", 0, (0, -1, 100_000, 600))
    live.bid("cem", 0, (0, -1, 90_000, 200))
    live.until(EPOCH)
    decided = of(live, TradesDecided)[0]
    assert decided.accepted[:3].tolist() == [1000, 600, 200]
    assert decided.decisions.approved.all()
    assert live.state.balance["escrow"] == 800 * 300
    live.until(EPOCH + HOUR)
    assert sum(live.state.balance.values()) == 0


def test_a_limit_of_a_zone_narrows_its_gate():
    scenario = small_scenario(market={"mechanism": "zonal"}, zones={"from": "distance", "count": 2})
    prepared = prepare(scenario, overrides={})
    live = Live(prepared, live_context(prepared), at=EPOCH - HOUR)
    live.join("ann", BUSES[0])
    zone = live.context.zone_of_bus[BUSES[0]]
    live.do(limit(live, place_kind="zone", place=zone, import_kw=2.0))
    live.until(live.now)
    live.bid("ann", 0, (0, 1, 310_000, 1000))
    live.until(EPOCH)
    assert of(live, TradesDecided)[0].accepted[0] == 500


def test_flexibility_is_traded_in_the_same_market():
    live = village()
    ann = flex.ConnectionPoint(participant="ann", bus=BUSES[0], import_kw=10.0, export_kw=5.0)
    terms = flex.FlexMarketTerms(
        points=(ann,),
        buyers=("DSO",),
        products=(("cap", flex.FlexProduct(direction="cap")),),
        start=EPOCH,
        first=0,
        periods=8,
        period_hours=0.25,
        settlement=("capacity_limit",),
    )
    live.do(flex.OpenFlexMarket(at=live.now, terms=terms))
    auction = flex.FlexAuction(
        number=0, horizon="activation", product="cap", first=0, count=1, gate=EPOCH - HOUR
    )
    live.do(flex.OpenFlexAuction(at=live.now, auction=auction))
    bids = flex.Bids(
        side=["buy", "sell"],
        price=[1.0, 0.2],
        quantity=[3.0, 5.0],
        period=[0, 0],
        participant=["DSO", "ann"],
    )
    live.do(flex.SubmitFlexBids(at=live.now, auction=0, bids=bids))
    late = flex.SubmitFlexBids(at=EPOCH, auction=0, bids=bids)
    live.until(EPOCH - HOUR)
    live.until(EPOCH + HOUR)
    assert live.state.flex.auctions[0].cleared
    assert live.state.flex.open_from >= 4
    with pytest.raises(InputError):
        live.do(late)
    again = replay(live.events)
    assert again.flex.open_from == live.state.flex.open_from
