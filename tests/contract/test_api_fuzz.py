"""Whatever is sent to the market's resources, the answer is no defect of ours and is described."""

import warnings

import pytest
import schemathesis
from api_market import BUSES, EPOCH, MarketApi
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from gridagora.service.api.v1 import ROUTERS
from gridagora.service.routes import routes_of

OPERATIONS = [
    (method.lower(), route.path) for route in routes_of(ROUTERS) for method in sorted(route.methods)
]
BAD_HEADER = (UnicodeEncodeError, ValueError)
KNOWN = {
    "participants": "ann",
    "connection-points": "ann-1",
    "assets": "pv",
    "products": "p1",
    "forecasts": "f1",
    "limits": "l1",
    "disputes": "d1",
    "invoices": "ann:2026-01",
    "trades": "0-0",
    "approvals": "0-0",
    "contracts": "x",
}


def limits(examples):
    return settings(
        max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    made = MarketApi(f"sqlite:///{tmp_path_factory.mktemp('fuzz') / 'a.db'}")
    made.admin = made.person("operator", "root")
    made.dso = made.person("grid", "dora", areas=("*",))
    made.ann = made.person("homes", "ann", participants=("ann",))
    made.others = [made.person(*who) for who in (("watch", "rita"), ("power", "ravi"), ("pool", "agnes"))]
    made.join(made.admin, "ann", BUSES[0], money=10**9)
    made.made("/api/v1/assets", made.ann, {"id": "pv", "participant": "ann", "type": "pv", "power_kw": 1.0})
    made.made("/api/v1/products", made.admin, {"id": "p1", "name": "x", "market": "energy"})
    made.made("/api/v1/forecasts", made.ann, {"id": "f1", "participant": "ann", "first": 50, "kw": [1.0]})
    limit = {"id": "l1", "place_kind": "participant", "place": "ann"}
    limit |= {"begins": "2026-01-02T00:00Z", "ends": "2026-01-02T01:00Z"}
    made.made("/api/v1/limits", made.dso, limit)
    flex = {
        "buyers": ["grid"],
        "products": [{"name": "cap", "direction": "cap", "settlement": "capacity_limit"}],
    }
    made.made("/api/v1/flexibility/market", made.admin, flex | {"first": 0, "periods": 400})
    need = {"buyer": "grid", "horizon": "activation", "product": "cap", "first": 200, "count": 2}
    need |= {"gate": "2026-01-02T00:00:00Z", "needs": [{"period": 200, "kw": 2.0, "price": 0.5}]}
    made.made("/api/v1/flexibility/requests", made.dso, need)
    bid = {"participant": "ann", "side": "buy", "period": 0, "price": "0.3", "quantity_wh": 500}
    made.made("/api/v1/bids", made.ann, bid)
    made.until(EPOCH + 7200, status="settled")
    made.made("/api/v1/disputes", made.ann, {"id": "d1", "session": 0, "participant": "ann", "reason": "x"})
    made.described = made.app.openapi()
    made.schema = schemathesis.openapi.from_dict(made.described)
    yield made
    made.close()


def known_path(path):
    parts = path.split("/")
    for place, part in enumerate(parts):
        if part.startswith("{"):
            before = parts[place - 1]
            names = {"{participant}": "ann", "{session}": "0", "{number}": "0", "{product}": "cap"}
            parts[place] = names.get(part, KNOWN.get(before, "x"))
    return "/".join(parts)


def ask_all(api, method, path, *, mode, examples):
    """Send what a description allows, or what it does not, as everybody who might be let in."""
    described = api.described["paths"][path][method]
    places = {parameter["in"] for parameter in described.get("parameters", ())}
    if mode is GenerationMode.NEGATIVE and not (places - {"path"} or "requestBody" in described):
        return
    strategy = api.schema[path][method].as_strategy(generation_mode=mode)
    tokens = st.sampled_from([api.admin, api.dso, api.ann, *api.others])

    @limits(examples)
    @given(case=strategy, is_known=st.booleans(), token=tokens)
    def ask(case, is_known, token):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sent = case.as_transport_kwargs(base_url="http://market")
        url = known_path(path) if is_known else sent["url"]
        headers = {k: v for k, v in sent["headers"].items() if k.lower() != "authorization"}
        more = {k: sent[k] for k in ("params", "json", "data") if k in sent}
        if isinstance(more.get("data"), bytes | str):
            data = more.pop("data")
            more["content"] = data.encode() if isinstance(data, str) else data
        if path.endswith("stream"):
            more["params"] = {**(more.get("params") or {}), "once": "true"}
        try:
            answer = api.ask(method.upper(), url, token=token, headers=headers, **more)
        except BAD_HEADER:
            assume(False)
        assert answer.status_code < 500, (sent, answer.text)
        if answer.status_code >= 400:
            assert answer.headers.get("content-type") == "application/problem+json"
            assert {"type", "title", "status", "detail", "code", "errors"} <= answer.json().keys()
        elif answer.status_code != 304:
            assert str(answer.status_code) in described["responses"]

    ask()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_nothing_that_is_sent_makes_a_defect(api, method, path, mode):
    ask_all(api, method, path, mode=mode, examples=5)


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_nothing_of_much_that_is_sent_makes_a_defect(api, method, path, mode):
    ask_all(api, method, path, mode=mode, examples=60)
