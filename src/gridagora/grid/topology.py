"""What hangs together: fused buses, energised parts, the tree below a source and a layout drawn from it."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def components(count: int, start: Ints, end: Ints) -> Ints:
    """Return for each of ``count`` points the number of its connected part.

    Examples
    --------
    >>> components(4, np.array([0, 2]), np.array([1, 0])).tolist()
    [0, 0, 0, 1]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(start)), (start, end)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def reached(count: int, start: Ints, end: Ints, *, sources: Ints) -> Bools:
    """Tell for each point whether edges join it to a source."""
    part = components(count, start, end)
    return np.isin(part, part[sources])


def spanning_tree(count: int, start: Ints, end: Ints, *, root: int) -> tuple[Ints, Ints]:
    """Return points in breadth-first order from the root and the parent of each point (-1: none).

    Examples
    --------
    >>> order, parent = spanning_tree(3, np.array([0, 1]), np.array([1, 2]), root=0)
    >>> order.tolist(), parent.tolist()
    ([0, 1, 2], [-1, 0, 1])
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order

    graph = coo_array((np.ones(len(start)), (start, end)), shape=(count, count)).tocsr()
    order, parent = breadth_first_order(graph, root, directed=False)
    return order.astype(np.int64), np.where(parent < 0, -1, parent).astype(np.int64)


def tree_layout(count: int, start: Ints, end: Ints, *, roots: Ints) -> tuple[Floats, Floats]:
    """Return x and y of each point: depth goes right, leaves go down, a parent stands amid its children.

    Examples
    --------
    >>> x, y = tree_layout(4, np.array([0, 1, 1]), np.array([1, 2, 3]), roots=np.array([0]))
    >>> x.tolist(), y.tolist()
    ([0.0, 1.0, 2.0, 2.0], [-0.5, -0.5, 0.0, -1.0])
    """
    x, y = np.zeros(count), np.zeros(count)
    placed = np.zeros(count, dtype=bool)
    row = 0
    for root in roots:
        if placed[root]:
            continue
        order, parent = spanning_tree(count, start, end, root=int(root))
        row = _place_tree(order, parent, x=x, y=y, first_row=row)
        placed[order] = True
    return x, y


def _place_tree(order: Ints, parent: Ints, *, x: Floats, y: Floats, first_row: int) -> int:
    """Place one tree and return the first row below it."""
    children: dict[int, list[int]] = {}
    for point in order[1:]:
        children.setdefault(int(parent[point]), []).append(int(point))
        x[point] = x[parent[point]] + 1
    row = first_row
    stack = [int(order[0])]
    leaves_first: list[int] = []
    while stack:
        point = stack.pop()
        leaves_first.append(point)
        if point not in children:
            y[point] = -row
            row += 1
        stack.extend(reversed(children.get(point, [])))
    for point in reversed(leaves_first):
        if point in children:
            y[point] = np.mean([y[child] for child in children[point]])
    return row
