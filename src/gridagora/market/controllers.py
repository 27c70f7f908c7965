"""The five steps of a trade through the local controllers of zones, each decision with its reason.

A check returns why it says no, and "" when it does not: grids, meters and contracts are told to controllers
as functions, so that the rules here stay free of them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from gridagora.errors import Fault, InputError, check_faults
from gridagora.model.zone_trades import Approval, Supply, TradeRequest
from gridagora.model.zones import DSO, ZoneTree

Check = Callable[[TradeRequest], str]


def allow(request: TradeRequest) -> str:
    """Object to nothing.

    >>> allow(TradeRequest(trade="t", buyer="a", buyer_zone="z", period=0, quantity_kwh=1.0, price=0.1, at=0))
    ''
    """
    del request
    return ""


def no_supply(request: TradeRequest) -> Sequence[Supply]:
    """Know of no supply.

    >>> no_supply(TradeRequest(trade="t", buyer="a", buyer_zone="z", period=0, quantity_kwh=1.0, price=0.1,
    ...                        at=0))
    ()
    """
    del request
    return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalController:
    """The controller of one zone and the rules by which it decides.

    Parameters
    ----------
    zone : name of the zone
    participants : ids of those who may trade in it
    lowest_price, highest_price : bounds of a price, currency per kWh
    most_kwh : largest quantity of one trade
    is_open : tells whether trades in a period may still be stated
    inside : checks the grid inside the zone
    import_kwh, export_kwh : what may still come in and leave through the gate in a period
    """

    zone: str
    participants: frozenset[str]
    lowest_price: float = -np.inf
    highest_price: float = np.inf
    most_kwh: float = np.inf
    is_open: Callable[[int], bool] = lambda period: period >= 0
    inside: Check = allow
    import_kwh: Callable[[int], float] = lambda period: np.inf
    export_kwh: Callable[[int], float] = lambda period: np.inf


@dataclass(frozen=True, kw_only=True, slots=True)
class Checks:
    """What the decisions on a trade rest on.

    Parameters
    ----------
    controllers : by name of their zone; the DSO and the bulk grid need none
    dso : the DSO's check of a trade between zones
    supply : what zones could give in a shortage; the nearest zone is taken first, the bulk grid last
    """

    controllers: Mapping[str, LocalController]
    dso: Check = allow
    supply: Callable[[TradeRequest], Sequence[Supply]] = no_supply


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Controllers:
    """The controllers of all zones, checked once, to take many trades through them.

    They are read when the object is made: what changes later is seen through the functions of `Checks` and
    `LocalController`, which are asked for every trade.

    Parameters
    ----------
    tree : the zones
    checks : the controllers, the DSO's check, and the supply on offer

    Raises
    ------
    InputError
        Lists every controller that stands under another zone's name, or under one of no zone.

    Examples
    --------
    >>> from gridagora.model.zones import Zone
    >>> tree = ZoneTree(zones=(Zone(name="bulk", level="bulk", parent=None),
    ...                        Zone(name="east", level="lv", parent="bulk", buses=("1",))))
    >>> east = LocalController(zone="east", participants=frozenset({"ann", "bob"}))
    >>> controllers = Controllers(tree=tree, checks=Checks(controllers={"east": east}))
    >>> closed, open_ = (TradeRequest(trade="t", buyer="ann", buyer_zone="east", seller="bob",
    ...                               seller_zone="east", period=period, quantity_kwh=2.0, price=0.5, at=60)
    ...                  for period in (-1, 0))
    >>> is_approved(controllers.way(closed)), is_approved(controllers.way(open_))
    (False, True)
    """

    tree: ZoneTree
    checks: Checks
    _at: dict[str, LocalController] = field(init=False, repr=False)
    _dso: str = field(init=False, repr=False)
    _gates: dict[tuple[str, str], "_Gates"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_faults(_controller_faults(self.tree, self.checks))
        object.__setattr__(self, "_at", dict(self.checks.controllers))
        object.__setattr__(self, "_dso", _dso(self.tree))
        object.__setattr__(self, "_gates", {})

    def way(self, request: TradeRequest) -> tuple[Approval, ...]:
        """Take a trade through the controllers; see `way_of_trade`.

        Raises
        ------
        InputError
            Lists every fault: an unknown zone, or a zone on the way without a controller.
        """
        ends = (request.buyer_zone if request.is_shortage else request.seller_zone, request.buyer_zone)
        if ends not in self._gates:
            check_faults(_way_faults(request, self.tree, self._at))
            self._gates[ends] = _between(self.tree, *ends)
        way = [_stated(request)]
        for approval in self._trade_steps(request, self._gates[ends]):
            way.append(approval)
            if approval.decision == "rejected":
                break
        refused_by_grid = way[-1].decision == "rejected" and way[-1].step in (3, 4)
        wants_other = request.supply_otherwise and refused_by_grid
        if wants_other or (request.is_shortage and way[-1].decision == "approved"):
            way.append(self._supplied(request))
        return tuple(way)

    def _trade_steps(self, request: TradeRequest, gates: "_Gates") -> Iterator[Approval]:
        """Yield the decisions of steps 2 to 4."""
        parties = [(request.buyer_zone, request.buyer)]
        if not request.is_shortage:
            parties.insert(0, (request.seller_zone, request.seller))
        for zone in dict.fromkeys(zone for zone, _ in parties):
            if zone in self._at:
                names = [name for place, name in parties if place == zone]
                reason = _data_fault(request, self._at[zone], names)
                yield _decided(2, zone, reason, otherwise="the data are in order", at=request.at)
        first = parties[0][0]
        yield from self._grid_steps(request, 3, zones=[first], gates=gates.leaves, out=True)
        if request.is_shortage or not (gates.enters or gates.leaves):
            return
        inner = [] if request.buyer_zone == first else [request.buyer_zone]
        yield from self._grid_steps(request, 4, zones=inner, gates=gates.enters, out=False)
        reason = self.checks.dso(request)
        yield _decided(4, self._dso, reason, otherwise="the DSO has no objection", at=request.at)

    def _grid_steps(
        self, request: TradeRequest, step: int, *, zones: Sequence[str], gates: Sequence[str], out: bool
    ) -> Iterator[Approval]:
        """Yield the checks of grids inside zones and of the gates that the trade passes in one direction."""
        for zone in zones:
            if zone in self._at:
                reason = self._at[zone].inside(request)
                yield _decided(step, zone, reason, otherwise="the grid inside the zone holds", at=request.at)
        for zone in gates:
            if zone in self._at:
                controller = self._at[zone]
                room = (controller.export_kwh if out else controller.import_kwh)(request.period)
                word = "leave" if out else "enter"
                reason = (
                    "" if request.quantity_kwh <= room else f"only {room:g} kWh may still {word} the zone"
                )
                yield _decided(
                    step, zone, reason, otherwise=f"{request.quantity_kwh:g} kWh may {word}", at=request.at
                )

    def _supplied(self, request: TradeRequest) -> Approval:
        """Return step 5: the nearest supply that will do, if the DSO has no objection."""
        tree, refused = self.tree, []
        ways = {name: place for place, name in enumerate(tree.path(request.buyer_zone))}
        for supply in sorted(
            self.checks.supply(request), key=lambda s: (_shared(tree, s.zone, ways), s.price, s.zone)
        ):
            reason = self._supply_fault(request, supply)
            if not reason:
                objection = self.checks.dso(request)
                if objection:
                    refused.append(f"the DSO: {objection}")
                    break
                text = f"{request.quantity_kwh:g} kWh from {supply.zone} at {supply.price:g}"
                return Approval(
                    step=5, by=self._dso, decision="approved", reason=text, at=request.at, supply=supply
                )
            refused.append(f"{supply.zone}: {reason}")
        text = "; ".join(refused) or "no zone and no bulk grid offers supply"
        return Approval(step=5, by=self._dso, decision="rejected", reason=text, at=request.at)

    def _supply_fault(self, request: TradeRequest, supply: Supply) -> str:
        if not supply.quantity_kwh >= request.quantity_kwh:
            return f"has only {supply.quantity_kwh:g} kWh"
        if not supply.price <= request.price:
            return f"asks {supply.price:g}, approved is {request.price:g}"
        gates = _between(self.tree, supply.zone, request.buyer_zone)
        out = self._grid_steps(request, 5, zones=[supply.zone], gates=gates.leaves, out=True)
        back = self._grid_steps(request, 5, zones=[request.buyer_zone], gates=gates.enters, out=False)
        for check in chain(out, back):
            if check.decision == "rejected":
                return f"{check.by} says: {check.reason}"
        return ""


def way_of_trade(request: TradeRequest, tree: ZoneTree, checks: Checks) -> tuple[Approval, ...]:
    """Take a trade through the controllers; the last step says whether it is approved.

    1 the parties state it.  2 the controller of each party verifies the data.  3 the seller's checks the grid
    inside its zone, and that of every zone around it that the trade leaves, what may leave.  Within one zone
    the trade is then approved.  4 the controllers of the zones that it enters check what may come in, the
    buyer's its own grid; the DSO approves.  5 a shortage, or a trade that was refused in step 3 or 4 and
    whose buyer wants it, asks the DSO, who takes the nearest supply that is large and cheap enough, and gives
    it unless its own check objects.  The first no ends the way.  For many trades make `Controllers` once.

    Parameters
    ----------
    request : the trade or the shortage
    tree : the zones
    checks : the controllers, the DSO's check, and the supply on offer

    Raises
    ------
    InputError
        Lists every fault: an unknown zone, a zone on the way without a controller, or with another's.

    Notes
    -----
    MARKETS.md section 5; seed 000 section 4.2.3, steps 1 to 5.

    Examples
    --------
    >>> from gridagora.model.zones import Zone
    >>> tree = ZoneTree(zones=(Zone(name="bulk", level="bulk", parent=None),
    ...                        Zone(name="east", level="lv", parent="bulk", buses=("1",))))
    >>> east = LocalController(zone="east", participants=frozenset({"ann", "bob"}), highest_price=0.4)
    >>> trade = TradeRequest(trade="t1", buyer="ann", buyer_zone="east", seller="bob", seller_zone="east",
    ...                      period=3, quantity_kwh=2.0, price=0.5, at=60)
    >>> for step in way_of_trade(trade, tree, Checks(controllers={"east": east})):
    ...     print(step.step, step.by, step.decision, "-", step.reason)
    1 ann stated - ann buys 2 kWh from bob at 0.5 in period 3
    2 east rejected - the price 0.5 is not within -inf to 0.4
    """
    try:
        controllers = Controllers(tree=tree, checks=checks)
    except InputError as found:
        raise InputError([*found.faults, *_way_faults(request, tree, checks.controllers)]) from None
    return controllers.way(request)


def is_approved(way: Sequence[Approval]) -> bool:
    """Tell whether a way ended in approval.

    >>> is_approved([Approval(step=2, by="east", decision="rejected", reason="closed", at=0)])
    False
    """
    return bool(way) and way[-1].decision == "approved"


def _stated(request: TradeRequest) -> Approval:
    source = "" if request.is_shortage else f" from {request.seller}"
    limit = "no more than " if request.is_shortage else ""
    reason = (
        f"{request.buyer} buys {request.quantity_kwh:g} kWh{source} at {limit}{request.price:g} "
        f"in period {request.period}"
    )
    return Approval(step=1, by=request.buyer, decision="stated", reason=reason, at=request.at)


def _shared(tree: ZoneTree, zone: str, ways: Mapping[str, int]) -> int:
    """Return how many zones out the buyer's way meets that of another zone; the root comes last."""
    return next(ways[name] for name in tree.path(zone) if name in ways)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gates:
    """Zones whose gates a trade passes: left, from the inside out, and entered, from the outside in."""

    leaves: tuple[str, ...]
    enters: tuple[str, ...]


def _between(tree: ZoneTree, start: str, end: str) -> _Gates:
    out, back = tree.path(start), tree.path(end)
    return _Gates(
        leaves=tuple(name for name in out if name not in back),
        enters=tuple(name for name in reversed(back) if name not in out),
    )


def _data_fault(request: TradeRequest, controller: LocalController, names: Sequence[str]) -> str:
    """Return what is wrong with the data of a trade, all of it."""
    strangers = [name for name in names if name not in controller.participants]
    low, high = controller.lowest_price, controller.highest_price
    faults = [f"{name} does not trade in this zone" for name in strangers]
    if request.buyer == request.seller:
        faults.append("buyer and seller are the same")
    if not 0 < request.quantity_kwh <= controller.most_kwh:
        faults.append(
            f"the quantity {request.quantity_kwh:g} kWh is not above 0 and up to {controller.most_kwh:g}"
        )
    if not (low <= request.price <= high and np.isfinite(request.price)):
        faults.append(f"the price {request.price:g} is not within {low:g} to {high:g}")
    if not controller.is_open(request.period):
        faults.append(f"period {request.period} is closed")
    return "; ".join(faults)


def _decided(step: int, by: str, objection: str, *, otherwise: str, at: int) -> Approval:
    if objection:
        return Approval(step=step, by=by, decision="rejected", reason=objection, at=at)
    return Approval(step=step, by=by, decision="approved", reason=otherwise, at=at)


def _dso(tree: ZoneTree) -> str:
    """Return the name of the DSO's zone; "dso" where the tree has none."""
    return next((zone.name for zone in tree.zones if zone.level == DSO), DSO)


def _controller_faults(tree: ZoneTree, checks: Checks) -> Iterator[Fault]:
    """Yield the controllers that stand under another zone's name, or under one that is no zone's."""
    for name, controller in checks.controllers.items():
        if controller.zone == name and name in tree:
            continue
        place = f"controller {controller.zone}"
        if controller.zone != name:
            reason, fix = f"stands under zone {name}", "give each zone its own controller"
            yield Fault(source="controllers", place=place, value=name, reason=reason, fix=fix)
        if name not in tree:
            fix = f"use one of {tree.names[:9]}"
            yield Fault(source="controllers", place=place, value=name, reason="no such zone", fix=fix)


def _way_faults(
    request: TradeRequest, tree: ZoneTree, controllers: Mapping[str, LocalController]
) -> Iterator[Fault]:
    """Yield the zones of a trade that there are not, and those on its way that have no controller."""
    source = f"trade {request.trade}"
    ends = [request.buyer_zone] if request.is_shortage else [request.seller_zone, request.buyer_zone]
    unknown = [name for name in dict.fromkeys(ends) if name not in tree]
    for name in unknown:
        fix = f"use one of {tree.names[:9]}"
        yield Fault(source=source, place="zone", value=name, reason="no such zone", fix=fix)
    if unknown:
        return
    gates = _between(tree, ends[0], ends[-1])
    for name in dict.fromkeys([*ends, *gates.leaves, *gates.enters]):
        if tree.zone(name).level not in (DSO, "bulk") and name not in controllers:
            reason, fix = "a zone on the way has no controller", "add it to checks.controllers"
            yield Fault(source=source, place="zone", value=name, reason=reason, fix=fix)
