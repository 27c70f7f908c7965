"""Makes the web application of a platform."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gridagora.errors import GridAgoraError
from gridagora.service import site
from gridagora.service.api import ROUTERS
from gridagora.service.auth.audit import Note
from gridagora.service.auth.desk import Desk
from gridagora.service.auth.needs import Refusal
from gridagora.service.auth.tokens import Tokens
from gridagora.service.context import Service, service_of
from gridagora.service.documentation import describe
from gridagora.service.guard import Guard, address_of
from gridagora.service.headers import NotModified
from gridagora.service.jobs import Jobs
from gridagora.service.limits import Buckets, Lane
from gridagora.service.ports import Platform
from gridagora.service.problems import LOG, Problem, of_error, respond
from gridagora.service.routes import GuardedRoute, Shelf, routes_of
from gridagora.service.settings import Settings


def create_app(
    platform: Platform, *, settings: Settings | None = None, routers: Sequence[APIRouter] = ROUTERS
) -> FastAPI:
    """Return the web application of a platform; tables of identities are made where they lack.

    Parameters
    ----------
    platform : the market that runs
    settings : choices of the operator
    routers : resources of the API

    Raises
    ------
    StoreError
        for a database that cannot be used.
    """
    settings = settings or Settings()
    service = _assemble(platform, settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="GridAgora",
        description=site.ABOUT_API,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asked for with every request
    )
    app.state.service = service
    others = (route for one in routers for route in one.routes if not isinstance(route, GuardedRoute))
    app.router.routes.extend([Shelf(routes_of(routers)), *others])
    site.add(app)
    describe(app, routers)
    for kind in (GridAgoraError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _tell)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key"],
            expose_headers=["ETag", "Link", "Location", "Request-Id", "Retry-After"],
        )
    app.add_middleware(Guard, service=service)
    return app


def _assemble(platform: Platform, settings: Settings) -> Service:
    desk = Desk(lambda: platform.database, settings)
    store = Lane("store", threads=8, queue=1_000)
    return Service(
        platform=platform,
        settings=settings,
        desk=desk,
        tokens=Tokens(desk, store),
        jobs=Jobs(desk),
        clients=Buckets(rate=settings.rate, burst=settings.burst),
        strangers=Buckets(rate=settings.anonymous_rate, burst=settings.anonymous_burst),
        refusals=Buckets(rate=settings.refusal_rate, burst=settings.refusal_burst),
        store=store,
    )


async def _tell(request: Request, error: Exception) -> Response:
    """Tell an error as a problem document; a missing right is noted in the audit log."""
    if isinstance(error, NotModified):
        return Response(status_code=304, headers={"ETag": error.tag})
    problem = of_error(error)
    number = request.state.number
    if problem.status >= 500:
        LOG.error("request %s: %s", number, type(error).__name__, exc_info=error)
    if isinstance(problem, Refusal):
        problem = await _noted(request, problem)
    return respond(problem, number)


async def _noted(request: Request, refusal: Refusal) -> Problem:
    """Note a refusal in the audit log; who is refused too often has to wait, so that it stays readable."""
    service, identity = service_of(request), refusal.identity
    wait = service.refusals.wait_s(identity.id, now=time.monotonic())
    if wait > 0.0:
        return Problem("rate_limited", headers={"Retry-After": str(int(wait) + 1)})
    note = Note(
        actor=identity.id,
        organisation=identity.organisation,
        action=refusal.action,
        object=request.url.path[:200],
        outcome="refused",
        address=address_of(request.scope),
        detail={"method": request.method},
    )
    await service.store.run(partial(service.desk.note, note))
    return refusal
