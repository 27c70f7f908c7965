"""Wallets and escrow: money is held from match to proof of delivery, then paid out pro rata and returned.

::

                     Release, at <= deadline: delivered share to the payee, rest back
    Hold -> PENDING  Void,    at <= deadline: all back
                     Expire,  at >  deadline: all back, whoever asks

Commands in, postings and a new state out; no clock, no chance, whole micro-units.  What always holds and is
checked after each batch: the money of all accounts together changes by nothing; the escrow account holds just
what is pending; no wallet is below its overdraft.  Both windows never overlap, so a held transfer ends once.

The state is a value.  Every command touches only the accounts and the transfer that it names, so a database
may load just those (`named`), call `execute` on the batch and write back what changed.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gridagora.errors import require
from gridagora.ledger.escrow_commands import (
    Code,
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
from gridagora.model.events import canonical_bytes

PPM = 1_000_000
LARGEST = 10**15
"""Largest amount of a command, a billion units of currency, and largest energy: far from any overflow."""

BANK, ESCROW, FEES, ROUNDING = "bank", "escrow", "operator:fees", "rounding"
SYSTEM = (BANK, ESCROW, FEES, ROUNDING)
"""Accounts that are always there: the outside world, what is held, fees, what a split leaves over.

Only the bank may be below zero: it stands for what came in from outside.
"""

CLOSED = frozenset({BANK, ESCROW, ROUNDING})
"""System accounts that no payment names: only holds, splits, deposits and withdrawals move them."""


class Stage(StrEnum):
    """Where a held transfer is."""

    PENDING = "pending"
    RELEASED = "released"
    VOIDED = "voided"
    EXPIRED = "expired"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wallet:
    """Balance of an account and how far below zero it may go, micro-units."""

    balance: int = 0
    overdraft: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """A held transfer: the terms of its `Hold`, where it is, and what was paid out of it (with the fee)."""

    terms: Hold
    stage: Stage = Stage.PENDING
    paid: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a key was answered, and the hash of the command that it was used for."""

    digest: bytes
    outcome: Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class EscrowState:
    """All wallets, held transfers and answers, or those that a batch of commands names.

    Examples
    --------
    >>> state, _ = execute(EscrowState(), [
    ...     Open(key="1", at=0, account="ann"), Open(key="2", at=0, account="bob"),
    ...     Deposit(key="3", at=0, account="ann", amount=1_000_000),
    ...     Hold(key="4", at=0, transfer="t", payer="ann", payee="bob", amount=300_000, quantity_wh=1000,
    ...          deadline=900, fee_ppm=10_000)])
    >>> state, outcomes = execute(state, [Release(key="5", at=900, transfer="t", delivered_wh=500)])
    >>> outcomes[0].postings
    (('escrow', -300000), ('bob', 148500), ('operator:fees', 1500), ('ann', 150000))
    """

    wallets: Mapping[str, Wallet] = field(default_factory=dict)
    transfers: Mapping[str, Transfer] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """What a release does with the money held: four parts >= 0 that sum to it."""

    paid: int
    fee: int
    returned: int
    rounding: int


def split(amount: int, *, delivered_wh: int, quantity_wh: int, fee_ppm: int = 0) -> Split:
    """Split an amount by what was delivered of a quantity; each part is rounded down, the rest is rounding.

    More than the quantity counts as the quantity.

    >>> split(100, delivered_wh=1, quantity_wh=3, fee_ppm=0)
    Split(paid=33, fee=0, returned=66, rounding=1)
    """
    delivered = min(delivered_wh, quantity_wh)
    due = amount * delivered // quantity_wh
    returned = amount * (quantity_wh - delivered) // quantity_wh
    fee = due * fee_ppm // PPM
    return Split(paid=due - fee, fee=fee, returned=returned, rounding=amount - due - returned)


def execute(state: EscrowState, commands: Iterable[Command]) -> tuple[EscrowState, tuple[Outcome, ...]]:
    """Apply commands in their order; return the new state and an answer to each.

    A refused command changes nothing and is remembered too: its key is answered the same for ever.  A key
    that comes again with another command is refused (``key_reused``) and changes nothing at all.

    Raises
    ------
    InvariantError
        where money would be made or lost, escrow not be what is pending, or a wallet too far below zero.

    Examples
    --------
    >>> state, answers = execute(EscrowState(), [Withdraw(key="a", at=0, account="ann", amount=5)])
    >>> answers[0].code
    'unknown_account'
    """
    changes = _Changes(
        wallets={name: Wallet() for name in SYSTEM} | dict(state.wallets),
        transfers=dict(state.transfers),
        answers=dict(state.answers),
    )
    outcomes = tuple(_answer(changes, command) for command in commands)
    after = EscrowState(wallets=changes.wallets, transfers=changes.transfers, answers=changes.answers)
    _check(state, after)
    return after, outcomes


def named(commands: Iterable[Command]) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Return the accounts, transfers and keys that commands name.

    A store loads these rows, those of the transfers' payers and payees, and the system's, and no others.

    >>> named([Expire(key="k", at=9, transfer="t")])
    (frozenset(), frozenset({'t'}), frozenset({'k'}))
    """
    batch = list(commands)
    fields = {
        name: frozenset(getattr(command, name) for command in batch if hasattr(command, name))
        for name in ("account", "payer", "payee", "transfer", "key")
    }
    return fields["account"] | fields["payer"] | fields["payee"], fields["transfer"], fields["key"]


def overdue(state: EscrowState, now: int) -> tuple[str, ...]:
    """Return the pending transfers whose deadline is over, in the order of their names.

    >>> overdue(EscrowState(), 0)
    ()
    """
    pending = (name for name, held in state.transfers.items() if held.stage is Stage.PENDING)
    return tuple(sorted(name for name in pending if now > state.transfers[name].terms.deadline))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Changes:
    """The new state while a batch runs, in mappings of this batch's own."""

    wallets: dict[str, Wallet]
    transfers: dict[str, Transfer]
    answers: dict[str, Answer]


def _answer(changes: _Changes, command: Command) -> Outcome:
    """Answer a command: as before where its key is known, else by its effect."""
    digest = hashlib.sha256(canonical_bytes(command)).digest()
    known = changes.answers.get(command.key)
    if known is not None and known.digest == digest:
        return known.outcome
    if known is not None:
        reason = "the key was used for another command"
        return Refused(key=command.key, code="key_reused", reason=reason)
    outcome = _decide(changes, command)
    changes.answers[command.key] = Answer(digest=digest, outcome=outcome)
    return outcome


def _decide(changes: _Changes, command: Command) -> Outcome:
    """Refuse a command, or carry it out."""
    match command:
        case Open():
            return _open(changes, command)
        case Deposit():
            return _move(changes, command, payer=BANK, payee=command.account)
        case Withdraw():
            return _move(changes, command, payer=command.account, payee=BANK)
        case Pay():
            return _move(changes, command, payer=command.payer, payee=command.payee)
        case Hold():
            return _hold(changes, command)
        case Release() | Void() | Expire():
            return _finish(changes, command)


def _refused(command: Command, code: Code, reason: str) -> Refused:
    return Refused(key=command.key, code=code, reason=reason)


def _open(changes: _Changes, command: Open) -> Outcome:
    if not 0 <= command.overdraft <= LARGEST:
        return _refused(command, "bad_amount", "an overdraft is below zero or too large")
    if command.account in SYSTEM or not command.account:
        return _refused(command, "unknown_account", "the name belongs to the system, or is none")
    wallet = changes.wallets.get(command.account, Wallet())
    if wallet.balance + command.overdraft < 0:
        return _refused(command, "insufficient_funds", "the balance is below the new overdraft already")
    changes.wallets[command.account] = replace(wallet, overdraft=command.overdraft)
    return Done(key=command.key, postings=())


def _move(changes: _Changes, command: Deposit | Withdraw | Pay, *, payer: str, payee: str) -> Outcome:
    own = {payer, payee} if isinstance(command, Pay) else {command.account}
    if own & CLOSED:
        return _refused(command, "unknown_account", "the account is moved by other commands alone")
    refused = _cannot_pay(changes, command, payer=payer, payee=payee)
    if refused is not None:
        return refused
    return _post(changes, command, (payer, -command.amount), (payee, command.amount))


def _cannot_pay(
    changes: _Changes, command: Deposit | Withdraw | Pay | Hold, *, payer: str, payee: str
) -> Refused | None:
    """Refuse a payment of no or too large an amount, between accounts that are not there, or beyond funds."""
    if not 0 < command.amount <= LARGEST:
        return _refused(command, "bad_amount", "an amount is a whole number of micro-units above zero")
    unknown = [name for name in (payer, payee) if name not in changes.wallets]
    if unknown:
        return _refused(command, "unknown_account", f"there is no wallet {unknown[0]!r}")
    if payer == payee:
        return _refused(command, "same_account", "payer and payee are the same")
    wallet = changes.wallets[payer]
    if payer != BANK and wallet.balance + wallet.overdraft < command.amount:
        return _refused(command, "insufficient_funds", f"wallet {payer!r} does not cover the amount")
    return None


def _hold(changes: _Changes, command: Hold) -> Outcome:
    if not 0 < command.quantity_wh <= LARGEST or not 0 <= command.fee_ppm <= PPM:
        return _refused(
            command, "bad_amount", "the quantity is not above zero, or the fee not within a whole"
        )
    if {command.payer, command.payee} & set(SYSTEM):
        return _refused(command, "unknown_account", "only wallets hold and receive")
    refused = _cannot_pay(changes, command, payer=command.payer, payee=command.payee)
    if refused is not None:
        return refused
    if command.transfer in changes.transfers:
        return _refused(command, "transfer_exists", "a transfer has that name already")
    if command.at > command.deadline:
        return _refused(command, "after_deadline", "delivery could never be proven in time")
    changes.transfers[command.transfer] = Transfer(terms=command)
    return _post(changes, command, (command.payer, -command.amount), (ESCROW, command.amount))


def _finish(changes: _Changes, command: Release | Void | Expire) -> Outcome:
    """End a pending transfer in its window."""
    held = changes.transfers.get(command.transfer)
    if held is None:
        return _refused(command, "unknown_transfer", "there is no such transfer")
    if held.stage is not Stage.PENDING:
        return _refused(command, "not_pending", f"the transfer is {held.stage.value}")
    over = command.at > held.terms.deadline
    if over and not isinstance(command, Expire):
        return _refused(command, "after_deadline", "the time to prove delivery is over; it expires")
    if isinstance(command, Expire) and not over:
        return _refused(command, "before_deadline", "delivery can still be proven")
    if not isinstance(command, Release):
        stage = Stage.EXPIRED if isinstance(command, Expire) else Stage.VOIDED
        changes.transfers[command.transfer] = replace(held, stage=stage)
        return _post(changes, command, (ESCROW, -held.terms.amount), (held.terms.payer, held.terms.amount))
    if not 0 <= command.delivered_wh <= LARGEST:
        return _refused(command, "bad_amount", "delivered energy is below zero or too large")
    return _release(changes, command, held)


def _release(changes: _Changes, command: Release, held: Transfer) -> Outcome:
    terms = held.terms
    parts = split(
        terms.amount,
        delivered_wh=command.delivered_wh,
        quantity_wh=terms.quantity_wh,
        fee_ppm=terms.fee_ppm,
    )
    done = replace(held, stage=Stage.RELEASED, paid=parts.paid + parts.fee)
    changes.transfers[command.transfer] = done
    return _post(
        changes,
        command,
        (ESCROW, -terms.amount),
        (terms.payee, parts.paid),
        (FEES, parts.fee),
        (terms.payer, parts.returned),
        (ROUNDING, parts.rounding),
    )


def _post(changes: _Changes, command: Command, *postings: tuple[str, int]) -> Done:
    """Book postings that sum to zero; those of nothing are left out."""
    require(sum(amount for _, amount in postings) == 0, "an entry does not balance")
    booked = tuple((name, amount) for name, amount in postings if amount)
    for name, amount in booked:
        wallet = changes.wallets[name]
        changes.wallets[name] = replace(wallet, balance=wallet.balance + amount)
    return Done(key=command.key, postings=booked)


def _check(before: EscrowState, after: EscrowState) -> None:
    """Raise unless money, escrow and overdrafts are right; only what changed need be there."""

    def money(state: EscrowState) -> int:
        return sum(wallet.balance for wallet in state.wallets.values())

    def pending(state: EscrowState) -> int:
        held = state.transfers.values()
        return sum(one.terms.amount for one in held if one.stage is Stage.PENDING)

    def escrow(state: EscrowState) -> int:
        return state.wallets.get(ESCROW, Wallet()).balance

    require(money(after) == money(before), "money was made or lost")
    change = escrow(after) - escrow(before)
    require(change == pending(after) - pending(before), "escrow is not what is pending")
    below = [name for name, w in after.wallets.items() if name != BANK and w.balance + w.overdraft < 0]
    require(not below, f"wallets below their overdraft: {below[:5]}")
