"""Long work."""

from datetime import datetime
from typing import Any

from gridagora.service.texts import Model


class JobState(Model):
    """A piece of long work; `status` is waiting, running, done, failed or cancelled."""

    id: str
    kind: str
    status: str
    done: int
    total: int
    made_at: datetime
    changed_at: datetime
    result: dict[str, Any] | None
    problem: dict[str, Any] | None
