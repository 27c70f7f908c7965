"""What limits cost: who goes beyond them pays, who obeys an emergency does not; disputes book differences."""

import numpy as np
import pytest
from live_village import BUSES, EPOCH, NAMES, Live

from gridagora.engine.live.commands import DecideDispute, DeclareLimit, RaiseDispute
from gridagora.engine.live.held import LIMITS, hold_against
from gridagora.engine.live.limits import PlaceLimit
from gridagora.engine.live.machine import replay
from gridagora.engine.live.money import bill
from gridagora.engine.live.notices import notices
from gridagora.errors import InputError
from gridagora.model.live import LiveTerms
from gridagora.model.live_events import LimitsBroken, MoneyMoved

HOUR = 3600
PRICE = 2.0
"""Of a kWh beyond a limit."""


def village(*, buses=BUSES, **changes):
    """Return a market in which ann has bought 1 kWh of bob for each of the first two quarters of an hour."""
    terms = {"gate_lead_s": 900, "open_lead_s": 2 * HOUR, "readings_lead_s": HOUR, "breach_price": PRICE}
    live = Live(**(terms | changes))
    for name, bus in zip(NAMES, buses, strict=True):
        live.join(name, bus)
    live.until(EPOCH - HOUR)
    for period in (0, 1):
        live.bid("ann", 0, (period, 1, 200_000, 1000))
        live.bid("bob", 0, (period, -1, 200_000, 1000))
    live.until(EPOCH - 900)
    return live


def emergency(live, place="ann", *, kind="participant", import_kw=np.inf, export_kw=np.inf, **changes):
    """Declare an emergency for the first quarter of an hour."""
    said = {"id": "e", "begins": EPOCH, "ends": EPOCH + 900, "reason": "transformer"} | changes
    live.do(
        DeclareLimit(
            at=live.now,
            actor="dso",
            place_kind=kind,
            place=place,
            import_kw=import_kw,
            export_kw=export_kw,
            emergency=True,
            **said,
        )
    )


def settled(live, **net_wh):
    """Read the meters of the first session and settle it."""
    live.now = EPOCH + HOUR
    live.read(0, **net_wh)
    live.until(EPOCH + 2 * HOUR)
    session = live.state.sessions[0]
    assert session.status == "settled"
    assert sum(live.state.balance.values()) == 0
    replayed = replay(live.events)
    assert replayed.balance == live.state.balance
    assert replayed.sessions[0].limit_money == session.limit_money
    return session


def moved(live, kind):
    """Return what was booked of a kind, by account."""
    found = {}
    for event in live.events:
        if isinstance(event, MoneyMoved) and event.kind == kind:
            for account, amount in zip(event.accounts, event.amount.tolist(), strict=True):
                found[account] = found.get(account, 0) + amount
    return found


def test_energy_beyond_a_limit_is_paid_for_at_the_price_of_the_terms():
    live = village()
    emergency(live, import_kw=2.0)
    session = settled(live, ann=[800, 1000, 0, 0], bob=[-1000, -1000, 0, 0])
    assert session.broken.net_wh.tolist() == [800]
    assert moved(live, "breach") == {"participant:ann": -600_000, LIMITS: 600_000}  # 300 Wh at 2.00


def test_without_a_price_a_breach_is_told_and_costs_nothing():
    live = village(breach_price=0.0)
    emergency(live, import_kw=2.0)
    session = settled(live, ann=[1000, 1000, 0, 0], bob=[-1000, -1000, 0, 0])
    assert session.broken.net_wh.tolist() == [1000]
    assert session.limit_money == {}
    assert LIMITS not in live.state.balance


def test_a_buyer_that_obeys_pays_for_what_it_got_and_no_imbalance():
    live = village()
    emergency(live, import_kw=1.0)
    session = settled(live, ann=[250, 1000, 0, 0], bob=[-1000, -1000, 0, 0])
    assert session.broken is None
    lines = session.lines()
    assert not lines.imbalance.any()
    assert lines.traded_wh[0, :2].tolist() == [250, -1000]
    assert lines.retail[0, 0] == 60_000  # 750 Wh that it has bought go to the retailer at 0.08
    assert moved(live, "emergency") == {"participant:ann": 90_000, LIMITS: -90_000}  # and 0.12 are made up
    energy = lines.energy[0, 0] + lines.retail[0, 0] + 90_000
    assert energy == -50_000  # 250 Wh at 0.20


def test_a_seller_that_obeys_is_paid_as_if_it_had_delivered():
    live = village()
    emergency(live, "bob", export_kw=0.0)
    session = settled(live, ann=[1000, 1000, 0, 0], bob=[0, -1000, 0, 0])
    lines = session.lines()
    assert not lines.imbalance.any()
    assert moved(live, "emergency") == {"participant:bob": 300_000, LIMITS: -300_000}
    assert lines.energy[0, 1] + lines.retail[0, 1] + 300_000 == 200_000
    assert "breach" not in session.limit_money


def test_what_goes_beyond_what_was_ordered_is_imbalance_as_ever():
    live = village()
    emergency(live, "bob", export_kw=2.0)
    session = settled(live, ann=[1000, 1000, 0, 0], bob=[0, -1000, 0, 0])
    lines = session.lines()
    assert lines.traded_wh[0, 1] == -500
    price = session.closed.imbalance_short[0]
    assert lines.imbalance[0, 1] == -price // 2


def test_neighbours_behind_one_limit_answer_for_what_each_of_them_did():
    live = village(buses=(BUSES[0], BUSES[1], BUSES[0], BUSES[3]))
    emergency(live, BUSES[0], kind="bus", import_kw=1.0)
    session = settled(live, ann=[250, 1000, 0, 0], bob=[-1000, -1000, 0, 0], cem=[400, 0, 0, 0])
    assert session.broken.net_wh.tolist() == [650]
    assert not session.lines().imbalance[:, 0].any()
    assert moved(live, "breach") == {"participant:cem": -800_000, LIMITS: 800_000}
    assert moved(live, "emergency") == {"participant:ann": 90_000, LIMITS: -90_000}


def test_who_never_trades_answers_for_its_energy_too():
    live = village()
    live.keep("participant", "cem", "active", version=1, name="cem", passive=True)
    live.until(EPOCH - 900 + HOUR)
    emergency(live, "cem", import_kw=0.0, begins=EPOCH + HOUR, ends=EPOCH + HOUR + 900)
    live.now = EPOCH + 2 * HOUR
    live.read(1, cem=[500, 0, 0, 0])
    live.until(EPOCH + 3 * HOUR)
    assert live.state.sessions[1].closed.passive[2]
    assert moved(live, "breach") == {"participant:cem": -1_000_000, LIMITS: 1_000_000}
    assert moved(live, "emergency") == {}


def test_an_emergency_binds_the_periods_that_begin_after_it_was_declared():
    live = village()
    live.now = EPOCH + 60
    emergency(live, import_kw=0.0, ends=EPOCH + HOUR)
    session = settled(live, ann=[1000, 1000, 0, 0], bob=[-1000, -1000, 0, 0])
    assert session.broken.period.tolist() == [1]


def test_what_takes_an_emergencys_place_does_not_change_what_was():
    live = village()
    emergency(live, import_kw=0.0, ends=EPOCH + HOUR)
    live.now = EPOCH + 900
    emergency(live, ends=EPOCH + HOUR)  # over: no limit any more
    session = settled(live, ann=[1000, 1000, 0, 0], bob=[-1000, -1000, 0, 0])
    assert session.broken.period.tolist() == [0]


def test_a_dispute_books_what_other_readings_change():
    live = village(dispute_s=10 * HOUR)
    emergency(live, import_kw=2.0)
    settled(live, ann=[800, 1000, 0, 0], bob=[-1000, -1000, 0, 0])
    before = live.state.balance[bill("ann")]
    live.read(0, ann=[400, 1000, 0, 0])
    raised = RaiseDispute(at=live.now, actor="ann", id="d", session=0, participant="ann", reason="meter")
    live.do(raised)
    live.do(DecideDispute(at=live.now, actor="op", id="d", accepted=True, settle_again=True))
    assert moved(live, "breach") == {"participant:ann": 0, LIMITS: 0}
    lines = live.state.sessions[0].lines()
    # 500 Wh were to be given up and 600 were: the rest is imbalance, and the operator makes up for the half
    assert lines.traded_wh[0, 0] == 500
    assert moved(live, "emergency") == {"participant:ann": 60_000, LIMITS: -60_000}
    assert live.state.balance[bill("ann")] == lines.total[:, 0].sum() + 60_000
    assert before != live.state.balance[bill("ann")]
    assert sum(live.state.balance.values()) == 0
    assert replay(live.events).balance == live.state.balance


def test_those_concerned_are_told():
    live = village()
    emergency(live, import_kw=2.0)
    settled(live, ann=[800, 1000, 0, 0], bob=[-1000, -1000, 0, 0])
    event = next(event for event in live.events if isinstance(event, MoneyMoved) and event.kind == "breach")
    (told,) = notices(1, event, live.state)
    assert (told.participant, told.topic, told.text) == ("ann", "limits", "Energy beyond a limit: -0.60.")
    assert any(isinstance(event, LimitsBroken) for event in live.events)


@pytest.mark.parametrize("price", [-1.0, float("nan"), 1e9])
def test_a_price_that_is_none_is_refused(price):
    with pytest.raises(InputError, match="breach_price"):
        LiveTerms(name="a", epoch=0, scenario="", breach_price=price)


@pytest.mark.parametrize("seed", range(20))
def test_shares_are_whole_and_add_up(seed):
    draw = np.random.default_rng(seed)
    scheduled, metered = draw.integers(-1000, 1000, (2, 6, 5))
    inside = draw.random(5) < 0.7
    most = draw.integers(0, 800, 6).astype(float)
    limit = PlaceLimit(id="e", inside=inside, most_wh=most, least_wh=-most)
    held = hold_against((limit,), scheduled, metered)
    net = metered[:, inside].sum(axis=1)
    assert held.beyond_wh.sum(axis=1).tolist() == np.maximum(np.abs(net) - most, 0).tolist()
    assert not held.beyond_wh[:, ~inside].any()
    left = scheduled + held.excused_wh
    assert (np.abs(left) <= np.abs(scheduled)).all()
    assert (np.sign(left) * np.sign(scheduled) >= 0).all()
    assert (np.abs(metered - left) <= np.abs(metered - scheduled)).all()  # nobody is worse off for it
    plan = scheduled[:, inside].sum(axis=1)
    cut = np.maximum(np.abs(plan) - most, 0)
    assert (np.abs(held.excused_wh[:, inside].sum(axis=1)) <= cut).all()
