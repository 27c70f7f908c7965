"""A made-up run with a flexibility market: six streets behind a transformer, winter days, three ways to bid.

Nothing is simulated: homes keep their limits by moving energy to later hours, and the market's events are
made from `capacity_limit_auction` on the bids below.
"""

import dataclasses

import numpy as np

from gridagora.engine.commands import CheckSchedule, ClearAuction, OpenMarket, RecordDelivery, SettleSession
from gridagora.engine.machine import MarketContext, MarketState, apply, handle
from gridagora.engine.timetable import sessions
from gridagora.ledger.journal import KINDS, EntryKind
from gridagora.market import capacity_limit_auction, pay_as_cleared
from gridagora.market.payments import payments
from gridagora.model.bids import Bids
from gridagora.model.columns import DeviceColumns, Findings
from gridagora.model.continuous import FlexBid, FlexTrade
from gridagora.model.flexibility import FlexProduct
from gridagora.model.flexibility_events import (
    DeliveryOrdered,
    FlexAuctionCleared,
    FlexMarketOpened,
    FlexOrderTaken,
    FlexSettled,
    ReservationReleased,
    ReservationsCalled,
)
from gridagora.model.flexibility_market import ConnectionPoint, FlexAuction, FlexMarketTerms
from gridagora.model.flexibility_study import FlexRules
from gridagora.model.reservation import FlexContract
from gridagora.model.resources import Battery, Home
from gridagora.model.study import AgentRules, GridLimits, MarketRules, Study, Tariffs
from gridagora.model.time import TimeAxis
from gridagora.settlement import Prices, settle_without_market
from gridagora.studies.record import (
    FlexRecord,
    FlexStrategy,
    FlexUnmet,
    Flows,
    GridDrawing,
    RunRecord,
    Violations,
)
from gridagora.units import MICRO, to_micro

SIZES = {"R1": 190.0, "R11": 14.25, "R15": 49.4, "R16": 52.25, "R17": 33.25, "R18": 44.65}
NAMES = tuple(SIZES)
THRESHOLD = 95.0
RATING_KW = 470.0
BUYER = "DSO"
STRATEGIES = ("rebound_aware", "impact", "probability")
PENALTY = 500_000


def make_study(days=6, *, settled="rebound_aware", seed=3):
    """Return a study of hours: evenings are above the transformer's threshold."""
    axis = TimeAxis(start=np.datetime64("2012-01-01"), periods=24 * days, mtu_s=3600)
    rng = np.random.default_rng(seed)
    hour = np.arange(axis.periods) % 24
    habit = 0.45 + 0.2 * np.exp(-(((hour - 8) / 2) ** 2)) + 0.62 * np.exp(-(((hour - 18.4) / 2.2) ** 2))
    daily = np.repeat(rng.normal(1.15, 0.06, days), 24)
    homes = tuple(
        Home(
            participant=name,
            bus=f"Bus {name}",
            load_kw=kw * habit * daily * rng.normal(1, 0.03, axis.periods),
            load_kvar=np.full(axis.periods, 0.3 * kw),
            battery=Battery(energy_kwh=kw, charge_kw=0.3 * kw, discharge_kw=0.3 * kw),
            import_limit_kw=2 * kw,
            export_limit_kw=2 * kw,
        )
        for name, kw in SIZES.items()
    )
    flat = np.ones(axis.periods)
    tariffs = Tariffs(
        retail=0.25 * flat,
        feed_in=0.08 * flat,
        network=0.1 * flat,
        taxes=0.02 * flat,
        imbalance_short=0.3 * flat,
        imbalance_long=0.05 * flat,
        standing_per_day=0.5,
    )
    compare = tuple(name for name in STRATEGIES if name != settled)
    return Study(
        name="streets (made up)",
        axis=axis,
        homes=homes,
        tariffs=tariffs,
        market=MarketRules(session_periods=24),
        agents=AgentRules(ems="optimal"),
        limits=GridLimits(vm_min_pu=0.95),
        flexibility=FlexRules(demand=settled, compare=compare, buyer=BUYER),
    )


def make_flows(net_kw, *, unsolved=()):
    """Return flows in which the transformer carries the sum and the line half of it."""
    total = net_kw.sum(axis=1)
    loading = np.stack([50.0 * total / RATING_KW, 100.0 * total / RATING_KW], axis=1)
    low = 1.0 - 0.055 * total / RATING_KW
    solved = ~np.isin(np.arange(len(total)), unsolved)
    blank = np.where(solved, 1.0, np.nan)
    return Flows(
        converged=solved,
        import_kw=1.03 * total * blank,
        losses_kw=0.03 * total * blank,
        vm_pu=np.stack([np.ones(len(total)), low], axis=1) * blank[:, None],
        loading_percent=loading * blank[:, None],
        transformers=1,
        unbalance_percent=np.full(len(total), np.nan),
    )


def make_terms(study, *, payment="uniform"):
    points = tuple(
        ConnectionPoint(
            participant=h.participant, bus=h.bus, import_kw=h.import_limit_kw, export_kw=h.export_limit_kw
        )
        for h in study.homes
    )
    return FlexMarketTerms(
        points=points,
        buyers=(BUYER,),
        products=(("cap", FlexProduct(direction="cap")),),
        first=0,
        start=int(study.axis.start.astype(np.int64)),
        periods=study.axis.periods,
        period_hours=1.0,
        settlement=("capacity_limit",),
        activation_payment=payment,
        penalty_micro_per_kwh=PENALTY,
    )


def _asked(load, *, need, demand):
    """The operator's steps of one hour: down to what is forecast, then the need, then a little more."""
    capacity = 2 * sum(SIZES.values())
    free = capacity - load.sum()
    steps = [(free, 0.6), (0.5 * need, 0.9), (0.5 * need, 0.5), (0.15 * need, 0.04)]
    if demand == "probability":
        chance = (0.12, 0.75, 0.45, 0.08)
        steps = [(kw, price * share) for (kw, price), share in zip(steps, chance, strict=True)]
    if demand == "rebound_aware":
        steps[-1] = (0.5 * need, 0.3)
    return steps


def _offered(load):
    """Each street's steps: what it would not use costs nothing, its battery ever more."""
    rows = []
    for number, (name, kw) in enumerate(SIZES.items()):
        rows.append((name, 0, 2 * kw - load[number], 0.0))
        rows += [(name, k + 1, 0.1 * kw, 0.02 + 0.03 * k + 0.004 * number) for k in range(3)]
    return rows


def bids_of_day(study, periods, needs, *, demand):
    """Return the bids of an auction: a row per step, the operator's first."""
    load = np.stack([h.load_kw for h in study.homes], axis=1)
    rows = []
    for period, need in zip(periods, needs, strict=True):
        rows += [
            (1, BUYER, period, k, kw, price)
            for k, (kw, price) in enumerate(_asked(load[period], need=need, demand=demand))
        ]
        rows += [(-1, name, period, k, kw, price) for name, k, kw, price in _offered(load[period])]
    side, who, period, step, kw, price = zip(*rows, strict=True)
    return Bids(side=side, participant=who, period=period, step=step, quantity=kw, price=price)


def cleared_event(
    study, bids, *, number, first, demand, payment, horizon="activation", contracts=(), obligated=()
):
    """Return the event of an auction: cleared, and paid by a rule."""
    ordered = demand == "probability"
    result = capacity_limit_auction(bids, ordered=ordered)
    names = [*NAMES, BUYER]
    codes = np.array([names.index(str(name)) for name in bids.participant])
    periods = 24
    paid = np.zeros((periods, len(names)), dtype=np.int64)
    found = payments(result, rule=payment, participants=names).by_period
    paid[np.asarray(found.index) - first] = to_micro(found.to_numpy())
    price, welfare = np.full(periods, np.nan), np.zeros(periods)
    at = bids.period - first
    np.add.at(welfare, at, bids.side * bids.price * result.accepted)
    sold = np.bincount(at, weights=result.accepted * (bids.side < 0), minlength=periods)
    price[result.period - first] = result.price
    return FlexAuctionCleared(
        at=0,
        auction=FlexAuction(
            number=number, horizon=horizon, product="cap", first=first, count=periods, gate=0, ordered=ordered
        ),
        participant=codes,
        period=np.asarray(bids.period),
        side=np.asarray(bids.side, dtype=np.int8),
        step=np.asarray(bids.step),
        price=np.asarray(bids.price),
        quantity_kw=np.asarray(bids.quantity),
        group=np.full(len(bids), ""),
        obligated=np.isin(codes, obligated) & (bids.side < 0),
        accepted_kw=result.accepted,
        clearing_price=np.where(sold > 0, price, np.nan),
        welfare=welfare,
        payment_rule=payment,
        paid_micro=paid,
        surplus_micro=-paid.sum(axis=1),
        capacity_kw=np.full((len(NAMES), periods), 0.0) + 2 * np.array(list(SIZES.values()))[:, None],
        contracts=tuple(contracts),
    )


def _sold(event, periods):
    """Return what each point sold in each period, kW, shape (points, periods)."""
    sold = np.zeros((len(NAMES), periods))
    sells = event.side < 0
    np.add.at(sold, (event.participant[sells], event.period[sells]), event.accepted_kw[sells])
    return sold


def _metered(base_kw, limit_kw, *, demand):
    """Keep the limits and draw what was cut two hours later, or by night where the operator feared it."""
    metered = np.fmin(base_kw, limit_kw)
    cut = base_kw - metered
    periods = len(base_kw)
    for period, who in np.argwhere(cut > 0).tolist():
        back = period - period % 24 + 26 if demand == "rebound_aware" else period + 2
        if back < periods:
            metered[back, who] += cut[period, who]
    if demand == "impact":
        metered[:, 2] += np.where(np.isfinite(limit_kw[:, 2]), 1.5, 0.0)  # R15 stays above its limit
    return metered


def _settled(study, auctions, sold, limit_kw, metered, *, fee=None):
    periods, points = metered.shape
    over = np.nan_to_num(np.maximum(metered - limit_kw, 0.0)).T
    over = np.where(over > 0.1, over, 0.0)
    due = np.zeros((points, periods), dtype=np.int64)
    for event in auctions:
        due[:, event.auction.first : event.auction.first + 24] += event.paid_micro.T[:points]
    share = np.divide(over, sold, out=np.zeros_like(over), where=sold > 0)
    claw = np.round(due * np.minimum(share, 1.0)).astype(np.int64)
    penalty = np.round(over * PENALTY).astype(np.int64)
    fee = np.zeros_like(due) if fee is None else fee
    withheld = fee // 10
    received = due - claw - penalty + fee - withheld
    account, amount, entry = [], [], []
    for period in range(periods):
        row = [*received[:, period].tolist(), -int(received[:, period].sum())]
        account += range(points + 1)
        amount += row
        entry += [period * KINDS + EntryKind.FLEX_ACTIVATION] * (points + 1)
    return FlexSettled(
        at=0,
        first=0,
        count=periods,
        ordered_wh=np.round(1000 * sold).astype(np.int64)[None],
        delivered_wh=np.round(1000 * (sold - over)).astype(np.int64)[None],
        deficiency_wh=np.round(1000 * over).astype(np.int64)[None],
        estimated=np.zeros((1, points, periods), dtype=bool),
        due_micro=due[None],
        claw_back_micro=claw[None],
        penalty_micro=penalty[None],
        fee_micro=fee,
        withheld_micro=withheld,
        payment_micro=-received.sum(axis=0, keepdims=True),
        surplus_micro=np.zeros(periods, dtype=np.int64),
        entry=np.array(entry),
        account=np.array(account),
        amount=np.array(amount, dtype=np.int64),
    )


def make_strategy(study, demand, *, payment=None, contract=None, trade=None):
    """Return one way of bidding, from its auctions to its settlement."""
    payment = payment or ("pay_as_bid" if demand == "probability" else "uniform")
    base = np.stack([h.load_kw for h in study.homes], axis=1)
    loading = 100.0 * base.sum(axis=1) / RATING_KW
    auctions = []
    for number, first in enumerate(range(0, len(base), 24)):
        day = np.arange(first, first + 24)
        low = {"rebound_aware": 91.0, "impact": THRESHOLD, "probability": THRESHOLD}[demand]
        hours = day[loading[day] > low]
        if not len(hours):
            continue
        need = np.maximum(loading[hours] - THRESHOLD, 1.0) * RATING_KW / 100.0 * 1.1
        bids = bids_of_day(study, hours, need, demand=demand)
        auctions.append(
            cleared_event(
                study,
                bids,
                number=number,
                first=first,
                demand=demand,
                payment=payment,
                obligated=(0,) if contract else (),
            )
        )
    sold = sum((_sold(event, len(base)) for event in auctions), np.zeros((len(NAMES), len(base))))
    capacity = 2 * np.array(list(SIZES.values()))
    limit = np.where(sold > 0, capacity[:, None] - sold, np.nan).T
    metered = np.round(1000 * _metered(base, limit, demand=demand)).astype(np.int64)
    fee = None
    more = []
    if contract:
        fee = np.zeros((len(NAMES), len(base)), dtype=np.int64)
        fee[0, list(contract.periods)] = 20_000 * 5
        more = [
            ReservationsCalled(
                at=0,
                contracts=(contract.id,),
                periods=contract.periods[:2],
                requested_kw=(5.0, 4.0),
                test=False,
            ),
            ReservationReleased(at=0, contract=contract.id, periods=contract.periods[-1:], kw=(0.0,)),
        ]
    events = [
        FlexMarketOpened(at=0, terms=make_terms(study, payment=payment)),
        *more,
        *auctions,
        *([trade] if trade else []),
        DeliveryOrdered(
            at=0,
            first=0,
            count=len(base),
            cleared_kw=sold[None],
            adjusted_kw=np.zeros_like(sold)[None],
            ordered_kw=sold[None],
            limit_kw=limit.T[None],
        ),
        _settled(study, auctions, sold, limit, metered / 1000, fee=fee),
    ]
    if contract:
        events[1] = dataclasses.replace(events[1])
        reserved = _reservation(contract)
        events.insert(1, reserved)
    unmet = FlexUnmet(
        period=np.array([18] if demand == "impact" else [], dtype=np.int64),
        element=("T1",) if demand == "impact" else (),
        needed_kw=np.array([60.0] if demand == "impact" else []),
        offered_kw=np.array([41.0] if demand == "impact" else []),
        loading_percent=np.array([97.4] if demand == "impact" else []),
        least_kw=np.array([3.0] if demand == "impact" else []),
        least_percent=np.array([96.1] if demand == "impact" else []),
    )
    return FlexStrategy(
        name=demand, events=tuple(events), metered_wh=metered, flows=make_flows(metered / 1000), unmet=unmet
    )


def make_contract():
    return FlexContract(
        id="winter:R1",
        buyer=BUYER,
        seller="R1",
        product=FlexProduct(direction="cap"),
        source="cap",
        periods=(17, 18, 19),
        reserved_kw=[5.0, 5.0, 5.0],
        availability_micro_per_kw_h=20_000,
        activation_cap_micro_per_kwh=MICRO,
    )


def _reservation(contract):
    auction = FlexAuction(number=99, horizon="reservation", product="cap", first=17, count=3, gate=0)
    rows = np.repeat(np.arange(17, 20), 2)
    paid = np.tile([100_000, 0, 0, 0, 0, 0, -100_000], (3, 1))
    return FlexAuctionCleared(
        at=0,
        auction=auction,
        participant=np.tile([6, 0], 3),
        period=rows,
        side=np.tile(np.array([1, -1], dtype=np.int8), 3),
        step=np.zeros(6, dtype=np.int64),
        price=np.tile([0.02, 0.02], 3),
        quantity_kw=np.full(6, 5.0),
        group=np.full(6, ""),
        obligated=np.zeros(6, dtype=bool),
        accepted_kw=np.full(6, 5.0),
        clearing_price=np.full(3, 0.02),
        welfare=np.zeros(3),
        payment_rule="pay_as_bid",
        paid_micro=paid,
        surplus_micro=np.zeros(3, dtype=np.int64),
        capacity_kw=np.full((6, 3), 100.0),
        contracts=(contract,),
    )


def make_trade():
    bid = FlexBid(
        number=1,
        participant=BUYER,
        side="buy",
        direction="cap",
        first=42,
        periods=2,
        quantity_kw=3.0,
        price=0.2,
    )
    trade = FlexTrade(
        buy=1,
        sell=0,
        buyer=BUYER,
        seller="R11",
        direction="cap",
        first=42,
        periods=2,
        quantity_kw=3.0,
        price=0.15,
        at=60,
    )
    return FlexOrderTaken(at=60, product="cap", bid=bid, trades=(trade,), outcome="filled")


def make_record(days=6, *, settled="rebound_aware", periods=None):
    """Return the record of a run: no bid in the pool, the retailer for all energy."""
    study = make_study(days, settled=settled)
    base = np.round(1000 * np.stack([h.load_kw for h in study.homes], axis=1)).astype(np.int64)
    first = make_strategy(study, settled, contract=make_contract(), trade=make_trade())
    others = tuple(make_strategy(study, name) for name in study.flexibility.compare)
    events = _pool_events(study, first.metered_wh / 1000)
    nothing = np.zeros(base.shape)
    drawing = GridDrawing(
        buses=("Bus R0", "Bus R1"),
        x=np.array([0.0, 1.0]),
        y=np.array([0.0, 1.0]),
        elements=("L1", "T1"),
        from_bus=("Bus R1", "Bus R0"),
        to_bus=("Bus R1", "Bus R1"),
    )
    prices = Prices.from_tariffs(study.tariffs)
    return RunRecord(
        study=study,
        periods=study.axis.periods,
        events=events,
        event_hash="0f" * 32,
        baseline_metered_wh=base,
        baseline_curtailed_kw=nothing,
        baseline_ev_kw=nothing,
        baseline_heat_pump_kw=nothing,
        baseline_unserved_kw=nothing,
        baseline_money=settle_without_market(base, prices),
        flows=first.flows,
        flows_baseline=make_flows(base / 1000),
        violations=Violations(
            period=np.zeros(0, np.int64),
            stage=(),
            kind=(),
            element=(),
            value=np.zeros(0),
            limit=np.zeros(0),
            participants=(),
        ),
        drawing=drawing,
        flexibility=FlexRecord(strategies=(first, *others)),
    )


def _pool_events(study, net_kw):
    """Return the events of a pool in which nobody bids and everyone delivers what it meant to."""
    fine = Findings(
        converged=np.ones(0, bool),
        period=np.zeros(0, np.int64),
        kind=(),
        element=(),
        value=np.zeros(0),
        limit=np.zeros(0),
        participants=(),
    )
    context = MarketContext(
        study=study,
        prices=Prices.from_tariffs(study.tariffs),
        standing_micro=np.zeros(study.axis.periods, dtype=np.int64),
        mechanism=pay_as_cleared,
        check=lambda *_: fine,
        rules_text="",
    )
    state, events = MarketState(), []

    def do(command):
        nonlocal state
        event = handle(state, command, context)
        state = apply(state, event)
        events.append(event)

    do(OpenMarket(at=0))
    for session in sessions(study.axis, study.market):
        net = net_kw[session.first : session.first + session.count]
        none = Bids(
            side=[], price=np.zeros(0, np.int64), quantity=np.zeros(0, np.int64), participant=[], period=[]
        )
        do(ClearAuction(at=0, session=session, bids=none))
        do(CheckSchedule(at=0, session=session, net_kw=net, net_kvar=0 * net))
        zero = np.zeros(net.shape)
        devices = DeviceColumns(**dict.fromkeys(DeviceColumns.__dataclass_fields__, zero))
        do(RecordDelivery(at=0, session=session, cleared_kw=net, metered_kw=net, devices=devices))
        do(SettleSession(at=0, session=session))
    return tuple(events)
