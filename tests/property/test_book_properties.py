"""The order book against a naive one on random streams, and what must hold of any stream."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_book import NaiveBook

from gridagora.errors import InputError
from gridagora.market.book import OrderBook

RULES = ("cancel_resting", "cancel_incoming", "allow")
TICK = 0.0001
BAND = (-0.0008, 0.0008)
LIMIT_KINDS = ("limit", "limit", "limit", "fill_or_kill", "fill_and_kill")

PEOPLE = st.sampled_from([None, "anna", "ben", "cleo"])
TICKS = st.integers(-8, 8)
WH = st.integers(1, 9)
ORDERS = st.integers(0, 30)
LIFE = st.one_of(st.none(), st.integers(1, 12))
NEW = st.one_of(
    st.fixed_dictionaries(
        {
            "action": st.just("new"),
            "side": st.sampled_from(["buy", "sell"]),
            "ticks": TICKS,
            "wh": WH,
            "participant": PEOPLE,
            "kind": st.sampled_from(LIMIT_KINDS),
            "life": LIFE,
        }
    ),
    st.fixed_dictionaries(
        {
            "action": st.just("new"),
            "side": st.sampled_from(["buy", "sell"]),
            "wh": WH,
            "participant": PEOPLE,
            "kind": st.just("market"),
        }
    ),
)
CHANGE = st.one_of(
    st.fixed_dictionaries({"action": st.just("cancel"), "order": ORDERS}),
    st.fixed_dictionaries({"action": st.just("amend"), "order": ORDERS, "wh": st.integers(1, 12)}),
    st.fixed_dictionaries({"action": st.just("amend"), "order": ORDERS, "ticks": TICKS}),
    st.fixed_dictionaries({"action": st.just("amend"), "order": ORDERS, "ticks": TICKS, "wh": WH}),
    st.fixed_dictionaries({"action": st.just("expire")}),
)


@st.composite
def streams(draw):
    """A list of messages whose times never fall."""
    messages, now = [], 0
    for message in draw(st.lists(st.one_of(NEW, NEW, CHANGE), min_size=1, max_size=45)):
        now += draw(st.integers(0, 2))
        life = message.pop("life", None)
        until = None if life is None else now + life
        messages.append({**message, "at": now, "valid_until": until})
    return messages


def frame(messages):
    """The messages as the table a user would write."""
    fields = ("action", "side", "kind", "order", "participant", "at", "valid_until")
    table = {field: [message.get(field) for message in messages] for field in fields}
    table["price"] = [None if m.get("ticks") is None else m["ticks"] / 10_000 for m in messages]
    table["quantity"] = [None if m.get("wh") is None else m["wh"] / 1000 for m in messages]
    return pd.DataFrame(table)


def fast_book(messages, rule):
    book = OrderBook(tick=TICK, price_band=BAND, self_match=rule)
    return book, book.replay(frame(messages))


def naive_book(messages, rule):
    book = NaiveBook(rule)
    for message in messages:
        book.apply(message)
    return book


def rows(trades):
    """Trades as tuples of whole numbers."""
    return list(
        zip(
            trades["buyer"],
            trades["seller"],
            trades["quantity_wh"],
            trades["price_micro_per_kwh"] // 100,
            trades["at"],
            trades["maker"],
            trades["taker"],
            strict=True,
        )
    )


def single_calls(messages, rule):
    """The same messages, one call each."""
    book = OrderBook(tick=TICK, price_band=BAND, self_match=rule)
    for message, row in zip(messages, frame(messages).astype(object).to_dict("records"), strict=True):
        row = {name: value for name, value in row.items() if not pd.isna(value)}
        action = row.pop("action")
        try:
            if action == "new":
                book.submit(**row)
            elif action == "expire":
                book.expire(row["at"])
            else:
                getattr(book, action)(message["order"], **{k: v for k, v in row.items() if k != "order"})
        except InputError as error:
            if action == "new" or [fault.place for fault in error.faults] != ["order"]:
                raise
    return book


@given(streams(), st.sampled_from(RULES))
@settings(max_examples=300, deadline=None)
def test_same_trades_orders_and_rejections_as_the_naive_book(messages, rule):
    book, trades = fast_book(messages, rule)
    naive = naive_book(messages, rule)
    assert rows(trades) == naive.trades
    resting = book.orders()
    queue = naive.queue("buy") + naive.queue("sell")
    assert resting["order"].tolist() == [order["number"] for order in queue]
    assert np.rint(resting["open"] * 1000).tolist() == [order["open"] for order in queue]
    everything = book.orders(resting_only=False)
    assert everything["status"].tolist() == [order["status"] for order in naive.orders]
    assert np.rint(everything["quantity"] * 1000).tolist() == [order["quantity"] for order in naive.orders]
    refused = book.rejections
    assert list(zip(refused["message"], refused["reason"], strict=True)) == naive.rejections


@given(streams(), st.sampled_from(RULES))
@settings(max_examples=40, deadline=None)
def test_single_calls_and_replay_are_one_engine(messages, rule):
    replayed, trades = fast_book(messages, rule)
    called = single_calls(messages, rule)
    pd.testing.assert_frame_equal(called.trades, trades)
    pd.testing.assert_frame_equal(called.orders(resting_only=False), replayed.orders(resting_only=False))
    pd.testing.assert_frame_equal(called.rejections, replayed.rejections)


@given(streams(), st.sampled_from(RULES), st.integers(0, 45))
@settings(max_examples=40, deadline=None)
def test_a_stream_may_come_in_parts(messages, rule, cut):
    whole, trades = fast_book(messages, rule)
    parts = OrderBook(tick=TICK, price_band=BAND, self_match=rule)
    made = [parts.replay(frame(part)) for part in (messages[:cut], messages[cut:]) if part]
    assert [row for part in made for row in rows(part)] == rows(trades)
    pd.testing.assert_frame_equal(parts.orders(), whole.orders())
    pd.testing.assert_frame_equal(parts.rejections, whole.rejections)


@given(streams(), st.sampled_from(RULES))
@settings(max_examples=60, deadline=None)
def test_energy_is_conserved_and_the_book_never_crossed(messages, rule):
    book = OrderBook(tick=TICK, price_band=BAND, self_match=rule)
    for message in messages:
        book.replay(frame([message]))
        bid, ask = book.best_bid, book.best_ask
        assert bid is None or ask is None or bid < ask
        orders, trades = book.orders(resting_only=False), book.trades
        filled = np.zeros(len(orders), dtype=np.int64)
        np.add.at(filled, trades["maker"].to_numpy(), trades["quantity_wh"].to_numpy())
        np.add.at(filled, trades["taker"].to_numpy(), trades["quantity_wh"].to_numpy())
        assert (np.rint(orders["filled"] * 1000) == filled).all()
        left = np.rint((orders["quantity"] - orders["filled"]) * 1000)
        resting = orders["status"] == "resting"
        assert (np.rint(orders["open"] * 1000) == left.where(resting, 0)).all()
        assert (left[orders["status"] == "filled"] == 0).all()
        ended = orders["status"].isin(["cancelled", "expired", "killed", "self_match"])
        assert (left[ended] > 0).all()
        assert (resting | ended | (orders["status"] == "filled")).all()
        depth = book.depth()
        assert np.isclose(depth["quantity"].sum(), orders["open"].sum())
        assert depth["orders"].sum() == resting.sum()


@given(streams())
@settings(max_examples=60, deadline=None)
def test_fill_or_kill_is_all_or_nothing_and_nobody_trades_with_themselves(messages):
    book, trades = fast_book(messages, "cancel_resting")
    orders = book.orders(resting_only=False)
    whole = orders[orders["kind"] == "fill_or_kill"]
    assert ((whole["filled"] == 0) | (whole["filled"] == whole["quantity"])).all()
    named = trades[trades["buyer"].notna()]
    assert (named["buyer"] != named["seller"]).all()
    assert set(orders.loc[orders["status"] == "resting", "kind"]) <= {"limit"}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("levels", [3, 64, 65, 4097, 200_001])
def test_any_width_of_band_gives_the_same_trades(rule, levels):
    rng = np.random.default_rng(levels)
    half = levels // 2
    messages = []
    for number in range(600):
        draw = rng.random()
        if draw < 0.7:
            side, far = ("buy", -1) if rng.random() < 0.5 else ("sell", 1)
            ticks = int(np.clip(far * half // 50 + rng.integers(-half // 2, half // 2 + 1), -half, half))
            person = str(rng.choice(["anna", "ben", "cleo"]))
            message = {"action": "new", "side": side, "ticks": ticks, "wh": int(rng.integers(1, 50))}
            messages.append({**message, "participant": person, "at": number})
        else:
            messages.append({"action": "cancel", "order": int(rng.integers(0, number + 1)), "at": number})
    book = OrderBook(price_band=(-half / 10_000, half / 10_000), self_match=rule)
    trades = book.replay(frame(messages))
    assert rows(trades) == naive_book(messages, rule).trades
    assert len(trades) > 50
