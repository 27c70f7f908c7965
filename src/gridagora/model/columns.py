"""Columns that travel together, from the step that makes them through its event to tables and books."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """Broken limits, one entry each, and which periods the power flow solved.

    ``period`` is a period of the study; ``participants`` names those behind each, largest first, with "; "
    between them.
    """

    converged: NDArray[np.bool_]
    period: Ints
    kind: tuple[str, ...]
    element: tuple[str, ...]
    value: Floats
    limit: Floats
    participants: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceColumns:
    """What devices did, kW, and their states at each period's end, kWh; shape (periods, homes).

    ``battery_kw`` is + charging; ``unserved_kw`` is load that was shed; heat and tank are thermal.
    """

    curtailed_kw: Floats
    battery_kw: Floats
    ev_kw: Floats
    heat_pump_kw: Floats
    unserved_kw: Floats
    unserved_heat_kw: Floats
    ev_short_kwh: Floats
    battery_kwh: Floats
    ev_kwh: Floats
    tank_kwh: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolTrades:
    """Trades: period, codes of buyer and seller, whole Wh, and micro-prices per kWh of both sides.

    The two prices differ only under rules that pay sellers otherwise than buyers (VCG, trade reduction).
    """

    period: Ints
    buyer: Ints
    seller: Ints
    quantity_wh: Ints
    buyer_price: Ints
    seller_price: Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class SettlementLines:
    """Settled money and energy per period and participant; micro-units, + received, - paid, and Wh.

    Shape (periods, homes).  ``energy`` is from trades, ``retail`` from what was nominated beyond them.
    """

    traded_wh: Ints
    local_bought_wh: Ints
    local_sold_wh: Ints
    energy: Ints
    retail: Ints
    imbalance: Ints
    network: Ints
    taxes: Ints

    @property
    def total(self) -> Ints:
        """Money per period and home before standing charges."""
        energy = self.energy + self.retail + self.imbalance
        return np.asarray(energy + self.network + self.taxes, dtype=np.int64)
