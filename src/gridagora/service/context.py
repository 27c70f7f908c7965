"""What the parts of one service share: the market, the identities, the limits."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from gridagora.service.auth.desk import Desk
from gridagora.service.auth.tokens import Tokens
from gridagora.service.jobs import Jobs
from gridagora.service.limits import Buckets, Lane
from gridagora.service.ports import Platform
from gridagora.service.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """The parts of a service.

    Parameters
    ----------
    platform : the market
    settings : choices of the operator
    desk : organisations, people, clients, sessions and the audit log, in the database
    tokens : access tokens, and who they stand for
    jobs : long work
    clients, strangers : rate limits with and without a token
    refusals : how often one may ask for what they have no right to, each of which is noted
    store : threads for what reads and writes the database
    """

    platform: Platform
    settings: Settings
    desk: Desk
    tokens: Tokens
    jobs: Jobs
    clients: Buckets
    strangers: Buckets
    refusals: Buckets
    store: Lane

    def close(self) -> None:
        """End the threads."""
        self.jobs.close()
        self.store.close()
        self.desk.hashes.close()


def service_of(connection: HTTPConnection) -> Service:
    """Return the service that a request came to."""
    return cast(Service, connection.app.state.service)


async def _here(connection: HTTPConnection) -> Service:
    return service_of(connection)


Here = Annotated[Service, Depends(_here)]
"""Parameter of an endpoint: the service."""
