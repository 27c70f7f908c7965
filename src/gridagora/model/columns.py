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
class NodalClearing:
    """What the wires made of a session: nodal prices, and what the pool without them would have done.

    Micro-currency per kWh, Wh; k periods were cleared on the network, N nodes.

    Parameters
    ----------
    nodes : buses; in three phases "bus.phase" where a home has one phase
    period : (k,) periods of the study
    price : (k, N) whole; parts : (4, k, N) energy, loss, congestion, voltage; -1 and NaN where nothing traded
    rounds : (k,) how often each period was cleared and its network made anew
    status : (k,) "passed": the power flow keeps all limits; "unavoidable": no accepted bids can, by the
        linear program, and ``reason`` names the limits; "open": not within the rounds
    reason : (k,) what stands in the way, "" where nothing does
    loss_wh : (k,) losses that the operator buys where prices contain them
    residual_wh : (k,) what rounding to whole Wh moved to the retailer
    held : (periods,) of the session: -1 where all homes are held to what they give, 1 to what they take,
        because the schedule comes near a limit; else 0
    plate_accepted : (bids,) what the pool without wires would have accepted
    plate_price : (k,) and at what price
    plate : limits that this would have broken, over the whole session
    """

    nodes: tuple[str, ...]
    period: Ints
    price: Ints
    parts: Floats
    rounds: Ints
    status: tuple[str, ...]
    reason: tuple[str, ...]
    loss_wh: Ints
    residual_wh: Ints
    held: NDArray[np.int8]
    plate_accepted: Ints
    plate_price: Floats
    plate: Findings


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
