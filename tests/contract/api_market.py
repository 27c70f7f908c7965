"""A market behind its API for tests: four buses, hourly sessions, a clock that tests set forward."""

import asyncio
import time
from threading import Thread

import httpx
from benchmarks.served import SCENARIO
from service_api import Api, settings_for_tests
from service_api import Clock as WallClock

from gridagora.bootstrap import live_runner
from gridagora.client import Market
from gridagora.service.api import ROUTERS
from gridagora.service.api.v1 import ROUTERS as MARKET_ROUTERS
from gridagora.service.app import create_app
from gridagora.service.running import Running

EPOCH = 1_767_225_600
"""2026-01-01T00:00Z: a Thursday."""

BUSES = tuple(home["bus"] for home in SCENARIO["participants"]["list"])
PATIENCE_S = 120.0
"""How long something may take that is due, s: the first start in a new copy compiles for half a minute."""

TERMS = {"gate_lead_s": 300, "open_lead_s": 7200, "readings_lead_s": 3600, "dispute_s": 86_400}


class Hands:
    """A clock that stands still until a test moves it."""

    def __init__(self, now):
        self.moment = now

    def now(self):
        return self.moment

    def seconds_until(self, moment):
        return 0.0 if moment <= self.moment else 0.005


def wait_cleared(client, number):
    """Return an auction of flexibility when it is cleared."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = next(one for one in client.flexibility.auctions() if one.number == number)
        if found.cleared:
            return found
        time.sleep(0.005)
    raise TimeoutError(f"auction {number} was not cleared")


class Bridge(httpx.BaseTransport):
    """Hands requests of threads to an application in a loop of its own."""

    def __init__(self, app):
        self._inner = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work):
        """Return what a coroutine returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def handle_request(self, request):
        request.read()
        return self.run(self._answer(request))

    async def _answer(self, request):
        answer = await self._inner.handle_async_request(request)
        content = b"".join([part async for part in answer.stream])
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class MarketApi(Api):
    """Asks the service of a market that runs on a file."""

    def __init__(self, url, *, terms=None, scenario=None, **changes):
        self.hands = Hands(EPOCH - 3600)
        self.runner = live_runner(
            url, scenario or SCENARIO, clock=self.hands, epoch=EPOCH, **(TERMS | (terms or {}))
        )
        self.platform = Running(self.runner, self.runner.terms, speed=1.0, demo=False)
        self.clock = WallClock()
        self.settings = settings_for_tests(self.clock, **changes)
        self.database = self.runner.database
        routers = (*MARKET_ROUTERS, *ROUTERS)
        self.app = create_app(self.platform, settings=self.settings, routers=routers)
        self.bridge = Bridge(self.app)
        self.http = httpx.Client(transport=self.bridge, base_url="http://market")

    def close(self):
        self.http.close()
        self.app.state.service.close()
        self.platform.close()

    def ask(self, method, path, *, token=None, headers=None, **more):
        headers = dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        return self.http.request(method, path, headers=headers, **more)

    def client(self, token=""):
        """Return the typed client of somebody."""
        return Market("http://market", token=token, http=self.http)

    def until(self, moment, *, status=None, session=0):
        """Set the clock forward and wait until what is due by then is done."""
        self.hands.moment = moment
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if status in (None, self.get(f"/api/v1/sessions/{session}").json()["status"]):
                return
            time.sleep(0.005)
        raise TimeoutError(f"session {session} did not become {status}: {self.runner.public_state()}")

    def made(self, path, token, body, **more):
        """Post a body that must be taken, and return the answer."""
        answer = self.post(path, token=token, json=body, **more)
        assert answer.status_code in (200, 201, 202), answer.text
        return answer.json()

    def put(self, path, version, **more):
        """Change a record by its version."""
        return self.ask("PUT", path, headers={"If-Match": f'"{version}"'}, **more)

    def join(self, admin, name, bus, *, organisation="homes", seller=True, money=0):
        """Register a participant with all that it needs to trade."""
        body = {"id": name, "name": name.title(), "organisation": organisation}
        self.made("/api/v1/participants", admin, body)
        assert self.put(
            f"/api/v1/participants/{name}/status", 1, token=admin, json={"status": "active"}
        ).is_success
        point = {"id": f"{name}-1", "participant": name, "bus": bus, "import_kw": 20.0, "export_kw": 20.0}
        self.made("/api/v1/connection-points", admin, point)
        path = f"/api/v1/connection-points/{name}-1/status"
        assert self.put(path, 1, token=admin, json={"status": "active"}).is_success
        if money:
            self.made(f"/api/v1/accounts/{name}/deposits", admin, {"amount_micro": money})
