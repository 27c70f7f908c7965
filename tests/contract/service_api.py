"""A service for tests: a market that only tells its name, people of every role, and a client to ask it."""

import asyncio
from dataclasses import dataclass, field

import httpx
import pyotp

from gridagora.adapters.sql.database import Database
from gridagora.service.app import create_app
from gridagora.service.auth.admin import Administration
from gridagora.service.settings import Settings

PASSWORD = "seven green trams at dawn"
TYPES = {
    "operator": "administrator",
    "watch": "regulator",
    "grid": "dso",
    "power": "retailer",
    "pool": "aggregator",
    "homes": "prosumer",
}
KINDS = {
    "operator": "operator",
    "watch": "regulator",
    "grid": "dso",
    "power": "retailer",
    "pool": "aggregator",
    "homes": "community",
}


class Clock:
    """A clock that tests set forward."""

    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


@dataclass
class Quiet:
    """A platform without a market."""

    database: Database
    state: dict = field(default_factory=lambda: {"name": "village", "sessions": []})

    def public_state(self):
        return self.state


def settings_for_tests(clock, **changes):
    kept = {
        "argon2_kib": 64,
        "argon2_passes": 1,
        "anonymous_rate": 1e6,
        "anonymous_burst": 10**6,
        "refusal_burst": 10**6,
        "clock": clock,
    }
    return Settings(**kept | changes)


class Api:
    """Asks a service as an HTTP client would, and waits for the answer."""

    def __init__(self, database, *, routers=None, **changes):
        self.clock = Clock()
        self.settings = settings_for_tests(self.clock, **changes)
        self.database = database
        self.platform = Quiet(database)
        more = {} if routers is None else {"routers": routers}
        self.app = create_app(self.platform, settings=self.settings, **more)
        self._loop = asyncio.new_event_loop()
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://market")

    def close(self):
        self._loop.run_until_complete(self._http.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        self.app.state.service.close()

    def run(self, work):
        return self._loop.run_until_complete(work)

    def ask(self, method, path, *, token=None, headers=None, **more):
        headers = dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        return self.run(self._http.request(method, path, headers=headers, **more))

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def post(self, path, **more):
        return self.ask("POST", path, **more)

    def sign_in(self, email, password=PASSWORD, **more):
        fields = {"grant_type": "password", "username": email, "password": password, **more}
        return self.post("/oauth/token", data=fields)

    def together(self, *requests):
        """Send requests (method, path, keywords) at once."""

        async def all_of_them():
            return await asyncio.gather(*(self._http.request(m, p, **k) for m, p, k in requests))

        return self.run(all_of_them())

    # --- people -----------------------------------------------------------------------------------

    def person(self, organisation, name, *, participants=(), areas=()):
        """Make a person who has set their password and second factor; return their token."""
        people = Administration(self.database, self.settings)
        kind = KINDS[organisation.split("-")[0]]
        people.add_organisation(organisation, name=organisation.title(), kind=kind, areas=areas)
        email = f"{name}@{organisation}.example"
        made = people.add_person(email, name=name, organisation=organisation, participants=participants)
        people.close()
        return self.set_up(email, made.password)

    def set_up(self, email, first):
        token = self.sign_in(email, first).json()["access_token"]
        body = {"old_password": first, "new_password": PASSWORD}
        assert self.post("/api/v1/me/password", token=token, json=body).status_code == 204
        token = self.sign_in(email).json()["access_token"]
        offered = self.post("/api/v1/me/totp", token=token, json={"password": PASSWORD}).json()
        self.factor = pyotp.TOTP(offered["secret"])
        body = {"code": self.factor.at(self.clock.now)}
        self.codes = self.post("/api/v1/me/totp/confirm", token=token, json=body).json()["recovery_codes"]
        return token

    def machine(self, token, organisation, *, scopes=("*",), participants=()):
        """Make a machine; return its id and secret."""
        body = {
            "name": "m",
            "organisation": organisation,
            "scopes": list(scopes),
            "participants": list(participants),
        }
        made = self.post("/api/v1/clients", token=token, json=body)
        assert made.status_code == 201, made.text
        return made.json()["client"]["id"], made.json()["client_secret"]

    def machine_token(self, id, secret, **more):
        fields = {"grant_type": "client_credentials", "client_id": id, "client_secret": secret, **more}
        return self.post("/oauth/token", data=fields)
