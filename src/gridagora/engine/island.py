"""An island balances itself: a surplus is curtailed, a lack is shed, and both are reported."""

from dataclasses import replace

import numpy as np

from gridagora.agents import Delivery
from gridagora.model.columns import Floats


def balance_island(delivery: Delivery, *, load_kw: Floats, pv_kw: Floats) -> Delivery:
    """Return the delivery with the feeder's exchange brought to zero in every period.

    Homes deviate from their schedules, and there is no upstream grid to take the difference.  A surplus is
    curtailed from the production that is being exported, a lack is shed from the load that is being
    imported, each pro rata.  Batteries, vehicles and heat pumps stay as they are: what a battery gives beyond
    the island's need remains with the grid-forming source.

    Parameters
    ----------
    delivery : what homes did, shape (homes, periods)
    load_kw, pv_kw : actual load and available production, same shape

    Examples
    --------
    >>> from gridagora.agents import FleetState
    >>> zero, none = np.zeros((2, 1)), np.zeros(2)
    >>> names = "battery ev heat_pump curtailed unserved_load unserved_heat".split()
    >>> powers = {f"{name}_kw": zero for name in names}
    >>> energies = {name: zero for name in ("ev_short_kwh", "battery_kwh", "ev_kwh", "tank_kwh")}
    >>> did = Delivery(t=0, net_kw=np.array([[1.0], [-3.0]]), **powers, **energies,
    ...                state=FleetState(battery_kwh=none, ev_kwh=none, tank_kwh=none))
    >>> now = balance_island(did, load_kw=np.array([[1.0], [0.0]]), pv_kw=np.array([[0.0], [3.0]]))
    >>> now.net_kw.tolist(), now.curtailed_kw.tolist()
    ([[1.0], [-1.0]], [[0.0], [2.0]])
    """
    net = delivery.net_kw
    total = net.sum(axis=0)
    spare = np.minimum(np.maximum(-net, 0.0), pv_kw - delivery.curtailed_kw)
    served = np.minimum(np.maximum(net, 0.0), load_kw - delivery.unserved_load_kw)
    cut, shed = _part(spare, -total), _part(served, total)
    return replace(
        delivery,
        net_kw=net + cut - shed,
        curtailed_kw=delivery.curtailed_kw + cut,
        unserved_load_kw=delivery.unserved_load_kw + shed,
    )


def _part(available: Floats, wanted: Floats) -> Floats:
    """Return what each home gives of what is wanted in a period, pro rata to what it has."""
    have = available.sum(axis=0)
    share = np.divide(np.clip(wanted, 0.0, have), have, out=np.zeros_like(have), where=have > 0)
    return np.asarray(available * share)
