"""The study is the acceptance test of the platform: the same bids and readings give the same market."""

import json

import numpy as np
import pytest

from gridagora.bootstrap import live_context, live_terms, never, prepare, simulate, wires_of
from gridagora.engine.live.commands import KeepResource, OpenLiveMarket, SubmitBids, TakeReadings
from gridagora.engine.live.machine import apply, handle
from gridagora.engine.live.state import LiveState
from gridagora.engine.live.timetable import due
from gridagora.model.events import AuctionCleared, EnergyDelivered, SessionSettled

LEAD_S = 7200
READINGS_S = 3600


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


@pytest.mark.parametrize("mechanism", ["pay_as_cleared", "pay_as_bid", "vickrey"])
def test_homes_that_bid_through_the_live_market_get_what_the_study_gave_them(mechanism):
    changes = {"period.length": "6h", "agents.ems": "rule_based", "market.mechanism": mechanism}
    changes |= {"period.start": "2016-05-09T09:00"}
    prepared = prepare("village", overrides=changes)
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

    count = len(of(done, SessionSettled))
    for ours, theirs in zip(of(market.events, AuctionCleared)[:count], of(done, AuctionCleared), strict=True):
        traded = (theirs.quantity > 0) | (theirs.participant == len(study.homes))
        columns = ("participant", "period", "side", "price", "quantity", "accepted", "paid")
        same(ours, theirs, columns, traded)
        same(ours, theirs, ("clearing_price",))
    for ours, theirs in zip(of(market.events, EnergyDelivered), of(done, EnergyDelivered), strict=True):
        same(ours, theirs, ("cleared_kw", "metered_wh"))
    for ours, theirs in zip(of(market.events, SessionSettled), of(done, SessionSettled), strict=True):
        same(ours.trades, theirs.trades, type(ours.trades).__dataclass_fields__)
        same(ours.lines, theirs.lines, type(ours.lines).__dataclass_fields__)
        if ours.session:  # the study's first period begins a day of its own, whatever the clock says
            same(ours, theirs, ("entry", "account", "amount"))
