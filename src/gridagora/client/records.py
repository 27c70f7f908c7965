"""What the client can ask of the register: the same calls for each kind of record."""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel

from gridagora.client.transport import Transport
from gridagora.service.models import records


class Kept(Protocol):
    """A record: its id, and the version that a change names."""

    @property
    def id(self) -> str:
        """Name of the record."""

    @property
    def version(self) -> int:
        """Number of its changes."""


Record = TypeVar("Record", bound=BaseModel)
New = TypeVar("New", bound=BaseModel)


class Shelf(Generic[Record, New]):
    """Records of one kind; what a kind cannot do is refused (405).

    Parameters
    ----------
    api : that is asked
    path : of the kind
    kind : what is read
    """

    def __init__(self, api: Transport, path: str, kind: type[Record]) -> None:
        self._api, self._path, self._kind = api, path, kind

    def all(self, *, participant: str | None = None, status: str | None = None) -> Iterator[Record]:
        """Yield the records that one may see."""
        return self._api.pages(self._path, self._kind, participant=participant, status=status)

    def get(self, id: str) -> Record:
        """Return a record."""
        return self._api.get(f"{self._path}/{id}", self._kind)

    def make(self, new: New) -> Record:
        """Make a record."""
        return self._api.post(self._path, new, self._kind)

    def change(self, one: Kept, fields: BaseModel) -> Record:
        """Change a record as one has seen it."""
        return self._api.put(f"{self._path}/{one.id}", fields, self._kind, version=one.version)

    def set_status(self, one: Kept, status: str) -> Record:
        """Set the status of a record."""
        body = records.StatusChange(status=status)
        return self._api.put(f"{self._path}/{one.id}/status", body, self._kind, version=one.version)

    def withdraw(self, one: Kept) -> None:
        """Withdraw a record."""
        headers = {"If-Match": f'"{one.version}"'}
        self._api.send("DELETE", f"{self._path}/{one.id}", headers=headers)


class Records:
    """The register of a platform."""

    def __init__(self, api: Transport) -> None:
        self.participants: Shelf[records.Participant, records.NewParticipant] = Shelf(
            api, "/participants", records.Participant
        )
        self.connection_points: Shelf[records.ConnectionPoint, records.NewConnectionPoint] = Shelf(
            api, "/connection-points", records.ConnectionPoint
        )
        self.assets: Shelf[records.Asset, records.NewAsset] = Shelf(api, "/assets", records.Asset)
        self.products: Shelf[records.Product, records.NewProduct] = Shelf(api, "/products", records.Product)
        self.forecasts: Shelf[records.Forecast, records.NewForecast] = Shelf(
            api, "/forecasts", records.Forecast
        )
        self.tariffs: Shelf[records.Tariff, records.NewTariff] = Shelf(api, "/tariffs", records.Tariff)
