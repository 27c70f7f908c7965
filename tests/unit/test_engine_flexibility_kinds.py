"""Commands of the flexibility market with values of the wrong kind, and of kinds that mean the same."""

from typing import Any

import numpy as np
import pytest
from flex_markets import CAP, H, bids, faults_of, opened, reserve, terms

from gridagora.adapters.stores import MemoryStore
from gridagora.engine.flexibility.commands import (
    AwardTender,
    CallReservations,
    ClearFlexAuction,
    CloseFlexGate,
    OpenFlexAuction,
    OpenFlexMarket,
    PairRedispatch,
    RecordFlexReadings,
    ReleaseReservation,
    SettleFlexPeriods,
    WithdrawFlexBids,
)
from gridagora.engine.flexibility.machine import FlexMarket, replay
from gridagora.errors import InputError, InvariantError
from gridagora.market.mechanisms.redispatch_pairs import RedispatchOrder
from gridagora.model.events import canonical_bytes
from gridagora.model.flexibility_market import ConnectionPoint, ContractRules, FlexAuction
from gridagora.model.reservation import Tender, TenderBid

TERMS = {
    "penalty_micro_per_kwh": 0.5, "first": 0.5, "periods": 2.5, "gate_closure_periods": 0.5,
    "window_periods": "a", "start": 0.25, "tolerance_kw": "x", "period_hours": None,
    "most_missing_percent": "x", "points": ("ann",), "products": ("cap",), "buyers": "DSO",
    "settlement": "uftp", "areas": (("north", "ann"),),
}  # fmt: skip


def test_terms_of_the_wrong_kind_are_told_together() -> None:
    wrong = OpenFlexMarket(at=0, terms=terms(**TERMS))
    with pytest.raises(InputError) as error:
        FlexMarket(MemoryStore()).do(wrong)
    assert {fault.place for fault in error.value.faults} == {f"terms, {name}" for name in TERMS}
    assert all(fault.fix.startswith("write ") for fault in error.value.faults)
    point = ConnectionPoint(participant="ann", bus="b", import_kw="much", export_kw=1)
    with pytest.raises(InputError, match="terms, points, ann, import_kw"):
        opened(points=(point,))


@pytest.mark.parametrize(
    ("name", "value"),
    [("first", 4.5), ("count", 1.5), ("gate", "x"), ("number", 0.0), ("area", "ann"), ("contract", "x"),
     ("ordered", "yes")],
)  # fmt: skip
def test_auction_of_the_wrong_kind_is_refused(name: str, value: Any) -> None:
    given = {"number": 0, "horizon": "activation", "product": "cap", "first": 4, "count": 1, "gate": H}
    command = OpenFlexAuction(at=0, auction=FlexAuction(**(given | {name: value})))
    (fault,) = faults_of(opened(), command)
    assert (fault.place, fault.reason) == (f"auction, {name}", "is of the wrong kind")


def test_rules_of_contracts_of_the_wrong_kind_are_refused() -> None:
    rules: Any = ContractRules(activation_cap="x", lead_periods=0.5, auto_offer=1)
    auction = FlexAuction(
        number=0, horizon="reservation", product="cap", first=4, count=1, gate=H, contract=rules
    )
    found = faults_of(opened(), OpenFlexAuction(at=0, auction=auction))
    assert [fault.place.split(", ")[-1] for fault in found] == [
        "activation_cap",
        "lead_periods",
        "auto_offer",
    ]


READINGS = [[0.0]] * 3
COMMANDS: list[Any] = [
    CloseFlexGate(at="x", before=3),
    CloseFlexGate(at=5 * H, before=3.5),
    SettleFlexPeriods(at=5 * H, first=0.5, count=1),
    RecordFlexReadings(at=5 * H, first=None, metered_kw=READINGS),
    WithdrawFlexBids(at=0, auction="x", participant="ann"),
    ClearFlexAuction(at=0, auction=None),
    CallReservations(at=0, contracts="0:ann", periods=(4,), requested_kw=(1.0,)),
    CallReservations(at=0, contracts=(), periods=(4,), requested_kw=(1.0,)),
    CallReservations(at=0, contracts=("0:ann",), periods=("a",), requested_kw=(1.0,)),
    ReleaseReservation(at=0, contract="0:ann", periods=(4.5,), kw=(1.0,)),
    ReleaseReservation(at=0, contract="0:ann", periods=(4,), kw=("x",)),
    ReleaseReservation(at=0, contract="0:ann", periods=(), kw=()),
    AwardTender(
        at=0,
        product="cap",
        tender=Tender(name="w", buyer="DSO", product=CAP, windows=((4, 2),), need_kw=[6.0]),
        bids=(TenderBid(participant="ann", max_kw=None, availability="a", utilisation=0.1),),
    ),
    PairRedispatch(
        at=0,
        inside=(RedispatchOrder(participant="x", side="x", period="a", kw="b", price=None),),
        outside=(),
        needed_kw={"a": "b"},
        shares={},
    ),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_value_of_the_wrong_kind_is_a_fault_and_no_crash(command: Any) -> None:
    market = opened()
    reserve(market, bids(("ann", "sell", 4, 4.0, 0.01), ("DSO", "buy", 4, 4.0, 0.02)), first=4)
    with pytest.raises(InputError):
        market.do(command, feasible=lambda _: ())


def test_arrays_and_lists_are_kept_as_plain_tuples() -> None:
    market = opened()
    reserve(market, bids(("ann", "sell", 4, 4.0, 0.01), ("DSO", "buy", 4, 4.0, 0.02)), first=4)
    call = CallReservations(
        at=np.int64(0),
        contracts=["0:ann"],
        periods=np.array([4]),
        requested_kw=np.array([1]),
    )
    event = market.do(call)
    assert (event.at, event.contracts, event.periods, event.requested_kw) == (0, ("0:ann",), (4,), (1.0,))
    assert [type(value) for value in (event.at, *event.periods, *event.requested_kw)] == [int, int, float]
    assert canonical_bytes(replay(market._store.events())) == canonical_bytes(market.state)


def test_what_is_no_command_is_a_defect_of_the_caller() -> None:
    with pytest.raises(InvariantError, match="str is no command"):
        opened().do("open")
