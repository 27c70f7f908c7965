"""The bids of a network auction, read once: period, carrier and node of each, and what binds it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, check_faults
from gridagora.market._capacity_check import block_faults
from gridagora.market._network_rules import Rules
from gridagora.model.bids import Bids
from gridagora.model.dependencies import Carrier, Dependency
from gridagora.model.linear_network import LinearNetwork

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SMALLEST_SHARE = 1e-3
"""A bid of an AND or OR without a least share counts as accepted from this share of its quantity on."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Market:
    """Bids in canonical order with all that the program needs of them.

    ``order`` are rows of the given bids; every array per bid is in that order.  ``period`` are the ids of the
    T periods, ``slot`` the period of each bid as a position, ``block`` its carrier, ``node`` its node.
    ``kvar_per_kw`` is its reactive import per kW; ``switch`` the on/off variable it hangs on (-1: none),
    ``least`` the share accepted at least if it is on.
    """

    order: Ints
    period: Ints
    carriers: tuple[Carrier, ...]
    slot: Ints
    block: Ints
    node: Ints
    side: Floats
    price: Floats
    quantity: Floats
    kvar_per_kw: Floats
    kvar_min: Floats
    kvar_max: Floats
    switch: Ints
    least: Floats
    dependencies: tuple[Dependency, ...]
    kw_per_unit: float

    def __len__(self) -> int:
        return len(self.order)

    @property
    def switches(self) -> int:
        """How many on/off variables there are."""
        return int(self.switch.max(initial=-1)) + 1

    def network(self, block: int) -> LinearNetwork:
        """Return the network of a carrier; a copper plate has one node."""
        found = self.carriers[block].network
        return LinearNetwork.single() if found is None else found


def read_market(bids: Bids, rules: Rules) -> Market:
    """Read bids and rules; raises `InputError` with every fault of both."""
    faults = list(rules.faults)
    period = np.unique(bids.period)
    slot = np.searchsorted(period, bids.period)
    block = _blocks(bids, rules.carriers, faults)
    node = _nodes(bids, rules.carriers, block, faults=faults)
    quantity = bids.quantity.astype(np.float64)
    kvar = _kvar_per_kw(bids, rules, (block, node), faults=faults)
    low, high = _kvar_limits(rules, len(bids), faults)
    for one in rules.carriers:
        if one.network is not None:
            faults += one.network.period_faults(period)
    switch, least = _switches(bids, rules, faults)
    faults += _supply_faults(bids, rules.carriers, block)
    check_faults(faults)
    order = _canonical(bids, (slot, block, node), kvar=kvar, own=(switch, least, rules.dependencies))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return Market(
        order=order,
        period=period,
        carriers=rules.carriers,
        slot=slot[order],
        block=block[order],
        node=node[order],
        side=bids.side[order].astype(np.float64),
        price=bids.price[order].astype(np.float64),
        quantity=quantity[order],
        kvar_per_kw=kvar[order],
        kvar_min=low[order],
        kvar_max=high[order],
        switch=_renumbered(switch[order]),
        least=least[order],
        dependencies=tuple(_moved(one, place) for one in rules.dependencies),
        kw_per_unit=rules.kw_per_unit,
    )


def _fault(place: str, value: object, text: tuple[str, str]) -> Fault:
    return Fault(source="bids", place=place, value=value, reason=text[0], fix=text[1])


def _positions(names: NDArray[Any], wanted: Sequence[str]) -> Ints:
    """Return the position of each name among those wanted, -1 for strangers."""
    known = np.array(wanted, dtype=np.str_)
    if names.dtype.kind != "U":
        names = names.astype(np.str_)
    ranked = np.argsort(known, kind="stable")
    found = np.minimum(np.searchsorted(known[ranked], names), len(known) - 1)
    return np.where(known[ranked][found] == names, ranked[found], -1)


def _blocks(bids: Bids, carriers: tuple[Carrier, ...], faults: list[Fault]) -> Ints:
    if bids.carrier is None:
        return np.zeros(len(bids), dtype=np.int64)
    names = [one.name for one in carriers]
    block = _positions(bids.carrier, names)
    for row in np.flatnonzero(block < 0).tolist():
        text = ("no such carrier in this market", f"name one of {names}, or add it to carriers")
        faults.append(_fault(f"row {row}, column carrier", bids.carrier[row].item(), text))
    return np.maximum(block, 0)


def _nodes(bids: Bids, carriers: tuple[Carrier, ...], block: Ints, *, faults: list[Fault]) -> Ints:
    node = np.zeros(len(bids), dtype=np.int64)
    for number, one in enumerate(carriers):
        mine = np.flatnonzero(block == number)
        if one.network is None or len(mine) == 0:
            continue
        nodes = one.network.nodes
        if bids.node is None:
            if len(nodes) > 1:
                text = (f"the network of {one.name} has {len(nodes)} nodes", "say at which each bid stands")
                faults.append(_fault("column node", None, text))
            continue
        node[mine] = _positions(bids.node[mine], nodes)
        for row in mine[node[mine] < 0].tolist():
            text = (f"the network of {one.name} has no such node", f"name one of {list(nodes[:8])} ...")
            faults.append(_fault(f"row {row}, column node", bids.node[row].item(), text))
    return np.maximum(node, 0)


def _kvar_per_kw(bids: Bids, rules: Rules, at: tuple[Ints, Ints], *, faults: list[Fault]) -> Floats:
    """Reactive import per kW: of the bid's power factor, else of its node."""
    block, node = at
    kvar = np.zeros(len(bids))
    for number, one in enumerate(rules.carriers):
        if one.network is not None and one.network.kvar_per_kw is not None:
            mine = block == number
            kvar[mine] = one.network.kvar_per_kw[node[mine]]
    if rules.power_factor is None:
        return kvar
    factor = rules.power_factor
    if factor.shape not in ((), (len(bids),)):
        text = ("has another length than the bids", "give one power factor, or one per bid (NaN: the node's)")
        faults.append(_fault("power_factor", factor.shape, text))
        return kvar
    factor = np.broadcast_to(factor, (len(bids),))
    bad = np.flatnonzero((factor == 0) | (np.abs(factor) > 1))
    text = ("is no power factor", "write -1 to 1 without 0; + draws reactive power while importing")
    faults += [_fault(f"power_factor, row {row}", float(factor[row]), text) for row in bad.tolist()]
    safe = np.where((factor == 0) | (np.abs(factor) > 1), 1.0, factor)
    own = np.sign(safe) * np.sqrt(1 / safe**2 - 1)
    return np.where(np.isnan(factor), kvar, own)


def _kvar_limits(rules: Rules, count: int, faults: list[Fault]) -> tuple[Floats, Floats]:
    if rules.kvar_limits is None:
        return np.zeros(count), np.zeros(count)
    low, high = rules.kvar_limits
    if any(side.shape not in ((), (count,)) for side in (low, high)):
        text = ("has another length than the bids", "give (least, most) kvar, one number or one per bid")
        faults.append(_fault("kvar_limits", (low.shape, high.shape), text))
        return np.zeros(count), np.zeros(count)
    low, high = np.broadcast_to(low, (count,)), np.broadcast_to(high, (count,))
    bad = np.flatnonzero(~((low <= 0) & (high >= 0) & np.isfinite(low) & np.isfinite(high)))
    text = ("is no range around 0", "write finite kvar, least <= 0 <= most")
    faults += [_fault(f"kvar_limits, row {r}", (float(low[r]), float(high[r])), text) for r in bad.tolist()]
    return low, high


def _switches(bids: Bids, rules: Rules, faults: list[Fault]) -> tuple[Ints, Floats]:
    """Give numbers to on/off variables: of linked groups, least shares, bids in discrete conditions."""
    switch, least = np.full(len(bids), -1), np.zeros(len(bids))
    if isinstance(rules.blocks, str):
        if rules.blocks != "group" or bids.group is None:
            text = ("needs the column group", "give bids a group, a least share per bid, or None")
            faults.append(_fault("blocks", rules.blocks, text))
        else:
            switch = _links(bids, bids.group)
            least[switch >= 0] = 1.0
    elif rules.blocks is not None:
        each = rules.blocks.ndim == 0
        given = np.broadcast_to(rules.blocks, (len(bids),)) if each else rules.blocks
        found = list(block_faults(given, len(bids)))
        faults += found
        if not found:
            least = given.copy()
    used = int(switch.max(initial=-1)) + 1
    discrete = [one for one in rules.dependencies if one.kind != "sum"]
    needs = (least > 0) & (switch < 0)
    for one in discrete:
        rows = list(one.bids)
        needs[rows] |= switch[rows] < 0
        if one.kind != "xor":
            least[rows] = np.maximum(least[rows], SMALLEST_SHARE)
    switch[needs] = used + np.arange(int(needs.sum()))
    return switch, least


def _links(bids: Bids, group: NDArray[Any]) -> Ints:
    """Give numbers to the groups of each participant; empty text and negative numbers are no group."""
    who = np.unique(bids.participant, return_inverse=True)[1]
    names, index = np.unique(group, return_inverse=True)
    real = (names >= 0 if names.dtype.kind == "i" else names != "")[index]
    number = np.full(len(bids), -1)
    number[real] = np.unique(who[real] * (len(names) + 1) + index[real], return_inverse=True)[1]
    return number


def _supply_faults(bids: Bids, carriers: tuple[Carrier, ...], block: Ints) -> list[Fault]:
    """Carriers that bids want and none supplies."""
    found = []
    for number, one in enumerate(carriers):
        mine = block == number
        if len(carriers) > 1 and (mine & bids.is_buy).any() and not (mine & ~bids.is_buy).any():
            text = ("is wanted, but no bid supplies it", "add a supplier or a converter that sells it")
            found.append(_fault(f"carrier {one.name}", one.name, text))
    return found


def _canonical(
    bids: Bids, at: tuple[Ints, Ints, Ints], *, kvar: Floats, own: tuple[Ints, Floats, tuple[Dependency, ...]]
) -> Ints:
    """Order the bids by what they are, so that no result depends on the order in which they came."""
    slot, block, node = at
    switch, least, dependencies = own
    keys: list[NDArray[Any]] = [bids.quantity, bids.price]
    if kvar.any():
        keys.append(kvar)
    if (switch >= 0).any():
        keys.append(least)
    if dependencies:
        first = np.full(len(bids), -1)
        for number, one in enumerate(dependencies):
            first[list(one.bids)] = number
        keys.insert(0, first)
        keys.insert(0, np.unique(bids.participant, return_inverse=True)[1])
        # bids alike in all but their place keep it, so that the same input gives the same bytes
        keys.insert(0, np.arange(len(bids)))
    widest = int(node.max(initial=0)) + 1
    site = ((slot * (int(block.max(initial=0)) + 1) + block) * widest + node) * 2 + bids.is_buy
    # the least key first; equal bids may stand in any order, and few sites are sorted by counting
    order = np.argsort(keys[0])
    for key in keys[1:]:
        order = order[np.argsort(key[order], kind="stable")]
    small = site.astype(np.uint16) if len(site) and site.max() < 2**16 else site
    return order[np.argsort(small[order], kind="stable")]


def _renumbered(switch: Ints) -> Ints:
    """Give the switches numbers by their first bid, so that their order is that of the bids."""
    used = np.flatnonzero(switch >= 0)
    if len(used) == 0:
        return switch
    numbers, first, index = np.unique(switch[used], return_index=True, return_inverse=True)
    rank = np.empty(len(numbers), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(numbers))
    out = np.full(len(switch), -1)
    out[used] = rank[index]
    return out


def _moved(one: Dependency, place: Ints) -> Dependency:
    """Return a condition on the rows in canonical order."""
    return Dependency(
        kind=one.kind,
        bids=tuple(place[list(one.bids)].tolist()),
        op=one.op,
        quantity=one.quantity,
        coefficients=one.coefficients,
    )
