"""Sellers that join a flexibility market later, leave it and come back: nothing changes for the others."""

from dataclasses import replace

import numpy as np
import pytest
from flex_markets import NAMES, H, auction, bids, terms

from gridagora import flexibility as flex
from gridagora.adapters.sql import tables
from gridagora.adapters.sql.projections import Names, project
from gridagora.adapters.stores import MemoryStore
from gridagora.engine.flexibility.machine import replay
from gridagora.errors import InputError

RESERVE = {"horizon": "reservation", "contract": flex.ContractRules(activation_cap=0.4)}


def order(market, at, who, side, period, kw, price, *, count=1, **more):
    number = max(book.last_number for book in market.state.books) + 1
    bid = flex.FlexBid(
        number=number,
        participant=who,
        side=side,
        direction="cap",
        first=period,
        periods=count,
        quantity_kw=kw,
        price=price,
        **more,
    )
    return market.do(flex.SubmitFlexOrder(at=at, product="cap", bid=bid))


def join(market, at, name):
    (point,) = (one for one in terms().points if one.participant == name)
    return market.do(flex.AddFlexSeller(at=at, point=point))


def story(early):
    """Trade in all horizons; those of the three points who are not ``early`` join on the way."""
    market = flex.FlexMarket(MemoryStore())
    given = terms(buyers=("DSO", "TSO"))
    points = tuple(one for one in given.points if one.participant in early)
    market.do(flex.OpenFlexMarket(at=-200 * H, terms=replace(given, points=points)))
    late = [name for name in NAMES if name not in early]
    rows = [("DSO", "buy", 4, 3.0, 0.02), ("TSO", "buy", 4, 1.0, 0.02), ("ann", "sell", 4, 5.0, 0.01)]
    auction(market, bids(*rows), at=-150 * H, first=4, **RESERVE)
    market.do(flex.CallReservations(at=-140 * H, contracts=("0:ann",), periods=(4,), requested_kw=(2.0,)))
    opened = flex.FlexAuction(number=1, horizon="activation", product="cap", first=4, count=2, gate=-20 * H)
    market.do(flex.OpenFlexAuction(at=-120 * H, auction=opened))
    wanted = bids(("DSO", "buy", 4, 7.0, 0.9), ("TSO", "buy", 5, 4.0, 0.9), ("ann", "sell", 5, 1.0, 0.5))
    market.do(flex.SubmitFlexBids(at=-110 * H, auction=1, bids=wanted))
    for name in late:
        join(market, -100 * H, name)
    offers = bids(("bob", "sell", 4, 3.0, 0.2), ("cat", "sell", 5, 2.0, 0.3), ("cat", "sell", 4, 1.0, 0.3))
    market.do(flex.SubmitFlexBids(at=-90 * H, auction=1, bids=offers))
    market.do(flex.ClearFlexAuction(at=-20 * H, auction=1))
    order(market, -10 * H, "cat", "sell", 6, 2.0, 0.4)
    order(market, -9 * H, "TSO", "buy", 6, 2.0, 0.6)
    order(market, -8 * H, "bob", "buy", 4, 1.0, 0.6)
    order(market, -7 * H, "cat", "sell", 4, 1.0, 0.4)
    market.do(flex.CloseFlexGate(at=6 * H, before=7))
    kw = np.full((3, 7), 5.0)
    kw[2] = [4.0] * 6 + [4.5]
    market.do(flex.RecordFlexReadings(at=7 * H, first=0, metered_kw=kw))
    market.do(flex.SettleFlexPeriods(at=8 * H, first=0, count=7))
    return market


def told(settled, names):
    """Return the items of a settlement by name."""
    items = settled.items
    rows = (items.entry, items.participant, items.product, items.reason, items.contract, items.energy_wh)
    columns = [list(np.asarray(column).tolist()) for column in (*rows, items.amount)]
    columns[1] = [names[code] for code in columns[1]]
    return sorted(zip(*columns, strict=True))


def events(market):
    return list(market._store.events())


def same(one, other):
    """Tell whether two states hold the same."""
    assert one.terms == other.terms
    assert one.balance.tolist() == other.balance.tolist()
    assert [held.contract.id for held in one.contracts] == [held.contract.id for held in other.contracts]
    assert (one.absent, one.willing) == (other.absent, other.willing)
    assert [tender.bids for tender in one.tenders] == [tender.bids for tender in other.tenders]
    for number in range(one.terms.first, one.terms.end):
        mine, theirs = one.period(number), other.period(number)
        for name in mine.__slots__:
            a, b = getattr(mine, name), getattr(theirs, name)
            assert (a is None) == (b is None), name
            assert a is None or np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), (number, name)


@pytest.mark.parametrize("early", [("ann",), ("ann", "bob")])
def test_who_joins_later_gets_what_it_would_have_got_and_nothing_changes_for_the_others(early):
    all_early, some_late = story(NAMES), story(early)
    names = all_early.state.terms.participants
    assert some_late.state.terms.participants == names == (*NAMES, "DSO", "TSO")
    same(some_late.state, all_early.state)
    (one,), (other,) = (
        [event for event in events(market) if type(event).__name__ == "FlexSettled"]
        for market in (all_early, some_late)
    )
    assert told(one, names) == told(other, names)
    earned = dict(zip(names, some_late.state.balance.tolist(), strict=False))
    assert all(earned[name] > 0 for name in ("ann", "cat"))
    assert all(earned[name] < 0 for name in ("DSO", "TSO"))
    same(replay(events(some_late)), some_late.state)


@pytest.mark.parametrize("homes", [(), ("cat", "ann")])
def test_the_books_of_a_database_know_who_joined_by_name(homes):
    market, names, booked = story(("ann",)), Names(homes=homes), {}
    called = dict(enumerate(homes))
    for seq, event in enumerate(events(market), 1):
        made, names = project(event, seq, names)
        for rows in made:
            if rows.table is tables.balances and rows.mode == "insert":
                called |= dict(zip(rows.columns["account"].tolist(), rows.columns["name"], strict=True))
            elif rows.table is tables.balances:
                for account, amount in zip(
                    *(rows.columns[k] for k in ("account", "amount_micro")), strict=True
                ):
                    booked[called[account]] = booked.get(called[account], 0) + amount
    own = dict(zip(market.state.terms.participants, market.state.balance.tolist(), strict=False))
    assert {who: booked.get(who, booked.get(f"participant:{who}", 0)) for who in own} == own


def test_an_auction_that_is_open_when_somebody_joins_keeps_its_bids_with_their_bidders():
    market = story(("ann",))
    cleared = next(e for e in events(market) if type(e).__name__ == "FlexAuctionCleared" and e.auction.number)
    names = market.state.terms.participants_then(len(cleared.capacity_kw))
    won = {
        (names[code], period): kw
        for code, period, kw in zip(
            cleared.participant.tolist(), cleared.period.tolist(), cleared.accepted_kw.tolist(), strict=True
        )
    }
    assert won["TSO", 5] == won["cat", 5] + won["ann", 5] > 0
    before = next(e for e in events(market) if type(e).__name__ == "FlexAuctionCleared")
    then = market.state.terms.participants_then(len(before.capacity_kw))
    assert [then[code] for code in before.participant.tolist()] == ["DSO", "TSO", "ann"]


def leaving():
    market = flex.FlexMarket(MemoryStore())
    market.do(flex.OpenFlexMarket(at=-200 * H, terms=terms()))
    rows = [("DSO", "buy", 4, 2.0, 0.02), ("bob", "sell", 4, 2.0, 0.01)]
    auction(market, bids(*rows), at=-150 * H, first=4, **RESERVE)
    one = flex.FlexAuction(number=1, horizon="activation", product="cap", first=5, count=1, gate=-20 * H)
    market.do(flex.OpenFlexAuction(at=-100 * H, auction=one))
    wanted = bids(("DSO", "buy", 5, 4.0, 0.9), ("bob", "sell", 5, 3.0, 0.1), ("cat", "sell", 5, 3.0, 0.2))
    market.do(flex.SubmitFlexBids(at=-90 * H, auction=1, bids=wanted))
    cap = terms().product("cap")
    tender = flex.Tender(name="winter", buyer="DSO", product=cap, windows=((8, 1),), need_kw=[3.0])
    market.do(flex.OpenTender(at=-80 * H, product="cap", tender=tender, closes=-60 * H))
    bid = flex.TenderBid(participant="bob", max_kw=2.0, availability=0.01, utilisation=0.1)
    market.do(flex.SubmitTenderBid(at=-79 * H, tender="winter", bid=bid))
    order(market, -78 * H, "bob", "sell", 10, 1.0, 0.4)
    order(market, -78 * H, "bob", "sell", 11, 1.0, 0.4, valid_until=-77 * H)
    willing = flex.RedispatchOrder(participant="bob", side="sell", period=12, kw=1.0, price=0.2)
    market.do(flex.SubmitRedispatchOrder(at=-77 * H, order=willing))
    return market


def test_what_a_seller_offered_lapses_when_it_leaves_and_its_contracts_stand():
    market = leaving()
    left = market.do(flex.DropFlexSeller(at=-70 * H, participant="bob", reason="it is suspended"))
    assert left.lapsed == (
        "offer in auction 1",
        "bid in tender winter",
        "order 0 for cap",
        "order of redispatch for period 12",
    )
    assert [held.contract.seller for held in market.state.contracts] == ["bob"]
    stands = (market.state.willing, market.state.tenders[0].bids, market.state.books[0].sells)
    assert not any(stands)
    cleared = market.do(flex.ClearFlexAuction(at=-20 * H, auction=1))
    assert {terms().participants[code] for code in cleared.participant.tolist()} == {"DSO", "cat"}
    market.do(flex.CallReservations(at=-19 * H, contracts=("0:bob",), periods=(4,), requested_kw=(2.0,)))
    same(replay(events(market)), market.state)


def test_who_left_offers_nothing_until_it_comes_back_as_who_it_was():
    market = leaving()
    market.do(flex.DropFlexSeller(at=-70 * H, participant="bob", reason="it is suspended"))
    bid = flex.TenderBid(participant="bob", max_kw=2.0, availability=0.01, utilisation=0.1)
    willing = flex.RedispatchOrder(participant="bob", side="sell", period=12, kw=1.0, price=0.2)
    offers = (
        flex.SubmitFlexBids(at=-65 * H, auction=1, bids=bids(("bob", "sell", 5, 1.0, 0.1))),
        flex.SubmitTenderBid(at=-65 * H, tender="winter", bid=bid),
        flex.SubmitRedispatchOrder(at=-65 * H, order=willing),
    )
    for command in offers:
        with pytest.raises(InputError) as refused:
            market.do(command)
        assert [fault.code for fault in refused.value.faults] == ["participant_not_active"]
    with pytest.raises(InputError, match="it left"):
        order(market, -65 * H, "bob", "sell", 10, 1.0, 0.4)
    join(market, -64 * H, "bob")
    assert market.state.terms.participants == (*NAMES, "DSO")
    for command in offers:
        market.do(replace(command, at=-63 * H))
    assert market.state.absent == ()


def test_faults_of_who_joins_and_leaves_are_told():
    market = leaving()
    nameless = flex.ConnectionPoint(participant="", bus="b", import_kw=-1.0, export_kw=float("nan"))
    buyer = flex.ConnectionPoint(participant="DSO", bus="b", import_kw=1.0, export_kw=1.0)
    wrong = (
        (flex.AddFlexSeller(at=-300 * H, point=nameless), 4),
        (flex.AddFlexSeller(at=0, point=terms().points[0]), 1),
        (flex.AddFlexSeller(at=0, point=buyer), 2),
        (flex.DropFlexSeller(at=0, participant="DSO", reason=" "), 2),
    )
    for command, count in wrong:
        with pytest.raises(InputError) as refused:
            market.do(command)
        assert len(refused.value.faults) == count
