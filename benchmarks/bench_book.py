"""The order book against a plain-Python book of two heaps, on the same messages in the same run."""

import heapq
import time

import numpy as np

from gridagora.market.book import Messages, OrderBook

MESSAGES = 1_000_000
REFERENCE_MESSAGES = 200_000
REPEATS = 7
NS_PER_MESSAGE = 100.0
PART_OF_HEAP_BOOK = 0.1


def stream(messages: int, *, cancels: float, seed: int = 0) -> Messages:
    """Return limit orders around one price, mixed with cancels of any order sent before."""
    rng = np.random.default_rng(seed)
    action = (rng.random(messages) < cancels).astype(np.int8)
    action[0] = 0
    sent = np.cumsum(action == 0)
    side = rng.integers(0, 2, messages)
    offset = np.where(side == 0, -20, 20)
    return Messages(
        action=action,
        side=side,
        price_ticks=2500 + offset + np.rint(rng.normal(0, 60, messages)).astype(np.int64),
        quantity_wh=rng.integers(1, 5000, messages),
        order=np.where(action == 1, (rng.random(messages) * sent).astype(np.int64), -1),
        participant=rng.integers(0, 1000, messages),
        participants=tuple(f"home {number}" for number in range(1000)),
        at=np.arange(messages),
    )


def heap_book(messages: Messages) -> list[tuple[int, int, int, int]]:
    """Match with two heaps and lazy deletion: the usual short Python order book."""
    heaps, alive, trades, order = ([], []), {}, [], 0
    columns = (messages.action, messages.side, messages.price_ticks, messages.quantity_wh, messages.order)
    owner = messages.participant.tolist()
    for row, (action, side, price, quantity, target) in enumerate(
        zip(*(c.tolist() for c in columns), strict=True)
    ):
        if action == 1:
            alive.pop(target, None)
            continue
        own, other = (1, -1) if side == 1 else (-1, 1)
        opposite = heaps[1 - side]
        while quantity and opposite and (opposite[0][0] * other - price) * own >= 0:
            maker = opposite[0][1]
            resting = alive.get(maker)
            if resting is None:
                heapq.heappop(opposite)
            elif resting[1] == owner[row]:
                del alive[maker]
            else:
                traded = min(quantity, resting[0])
                trades.append((maker, order, traded, opposite[0][0] * other))
                quantity -= traded
                resting[0] -= traded
                if not resting[0]:
                    del alive[maker]
        if quantity:
            alive[order] = [quantity, owner[row]]
            heapq.heappush(heaps[side], (price * own, order))
        order += 1
    return trades


def fastest(work, repeats: int) -> float:
    """Shortest CPU time of some repeats in seconds: one core, whatever else the machine does."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def run() -> list[dict[str, object]]:
    """Return the figures, each good up to its limit; 100 ns a message are 10 million a second."""
    OrderBook().replay(stream(100, cancels=0.3))
    figures: list[dict[str, object]] = []
    for cancels in (0.3, 0.2):
        name = f"OrderBook.replay, {1 - cancels:.0%} new {cancels:.0%} cancel"
        messages, short = stream(MESSAGES, cancels=cancels), stream(REFERENCE_MESSAGES, cancels=cancels)
        fast = fastest(lambda messages=messages: OrderBook().replay(messages), REPEATS) / MESSAGES
        slow = fastest(lambda short=short: heap_book(short), 2) / REFERENCE_MESSAGES
        figures += [
            {
                "name": f"{name}, CPU time a message",
                "value": fast * 1e9,
                "limit": NS_PER_MESSAGE,
                "unit": "ns",
            },
            {"name": f"{name}, of a heapq book", "ratio": fast / slow, "limit": PART_OF_HEAP_BOOK},
        ]
    return figures


if __name__ == "__main__":
    for result in run():
        print(result)
