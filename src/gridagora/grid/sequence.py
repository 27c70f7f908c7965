"""What three phases need beyond one: zero-sequence data and vector groups, or what to assume instead.

Grid data often lack zero-sequence values.  They are never made up silently: a three-phase power flow refuses
such a net unless the caller asks for the assumption of `assume_zero_sequence`.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault
from gridagora.model.network import Network

ASSUMED_R0_PER_R1 = 4.0
ASSUMED_X0_PER_X1 = 4.0
"""Four-wire cables with a full neutral: the return through the neutral counts three times."""
ASSUMED_C0_PER_C1 = 1.0

_WINDINGS = {"yn": 1, "y": 0, "d": 2, "zn": 4, "z": 3}
"""power-grid-model's numbers of the winding types, longest letters first."""

_FIX = 'complete the data, or ask for zero_sequence="assume"'


def assume_zero_sequence(network: Network) -> Network:
    """Return the network with missing zero-sequence data filled in.

    Lines: r0 = 4 r1, x0 = 4 x1, c0 = c1 (a four-wire cable with full neutral).  Transformers: zero-sequence
    impedance equal to the positive one, vector group Dyn for an odd clock number and YNyn for an even one.

    Examples
    --------
    >>> from gridagora.adapters.grids import Grid
    >>> assumed = assume_zero_sequence(Grid.by_name("cigre-lv").network)
    >>> assumed.transformers.vector_group.tolist()
    ['Dyn', 'Dyn', 'Dyn']
    >>> bool((assumed.lines.r0_ohm == 4 * assumed.lines.r_ohm).all())
    True
    """
    lines, transformers = network.lines, network.transformers
    odd = np.rint(transformers.shift_degree / 30).astype(np.int64) % 2 == 1
    return replace(
        network,
        lines=replace(
            lines,
            r0_ohm=np.where(np.isnan(lines.r0_ohm), ASSUMED_R0_PER_R1 * lines.r_ohm, lines.r0_ohm),
            x0_ohm=np.where(np.isnan(lines.x0_ohm), ASSUMED_X0_PER_X1 * lines.x_ohm, lines.x0_ohm),
            c0_farad=np.where(np.isnan(lines.c0_farad), ASSUMED_C0_PER_C1 * lines.c_farad, lines.c0_farad),
        ),
        transformers=replace(
            transformers,
            r0_ohm=np.where(np.isnan(transformers.r0_ohm), transformers.r_ohm, transformers.r0_ohm),
            x0_ohm=np.where(np.isnan(transformers.x0_ohm), transformers.x_ohm, transformers.x0_ohm),
            vector_group=np.where(
                transformers.vector_group == "", np.where(odd, "Dyn", "YNyn"), transformers.vector_group
            ),
        ),
    )


def three_phase_faults(network: Network) -> list[Fault]:
    """Return what keeps a network from a three-phase power flow."""
    lines, transformers = network.lines, network.transformers
    found: list[tuple[str, object, str, str]] = []
    for row in np.flatnonzero(
        np.isnan(lines.r0_ohm) | np.isnan(lines.x0_ohm) | np.isnan(lines.c0_farad)
    ).tolist():
        found.append((f"line {lines.name[row]}", None, "has no zero-sequence data (r0, x0, c0)", _FIX))
    for row, group in enumerate(transformers.vector_group.tolist()):
        place = f"transformer {transformers.name[row]}"
        shift = float(transformers.shift_degree[row])
        z0 = complex(transformers.r0_ohm[row], transformers.x0_ohm[row])
        z1 = complex(transformers.r_ohm[row], transformers.x_ohm[row])
        if windings(group) is None:
            found.append((place, group, "has no vector group", _FIX))
        if np.isnan(z0):
            found.append((place, None, "has no zero-sequence impedance (vk0, vkr0)", _FIX))
        elif group != "Dyn" and abs(z0 - z1) > 1e-9 * abs(z1):
            fix = "set vk0_percent, vkr0_percent to vk_percent, vkr_percent"
            found.append(
                (place, z0, f"{group} with another zero-sequence than positive-sequence impedance", fix)
            )
        if abs(shift / 30 - round(shift / 30)) > 1e-9:
            fix = "set its tap to neutral or use the symmetric power flow"
            found.append((place, shift, "phase shift is no multiple of 30 degrees", fix))
    return [Fault(source=network.name, place=p, value=v, reason=r, fix=f) for p, v, r, f in found]


def windings(group: str) -> tuple[int, int] | None:
    """Return the winding types of a vector group, None when it is none.

    Examples
    --------
    >>> windings("Dyn"), windings("YNyn"), windings("?")
    ((2, 1), (1, 1), None)
    """
    for high, first in _WINDINGS.items():
        if group.startswith(high.upper()):
            low = _WINDINGS.get(group[len(high) :])
            return None if low is None else (first, low)
    return None


def three_phase_lines(table: NDArray[Any], network: Network) -> None:
    """Fill the zero sequence of lines."""
    lines = network.lines
    table["r0"], table["x0"], table["c0"], table["tan0"] = lines.r0_ohm, lines.x0_ohm, lines.c0_farad, 0.0


def three_phase_transformers(table: NDArray[Any], network: Network) -> None:
    """Fill transformers by name-plate values at their tap position.

    The zero-sequence impedance of a Dyn transformer is set by an impedance in its star point,
    (z0 - z1) / 3, which is exact because no zero-sequence current passes a delta winding.
    """
    transformers = network.transformers
    sn, square = transformers.rated_kva * 1e3, (transformers.lv_kv * 1e3) ** 2
    z = np.hypot(transformers.r_ohm, transformers.x_ohm)
    y = np.hypot(transformers.g_siemens, transformers.b_siemens)
    table["u1"], table["u2"], table["sn"] = transformers.hv_kv * 1e3, transformers.lv_kv * 1e3, sn
    table["uk"], table["pk"] = z * sn / square, transformers.r_ohm * sn**2 / square
    table["i0"], table["p0"] = y * square / sn, transformers.g_siemens * square
    pairs = [windings(group) or (1, 1) for group in transformers.vector_group.tolist()]
    table["winding_from"], table["winding_to"] = [p[0] for p in pairs], [p[1] for p in pairs]
    table["clock"] = np.rint(transformers.shift_degree / 30).astype(np.int64) % 12
    table["tap_side"], table["tap_pos"], table["tap_nom"] = 0, 0, 0
    table["tap_min"], table["tap_max"], table["tap_size"] = 0, 0, 0.0
    star = transformers.vector_group == "Dyn"
    table["r_grounding_to"] = np.where(star, (transformers.r0_ohm - transformers.r_ohm) / 3, 0.0)
    table["x_grounding_to"] = np.where(star, (transformers.x0_ohm - transformers.x_ohm) / 3, 0.0)
