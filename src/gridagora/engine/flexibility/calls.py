"""Reserved power is called, dispatched or given free, within what its contract allows.

A call obliges the holder to offer in the activation auctions; a test call and a dispatch order power at once,
without pay and at the utilisation price.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from gridagora.engine.flexibility.adjustment import open_from, placed
from gridagora.engine.flexibility.commands import CallReservations, DispatchContract, ReleaseReservation
from gridagora.engine.flexibility.positions import free_kw
from gridagora.engine.flexibility.standing import count_sold, orders_of_call
from gridagora.engine.flexibility.state import (
    LEAST_KW,
    ContractState,
    FlexMarketState,
    shown,
    time_faults,
)
from gridagora.errors import Fault, InputError, InvariantError, check_faults, require
from gridagora.model.continuous import FlexBid, FlexTrade
from gridagora.model.flexibility_events import ContractDispatched, ReservationReleased, ReservationsCalled
from gridagora.model.reservation import call_faults, periods_triggered, released
from gridagora.units import amount_micro, to_wh


def call_reservations(state: FlexMarketState, command: CallReservations) -> ReservationsCalled:
    """Call contracts for one row of periods."""
    faults = time_faults(state, command.at)
    if len(set(command.contracts)) < len(command.contracts):
        fix = "name each contract once"
        faults.append(_fault("call", "contracts", command.contracts, reason="names one twice", fix=fix))
    if not command.contracts:
        fix = "name one or more"
        faults.append(_fault("call", "contracts", command.contracts, reason="names none", fix=fix))
    faults += _power_faults("call", command.periods, command.requested_kw)
    for name in command.contracts:
        held, unknown = _held(state, name)
        faults += unknown
        if held is None:
            continue
        if held.contract.activation == "dispatch":
            reason, fix = "is dispatched, not called", "dispatch it"
            faults.append(_fault(name, "activation", held.contract.activation, reason=reason, fix=fix))
        faults += _allowed_faults(state, held, command)
        if command.test and not faults:
            kw = [
                min(held.contract.kw_in(period), abs(asked))
                for period, asked in zip(command.periods, command.requested_kw, strict=True)
            ]
            faults += _room_faults(state, held, command, kw=kw)
    check_faults(faults)
    event = ReservationsCalled(
        at=command.at,
        contracts=command.contracts,
        periods=command.periods,
        requested_kw=tuple(abs(float(kw)) for kw in command.requested_kw),
        test=command.test,
    )
    return event if command.test else _with_orders(state, event)


def _with_orders(state: FlexMarketState, event: ReservationsCalled) -> ReservationsCalled:
    """Add the orders of contracts that are called in the continuous market, one after the other."""
    orders: list[FlexBid] = []
    trades: list[FlexTrade] = []
    for name in event.contracts:
        state = _with_held(state, count_sold(state, _known(state, name), event.periods))
    for name in event.contracts:
        held = _known(state, name)
        made = orders_of_call(state, held, event.periods, requested_kw=event.requested_kw, at=event.at)
        for bid in made:
            state, met = placed(state, held.product, bid, at=event.at)
            trades += met
        orders += made
    return replace(event, orders=tuple(orders), trades=tuple(trades))


def dispatch_contract(state: FlexMarketState, command: DispatchContract) -> ContractDispatched:
    """Order power of a contract at its utilisation price; a test is not paid."""
    terms, faults = state.open_terms, time_faults(state, command.at)
    faults += _power_faults(command.contract, command.periods, command.kw)
    held, unknown = _held(state, command.contract)
    faults += unknown
    if held is not None:
        if held.contract.activation != "dispatch":
            reason, fix = "is called by auction, not dispatched", "call it"
            faults.append(
                _fault(command.contract, "activation", held.contract.activation, reason=reason, fix=fix)
            )
        faults += _allowed_faults(state, held, command)
        if not faults:
            for period, kw in zip(command.periods, command.kw, strict=True):
                most = held.contract.kw_in(period)
                if not LEAST_KW < kw <= most + LEAST_KW:
                    reason, fix = (
                        f"is not above 0 and up to the reserved {shown(most)}",
                        "order what is reserved",
                    )
                    faults.append(
                        _fault(command.contract, f"kw, period {period}", kw, reason=reason, fix=fix)
                    )
            faults += _room_faults(state, held, command, kw=command.kw)
    check_faults(faults)
    if held is None:
        raise InvariantError("a dispatch without faults has a contract")
    price = 0 if command.test else held.contract.activation_cap_micro_per_kwh
    energy = to_wh(np.array(command.kw) * terms.period_hours)
    return ContractDispatched(
        at=command.at,
        contract=command.contract,
        periods=command.periods,
        kw=tuple(float(kw) for kw in command.kw),
        paid_micro=tuple(amount_micro(energy, price).tolist()),
        test=command.test,
    )


def release_reservation(state: FlexMarketState, command: ReleaseReservation) -> ReservationReleased:
    """Give reserved power free: what stays can only shrink."""
    terms, faults = state.open_terms, time_faults(state, command.at)
    held, unknown = _held(state, command.contract)
    faults += unknown
    if len(command.kw) != len(command.periods) or len(set(command.periods)) < len(command.periods):
        fix = "give one kW for each period, each once"
        faults.append(_fault(command.contract, "kw", command.kw, reason="does not fit periods", fix=fix))
    elif not command.periods:
        fix = "name one or more"
        faults.append(_fault(command.contract, "periods", (), reason="names none", fix=fix))
    elif held is not None:
        opens = max(state.open_from, terms.open_from(command.at))
        for period, kw in zip(command.periods, command.kw, strict=True):
            if period < opens:
                reason, fix = f"is in the past: the next one is {opens}", "release later periods"
                faults.append(_fault(command.contract, f"period {period}", period, reason=reason, fix=fix))
            if any(period in call for call in held.calls):
                reason, fix = "was called already", "release periods that are not called"
                faults.append(_fault(command.contract, f"period {period}", period, reason=reason, fix=fix))
            try:
                released(held.contract, period, kw if isinstance(kw, Real) else np.nan)
            except InputError as error:
                faults += error.faults
    check_faults(faults)
    return ReservationReleased(
        at=command.at, contract=command.contract, periods=command.periods, kw=tuple(map(float, command.kw))
    )


def apply_called(state: FlexMarketState, event: ReservationsCalled) -> FlexMarketState:
    """Note what is called; a test is an order at once."""
    for name in event.contracts:
        held = _known(state, name)
        if event.test:
            kw = tuple(
                min(held.contract.kw_in(period), asked)
                for period, asked in zip(event.periods, event.requested_kw, strict=True)
            )
            state = _ordered(state, held, event.periods, kw=kw, paid=(0,) * len(kw), test=True)
        requested = held.requested_kw.copy()
        if not event.test:
            rows = [held.contract.periods.index(period) for period in event.periods]
            requested[rows] = event.requested_kw
            held = count_sold(state, held, event.periods)
        state = _with_held(
            state,
            replace(
                held,
                requested_kw=requested,
                calls=(*held.calls, event.periods),
                tests=held.tests + event.test,
            ),
        )
    trades: list[FlexTrade] = []
    for bid in event.orders:
        state, met = placed(state, _known(state, bid.contract).product, bid, at=event.at)
        trades += met
    require(tuple(trades) == event.trades, "orders of a call do not trade as its event says")
    return state


def apply_dispatched(state: FlexMarketState, event: ContractDispatched) -> FlexMarketState:
    """Add the order and its price to the periods."""
    held = _known(state, event.contract)
    state = _ordered(state, held, event.periods, kw=event.kw, paid=event.paid_micro, test=event.test)
    calls, tests = (*held.calls, event.periods), held.tests + event.test
    return _with_held(state, replace(_known(state, event.contract), calls=calls, tests=tests))


def apply_released(state: FlexMarketState, event: ReservationReleased) -> FlexMarketState:
    """Shrink what is reserved."""
    held = _known(state, event.contract)
    contract = held.contract
    for period, kw in zip(event.periods, event.kw, strict=True):
        contract = released(contract, period, kw)
    return _with_held(state, replace(held, contract=contract))


def _ordered(
    state: FlexMarketState,
    held: ContractState,
    periods: tuple[int, ...],
    *,
    kw: tuple[float, ...],
    paid: tuple[int, ...],
    test: bool,
) -> FlexMarketState:
    """Add an order beside what auctions cleared."""
    payer, changed = state.open_terms.participants.index(held.contract.buyer), {}
    for period, power, amount in zip(periods, kw, paid, strict=True):
        old = state.period(period)
        sold, money, tested = old.cleared_kw.copy(), old.cleared_micro.copy(), old.tested_kw.copy()
        sold[held.product, [held.point, payer]] += power
        money[held.product, held.point] += amount
        money[held.product, payer] -= amount
        tested[held.product, [held.point, payer]] += power * test
        changed[period] = replace(old, cleared_kw=sold, cleared_micro=money, tested_kw=tested)
    return state.with_periods(changed)


def _allowed_faults(
    state: FlexMarketState, held: ContractState, command: CallReservations | DispatchContract
) -> Iterator[Fault]:
    """Faults against the contract (calendar, lead time, calls, rest, trigger) and against the present."""
    terms, contract = state.open_terms, held.contract
    yield from call_faults(
        contract,
        command.periods,
        at_period=terms.open_from(command.at) - 1,
        earlier_calls=held.calls,
        periods_per_day=round(24 / terms.period_hours),
    )
    if command.test and held.tests >= contract.max_tests:
        reason, fix = f"is one more than the {contract.max_tests} of the contract", "call it for pay"
        yield _fault(contract.id, "test", held.tests + 1, reason=reason, fix=fix)
    ahead = terms.begins(min(command.periods, default=0)) - command.at
    if 0 < ahead < contract.product.response_time_s:
        reason = f"comes {ahead} s ahead, the product needs {contract.product.response_time_s:g}"
        yield _fault(contract.id, "at", command.at, reason=reason, fix="call earlier, or later periods")
    opens = max(state.open_from, terms.open_from(command.at))
    if contract.activation == "continuous" and not command.test:
        opens = open_from(state, command.at)
    for period in command.periods:
        if period < opens:
            reason, fix = f"is in the past: the next one is {opens}", "call later periods"
            yield _fault(contract.id, f"period {period}", period, reason=reason, fix=fix)
    yield from _trigger_faults(held, command.periods, command.conditions)


def _trigger_faults(
    held: ContractState, periods: tuple[int, ...], conditions: Mapping[str, ArrayLike]
) -> Iterator[Fault]:
    contract, trigger = held.contract, held.contract.trigger
    if trigger is None:
        return
    try:
        available = periods_triggered(contract, conditions)
    except InputError as error:
        yield from error.faults
        return
    for period in sorted(set(periods) & set(contract.periods) - set(available)):
        reason = (
            f"is not available: {trigger.name} is not {trigger.when.replace('_', ' ')} {trigger.threshold:g}"
        )
        yield _fault(
            contract.id, f"period {period}", period, reason=reason, fix="call periods where it holds"
        )


def _room_faults(
    state: FlexMarketState,
    held: ContractState,
    command: CallReservations | DispatchContract,
    *,
    kw: Sequence[float],
) -> Iterator[Fault]:
    terms = state.open_terms
    name = terms.products[held.product][0]
    for period, power in zip(command.periods, kw, strict=True):
        left = float(free_kw(state, name, period, count=1, at=command.at)[0, held.point])
        if power > left + LEAST_KW:
            reason = f"is above what {held.contract.seller} has not sold yet, {shown(max(left, 0.0))}"
            yield _fault(held.contract.id, f"kw, period {period}", power, reason=reason, fix="order less")


def _power_faults(name: str, periods: tuple[int, ...], kw: tuple[float, ...]) -> Iterator[Fault]:
    if len(periods) != len(kw):
        reason, fix = f"is not one per period ({len(periods)})", "give one kW each"
        yield _fault(name, "kw", kw, reason=reason, fix=fix)
    for place, power in enumerate(kw):
        if not (isinstance(power, Real) and 0 < abs(float(power)) < np.inf):
            yield _fault(name, f"kw {place}", power, reason="is no power", fix="write kW, not 0")


def _held(state: FlexMarketState, name: str) -> tuple[ContractState | None, list[Fault]]:
    for held in state.contracts:
        if held.contract.id == name:
            return held, []
    known = ", ".join(held.contract.id for held in state.contracts[:5])
    fix = f"write one of {known}" if known else "reserve first"
    return None, [_fault(name, "contract", name, reason="contract does not exist", fix=fix)]


def _known(state: FlexMarketState, name: str) -> ContractState:
    held, _ = _held(state, name)
    if held is None:
        raise InvariantError(f"contract {name} does not exist")
    return held


def _with_held(state: FlexMarketState, held: ContractState) -> FlexMarketState:
    contracts = [held if old.contract.id == held.contract.id else old for old in state.contracts]
    return replace(state, contracts=tuple(contracts))


def _fault(name: str, place: str, value: object, *, reason: str, fix: str) -> Fault:
    return Fault(source=f"contract {name}", place=place, value=value, reason=reason, fix=fix)
