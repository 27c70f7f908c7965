"""Whether the service is alive, and whether it is ready: for whoever watches over it."""

from functools import partial

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse

from gridagora.service.context import service_of
from gridagora.service.running import Running


def add_health(app: FastAPI, running: Running) -> None:
    """Add ``/healthz``, which answers while the program is there, and ``/readyz``, 503 where commands wait.

    Parameters
    ----------
    app : the service
    running : its market
    """

    async def alive(_request: Request) -> JSONResponse:
        return JSONResponse({"alive": True})

    async def ready(request: Request) -> JSONResponse:
        found = dict(await service_of(request).store.run(partial(running.readiness)))
        if found["ready"]:
            return JSONResponse(found)
        return JSONResponse(found, status_code=503, headers={"Retry-After": "5"})

    app.add_route("/healthz", alive, methods=["GET"])
    app.add_route("/readyz", ready, methods=["GET"])
