"""Messages with meter readings: JSON in UTF-8, one point per message; what is wrong is refused and told.

::

    topic    gridagora/meters/{point}/readings
    payload  {"format": "gridagora.readings.1", "source": "gateway 7", "meter": "1EMH0012345678",
              "readings": [{"start": "2026-01-05T00:00:00Z", "duration_s": 900, "import_wh": 125,
                            "export_wh": 0, "quality": "measured", "signature": "..."}]}

``meter``, ``quality`` and ``signature`` may be left out.  Energy is whole Wh; a reading with ``duration_s`` 0
is that of the counters.  A payload has at most 256 KiB and 3000 readings (a month of quarter-hours).  A wrong
reading is refused by itself; a message that cannot be understood is refused whole.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from gridagora.adapters.meters.names import NAME_RULE, is_name, is_signature
from gridagora.adapters.meters.signing import broken_signatures
from gridagora.errors import Fault
from gridagora.model.metering import LARGEST_INTERVAL_WH, LARGEST_WH, QUALITIES, MeterReadings
from gridagora.model.time import SECONDS_PER_DAY

FORMAT = "gridagora.readings.1"
MOST_BYTES = 256 * 1024
MOST_READINGS = 3000
LONGEST_S = 366 * SECONDS_PER_DAY
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", re.ASCII)
_ENVELOPE = ("format", "source", "meter", "readings")
_READING = ("start", "duration_s", "import_wh", "export_wh", "quality", "signature")
_SHOWN = 60


def write_messages(readings: MeterReadings, *, most: int = 500) -> list[tuple[str, bytes]]:
    """Return messages (point, payload) with all readings, in their order, of one point and meter each.

    Parameters
    ----------
    readings : readings with good names
    most : readings of a message
    """
    groups: dict[tuple[str, str, str], list[int]] = {}
    for row, key in enumerate(
        zip(readings.point.tolist(), readings.source.tolist(), readings.meter.tolist(), strict=True)
    ):
        groups.setdefault(key, []).append(row)
    out = []
    for (point, source, meter), rows in groups.items():
        for first in range(0, len(rows), most):
            told = [_written(readings, row) for row in rows[first : first + most]]
            message = {"format": FORMAT, "source": source, "meter": meter, "readings": told}
            out.append((point, json.dumps(message, separators=(",", ":")).encode()))
    return out


def _written(readings: MeterReadings, row: int) -> dict[str, Any]:
    told: dict[str, Any] = {name: getattr(readings, name)[row].item() for name in _READING}
    return told | {"start": f"{readings.start[row]}Z"}


def read_message(
    point: str,
    payload: bytes,
    *,
    received: np.datetime64,
    keys: Mapping[str, tuple[bytes, ...]] | None = None,
) -> tuple[MeterReadings, list[Fault]]:
    """Read a message; return its good readings, and why others were refused.

    Parameters
    ----------
    point : connection point, from the topic
    payload : as it came; anything may be in it
    received : when it came, UTC
    keys : public keys by point; readings of these points need a signature that holds

    Examples
    --------
    >>> said = (b'{"format": "gridagora.readings.1", "source": "gateway 7", "readings": '
    ...         b'[{"start": "2026-01-05T00:00:00Z", "duration_s": 900, "import_wh": 125, "export_wh": 0}]}')
    >>> readings, refused = read_message("home-1", said, received=np.datetime64("2026-01-05T00:16"))
    >>> readings.net_wh.tolist(), refused
    ([125], [])
    >>> [refusal.reason for refusal in read_message("home-1", b"[" * 9999, received=readings.start[0])[1]]
    ['is no JSON: too deep']
    """
    message, faults = _envelope(point, payload)
    if faults:
        return MeterReadings.none(), faults
    rows = []
    for number, entry in enumerate(message["readings"]):
        found = _reading_faults(entry, f"{point} readings[{number}]")
        faults += found
        if not found:
            rows.append(entry)
    if not rows:
        return MeterReadings.none(), faults
    columns: dict[str, Any] = {
        "point": point,
        "start": np.array([_moment(entry["start"]) for entry in rows], dtype="datetime64[s]"),
        "source": message["source"],
        "received": received,
        "meter": message.get("meter", ""),
    }
    defaults = {"quality": "measured", "signature": ""}
    for name in _READING[1:]:
        columns[name] = [entry.get(name, defaults.get(name)) for entry in rows]
    readings = MeterReadings(**columns)
    broken = broken_signatures(readings, keys or {})
    for row in np.flatnonzero(broken).tolist():
        missing = not readings.signature[row]
        reason = "signature is missing" if missing else "signature does not hold"
        place, fix = f"{point} {readings.start[row]}Z", "sign with the key that is known of this point"
        faults.append(_fault(place, str(readings.signature[row]), reason, fix=fix))
    return readings.take(~broken), faults


def _envelope(point: str, payload: bytes) -> tuple[dict[str, Any], list[Fault]]:
    """Read what is around the readings."""
    if not is_name(point):
        return {}, [_fault("topic", point, "has no name of a point", fix=NAME_RULE)]
    if len(payload) > MOST_BYTES:
        fix = f"send at most {MOST_BYTES} bytes"
        return {}, [_fault(point, len(payload), "has too many bytes", fix=fix)]
    try:
        message = json.loads(
            payload.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_doubles
        )
    except UnicodeDecodeError as error:
        return {}, [_fault(point, payload[error.start : error.start + 1], "is no UTF-8", fix="send UTF-8")]
    except RecursionError:
        return {}, [_fault(point, payload[:_SHOWN], "is no JSON: too deep", fix="see the format")]
    except ValueError as error:
        return {}, [
            _fault(point, payload[:_SHOWN], f"is no JSON: {str(error)[:_SHOWN]}", fix="see the format")
        ]
    if not isinstance(message, dict):
        return {}, [_fault(point, message, "is no object", fix="send {...} with format, source, readings")]
    return message, _envelope_faults(point, message)


def _envelope_faults(point: str, message: dict[str, Any]) -> list[Fault]:
    faults = _unknown(point, message, _ENVELOPE)
    if message.get("format") != FORMAT:
        faults.append(_fault(f"{point} format", message.get("format"), "is not known", fix=f"write {FORMAT}"))
    for name in ("source", "meter"):
        text = message.get(name, "")
        empty = name == "meter" and text == ""
        if not empty and not (isinstance(text, str) and is_name(text)):
            faults.append(_fault(f"{point} {name}", text, "is no name", fix=NAME_RULE))
    rows = message.get("readings")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_READINGS:
        found = len(rows) if isinstance(rows, list) else rows
        reason, fix = "is no list of readings", f"send 1 to {MOST_READINGS}"
        faults.append(_fault(f"{point} readings", found, reason, fix=fix))
    return faults


def _reading_faults(entry: Any, place: str) -> list[Fault]:
    """Tell all that is wrong with one reading."""
    if not isinstance(entry, dict):
        return [_fault(place, entry, "is no object", fix=f"send {', '.join(_READING[:4])}")]
    faults = _unknown(place, entry, _READING)
    if _moment(entry.get("start")) is None:
        fix = "write e.g. 2026-01-05T00:00:00Z"
        faults.append(_fault(f"{place} start", entry.get("start"), "is no time with an offset", fix=fix))
    largest = LARGEST_WH if entry.get("duration_s") == 0 else LARGEST_INTERVAL_WH
    ranges = {
        "duration_s": (0, LONGEST_S),
        "import_wh": (-largest, largest),
        "export_wh": (-largest, largest),
    }
    for name, (least, most) in ranges.items():
        value = entry.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            fix = f"write a whole number of {least} to {most}"
            faults.append(_fault(f"{place} {name}", value, "is no whole number of a meter", fix=fix))
    quality, signature = entry.get("quality", "measured"), entry.get("signature", "")
    if not isinstance(quality, str) or quality not in QUALITIES:
        fix = f"write one of {', '.join(QUALITIES)}"
        faults.append(_fault(f"{place} quality", quality, "is no quality", fix=fix))
    if not isinstance(signature, str) or not is_signature(signature):
        fix = "write 128 hexadecimal digits"
        faults.append(_fault(f"{place} signature", signature, "is no signature", fix=fix))
    return faults


def _moment(text: Any) -> np.datetime64 | None:
    """Return a time in UTC, None for what is none."""
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return np.datetime64(moment.replace(tzinfo=None), "s")


def _unknown(place: str, given: dict[str, Any], known: tuple[str, ...]) -> list[Fault]:
    names = [name for name in given if name not in known]
    if not names:
        return []
    return [_fault(place, names, "has names that are not known", fix=f"there are {', '.join(known)}")]


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        raise ValueError("a name stands twice")
    return out


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    shown = value if isinstance(value, int | float | None) else ascii(value)[:_SHOWN]
    return Fault(source="message", place=place, value=shown, reason=reason, fix=fix)
