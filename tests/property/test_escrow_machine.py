"""Wallets and escrow as a state machine against a plain model, with the number of transitions that were made.

A test that only ever sees refusals proves nothing: `test_every_transition_is_walked` counts them.
"""

from collections import Counter
from fractions import Fraction

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from gridagora.ledger.escrow import BANK, ESCROW, FEES, ROUNDING, EscrowState, Stage, execute, overdue
from gridagora.ledger.escrow_commands import (
    Command,
    Deposit,
    Done,
    Expire,
    Hold,
    Open,
    Outcome,
    Pay,
    Refused,
    Release,
    Void,
    Withdraw,
)

NAMES = ("ann", "bob", "cem")
WHICH = st.integers(0, 9)
LEAST = 10
"""Times that each transition must be walked in the whole test; measured: see the printed table."""

walked: Counter[str] = Counter()


class Bank(RuleBasedStateMachine):
    """Commands at a clock that steps over deadlines; a dictionary of balances is the second opinion."""

    def __init__(self) -> None:
        super().__init__()
        self.state = EscrowState()
        self.now = 0
        self.keys = 0
        self.said: list[tuple[Command, Outcome]] = []
        self.money: Counter[str] = Counter()
        self.floor = dict.fromkeys(NAMES, 0)
        self.held: dict[str, Hold] = {}
        for name in NAMES:
            self.tell(Open, account=name)
            self.tell(Deposit, account=name, amount=1_000)

    def tell(self, kind: type, **terms: object) -> Outcome:
        self.keys += 1
        command = kind(key=f"k{self.keys}", at=self.now, **terms)
        before = self.state
        self.state, (outcome,) = execute(before, [command])
        self.said.append((command, outcome))
        told = "done" if isinstance(outcome, Done) else outcome.code
        walked[f"{kind.__name__} {told}"] += 1
        if isinstance(outcome, Refused):
            assert {n: w.balance for n, w in self.state.wallets.items() if w.balance} == {
                n: w.balance for n, w in before.wallets.items() if w.balance
            }
            assert self.state.transfers == before.transfers
        else:
            assert sum(amount for _, amount in outcome.postings) == 0
            for name, amount in outcome.postings:
                self.money[name] += amount
        return outcome

    @rule(seconds=st.integers(0, 5))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(which=WHICH, over=st.booleans())
    def wait_for_a_deadline(self, which: int, over: bool) -> None:
        deadline = self.held[name].deadline if (name := self.pick(which)) in self.held else 0
        self.now = max(self.now, deadline + over)

    def pick(self, which: int) -> str:
        """Name a transfer: mostly a pending one, now and then one that is over or was never there."""
        pending = [name for name in self.held if self.pending(name)]
        others = [*(name for name in self.held if name not in pending), "none"]
        names = pending if which < 8 and pending else others
        return names[which % len(names)]

    @rule(name=st.sampled_from([*NAMES, "nobody", ESCROW, BANK]), amount=st.integers(-1, 500))
    def deposit(self, name: str, amount: int) -> None:
        done = isinstance(self.tell(Deposit, account=name, amount=amount), Done)
        assert done == (name in NAMES and amount > 0)

    @rule(name=st.sampled_from([*NAMES, ESCROW]), amount=st.integers(0, 1_500))
    def withdraw(self, name: str, amount: int) -> None:
        covered = name in NAMES and self.money[name] - amount >= self.floor[name]
        assert isinstance(self.tell(Withdraw, account=name, amount=amount), Done) == (covered and amount > 0)

    @rule(name=st.sampled_from([*NAMES, ESCROW]), overdraft=st.integers(-1, 300))
    def allow(self, name: str, overdraft: int) -> None:
        right = name in NAMES and overdraft >= 0 and self.money[name] + overdraft >= 0
        assert isinstance(self.tell(Open, account=name, overdraft=overdraft), Done) == right
        if right:
            self.floor[name] = -overdraft

    @rule(
        payer=st.sampled_from(NAMES),
        payee=st.sampled_from([*NAMES, FEES, ESCROW]),
        amount=st.integers(1, 1_500),
    )
    def pay(self, payer: str, payee: str, amount: int) -> None:
        right = payee not in (payer, ESCROW) and self.money[payer] - amount >= self.floor[payer]
        assert isinstance(self.tell(Pay, payer=payer, payee=payee, amount=amount), Done) == right

    @rule(
        name=st.sampled_from([f"t{k}" for k in range(40)]),
        parties=st.permutations(NAMES),
        amount=st.integers(0, 400),
        quantity=st.integers(1, 50),
        lasts=st.integers(-1, 6),
        fee=st.sampled_from([0, 10_000, 1_000_000]),
    )
    def hold(self, name: str, parties: list[str], amount: int, quantity: int, lasts: int, fee: int) -> None:
        payer, payee, _ = parties
        terms = {"payer": payer, "payee": payee, "amount": amount, "quantity_wh": quantity}
        right = (
            name not in self.held
            and amount > 0
            and lasts >= 0
            and self.money[payer] - amount >= self.floor[payer]
        )
        until = self.now + lasts
        outcome = self.tell(Hold, transfer=name, **terms, deadline=until, fee_ppm=fee)
        assert isinstance(outcome, Done) == right
        if right:
            self.held[name] = self.said[-1][0]

    def pending(self, name: str) -> bool:
        return name in self.held and self.state.transfers[name].stage is Stage.PENDING

    @rule(which=WHICH, delivered=st.one_of(st.integers(-1, 60), st.sampled_from([0, 1])))
    def release(self, which: int, delivered: int) -> None:
        name = self.pick(which)
        was = self.pending(name)
        right = was and self.now <= self.held[name].deadline and delivered >= 0
        outcome = self.tell(Release, transfer=name, delivered_wh=delivered)
        assert isinstance(outcome, Done) == right
        if not right:
            return
        terms, moved = self.held[name], dict(outcome.postings)
        share = Fraction(min(delivered, terms.quantity_wh), terms.quantity_wh)
        paid = moved.get(terms.payee, 0) + moved.get(FEES, 0)
        assert 0 <= terms.amount * share - paid < 1
        assert 0 <= terms.amount * (1 - share) - moved.get(terms.payer, 0) < 1
        assert 0 <= moved.get(ROUNDING, 0) <= 1
        assert moved.get(FEES, 0) == paid * terms.fee_ppm // 1_000_000
        partial = "all" if share == 1 else "nothing" if share == 0 else "a part"
        walked[f"Release of {partial}"] += 1
        walked["Release in the last second"] += self.now == terms.deadline

    @rule(which=WHICH)
    def void(self, which: int) -> None:
        name = self.pick(which)
        right = self.pending(name) and self.now <= self.held[name].deadline
        outcome = self.tell(Void, transfer=name)
        assert isinstance(outcome, Done) == right
        assert not right or dict(outcome.postings)[self.held[name].payer] == self.held[name].amount

    @rule(which=WHICH, at_once=st.booleans())
    def expire(self, which: int, at_once: bool) -> None:
        name = self.pick(which)
        if at_once and self.pending(name):  # else the first second after a deadline is seldom met
            self.now = max(self.now, self.held[name].deadline + 1)
        right = self.pending(name) and self.now > self.held[name].deadline
        assert (name in overdue(self.state, self.now)) == right
        outcome = self.tell(Expire, transfer=name)
        assert isinstance(outcome, Done) == right
        walked["Expire in the first second"] += right and self.now == self.held[name].deadline + 1

    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        command, outcome = data.draw(st.sampled_from(self.said))
        after, (again,) = execute(self.state, [command])
        assert again == outcome
        assert after == self.state
        walked["sent again"] += 1

    @rule(data=st.data())
    def use_a_key_again(self, data: st.DataObject) -> None:
        command, _ = data.draw(st.sampled_from(self.said))
        other = Deposit(key=command.key, at=self.now, account="ann", amount=777_777)
        after, (refused,) = execute(self.state, [other])
        assert (refused.code, after) == ("key_reused", self.state)
        walked["key used again"] += 1

    @invariant()
    def money_is_neither_made_nor_lost(self) -> None:
        balances = {name: wallet.balance for name, wallet in self.state.wallets.items()}
        assert sum(balances.values()) == 0
        assert {n: v for n, v in balances.items() if v} == {n: v for n, v in self.money.items() if v}
        assert balances.get(ESCROW, 0) == sum(
            terms.amount for name, terms in self.held.items() if self.pending(name)
        )
        assert all(balances[name] >= self.floor[name] for name in NAMES)
        assert balances.get(FEES, 0) >= 0
        assert balances.get(ROUNDING, 0) >= 0

    def teardown(self) -> None:
        """All commands in one batch end in the same state: batches are for speed alone."""
        commands = [command for command, _ in self.said]
        whole, outcomes = execute(EscrowState(), commands)
        assert whole == self.state
        assert list(outcomes) == [outcome for _, outcome in self.said]


EVERY = (
    *(f"{kind} done" for kind in ("Open", "Deposit", "Withdraw", "Pay", "Hold", "Release", "Void", "Expire")),
    *(f"{kind} insufficient_funds" for kind in ("Withdraw", "Pay", "Hold")),
    *(f"{kind} not_pending" for kind in ("Release", "Void", "Expire")),
    *(f"{kind} after_deadline" for kind in ("Hold", "Release", "Void")),
    "Expire before_deadline",
    "Hold transfer_exists",
    "Release of all",
    "Release of a part",
    "Release of nothing",
    "Release in the last second",
    "Expire in the first second",
    "sent again",
    "key used again",
)


def test_every_transition_is_walked() -> None:
    walked.clear()
    how = settings(
        max_examples=400,
        stateful_step_count=60,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Bank, settings=how)
    print(*sorted(walked.items()), sep="\n")
    rare = {name: walked[name] for name in EVERY if walked[name] < LEAST}
    assert rare == {}
