"""The study is the acceptance test of the platform: the same bids and readings give the same market."""

import json
from threading import Event

import numpy as np
import pytest

from gridagora.adapters.clocks import FastClock
from gridagora.adapters.live import LiveRunner
from gridagora.adapters.sql.audit import replay, verify
from gridagora.adapters.sql.database import Database
from gridagora.bootstrap import live_context, live_terms, never, prepare, simulate, wires_of
from gridagora.engine.live.commands import KeepResource, OpenLiveMarket, SubmitBids, TakeReadings
from gridagora.engine.live.machine import apply, handle
from gridagora.engine.live.state import LiveState
from gridagora.engine.live.timetable import due
from gridagora.model.events import AuctionCleared, EnergyDelivered, SessionSettled
from gridagora.model.live_events import SessionPublished

LEAD_S = 7200
READINGS_S = 3600
DAY_S = 86_400
LATE_S = DAY_S
FACTOR = 14_400.0
"""An hour in a quarter of a second."""


class Market:
    """The live machine, event by event."""

    def __init__(self, prepared, epoch):
        self.context, self.state, self.events = live_context(prepared), LiveState(), []
        terms = live_terms(prepared, epoch=epoch, open_lead_s=LEAD_S, readings_lead_s=READINGS_S)
        self.do(OpenLiveMarket(at=epoch - LEAD_S, actor="op", terms=terms))

    def do(self, command):
        for event in handle(self.state, command, self.context):
            apply(self.state, event)
            self.events.append(event)

    def until(self, moment):
        while (command := due(self.state, moment)) is not None:
            self.do(command)


class StoredMarket:
    """A market at work in a database: its clock is a real one while it is talked to, then runs fast."""

    def __init__(self, prepared, epoch, url):
        self.url, self.waiting = url, []
        terms = live_terms(prepared, epoch=epoch, open_lead_s=DAY_S, readings_lead_s=LATE_S)
        clock = FastClock(epoch - LEAD_S, factor=1.0)
        self.runner = LiveRunner(url, live_context(prepared), terms, clock=clock)

    def do(self, command):
        self.waiting.append(self.runner.submit(command))

    def answered(self):
        """Wait until all that was handed in is on disk."""
        for future in self.waiting:
            future.result(60)
        self.waiting.clear()

    def run_until(self, moment, kind, session):
        """Let the clock run fast until a moment and until a session has come to a step."""
        self.answered()
        there = Event()
        stop = self.runner.listen(
            lambda _, events: [there.set() for e in events if isinstance(e, kind) and e.session >= session]
        )
        self.runner.clock = FastClock(self.runner.clock.now(), factor=FACTOR)
        assert there.wait(120)
        self.runner.clock.wait_until(moment)
        stop()
        self.runner.clock = FastClock(self.runner.clock.now(), factor=1.0)

    def close(self):
        """Stop; return the events, which are those of the read tables."""
        name = self.runner.name
        self.runner.close()
        with Database(self.url) as database:
            assert verify(database, name).findings == ()
            assert replay(database, name).findings == ()
            return list(database.events(name))


def enter(market, home, at):
    """Register a home with a connection point and an asset."""
    records = (
        ("participant", "active", {"name": home.participant, "passive": home.passive}),
        (
            "connection_point",
            "active",
            {"participant": home.participant, "bus": home.bus, "phase": home.phase or 0},
        ),
        ("asset", "approved", {"participant": home.participant, "type": "pv", "power_kw": 10}),
    )
    for kind, status, body in records:
        market.do(
            KeepResource(
                at=at, actor="op", kind=kind, id=home.participant, status=status, body=json.dumps(body)
            )
        )


def bid(market, study, cleared, at):
    """Hand the bids of a session of the study in, as runs of rows of one home."""
    rows = np.flatnonzero((cleared.participant < len(study.homes)) & (cleared.quantity > 0))
    starts = np.flatnonzero(np.diff(cleared.participant[rows], prepend=-1))
    for part in np.split(rows, starts[1:]):
        name = study.homes[int(cleared.participant[part[0]])].participant
        columns = {n: getattr(cleared, n)[part] for n in ("period", "side", "price", "quantity")}
        market.do(SubmitBids(at=at, actor=name, session=cleared.session, participant=name, **columns))


def read(market, study, delivered, at):
    """Send what the meters of the study showed."""
    period, who = np.indices(delivered.metered_wh.shape)
    wh = delivered.metered_wh.ravel()
    market.do(
        TakeReadings(
            at=at,
            actor="meters",
            source="study",
            participants=tuple(home.participant for home in study.homes),
            participant=who.ravel(),
            period=period.ravel() + delivered.first,
            import_wh=np.maximum(wh, 0),
            export_wh=np.maximum(-wh, 0),
        )
    )


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def same(ours, theirs, names, rows=slice(None)):
    for name in names:
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)[rows], equal_nan=True), name


def is_played(prepared):
    """Run a study, then its bids and readings through a live market; hold both against each other."""
    study = prepared.study
    done = simulate(prepared, wires_of(prepared), progress=lambda *_: None, stop=never).events
    epoch = int(study.axis.start.astype(np.int64))
    market = Market(prepared, epoch)
    for home in study.homes:
        enter(market, home, epoch - LEAD_S)
    delivered = {event.session: event for event in of(done, EnergyDelivered)}
    for cleared in of(done, AuctionCleared):
        now = market.state.open_terms.session(cleared.session).gate - 1
        market.until(now)
        bid(market, study, cleared, now)
        if cleared.session >= 2:  # its last period is over, its settlement is due in a second
            read(market, study, delivered.pop(cleared.session - 2), now)
    for event in delivered.values():
        end = market.state.open_terms.session(event.session).delivery_end
        market.until(end)
        read(market, study, event, end)
    market.until(market.state.open_terms.begins(study.axis.periods) + READINGS_S)

    is_the_study(market.events, done, homes=len(study.homes))
    return done


@pytest.mark.parametrize("mechanism", ["pay_as_cleared", "pay_as_bid", "vickrey"])
def test_homes_that_bid_through_the_live_market_get_what_the_study_gave_them(mechanism):
    changes = {"period.length": "6h", "agents.ems": "rule_based", "market.mechanism": mechanism}
    changes |= {"period.start": "2016-05-09T09:00"}
    prepared = prepare("village", overrides=changes)
    is_played(prepared)


def test_a_day_of_varying_prices_gives_what_the_study_gave_with_the_same_file(tmp_path):
    hours = np.arange(np.datetime64("2016-05-08T00"), np.datetime64("2016-05-12T00"), dtype="datetime64[h]")
    rows = [f"{hour}:00Z,{200 + (37 * k) % 180}" for k, hour in enumerate(hours.astype(str).tolist())]
    file = tmp_path / "prices.csv"
    file.write_text("\n".join(["time,price", *rows]), encoding="utf-8")
    changes = {"period.start": "2016-05-09", "period.length": "1d", "agents.ems": "rule_based"}
    prices = {"file": str(file), "per": "MWh", "timezone": "UTC"}
    prepared = prepare("village", overrides=changes | {"tariffs.retail": prices})
    done = is_played(prepared)
    paid = {price for event in of(done, SessionSettled) for price in event.trades.buyer_price.tolist()}
    assert len(paid) > 10


def test_homes_that_bid_through_a_served_store_get_what_the_study_gave_them(tmp_path):
    changes = {"period.start": "2016-05-09", "period.length": "14h", "agents.ems": "rule_based"}
    prepared = prepare("village", overrides=changes)
    study = prepared.study
    done = simulate(prepared, wires_of(prepared), progress=lambda *_: None, stop=never).events
    epoch = int(study.axis.start.astype(np.int64))
    market = StoredMarket(prepared, epoch, f"sqlite:///{tmp_path}/village.db")
    for home in study.homes:
        enter(market, home, 0)
    last = of(done, AuctionCleared)[-1].session
    while market.runner.ask(lambda state: state.next_open) <= last:
        pass  # sessions are opened one after the other
    for cleared in of(done, AuctionCleared):
        bid(market, study, cleared, 0)
    end = market.runner.terms.session(last).delivery_end
    market.run_until(end, SessionPublished, last)
    for delivered in of(done, EnergyDelivered):
        read(market, study, delivered, 0)
    market.run_until(end, SessionSettled, last)
    is_the_study(market.close(), done, homes=len(study.homes), whole=True)


def is_the_study(events, done, *, homes, whole=False):
    """Hold the events of a live market against those of the study; ``whole``: it began with a local day."""
    count = len(of(done, SessionSettled))
    for ours, theirs in zip(of(events, AuctionCleared)[:count], of(done, AuctionCleared), strict=True):
        traded = (theirs.quantity > 0) | (theirs.participant == homes)
        columns = ("participant", "period", "side", "price", "quantity", "accepted", "paid")
        same(ours, theirs, columns, traded)
        same(ours, theirs, ("clearing_price",))
    for ours, theirs in zip(of(events, EnergyDelivered), of(done, EnergyDelivered), strict=True):
        same(ours, theirs, ("cleared_kw", "metered_wh"))
    for ours, theirs in zip(of(events, SessionSettled), of(done, SessionSettled), strict=True):
        same(ours.trades, theirs.trades, type(ours.trades).__dataclass_fields__)
        same(ours.lines, theirs.lines, type(ours.lines).__dataclass_fields__)
        if ours.session or whole:  # the study's first period begins a day of its own, whatever the clock says
            same(ours, theirs, ("entry", "account", "amount"))
