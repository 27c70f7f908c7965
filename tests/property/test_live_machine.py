"""Whatever is asked of a live market: money is neither made nor lost, no bid is lost, events tell it all."""

import json
import sys
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from live_village import BUSES, EPOCH, NAMES, Live

from gridagora.engine.live.commands import (
    DecideDispute,
    DeclareLimit,
    DepositMoney,
    KeepResource,
    NoteStuck,
    RaiseDispute,
    SettleBySchedule,
    SubmitBids,
    TakeReadings,
    WithdrawBids,
    WithdrawMoney,
)
from gridagora.engine.live.held import LIMITS
from gridagora.engine.live.machine import apply, replay
from gridagora.engine.live.money import wallet
from gridagora.engine.live.payment_commands import ClosePayments
from gridagora.engine.live.refusals import CODES
from gridagora.engine.live.state import LiveState
from gridagora.engine.live.timetable import due
from gridagora.errors import InputError
from gridagora.model.live_events import BidsTaken, BidsWithdrawn, MoneyMoved
from gridagora.model.money_events import PaymentsClosed

HOUR = 3600
names = st.sampled_from((*NAMES, "eve"))


class Market(RuleBasedStateMachine):
    """Homes, meters and the operator, in any order, on a clock that only goes forward."""

    @initialize(escrow=st.booleans(), fee=st.sampled_from([0, 25_000]))
    def opens(self, escrow, fee):
        leads = {"gate_lead_s": 600, "open_lead_s": 2 * HOUR, "readings_lead_s": HOUR, "dispute_s": 3 * HOUR}
        self.live = Live(at=EPOCH - 2 * HOUR, escrow=escrow, fee_ppm=fee, breach_price=0.5, **leads)
        for name, bus in zip(NAMES, BUSES, strict=True):
            self.live.join(name, bus, money=300_000, seller=name != "dea")
        self.live.until(self.live.now)
        self.disputes = 0

    def ask(self, command):
        """Carry out a command or have it refused for stated reasons, without an effect."""
        before = self.live.state.events, dict(self.live.state.balance), self.live.state.next_bid
        try:
            return self.live.do(command)
        except InputError as error:
            found = {fault.code for fault in error.faults}
        after = self.live.state.events, dict(self.live.state.balance), self.live.state.next_bid
        assert found <= CODES.keys()
        assert before == after
        return ()

    @rule(
        name=names,
        ahead=st.integers(-1, 2),
        rows=st.lists(
            st.tuples(st.integers(0, 3), st.sampled_from([1, -1]), st.integers(-5, 40), st.integers(0, 3000)),
            min_size=1,
            max_size=4,
        ),
    )
    def bids(self, name, ahead, rows):
        session = self.live.state.next_close + ahead
        first = session * 4
        period, side, cents, quantity = zip(*rows, strict=True)
        made = self.ask(
            SubmitBids(
                at=self.live.now,
                actor=name,
                session=session,
                participant=name,
                period=[first + p for p in period],
                side=side,
                price=[10_000 * c for c in cents],
                quantity=quantity,
            )
        )
        if made:
            assert self.live.now < self.live.state.open_terms.session(session).gate

    @rule(name=names, ahead=st.integers(0, 1))
    def takes_back(self, name, ahead):
        session = self.live.state.next_close + ahead
        self.ask(WithdrawBids(at=self.live.now, actor=name, session=session, participant=name))

    @rule(seconds=st.sampled_from([60, 900, HOUR, 3 * HOUR]))
    def time_goes_by(self, seconds):
        self.live.until(self.live.now + seconds)

    @rule(name=names, back=st.integers(1, 3), wh=st.lists(st.integers(-3000, 3000), min_size=1, max_size=4))
    def meters_tell(self, name, back, wh):
        first = (self.live.state.next_settle + back - 1) * 4
        self.ask(
            TakeReadings(
                at=self.live.now,
                actor="meters",
                source="test",
                participants=(name,),
                participant=[0] * len(wh),
                period=[first + k for k in range(len(wh))],
                import_wh=[max(v, 0) for v in wh],
                export_wh=[max(-v, 0) for v in wh],
            )
        )

    @rule(name=names, cents=st.integers(0, 40), odd=st.integers(0, 1), out=st.booleans())
    def pays(self, name, cents, odd, out):
        kind = WithdrawMoney if out else DepositMoney
        self.ask(kind(at=self.live.now, actor="op", participant=name, amount=cents * 10_000 - odd))

    @rule(number=st.integers(1, 9), outcome=st.sampled_from(["paid", "returned"]))
    def bank_tells_of_a_withdrawal(self, number, outcome):
        self.ask(ClosePayments(at=self.live.now, actor="op", payments=(f"W{number}",), outcome=outcome))

    @rule(name=names, kw=st.integers(0, 6), hours=st.integers(1, 3), emergency=st.booleans())
    def limits(self, name, kw, hours, emergency):
        self.ask(
            DeclareLimit(
                at=self.live.now,
                actor="dso",
                id=f"limit {name}",
                place_kind="participant",
                place=name,
                begins=self.live.now,
                ends=self.live.now + hours * HOUR,
                import_kw=float(kw),
                export_kw=float(kw),
                emergency=emergency,
            )
        )

    @rule(reason=st.sampled_from(["the meters are broken", ""]))
    def settlement_is_stuck(self, reason):
        at, session = self.live.now, self.live.state.next_settle
        self.ask(NoteStuck(at=at, session=session, reason="no sum"))
        self.ask(SettleBySchedule(at=at, session=session, reason=reason, actor="op"))

    @rule(ahead=st.integers(-1, 8), cents=st.lists(st.integers(-5, 60), min_size=1, max_size=6))
    def retailer_sends_prices(self, ahead, cents):
        first = max(0, self.live.state.next_close * 4 + ahead)
        body = json.dumps({"first": first, "retail": [c / 100 for c in cents]})
        id_ = str(self.live.state.events)
        self.ask(KeepResource(at=self.live.now, actor="r", kind="tariff", id=id_, body=body))

    @rule(name=names, back=st.integers(1, 2), accepted=st.booleans(), again=st.booleans())
    def disputes(self, name, back, accepted, again):
        self.disputes += 1
        id_, session = str(self.disputes), self.live.state.next_settle - back
        dispute = RaiseDispute(
            at=self.live.now, actor=name, id=id_, session=session, participant=name, reason="doubt"
        )
        if self.ask(dispute):
            decided = DecideDispute(
                at=self.live.now, actor="op", id=id_, accepted=accepted, settle_again=again
            )
            self.ask(decided)

    @invariant()
    def money_is_neither_made_nor_lost(self):
        state = self.live.state
        assert sum(state.balance.values()) == 0
        paid = sum(
            int(event.amount[event.accounts.index("bank")])
            for event in self.live.events
            if isinstance(event, MoneyMoved | PaymentsClosed) and "bank" in event.accounts
        )
        assert state.balance.get("bank", 0) == paid
        waits = [one.amount for one in state.billed.payments.values() if one.status in ("open", "in_transit")]
        assert state.balance.get("transit", 0) == sum(waits)
        limits = [
            int(event.amount[event.accounts.index(LIMITS)])
            for event in self.live.events
            if isinstance(event, MoneyMoved) and LIMITS in event.accounts
        ]
        assert state.balance.get(LIMITS, 0) == sum(limits)
        held = sum(sum(s.held.values()) for s in state.kept() if s.status in ("cleared", "published"))
        assert state.balance.get("escrow", 0) == held

    @invariant()
    def no_wallet_is_below_zero(self):
        balance = self.live.state.balance
        assert all(balance.get(wallet(name), 0) >= 0 for name in NAMES)
        assert all(amount >= 0 for amount in self.live.state.reserved.values())

    @invariant()
    def no_bid_is_lost_and_none_comes_back(self):
        taken = [e for e in self.live.events if isinstance(e, BidsTaken)]
        gone = {n for e in self.live.events if isinstance(e, BidsWithdrawn) for n in e.numbers.tolist()}
        for session in self.live.state.kept():
            if session.gate is None:
                continue
            numbers = [
                event.number + k
                for event in taken
                if event.session == session.times.number
                for k in range(len(event.period))
            ]
            assert session.gate.bids.tolist() == [n for n in numbers if n not in gone]

    def teardown(self):
        """Begin anew from the events up to every moment: state and next step are the same."""
        if not hasattr(self, "live"):
            return
        state = LiveState()
        steps = []
        for event in self.live.events:
            apply(state, event)
            steps.append((_told(state), due(state, state.at)))
        for count in np.unique(np.linspace(1, len(steps), 5, dtype=np.int64)).tolist():
            again = replay(self.live.events[:count])
            assert (_told(again), due(again, again.at)) == steps[count - 1]
        assert _told(state) == _told(self.live.state)


def _told(state):
    """Return what tells a state from others."""
    sessions = {
        number: (s.status, s.book.count, sorted(s.book.withdrawn), s.held, len(s.corrections), s.limit_money)
        for number, s in state.sessions.items()
    }
    steps = (state.next_open, state.next_close, state.next_publish, state.next_settle, state.next_bid)
    disputes = {name: dispute.open for name, dispute in state.disputes.items()}
    records = [(r.id, r.version, r.status) for r in state.register.all("participant")]
    return (
        sessions,
        steps,
        dict(state.balance),
        dict(state.reserved),
        disputes,
        records,
        sorted(state.limits),
        state.at,
    )


TestMarket = Market.TestCase
TestMarket.settings = settings(deadline=None, max_examples=25, stateful_step_count=25)
