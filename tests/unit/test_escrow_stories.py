"""Wallets and escrow: boundaries, splits and refusals one by one."""

import pytest

from gridagora.errors import InvariantError
from gridagora.ledger import escrow
from gridagora.ledger.escrow import ESCROW, ROUNDING, EscrowState, Stage, Wallet, execute, named, split
from gridagora.ledger.escrow_commands import Deposit, Done, Expire, Hold, Open, Pay, Release, Void, Withdraw

HOLD = Hold(key="h", at=0, transfer="t", payer="ann", payee="bob", amount=1_000, quantity_wh=3, deadline=100)


def opened(**balances: int) -> EscrowState:
    commands = [Open(key=f"o{name}", at=0, account=name) for name in ("ann", "bob")]
    money = [Deposit(key=f"d{n}", at=0, account=n, amount=amount) for n, amount in balances.items()]
    return execute(EscrowState(), [*commands, *money])[0]


def balances(state: EscrowState) -> dict[str, int]:
    return {name: wallet.balance for name, wallet in state.wallets.items() if wallet.balance}


@pytest.mark.parametrize(
    ("at", "released", "expired"), [(99, True, False), (100, True, False), (101, False, True)]
)
def test_at_any_second_just_one_of_release_and_refund_is_open(at: int, released: bool, expired: bool) -> None:
    state, _ = execute(opened(ann=1_000), [HOLD])
    found = [
        isinstance(execute(state, [kind(key="x", at=at, transfer="t", **more)])[1][0], Done)
        for kind, more in ((Release, {"delivered_wh": 3}), (Void, {}), (Expire, {}))
    ]
    assert found == [released, released, expired]


def test_a_third_delivered_is_a_third_paid_and_no_micro_unit_is_lost() -> None:
    state, _ = execute(opened(ann=1_000), [HOLD, Release(key="r", at=1, transfer="t", delivered_wh=1)])
    assert balances(state) == {"bank": -1_000, "bob": 333, "ann": 666, ROUNDING: 1}
    assert (state.transfers["t"].stage, state.transfers["t"].paid) == (Stage.RELEASED, 333)


def test_all_parts_of_all_small_splits_sum_to_the_whole() -> None:
    for amount in range(1, 40):
        for quantity in range(1, 12):
            for delivered in range(quantity + 2):
                parts = split(amount, delivered_wh=delivered, quantity_wh=quantity, fee_ppm=150_000)
                every = (parts.paid, parts.fee, parts.returned, parts.rounding)
                assert sum(every) == amount
                assert min(every) >= 0
                assert parts.rounding <= 1


def test_a_wallet_goes_below_zero_only_as_far_as_it_may() -> None:
    state, _ = execute(opened(), [Open(key="more", at=0, account="ann", overdraft=50)])
    for amount, done in ((51, False), (50, True)):
        outcome = execute(state, [Pay(key="p", at=0, payer="ann", payee="bob", amount=amount)])[1][0]
        assert isinstance(outcome, Done) == done
    below, _ = execute(state, [Pay(key="p", at=0, payer="ann", payee="bob", amount=50)])
    assert (
        execute(below, [Open(key="less", at=0, account="ann", overdraft=49)])[1][0].code
        == "insufficient_funds"
    )


@pytest.mark.parametrize("account", ["bank", "escrow", "rounding", "nobody"])
def test_no_command_reaches_into_what_the_system_keeps(account: str) -> None:
    state = execute(opened(ann=1_000), [HOLD])[0]
    commands = [
        Deposit(key="1", at=0, account=account, amount=5),
        Withdraw(key="2", at=0, account=account, amount=5),
        Pay(key="3", at=0, payer="bob", payee=account, amount=5),
        Pay(key="4", at=0, payer=account, payee="bob", amount=5),
        Hold(key="5", at=0, transfer="u", payer=account, payee="bob", amount=5, quantity_wh=1, deadline=9),
        Hold(key="6", at=0, transfer="v", payer="ann", payee=account, amount=5, quantity_wh=1, deadline=9),
    ]
    after, outcomes = execute(state, commands)
    assert {outcome.code for outcome in outcomes} == {"unknown_account"}
    assert balances(after) == balances(state)


@pytest.mark.parametrize("amount", [0, -1, 10**15 + 1])
def test_amounts_out_of_range_are_refused(amount: int) -> None:
    commands = [
        Deposit(key="1", at=0, account="ann", amount=amount),
        Hold(key="2", at=0, transfer="t", payer="ann", payee="bob", amount=amount, quantity_wh=1, deadline=9),
    ]
    assert [outcome.code for outcome in execute(opened(ann=5), commands)[1]] == ["bad_amount"] * 2


def test_a_batch_needs_only_the_rows_that_it_names() -> None:
    others = {f"home{k}": Wallet(balance=5) for k in range(100)}
    full = execute(opened(ann=1_000), [HOLD])[0]
    whole = EscrowState(
        wallets=full.wallets | others | {"bank": Wallet(balance=-1_500)},
        transfers=full.transfers,
        answers=full.answers,
    )
    command = Release(key="r", at=1, transfer="t", delivered_wh=2)
    accounts, transfers, keys = named([command, HOLD])
    rows = accounts | {"bank", "escrow", "operator:fees", "rounding"}
    part = EscrowState(
        wallets={name: whole.wallets[name] for name in rows},
        transfers={name: whole.transfers[name] for name in transfers},
        answers={key: whole.answers[key] for key in keys if key in whole.answers},
    )
    assert execute(part, [command])[1] == execute(whole, [command])[1]


def test_a_wrong_split_stops_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    state, _ = execute(opened(ann=1_000), [HOLD])
    wrong = escrow.Split(paid=500, fee=0, returned=500, rounding=1)
    monkeypatch.setattr(escrow, "split", lambda *_, **__: wrong)
    with pytest.raises(InvariantError, match="balance"):
        execute(state, [Release(key="r", at=1, transfer="t", delivered_wh=1)])


def test_a_state_that_lost_money_from_escrow_is_noticed() -> None:
    state, _ = execute(opened(ann=1_000), [HOLD])
    broken = EscrowState(
        wallets=dict(state.wallets) | {ESCROW: Wallet(balance=10)},
        transfers=state.transfers,
        answers=state.answers,
    )
    with pytest.raises(InvariantError):
        execute(broken, [Void(key="v", at=1, transfer="t")])


@pytest.mark.parametrize("delivered", [-1, 10**15 + 1])
def test_energy_out_of_range_releases_nothing(delivered: int) -> None:
    state, _ = execute(opened(ann=1_000), [HOLD])
    after, (refused,) = execute(state, [Release(key="r", at=1, transfer="t", delivered_wh=delivered)])
    assert refused.code == "bad_amount"
    assert after.transfers == state.transfers
    again, (done,) = execute(after, [Release(key="r2", at=1, transfer="t", delivered_wh=9)])
    assert isinstance(done, Done)  # more than was traded counts as what was traded
    assert balances(again) == {"bank": -1_000, "bob": 1_000}


@pytest.mark.parametrize(
    ("overdraft", "fee_ppm", "quantity"), [(-1, -1, 0), (10**15 + 1, 1_000_001, 10**15 + 1)]
)
def test_terms_out_of_range_are_refused(overdraft: int, fee_ppm: int, quantity: int) -> None:
    terms = {"at": 0, "transfer": "t", "payer": "ann", "payee": "bob", "amount": 5, "deadline": 9}
    commands = [
        Open(key="1", at=0, account="ann", overdraft=overdraft),
        Hold(key="2", **terms, quantity_wh=1, fee_ppm=fee_ppm),
        Hold(key="3", **terms, quantity_wh=quantity),
    ]
    assert [outcome.code for outcome in execute(opened(ann=5), commands)[1]] == ["bad_amount"] * 3
