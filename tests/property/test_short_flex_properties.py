"""The continuous market of flexibility: against the order book, and what must hold of any messages."""

from collections import defaultdict
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.errors import InputError
from gridagora.market.book import OrderBook
from gridagora.market.short_flex import cancel, close, submit
from gridagora.model.continuous import FlexBid, FlexBookState

RULES = ("cancel_resting", "cancel_incoming", "allow")
KIND = {"normal": "limit", "fill_or_kill": "fill_or_kill", "fill_and_kill": "fill_and_kill"}
PEOPLE = st.sampled_from(["anna", "ben", "cleo"])
SIDES = st.sampled_from(["buy", "sell"])
FILLS = st.sampled_from(["normal", "normal", "normal", "fill_or_kill", "fill_and_kill"])
LIFE = st.one_of(st.none(), st.integers(1, 12))


@st.composite
def streams(draw, *, plain):
    """Messages as (kind, fields); times never fall, numbers rise, windows lie behind the gate."""
    messages, now, gate = [], 0, 0
    for number in range(draw(st.integers(1, 30))):
        now += draw(st.integers(0, 2))
        kind = draw(st.sampled_from(["bid"] * 8 + ["cancel"] + ([] if plain else ["close"])))
        if kind == "cancel":
            messages.append(("cancel", {"number": draw(st.integers(0, 30)), "at": now}))
        elif kind == "close":
            gate = min(gate + draw(st.integers(0, 1)), 6)
            messages.append(("close", {"before_period": gate, "at": now}))
        else:
            bid = draw(plain_bids(number=number) if plain else any_bids(number=number, gate=gate))
            life = draw(LIFE)
            until = None if life is None else now + life
            messages.append(("bid", {"bid": FlexBid(**bid, valid_until=until), "at": now}))
    return messages


@st.composite
def plain_bids(draw, *, number):
    fill = draw(FILLS)
    periods = 1 if fill == "fill_or_kill" else draw(st.integers(1, 3))
    return {
        "number": number,
        "participant": draw(PEOPLE),
        "side": draw(SIDES),
        "direction": "cap",
        "first": draw(st.integers(0, 3 - periods)),
        "periods": periods,
        "quantity_kw": draw(st.integers(1, 9)) / 1000,
        "price": draw(st.integers(-6, 6)) / 10_000,
        "fill": fill,
    }


@st.composite
def any_bids(draw, *, number, gate):
    fill = draw(FILLS)
    length = draw(st.sampled_from([1, 1, 1, 2, 3, 4]))
    blocks = draw(st.integers(1, 8 // length))
    watts = draw(st.integers(1, 9))
    limited = fill != "fill_or_kill"
    side = draw(SIDES)
    return {
        "number": number,
        "participant": draw(PEOPLE),
        "side": side,
        "direction": draw(st.sampled_from(["cap", "cap", "cap", "down"])),
        "first": gate + draw(st.integers(0, 3)),
        "periods": length * blocks,
        "quantity_kw": watts / 1000,
        "price": draw(st.integers(-6, 6)) / 100,
        "fill": fill,
        "min_kw": draw(st.one_of(st.just(0), st.integers(0, watts))) / 1000,
        "block_periods": length,
        "max_blocks": draw(st.one_of(st.none(), st.integers(1, 3))) if limited else None,
        "rest_blocks": draw(st.sampled_from([0, 0, 1, 2])) if limited else 0,
        "area": draw(st.sampled_from(["", "", "", "north"])),
        "contract": draw(st.sampled_from(["", "winter"])) if side == "sell" else "",
    }


def play(messages, rule):
    """Apply messages; yield after each the message, the state, the trades and the ends that it made."""
    state, owner = FlexBookState(self_match=rule), {}
    for kind, message in messages:
        trades, ended = (), ()
        if kind == "bid":
            owner[message["bid"].number] = message["bid"].participant
            state, trades, outcome = submit(state, **message)
            ended = outcome.ended
        elif kind == "close":
            state, ended = close(state, **message)
        else:
            try:
                state, ended = cancel(state, participant=owner.get(message["number"], "anna"), **message)
            except InputError:
                kind = "refused"
        yield kind, message, state, trades, ended


def by_period(trades):
    """Trades as the order book tells them, for each period."""
    told = defaultdict(list)
    for trade in trades:
        row = (
            trade.buyer,
            trade.seller,
            round(trade.quantity_kw * 1000),
            round(trade.price * 10_000),
            trade.at,
            min(trade.buy, trade.sell),
            max(trade.buy, trade.sell),
        )
        for period in range(trade.first, trade.first + trade.periods):
            told[period].append(row)
    return told


def open_at(state, period):
    """Numbers and open watts of the resting bids of one period: buys, then sells."""
    return [
        (entry.bid.number, watts)
        for entry in (*state.buys, *state.sells)
        if entry.bid.first <= period < entry.bid.end
        and (watts := entry.open_w[(period - entry.bid.first) // entry.bid.block_periods])
    ]


def apply_to_book(book, period, message, kind):
    """Give a message to the order book of one period."""
    if kind == "bid":
        bid = message["bid"]
        if bid.first <= period < bid.end:
            book.submit(
                side=bid.side,
                quantity=bid.quantity_kw,
                price=bid.price,
                participant=bid.participant,
                kind=KIND[bid.fill],
                valid_until=bid.valid_until,
                at=message["at"],
                order=bid.number,
            )
    else:
        book.expire(message["at"])
        if message["number"] in book.orders()["order"].tolist():
            book.cancel(message["number"])


@given(streams(plain=True), st.sampled_from(RULES))
@settings(max_examples=60, deadline=None)
def test_plain_bids_trade_as_in_one_order_book_for_each_period(messages, rule):
    books = [OrderBook(price_band=(-0.001, 0.001), self_match=rule) for _ in range(3)]
    trades, state = [], FlexBookState()
    for kind, message, after, made, _ in play(messages, rule):
        state = after
        trades += made
        for period, book in enumerate(books):
            apply_to_book(book, period, message, "bid" if kind == "bid" else "cancel")
    now = messages[-1][1]["at"]
    state, _ = close(state, before_period=0, at=now)  # a cancel that was refused moved no time
    told = by_period(trades)
    for period, book in enumerate(books):
        book.expire(now)
        table = book.trades
        rows = zip(
            table["buyer"],
            table["seller"],
            table["quantity_wh"],
            table["price_micro_per_kwh"] // 100,
            table["at"],
            table["maker"],
            table["taker"],
            strict=True,
        )
        assert told[period] == list(rows)
        resting = book.orders()
        open_w = [round(kwh * 1000) for kwh in resting["open"]]
        assert open_at(state, period) == list(zip(resting["order"], open_w, strict=True))


def spans(bid):
    """Block boundaries of a bid."""
    return set(range(bid.first, bid.end + 1, bid.block_periods))


def blocks_of(bid, first, end):
    length = bid.block_periods
    return {(period - bid.first) // length for period in range(first, end)}


def allowed(bid, active):
    """Tell whether a bid may have just these blocks activated."""
    ordered = sorted(active)
    gaps = (later - earlier - 1 for earlier, later in pairwise(ordered))
    return (bid.max_blocks is None or len(ordered) <= bid.max_blocks) and all(
        gap >= bid.rest_blocks for gap in gaps
    )


def can_trade(buy, sell):
    """Tell by trying every span whether two resting bids could trade."""
    one, other = buy.bid, sell.bid
    if (one.direction, one.area) != (other.direction, other.area) or one.price < other.price:
        return False
    edges = sorted(spans(one) & spans(other))
    for first in edges:
        for end in edges:
            if first >= end:
                continue
            watts = min(
                entry.open_w[block] for entry in (buy, sell) for block in blocks_of(entry.bid, first, end)
            )
            if watts >= max(one.min_kw, other.min_kw, 0.001) * 1000 - 1e-6 and all(
                allowed(
                    entry.bid,
                    {block for block, traded in enumerate(entry.traded_w) if traded}
                    | blocks_of(entry.bid, first, end),
                )
                for entry in (buy, sell)
            ):
                return True
    return False


def check_trade(trade, buy, sell, *, rule, state):
    earlier, later = sorted((buy, sell), key=lambda bid: bid.number)
    assert (buy.side, sell.side) == ("buy", "sell")
    assert sell.price <= trade.price <= buy.price
    assert trade.price == earlier.price
    assert (trade.buyer, trade.seller, trade.contract) == (buy.participant, sell.participant, sell.contract)
    assert rule == "allow" or trade.buyer != trade.seller
    assert {(trade.direction, trade.area)} == {(bid.direction, bid.area) for bid in (buy, sell)}
    assert earlier.fill == "normal"
    assert earlier.valid_until is None or trade.at < earlier.valid_until
    assert trade.first >= state.open_from
    assert trade.quantity_kw >= max(buy.min_kw, sell.min_kw)
    for bid in (buy, sell):
        assert {trade.first, trade.first + trade.periods} <= spans(bid)
    assert later.number == state.last_number


@given(streams(plain=False), st.sampled_from(RULES))
@settings(max_examples=200, deadline=None)
def test_every_trade_keeps_the_terms_of_both_bids_and_nothing_is_lost(messages, rule):
    bids, traded, ended = {}, defaultdict(int), defaultdict(int)
    state, active = FlexBookState(), defaultdict(set)
    for kind, message, after, trades, ends in play(messages, rule):
        state = after
        if kind == "bid":
            bids[message["bid"].number] = message["bid"]
        for trade in trades:
            buy, sell = bids[trade.buy], bids[trade.sell]
            check_trade(trade, buy, sell, rule=rule, state=state)
            for bid in (buy, sell):
                active[bid.number] |= blocks_of(bid, trade.first, trade.first + trade.periods)
                for period in range(trade.first, trade.first + trade.periods):
                    traded[bid.number, period] += round(trade.quantity_kw * 1000)
        for end in ends:
            for period in range(end.first, end.first + end.periods):
                ended[end.number, period] += round(end.quantity_kw * 1000)
        open_w = {(number, period): watts for period in range(20) for number, watts in open_at(state, period)}
        for number, bid in bids.items():
            assert allowed(bid, active[number])
            for period in range(bid.first, bid.end):
                key = number, period
                assert traded[key] + ended[key] + open_w.get(key, 0) == round(bid.quantity_kw * 1000)
            if bid.fill == "fill_or_kill":
                sums = {traded[number, period] for period in range(bid.first, bid.end)}
                assert sums in ({0}, {round(bid.quantity_kw * 1000)})


@given(streams(plain=False), st.sampled_from(RULES))
@settings(max_examples=200, deadline=None)
def test_no_two_bids_that_could_trade_are_left_in_a_book_in_order(messages, rule):
    for _, _, state, _, _ in play(messages, rule):
        for side, sign in ((state.buys, -1), (state.sells, 1)):
            keys = [(sign * entry.bid.price, entry.bid.number) for entry in side]
            assert keys == sorted(keys)
            for entry in side:
                bid = entry.bid
                assert bid.fill == "normal"
                assert any(entry.open_w)
                assert bid.valid_until is None or state.at < bid.valid_until
                assert all(watts == 0 or watts >= bid.min_kw * 1000 for watts in entry.open_w)
                active = {block for block, watts in enumerate(entry.traded_w) if watts}
                assert all(allowed(bid, active | {b}) for b, watts in enumerate(entry.open_w) if watts)
                starts = range(bid.first, bid.end, bid.block_periods)
                closed = [w for w, start in zip(entry.open_w, starts, strict=True) if start < state.open_from]
                assert not any(closed)
        for buy in state.buys:
            for sell in state.sells:
                own = buy.bid.participant == sell.bid.participant
                assert not can_trade(buy, sell) or (own and rule != "allow")


@given(streams(plain=True))
@settings(max_examples=60, deadline=None)
def test_plain_bids_never_stay_crossed(messages):
    for _, _, state, _, _ in play(messages, "allow"):
        for period in range(3):
            numbers = {number for number, _ in open_at(state, period)}
            bids = [entry.bid.price for entry in state.buys if entry.bid.number in numbers]
            asks = [entry.bid.price for entry in state.sells if entry.bid.number in numbers]
            assert not bids or not asks or max(bids) < min(asks)


@given(streams(plain=False), st.sampled_from(RULES))
@settings(max_examples=60, deadline=None)
def test_the_same_messages_give_the_same_states_and_old_states_stay(messages, rule):
    once = [(state, trades, ends, repr(state)) for _, _, state, trades, ends in play(messages, rule)]
    again = [(state, trades, ends) for _, _, state, trades, ends in play(messages, rule)]
    assert [step[:3] for step in once] == again
    assert all(repr(state) == text for state, _, _, text in once)
