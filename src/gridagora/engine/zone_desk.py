"""The desk of the local controllers: every trade of a session on its way, each decision with its reason.

Trades are decided period by period, those inside a zone before those further out.  A controller looks at the
data, at the power flow of its zone with all that was approved before, and at the room of its gate, which
shrinks with every approval.  A trade with the retailer as seller is a shortage: the DSO supplies it from the
bulk grid.  Where a grid refuses a trade whose buyer is load that must run, the DSO looks for other supply.
"""

from dataclasses import fields

import numpy as np

from gridagora.engine.wires import Wires
from gridagora.engine.zonal import accepted_by, gate_rooms_kw, paid_by
from gridagora.engine.zone_sitting import Sitting
from gridagora.engine.zone_watch import zones_of_elements
from gridagora.model.columns import Floats
from gridagora.model.events import AuctionCleared, TradesDecided
from gridagora.model.study import Study
from gridagora.model.zone_columns import ZonalClearing, ZoneTrades
from gridagora.model.zone_study import ZoneRules
from gridagora.units import WH_PER_KWH

BULK = "bulk grid"
"""Who sells and buys at the root: the retailer."""


class ZoneDesk:
    """Decides on the trades of sessions.

    Parameters
    ----------
    wires, study, rules : the grid with its homes, and their zones
    """

    def __init__(self, wires: Wires, study: Study, rules: ZoneRules) -> None:
        self.wires, self.study, self.rules = wires, study, rules
        self.names = (*(home.participant for home in study.homes), BULK)
        self.zone_of = zones_of_elements(rules.tree, wires)
        inside: list[list[str]] = [[] for _ in rules.tree.zones]
        for name, zone in zip(self.names, [*rules.of_home.tolist(), rules.tree.root], strict=True):
            inside[zone].append(name)
        self.members = [frozenset(names) for names in inside]

    def decide(self, cleared: AuctionCleared, *, at: int, fixed_kw: Floats, kvar: Floats) -> TradesDecided:
        """Take every trade of a cleared session through the controllers.

        Parameters
        ----------
        cleared : with what its zones matched
        at : when the decisions are taken, seconds
        fixed_kw, kvar : what loads the wires beside bids: net import of homes that do not trade, kW, and
            reactive import of all homes, kvar, shape (periods, homes)
        """
        zonal = cleared.zonal
        if zonal is None:
            raise TypeError(cleared)
        room = gate_rooms_kw(self.rules, fixed_kw, first=cleared.first)
        sitting = Sitting(
            self,
            cleared,
            zonal,
            at=at,
            base_kw=fixed_kw + self._firm_kw(cleared, zonal),
            kvar=kvar,
            room_kw=room,
        )
        decisions = sitting.decisions()
        trades = joined_trades(zonal.trades, decisions.supplies)
        count = len(cleared.accepted)
        return TradesDecided(
            at=at,
            session=cleared.session,
            first=cleared.first,
            decisions=decisions,
            accepted=accepted_by(trades, decisions.approved, orders=count),
            paid=paid_by(trades, decisions.approved, orders=count),
        )

    def _firm_kw(self, cleared: AuctionCleared, zonal: ZonalClearing) -> Floats:
        """Return the load that runs whether or not it is traded, kW, (periods, homes).

        On an island that is what its own supply serves.
        """
        rows = np.flatnonzero(zonal.firm)
        home, row = cleared.participant[rows], cleared.period[rows] - cleared.first
        cut_off = zonal.island[row, self.rules.of_home[home]] >= 0
        wh = np.where(cut_off, cleared.accepted[rows], cleared.quantity[rows])
        total = np.zeros((len(zonal.island), len(self.study.homes)))
        np.add.at(total, (row, home), wh / (WH_PER_KWH * self.study.axis.hours))
        return total


def joined_trades(trades: ZoneTrades, supplies: ZoneTrades) -> ZoneTrades:
    """Return trades with the supplies behind them: the order in which `TradeDecisions` counts them."""
    names = [field.name for field in fields(ZoneTrades)]
    return ZoneTrades(**{n: np.concatenate([getattr(trades, n), getattr(supplies, n)]) for n in names})
