"""A small live market for tests: four homes on the smallest feeder, hourly sessions of quarter-hours."""

import json
from functools import cache

import numpy as np

from gridagora.bootstrap import live_context, live_terms, prepare
from gridagora.engine.live.commands import (
    DepositMoney,
    KeepResource,
    OpenLiveMarket,
    SubmitBids,
    TakeReadings,
)
from gridagora.engine.live.machine import apply, handle
from gridagora.engine.live.state import LiveState
from gridagora.engine.live.timetable import due

EPOCH = 1_767_225_600
"""2026-01-01T00:00Z."""

NAMES = ("ann", "bob", "cem", "dea")


@cache
def small():
    """Return a prepared scenario of four homes."""
    listed = [
        {"participant": name, "bus": bus, "profile": "H0-A", "load_kw": 1.0}
        for name, bus in zip(NAMES, BUSES, strict=True)
    ]
    return prepare(
        {
            "name": "small",
            "grid": "cigre-lv",
            "period": {"start": "2016-05-23", "length": "1d"},
            "participants": {"list": listed},
            "tariffs": {"retail": 0.3, "feed_in": 0.08, "standing_per_day": 0.24},
        },
        overrides={},
    )


class Live:
    """A market in memory: carries out commands, keeps their events."""

    def __init__(self, prepared=None, context=None, **changes):
        self.prepared = prepared or small()
        self.context = context or small_context()
        self.state = LiveState()
        self.events = []
        self.now = changes.pop("at", EPOCH - 7200)
        terms = live_terms(self.prepared, epoch=changes.pop("epoch", EPOCH), **changes)
        self.do(OpenLiveMarket(at=self.now, actor="op", terms=terms))

    def do(self, command):
        """Carry out a command."""
        made = handle(self.state, command, self.context)
        for event in made:
            apply(self.state, event)
        self.events.extend(made)
        return made

    def keep(self, kind, id_, status="", version=0, **body):
        """Keep a record."""
        text = json.dumps(body)
        command = KeepResource(
            at=self.now, actor="op", kind=kind, id=id_, body=text, status=status, version=version
        )
        return self.do(command)

    def join(self, name, bus, *, seller=True, money=0, **more):
        """Let somebody take part."""
        self.keep("participant", name, "active", name=name, **more)
        self.keep("connection_point", f"{name}-1", "active", participant=name, bus=bus)
        if seller:
            self.keep("asset", f"{name}-pv", "approved", participant=name, type="pv", power_kw=10)
        if money:
            self.do(DepositMoney(at=self.now, actor="op", participant=name, amount=money))

    def bid(self, name, session, *rows):
        """Hand in bids: (period, side, micro per kWh, Wh)."""
        period, side, price, quantity = zip(*rows, strict=True)
        return self.do(
            SubmitBids(
                at=self.now,
                actor=name,
                session=session,
                participant=name,
                period=period,
                side=side,
                price=price,
                quantity=quantity,
            )
        )

    def read(self, session, **net_wh):
        """Send the readings of a session: net import of each period, Wh."""
        times = self.state.open_terms.session(session)
        rows = [
            (k, times.first + p, wh) for k, name in enumerate(net_wh) for p, wh in enumerate(net_wh[name])
        ]
        who, period, wh = (np.array(column) for column in zip(*rows, strict=True))
        return self.do(
            TakeReadings(
                at=self.now,
                actor="meters",
                source="test",
                participants=tuple(net_wh),
                participant=who,
                period=period,
                import_wh=np.maximum(wh, 0),
                export_wh=np.maximum(-wh, 0),
            )
        )

    def until(self, moment):
        """Carry out all that is due up to a moment."""
        self.now = moment
        while (command := due(self.state, moment)) is not None:
            self.do(command)


@cache
def small_context():
    """Return the context of the small scenario."""
    return live_context(small())


BUSES = ("Bus R4", "Bus R6", "Bus R11", "Bus R15")
