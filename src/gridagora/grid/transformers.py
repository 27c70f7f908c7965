"""Two-winding transformers from pandapower's data: tap changers, tap tables, pi equivalent, ratings.

The equations are those of pandapower >= 3 with ``trafo_model="pi"``: a tap changer works only where
``tap_changer_type`` names one; its position may be fractional; the impedance follows the low-voltage winding.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.grid.frames import Faults, Frame, any_number, not_negative, positive

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_REQUIRED = (
    ("sn_mva", positive, "a rated power above 0"),
    ("vn_hv_kv", positive, "a rated voltage above 0"),
    ("vn_lv_kv", positive, "a rated voltage above 0"),
    ("vk_percent", positive, "a short-circuit voltage above 0"),
    ("vkr_percent", not_negative, "a number not below 0"),
    ("pfe_kw", not_negative, "a number not below 0"),
    ("i0_percent", not_negative, "a number not below 0"),
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Windings:
    """State of the windings at their tap position, columns over transformers, filled changer by changer."""

    hv_kv: Floats
    lv_kv: Floats
    shift_degree: Floats
    vk_percent: Floats
    vkr_percent: Floats
    tap_position: Floats


def transformer_columns(net: Any, frame: Frame, *, rows: Bools, faults: Faults) -> dict[str, Any]:
    """Return the electrical columns of `Transformers` for all rows; faults are added for ``rows`` in service.

    ``r_ohm`` ... ``b_siemens`` follow pandapower: z = vk / 100 x lv_kv^2 / sn, g = pfe / lv_kv^2,
    |y| = i0 / 100 x sn / lv_kv^2 with lv_kv at the tap position, all times the number of parallel units.
    """
    values = {name: frame.numbers(name) for name, _, _ in _REQUIRED}
    for name, valid, need in _REQUIRED:
        frame.check(name, values[name], valid, faults=faults, rows=rows, need=need)
    parallel, factor = frame.numbers("parallel", 1.0), frame.numbers("df", 1.0)
    frame.check("parallel", parallel, positive, faults=faults, rows=rows, need="a number of units above 0")
    frame.check("df", factor, positive, faults=faults, rows=rows, need="a rating factor above 0")
    windings = _windings(net, frame, rows=rows, faults=faults)
    with np.errstate(invalid="ignore", divide="ignore"):
        z, r = _impedance(
            windings.vk_percent, windings.vkr_percent, lv_kv=windings.lv_kv, sn_mva=values["sn_mva"]
        )
        if np.any(rows & (r > z)):
            _report_resistive(frame, rows & (r > z), faults)
        no_load = values["i0_percent"] / 100 * values["sn_mva"]
        iron = values["pfe_kw"] * 1e-3
        per_square = parallel / windings.lv_kv**2
        z0, r0 = _impedance(
            frame.numbers("vk0_percent"),
            frame.numbers("vkr0_percent"),
            lv_kv=windings.lv_kv,
            sn_mva=values["sn_mva"],
        )
        rated = values["sn_mva"] * 1e3 * parallel * factor / np.sqrt(3)
        return {
            "rated_kva": values["sn_mva"] * 1e3 * parallel,
            "hv_kv": windings.hv_kv,
            "lv_kv": windings.lv_kv,
            "shift_degree": windings.shift_degree,
            "r_ohm": r / parallel,
            "x_ohm": np.sqrt(np.maximum(z**2 - r**2, 0.0)) / parallel,
            "g_siemens": iron * per_square,
            "b_siemens": -np.sqrt(np.maximum(no_load**2 - iron**2, 0.0)) * per_square,
            "r0_ohm": r0 / parallel,
            "x0_ohm": np.sqrt(np.maximum(z0**2 - r0**2, 0.0)) / parallel,
            "rated_hv_a": rated / values["vn_hv_kv"],
            "rated_lv_a": rated / values["vn_lv_kv"],
            "vector_group": np.array([_letters(text) for text in frame.texts("vector_group")], dtype=np.str_),
            "tap_position": windings.tap_position,
        }


def _impedance(
    vk_percent: Floats, vkr_percent: Floats, *, lv_kv: Floats, sn_mva: Floats
) -> tuple[Floats, Floats]:
    """Return magnitude and resistance of one unit in ohm on the low-voltage side."""
    base = lv_kv**2 / sn_mva / 100
    return vk_percent * base, vkr_percent * base


def _report_resistive(frame: Frame, rows: Bools, faults: Faults) -> None:
    for row in np.flatnonzero(rows).tolist():
        value = frame.values("vkr_percent")[row]
        faults.add(
            f"{frame.place(row)}, vkr_percent", value, "exceeds vk_percent", fix="correct vk or vkr_percent"
        )


def _letters(vector_group: str) -> str:
    """Return a vector group without its clock number: "Dyn5" gives "Dyn"."""
    return vector_group.rstrip("0123456789 ")


def _windings(net: Any, frame: Frame, *, rows: Bools, faults: Faults) -> Windings:
    windings = Windings(
        hv_kv=frame.numbers("vn_hv_kv"),
        lv_kv=frame.numbers("vn_lv_kv"),
        shift_degree=frame.numbers("shift_degree", 0.0),
        vk_percent=frame.numbers("vk_percent"),
        vkr_percent=frame.numbers("vkr_percent"),
        tap_position=np.full(len(frame), np.nan),
    )
    tabular = frame.flags("tap_dependency_table", default=False) & rows
    if tabular.any():
        _apply_tables(net, frame, windings, rows=tabular, faults=faults)
    for changer in ("tap", "tap2"):
        if frame.has(f"{changer}_pos"):
            _apply_changer(frame, windings, changer=changer, rows=rows & ~tabular, faults=faults)
    return windings


def _apply_changer(frame: Frame, windings: Windings, *, changer: str, rows: Bools, faults: Faults) -> None:
    """Move the windings by one tap changer, where a type is named for it."""
    kind = np.array(_changer_types(frame, changer), dtype=object)
    side = np.array(frame.texts(f"{changer}_side"), dtype=object)
    position, neutral = frame.numbers(f"{changer}_pos"), frame.numbers(f"{changer}_neutral")
    percent = frame.numbers(f"{changer}_step_percent", 0.0)
    degree = frame.numbers(f"{changer}_step_degree", 0.0)
    works = rows & np.isin(kind, ("Ratio", "Symmetrical", "Ideal")) & np.isin(side, ("hv", "lv"))
    for column, values in ((f"{changer}_pos", position), (f"{changer}_neutral", neutral)):
        frame.check(column, values, any_number, faults=faults, rows=works, need="a tap position")
    ignored = rows & (kind == "") & (np.nan_to_num(position - neutral) != 0)
    if ignored.any():
        names = ", ".join(frame.place(row) for row in np.flatnonzero(ignored).tolist())
        faults.notes.append(f"tap position without effect, tap_changer_type names no changer: {names}")
    steps = position - neutral
    direction = np.where(side == "hv", 1.0, -1.0)
    ideal = works & (kind == "Ideal")
    angle = np.where(
        degree != 0, steps * degree, 2 * np.rad2deg(np.arcsin(np.clip(steps * percent / 200, -1, 1)))
    )
    windings.shift_degree[ideal] += (direction * angle)[ideal]
    added = percent * steps / 100 * np.exp(1j * np.deg2rad(degree))
    for chosen, voltage in (("hv", windings.hv_kv), ("lv", windings.lv_kv)):
        moved = works & ~ideal & (side == chosen)
        voltage[moved] *= np.abs(1 + added[moved])
        windings.shift_degree[moved] += direction[moved] * np.rad2deg(np.angle(1 + added[moved]))
    if changer == "tap":
        windings.tap_position[works] = position[works]


def _changer_types(frame: Frame, changer: str) -> list[str]:
    """Return the type of each changer; nets older than pandapower 3 tell it by a phase shifter flag."""
    if frame.has(f"{changer}_changer_type") or not frame.has(f"{changer}_phase_shifter"):
        return frame.texts(f"{changer}_changer_type")
    shifter = frame.flags(f"{changer}_phase_shifter", default=False)
    return ["Ideal" if flag else "Ratio" for flag in shifter]


def _apply_tables(net: Any, frame: Frame, windings: Windings, *, rows: Bools, faults: Faults) -> None:
    """Take ratio, angle and short-circuit voltage from the characteristic table at the tap position."""
    table = Frame(net, "trafo_characteristic_table")
    keys = zip(table.numbers("id_characteristic"), table.numbers("step"), strict=True)
    line_of = {key: line for line, key in enumerate(keys)}
    columns = {
        name: table.numbers(name) for name in ("voltage_ratio", "angle_deg", "vk_percent", "vkr_percent")
    }
    characteristic, position = frame.numbers("id_characteristic_table"), frame.numbers("tap_pos")
    sides = frame.texts("tap_side")
    for row in np.flatnonzero(rows).tolist():
        line = line_of.get((characteristic[row], position[row]))
        if line is None:
            place, asked = f"{frame.place(row)}, tap_pos", frame.values("tap_pos")[row]
            fix = "add the step to net.trafo_characteristic_table or clear tap_dependency_table"
            faults.add(place, asked, "has no line in the characteristic table", fix=fix)
            continue
        ratio, angle = columns["voltage_ratio"][line], columns["angle_deg"][line]
        windings.vk_percent[row], windings.vkr_percent[row] = (
            columns["vk_percent"][line],
            columns["vkr_percent"][line],
        )
        windings.tap_position[row] = position[row]
        if sides[row] == "hv":
            windings.hv_kv[row] *= ratio
            windings.shift_degree[row] += angle
        elif sides[row] == "lv":
            windings.lv_kv[row] *= ratio
            windings.shift_degree[row] -= angle
