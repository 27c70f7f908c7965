"""Whatever is sent to the API, by its description or against it, the answer is no defect of ours."""

import warnings

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from service_api import Api

from gridagora.adapters.sql.database import Database
from gridagora.service.api import audit, clients, jobs, me, oauth, organisations, users
from gridagora.service.routes import routes_of

MINE = [oauth.api, me.api, organisations.api, users.api, clients.api, audit.api, jobs.api]
LIMITS = settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
OPERATIONS = [(method.lower(), route.path) for route in routes_of(MINE) for method in sorted(route.methods)]
BAD_HEADER = (UnicodeEncodeError, ValueError)


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "a.db"
    with Database(f"sqlite:///{path}", write=True, create=True) as database:
        made = Api(database, routers=MINE)
        made.admin = made.person("operator", "ann")
        made.machine_id, made.secret = made.machine(made.admin, "operator")
        user = made.get("/api/v1/me", token=made.admin).json()["id"]
        made.person("homes", "bea")
        made.known = {
            "organisations": "homes",
            "users": made.get("/api/v1/users", token=made.admin).json()["items"][-1]["id"],
            "clients": made.machine(made.admin, "homes")[0],
            "jobs": made.app.state.service.jobs.start(user, "nothing", lambda _progress: {}).id,
        }
        made.description = schemathesis.openapi.from_dict(made.app.openapi())
        yield made
        made.close()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_nothing_that_is_sent_makes_a_defect(api, method, path, mode):
    described = api.app.openapi()["paths"][path][method]
    places = {parameter["in"] for parameter in described.get("parameters", ())}
    if mode is GenerationMode.NEGATIVE and not (places - {"path"} or "requestBody" in described):
        return  # nothing is sent that could be wrong
    strategy = api.description[path][method].as_strategy(generation_mode=mode)
    token = api.machine_token(api.machine_id, api.secret).json()["access_token"]

    @LIMITS
    @given(case=strategy, is_known=st.booleans())
    def ask(case, is_known):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sent = case.as_transport_kwargs(base_url="http://market")
        url = sent["url"]
        if "{id}" in path and is_known:
            url = path.replace("{id}", api.known[path.split("/")[3]])
        headers = {k: v for k, v in sent["headers"].items() if k.lower() != "authorization"}
        more = {k: sent[k] for k in ("params", "json", "data") if k in sent}
        if isinstance(more.get("data"), bytes):
            more["content"] = more.pop("data")
        try:
            answer = api.ask(method.upper(), url, token=token, headers=headers, **more)
        except BAD_HEADER:
            assume(False)
        assert answer.status_code < 500, answer.text
        kind = answer.headers.get("content-type", "")
        if answer.status_code >= 400:
            assert kind == "application/problem+json"
            assert {"type", "title", "status", "detail", "code", "errors"} <= answer.json().keys()
        else:
            assert str(answer.status_code) in described["responses"]

    ask()
