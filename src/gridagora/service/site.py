"""Pages for people: the start page, the API documentation, and what the problem codes mean.

All of their parts are served from here: nothing is loaded from other machines.
"""

import importlib.util
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from gridagora.errors import require
from gridagora.service.context import service_of
from gridagora.service.documentation import PATH, VERSION
from gridagora.service.market_page import board_html, market_page
from gridagora.service.problems import KINDS

ASSETS = Path(__file__).parent / "assets"

ABOUT_API = """
Get a token at `/oauth/token`, send it as `Authorization: Bearer ...`.  Times are RFC 3339 in UTC, energy is
whole Wh, money is whole micro-units of the market's currency.  Lists come in pages: follow `next`.
A command with an `Idempotency-Key` can be sent again and is carried out once.  Every refusal is a problem
document (RFC 9457) with a stable `code` and all faults: see [/problems](/problems).
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/assets/page.css"></head>
<body><main><h1>{title}</h1>
{body}
</main></body></html>
"""

_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>GridAgora API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css"></head>
<body><div id="api" data-url="{url}"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script><script src="/assets/docs.js"></script>
</body></html>
"""


def add(app: FastAPI) -> None:
    """Add the pages to an application."""
    app.add_route("/", _start, methods=["GET"])
    app.add_route("/board", _board, methods=["GET"])
    app.add_route("/docs", _docs, methods=["GET"])
    app.add_route("/problems", _problems, methods=["GET"])
    app.mount("/docs/assets", StaticFiles(directory=_swagger()))
    app.mount("/assets", StaticFiles(directory=ASSETS))


def _swagger() -> Path:
    """Return the folder of the documentation's scripts, without importing the package that brings them."""
    found = importlib.util.find_spec("fastapi_offline")
    require(found is not None and bool(found.submodule_search_locations), "fastapi-offline is installed")
    folders = found.submodule_search_locations if found is not None else None
    return Path((folders or [""])[0]) / "static"


async def _start(request: Request) -> HTMLResponse:
    service = service_of(request)
    state = await service.store.run(service.platform.public_state)
    now = market_page(state) if "periods" in state else f"<h2>The market now</h2>{table_of(state)}"
    body = (
        f'{now}<p>GridAgora {escape(VERSION)}. <a href="/docs">API documentation</a>, '
        f'<a href="{PATH}">its description (OpenAPI)</a>, <a href="/problems">problem codes</a>.</p>'
    )
    return HTMLResponse(_PAGE.format(title=escape(str(state.get("name", "GridAgora"))), body=body))


async def _board(request: Request) -> HTMLResponse:
    service = service_of(request)
    state = await service.store.run(service.platform.public_state)
    return HTMLResponse(board_html(state) if "periods" in state else table_of(state))


async def _docs(_request: Request) -> HTMLResponse:
    return HTMLResponse(_DOCS.format(url=PATH))


async def _problems(_request: Request) -> HTMLResponse:
    rows = "".join(
        f'<tr id="{code}"><th>{code}</th><td>{kind.status}</td><td>{escape(kind.title)}</td></tr>'
        for code, kind in KINDS.items()
    )
    head = "<tr><th>code</th><th>status</th><th>meaning</th></tr>"
    return HTMLResponse(_PAGE.format(title="Problem codes", body=f"<table>{head}{rows}</table>"))


def table_of(values: Mapping[str, Any]) -> str:
    """Return values as a table; what stands in them is text and never markup.

    >>> table_of({"name": "<b>north</b>"})
    '<table><tr><th>name</th><td>&lt;b&gt;north&lt;/b&gt;</td></tr></table>'
    """
    rows = (f"<tr><th>{escape(str(name))}</th><td>{_cell(value)}</td></tr>" for name, value in values.items())
    return f"<table>{''.join(rows)}</table>"


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        return table_of(value)
    if isinstance(value, list | tuple):
        return "".join(f"<div>{_cell(one)}</div>" for one in value)
    return escape(value if isinstance(value, str) else json.dumps(value))
