"""The register: records of all kinds, each with a version, so that no change overwrites another unseen."""

import json
from collections.abc import Iterator
from typing import Any

from gridagora.engine.live.commands import KeepResource
from gridagora.engine.live.context import LiveContext
from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.resources import KINDS, Kind
from gridagora.engine.live.resources.kind import Change, field_faults
from gridagora.engine.live.state import LiveState, Record
from gridagora.errors import Fault, InputError, check_faults
from gridagora.model.live_events import ResourceKept

LONGEST_ID = 100


def keep_resource(state: LiveState, command: KeepResource, context: LiveContext) -> ResourceKept:
    """Make a record or change it; every fault of it is told."""
    kind = KINDS.get(command.kind)
    if kind is None:
        fix = f"use one of {', '.join(KINDS)}"
        raise InputError([refusal("kind_unknown", "kind", command.kind, fix=fix)])
    before = state.register.get(command.kind, command.id)
    faults = [*_id_faults(command.id), *_version_faults(before, command)]
    body = _read(command.body, faults)
    status = command.status or (before.status if before else kind.statuses[0])
    if status not in kind.statuses:
        fix = f"write one of {', '.join(kind.statuses)}"
        faults.append(refusal("status_unknown", "status", status, fix=fix))
    if body is not None:
        change = Change(
            at=command.at,
            id=command.id,
            status=status,
            body=body,
            before=before.body if before else None,
            context=context,
        )
        faults += _kind_faults(kind, state, change)
    check_faults(faults)
    return ResourceKept(
        at=command.at,
        actor=command.actor,
        kind=command.kind,
        id=command.id,
        version=1 if before is None else before.version + 1,
        status=status,
        body=canonical_text(body),
    )


def apply_kept(state: LiveState, event: ResourceKept) -> None:
    """Put a record into the register; records of a kind are numbered as they come, from 0."""
    before = state.register.get(event.kind, event.id)
    number = state.register.count(event.kind) if before is None else before.number
    body = json.loads(event.body)
    maker = event.actor
    if before is not None:
        same = before.body.get("organisation", "") == body.get("organisation", "")
        maker = before.maker if same else ""
    state.register.keep(
        Record(
            kind=event.kind,
            id=event.id,
            version=event.version,
            status=event.status,
            body=body,
            at=event.at,
            number=number,
            maker=maker,
        )
    )


def canonical_text(body: Any) -> str:
    """Return JSON with its keys in order and no spaces: the same record is the same text.

    >>> canonical_text({"b": 1.5, "a": "ü"})
    '{"a":"ü","b":1.5}'
    """
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _read(text: str, faults: list[Fault]) -> dict[str, Any] | None:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        faults.append(refusal("body_invalid", "body", text[:80], fix=f"write a JSON object: {error}"))
        return None
    if not isinstance(body, dict):
        faults.append(refusal("body_invalid", "body", text[:80], fix="write a JSON object"))
        return None
    return {name: value for name, value in body.items() if value is not None}


def _kind_faults(kind: Kind, state: LiveState, change: Change) -> list[Fault]:
    found = list(field_faults(kind, state, change))
    if not found and kind.check is not None:
        found += kind.check(state, change)  # looks at fields that are right
    return found


def _id_faults(id_: str) -> Iterator[Fault]:
    if not 0 < len(id_) <= LONGEST_ID or not id_.isprintable() or id_ != id_.strip():
        fix = f"use 1 to {LONGEST_ID} printable characters"
        yield refusal("id_invalid", "id", id_, fix=fix)


def _version_faults(before: Record | None, command: KeepResource) -> Iterator[Fault]:
    known = 0 if before is None else before.version
    if known and not command.version:
        fix = f"take another id, or change version {known}"
        yield refusal("exists", "id", command.id, fix=fix)
    elif command.version != known:
        fix = f"read it again, and change version {known}" if known else "make it with version 0"
        yield refusal("version_conflict", "version", command.version, fix=fix)
