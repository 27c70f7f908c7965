"""What whoever gave a command is told about it, as JSON text: the same whenever the command is repeated."""

import json
from collections.abc import Sequence
from typing import Any

from gridagora.model.events import Event
from gridagora.model.live_events import BidsTaken, BidsWithdrawn, ResourceKept


def answer_of(events: Sequence[Event]) -> str:
    """Return the answer to a command that led to some events.

    >>> from gridagora.model.live_events import SessionOpened
    >>> answer_of([SessionOpened(at=5, session=1)])
    '{"at": 5, "events": ["SessionOpened"]}'
    """
    told: dict[str, Any] = {}
    if events:
        told = {"at": events[0].at, "events": [type(event).__name__ for event in events]}
    for event in events:
        if isinstance(event, BidsTaken):
            told |= {"number": event.number, "count": len(event.period)}
        elif isinstance(event, BidsWithdrawn):
            told |= {"numbers": event.numbers.tolist()}
        elif isinstance(event, ResourceKept):
            told |= {"kind": event.kind, "id": event.id, "version": event.version, "status": event.status}
    return json.dumps(told, ensure_ascii=False)
