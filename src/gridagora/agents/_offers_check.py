"""What must hold before homes can offer flexibility; every fault at once."""

from collections.abc import Iterator

import numpy as np

from gridagora.agents._offers_model import FlexibilityDay, Limits
from gridagora.agents.fleet import Param
from gridagora.errors import Fault
from gridagora.model.flexibility import LIMITS, FlexProduct


def check_day(day: FlexibilityDay, limits: Limits) -> Iterator[Fault]:
    """Faults of the horizon, the prices and the limits of a day."""
    horizon, homes = day.periods, day.fleet.homes
    if day.t < 0 or horizon < 1 or day.t + horizon > day.fleet.periods:
        reason = f"periods {day.t} to {day.t + horizon} leave the study's {day.fleet.periods}"
        yield _fault("outlook", horizon, reason, fix="shorten the outlook")
    for name in ("load_kw", "pv_kw", "heat_kw"):
        power = np.asarray(getattr(day.outlook, name))
        if not np.isfinite(power).all():
            home, period = (int(place[0]) for place in np.nonzero(~np.isfinite(power)))
            place = f"outlook.{name}, home {day.fleet.participants[home]}, period {day.t + period}"
            yield _fault(place, float(power[home, period]), "is no power", fix="write kW")
    if day.price.shape != (horizon, 2):
        yield _fault(
            "price", day.price.shape, f"has not the shape ({horizon}, 2)", fix="import and export per period"
        )
    elif not np.all((day.price[:, 0] >= day.price[:, 1]) & (day.price[:, 1] >= 0.0)):
        reason = "import price >= export price >= 0 does not hold in every period"
        yield _fault("price", float(day.price.min()), reason, fix="take ems.planning_prices")
    for name, rows in (("import_kw", limits.import_kw), ("export_kw", limits.export_kw)):
        if rows.shape != (homes, horizon):
            yield _fault(
                f"limits.{name}",
                rows.shape,
                f"has not the shape ({homes}, {horizon})",
                fix="kW per home and period",
            )
        elif not np.all(rows >= 0.0):
            yield _fault(
                f"limits.{name}", float(np.min(rows)), "is negative or not a number", fix="write kW >= 0"
            )


def check_windows(
    day: FlexibilityDay, product: FlexProduct, *, windows: list[tuple[int, ...]], steps: int
) -> Iterator[Fault]:
    """Faults of the windows that are to be offered, and of the connections that offer."""
    if steps < 1:
        yield _fault("steps", steps, "is below 1", fix="plan for at least one limit")
    if product.direction not in LIMITS:
        reason = "is sold against a baseline, not as a limit"
        yield _fault("direction", product.direction, reason, fix=f"write one of {', '.join(LIMITS)}")
        return
    seen: set[int] = set()
    for number, window in enumerate(windows):
        place = f"window {number}"
        if not window or window != tuple(range(window[0], window[0] + len(window))):
            yield _fault(place, window, "is not a row of consecutive periods", fix="write e.g. (17, 18)")
            continue
        if window[0] < day.t or window[-1] >= day.t + day.periods:
            reason = f"is outside the periods {day.t} to {day.t + day.periods - 1} of the day"
            yield _fault(place, window, reason, fix="offer what the outlook covers")
        if seen & set(window):
            yield _fault(place, window, "overlaps another window", fix="offer each period once")
        seen |= set(window)
        longest = product.max_duration or np.inf
        if not product.min_duration <= len(window) <= longest:
            reason = f"does not last {product.min_duration} to {longest:g} periods, as the product says"
            yield _fault(place, window, reason, fix="choose another window or product")
    column = Param.IMPORT_KW if product.direction == "cap" else Param.EXPORT_KW
    for home in np.flatnonzero(day.fleet.tradable & ~np.isfinite(day.fleet.params[:, column])).tolist():
        side = "import" if product.direction == "cap" else "export"
        yield _fault(
            f"home {day.fleet.participants[home]}", np.inf, f"has no {side} capacity to cut from",
            fix=f"give the home its {side}_limit_kw",
        )  # fmt: skip


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="capacity offers", place=place, value=value, reason=reason, fix=fix)
