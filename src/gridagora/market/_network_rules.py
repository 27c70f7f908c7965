"""What a network auction is held by, beside its bids: read once, with every fault, before the bids are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridagora.errors import Fault, InputError
from gridagora.model.bids import Bids
from gridagora.model.dependencies import Carrier, Dependency, dependency_faults
from gridagora.model.linear_network import LinearNetwork
from gridagora.model.numbers import read_numbers

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

ELECTRICITY = "electricity"
_SOURCE = "network_auction"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What an auction is held by; see `network_auction`.

    ``faults`` were found while the rules were read; `read_market` tells them with those of the bids.
    """

    carriers: tuple[Carrier, ...]
    dependencies: tuple[Dependency, ...] = ()
    blocks: str | Floats | None = None
    power_factor: Floats | None = None
    kvar_limits: tuple[Floats, Floats] | None = None
    kw_per_unit: float = 1.0
    gap: float = 0.0
    faults: tuple[Fault, ...] = ()


def auction_rules(
    bids: Bids,
    *,
    network: "LinearNetwork | pd.DataFrame | None" = None,
    carriers: "Mapping[str, LinearNetwork | pd.DataFrame | None] | Sequence[Carrier] | None" = None,
    dependencies: Sequence[Dependency] | None = None,
    blocks: Literal["group"] | ArrayLike | None = None,
    power_factor: ArrayLike | None = None,
    kvar_limits: tuple[ArrayLike, ArrayLike] | None = None,
    period_hours: float = 1.0,
    unit_kwh: float = 1.0,
    gap: float = 0.0,
) -> Rules:
    """Return what an auction is held by; arguments as of `network_auction`, faults in ``faults``."""
    faults: list[Fault] = []
    wires = _wires(network, "network", faults)
    listed = _listed(carriers, faults)
    if network is not None:
        faults += [
            _fault("network", one.name, ("is given for this carrier twice", "leave one of the two out"))
            for one in listed or ()
            if one.name == ELECTRICITY and one.network is not None
        ]
    hours, unit, share = _positive(faults, period_hours=period_hours, unit_kwh=unit_kwh, gap=gap)
    conditions = _conditions(dependencies, bids.quantity.astype(np.float64), faults)
    return Rules(
        carriers=carriers_of(bids, wires, listed),
        dependencies=conditions,
        blocks=blocks if isinstance(blocks, str) else _number(faults, blocks=blocks),
        power_factor=_number(faults, power_factor=power_factor),
        kvar_limits=_kvar_pair(kvar_limits, faults),
        kw_per_unit=unit / hours,
        gap=share,
        faults=tuple(faults),
    )


def carriers_of(
    bids: Bids, network: LinearNetwork | None, listed: list[Carrier] | None
) -> tuple[Carrier, ...]:
    """Return the carriers of an auction: those given, else those that bids name, electricity first."""
    carriers = listed
    if carriers is None:
        names = [] if bids.carrier is None else np.unique(bids.carrier).tolist()
        carriers = [Carrier(name=str(name)) for name in names]
    if network is None and carriers:
        return tuple(carriers)
    lone = listed is None and len(carriers) == 1
    first = carriers[0].name if lone else ELECTRICITY
    return (Carrier(name=first, network=network), *(one for one in carriers if one.name != first))


def _fault(place: str, value: object, text: tuple[str, str]) -> Fault:
    return Fault(source=_SOURCE, place=place, value=value, reason=text[0], fix=text[1])


def _wires(value: Any, place: str, faults: list[Fault]) -> LinearNetwork | None:
    """Return a network, read from its table if it is one; None with a fault if it is neither."""
    if value is None or isinstance(value, LinearNetwork):
        return value
    if not hasattr(value, "columns"):
        fix = "give Grid.linear_network(flow), LinearNetwork.from_table(table), or such a table"
        faults.append(_fault(place, type(value).__name__, ("is no network", fix)))
        return None
    try:
        return LinearNetwork.from_table(value)
    except InputError as error:
        faults += error.faults
        return None


def _listed(carriers: Any, faults: list[Fault]) -> list[Carrier] | None:
    if carriers is None:
        return None
    given = carriers.items() if isinstance(carriers, Mapping) else [(None, one) for one in carriers]
    listed: list[Carrier] = []
    for number, (name, value) in enumerate(given):
        place = f"carriers, {number if name is None else name}"
        if name is None and not isinstance(value, Carrier):
            text = ("is no carrier", "give Carrier values, or networks by the names of carriers")
            faults.append(_fault(place, value, text))
            continue
        own = str(name) if name is not None else value.name
        if own in [one.name for one in listed]:
            faults.append(_fault(place, own, ("the carrier is there twice", "name each carrier once")))
        wires = _wires(value if name is not None else value.network, place, faults)
        listed.append(Carrier(name=own, network=wires))
    return listed


def _conditions(given: Any, quantity: Floats, faults: list[Fault]) -> tuple[Dependency, ...]:
    """Return the conditions; none where any of them is at fault, for the market is not cleared then."""
    if isinstance(given, Dependency):
        text = ("is one condition, not a list of them", "put it into a list")
        faults.append(_fault("dependencies", str(given), text))
        return ()
    conditions = tuple(given or ())
    found = dependency_faults(conditions, quantity)
    faults += found
    return () if found else conditions


def _number(faults: list[Fault], **given: Any) -> Floats | None:
    ((name, value),) = given.items()
    if value is None:
        return None
    (array,), found = read_numbers("bids", **{name: value})
    faults += found
    return None if found else array


def _kvar_pair(given: Any, faults: list[Fault]) -> tuple[Floats, Floats] | None:
    if given is None:
        return None
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        text = ("is no range", "give (least, most) kvar, one number or one per bid")
        faults.append(_fault("kvar_limits", given, text))
        return None
    (low, high), found = read_numbers(
        "bids", **{"kvar_limits, least": given[0], "kvar_limits, most": given[1]}
    )
    faults += found
    return None if found else (low, high)


def _positive(faults: list[Fault], **given: Any) -> list[float]:
    """Return numbers above 0 (the gap: or 0); 1 in place of those that are not."""
    out = []
    for name, value in given.items():
        number = value if isinstance(value, (int, float, np.number)) else float("nan")
        good = bool(0 < number < np.inf or (name == "gap" and number == 0))
        if not good:
            faults.append(_fault(name, value, ("out of range", "write a number > 0")))
        out.append(float(number) if good else 1.0)
    return out
