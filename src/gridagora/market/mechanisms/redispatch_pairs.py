"""Paired redispatch (IDCONS): an order inside a congested area with an opposite one outside, equal in volume.

The system stays in balance and the congestion is relieved.  The buyer pays its bid, the seller gets its ask,
and the grid operators pay the spread between them::

    spread = (ask - bid) x energy

The pairs of a period are those of least spread that reach the needed volume.  Each pair goes through a check
of the grid on both sides, together with those before it; one that breaks a limit is rejected, and the
cheapest pairs without it are sought again.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gridagora.errors import check_faults, require
from gridagora.market._redispatch_check import exact_share, redispatch_faults
from gridagora.model.flexibility_market import RedispatchOrder
from gridagora.units import amount_micro, to_micro, to_wh

Delta = Mapping[tuple[str, int], float]
"""Change of net import by participant and period, kW."""

Feasible = Callable[[Delta], tuple[str, ...]]
"""Names the limits that a change of schedules breaks; nothing when it may be done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RedispatchPair:
    """Two opposite orders that are carried out together; money in whole micro-units.

    Parameters
    ----------
    period : of delivery
    inside, outside : participants of the orders in the congested area and elsewhere
    seller, buyer : the same two by their side
    kw : volume of both
    energy_wh : kw x hours
    ask_micro, bid_micro : prices per kWh: what the seller gets and what the buyer pays
    spread_micro : what the grid operators pay together; below 0 they receive it

    Examples
    --------
    >>> RedispatchPair.__slots__[0]
    'period'
    """

    period: int
    inside: str
    outside: str
    seller: str
    buyer: str
    kw: float
    energy_wh: int
    ask_micro: int
    bid_micro: int

    @property
    def spread_micro(self) -> int:
        """What the grid operators pay for the pair."""
        return _amount(self.energy_wh, self.ask_micro) - _amount(self.energy_wh, self.bid_micro)


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedPair:
    """A pair that the grid does not carry: ``broken`` names the limits.

    Examples
    --------
    >>> RejectedPair(period=3, inside="ann", outside="zoe", kw=5.0, broken=("line A",)).reason
    'breaks line A'
    """

    period: int
    inside: str
    outside: str
    kw: float
    broken: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why it was rejected, for a person."""
        return f"breaks {', '.join(self.broken)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RedispatchLine:
    """Money of one party for one pair, whole micro-units, + received; ``pair`` is its place in the pairs.

    Examples
    --------
    >>> RedispatchLine(pair=0, period=3, party="ann", kind="energy", amount_micro=7).party
    'ann'
    """

    pair: int
    period: int
    party: str
    kind: Literal["energy", "spread"]
    amount_micro: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RedispatchResult:
    """Pairs of a redispatch, and who pays for them.

    Parameters
    ----------
    pairs : carried out, by period, then spread
    rejected : tried, but not carried by the grid, in the order of trial
    lines : of buyers, sellers and grid operators; those of each pair sum to zero
    needed_kw, relieved_kw : by period

    Examples
    --------
    See `pair_redispatch`.

    >>> RedispatchResult(pairs=(), rejected=(), lines=(), needed_kw={3: 5.0}, relieved_kw={3: 1.0}).missing_kw
    {3: 4.0}
    """

    pairs: tuple[RedispatchPair, ...]
    rejected: tuple[RejectedPair, ...]
    lines: tuple[RedispatchLine, ...]
    needed_kw: Mapping[int, float]
    relieved_kw: Mapping[int, float]

    @property
    def missing_kw(self) -> dict[int, float]:
        """Need that no pair meets, by period; in whole watts."""
        left = {period: need - self.relieved_kw[period] for period, need in self.needed_kw.items()}
        return {period: max(round(kw, 3), 0.0) for period, kw in left.items()}

    @property
    def delta_kw(self) -> dict[tuple[str, int], float]:
        """Change of net import by participant and period; it sums to zero in each period."""
        return _delta({(pair.seller, pair.buyer, pair.period): round(1e3 * pair.kw) for pair in self.pairs})

    @property
    def spread_micro(self) -> int:
        """What the grid operators pay for all pairs."""
        return sum(pair.spread_micro for pair in self.pairs)


def pair_redispatch(
    inside: Sequence[RedispatchOrder],
    outside: Sequence[RedispatchOrder],
    *,
    needed_kw: Mapping[int, float],
    hours: float,
    shares: Mapping[str, float],
    feasible: Feasible,
    participants: Collection[str] | None = None,
    now_period: int = 0,
) -> RedispatchResult:
    """Pair orders inside a congested area with opposite ones outside at the least spread.

    Parameters
    ----------
    inside : orders that relieve the congestion: sells where the area imports too much, buys where it exports
        too much
    outside : opposite orders elsewhere
    needed_kw : relief needed by period, kW at the meters inside
    hours : length of a period
    shares : of each grid operator in the spread, any weights >= 0, e.g. the kW each one needs
    feasible : names the limits that a change of net imports breaks; see `gridagora.engine.feasible`
    participants : who may take part; None: anybody
    now_period : the first period that can still be changed

    Returns
    -------
    RedispatchResult
        Volumes are whole watts.  Pairs beyond the need are not made, not even at a spread below 0: that is
        ordinary trade.

    Raises
    ------
    InputError
        Lists every fault: powers and prices that are no numbers, unknown sides and participants, periods in
        the past, second orders of one participant for a period, orders in the wrong direction, shares.

    Notes
    -----
    FIELD.md 4d, IDCONS; 4a, GOPACS; MARKETS.md section 8.  The volume comes first, then the spread: volumes
    of least spread on the pairs not yet rejected are found by augmenting along the cheapest path, exact in
    watts and micro-units.  Equal prices go by name, so the order of the orders decides nothing.  A pair is
    rejected for good at the volume that it was tried with; what each operator pays is rounded by largest
    remainder, so that nothing is left to round.

    Examples
    --------
    >>> inside = [RedispatchOrder(participant="ann", side="sell", period=3, kw=20.0, price=0.30),
    ...           RedispatchOrder(participant="bob", side="sell", period=3, kw=20.0, price=0.40)]
    >>> outside = [RedispatchOrder(participant="yve", side="buy", period=3, kw=50.0, price=0.10),
    ...            RedispatchOrder(participant="zoe", side="buy", period=3, kw=5.0, price=0.20)]
    >>> result = pair_redispatch(inside, outside, needed_kw={3: 30.0}, hours=1.0, shares={"dso": 1},
    ...                          feasible=lambda delta: ("line A",) if ("zoe", 3) in delta else ())
    >>> [(pair.seller, pair.buyer, pair.kw) for pair in result.pairs], result.spread_micro
    ([('ann', 'yve', 20.0), ('bob', 'yve', 10.0)], 7000000)
    >>> [(pair.inside, pair.outside, pair.reason) for pair in result.rejected]
    [('ann', 'zoe', 'breaks line A'), ('bob', 'zoe', 'breaks line A')]
    >>> {line.party: line.amount_micro for line in result.lines if line.pair == 0}
    {'yve': -2000000, 'ann': 6000000, 'dso': -4000000}
    """
    check_faults(
        redispatch_faults(
            inside, outside, needed_kw=needed_kw, hours=hours, shares=shares, participants=participants,
            now_period=now_period,
        )
    )  # fmt: skip
    pairs: list[RedispatchPair] = []
    rejected: list[RejectedPair] = []
    for period in sorted(needed_kw):
        taken, refused = _period_pairs(
            _ranked(inside, period),
            _ranked(outside, period),
            need_w=_watts(needed_kw[period]),
            feasible=feasible,
        )
        pairs += [_pair(one, other, watts, hours=hours) for (one, other), watts in taken.items()]
        rejected += refused
    relieved = {
        period: sum(round(1e3 * pair.kw) for pair in pairs if pair.period == period) / 1e3
        for period in sorted(needed_kw)
    }
    result = RedispatchResult(
        pairs=tuple(pairs),
        rejected=tuple(rejected),
        lines=tuple(line for place, pair in enumerate(pairs) for line in _lines(place, pair, shares)),
        needed_kw=dict(sorted(needed_kw.items())),
        relieved_kw=relieved,
    )
    require(sum(line.amount_micro for line in result.lines) == 0, "redispatch made or lost money")
    return result


Pairs = dict[tuple[RedispatchOrder, RedispatchOrder], int]
"""Watts of each pair: order inside, order outside."""


def _period_pairs(
    inside: list[RedispatchOrder], outside: list[RedispatchOrder], *, need_w: int, feasible: Feasible
) -> tuple[Pairs, list[RejectedPair]]:
    """Seek the cheapest pairs until the grid carries each of them on top of those before it."""
    rejected: list[RejectedPair] = []
    banned: set[tuple[int, int]] = set()
    known: dict[tuple[object, ...], tuple[str, ...]] = {}
    while True:
        plan = _cheapest(_volumes(inside, outside, banned), need_w)
        so_far: dict[tuple[str, str, int], int] = {}
        for pair, watts in plan.items():
            one, other = inside[pair[0]], outside[pair[1]]
            seller, buyer = (one, other) if one.side == "sell" else (other, one)
            so_far[seller.participant, buyer.participant, one.period] = watts
            delta = _delta(so_far)
            key = tuple(sorted(delta.items()))
            if key not in known:
                known[key] = tuple(feasible(delta))
            if known[key]:
                banned.add(pair)
                rejected.append(
                    RejectedPair(
                        period=one.period, inside=one.participant, outside=other.participant, kw=watts / 1e3,
                        broken=known[key],
                    )
                )  # fmt: skip
                break
        else:
            return {(inside[one], outside[other]): watts for (one, other), watts in plan.items()}, rejected


@dataclass(frozen=True, kw_only=True, slots=True)
class _Volumes:
    """Orders of a period by place, in order of cost and name: watts still free, and watts paired so far."""

    cost_in: list[int]
    cost_out: list[int]
    free_in: list[int]
    free_out: list[int]
    banned: Collection[tuple[int, int]]
    paired: dict[tuple[int, int], int] = field(default_factory=dict)

    def ways(self, start: int, goal: int) -> tuple[dict[int, int], dict[int, int]]:
        """Return the orders outside that ``start`` reaches, and those inside, each with the one before it.

        A way goes from inside to outside by a pair that may be made, and back by one that can be given up.
        The search ends where ``goal`` is found.
        """
        before_out: dict[int, int] = {}
        before_in: dict[int, int] = {start: -1}
        queue = deque([start])
        while queue and goal not in before_out:
            one = queue.popleft()
            for other in range(len(self.cost_out)):
                if other in before_out or (one, other) in self.banned:
                    continue
                before_out[other] = one
                for giver in range(len(self.cost_in)):
                    if giver not in before_in and self.paired.get((giver, other), 0) > 0:
                        before_in[giver] = other
                        queue.append(giver)
        return before_out, before_in

    def cheapest_way(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the pairs to make and those to give up, so that one watt more costs least; empty: no way."""
        best: tuple[int, list[tuple[int, int]], list[tuple[int, int]]] | None = None
        ends = [other for other, watts in enumerate(self.free_out) if watts > 0]
        for start, cost in enumerate(self.cost_in):
            if not ends or self.free_in[start] == 0:
                continue
            if best and cost + self.cost_out[ends[0]] >= best[0]:
                break
            before_out, before_in = self.ways(start, ends[0])
            end = next((other for other in ends if other in before_out), None)
            if end is None or (best and cost + self.cost_out[end] >= best[0]):
                continue
            made, given_up, other = [], [], end
            while other >= 0:
                one = before_out[other]
                made.append((one, other))
                other = before_in[one]
                if other >= 0:
                    given_up.append((one, other))
            best = (cost + self.cost_out[end], made[::-1], given_up)
        return (best[1], best[2]) if best else ([], [])


def _cheapest(volumes: _Volumes, need_w: int) -> dict[tuple[int, int], int]:
    """Return the pairs of least spread for as much of the need as can be met, cheapest first."""
    left = need_w
    while left > 0:
        made, given_up = volumes.cheapest_way()
        if not made:
            break
        start, end = made[0][0], made[-1][1]
        watts = min(
            left, volumes.free_in[start], volumes.free_out[end], *(volumes.paired[pair] for pair in given_up)
        )
        for pair in made:
            volumes.paired[pair] = volumes.paired.get(pair, 0) + watts
        for pair in given_up:
            volumes.paired[pair] -= watts
        volumes.free_in[start] -= watts
        volumes.free_out[end] -= watts
        left -= watts
    pairs = [pair for pair, watts in volumes.paired.items() if watts > 0]
    pairs.sort(key=lambda pair: (volumes.cost_in[pair[0]] + volumes.cost_out[pair[1]], *pair))
    return {pair: volumes.paired[pair] for pair in pairs}


def _volumes(
    inside: list[RedispatchOrder], outside: list[RedispatchOrder], banned: Collection[tuple[int, int]]
) -> _Volumes:
    return _Volumes(
        cost_in=[_cost(order) for order in inside],
        cost_out=[_cost(order) for order in outside],
        free_in=[_watts(order.kw) for order in inside],
        free_out=[_watts(order.kw) for order in outside],
        banned=banned,
    )


def _cost(order: RedispatchOrder) -> int:
    """Return what an order adds to the spread, micro-units per kWh: an ask in full, a bid against it."""
    price = int(to_micro(order.price))
    return price if order.side == "sell" else -price


def _rank(order: RedispatchOrder) -> tuple[int, str]:
    return _cost(order), order.participant


def _ranked(orders: Sequence[RedispatchOrder], period: int) -> list[RedispatchOrder]:
    return sorted((order for order in orders if order.period == period), key=_rank)


def _watts(kw: float) -> int:
    return int(to_wh(kw))


def _delta(watts: Mapping[tuple[str, str, int], int]) -> dict[tuple[str, int], float]:
    """Return the change of net import of pairs (seller, buyer, period), kW."""
    total: dict[tuple[str, int], int] = {}
    for (seller, buyer, period), volume in watts.items():
        total[seller, period] = total.get((seller, period), 0) - volume
        total[buyer, period] = total.get((buyer, period), 0) + volume
    return {key: volume / 1e3 for key, volume in total.items()}


def _pair(one: RedispatchOrder, other: RedispatchOrder, watts: int, *, hours: float) -> RedispatchPair:
    seller, buyer = (one, other) if one.side == "sell" else (other, one)
    return RedispatchPair(
        period=one.period,
        inside=one.participant,
        outside=other.participant,
        seller=seller.participant,
        buyer=buyer.participant,
        kw=watts / 1e3,
        energy_wh=int(to_wh(watts / 1e3 * hours)),
        ask_micro=int(to_micro(seller.price)),
        bid_micro=int(to_micro(buyer.price)),
    )


def _lines(place: int, pair: RedispatchPair, shares: Mapping[str, float]) -> list[RedispatchLine]:
    bid, ask = (_amount(pair.energy_wh, price) for price in (pair.bid_micro, pair.ask_micro))
    parts = exact_share(pair.spread_micro, shares)
    money = [(pair.buyer, "energy", -bid), (pair.seller, "energy", ask)]
    money += [(name, "spread", -part) for name, part in parts.items()]
    return [
        RedispatchLine(
            pair=place, period=pair.period, party=party, kind="energy" if kind == "energy" else "spread",
            amount_micro=amount,
        )
        for party, kind, amount in money
    ]  # fmt: skip


def _amount(energy_wh: int, price_micro: int) -> int:
    return int(amount_micro(energy_wh, price_micro))
