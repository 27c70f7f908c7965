"""No sum of few connection points can be computed from the sums that are told of groups."""

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.service.groups import FEW, REMAINDER, Nest


@st.composite
def nests(draw):
    """Return groups nested in "0", and how many points each holds beside the groups inside it."""
    count = draw(st.integers(1, 6))
    inside: dict[str, list[str]] = {}
    for name in range(1, count):
        inside.setdefault(str(draw(st.integers(0, name - 1))), []).append(str(name))
    counts = {str(name): draw(st.integers(0, 4)) for name in range(count)}
    while sum(counts.values()) > 9:
        largest = max(counts, key=lambda name: counts[name])
        counts[largest] -= 1
    return Nest(root="0", inside=inside), counts


def rows_of(nest, counts):
    """Return which points each group holds, True for those."""
    first, starts = 0, {}
    for name, count in counts.items():
        starts[name], first = first, first + count
    rows = {}

    def row(name):
        held = np.zeros(first, dtype=bool)
        held[starts[name] : starts[name] + counts[name]] = True
        for one in nest.inside.get(name, ()):
            held |= row(one)
        rows[name] = held
        return held

    row(nest.root)
    return rows


def can_be_computed(told, wanted):
    """Tell whether a sum over the wanted points follows from those over told groups."""
    if not told:
        return False
    table = np.array(told, dtype=float)
    return np.linalg.matrix_rank(np.vstack([table, wanted])) == np.linalg.matrix_rank(table)


@settings(deadline=None, max_examples=60)
@given(nests(), st.integers(1, 4))
def test_no_small_group_is_told_apart(made, least):
    nest, counts = made
    withheld = nest.withheld(counts, least=least)
    rows = rows_of(nest, counts)
    told = [row for name, row in rows.items() if row.any() and name not in withheld]
    points = sum(counts.values())
    for size in range(1, min(least, points + 1)):
        for some in combinations(range(points), size):
            wanted = np.zeros(points)
            wanted[list(some)] = 1.0
            assert not can_be_computed(told, wanted), (some, withheld)


@settings(deadline=None, max_examples=60)
@given(nests(), st.integers(1, 4), st.data())
def test_what_only_some_points_have_keeps_to_the_same_groups(made, least, data):
    nest, counts = made
    withheld = nest.withheld(counts, least=least)
    fewer = {name: data.draw(st.integers(0, count)) for name, count in counts.items()}
    also = nest.withheld(fewer, least=least, before=withheld)
    rows = rows_of(nest, fewer)
    assert all(name in also for name in withheld if rows[name].any())
    told = [row for name, row in rows.items() if row.any() and name not in also]
    points = sum(fewer.values())
    for size in range(1, min(least, points + 1)):
        for some in combinations(range(points), size):
            wanted = np.zeros(points)
            wanted[list(some)] = 1.0
            assert not can_be_computed(told, wanted), (some, also)


def test_all_is_told_where_all_groups_are_large_and_nothing_of_a_small_whole():
    nest = Nest(root="v", inside={"v": ["a", "b"], "a": ["c"]})
    assert nest.withheld({"a": 4, "b": 5, "c": 6}, least=4) == {}
    assert nest.withheld({"a": 1, "b": 1, "c": 1}, least=4) == dict.fromkeys("vabc", FEW)
    # one home stands directly in the village: without a street less it could be told apart
    assert nest.withheld({"v": 1, "a": 4, "b": 5, "c": 6}, least=4) == {"b": REMAINDER}
