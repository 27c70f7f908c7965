"""The frame: problem documents, limits of bodies and rates, pages, versions, repeated commands."""

import gzip
import json
import logging
import re
from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from pydantic import Field
from service_api import Api
from starlette.requests import Request
from starlette.responses import Response

from gridagora.adapters.sql.database import Database
from gridagora.errors import CommandConflict, Fault, InputError, InvariantError, StoreError
from gridagora.service.api import ROUTERS
from gridagora.service.auth.needs import Caller, needs, public
from gridagora.service.auth.rights import Subject
from gridagora.service.headers import ExpectedVersion, Repeatable, etag, tagged
from gridagora.service.limits import takes
from gridagora.service.pages import AskedPage, Page, write_cursor
from gridagora.service.problems import KINDS, Problem
from gridagora.service.routes import router
from gridagora.service.texts import Model, Name, Text

odd = router("odd")


class Bid(Model):
    price: float
    quantity: Annotated[int, Field(strict=True)]
    name: Name = "x"
    note: Text = ""


class Bids(Model):
    bids: list[Bid]


def faults(*codes):
    return InputError(
        Fault(source="m", place=f"bids.{n}", value=n, reason="is late", fix="bid earlier", code=code)
        for n, code in enumerate(codes)
    )


ERRORS = {
    "input": lambda: faults("a", ""),
    "closed": lambda: faults("gate_closed", "gate_closed"),
    "mixed": lambda: faults("gate_closed", "period_unknown"),
    "version": lambda: faults("version_conflict"),
    "store": lambda: StoreError("postgresql://ann:secret@db is gone"),
    "conflict": lambda: CommandConflict("the key was used"),
    "invariant": lambda: InvariantError("secret invariant"),
    "defect": lambda: ZeroDivisionError("secret number"),
}


@odd.get("/odd/errors/{name}")
@public
async def error(name: str) -> None:
    raise ERRORS[name]()


@odd.post("/odd/bids")
@public
async def bids(body: Bids) -> Bids:
    return body


@odd.post("/odd/rows")
@takes("text/csv", most_bytes=100)
@public
async def rows(request: Request) -> int:
    return len((await request.body()).decode().splitlines())


@odd.get("/odd/list")
@public
async def listed(page: AskedPage, response: Response) -> Page[int]:
    after = page.after(int)
    first = 0 if after is None else int(after[0]) + 1
    return page.page(response, range(first, min(first + page.fetch, 25)), key=lambda n: (n,))


@odd.get("/odd/pairs")
@public
async def pairs(page: AskedPage, response: Response) -> Page[str]:
    page.after(int, str)
    return page.page(response, [], key=lambda n: (1, n))


@odd.get("/odd/thing")
@public
async def thing(request: Request, response: Response) -> str:
    tagged(request, response, etag(3))
    return "thing"


@odd.patch("/odd/thing")
@public
async def change_thing(version: ExpectedVersion) -> int:
    return version


@odd.post("/odd/commands")
async def given(
    again: Repeatable, caller: Annotated[Caller, needs("me.write")], body: dict[str, int]
) -> list[str]:
    return [again.key, again.request.hex()]


@odd.get("/odd/forgetful")
async def forgetful(caller: Annotated[Caller, needs("bids.read")]) -> str:
    return "secret bids"


@odd.get("/odd/asking")
async def asking(caller: Annotated[Caller, needs("bids.read")]) -> list[str]:
    return caller.only(["h1", "h2"], lambda home: Subject(participants=frozenset({home})))


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    path = tmp_path_factory.mktemp("frame") / "a.db"
    with Database(f"sqlite:///{path}", write=True, create=True) as database:
        made = Api(database, routers=[*ROUTERS, odd])
        made.ann = made.person("homes", "ann", participants=["h1"])
        yield made
        made.close()


def check_problem(answer, status, code):
    document = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, document["status"], document["code"]) == (status, status, code)
    assert document["title"] == KINDS[code].title
    assert document["detail"]
    assert document["instance"] == f"urn:request:{answer.headers['request-id']}"
    return document


# --- problems -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("input", 422, "input_invalid"),
        ("closed", 409, "conflict"),
        ("mixed", 422, "input_invalid"),
        ("version", 412, "version_conflict"),
        ("store", 503, "store_unavailable"),
        ("conflict", 409, "idempotency_key_reused"),
        ("invariant", 500, "internal_error"),
        ("defect", 500, "internal_error"),
    ],
)
def test_every_error_is_a_problem_document(api, name, status, code):
    answer = api.get(f"/api/v1/odd/errors/{name}")
    check_problem(answer, status, code)
    assert "secret" not in answer.text


def test_all_faults_are_told_with_place_value_reason_fix_and_code(api):
    errors = api.get("/api/v1/odd/errors/input").json()["errors"]
    assert errors[0] == {
        "place": "bids.0",
        "value": 0,
        "reason": "is late",
        "fix": "bid earlier",
        "code": "a",
    }
    body = {"bids": [{"price": "x", "quantity": 1.5, "extra": 1}, {"quantity": 2}]}
    document = check_problem(api.post("/api/v1/odd/bids", json=body), 422, "input_invalid")
    assert {error["place"] for error in document["errors"]} == {
        "body.bids.0.price",
        "body.bids.0.quantity",
        "body.bids.0.extra",
        "body.bids.1.price",
    }
    assert document["detail"] == "4 faults; nothing was done"


def test_unexpected_error_is_logged_with_its_number(api, caplog):
    with caplog.at_level(logging.ERROR, "gridagora.service"):
        number = api.get("/api/v1/odd/errors/defect").headers["request-id"]
    assert number in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_unknown_paths_and_methods_are_problems(api):
    check_problem(api.get("/nothing/here"), 404, "not_found")
    check_problem(api.get("/api/v1/me/"), 404, "not_found")
    answer = api.ask("DELETE", "/api/v1/odd/list")
    check_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert api.ask("PUT", "/api/v1/users").headers["allow"] == "GET, HEAD, OPTIONS, POST"


def test_every_code_is_told_to_people(api):
    page = api.get("/problems").text
    assert all(f'<tr id="{code}">' in page for code in KINDS)
    assert api.get("/api/v1/odd/errors/store").json()["type"] == "/problems#store_unavailable"


# --- bodies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"bids": [' * 300, 400, "body_unreadable"),
        (b"[" * 100_000, 400, "body_unreadable"),
        (b'{"bids": \xff}', 400, "body_unreadable"),
        (b'{"bids": [{"price": NaN, "quantity": 1}]}', 400, "body_unreadable"),
        (b'{"bids": [{"price": 1e999, "quantity": 1}]}', 422, "input_invalid"),
        (b'{"bids": [{"price": 1, "quantity": ' + b"9" * 5000 + b"}]}", 400, "body_unreadable"),
        (b'{"bids": [{"price": 1, "quantity": 1, "name": "a\\u0000b"}]}', 400, "text_invalid"),
        (b'{"bids": [{"price": 1, "quantity": 1, "name": "a\\\\u0000b"}]}', 200, None),
        (b'{"bids": [{"price": 1, "quantity": 1, "name": "\\ud800"}]}', 400, "body_unreadable"),
        (b'{"bids": [{"price": 1, "quantity": 1, "name": "a\\u0007b"}]}', 422, "input_invalid"),
        (b'{"bids": [{"price": 1, "quantity": 1, "name": "a\\u202eb"}]}', 422, "input_invalid"),
        (b'{"bids": [{"price": 1, "quantity": true}]}', 422, "input_invalid"),
        (b"", 422, "input_invalid"),
        (b"null", 422, "input_invalid"),
        (b'{"bids": []} {"bids": []}', 400, "body_unreadable"),
    ],
)
def test_odd_bodies_are_refused(api, body, status, code):
    answer = api.post("/api/v1/odd/bids", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    if code is not None:
        check_problem(answer, status, code)


@pytest.mark.parametrize(
    "name",
    [
        "Robert'); DROP TABLE auth_users;--",
        "<script>alert(1)</script>",
        "Žofia Ångström 北京 🏡",
    ],
)
def test_names_are_data_and_come_back_as_they_are(api, name):
    body = {"bids": [{"price": 1, "quantity": 1, "name": name, "note": "a\nb"}]}
    answer = api.post("/api/v1/odd/bids", json=body)
    assert answer.json()["bids"][0]["name"] == name


@pytest.mark.parametrize(
    ("name", "mended", "reasons"),
    [
        ("Zoe\u0308", "Zoë", ["NFC"]),
        (" Ann", "Ann", ["blanks"]),
        ("Ann\u200b", "Ann", ["not seen"]),
        ("\u202enna", "nna", ["not seen"]),
        ("Ann\nBob", "AnnBob", ["not seen"]),
        ("Ann\u2028 ", "Ann", ["not seen", "blanks"]),
    ],
)
def test_names_that_look_like_others_are_refused_with_what_to_write(api, name, mended, reasons):
    body = {"bids": [{"price": 1, "quantity": 1, "name": name}]}
    (fault,) = check_problem(api.post("/api/v1/odd/bids", json=body), 422, "input_invalid")["errors"]
    assert (fault["code"], fault["fix"]) == ("text_invalid", f'write "{mended}"')
    assert all(reason in fault["reason"] for reason in reasons)


@pytest.mark.parametrize(
    ("body", "places"),
    [
        (b'{"bids": [], "bids": []}', ["body.bids"]),
        (b'{"bids": [{"price": 1, "price" : 2, "quantity": 3}]}', ["body.bids.0.price"]),
        (b'{"bids":[{"a":1,"a":2},{"\\u0061":1,"a":2}]}', ["body.bids.0.a", "body.bids.1.a"]),
        (b'{"bids":[{"a" \n:1,"a"\t:":","b\\":":1,"b\\":":2}]}', ["body.bids.0.a", 'body.bids.0.b":']),
    ],
)
def test_names_that_stand_twice_in_an_object_are_all_told(api, body, places):
    answer = api.post("/api/v1/odd/bids", content=body, headers={"Content-Type": "application/json"})
    errors = check_problem(answer, 400, "body_unreadable")["errors"]
    assert [(one["place"], one["code"]) for one in errors] == [(place, "duplicate_name") for place in places]


def test_texts_with_colons_and_quotation_marks_stand_once(api):
    body = {"bids": [{"price": 1, "quantity": 1, "name": '":":', "note": ': "a": \\" :'}]}
    assert api.post("/api/v1/odd/bids", json=body).status_code == 200


def test_packed_bodies_are_not_unpacked(api):
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = api.post("/api/v1/odd/bids", content=gzip.compress(b" " * 10**6), headers=headers)
    check_problem(answer, 415, "content_encoding_unsupported")
    assert answer.headers["accept-encoding"] == "identity"


def test_parameters_that_are_not_known_or_come_twice_are_all_told(api):
    answer = api.get("/api/v1/odd/list?limit=1&limit=2&page=3&Cursor=x")
    errors = check_problem(answer, 422, "input_invalid")["errors"]
    assert [(one["place"], one["code"], one["fix"]) for one in errors] == [
        ("query.limit", "parameter_repeated", "say it once"),
        ("query.page", "parameter_unknown", "use cursor, limit"),
        ("query.Cursor", "parameter_unknown", "use cursor, limit"),
    ]


def test_head_tells_what_get_does_without_its_body(api):
    told, asked = api.ask("HEAD", "/api/v1/odd/list"), api.get("/api/v1/odd/list")
    assert (told.status_code, told.content) == (200, b"")
    assert told.headers["content-length"] == asked.headers["content-length"]
    assert api.ask("HEAD", "/api/v1/odd/bids").status_code == 405


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/api/v1/odd/thing", "GET, HEAD, OPTIONS, PATCH"), ("/api/v1/odd/bids", "OPTIONS, POST")],
)
def test_options_tell_the_methods_of_a_path(api, path, methods):
    answer = api.ask("OPTIONS", path)
    assert (answer.status_code, answer.headers["allow"]) == (204, methods)


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/xml", "application/json; charset=latin-1", "multipart/form-data"]
)
def test_other_media_types_are_refused(api, kind):
    answer = api.post("/api/v1/odd/bids", content=b'{"bids": []}', headers={"Content-Type": kind})
    check_problem(answer, 415, "content_type_unsupported")
    assert answer.headers["accept"] == "application/json"


@pytest.mark.parametrize(
    "kind", ["application/json; charset=UTF-8", "application/geo+json", "Application/JSON"]
)
def test_json_by_other_names_is_taken(api, kind):
    answer = api.post("/api/v1/odd/bids", content=b'{"bids": []}', headers={"Content-Type": kind})
    assert answer.status_code == 200


def test_too_large_bodies_are_refused_whether_they_tell_their_length_or_not(api):
    headers = {"Content-Type": "application/json"}
    large = b" " * (api.settings.body_bytes + 1)
    check_problem(api.post("/api/v1/odd/bids", content=large, headers=headers), 413, "body_too_large")

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    check_problem(api.post("/api/v1/odd/bids", content=parts(), headers=headers), 413, "body_too_large")


def test_route_says_what_bodies_it_takes(api):
    headers = {"Content-Type": "text/csv"}
    assert api.post("/api/v1/odd/rows", content="a,b\n1,2\n", headers=headers).json() == 2
    for body, status, code in [
        (b"x" * 101, 413, "body_too_large"),
        (b"\xff", 400, "body_unreadable"),
        (b"a\0", 400, "text_invalid"),
    ]:
        check_problem(api.post("/api/v1/odd/rows", content=body, headers=headers), status, code)
    check_problem(api.post("/api/v1/odd/rows", json={}), 415, "content_type_unsupported")


@pytest.mark.parametrize("path", ["/api/v1/odd/list?cursor=%00", "/api/v1/users/%00"])
def test_zero_in_an_address_is_refused(api, path):
    check_problem(api.get(path), 400, "text_invalid")


def test_body_is_not_read_of_whom_nobody_knows(api):
    read = []

    async def parts() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"{}"

    answer = api.post("/api/v1/users", content=parts(), headers={"Content-Type": "application/json"})
    check_problem(answer, 401, "unauthenticated")
    assert read == []


# --- rates --------------------------------------------------------------------------------------------


def test_every_answer_tells_how_often_one_may_still_ask(tmp_path):
    with Database(f"sqlite:///{tmp_path / 'a.db'}", write=True, create=True) as database:
        api = Api(database, rate=1e-3, burst=50, anonymous_rate=1.0, anonymous_burst=500)
        ann = api.person("homes", "ann")
        limits = [api.get("/api/v1/me", token=ann).headers for _ in range(3)][1:]
        assert [one["ratelimit-limit"] for one in limits] == ["50", "50"]
        assert int(limits[0]["ratelimit-remaining"]) - int(limits[1]["ratelimit-remaining"]) == 1
        assert int(limits[1]["ratelimit-reset"]) >= 1000
        assert api.get("/api/v1/me").headers["ratelimit-limit"] == "500"
        api.close()


def test_other_names_of_an_address_are_no_other_client(tmp_path):
    with Database(f"sqlite:///{tmp_path / 'a.db'}", write=True, create=True) as database:
        api = Api(database, anonymous_rate=1e-3, anonymous_burst=5)
        headers = [
            {"X-Forwarded-For": f"198.51.100.{n}", "Forwarded": f"for=198.51.100.{n}"} for n in range(9)
        ]
        answers = [api.get("/api/v1/me", headers=one) for one in headers]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 4
        assert answers[-1].headers["ratelimit-remaining"] == "0"
        api.close()


def test_clients_that_ask_too_often_are_told_when_to_come_back(tmp_path):
    with Database(f"sqlite:///{tmp_path / 'a.db'}", write=True, create=True) as database:
        api = Api(database, rate=1e-3, burst=5, anonymous_rate=0.5, anonymous_burst=20)
        ann, bea = api.person("homes", "ann"), api.person("homes", "bea")
        for token in (ann, bea):
            assert [api.get("/api/v1/me", token=token).status_code for _ in range(3)] == [200] * 3
        answers = [api.get("/api/v1/me", token=ann) for _ in range(3)]
        limited = next(answer for answer in answers if answer.status_code == 429)
        check_problem(limited, 429, "rate_limited")
        assert int(limited.headers["retry-after"]) > 100
        strangers = [api.get("/api/v1/me").status_code for _ in range(25)]
        assert strangers[-1] == 429
        assert api.get("/healthz").status_code != 429  # whoever watches over it is not in the same queue
        assert [api.get("/healthz").status_code == 429 for _ in range(25)][-1]
        api.close()


# --- pages, versions, repeated commands ---------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 7, 24, 25, 1000])
def test_pages_hold_every_entry_once(api, limit):
    found, cursor = [], None
    while True:
        asked = {"limit": limit} | ({} if cursor is None else {"cursor": cursor})
        answer = api.get("/api/v1/odd/list", params=asked)
        page = answer.json()
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            assert "link" not in answer.headers
            break
        link = re.fullmatch(r'<(.+)>; rel="next"', answer.headers["link"])
        assert api.get(link[1]).json()["items"][0] == found[-1] + 1
    assert found == list(range(25))


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "",
        "A" * 900,
        "é",
        write_cursor((3,), "/api/v1/odd/pairs"),
        write_cursor(("3",), "/api/v1/odd/list"),
        write_cursor((True,), "/api/v1/odd/list"),
        write_cursor((3, 4), "/api/v1/odd/list"),
    ],
)
def test_foreign_and_changed_cursors_are_refused(api, cursor):
    check_problem(api.get("/api/v1/odd/list", params={"cursor": cursor}), 400, "cursor_invalid")


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "1e3"])
def test_page_sizes_have_bounds(api, limit):
    check_problem(api.get("/api/v1/odd/list", params={"limit": limit}), 422, "input_invalid")


def test_known_version_is_not_sent_again(api):
    tag = api.get("/api/v1/odd/thing").headers["etag"]
    for known in (tag, f'"9", W/{tag}', "*"):
        answer = api.get("/api/v1/odd/thing", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert api.get("/api/v1/odd/thing", headers={"If-None-Match": '"2"'}).status_code == 200
    for odd_tag in ("3", '"3', "* , *", '"3" "4"'):
        answer = api.get("/api/v1/odd/thing", headers={"If-None-Match": odd_tag})
        check_problem(answer, 400, "header_invalid")


def test_change_names_the_version_that_it_changes(api):
    assert api.ask("PATCH", "/api/v1/odd/thing", headers={"If-Match": '"7"'}).json() == 7
    check_problem(api.ask("PATCH", "/api/v1/odd/thing"), 428, "precondition_required")
    for wrong in ("7", "*", 'W/"7"', '"x"', '"' + "9" * 40 + '"'):
        answer = api.ask("PATCH", "/api/v1/odd/thing", headers={"If-Match": wrong})
        check_problem(answer, 400, "header_invalid")


def test_idempotency_key_counts_for_its_sender_and_request(api):
    def ask(token, key, body, expected=200):
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = api.post("/api/v1/odd/commands", token=token, headers=headers, json=body)
        assert answer.status_code == expected, answer.text
        return answer.json()

    bea = api.person("homes", "bea")
    assert ask(api.ann, None, {"a": 1}) == ["", ""]
    first, again, other = (ask(api.ann, "k1", {"a": n}) for n in (1, 1, 2))
    assert first == again
    assert first[0] == other[0]
    assert first[1] != other[1]
    assert ask(bea, "k1", {"a": 1})[0] != first[0]
    for key in ("a b", "x" * 129, ""):
        assert ask(api.ann, key, {}, expected=422 if len(key) > 128 else 400)["code"]


def test_endpoint_that_forgets_to_ask_whose_a_thing_is_answers_nothing(api):
    answer = api.get("/api/v1/odd/forgetful", token=api.ann)
    check_problem(answer, 500, "internal_error")
    assert "secret" not in answer.text
    assert api.get("/api/v1/odd/asking", token=api.ann).json() == ["h1"]


# --- pages for people, headers, logs ------------------------------------------------------------------


def test_start_page_shows_the_market_and_the_way_to_the_api(api):
    api.platform.state = {"name": "<b>north</b>", "sessions": [{"number": 7, "state": "open"}]}
    page = api.get("/").text
    assert "&lt;b&gt;north&lt;/b&gt;" in page
    assert "<b>" not in page
    for link in ("/docs", "/api/v1/openapi.json", "/problems"):
        assert f'href="{link}"' in page
        assert api.get(link).status_code == 200


def test_documentation_loads_nothing_from_elsewhere(api):
    page = api.get("/docs").text
    assert "//" not in page
    for part in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert api.get(part).status_code == 200
    policy = api.get("/docs").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe-eval" not in policy


def test_description_names_rights_problems_and_headers(api):
    made = api.get("/api/v1/openapi.json").json()
    assert made["openapi"].startswith("3.1")
    for path, methods in made["paths"].items():
        for operation in methods.values():
            assert operation["responses"]["default"]["content"].keys() == {"application/problem+json"}
            assert ("security" in operation) == ("x-action" in operation), path
    change = made["paths"]["/api/v1/users/{id}"]["patch"]
    assert "Right `users.write`: administrator (all)." in change["description"]
    assert "If-Match" in {parameter["name"] for parameter in change["parameters"]}
    assert "HTTPValidationError" not in json.dumps(made)


@pytest.mark.parametrize("path", ["/", "/docs", "/api/v1/me", "/api/v1/odd/list", "/nothing"])
def test_responses_keep_browsers_careful(api, path):
    headers = api.get(path, headers={"Origin": "https://evil.example"}).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers
    assert "strict-transport-security" not in headers
    if path.startswith("/api/"):
        assert headers["cache-control"] == "no-store"


def test_other_origins_are_let_in_where_the_operator_says_so(tmp_path):
    with Database(f"sqlite:///{tmp_path / 'a.db'}", write=True, create=True) as database:
        api = Api(database, origins=("https://good.example",), https=True)
        for origin, told in (
            ("https://good.example", "https://good.example"),
            ("https://evil.example", None),
        ):
            headers = api.get("/api/v1/me", headers={"Origin": origin}).headers
            assert headers.get("access-control-allow-origin") == told
            assert headers["strict-transport-security"] == "max-age=31536000"
        api.close()


def test_access_log_has_one_line_per_request_and_no_secrets(api, caplog):
    with caplog.at_level(logging.INFO, "gridagora.access"):
        api.get("/api/v1/odd/list?cursor=secret-cursor", token=api.ann)
        api.sign_in("nobody@example.org", "secret-password")
    lines = [json.loads(record.message) for record in caplog.records if record.name == "gridagora.access"]
    assert [(line["path"], line["status"]) for line in lines] == [
        ("/api/v1/odd/list", 400),
        ("/oauth/token", 400),
    ]
    assert "secret" not in caplog.text
    assert api.ann not in caplog.text


def test_problem_of_an_unknown_code_is_a_defect():
    with pytest.raises(KeyError):
        Problem("no_such_code")
