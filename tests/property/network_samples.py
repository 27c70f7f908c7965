"""Random markets on random networks, and the same markets written a second time for another solver."""

import numpy as np
import pandas as pd
from scipy.optimize import LinearConstraint, linprog, milp

from gridagora.model.bids import Bids
from gridagora.model.linear_network import LimitRows, LinearNetwork

NODES = ("a", "b", "c", "d")


def random_bids(rng, *, count=24, periods=2, nodes=NODES, ticks=False, low=0.05):
    price = rng.uniform(low, 0.5, count)
    return Bids(
        side=rng.choice([1, -1], count),
        price=np.round(price, 1) if ticks else price,
        quantity=rng.integers(1, 9, count).astype(float) if ticks else rng.uniform(0.5, 9, count),
        period=rng.integers(0, periods, count),
        node=rng.choice(nodes, count),
        participant=[f"p{k % 7}" for k in range(count)],
    )


def random_table(rng, *, reactance=False, losses=False):
    """Ring of four nodes with a chord."""
    ends = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"), ("a", "c")]
    table = pd.DataFrame(ends, columns=["from", "to"])
    table["capacity_kw"] = rng.uniform(0.5, 8, len(ends))
    table["reverse_kw"] = rng.uniform(0.5, 8, len(ends))
    if reactance:
        table["reactance"] = rng.uniform(0.5, 2, len(ends))
    if losses:
        table["loss_share"] = rng.uniform(0.01, 0.1, len(ends))
    return table


def random_linear(rng, *, points=1, losses=True):
    """Limits, losses and reactive power of no particular grid, which nothing accepted always meets."""
    rows, count = 5, len(NODES)
    per_kw, per_kvar = rng.normal(0, 1, (points, rows, count)), rng.normal(0, 0.5, (points, rows, count))
    per_kw[:, :, 0] = per_kvar[:, :, 0] = 0
    loss = rng.uniform(-0.05, 0.08, (points, count))
    loss[:, 0] = 0
    return LinearNetwork(
        kind="linear_ac",
        nodes=NODES,
        slack="a",
        import_kw=float(rng.uniform(2, 12)),
        export_kw=float(rng.uniform(2, 12)),
        limits=LimitRows(
            name=np.array([f"limit {k}" for k in range(rows)]),
            part=np.array(["congestion", "congestion", "congestion", "voltage", "voltage"]),
            unit=np.full(rows, "kW"),
            per_kw=per_kw,
            per_kvar=per_kvar,
            offset=rng.uniform(-1, 1, (points, rows)),
            lower=np.full((1, rows), -6.0),
            upper=np.full((1, rows), 6.0),
        ),
        loss_kw=-rng.uniform(0, 0.2, points) if losses else None,
        loss_per_kw=loss if losses else None,
        loss_per_kvar=0.3 * loss if losses else None,
        kvar_per_kw=rng.uniform(-0.2, 0.4, count),
        periods=np.arange(points) if points > 1 else None,
    )


class Written:
    """A market in quantities alone: net imports are sums of bids, losses and flows the only other columns."""

    def __init__(self, bids, network):
        self.bids, self.count = bids, len(bids)
        self.periods = np.unique(bids.period)
        self.position = np.array([network.nodes.index(name) for name in bids.node])
        self.cost = list(-bids.side * bids.price)
        self.bounds = [(0.0, float(q)) for q in bids.quantity]
        self.equal, self.equal_to, self.below, self.below_of = [], [], [], []
        for period in self.periods:
            (self._transfer if network.lines is not None else self._rows)(network, int(period))

    def column(self, low, high):
        self.cost.append(0.0)
        self.bounds.append((low, high))
        return len(self.cost) - 1

    def imports(self, node, period):
        mine = (self.bids.period == period) & (self.position == node)
        return {int(b): float(self.bids.side[b]) for b in np.flatnonzero(mine)}

    def _transfer(self, network, period):
        lines, balance = network.lines, [self.imports(n, period) for n in range(len(network.nodes))]
        for k in range(len(lines)):
            a, b = int(lines.start[k]), int(lines.end[k])
            for start, end, most in ((a, b, lines.capacity_kw[k]), (b, a, lines.reverse_kw[k])):
                flow = self.column(0.0, float(most))
                balance[start][flow] = 1.0
                balance[end][flow] = -(1.0 - float(lines.loss_share[k]))
        for row in balance:
            self.equal.append(row)
            self.equal_to.append(0.0)

    def _rows(self, network, period):
        point = int(network.point_of(np.array([period]))[0])
        bids, rows = self.bids, network.rows()
        mine = np.flatnonzero(bids.period == period)
        sign, node = bids.side[mine].astype(float), self.position[mine]
        kvar = np.zeros(len(mine)) if network.kvar_per_kw is None else network.kvar_per_kw[node]
        balance = dict(zip(mine.tolist(), sign.tolist(), strict=True))
        if network.loss_kw is not None:
            loss = self.column(0.0, None)
            slope = sign * (network.loss_per_kw[point, node] + kvar * network.loss_per_kvar[point, node])
            self.below.append({**dict(zip(mine.tolist(), slope.tolist(), strict=True)), loss: -1.0})
            self.below_of.append(-float(network.loss_kw[point]))
            balance[loss] = 1.0
        self.equal.append(balance)
        self.equal_to.append(0.0)

        def at(values):
            return values[point if len(values) > 1 else 0]

        for r in range(len(rows)):
            entry = sign * (at(rows.per_kw)[r, node] + kvar * at(rows.per_kvar)[r, node])
            row = dict(zip(mine.tolist(), entry.tolist(), strict=True))
            offset = at(rows.offset)[r]
            for way, limit in ((1.0, at(rows.upper)[r]), (-1.0, -at(rows.lower)[r])):
                if np.isfinite(limit):
                    self.below.append({b: way * value for b, value in row.items()})
                    self.below_of.append(float(limit - way * offset))

    def _dense(self, rows):
        out = np.zeros((len(rows), len(self.cost)))
        for number, row in enumerate(rows):
            for column, value in row.items():
                out[number, column] += value
        return out

    def welfare(self):
        """Return the highest welfare of the linear program (SciPy's interior point)."""
        found = linprog(
            self.cost,
            A_ub=self._dense(self.below) if self.below else None,
            b_ub=self.below_of if self.below else None,
            A_eq=self._dense(self.equal),
            b_eq=self.equal_to,
            bounds=self.bounds,
            method="highs-ipm",
        )
        assert found.status == 0, found.message
        return -found.fun

    def mixed_welfare(self, *, least=None, conditions=()):
        """Return the highest welfare with switches, by SciPy's branch and bound; None if infeasible."""
        first = len(self.cost)
        for _ in range(self.count):
            self.cost.append(0.0)
            self.bounds.append((0.0, 1.0))
        for b in range(self.count):
            quantity = float(self.bids.quantity[b])
            self.below.append({b: 1.0, first + b: -quantity})
            self.below_of.append(0.0)
            if least is not None and least[b] > 0:
                self.below.append({b: -1.0, first + b: float(least[b]) * quantity})
                self.below_of.append(0.0)
        for row, low, high in conditions:
            moved = {first + b if kind == "z" else b: value for (kind, b), value in row.items()}
            if np.isfinite(high):
                self.below.append(moved)
                self.below_of.append(high)
            if np.isfinite(low):
                self.below.append({column: -value for column, value in moved.items()})
                self.below_of.append(-low)
        low, high = zip(*[(a, np.inf if b is None else b) for a, b in self.bounds], strict=True)
        found = milp(
            self.cost,
            constraints=[
                LinearConstraint(self._dense(self.equal), self.equal_to, self.equal_to),
                LinearConstraint(self._dense(self.below), -np.inf, self.below_of),
            ],
            bounds=(low, high),
            integrality=[0] * first + [1] * self.count,
            options={"mip_rel_gap": 0.0},
        )
        return None if found.x is None else -found.fun
