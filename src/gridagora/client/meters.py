"""What the client can ask about meter readings."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime

from gridagora.client.transport import ApiError, Transport, span
from gridagora.service.models import metering
from gridagora.service.models.jobs import JobState

FIRST_LOOK_S = 0.1


class Jobs:
    """Long work of a platform."""

    def __init__(self, api: Transport) -> None:
        self._api = api

    def get(self, id: str) -> JobState:
        """Return how far a job is."""
        return self._api.get(f"/jobs/{id}", JobState)

    def cancel(self, id: str) -> JobState:
        """Cancel a job; what was done of it stays."""
        return JobState.model_validate_json(self._api.send("DELETE", f"/jobs/{id}").content)

    def wait(self, id: str, *, most_s: float = 600.0) -> JobState:
        """Return a job when it is done.

        Raises
        ------
        ApiError
            Where it failed; TimeoutError where it takes longer than ``most_s``.
        """
        pause, end = FIRST_LOOK_S, time.monotonic() + most_s
        while (job := self.get(id)).status in ("waiting", "running"):
            if time.monotonic() > end:
                raise TimeoutError(f"job {id} takes longer than {most_s:g} s")
            time.sleep(pause)
            pause = min(2.0, pause * 1.5)
        if job.problem is not None:
            raise ApiError(int(job.problem.get("status", 500)), job.problem)
        return job


class Meters:
    """Meter readings of a platform."""

    def __init__(self, api: Transport) -> None:
        self._api = api

    def send(self, new: metering.NewReading) -> metering.ReadingsAnswer:
        """Send a reading."""
        return self._api.post("/readings", new, metering.ReadingsAnswer)

    def send_many(self, readings: Sequence[metering.NewReading]) -> JobState:
        """Send up to 200,000 readings as a job, in which each is taken or refused by itself."""
        rows = [one.model_dump(mode="json", exclude_none=True) for one in readings]
        headers = {"Prefer": "respond-async"}
        return self._api.post("/readings/bulk", {"readings": rows}, JobState, headers=headers)

    def send_file(self, content: bytes, *, kind: str = "text/csv") -> JobState:
        """Send a file of meter readings as a job: CSV, or Excel with its media type as ``kind``."""
        headers = {"Content-Type": kind, "Prefer": "respond-async"}
        answer = self._api.send("POST", "/readings/bulk", content=content, headers=headers)
        return JobState.model_validate_json(answer.content)

    def findings(
        self,
        *,
        participant: str | None = None,
        rule: str | None = None,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> Iterator[metering.Finding]:
        """Yield what was found in readings, oldest first."""
        more = span(begin, end) | {"rule": rule}
        return self._api.pages("/readings/findings", metering.Finding, participant=participant, **more)

    def check(
        self, participant: str, *, begin: datetime | None = None, end: datetime | None = None
    ) -> metering.SeriesCheck:
        """Check the readings that count of a participant as one series; the last week when left out."""
        path = f"/readings/checks/{participant}"
        return self._api.get(path, metering.SeriesCheck, **span(begin, end))

    def connection(self) -> metering.MeterConnection:
        """Return where readings come from over MQTT, as the operator."""
        return self._api.get("/readings/connection", metering.MeterConnection)
