"""Numbers of orders and names of participants, as users see them, for the dense codes of the kernel."""

from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from gridagora.market._book_messages import NEW, Messages, as_cells


class Numbers:
    """Numbers of orders by place of arrival; a table is kept only once orders bring numbers of their own."""

    def __init__(self) -> None:
        self._count = 0
        self._largest = -1
        self._own: list[int] | None = None
        self._places: dict[int, int] = {}

    def propose(self, messages: Messages) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the numbers of the new orders, and for each whether it is taken already."""
        new = messages.columns.action == NEW
        counted = np.arange(self._count, self._count + np.count_nonzero(new))
        fresh = np.zeros(len(counted), dtype=np.bool_)
        if self._own is None and not (new & (messages.columns.order >= 0)).any():
            return counted, fresh
        given = messages.columns.order[new]
        if self._own is None and np.array_equal(given, counted):
            return counted, fresh
        # orders without a number get one more than the largest before them: a scan of counts and maxima
        unnamed = np.cumsum(given < 0)
        numbers = np.where(
            given < 0, unnamed + np.maximum.accumulate(np.maximum(given - unnamed, self._largest)), given
        )
        first = np.zeros(len(given), dtype=np.bool_)
        first[np.unique(numbers, return_index=True)[1]] = True
        known = np.fromiter((self.place(number) >= 0 for number in numbers.tolist()), np.bool_, len(numbers))
        return numbers, known | ~first

    def add(self, numbers: NDArray[np.int64]) -> None:
        """Give the next orders these numbers."""
        start, self._count = self._count, self._count + len(numbers)
        counted = np.arange(start, self._count)
        self._largest = max(self._largest, int(numbers.max(initial=-1)))
        if self._own is None:
            if np.array_equal(numbers, counted):
                return
            self._own = list(range(start))
            self._places = dict(enumerate(range(start)))
        self._own.extend(numbers.tolist())
        self._places.update(zip(numbers.tolist(), counted.tolist(), strict=True))

    def place(self, number: int) -> int:
        """Return the place of an order, -1 if there is none of this number."""
        if self._own is None:
            return number if 0 <= number < self._count else -1
        return self._places.get(number, -1)

    def places(self, messages: Messages) -> NDArray[np.int64]:
        """Return the places of the orders that messages name, those that they bring themselves included."""
        order = messages.columns.order
        if self._own is None:
            return order
        return np.fromiter((self._places.get(number, -1) for number in order.tolist()), np.int64, len(order))

    def of(self, places: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the numbers of orders by place."""
        if self._own is None:
            return places.astype(np.int64)
        return np.fromiter((self._own[place] for place in places.tolist()), np.int64, len(places))


class Names:
    """Participants in the order in which they appeared."""

    def __init__(self) -> None:
        self._codes: dict[Hashable, int] = {}

    def codes(self, messages: Messages) -> NDArray[np.int32]:
        """Return the participant column in codes of the book, new names taken in."""
        known = [self._codes.setdefault(name, len(self._codes)) for name in messages.names]
        if known == list(range(len(known))):
            return messages.columns.participant
        return np.array([*known, -1], dtype=np.int32)[messages.columns.participant]

    def of(self, codes: NDArray[np.integer]) -> NDArray[np.object_]:
        """Return names for codes, None for -1."""
        return np.asarray(as_cells([*self._codes, None])[codes], dtype=object)
