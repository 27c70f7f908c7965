"""What only the operator of a market does: calling a session off, looking after the meters' broker."""

from typing import Annotated

from starlette.requests import Request

from gridagora.engine.live.commands import CallOffSession
from gridagora.service.api.v1.market import shown
from gridagora.service.api.v1.tools import TheMarket
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import NOBODYS
from gridagora.service.headers import Repeatable
from gridagora.service.models.base import Count
from gridagora.service.models.market import CallOff, Session
from gridagora.service.models.metering import MeterConnection
from gridagora.service.routes import router

api = router("market")
Operator = Annotated[Caller, needs("market.operate")]


@api.post("/sessions/{session}/call-off", summary="Call a session off")
async def call_off(
    *,
    live: TheMarket,
    session: Count,
    body: CallOff,
    caller: Operator,
    repeat: Repeatable,
) -> Session:
    """Call the session off whose gate closes next; its bids are free, its energy is settled at tariff.

    A session that could not be cleared five times is called off by itself.
    """
    caller.require(NOBODYS)
    command = CallOffSession(at=live.now(), actor=caller.identity.id, session=session, reason=body.reason)
    await live.do(command, repeat)
    return shown(live, live.terms.session(session))


@api.get("/readings/connection", summary="Where readings come from over MQTT")
async def connection(*, request: Request, caller: Operator) -> MeterConnection:
    """Return how this process is connected to the broker of the meters, and what came since its start."""
    caller.require(NOBODYS)
    meters = getattr(request.app.state, "meters", None)
    if meters is None:
        return MeterConnection(connection="", messages=0, readings=0, findings=0, unknown=0)
    return MeterConnection(**meters.state())
