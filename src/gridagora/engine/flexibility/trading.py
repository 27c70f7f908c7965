"""Short-term trade of a study: the auctions of a day, the adjustments at gate closure, and what stays unmet.

"impact" and "probability" bid once for each need of the forecast, element by element.  "rebound_aware" minds
where the energy goes that a cut shifts:

1. Hold.  In all periods near a need in which homes could, with all their devices at full power, push an
   element beyond its limit, it takes the limits that cost nothing: down to what the element bears, or to what
   homes plan where they plan more.  So nothing that is sold later can make an hour worse.
2. Cure.  Periods whose need the offers can cure in whole come first, the smallest cut first, so that as many
   as possible are cured; every auction has fresh offers.
3. Relieve.  What is left on offer is bought for the other periods, the dearest ones first.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from gridagora.agents.offers import FlexibilityDay, LimitedSchedule, schedule_under_limits
from gridagora.engine.flexibility.desk import FlexDesk
from gridagora.engine.flexibility.dso import GridOperator, NeedKey, UnmetNeed, keys_of
from gridagora.engine.flexibility.forecasts import FlexForecasts
from gridagora.engine.flexibility.proof import Proofs
from gridagora.engine.flexibility.sellers import Sellers, Wanted, more_kw, within_cap
from gridagora.engine.ports import Clock
from gridagora.grid import Need, PointForecast
from gridagora.model.columns import Floats, Ints
from gridagora.model.flexibility import FlexOffer
from gridagora.model.flexibility_study import FlexRules
from gridagora.model.study import Study

ROUNDS = 20
"""How often the operator looks again at most, in each part of its trade."""
TRADED_KW = 1e-3
"""Below this nothing was sold."""
HALVINGS = 6
"""How often a state without a power flow solution is taken half way back to the plan."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Desks:
    """Who trades: the operator, the sellers and the market's desk; what they expect, and the time."""

    operator: GridOperator
    sellers: Sellers
    desk: FlexDesk
    forecasts: FlexForecasts
    clock: Clock


class ShortTerm:
    """Short-term trade of a study.

    Parameters
    ----------
    study, rules : the study and its flexibility market
    desks : who trades
    connection_kw : connection capacity of each home in the product's direction, kW, (homes,)
    """

    def __init__(self, study: Study, rules: FlexRules, *, desks: Desks, connection_kw: Floats) -> None:
        self._study, self._rules, self._connection = study, rules, connection_kw
        self._operator, self._sellers, self._desk = desks.operator, desks.sellers, desks.desk
        self._forecasts, self._clock = desks.forecasts, desks.clock
        self._near = round(rules.rebound_hours / study.axis.hours)
        self._proofs = Proofs(desks.operator, desks.forecasts, connection_kw)
        self.ends = 0
        """Moment from which nothing is traded: set by who keeps the time."""

    @property
    def unmet(self) -> Mapping[NeedKey, UnmetNeed]:
        """Needs that stay with all that is offered."""
        return self._proofs.unmet

    @property
    def _direction(self) -> str:
        return self._rules.product.direction

    # --- the auctions of a day --------------------------------------------------------------------

    def trade_day(self, day: FlexibilityDay, first: int, count: int) -> PointForecast:
        """Hold the activation auctions of ``[first, first + count)``; returns what is then expected there."""
        if self._operator.goes_on:
            self._hold(day, first, count)
            for whole in (True, False):
                for wide in (False, True):
                    self._cure(day, (first, count), whole=whole, wide=wide)
        else:
            self._bid_once(day, first, count)
        seen = self._look(day, self.plan(day), first=first, count=count)
        self._prove(day, seen, first)
        return seen

    def needs(self, day: FlexibilityDay, first: int, count: int) -> Need:
        """Return what the operator wants cured in ``[first, first + count)``, counted from ``first``."""
        return self._operator.needs(self._look(day, self.plan(day), first=first, count=count))

    def _bid_once(self, day: FlexibilityDay, first: int, count: int) -> None:
        """Bid for each need of the first forecast once, one element after the other."""
        need = self.needs(day, first, count)
        once, done = set(keys_of(need, first=first)), set[NeedKey]()
        for _ in range(ROUNDS):
            need = self._operator.open_needs(need, self._desk.book, first=first)
            need = _without(need, done | (set(keys_of(need, first=first)) - once), first=first)
            if not len(need):
                break
            chosen = self._operator.scarcest(need)
            for row in range(len(chosen)):
                self._auction(day, chosen.take(np.array([row])), first)
            done |= set(keys_of(chosen, first=first))
            need = self.needs(day, first, count)

    def _cure(self, day: FlexibilityDay, window: tuple[int, int], *, whole: bool, wide: bool) -> None:
        """Buy for the needs of a window, (first, count), until none is left or nobody offers more.

        ``whole``: for those alone that the offers can cure in whole.
        """
        first, done = window[0], set[NeedKey]()
        for _ in range(ROUNDS):
            seen = self._look(day, self.plan(day), first=first, count=window[1])
            need = self._operator.needs(seen, wide=wide)
            need = self._operator.open_needs(need, self._desk.book, first=first)
            need = _without(need, done, first=first)
            if not len(need):
                break
            order = self._operator.smallest_first(need)
            if not whole:
                order = self._operator.dearest_first(need, self._desk.book, first=first)
            for row, key in enumerate(keys_of(order, first=first)):
                one = order.take(np.array([row]))
                enough = not whole or self._suffices(day, one, first)
                if not enough or self._auction(day, one, first) < TRADED_KW:
                    done.add(key)

    def _suffices(self, day: FlexibilityDay, need: Need, first: int) -> bool:
        """Return whether what is offered can cure a need in whole."""
        period, helps = int(need.period[0]) + first, need.effect[0] > 0
        offers = self._offers(day, period, self._operator.helpers(need))
        left = self._desk.book.of(self._direction)[helps, period].sum() - sum(o.quantity_kw for o in offers)
        return bool(left <= need.wanted_kw[0] + TRADED_KW)

    def _auction(self, day: FlexibilityDay, need: Need, first: int) -> float:
        """Auction a period for a need; returns kW sold."""
        need = self._operator.open_needs(need, self._desk.book, first=first)
        if not len(need) or self._clock.now() >= self.ends:
            return 0.0
        period, area = int(need.period[0]) + first, self._operator.helpers(need)
        demand = self._operator.demand(need, self._desk.book, first=first)
        offers = tuple(self._as_called(offer, period) for offer in self._offers(day, period, area))
        if not offers or not len(demand):
            return 0.0
        element, ordered = str(need.element[0]), self._operator.ordered
        return self._desk.activate(demand, offers, period=period, ordered=ordered, area=area, element=element)

    def _as_called(self, offer: FlexOffer, period: int) -> FlexOffer:
        """Return an offer as contracts oblige its seller to make it."""
        calls = [h for h in self._desk.state.contracts if h.contract.seller == offer.participant]
        due = sum(held.owed_kw(period) for held in calls)
        if self._rules.reservation is None or not due:
            return offer
        row, cap = self._sellers.names.index(offer.participant), self._rules.reservation.activation_cap
        sold = self._connection[row] - self._desk.book.of(self._direction)[row, period]
        return within_cap(offer, due_kw=due, sold_kw=float(sold), cap=cap * self._study.axis.hours)

    # --- limits that cost nothing -----------------------------------------------------------------

    def _hold(self, day: FlexibilityDay, first: int, count: int) -> None:
        """Take what is free in the periods near a need in which homes could do more than the grid bears."""
        plan = self.plan(day)
        seen = self._look(day, plan, first=first, count=count)
        needed = np.unique(self._operator.needs(seen, wide=True).period)
        near = np.flatnonzero((np.abs(np.arange(count)[:, None] - needed) <= self._near).any(axis=1))
        done: set[NeedKey] = set()
        for _ in range(ROUNDS):
            if not len(near):
                break
            need = self._pressed(day, plan, seen, near=near, first=first)
            need = _without(need, done, first=first)
            near = np.unique(need.period)
            chosen = self._operator.hardest_of_periods(need)
            for row, key in enumerate(keys_of(chosen, first=first)):
                if self._take_free(day, plan, chosen.take(np.array([row])), first=first) < TRADED_KW:
                    done.add(key)

    def _pressed(
        self, day: FlexibilityDay, plan: LimitedSchedule, seen: PointForecast, *, near: Ints, first: int
    ) -> Need:
        """Return the needs of some periods if all homes took what their limits and devices allow."""
        expected = self._operator.planned(seen)
        more = (self._most(day, plan, expected, first=first) - expected)[near]
        share = np.ones((len(near), 1))
        for _ in range(HALVINGS):
            state = self._operator.certain(seen, expected[near] + share * more, periods=near)
            need = self._operator.pressed(state)
            if not len(need.unsolved):
                break
            share[need.unsolved] /= 2
        return replace(need, period=near[need.period])

    def _most(self, day: FlexibilityDay, plan: LimitedSchedule, expected: Floats, *, first: int) -> Floats:
        """Return net import, kW, (periods, homes), with devices at full power as far as limits allow."""
        begin, end = first - day.t, first - day.t + len(expected)
        limit = self._desk.book.of(self._direction)[:, first : first + len(expected)].T
        sign = 1.0 if self._direction == "cap" else -1.0
        more = more_kw(day.fleet, plan, self._direction)[:, begin:end].T
        most = np.minimum(sign * expected + more, np.maximum(limit, sign * expected))
        return np.asarray(np.where(self._operator.holds, sign * most, expected))

    def _take_free(self, day: FlexibilityDay, plan: LimitedSchedule, need: Need, *, first: int) -> float:
        """Buy limits that cost nothing, as far as a need goes; returns kW sold."""
        period, area = int(need.period[0]) + first, self._operator.helpers(need)
        limits = self._desk.book.of(self._direction)[:, period]
        net_kw = plan.net_kw[:, period - day.t]
        offers = self._sellers.free_offers(
            area, period, limit_kw=limits, net_kw=net_kw, error_kw=self._forecasts.error_kw(day.t, period)
        )
        asked = float(limits[need.effect[0] > 0].sum() - need.wanted_kw[0])
        if not offers or asked < TRADED_KW or self._clock.now() >= self.ends:
            return 0.0
        demand = self._operator.free_demand(period, asked)
        element = str(need.element[0])
        return self._desk.activate(demand, offers, period=period, ordered=False, area=area, element=element)

    # --- close to delivery ------------------------------------------------------------------------

    def adjusted(self, day: FlexibilityDay, period: int) -> bool:
        """Trade a period before its gate closes; returns whether anything was."""
        book, changed = self._desk.book, False
        backs: list[Wanted] = []
        if self._direction == "cap":
            backs = self._sellers.buy_backs(
                self.plan(day),
                offset=period - day.t,
                limit_kw=book.import_kw[:, period],
                connection_kw=self._connection,
            )
        for want in backs:
            area = tuple(sorted(self._desk.stand_ins(want.participant, period)))
            changed = self._traded(day, [want], period, area=area) or changed
        if self._operator.goes_on:
            changed = self._buy_late(day, period) or changed
        return changed

    def _buy_late(self, day: FlexibilityDay, period: int) -> bool:
        """Let the operator buy what its new forecast of a period still needs; returns whether it did."""
        changed = False
        self._proofs.forget(period)
        if not len(self.needs(day, period, 1)):
            return False
        for wide in (False, True):
            for _ in range(ROUNDS):
                seen = self._look(day, self.plan(day), first=period, count=1)
                need = self._operator.needs(seen, wide=wide)
                need = self._operator.open_needs(need, self._desk.book, first=period)
                if not len(need) or not self._traded_for(day, self._operator.scarcest(need), period):
                    break
                changed = True
        self._prove(day, self._look(day, self.plan(day), first=period, count=1), period)
        return changed

    def _traded_for(self, day: FlexibilityDay, need: Need, period: int) -> bool:
        """Let the operator buy for a need of one period; returns whether anything traded."""
        demand = self._operator.demand(need, self._desk.book, first=period)
        wanted = [
            Wanted(participant=self._rules.buyer, kw=float(kw), price=float(price))
            for kw, price in zip(demand.quantity, demand.price, strict=True)
            if kw > TRADED_KW
        ]
        return self._traded(day, wanted, period, area=self._operator.helpers(need))

    def _traded(
        self, day: FlexibilityDay, wanted: list[Wanted], period: int, *, area: tuple[str, ...]
    ) -> bool:
        """Let homes offer what they can spare to those who want to buy; returns whether anything traded."""
        buyers = {want.participant for want in wanted}
        offers = self._offers(day, period, [name for name in area if name not in buyers])
        if not offers or self._clock.now() >= self.ends:
            return False
        return self._desk.adjust(wanted, offers, period=period) >= TRADED_KW

    # --- looking ahead ----------------------------------------------------------------------------

    def plan(self, day: FlexibilityDay) -> LimitedSchedule:
        """Return what homes plan under the limits in force."""
        return schedule_under_limits(day, self._desk.book.window(day.t, day.periods))

    def _offers(self, day: FlexibilityDay, period: int, names: Sequence[str]) -> tuple[FlexOffer, ...]:
        """Return what some homes offer for a period under the limits in force."""
        limits = self._desk.book.window(day.t, day.periods)
        return self._sellers.offers(
            day,
            period=period,
            limits=limits,
            names=names,
            active=self._desk.active,
            error_kw=self._forecasts.error_kw(day.t, period),
        )

    def _look(self, day: FlexibilityDay, plan: LimitedSchedule, *, first: int, count: int) -> PointForecast:
        """Return what the operator expects at the meters of ``[first, first + count)``."""
        cut = slice(first - day.t, first - day.t + count)
        limits = self._desk.book.window(first, count)
        return self._forecasts.at_meters(
            day.t,
            first,
            net_kw=plan.net_kw[:, cut] + plan.unserved_load_kw[:, cut],
            import_kw=limits.import_kw,
            export_kw=limits.export_kw,
        )

    def _prove(self, day: FlexibilityDay, seen: PointForecast, first: int) -> None:
        """Keep the needs that stay beyond the threshold even with all that is offered."""
        need = self._operator.overloads(seen)
        for row, key in enumerate(keys_of(need, first=first)):
            one = need.take(np.array([row]))
            lowest = self._desk.book.of(self._direction)[:, key[2]].copy()
            for offer in self._offers(day, key[2], self._operator.helpers(one)):
                lowest[self._sellers.names.index(offer.participant)] -= offer.quantity_kw
            self._proofs.keep(day, seen, one, first=first, lowest_kw=np.maximum(lowest, 0.0))


def _without(need: Need, keys: AbstractSet[NeedKey], *, first: int) -> Need:
    """Return the needs that are none of some."""
    return need.take(np.flatnonzero([key not in keys for key in keys_of(need, first=first)]))
