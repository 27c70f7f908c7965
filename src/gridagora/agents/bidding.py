"""From schedules to bids: truthful, fixed margin, zero intelligence.

The rule of truthful bids.  A kWh bought in the local market costs its price p at the meter plus what the grid
and the state ask for a local kWh, w = local_network_share x network + taxes; a kWh sold earns p; a kWh made
and used at home costs and earns nothing at the meter.  Inside the home one price pi rules (the marginal
value of a kWh at the home's busbar): pi = p + w while the home imports, pi = p while it exports, and in
between the home is self-sufficient.  A device with marginal value m per stored kWh wants power as long as pi
is below the worth of a kWh of electricity to it:

    battery, charging more        m x charge efficiency
    battery, discharging less     m / discharge efficiency
    vehicle, charging             m x efficiency
    heat pump, heating            m x COP
    inflexible load, PV           always (its outside option decides the price)

Adding the devices gives the home's net demand N(pi), falling in pi.  Where N > 0 its steps are buy bids at
pi - w; where N < 0 its steps are sell bids at pi.  Every price is clipped to the outside options: nobody pays
more than the retailer's price (the value of lost load when islanded) nor sells below the feed-in price (zero
when islanded).  A home that has no marginal values (rule-based) has one step: its planned import or surplus.

The plan is the optimum against the outside options, so at those prices the curve must give the plan, whatever
the last digit of a marginal value is: what the plan runs is worth at least, and what it leaves is worth less
by a micro-unit at least, than the retailer's kWh where the home imports, the feed-in price where it exports.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gridagora.agents.fleet import Fleet, Floats, Param
from gridagora.agents.flexibility import Range, session_ranges
from gridagora.agents.rules import Plan
from gridagora.model.bids import Bids
from gridagora.model.study import MarketRules, Tariffs

Places = NDArray[np.int64]

MICRO_PRICE = 1e-6
"""One micro-unit of currency per kWh, the step of prices in trades."""
DUST_KWH = 0.0005
"""Bids below half a watt-hour are dropped: a trade is a whole number of watt-hours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Outside options per period, currency per kWh, shape (n,): what the retailer or, islanded, nobody pays.

    ``buy`` is the most that a home pays for energy, ``sell`` the least that it takes (never below zero: it
    can curtail), ``wedge`` the network tariff and taxes on a locally bought kWh, ``meter`` what the
    retailer's kWh costs with all that is on it.  No price above ``highest`` or below ``lowest`` can come
    about because the retailer's orders stand there; infinite where those are limited.  ``short`` and ``long``
    are what the retailer asks and pays for imbalance (islanded nothing makes up for it).  ``load`` is what
    inflexible load pays at most and ``surplus`` what production asks at least: ``buy`` and ``sell``, but the
    value of lost load and zero where the market knows the wires or zones, which may cut a home off from the
    retailer.
    """

    buy: Floats
    sell: Floats
    wedge: Floats
    meter: Floats
    highest: Floats
    lowest: Floats
    short: Floats
    long: Floats
    load: Floats
    surplus: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """Net demand steps: ``quantity`` kWh (+ buy, - sell, 0 none) and ``price``, shape (homes, n, steps)."""

    t: int
    quantity: Floats
    price: Floats


def outside_options(tariffs: Tariffs, market: MarketRules, *, t: int, n: int) -> Options:
    """Outside options of the periods ``[t, t + n)``.

    >>> price = dict(retail=.2, feed_in=.08, network=.07, taxes=.03, imbalance_short=.25, imbalance_long=.05)
    >>> tariffs = Tariffs(**{name: np.full(8, value) for name, value in price.items()})
    >>> options = outside_options(tariffs, MarketRules(), t=0, n=1)
    >>> options.buy[0], options.sell[0], round(float(options.wedge[0]), 3)
    (np.float64(0.2), np.float64(0.08), 0.1)
    """
    window = slice(t, t + n)
    wedge = tariffs.local_network_share * tariffs.network[window] + tariffs.taxes[window]
    size = len(wedge)
    retail, feed_in = tariffs.retail[window], tariffs.feed_in[window]
    meter = retail + tariffs.network[window] + tariffs.taxes[window]
    unlimited = np.full(size, np.inf)
    if market.islanded:
        lost = np.full(size, market.value_of_lost_load)
        return Options(
            buy=lost,
            sell=np.zeros(size),
            wedge=wedge,
            meter=lost,
            highest=unlimited,
            lowest=-unlimited,
            short=lost,
            long=-unlimited,
            load=lost,
            surplus=np.zeros(size),
        )
    wires = market.mechanism in ("network", "zonal")
    highest = retail if np.isinf(market.import_limit_kw) and not wires else unlimited
    lowest = feed_in if np.isinf(market.export_limit_kw) and not wires else -unlimited
    sell = np.maximum(feed_in, 0.0)
    return Options(
        buy=retail,
        sell=sell,
        wedge=wedge,
        meter=meter,
        highest=highest,
        lowest=lowest,
        short=tariffs.imbalance_short[window],
        long=tariffs.imbalance_long[window],
        load=np.maximum(retail, market.value_of_lost_load) if wires else retail,
        surplus=np.zeros(size) if wires else sell,
    )


def net_position(fleet: Fleet, plan: Plan, options: Options) -> Curves:
    """One step per home and period: the planned net import at retail, the planned surplus at feed-in.

    The surplus holds what the plan curtails for want of a buyer, up to the export limit: a neighbour may buy.
    Where inflexible load is worth more than the retailer's kWh, it is a step of its own, before the devices'.
    """
    export_kw = fleet.params[:, Param.EXPORT_KW, None]
    spare = np.minimum(plan.curtailed_kw, np.maximum(export_kw + plan.net_kw, 0.0))
    quantity = (plan.net_kw - spare) * fleet.hours
    price = np.where(quantity > 0.0, options.buy, options.surplus)
    if not (options.load > options.buy).any():
        return Curves(t=plan.t, quantity=quantity[:, :, None], price=price[:, :, None])
    firm = np.clip((plan.load_kw - plan.pv_kw) * fleet.hours, 0.0, np.maximum(quantity, 0.0))
    load = np.broadcast_to(options.load, quantity.shape)
    return Curves(
        t=plan.t, quantity=np.stack([firm, quantity - firm], axis=2), price=np.stack([load, price], axis=2)
    )


def truthful(fleet: Fleet, plan: Plan, options: Options) -> Curves:
    """Net demand curves from the plan's marginal values, by the rule in the module docstring.

    Devices may move beyond their plan within what is left of their stores over the whole session, spent on
    the periods in their order, so that what is accepted can be delivered.
    """
    devices = session_ranges(fleet, plan)
    if devices is None:
        return net_position(fleet, plan, options)
    base = plan.load_kw - plan.pv_kw + sum(device.low_kw for device in devices)
    steps, values, _ = _in_order(_consistent(plan, devices, options))
    limits = fleet.params[:, None, None, :]
    edges = base[:, :, None] + np.concatenate([np.zeros((*base.shape, 1)), np.cumsum(steps, axis=2)], axis=2)
    edges = np.clip(edges, -limits[..., Param.EXPORT_KW], limits[..., Param.IMPORT_KW])
    load, surplus, one = options.load[:, None], options.surplus[:, None], np.ones((*base.shape, 1))
    bought, sold = np.maximum(edges, 0.0), np.minimum(edges, 0.0)
    parts = [bought[:, :, :1], np.diff(bought, axis=2), -np.diff(sold, axis=2), sold[:, :, -1:]]
    at_most = np.where(values < options.meter[:, None], options.buy[:, None] - MICRO_PRICE, load)
    bid, offer = np.minimum(values - options.wedge[:, None], at_most), np.maximum(values, surplus)
    prices = [load * one, bid, offer, surplus * one]
    quantity = np.concatenate(parts, axis=2) * fleet.hours
    return Curves(t=plan.t, quantity=quantity, price=np.concatenate(prices, axis=2))


def _consistent(plan: Plan, devices: tuple[Range, ...], options: Options) -> tuple[Range, ...]:
    """Devices with worths that give the plan back at the outside options (module docstring)."""
    sell = np.minimum(options.sell, options.meter)
    floor = np.where(plan.net_kw > DUST_KWH, options.meter, sell + MICRO_PRICE)[:, :, None]
    ceiling = np.where(plan.net_kw < -DUST_KWH, sell, options.meter - MICRO_PRICE)[:, :, None]
    return tuple(
        replace(d, worth=np.where(d.runs, np.maximum(d.worth, floor), np.minimum(d.worth, ceiling)))
        for d in devices
    )


def _in_order(devices: tuple[Range, ...]) -> tuple[Floats, Floats, Places]:
    """Return the steps of all devices in kW by falling value, their values, and where each came from."""
    blocks = np.concatenate([device.step_kw for device in devices], axis=2)
    values = np.concatenate([device.worth for device in devices], axis=2)
    order = np.argsort(-values, axis=2, kind="stable")
    return np.take_along_axis(blocks, order, axis=2), np.take_along_axis(values, order, axis=2), order


def dispatched(
    fleet: Fleet, plan: Plan, options: Options, *, committed_kw: Floats
) -> tuple[Plan, Floats | None]:
    """Set points that make up the commitment: the steps that were accepted run, in their order.

    ``committed_kw`` (homes, n) net import; where it is NaN the plan stays.  What no step covers is left to
    delivery.  Also returns, shape (homes, n, 2), where delivery need not make good a shortfall: a kWh that a
    home has bought and does not use is worth the retailer's price for the long side and the network tariff
    and taxes that are saved; if the next step up is worth less, nothing is run to use it up.  A kWh that it
    has sold and does not have costs the retailer's price for the short side; if the next step down is worth
    more, nothing gives way for it.  None where the plan has no values.
    """
    devices = session_ranges(fleet, plan)
    if devices is None:
        return plan, None
    steps, values, order = _in_order(_consistent(plan, devices, options))
    low = sum(device.low_kw for device in devices)
    wanted = (committed_kw - plan.load_kw + plan.pv_kw - low)[:, :, None]
    run = np.clip(wanted - np.cumsum(steps, axis=2) + steps, 0.0, steps)
    back = np.empty_like(run)
    np.put_along_axis(back, order, run, axis=2)
    parts = np.split(back, np.cumsum([device.step_kw.shape[2] for device in devices])[:-1], axis=2)
    bound = ~np.isnan(committed_kw)
    planned = (plan.battery_kw, plan.ev_kw, plan.heat_pump_kw)
    battery, car, pump = (
        np.where(bound, device.low_kw + part.sum(axis=2), kw)
        for device, part, kw in zip(devices, parts, planned, strict=True)
    )
    charged = np.cumsum(car - plan.ev_kw, axis=1) * fleet.params[:, Param.EV_EFF, None] * fleet.hours
    settled = replace(
        plan,
        net_kw=np.where(bound, committed_kw, plan.net_kw),
        battery_kw=battery,
        ev_kw=car,
        heat_pump_kw=pump,
        ev_kwh=plan.ev_kwh + charged,
    )
    least = np.where(run > 0.0, values, np.inf).min(axis=2)
    most = np.where(steps - run > 0.0, values, -np.inf).max(axis=2)
    return settled, np.stack([most < options.long + options.wedge, least > options.short], axis=2) * 1.0


def fixed_margin(fleet: Fleet, plan: Plan, options: Options, *, margin: float) -> Curves:
    """Bid the planned net import at retail x (1 - m), the planned export at feed-in x (1 + m).

    Prices stay between the outside options (``margin`` is a share, >= 0).
    """
    buy = np.maximum(options.buy - margin * np.abs(options.buy), np.minimum(options.sell, options.buy))
    sell = np.minimum(options.sell + margin * np.abs(options.sell), np.maximum(options.sell, options.buy))
    position = net_position(fleet, plan, options)
    price = np.where(position.quantity > 0.0, buy[:, None], np.maximum(sell, options.sell)[:, None])
    return Curves(t=plan.t, quantity=position.quantity, price=price)


def zero_intelligence(fleet: Fleet, plan: Plan, options: Options, *, rng: np.random.Generator) -> Curves:
    """Bid the planned net import at a price drawn uniformly between the outside options.

    Zero intelligence with constraint (Gode & Sunder 1993, J. Political Economy 101(1)): traders draw any
    price that is no loss to them.  One draw per home and period, whether or not the home bids.
    """
    position = net_position(fleet, plan, options)
    draw = rng.random(position.quantity.shape[:2])
    width = np.maximum(options.buy - options.sell, 0.0)
    price = np.where(
        position.quantity[:, :, 0] > 0.0, options.buy - draw * width, options.sell + draw * width
    )
    return Curves(t=plan.t, quantity=position.quantity, price=price[:, :, None])


def to_bids(fleet: Fleet, curves: Curves, options: Options) -> Bids:
    """Bids of the homes that trade, one per step, ordered by home, period and step.

    ``participant`` is the row of the home in the fleet, ``step`` numbers the steps along the curve.

    Steps under `DUST_KWH` and steps that no price can reach (``Options.highest``, ``lowest``) are left out.
    """
    quantity, price = curves.quantity, curves.price
    reach = np.where(quantity > 0.0, price >= options.lowest[:, None], price <= options.highest[:, None])
    home, period, step = np.nonzero((np.abs(quantity) >= DUST_KWH) & reach & fleet.tradable[:, None, None])
    chosen = quantity[home, period, step]
    return Bids(
        side=np.where(chosen > 0.0, 1, -1).astype(np.int8),
        price=price[home, period, step],
        quantity=np.abs(chosen),
        participant=home,
        period=period + curves.t,
        step=step,
    )


def committed_kw(fleet: Fleet, bought_kwh: Floats, sold_kwh: Floats) -> Floats:
    """Net import that accepted bids commit to, kW, shape (homes, n); NaN for homes that never trade.

    ``bought_kwh`` and ``sold_kwh`` are the accepted quantities per home and period, retailer's part included.
    """
    net = (bought_kwh - sold_kwh) / fleet.hours
    return np.where(fleet.tradable[:, None], net, np.nan)
