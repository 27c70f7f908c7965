"""A made-up run with zones: two streets and a hill behind one of them, a day, an island in the evening.

Nothing is simulated: homes are matched with their neighbours first, then with other zones, then with the
retailer; the gate of "north" is narrow, and the hill is cut off from 17 to 20 o'clock.
"""

from collections import defaultdict

import numpy as np

from gridagora.engine.commands import SettleSession
from gridagora.engine.machine import MarketContext, Pending, settle_session
from gridagora.engine.timetable import sessions
from gridagora.market import pay_as_cleared
from gridagora.model.columns import DeviceColumns, Findings, NodalClearing
from gridagora.model.events import AuctionCleared, EnergyDelivered, TradesDecided
from gridagora.model.resources import Battery, Home
from gridagora.model.study import AgentRules, GridLimits, MarketRules, Study, Tariffs
from gridagora.model.time import TimeAxis
from gridagora.model.zone_columns import TradeDecisions, ZonalClearing, ZoneTrades
from gridagora.model.zone_study import ZoneRules
from gridagora.model.zones import Zone, ZoneTree
from gridagora.settlement import Prices, settle_without_market
from gridagora.studies.record import Flows, GridDrawing, RunRecord, Violations

TREE = ZoneTree(
    zones=(
        Zone(name="bulk", level="bulk", parent=None),
        Zone(name="DSO", level="dso", parent="bulk", buses=("b0",), gate_elements=("T0",)),
        Zone(name="north", level="lv", parent="DSO", buses=("n1", "n2"), gate_elements=("Tn",)),
        Zone(name="south", level="lv", parent="DSO", buses=("s1", "s2"), gate_elements=("Ts",)),
        Zone(name="hill", level="lv", parent="south", buses=("h1",), gate_elements=("Lh",)),
    )
)
ROOT, DSO, NORTH, SOUTH, HILL = range(5)
BUSES = ("b0", "n1", "n2", "s1", "s2", "h1")
PLACES = {"b0": (0, 0), "n1": (-1, 1), "n2": (-2, 2), "s1": (1, -1), "s2": (2, -1), "h1": (3, -2)}
LINES = (("Ln", "n1", "n2"), ("Ls", "s1", "s2"), ("Lh", "s2", "h1"))
TRAFOS = (("Tn", "b0", "n1"), ("Ts", "b0", "s1"))
HOMES = (("ann", "n1", NORTH, 6.0), ("ben", "n2", NORTH, 0.0), ("cora", "s1", SOUTH, 4.0))
HOMES += (("dirk", "s2", SOUTH, 0.0), ("eva", "h1", HILL, 2.0), ("finn", "h1", HILL, 0.0))
OF_HOME = np.array([zone for _, _, zone, _ in HOMES])
CUT = range(17, 20)
GATE_KW = {NORTH: (4.0, 0.5), SOUTH: (6.0, 6.0), HILL: (3.0, 3.0)}
RETAIL, FEED_IN, INSIDE, BETWEEN = 300_000, 80_000, 150_000, 200_000
PERIODS, SESSION = 24, 4


def make_study(*, cut=CUT):
    axis = TimeAxis(start=np.datetime64("2016-06-01"), periods=PERIODS, mtu_s=3600)
    hour = np.arange(PERIODS)
    sun = np.clip(np.sin((hour - 5) / 14 * np.pi), 0, None)
    use = 0.6 + 1.2 * np.exp(-(((hour - 19) / 2.2) ** 2))
    homes = tuple(
        Home(
            participant=name,
            bus=bus,
            load_kw=use * (1 + 0.1 * k),
            load_kvar=0.1 * use,
            pv_kw=peak * sun if peak else None,
            pv_peak_kw=peak,
            battery=Battery(energy_kwh=5.0, charge_kw=2.0, discharge_kw=2.0) if name == "eva" else None,
        )
        for k, (name, bus, _, peak) in enumerate(HOMES)
    )
    flat = np.ones(PERIODS)
    price = {"retail": 0.3, "feed_in": 0.08, "network": 0.1, "taxes": 0.05}
    price |= {"imbalance_short": 0.32, "imbalance_long": 0.06}
    limits = np.full((2, PERIODS, len(TREE.zones)), np.inf)
    for zone, kw in GATE_KW.items():
        limits[:, :, zone] = np.array(kw)[:, None]
    islanded = np.zeros((PERIODS, len(TREE.zones)), dtype=bool)
    islanded[list(cut), HILL] = True
    rules = ZoneRules(tree=TREE, of_home=OF_HOME, import_kw=limits[0], export_kw=limits[1], cut=islanded)
    return Study(
        name="streets and a hill (made up)",
        axis=axis,
        homes=homes,
        tariffs=Tariffs(**{name: value * flat for name, value in price.items()}),
        market=MarketRules(mechanism="zonal", session_periods=SESSION),
        agents=AgentRules(),
        limits=GridLimits(vm_min_pu=0.95, vm_max_pu=1.05),
        zones=rules,
    )


def net_wh(study):
    """Return what each home is short of, Wh, (periods, homes)."""
    zero = np.zeros(PERIODS)
    net = [home.load_kw - (zero if home.pv_kw is None else home.pv_kw) for home in study.homes]
    return np.rint(1000 * np.stack(net, axis=1)).astype(np.int64)


def _path(zone):
    return [TREE.position(name) for name in TREE.path(TREE.names[zone])]


def _greedy(left, period, *, islands):
    """Yield (market, buyer, seller, Wh) from the innermost zones out; what is left is the retailer's."""
    homes = len(left)
    for zone in sorted(range(len(TREE.zones)), key=lambda k: (-TREE.depth[k], k)):
        here = [k for k in range(homes) if zone in _path(OF_HOME[k])]
        if islands[HILL] >= 0 and zone != HILL:
            here = [k for k in here if OF_HOME[k] != HILL]
        for buyer in [k for k in here if left[k] > 0]:
            for seller in [k for k in here if left[k] < 0]:
                wh = min(left[buyer], -left[seller])
                if wh > 0:
                    left[buyer] -= wh
                    left[seller] += wh
                    yield zone, buyer, seller, wh
    for home in np.flatnonzero(left):
        if left[home] > 0:
            yield ROOT, home, homes, left[home]
        elif islands[HILL] < 0 or OF_HOME[home] != HILL:
            yield ROOT, homes, home, -left[home]


def _zone(code):
    return ROOT if code == len(HOMES) else int(OF_HOME[code])


def _columns(rows):
    """Return rows (period, market, buyer, seller, Wh, price) as `ZoneTrades`."""
    table = np.array(rows, dtype=np.int64).reshape(-1, 6)
    first = table[:, 0] - table[:, 0] % SESSION
    place = (table[:, 0] - first) * (len(HOMES) + 2)
    upstream = len(HOMES)
    return ZoneTrades(
        period=table[:, 0],
        market=table[:, 1],
        buyer=table[:, 2],
        seller=table[:, 3],
        buyer_zone=np.array([_zone(k) for k in table[:, 2]], dtype=np.int64),
        seller_zone=np.array([_zone(k) for k in table[:, 3]], dtype=np.int64),
        buy_row=place + np.where(table[:, 2] == upstream, upstream + 1, table[:, 2]),
        sell_row=place + table[:, 3],
        quantity_wh=table[:, 4],
        price=table[:, 5],
    )


def _price(market, buyer, seller):
    if len(HOMES) in (buyer, seller):
        return RETAIL if seller == len(HOMES) else FEED_IN
    return BETWEEN if market == DSO else INSIDE


class _Desk:
    """Writes down the steps of trades: the narrow gate of north, the open one of the hill."""

    def __init__(self, names):
        self.people, self.names, self.reasons = names, [], []
        self.steps, self.approved = [], []
        self.room = defaultdict(lambda: 1000 * GATE_KW[NORTH][1])

    def _say(self, step, by, decision, *, reason):
        for text, known in ((by, self.names), (reason, self.reasons)):
            if text not in known:
                known.append(text)
        place = (self.names.index(by), decision, self.reasons.index(reason))
        self.steps.append((len(self.approved), step, *place))
        return decision != 2

    def trade(self, period, buyer, seller, *, wh, islands):
        zones = [TREE.names[_zone(k)] for k in (seller, buyer)]
        people = self.people[buyer], self.people[seller]
        self._say(1, people[0], 0, reason=f"{people[0]} buys {wh / 1000:g} kWh from {people[1]}")
        self._say(2, zones[1], 1, reason="the data are in order")
        fine = True
        if seller == len(HOMES):
            cut = islands[HILL] >= 0 and _zone(buyer) == HILL
            reason = "hill: the gate is open" if cut else f"{wh / 1000:g} kWh from the bulk grid"
            fine = self._say(5, "DSO", 2 if cut else 1, reason=reason)
        elif zones[0] != zones[1]:
            if zones[0] == "north":
                fine = wh <= self.room[period]
                reason = f"{wh / 1000:g} kWh may leave" if fine else "too little may still leave the zone"
                self._say(3, "north", 1 if fine else 2, reason=reason)
                self.room[period] -= wh if fine else 0
            if fine:
                self._say(4, "DSO", 1, reason="the DSO has no objection")
        else:
            self._say(3, zones[0], 1, reason="the grid inside the zone holds")
        self.approved.append(fine)
        return fine

    def supply(self, buyer, wh):
        self._say(5, "DSO", 1, reason=f"{wh / 1000:g} kWh from bulk at 0.3")
        self.approved.append(True)

    def told(self, supplies, follows):
        table = np.array(self.steps, dtype=np.int64).reshape(-1, 5)
        return TradeDecisions(
            trade=table[:, 0], step=table[:, 1], by=table[:, 2], decision=table[:, 3], reason=table[:, 4],
            names=tuple(self.names), reasons=tuple(self.reasons),
            approved=np.array(self.approved, dtype=bool), supplies=supplies,
            follows=np.array(follows, dtype=np.int64),
        )  # fmt: skip


def _session(study, first, net):
    """Return the auction of a session and what was decided on it."""
    names, homes = [home.participant for home in study.homes] + ["bulk grid"], len(HOMES)
    islands = study.zones.islands(first, SESSION)
    rows = [
        (period, market, buyer, seller, wh, _price(market, buyer, seller))
        for row, period in enumerate(range(first, first + SESSION))
        for market, buyer, seller, wh in _greedy(net[period].copy(), period, islands=islands[row])
    ]
    matched, desk, more, follows = _columns(rows), _Desk(names), [], []
    for at, (period, _, buyer, seller, wh, _) in enumerate(rows):
        fine = desk.trade(period, buyer, seller, wh=wh, islands=islands[period - first])
        if not fine and max(buyer, seller) < homes:
            more.append((period, ROOT, buyer, homes, wh, RETAIL))
            follows.append(at)
    for _, _, buyer, _, wh, _ in more:
        desk.supply(buyer, wh)
    supplies = _columns(more)
    decisions = desk.told(supplies, follows)
    lacks = (
        (matched.seller == homes)
        & (matched.buyer_zone == HILL)
        & (islands[matched.period - first, HILL] >= 0)
    )
    cleared = _auction(first, net, matched=matched, stands=~lacks, islands=islands)
    joined = {
        name: np.concatenate([getattr(matched, name), getattr(supplies, name)])
        for name in ZoneTrades.__dataclass_fields__
    }
    accepted, paid = _book(joined, decisions.approved, count=len(cleared.side))
    decided = TradesDecided(
        at=cleared.at, session=cleared.session, first=first, decisions=decisions, accepted=accepted, paid=paid
    )
    return cleared, decided


def _book(trades, stands, *, count):
    wh = np.where(stands, trades["quantity_wh"], 0)
    accepted, paid = np.zeros(count, np.int64), np.zeros(count)
    for side, row in ((-1, "buy_row"), (1, "sell_row")):
        np.add.at(accepted, trades[row], wh)
        np.add.at(paid, trades[row], side * wh * trades["price"])
    return accepted, paid


def _auction(first, net, *, matched, stands, islands):
    homes, zones = len(HOMES), len(TREE.zones)
    shape = (SESSION, homes + 2)
    own = net[first : first + SESSION]
    side = np.concatenate([np.where(own > 0, 1, -1), np.tile([-1, 1], (SESSION, 1))], axis=1)
    price = np.concatenate(
        [np.where(own > 0, RETAIL, FEED_IN), np.tile([RETAIL, FEED_IN], (SESSION, 1))], axis=1
    )
    quantity = np.concatenate([np.abs(own), np.full((SESSION, 2), 10**6)], axis=1)
    columns = {name: getattr(matched, name) for name in ZoneTrades.__dataclass_fields__}
    accepted, paid = _book(columns, stands, count=side.size)
    row = matched.period - first
    prices, volume = np.full((SESSION, zones), -1), np.zeros((SESSION, zones), np.int64)
    prices[row, matched.market] = matched.price
    np.add.at(volume, (row, matched.market), matched.quantity_wh)
    welfare = np.bincount(np.repeat(np.arange(SESSION), homes + 2), weights=(side * price).ravel() * accepted)
    imports = np.zeros((SESSION, zones), np.int64)
    lost = np.zeros((SESSION, zones), np.int64)
    np.add.at(lost, (row[~stands], matched.buyer_zone[~stands]), matched.quantity_wh[~stands])
    for zone in range(1, zones):
        within = [zone in _path(k) for k in range(zones)]
        enters = np.array(within)[matched.buyer_zone].astype(int) - np.array(within)[matched.seller_zone]
        np.add.at(imports[:, zone], row, enters * matched.quantity_wh * stands)
    zonal = ZonalClearing(
        zones=TREE.names, island=islands, price=prices, volume_wh=volume, import_wh=imports,
        not_served_wh=lost, joint_price=np.where(islands >= 0, np.nan, 180_000.0),
        joint_import_wh=0.8 * imports,
        firm=np.ones(side.size, bool), welfare=welfare, joint_welfare=welfare + 2e7, trades=matched,
    )  # fmt: skip
    return AuctionCleared(
        at=3600 * first + 1_464_739_200,
        session=first // SESSION,
        first=first,
        participant=np.tile([*range(homes), homes, homes], SESSION),
        period=np.repeat(np.arange(first, first + SESSION), shape[1]),
        side=side.ravel().astype(np.int8),
        price=price.ravel(),
        quantity=quantity.ravel(),
        accepted=accepted,
        paid=paid,
        clearing_price=np.full(SESSION, float(RETAIL)),
        zonal=zonal,
    )


def _delivered(first, net, islands):
    """Meters: what homes lack or have; on the island load without supply is shed, a surplus curtailed."""
    own = net[first : first + SESSION].astype(np.float64)
    cut = (islands[:, OF_HOME] >= 0).astype(float)
    lack = own.copy()
    total = (own * cut).sum(axis=1, keepdims=True)
    share = np.maximum(np.sign(total) * own, 0) * cut
    share /= np.maximum(share.sum(axis=1, keepdims=True), 1e-9)
    moved = np.rint(share * np.abs(total)) * np.sign(total)
    lack -= moved
    zero = np.zeros(own.shape)
    devices = dict.fromkeys(DeviceColumns.__dataclass_fields__, zero)
    devices |= {"unserved_kw": np.maximum(moved, 0) / 1000, "curtailed_kw": np.maximum(-moved, 0) / 1000}
    return EnergyDelivered(
        at=0, session=first // SESSION, first=first, cleared_kw=lack / 1000,
        metered_wh=lack.astype(np.int64), devices=DeviceColumns(**devices),
    )  # fmt: skip


def make_pictures(study, *, failed=(3,)):
    """Return prices at the buses of every third period; those in `failed` have none, and the reason."""
    return tuple(_picture(study, period, failed=period in failed) for period in range(0, PERIODS, 3))


def _picture(study, period, *, failed):
    count = len(BUSES)
    loss = np.array([0, 2, 4, 3, 5, 8]) * 1000 * (1 if period < 7 or period > 17 else -1)
    parts = np.stack([np.full(count, 200_000), loss, np.zeros(count), np.zeros(count)])[:, None].astype(float)
    if study.zones.islands(period, 1)[0, HILL] >= 0:
        parts[:, :, BUSES.index("h1")] = np.nan
    if failed:
        parts[:] = np.nan
    empty = np.zeros(0, np.int64)
    none = Findings(
        converged=np.ones(1, bool),
        period=empty,
        kind=(),
        element=(),
        value=empty / 1,
        limit=empty / 1,
        participants=(),
    )
    return NodalClearing(
        nodes=BUSES,
        period=np.array([period]),
        price=np.nan_to_num(parts.sum(axis=0), nan=-1).astype(np.int64),
        parts=parts,
        rounds=np.array([2]),
        status=("not cleared" if failed else "passed",),
        reason=("no bids can keep: voltage of h1" if failed else "",),
        loss_wh=np.array([40]),
        residual_wh=np.zeros(1, np.int64),
        held=np.zeros(1, np.int8),
        plate_accepted=empty,
        plate_price=np.full(1, np.nan),
        plate=none,
    )


def make_flows(net_kw):
    total = net_kw.sum(axis=1)
    load = np.abs(
        np.stack([net_kw[:, 1], net_kw[:, 3], net_kw[:, 4:].sum(1), net_kw[:, :2].sum(1), total], axis=1)
    )
    return Flows(
        converged=np.ones(len(total), bool),
        import_kw=1.02 * total,
        losses_kw=0.02 * np.abs(total),
        vm_pu=1 - 0.002 * np.cumsum(np.ones(len(BUSES))) * total[:, None] / 10,
        loading_percent=8 * load,
        transformers=2,
        unbalance_percent=np.full(len(total), np.nan),
    )


def make_record(*, cut=CUT, pictures=True):
    study = make_study(cut=cut)
    net, prices = net_wh(study), Prices.from_tariffs(study.tariffs)
    context = MarketContext(
        study=study, prices=prices, standing_micro=np.zeros(PERIODS, np.int64), mechanism=pay_as_cleared,
        check=None, rules_text="",
    )  # fmt: skip
    events = []
    for session in sessions(study.axis, study.market):
        cleared, decided = _session(study, session.first, net)
        delivered = _delivered(session.first, net, study.zones.islands(session.first, SESSION))
        pending = Pending(cleared=cleared, decided=decided, delivered=delivered)
        settled = settle_session(SettleSession(at=0, session=session), pending, context=context)
        events += [cleared, decided, delivered, settled]
    metered = np.concatenate([e.metered_wh for e in events if isinstance(e, EnergyDelivered)])
    nothing = np.zeros(net.shape)
    return RunRecord(
        study=study,
        periods=PERIODS,
        events=tuple(events),
        event_hash="0e" * 32,
        baseline_metered_wh=net,
        baseline_curtailed_kw=nothing,
        baseline_ev_kw=nothing,
        baseline_heat_pump_kw=nothing,
        baseline_unserved_kw=nothing,
        baseline_money=settle_without_market(net, prices),
        flows=make_flows(metered / 1000),
        flows_baseline=make_flows(net / 1000),
        violations=Violations(
            period=np.zeros(0, np.int64), stage=(), kind=(), element=(),
            value=np.zeros(0), limit=np.zeros(0), participants=(),
        ),
        drawing=GridDrawing(
            buses=BUSES,
            x=np.array([PLACES[bus][0] for bus in BUSES], dtype=float),
            y=np.array([PLACES[bus][1] for bus in BUSES], dtype=float),
            elements=tuple(name for name, _, _ in (*LINES, *TRAFOS)),
            from_bus=tuple(start for _, start, _ in (*LINES, *TRAFOS)),
            to_bus=tuple(end for _, _, end in (*LINES, *TRAFOS)),
        ),
        pictures=make_pictures(study) if pictures else (),
    )  # fmt: skip
