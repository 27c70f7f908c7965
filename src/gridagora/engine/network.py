"""The local pool that knows the wires: cleared as if there were none, and anew where a limit would break.

A session is first cleared as one pool.  Its schedule goes through the AC power flow; where that keeps all
limits, it stands, and one price holds at all nodes.  The other periods are cleared by `network_auction` on
the linear network at that operating point, rounded to whole Wh, and checked by power flow again; the network
is made anew at each schedule until the power flow keeps all limits and a further round gains nothing.  An
unconstrained optimum that the wires can carry is also the constrained one, so both are the same market
(lossless; MARKETS.md section 2).

Rules.  Nothing is firm beyond what is accepted.  What does not bid (passive homes, reactive power) loads the
wires as forecast.  Where no accepted bids can keep a limit, limits that are broken without any bid are held
at that value, so that bids make nothing worse; the clearing names them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gridagora.engine.pool import PoolOrders, positions
from gridagora.engine.wires import Nodes, Wires
from gridagora.errors import SolverError
from gridagora.grid.linear_phases import node_name
from gridagora.market.network_result import NetworkResult
from gridagora.market.rolling import RollingMarket
from gridagora.model.bids import Bids
from gridagora.model.columns import Findings, Floats, Ints, NodalClearing
from gridagora.model.linear_network import LimitRows, LinearNetwork
from gridagora.model.study import GridLimits, Study
from gridagora.units import WH_PER_KWH, to_wh

ROUNDS = 12
"""Clearings of a period before it is called open; each takes away most of the error of the one before."""
WASTED = 2
"""Rounds that may miss a limit again after one has passed: the network at its schedule promised more."""
LEAST_GAIN = 1e4
"""What a further round must add to welfare, micro-currency x Wh / kWh: a hundred-thousandth of a unit."""
AIM_PU = 5e-5
AIM_PERCENT = 0.05
"""How far inside its limits the linear network aims, so that rounding and its own error stay within them."""
CLOSE_PU = 1e-4
CLOSE_PERCENT = 0.1
"""Beyond a limit by this much still passes, in the last round."""
TIE_MICRO = 0.4
"""By how much, micro-currency per kWh, the retailer goes beyond its price to meet bids that stand at it.

Rounded to whole micro-units its price is what it was.
"""
FELT_MICRO = 0.5
"""A part of a price below this, micro-currency per kWh, is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fixed:
    """What loads the wires beside the bids of a session: kW of homes that do not trade, kvar of all homes.

    Shape (periods, homes).
    """

    kw: Floats
    kvar: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class OnWires:
    """A session cleared with its wires: Wh accepted and micro-currency paid per order, price per period."""

    accepted: Ints
    paid: Floats
    clearing_price: Floats
    network: NodalClearing


NetworkClearing = Callable[..., OnWires]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Period:
    """A period cleared on the network: Wh per order of it, and what `NodalClearing` tells of it."""

    rows: Ints
    accepted: Ints
    price: Ints
    parts: Floats
    rounds: int
    status: str
    reason: str
    loss_wh: int
    residual_wh: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Round:
    """One clearing of a period: Wh accepted per order, and its worth, micro-currency x Wh / kWh."""

    result: NetworkResult
    accepted: Ints
    worth: float
    reason: str
    moved_wh: int
    loss_wh: int


class NetworkPool:
    """Clears sessions on the wires of a study.

    Parameters
    ----------
    wires : the grid with the homes on it
    study : homes, rules and limits
    """

    def __init__(self, wires: Wires, study: Study) -> None:
        # One market of all wires: it has its gates closed, whatever zones the study cuts off.
        closed = wires if study.zones is None else Wires(wires.grid, replace(study, zones=None))
        self._wires, self._study = closed, study
        self._nodes: Nodes = wires.nodes
        self._node_names = np.array(self._nodes.names, dtype=np.str_)
        self._kept = tightened(study.limits, study.market.grid_margin)

    def __call__(
        self, orders: PoolOrders, plate: tuple[Ints, Floats, Floats], *, first: int, fixed: Fixed
    ) -> OnWires:
        """Clear a session; ``plate`` is what the pool without wires accepted, paid, and its prices."""
        accepted, paid, price = plate[0].copy(), plate[1].copy(), plate[2].copy()
        net = self._net_kw(orders, accepted, first=first, fixed=fixed)
        flow = self._wires.flow(net, fixed.kvar)
        plate_found = self._wires.check(flow, net, first=first)
        broken = np.unique(self._wires.check(flow, net, first=first, limits=self._kept).period)
        if self._study.market.price_losses:
            broken = np.arange(first, first + len(price))
        done = []
        for period in broken.tolist():
            found = self._period(orders, accepted, period - first, first=first, fixed=fixed, start=net)
            accepted[found.rows] = found.accepted
            paid[found.rows] = self._paid(orders, found)
            at_slack = found.parts[:, self._nodes.slack].sum()
            price[period - first] = np.nan if np.isnan(at_slack) else found.price[self._nodes.slack]
            done.append(found)
        return OnWires(
            accepted=accepted,
            paid=paid,
            clearing_price=price,
            network=self._told(
                done,
                broken,
                plate,
                found=plate_found,
                held=self._near(self._net_kw(orders, accepted, first=first, fixed=fixed), fixed.kvar),
                first=first,
            ),
        )

    def _paid(self, orders: PoolOrders, found: _Period) -> Floats:
        """Return what each order of a period pays or gets: the price of its node, micro-currency x Wh / kWh.

        The retailer, who takes what rounding moves, never does so beyond its own price.
        """
        side, own = orders.side[found.rows].astype(np.int64), orders.price[found.rows]
        price = found.price[self._node_of(orders)[found.rows]]
        fair = np.where(side > 0, np.minimum(price, own), np.maximum(price, own))
        price = np.where(orders.participant[found.rows] == self._nodes.of_home.size, fair, price)
        paid: Floats = (-side * np.where(found.accepted > 0, price, 0) * found.accepted).astype(np.float64)
        return paid

    def _told(
        self,
        done: list[_Period],
        broken: Ints,
        plate: tuple[Ints, Floats, Floats],
        *,
        found: Findings,
        held: NDArray[np.int8],
        first: int,
    ) -> NodalClearing:
        count = len(self._nodes.names)
        return NodalClearing(
            nodes=self._nodes.names,
            period=broken.astype(np.int64),
            price=np.array([one.price for one in done], dtype=np.int64).reshape(-1, count),
            parts=np.array([one.parts for one in done], dtype=np.float64)
            .reshape(-1, 4, count)
            .swapaxes(0, 1),
            rounds=np.array([one.rounds for one in done], dtype=np.int64),
            status=tuple(one.status for one in done),
            reason=tuple(one.reason for one in done),
            loss_wh=np.array([one.loss_wh for one in done], dtype=np.int64),
            residual_wh=np.array([one.residual_wh for one in done], dtype=np.int64),
            held=held,
            plate_accepted=plate[0] if done else plate[0][:0],
            plate_price=plate[2][broken - first],
            plate=found,
        )

    def _period(
        self, orders: PoolOrders, accepted: Ints, row: int, *, first: int, fixed: Fixed, start: Floats
    ) -> _Period:
        """Clear one period on the network until the power flow passes and a further round gains nothing."""
        rows = np.flatnonzero(orders.period == first + row)
        bids, now = self._bids(orders, rows), accepted.copy()
        kw, kvar = fixed.kw[row : row + 1], fixed.kvar[row : row + 1]
        point = start[row : row + 1]
        market = RollingMarket(period_hours=self._study.axis.hours)
        best: _Round | None = None
        rounds = wasted = 0
        while rounds < ROUNDS and wasted < WASTED:
            rounds += 1
            result, reason = _cleared(market, bids, self._linear(point, kvar, kw=kw))
            now[rows], moved, loss = self._whole(orders, rows, result)
            worth = float((bids.side * bids.price * now[rows]).sum())
            last = _Round(
                result=result, accepted=now[rows], worth=worth, reason=reason, moved_wh=moved, loss_wh=loss
            )
            point = self._net_kw(orders, now, first=first, fixed=fixed)[row : row + 1]
            passes = self._passes(point, kvar, last=rounds == ROUNDS)
            if passes and (best is None or worth > best.worth + LEAST_GAIN):
                best = last
            elif passes or (best is None and reason and rounds > 1):
                break
            elif best is not None:
                wasted += 1
        return _outcome(rows, best or last, rounds=rounds, passed=best is not None)

    def _bids(self, orders: PoolOrders, rows: Ints) -> Bids:
        """Return the orders as bids, micro-currency per kWh and kWh; at equal prices the retailer trades."""
        side, upstream = orders.side[rows], orders.participant[rows] == self._nodes.of_home.size
        return Bids(
            side=side,
            price=orders.price[rows] + np.where(upstream, side * TIE_MICRO, 0.0),
            quantity=orders.quantity[rows] / WH_PER_KWH,
            participant=orders.participant[rows],
            period=orders.period[rows],
            node=self._node_names[self._node_of(orders)[rows]],
        )

    def _node_of(self, orders: PoolOrders) -> Ints:
        """Return the node of each order; the retailer's are at the source."""
        return np.append(self._nodes.of_home, self._nodes.slack)[orders.participant]

    def _net_kw(self, orders: PoolOrders, accepted: Ints, *, first: int, fixed: Fixed) -> Floats:
        """Return the net import of homes, kW, (periods, homes), with these Wh accepted."""
        shape = (len(fixed.kw), fixed.kw.shape[1] + 1)
        net = positions(orders.participant, orders.period - first, orders.side * accepted, shape=shape)
        return fixed.kw + net[:, :-1] / (WH_PER_KWH * self._study.axis.hours)

    def _linear(self, point: Floats, kvar: Floats, *, kw: Floats) -> LinearNetwork:
        """Return the network around a schedule, with what does not bid in its limits."""
        aim = replace(
            self._kept,
            vm_min_pu=self._kept.vm_min_pu + AIM_PU,
            vm_max_pu=self._kept.vm_max_pu - AIM_PU,
            line_loading_percent=self._kept.line_loading_percent - AIM_PERCENT,
            transformer_loading_percent=self._kept.transformer_loading_percent - AIM_PERCENT,
        )
        losses = self._study.market.price_losses
        # so much load may have no power flow at all: then begin with what nobody bids for, or with nothing
        tried = (point, kw, np.zeros_like(kw))
        anchor = next(at for at in tried if self._wires.flow(at, kvar).converged[0])
        network = self._wires.linear(anchor, kvar, limits=aim, losses=losses)
        at = self._nodes
        return network.with_fixed(at.totals(kw), at.totals(kvar))

    def _whole(self, orders: PoolOrders, rows: Ints, result: NetworkResult) -> tuple[Ints, int, int]:
        """Round to whole Wh; the retailer takes what that moves, and homes give way where its limit binds.

        Returns Wh per order, the Wh moved, and the losses that the operator buys.
        """
        exact = np.asarray(result.accepted, dtype=np.float64) * WH_PER_KWH
        whole = np.clip(np.rint(exact), 0, orders.quantity[rows]).astype(np.int64)
        side = orders.side[rows].astype(np.int64)
        upstream = orders.participant[rows] == self._nodes.of_home.size
        for short in (1, -1):  # homes import what the retailer sells (1), and the other way round
            mine = np.flatnonzero(~upstream & (side == short))
            least = np.argsort(short * orders.price[rows][mine], kind="stable")
            most = orders.quantity[rows][upstream & (side == -short)].sum()
            excess = int(short * (side * whole)[~upstream].sum() - most)
            for row in mine[least].tolist():
                cut = min(max(excess, 0), int(whole[row]))
                whole[row] -= cut
                excess -= cut
        net = int((side * whole)[~upstream].sum())
        whole[upstream & (side < 0)] = max(net, 0)
        whole[upstream & (side > 0)] = max(-net, 0)
        moved = int(np.rint(net - float((side * exact)[~upstream].sum())))
        loss = int(to_wh(result.carriers[0].losses_kw * self._study.axis.hours)[0])
        return whole, moved, loss if self._study.market.price_losses else 0

    def _near(self, net_kw: Floats, kvar: Floats) -> NDArray[np.int8]:
        """Tell where a schedule uses more of a limit than homes may leave to chance, and on which side."""
        flow, limits = self._wires.flow(net_kw, kvar), self._kept
        kinds = np.array(flow.kinds)
        rated = np.where(kinds == "line", limits.line_loading_percent, limits.transformer_loading_percent)
        with np.errstate(invalid="ignore"):
            loading = np.nan_to_num(flow.loading_percent / rated).max(axis=1, initial=0.0)
            low = (1.0 - flow.vm_min_pu).max(axis=1) / (1.0 - limits.vm_min_pu)
            high = (flow.vm_max_pu - 1.0).max(axis=1) / (limits.vm_max_pu - 1.0)
        takes = net_kw.sum(axis=1) >= 0
        used = np.stack([np.where(takes, 0.0, loading), np.where(takes, loading, 0.0)])
        used = np.nan_to_num(np.maximum(used, np.stack([high, low])), nan=np.inf)
        side = np.where(used[0] > used[1], -1, 1)
        return np.where(used.max(axis=0) > self._study.market.hold_from, side, 0).astype(np.int8)

    def _passes(self, net_kw: Floats, kvar: Floats, *, last: bool) -> bool:
        """Tell whether a schedule keeps the limits; within the tolerance in the last round."""
        limits = self._kept
        if last:
            limits = replace(
                limits,
                vm_min_pu=limits.vm_min_pu - CLOSE_PU,
                vm_max_pu=limits.vm_max_pu + CLOSE_PU,
                line_loading_percent=limits.line_loading_percent + CLOSE_PERCENT,
                transformer_loading_percent=limits.transformer_loading_percent + CLOSE_PERCENT,
            )
        found = self._wires.check(self._wires.flow(net_kw, kvar), net_kw, limits=limits)
        return len(found.kind) == 0


def tightened(limits: GridLimits, margin: float) -> GridLimits:
    """Return limits with a share of each kept free: loadings that much lower, voltages that much nearer to 1.

    >>> tightened(GridLimits(), 0.1).vm_max_pu, tightened(GridLimits(), 0.1).line_loading_percent
    (1.09, 90.0)
    """
    return GridLimits(
        vm_min_pu=limits.vm_min_pu + margin * (1.0 - limits.vm_min_pu),
        vm_max_pu=limits.vm_max_pu - margin * (limits.vm_max_pu - 1.0),
        line_loading_percent=limits.line_loading_percent * (1.0 - margin),
        transformer_loading_percent=limits.transformer_loading_percent * (1.0 - margin),
    )


def _outcome(rows: Ints, chosen: _Round, *, rounds: int, passed: bool) -> _Period:
    """Return what a period came to: the round that passed and is worth most, else the last."""
    price, parts = _whole_prices(chosen.result)
    status = "passed" if passed else "unavoidable" if chosen.reason else "open"
    reasons = {"passed": "", "unavoidable": chosen.reason}
    return _Period(
        rows=rows,
        accepted=chosen.accepted,
        price=price,
        parts=parts,
        rounds=rounds,
        status=status,
        reason=reasons.get(status, f"the power flow still breaks a limit after {rounds} rounds"),
        loss_wh=chosen.loss_wh,
        residual_wh=chosen.moved_wh,
    )


def _whole_prices(result: NetworkResult) -> tuple[Ints, Floats]:
    """Return the price of each node in whole micro-units, -1 without trade, and its parts, which sum to it.

    What rounding moves is added to the largest part of those the node's place makes, else to energy.
    """
    outcome = result.carriers[0]
    price = np.rint(np.nan_to_num(outcome.price[0], nan=-1.0)).astype(np.int64)
    parts = outcome.parts[:, 0].copy()
    parts[0] = np.rint(parts[0])
    local = np.abs(np.nan_to_num(parts[1:]))
    place = np.where(local.max(axis=0) > FELT_MICRO, 1 + local.argmax(axis=0), 0)
    parts[1:] = np.where((local > FELT_MICRO) | np.isnan(parts[1:]), parts[1:], 0.0)
    parts[place, np.arange(len(price))] += price - parts.sum(axis=0)
    return price, parts


def _cleared(market: RollingMarket, bids: Bids, network: LinearNetwork) -> tuple[NetworkResult, str]:
    """Clear on a network; where no bids can keep a limit, with the limits held that they cannot cure."""
    try:
        return market.clear(bids, network=network), ""
    except SolverError as error:
        conflict = getattr(error, "conflict", ())
        reason = "no accepted bids can keep: " + ("; ".join(conflict) or str(error))
        return market.clear(bids, network=_held(network)), reason


def _held(network: LinearNetwork) -> LinearNetwork:
    """Return the network with limits that no bid at all would break held at their values then."""
    rows = network.limits
    if rows is None:
        return network
    held: LimitRows = replace(
        rows,
        lower=np.minimum(rows.lower, rows.offset),
        upper=np.maximum(rows.upper, rows.offset),
    )
    return replace(network, limits=held)


def nodes_of_homes(clearing: NodalClearing, study: Study) -> Ints:
    """Return the position of each home's node in a clearing."""
    place = {name: number for number, name in enumerate(clearing.nodes)}
    found = [place.get(node_name(home.bus, home.phase), place.get(home.bus, -1)) for home in study.homes]
    return np.array(found, dtype=np.int64)


def cut_off(clearing: NodalClearing, count: int, *, first: int) -> NDArray[np.int8]:
    """Return how the wires hold each node of a session, (count, nodes).

    -1 is in what it gives, 1 in what it takes.  A node whose price is lower for its place in the grid may not
    give more, one whose price is higher may not take more; the others follow what holds all homes
    (`NodalClearing.held`).
    """
    sign = np.tile(clearing.held[:, None], (1, len(clearing.nodes)))
    felt = np.nan_to_num(clearing.parts[2] + clearing.parts[3])
    at = clearing.period - first
    sign[at] = np.where(np.abs(felt) > FELT_MICRO, np.sign(felt), sign[at]).astype(np.int8)
    return sign
