"""Acts as the homes of the demonstration: bids before each gate, readings after each delivery."""

import logging
from collections.abc import Callable, Mapping, Sequence
from threading import Event as Signal
from threading import Lock, Thread

import numpy as np

from gridagora.engine.live.commands import DepositMoney, SubmitBids, TakeReadings
from gridagora.errors import GridAgoraError, InputError
from gridagora.model.events import AuctionCleared, Event
from gridagora.model.live import LiveTerms
from gridagora.model.live_events import GateClosed, Ints
from gridagora.model.time import SECONDS_PER_DAY
from gridagora.service.demo.homes import VillageHomes
from gridagora.service.platform import Market
from gridagora.units import MICRO

LOG = logging.getLogger("gridagora.demo")

BID_LEAD_S = 600
"""Homes bid so long before the gate, in the market's time."""

PAYMENT_DAYS, PAYMENT = 7, 40 * MICRO
"""So often each home pays in, and how much, micro-units."""

LOOK_S = 0.05
"""How often the clock is looked at, in real time."""

ACTOR = "demo"

_NOTHING: Mapping[str, Ints] = {}


class Bots:
    """A thread that acts as all homes of the village, by the same commands that people and machines send.

    What comes too late, as when the clock is too fast for this machine, is left out: the market estimates
    readings, and who did not bid is supplied by the retailer.

    Parameters
    ----------
    market : that runs
    terms : of the market
    homes : who is acted as
    acts : whether it is this program's turn; another one acts while that one writes the market
    """

    def __init__(
        self, market: Market, terms: LiveTerms, homes: VillageHomes, *, acts: Callable[[], bool]
    ) -> None:
        self._market = market
        self._acts = acts
        self._terms = terms
        self._homes = homes
        self._ended = Signal()
        self._lock = Lock()
        self._gates: dict[int, GateClosed] = {}
        self._cleared: dict[int, AuctionCleared] = {}
        self._thread = Thread(target=self._work, name="demo homes", daemon=True)

    def start(self) -> None:
        """Begin with the first session whose gate is far enough ahead."""
        self._market.watch(self._told)
        self._thread.start()

    def stop(self) -> None:
        """End after what is being sent."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30.0)

    def _told(self, _first: int, events: Sequence[Event]) -> None:
        with self._lock:
            for event in events:
                if isinstance(event, GateClosed):
                    self._gates[event.session] = event
                elif isinstance(event, AuctionCleared):
                    self._cleared[event.session] = event

    def _work(self) -> None:
        session, read = self._next(), _NOTHING
        while not self._ended.is_set():
            try:
                read = self._live(session, read) if self._acts() else _NOTHING
                session += 1
            except GridAgoraError as error:
                LOG.warning("session %d of the demonstration was left out: %s", session, error)
                self._ended.wait(1.0)
                read = _NOTHING
            if self._market.now() >= self._terms.session(session).gate or not self._acts():
                session, read = self._next(), _NOTHING
                self._ended.wait(LOOK_S)

    def _next(self) -> int:
        """Return the first session that there is still time to bid in."""
        ready = self._market.now() + BID_LEAD_S + self._terms.gate_lead_s
        return self._terms.session_of(self._terms.period_at(ready)) + 1

    def _live(self, session: int, read: Mapping[str, Ints]) -> Mapping[str, Ints]:
        """Live through a session; send what was read in the one before, return what will be read."""
        times = self._terms.session(session)
        if not self._wait_until(times.gate - BID_LEAD_S):
            return _NOTHING
        self._bid(session)
        if not self._wait_until(times.gate) or not self._wait_for_clearing(session):
            return _NOTHING
        with self._lock:
            gate, cleared = self._gates.pop(session, None), self._cleared.pop(session, None)
            for seen in [known for known in self._gates if known < session]:
                del self._gates[seen], self._cleared[seen]
        net_wh = self._homes.deliver(session, gate, cleared)
        if read and self._wait_until(times.delivery_start):
            self._read(session - 1, read)
        return net_wh

    def _wait_until(self, moment: int) -> bool:
        """Wait for a moment of the market; return False where the end came first."""
        while self._market.now() < moment:
            if self._ended.wait(LOOK_S):
                return False
        return not self._ended.is_set()

    def _wait_for_clearing(self, session: int) -> bool:
        """Wait until a session is cleared, at most until its delivery is over."""
        end = self._terms.session(session).delivery_end
        while session not in self._cleared and self._market.now() < end:
            if self._ended.wait(LOOK_S):
                return False
        return True

    def _bid(self, session: int) -> None:
        now = self._market.now()
        if (
            session % (PAYMENT_DAYS * SECONDS_PER_DAY // (self._terms.mtu_s * self._terms.session_periods))
            == 0
        ):
            self._pay_in(now)
        sent = [
            self._market.submit(
                SubmitBids(
                    at=now,
                    actor=ACTOR,
                    session=session,
                    participant=name,
                    period=bids.period,
                    side=bids.side,
                    price=bids.price,
                    quantity=bids.quantity,
                )
            )
            for name, bids in self._homes.bids(session).items()
        ]
        refused: list[InputError] = []
        for one in sent:
            try:
                one.result()
            except InputError as error:
                refused.append(error)
        if refused:
            told = "bids of %d homes of the demonstration were refused in session %d: %s"
            LOG.warning(told, len(refused), session, refused[0])

    def _pay_in(self, now: int) -> None:
        for name in self._homes.names:
            self._market.submit(
                DepositMoney(
                    at=now, actor=ACTOR, participant=name, amount=PAYMENT, reference="weekly payment"
                )
            ).result()

    def _read(self, session: int, net_wh: Mapping[str, Ints]) -> None:
        """Send what the meters of all homes read in a session."""
        times = self._terms.session(session)
        wh = np.concatenate(list(net_wh.values()))
        command = TakeReadings(
            at=self._market.now(),
            actor=ACTOR,
            source="demo",
            participants=tuple(net_wh),
            participant=np.repeat(np.arange(len(net_wh)), times.count),
            period=np.tile(times.first + np.arange(times.count), len(net_wh)),
            import_wh=np.maximum(wh, 0),
            export_wh=np.maximum(-wh, 0),
        )
        try:
            self._market.submit(command).result()
        except InputError as error:
            LOG.warning("the readings of session %d were refused: %s", session, error)
