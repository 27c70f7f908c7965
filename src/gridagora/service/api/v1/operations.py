"""What only the operator of a market does: sessions that are stuck, a clock in doubt, the meters' broker."""

from typing import Annotated

from starlette.requests import Request

from gridagora.engine.live.commands import AcceptClock, CallOffSession, SettleBySchedule
from gridagora.service.api.v1.market import shown
from gridagora.service.api.v1.tools import Live, TheMarket, seconds, utc
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import NOBODYS
from gridagora.service.headers import Repeatable
from gridagora.service.models.base import Count
from gridagora.service.models.market import BySchedule, CallOff, ClockCheck, ClockState, Session
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


@api.post("/sessions/{session}/settlement", summary="Settle a session by schedule")
async def settle_by_schedule(
    *,
    live: TheMarket,
    session: Count,
    body: BySchedule,
    caller: Operator,
    repeat: Repeatable,
) -> Session:
    """Settle a session that could not be settled five times as if all had kept to their schedules.

    What its meters told is booked when a dispute about it is decided.  A week after it was found stuck this
    is done by itself.
    """
    caller.require(NOBODYS)
    command = SettleBySchedule(at=live.now(), actor=caller.identity.id, session=session, reason=body.reason)
    await live.do(command, repeat)
    return shown(live, live.terms.session(session))


@api.get("/market/clock", summary="The market's clock")
async def clock(*, live: TheMarket, caller: Operator) -> ClockState:
    """Return what the clock of this process shows, and whether it is in doubt."""
    caller.require(NOBODYS)
    return _clock(live)


@api.post("/market/clock", summary="Accept a clock that leapt")
async def accept_clock(
    *, live: TheMarket, body: ClockCheck, caller: Operator, repeat: Repeatable
) -> ClockState:
    """Let the market follow its clock again, which leapt ahead; all that lies between is then done at once.

    While it is in doubt no command is carried out, and nothing opens or closes.  If the clock is wrong, set
    it right instead: the market then goes on by itself.
    """
    caller.require(NOBODYS)
    command = AcceptClock(at=live.now(), actor=caller.identity.id, now=seconds(body.now), reason=body.reason)
    await live.do(command, repeat)
    return _clock(live)


def _clock(live: Live) -> ClockState:
    jump, behind = live.market.clock_doubt()
    return ClockState(now=utc(live.now()), jump_s=jump, behind_s=behind)


@api.get("/readings/connection", summary="Where readings come from over MQTT")
async def connection(*, request: Request, caller: Operator) -> MeterConnection:
    """Return how this process is connected to the broker of the meters, and what came since its start."""
    caller.require(NOBODYS)
    meters = getattr(request.app.state, "meters", None)
    if meters is None:
        return MeterConnection(connection="", messages=0, readings=0, findings=0, unknown=0)
    return MeterConnection(**meters.state())
