"""Money of a live market: wallets, escrow from the match to the proof of delivery, fees.

Accounts have names: ``wallet:ANN`` is money that Ann paid in, ``participant:ANN`` her bill (what sessions
booked and no bill asked for yet, + to her credit), ``invoice:ANN`` bills that were issued and are not paid,
``escrow`` what is held, ``transit`` what a bank is to pay and has not confirmed, ``bank`` the world outside,
then those of `gridagora.ledger.accounts` and ``operator:fees``.  All of them together are always 0.

With escrow a buyer's money for a local trade is taken out of the wallet when the session is cleared.  When it
is settled the seller's measured export says how much was delivered: that part goes to the seller's wallet,
less the fee, and both bills note that it is paid; the rest goes back to the buyer.  Where a seller's export
does not cover all that it sold in a period, each of its trades is paid the same share, rounded down to a
whole micro-unit, and what that leaves goes back to the buyer too: trade by trade the parts are what is held,
and their sums what is booked.  What escrow did not pay stays on the bills, since a trade is due whether
delivered or not: a seller that did not deliver owes the imbalance.  Trades at a price of 0 or less, and
energy of the retailer, are on the bills alone.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from gridagora.billing.amounts import CENT
from gridagora.engine.live.billed import Payment
from gridagora.engine.live.commands import DepositMoney, WithdrawMoney
from gridagora.engine.live.held import BREACH, EMERGENCY, movement
from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.state import LiveState, SessionState
from gridagora.errors import InputError, check_faults, require
from gridagora.ledger import SYSTEM_ACCOUNTS, split
from gridagora.ledger.escrow import BANK, ESCROW, FEES, LARGEST, PPM
from gridagora.model.columns import PoolTrades
from gridagora.model.live import LiveTerms
from gridagora.model.live_events import GateClosed, Ints, MoneyMoved
from gridagora.units import WH_PER_KWH

HOLD, RELEASE, FEE = "hold", "release", "fee"
"""Kinds of movements that the market makes by itself."""

WITHDRAWAL: Literal["withdrawal"] = "withdrawal"
"""Kind of a movement that takes money out of a wallet."""

BILL = "participant:"
"""Beginning of the names of bills."""

TRANSIT = "transit"
"""Account of what a bank was asked to pay and has not confirmed."""


def wallet(participant: str) -> str:
    """Return the account of a participant's money.

    >>> wallet("ann")
    'wallet:ann'
    """
    return f"wallet:{participant}"


def bill(participant: str) -> str:
    """Return the account of what a participant is due or owes.

    >>> bill("ann")
    'participant:ann'
    """
    return f"{BILL}{participant}"


def invoiced(participant: str) -> str:
    """Return the account of the bills of a participant that were issued and are not paid.

    >>> invoiced("ann")
    'invoice:ann'
    """
    return f"invoice:{participant}"


def available(state: LiveState, participant: str) -> int:
    """Return what a participant can still bind, micro-units: wallet and overdraft less what bids may cost."""
    record = state.register.get("participant", participant)
    overdraft = 0 if record is None else int(record.body.get("overdraft_micro", 0))
    return state.balance.get(wallet(participant), 0) + overdraft - state.reserved.get(participant, 0)


def deposit(state: LiveState, command: DepositMoney) -> MoneyMoved:
    """Book money that came in for a wallet."""
    _check_payment(state, command)
    return _between(command, BANK, wallet(command.participant), kind="deposit")


def withdraw(state: LiveState, command: WithdrawMoney) -> MoneyMoved:
    """Book money that leaves a wallet: it is in transit until the bank has paid it."""
    _check_payment(state, command)
    if command.amount % CENT:
        reason, fix = "is not in whole cents, as banks move them", f"ask for a multiple of {CENT} micro-units"
        fault = refusal("amount_out_of_bounds", "amount", command.amount, reason=reason, fix=fix)
        raise InputError([fault])
    free = available(state, command.participant)
    if command.amount > free:
        reason = f"{free} micro-units are free in the wallet"
        fault = refusal("insufficient_funds", "amount", command.amount, reason=reason, fix="ask for less")
        raise InputError([fault])
    moved = _between(command, wallet(command.participant), TRANSIT, kind=WITHDRAWAL)
    return replace(moved, payment=f"W{state.billed.withdrawals + 1}")


def _check_payment(state: LiveState, command: DepositMoney | WithdrawMoney) -> None:
    faults = []
    if state.register.get("participant", command.participant) is None:
        fix = "register the participant first"
        faults.append(refusal("participant_unknown", "participant", command.participant, fix=fix))
    whole = type(command.amount) is int
    if not whole or not 0 < command.amount <= LARGEST:
        fix = f"write 1 to {LARGEST} micro-units"
        faults.append(refusal("amount_out_of_bounds", "amount", command.amount, fix=fix))
    check_faults(faults)


def _between(command: DepositMoney | WithdrawMoney, payer: str, payee: str, *, kind: str) -> MoneyMoved:
    return MoneyMoved(
        at=command.at,
        actor=command.actor,
        reference=command.reference,
        kind=kind,
        accounts=(payer, payee),
        amount=np.array([-command.amount, command.amount]),
    )


def apply_moved(state: LiveState, event: MoneyMoved) -> None:
    """Book a movement; what it holds for a session is noted there."""
    require(int(event.amount.sum()) == 0, "a movement of money does not balance")
    book_named(state, event.accounts, event.amount)
    if event.payment:
        state.billed.withdrawals += 1
        state.billed.put(withdrawn(event))
    if event.kind == HOLD:
        session = state.sessions[int(event.reference.rpartition(" ")[2])]
        held = zip(event.accounts, event.amount.tolist(), strict=True)
        session.held = {account: -amount for account, amount in held if account != ESCROW}
    elif event.kind in (BREACH, EMERGENCY):
        session = state.sessions[int(event.reference.rpartition(" ")[2])]
        booked = dict(session.limit_money.get(event.kind, {}))
        for account, amount in zip(event.accounts, event.amount.tolist(), strict=True):
            booked[account] = booked.get(account, 0) + amount
        session.limit_money[event.kind] = booked


def book_named(state: LiveState, accounts: tuple[str, ...], amount: Ints) -> None:
    """Book postings whose accounts are told by name."""
    for account, value in zip(accounts, amount.tolist(), strict=True):
        state.balance[account] = state.balance.get(account, 0) + value
    state.billed.booked += any(account.startswith(BILL) for account in accounts)


def withdrawn(event: MoneyMoved) -> Payment:
    """Return the payment that a withdrawal waits for."""
    account, value = event.accounts[0], -int(event.amount[0])
    return Payment(
        id=event.payment,
        kind=WITHDRAWAL,
        participant=account.removeprefix(wallet("")),
        month="",
        amount=value,
        at=event.at,
    )


def book_postings(state: LiveState, gate: GateClosed, account: Ints, *, amount: Ints) -> None:
    """Book postings of a session, whose accounts are codes of its participants and then the system's."""
    names = (*(bill(name) for name in gate.participants), *SYSTEM_ACCOUNTS)
    for code, value in zip(account.tolist(), amount.tolist(), strict=True):
        state.balance[names[code]] = state.balance.get(names[code], 0) + value
    state.billed.booked += 1


def hold(session: int, at: int, gate: GateClosed, *, trades: PoolTrades) -> MoneyMoved | None:
    """Return what is held for the local trades of a cleared session; None where that is nothing."""
    moved: dict[str, int] = {}
    held = _held_trades(trades, len(gate.participants))
    for _, buyer, _, amount in held:
        _add(moved, wallet(gate.participants[buyer]), -amount)
        _add(moved, ESCROW, amount)
    booked = movement(session, at, HOLD, moved=moved)
    return booked and replace(booked, trade=_column(held, 0), held=_column(held, 3))


def release(
    session: SessionState, at: int, terms: LiveTerms, *, trades: PoolTrades, proven_wh: Ints
) -> MoneyMoved | None:
    """Return what the proof of delivery pays out of escrow and gives back; None where nothing is held.

    ``proven_wh`` is the measured export of each participant, (periods, participants).
    """
    gate = session.closed
    if not session.held:
        return None
    homes, moved = len(gate.participants), {ESCROW: 0}
    rest = dict(session.held)
    split_up: list[tuple[int, int, int, int]] = []
    sold = np.zeros(proven_wh.shape, np.int64)
    sells = np.flatnonzero(trades.seller < homes)
    np.add.at(
        sold, (trades.period[sells] - session.times.first, trades.seller[sells]), trades.quantity_wh[sells]
    )
    for row, buyer, seller, amount in _held_trades(trades, homes):
        place = (trades.period[row] - session.times.first, seller)
        parts = split(
            amount,
            delivered_wh=int(min(proven_wh[place], sold[place])),
            quantity_wh=int(sold[place]),
            fee_ppm=terms.fee_ppm,
        )
        paid = parts.paid + parts.fee
        split_up.append((row, amount, parts.paid, parts.fee))
        rest[wallet(gate.participants[buyer])] -= paid
        _add(moved, ESCROW, -paid)
        _add(moved, wallet(gate.participants[seller]), parts.paid)
        _add(moved, FEES, parts.fee)
        _add(moved, bill(gate.participants[buyer]), paid)
        _add(moved, bill(gate.participants[seller]), -paid)
    for account, amount in rest.items():
        require(amount >= 0, f"more was paid out of escrow than {account} had put in")
        _add(moved, ESCROW, -amount)
        _add(moved, account, amount)
    booked = movement(session.times.number, at, RELEASE, moved=moved)
    trade, held, paid_out, kept = (_column(split_up, k) for k in range(4))
    return booked and replace(booked, trade=trade, held=held, paid=paid_out, fee=kept)


def fees(session: SessionState, at: int, terms: LiveTerms, *, trades: PoolTrades) -> MoneyMoved | None:
    """Return the operator's fee on what sellers get for local trades; escrow takes its own."""
    if terms.escrow or not terms.fee_ppm:
        return None
    gate, moved = session.closed, {FEES: 0}
    for _, _, seller, amount in _held_trades(trades, len(gate.participants)):
        fee = amount * terms.fee_ppm // PPM
        _add(moved, bill(gate.participants[seller]), -fee)
        _add(moved, FEES, fee)
    return movement(session.times.number, at, FEE, moved=moved)


def _held_trades(trades: PoolTrades, homes: int) -> list[tuple[int, int, int, int]]:
    """Return row, buyer, seller and amount of local trades that cost something, rounded down.

    Rounded down trade by trade, the sum is never above what the bids were allowed to cost.
    """
    price = np.minimum(trades.buyer_price, trades.seller_price)
    amount = price * trades.quantity_wh // WH_PER_KWH
    rows = np.flatnonzero((trades.buyer < homes) & (trades.seller < homes) & (amount > 0))
    columns = (rows, trades.buyer[rows], trades.seller[rows], amount[rows])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _column(rows: list[tuple[int, int, int, int]], place: int) -> Ints:
    return np.array([row[place] for row in rows], np.int64)


def _add(moved: dict[str, int], account: str, amount: int) -> None:
    moved[account] = moved.get(account, 0) + amount
