"""Fees of reservations for a span of periods: due, withheld for want of availability, and who pays them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from gridagora.engine.flexibility.commands import SettleFlexPeriods
from gridagora.engine.flexibility.state import ContractState, FlexMarketState
from gridagora.model.columns import Floats, Ints
from gridagora.settlement import Delivery, ReservationTerms, check_availability, settle_reservation
from gridagora.settlement._proportions import split

MONTH_HOURS = 30 * 24
"""How far the rule "previous" looks back."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fees:
    """Fees in micro-units: due and withheld (points, periods), ``receipt`` of all (participants, periods).

    ``surplus`` (periods,) is what the payment rule left with the operator, ``rounding`` what a split left;
    ``of_contract`` and ``withheld_of_contract`` (contracts, periods) are the fees of each contract,
    ``returned`` (contracts, buyers, periods) what goes back to who pays it.
    """

    fee: Ints
    withheld: Ints
    receipt: Ints
    surplus: Ints
    rounding: Ints
    of_contract: Ints
    withheld_of_contract: Ints
    returned: Ints


def settle_fees(
    state: FlexMarketState, command: SettleFlexPeriods, *, deliveries: Sequence[Delivery]
) -> Fees:
    """Settle the fees of all contracts: what is released or withheld goes back to who pays the contract."""
    terms, count, held = state.open_terms, command.count, state.contracts
    points = len(terms.points)
    awarded = np.stack([p.reserved_micro for p in state.window(command.first, count)], axis=1)
    fee, withheld = np.zeros((points, count), np.int64), np.zeros((points, count), np.int64)
    receipt, rounding = awarded.copy(), np.zeros(count, np.int64)
    receipt[:points] = 0
    of_contract, kept = np.zeros((len(held), count), np.int64), np.zeros((len(held), count), np.int64)
    returned = np.zeros((len(held), len(terms.buyers), count), np.int64)
    if held:
        availability = check_availability(
            reserved_kw=_table(held, "reserved_kw", command),
            requested_kw=_table(held, "asked_kw", command),
            offered_kw=_table(held, "offered_kw", command),
            hours=terms.period_hours,
        )
        conditions = ReservationTerms(
            fee_micro_per_kwh=_table(held, "fee_micro_per_kwh", command).astype(np.int64),
            delivery=_of_contracts(held, deliveries),
            previous_wh=_before(state, command.first) if terms.fee_rule == "previous" else None,
        )
        lines = settle_reservation(availability, conditions, rule=terms.fee_rule)
        rows = np.array([contract.point for contract in held])
        np.add.at(fee, rows, lines.fee)
        np.add.at(withheld, rows, lines.withheld)
        of_contract, kept = lines.fee, lines.withheld
        receipt[:points] = fee - withheld
        back = _table(held, "awarded_micro", command).astype(np.int64) - lines.receipt
        for number, contract in enumerate(held):
            parts, left = split(back[number], _weights(contract, command, buyers=len(terms.buyers)))
            receipt[points:] += parts
            returned[number] = parts
            rounding += left
    return Fees(
        fee=fee,
        withheld=withheld,
        receipt=receipt,
        surplus=-awarded.sum(axis=0),
        rounding=rounding,
        of_contract=of_contract,
        withheld_of_contract=kept,
        returned=returned,
    )


def _rows(contract: ContractState, command: SettleFlexPeriods) -> tuple[Ints, Ints]:
    """Return the places of a calendar that are settled, and the columns that they fill."""
    columns = np.array(contract.contract.periods, np.int64) - command.first
    places = np.flatnonzero((columns >= 0) & (columns < command.count))
    return places, columns[places]


def _table(held: Sequence[ContractState], name: str, command: SettleFlexPeriods) -> Floats:
    """Return a number of each contract's periods, 0 outside its calendar, shape (contracts, periods)."""
    table = np.zeros((len(held), command.count))
    for number, contract in enumerate(held):
        places, columns = _rows(contract, command)
        values = contract.contract.reserved_kw if name == "reserved_kw" else getattr(contract, name)
        table[number, columns] = np.asarray(values)[places]
    return table


def _weights(contract: ContractState, command: SettleFlexPeriods, *, buyers: int) -> Ints:
    """Return who pays the contract, shape (buyers, periods)."""
    weights = np.zeros((buyers, command.count), np.int64)
    places, columns = _rows(contract, command)
    weights[:, columns] = contract.weights[places].T
    return weights


def _of_contracts(held: Sequence[ContractState], deliveries: Sequence[Delivery]) -> Delivery:
    """Return what the point of each contract delivered of its product, one row per contract."""
    columns = {
        field.name: np.stack(
            [getattr(deliveries[contract.product], field.name)[contract.point] for contract in held]
        )
        for field in fields(Delivery)
        if field.name != "window"
    }
    return Delivery(**columns, window=deliveries[0].window)


def _before(state: FlexMarketState, first: int) -> Ints:
    """Return delivered and ordered Wh of each contract's point in the month before, shape (2, contracts)."""
    terms = state.open_terms
    start = max(terms.first, first - round(MONTH_HOURS / terms.period_hours))
    total = np.zeros((2, len(terms.products), len(terms.points)), np.int64)
    for period in state.window(start, first - start):
        if period.settled_wh is not None:
            total += period.settled_wh
    return np.array([[part[held.product, held.point] for held in state.contracts] for part in total])
