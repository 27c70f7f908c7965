"""Market stories of the order book as small tables: messages, then the trades they make and what is left."""

import pandas as pd
import pytest

from gridagora.errors import InputError
from gridagora.market.book import OrderBook


def table(text):
    """Rows of a ``|`` table as dicts; empty cells are left out."""
    lines = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    return [{name: cell for name, cell in zip(lines[0], line, strict=True) if cell} for line in lines[1:]]


def play(text, **rules):
    """Send the messages of a table one by one; return the book."""
    book = OrderBook(**rules)
    for row in table(text):
        action = row.pop("do", "new")
        row = {name: float(cell) if name in ("price", "quantity") else cell for name, cell in row.items()}
        row |= {name: int(row[name]) for name in ("at", "valid_until", "order") if name in row}
        if action == "new":
            book.submit(participant=row.pop("who"), side=row.pop("side"), **row)
        elif action == "expire":
            book.expire(row["at"])
        else:
            getattr(book, action)(row.pop("order"), **row)
    return book


def trades(book):
    return [
        f"{row.buyer} {row.seller} {row.quantity:g} {row.price:g}"
        for row in book.trades.itertuples(index=False)
    ]


def left(book):
    return [f"{row.participant} {row.side} {row.open:g} {row.price:g}" for row in book.orders().itertuples()]


def statuses(book):
    return book.orders(resting_only=False)["status"].tolist()


def test_best_price_first_then_first_come_and_the_resting_price_is_paid():
    book = play(
        """
        who  | side | price | quantity
        ann  | sell | 0.25  | 1
        ben  | sell | 0.24  | 1
        cleo | sell | 0.24  | 1
        dan  | buy  | 0.30  | 2.5
        """
    )
    assert trades(book) == ["dan ben 1 0.24", "dan cleo 1 0.24", "dan ann 0.5 0.25"]
    assert left(book) == ["ann sell 0.5 0.25"]


def test_limit_remainder_rests_and_sets_the_best_price():
    book = play(
        """
        who | side | price | quantity
        ann | sell | 0.20  | 1
        ben | buy  | 0.22  | 3
        """
    )
    assert left(book) == ["ben buy 2 0.22"]
    assert (book.best_bid, book.best_ask) == (0.22, None)


def test_negative_prices_trade_like_others():
    book = play(
        """
        who | side | price  | quantity
        ann | sell | -0.05  | 1
        ben | buy  | -0.02  | 1
        """
    )
    assert trades(book) == ["ben ann 1 -0.05"]


def test_market_order_takes_any_price_and_its_remainder_is_killed():
    book = play(
        """
        who | side | price | quantity | kind
        ann | sell | 9.99  | 1        |
        ben | buy  |       | 3        | market
        """
    )
    assert trades(book) == ["ben ann 1 9.99"]
    assert (left(book), statuses(book)) == ([], ["filled", "killed"])


def test_market_order_meets_an_empty_book():
    assert statuses(play("who | side | quantity | kind\n ann | sell | 1 | market")) == ["killed"]


def test_fill_or_kill_trades_whole_or_not_at_all():
    book = play(
        """
        who | side | price | quantity | kind
        ann | sell | 0.20  | 1        |
        ben | sell | 0.30  | 1        |
        cat | buy  | 0.25  | 2        | fill_or_kill
        dan | buy  | 0.30  | 2        | fill_or_kill
        """
    )
    assert trades(book) == ["dan ann 1 0.2", "dan ben 1 0.3"]
    assert statuses(book) == ["filled", "filled", "killed", "filled"]


def test_fill_and_kill_trades_what_it_can():
    book = play(
        """
        who | side | price | quantity | kind
        ann | sell | 0.20  | 1        |
        cat | buy  | 0.25  | 2        | fill_and_kill
        """
    )
    assert trades(book) == ["cat ann 1 0.2"]
    assert (left(book), statuses(book)) == ([], ["filled", "killed"])


AMENDED = """
    do    | who | side | price | quantity | order
          | ann | sell | 0.20  | 2        |
          | ben | sell | 0.20  | 2        |
    amend |     |      | {price} | {quantity} | 0
          | dan | buy  | 0.20  | 1        |
"""


@pytest.mark.parametrize(
    ("price", "quantity", "seller"),
    [("", "1.5", "ann"), ("0.20", "", "ann"), ("", "2", "ann"), ("", "2.5", "ben"), ("0.21", "", "ben")],
)
def test_amending_keeps_the_place_only_without_new_price_or_more_quantity(price, quantity, seller):
    assert trades(play(AMENDED.format(price=price, quantity=quantity))) == [f"dan {seller} 1 0.2"]


def test_amended_price_may_trade_at_once_as_the_newer_order():
    book = play(
        """
        do    | who | side | price | quantity | order
              | ann | sell | 0.30  | 2        |
              | ben | buy  | 0.20  | 1        |
        amend |     |      | 0.15  |          | 0
        """
    )
    assert trades(book) == ["ben ann 1 0.2"]
    assert book.trades[["maker", "taker"]].to_numpy().tolist() == [[1, 0]]
    assert left(book) == ["ann sell 1 0.15"]


def test_amended_quantity_counts_what_has_traded():
    story = """
        do    | who | side | price | quantity | order
              | ann | sell | 0.20  | 5        |
              | ben | buy  | 0.20  | 3        |
        amend |     |      |       | {}       | 0
    """
    assert left(play(story.format(4))) == ["ann sell 1 0.2"]
    done = play(story.format(2))
    assert (left(done), statuses(done)) == ([], ["filled", "filled"])


def test_an_order_is_valid_until_but_not_at_its_end():
    story = """
        who | side | price | quantity | at | valid_until
        ann | sell | 0.20  | 1        | 0  | 10
        ben | buy  | 0.20  | 1        | {} |
    """
    assert trades(play(story.format(9))) == ["ben ann 1 0.2"]
    late = play(story.format(10))
    assert (trades(late), statuses(late)) == ([], ["expired", "resting"])


def test_expire_names_the_orders_that_end():
    book = OrderBook()
    for end in (30, 10, 20, None):
        book.submit(side="buy", price=0.1, quantity=1, at=0, valid_until=end)
    book.cancel(1)
    assert (book.expire(20), book.expire(100)) == ((2,), (0,))
    assert left(book) == ["None buy 1 0.1"]


SELF = """
    who | side | price | quantity | kind
    ann | sell | 0.20  | 1        |
    ben | sell | 0.21  | 1        |
    ann | buy  | 0.25  | 3        | {kind}
"""


@pytest.mark.parametrize(
    ("rule", "traded", "resting"),
    [
        ("cancel_resting", ["ann ben 1 0.21"], ["ann buy 2 0.25"]),
        ("cancel_incoming", [], ["ann sell 1 0.2", "ben sell 1 0.21"]),
        ("allow", ["ann ann 1 0.2", "ann ben 1 0.21"], ["ann buy 1 0.25"]),
    ],
)
def test_nobody_trades_with_themselves_unless_allowed(rule, traded, resting):
    book = play(SELF.format(kind="limit"), self_match=rule)
    assert (trades(book), left(book)) == (traded, resting)


def test_fill_or_kill_that_would_need_own_orders_touches_nothing():
    book = play(SELF.format(kind="fill_or_kill"))
    assert left(book) == ["ann sell 1 0.2", "ben sell 1 0.21"]


def test_cancel_after_the_maker_was_filled_is_refused_and_reported():
    """PEERS.md fault 9: a filled maker must not stay among the orders that can be cancelled."""
    book = OrderBook()
    maker = book.submit(side="sell", price=0.2, quantity=1, participant="ann").order
    book.submit(side="buy", price=0.2, quantity=1, participant="ben")
    with pytest.raises(InputError, match="no longer in the book"):
        book.cancel(maker)
    with pytest.raises(InputError, match="no such order"):
        book.amend(77, price=0.3)
    assert book.rejections["reason"].tolist() == ["order is no longer in the book", "no such order"]
    assert statuses(book) == ["filled", "filled"]


def test_receipts_tell_status_and_fills():
    book = OrderBook()
    book.submit(side="sell", price=0.2, quantity=1, participant="ann", at=5)
    receipt = book.submit(side="buy", price=0.3, quantity=1.5, participant="ben", at=6)
    assert (receipt.order, receipt.status, receipt.filled, receipt.open) == (1, "resting", 1.0, 0.5)
    (fill,) = receipt.fills
    assert (fill.buyer, fill.seller, fill.maker, fill.taker, fill.at) == ("ben", "ann", 0, 1, 6)
    assert book.cancel(1).status == "cancelled"


def test_times_may_be_timestamps():
    book = OrderBook()
    start = pd.Timestamp("2026-06-01T12:00:00+02:00")
    book.submit(side="sell", price=0.2, quantity=1, at=start, valid_until=start + pd.Timedelta("15min"))
    book.submit(side="buy", price=0.2, quantity=0.5, at="2026-06-01T10:14:59")
    assert book.trades["at"].tolist() == [pd.Timestamp("2026-06-01T10:14:59")]
    assert book.orders()["valid_until"].tolist() == [pd.Timestamp("2026-06-01T10:15:00")]
    assert book.expire(pd.Timestamp("2026-06-01T10:15:00")) == (0,)


def test_orders_may_bring_their_own_numbers():
    book = OrderBook()
    messages = {"side": "sell", "price": 0.2, "quantity": 1.0, "participant": "ann"}
    book.replay(pd.DataFrame([messages, {**messages, "order": 900}, {**messages, "order": 40}, messages]))
    assert book.orders()["order"].tolist() == [0, 900, 40, 901]
    assert book.submit(side="buy", price=0.2, quantity=3.5, participant="ben").order == 902
    assert book.trades["maker"].tolist() == [0, 900, 40, 901]
    assert book.cancel(901).status == "cancelled"


def test_an_empty_book_shows_empty_tables():
    book = OrderBook()
    assert [len(part) for part in (book.trades, book.orders(), book.depth(), book.rejections)] == [0] * 4
    assert (book.best_bid, book.best_ask, book.expire(10)) == (None, None, ())
    assert len(book.replay(pd.DataFrame({"side": [], "price": [], "quantity": []}))) == 0
