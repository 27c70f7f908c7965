"""A program that bids in a live market until it is killed, and says what it was told is on disk."""

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "unit"))

from live_village import BUSES, EPOCH, NAMES, small, small_context

from gridagora.adapters.clocks import FastClock
from gridagora.adapters.live import LiveRunner
from gridagora.bootstrap import live_terms
from gridagora.engine.live.commands import DepositMoney, KeepResource, SubmitBids, TakeReadings
from gridagora.errors import InputError

TERMS = {"escrow": True, "open_lead_s": 14_400, "readings_lead_s": 1800, "gate_lead_s": 300, "fee_ppm": 1000}
FACTOR = 9000
"""Two and a half hours of the market in a second."""


def runner(url, factor=FACTOR):
    """Return the market of the tests on a database."""
    clock = FastClock(EPOCH - 7200, factor=factor)
    return LiveRunner(url, small_context(), live_terms(small(), epoch=EPOCH, **TERMS), clock=clock)


def enter(live):
    """Register the homes, once."""
    for name, bus in zip(NAMES, BUSES, strict=True):
        records = (
            ("participant", "active", {"name": name}),
            ("connection_point", "active", {"participant": name, "bus": bus}),
            ("asset", "approved", {"participant": name, "type": "pv", "power_kw": 10}),
        )
        for kind, status, body in records:
            text = json.dumps(body)
            command = KeepResource(at=0, actor="op", kind=kind, id=name, body=text, status=status)
            live.do(command, key=f"{kind} {name}")
        paid = DepositMoney(at=0, actor="op", participant=name, amount=10**9)
        live.do(paid, key=f"deposit {name}")


def bid(live, cycle, number):
    """Bid in the session that opened last; say so when it is on disk."""
    key = f"{cycle} {number}"
    session = live.ask(lambda state: state.next_open - 1)
    name = NAMES[number % len(NAMES)]
    side = 1 if number % 2 else -1
    command = SubmitBids(
        at=0,
        actor=name,
        session=session,
        participant=name,
        period=[session * 4 + number % 4],
        side=[side],
        price=[200_000 + side * number % 1000],
        quantity=[1 + number % 500],
    )
    try:
        print(key, live.do(command, key=key).answer, flush=True)
    except InputError as error:
        print("#", key, error.faults[0].code, flush=True)


def read(live, cycle, number):
    """Send the readings of the session that is settled next, as soon as it is over."""
    terms, now = live.ask(lambda state: (state.terms, state.at))
    session = live.ask(lambda state: state.next_settle)
    if terms.session(session).delivery_end > now:
        return
    count = len(NAMES) * 4
    command = TakeReadings(
        at=0,
        actor="meters",
        source="test",
        participants=NAMES,
        participant=[k // 4 for k in range(count)],
        period=[session * 4 + k % 4 for k in range(count)],
        import_wh=[100] * count,
        export_wh=[50 * (k % 3) for k in range(count)],
    )
    key = f"{cycle} read {number}"
    try:
        print(key, live.do(command, key=key).answer, flush=True)
    except InputError as error:
        print("#", key, error.faults[0].code, flush=True)


def main(url, cycle):
    """Bid for ever."""
    with runner(url) as live:
        enter(live)
        print("ready", flush=True)
        number = 0
        while True:
            bid(live, cycle, number)
            if number % 20 == 0:
                read(live, cycle, number)
            number += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
