"""Bodies of very many rows become jobs; what is found in readings can be listed."""

import io
import threading
import time

import numpy as np
import pandas as pd
import pytest
from api_market import BUSES, EPOCH, MarketApi

from gridagora.adapters.sql.audit import replay
from gridagora.model.live_events import ReadingsTaken
from gridagora.service.api.v1 import metering, parts
from gridagora.service.problems import Problem

XLSX = metering.XLSX


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A market with two days behind it, kept so that readings of all of them are taken."""
    terms = {"dispute_s": 40 * 86_400}
    api = MarketApi(f"sqlite:///{tmp_path_factory.mktemp('parts') / 'a.db'}", terms=terms)
    api.admin = api.person("operator", "root")
    api.ann = api.person("homes", "ann", participants=("ann",))
    api.bob = api.person("homes", "bob", participants=("bob",))
    api.pool = api.person("pool", "pat")
    for name, bus in zip(("ann", "bob", "cem"), BUSES[:3], strict=True):
        api.join(api.admin, name, bus)
    api.until(EPOCH + 56 * 3600, status="settled", session=53)
    yield api
    api.close()


def ended(api, answer, token, *, status="done"):
    """Return a job when it has ended."""
    assert answer.status_code == 202, answer.text
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        job = api.get(answer.headers["location"], token=token).json()
        if job["status"] not in ("waiting", "running"):
            assert job["status"] == status, job
            return job
        time.sleep(0.01)
    raise TimeoutError(job)


def bulk(api, rows, token, **headers):
    return api.post("/api/v1/readings/bulk", token=token, json={"readings": rows}, headers=headers)


def sent(api, name):
    """Return how many readings of somebody were taken by requests, whenever."""
    events = api.database.events(api.platform.name)
    taken = [one for one in events if isinstance(one, ReadingsTaken) and one.source == "api"]
    return sum(int((np.array(one.participants)[one.participant] == name).sum()) for one in taken)


def rows_of(name, count, first=0, **more):
    made = {"participant": name, "export_wh": 0} | more
    return [made | {"period": first + k, "import_wh": 100 + k % 50} for k in range(count)]


def test_every_refused_row_of_a_job_is_told_and_the_others_are_taken(world):
    rows = rows_of("ann", 200)
    rows[3] = {"participant": "ann", "period": 3, "import_wh": -1, "kind": "x"}
    rows[5] = rows[5] | {"participant": "nobody"}
    rows[7] = rows[7] | {"period": 6}
    rows[9] = rows[9] | {"period": 10**6}
    rows[11] = rows[11] | {"import_wh": 20_000}
    job = ended(world, bulk(world, rows, world.admin, Prefer="respond-async"), world.admin)
    told = job["result"]
    assert (told["rows"], told["taken"], told["refused"], told["left_out"]) == (200, 195, 4, 1)
    assert [(one["place"], one["code"]) for one in told["errors"]] == [
        ("readings[3].import_wh", "greater_than_equal"),
        ("readings[3].kind", "extra_forbidden"),
        ("readings[5].participant", "participant_unknown"),
        ("readings[7].period", "duplicate_period"),
        ("readings[9].period", "reading_in_future"),
    ]
    assert all(one["reason"] and one["fix"] for one in told["errors"])
    assert "above_capacity" in {one["rule"] for one in told["findings"]}


def test_more_rows_than_an_answer_waits_for_become_a_job(world, monkeypatch):
    monkeypatch.setattr(parts, "PART", 50)
    monkeypatch.setattr(metering, "MOST_READINGS", 100)
    assert bulk(world, rows_of("bob", 100), world.admin).status_code == 201
    job = ended(world, bulk(world, rows_of("bob", 180, quality="corrected"), world.admin), world.admin)
    assert (job["result"]["taken"], job["result"]["errors"]) == (180, [])
    path = "/api/v1/readings?participant=bob&limit=1000"
    kept = world.get(path, token=world.admin).json()["items"]
    assert [one["quality"] for one in kept if one["period"] < 180] == ["corrected"] * 180


def test_the_same_request_again_is_the_same_job_and_another_is_refused(world):
    headers = {"Prefer": "respond-async", "Idempotency-Key": "many-1"}
    first = bulk(world, rows_of("bob", 20, 20), world.admin, **headers)
    ended(world, first, world.admin)
    again = bulk(world, rows_of("bob", 20, 20), world.admin, **headers)
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["status"] == "done"
    other = bulk(world, rows_of("bob", 21, 20), world.admin, **headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


def test_a_job_that_was_cut_off_goes_on_where_it_was(world, monkeypatch):
    monkeypatch.setattr(parts, "PART", 10)
    headers = {"Prefer": "respond-async", "Idempotency-Key": "many-2"}
    rows = rows_of("cem", 60)
    rows[25] |= {"period": 10**6}
    calls, submit = [], world.platform.submit

    def breaks(command, **more):
        calls.append(command)
        if len(calls) == 5:
            raise Problem("store_unavailable")
        return submit(command, **more)

    monkeypatch.setattr(world.platform, "submit", breaks)
    failed = ended(world, bulk(world, rows, world.admin, **headers), world.admin, status="failed")
    assert failed["problem"]["code"] == "store_unavailable"
    assert sent(world, "cem") == 29
    job = ended(world, bulk(world, rows, world.admin, **headers), world.admin)
    told = job["result"]
    assert (job["id"], told["taken"], told["refused"]) == (failed["id"], 59, 1)
    assert [one["place"] for one in told["errors"]] == ["readings[25].period"]
    assert sent(world, "cem") == 59  # none twice


def test_a_job_can_be_cancelled(world, monkeypatch):
    monkeypatch.setattr(parts, "PART", 1)
    monkeypatch.setattr("gridagora.service.jobs.PROGRESS_S", 0.0)
    go, begun, submit = threading.Event(), threading.Event(), world.platform.submit

    def waits(command, **more):
        begun.set()
        go.wait(10)
        return submit(command, **more)

    monkeypatch.setattr(world.platform, "submit", waits)
    answer = bulk(world, rows_of("ann", 20, 100), world.admin, Prefer="respond-async")
    assert begun.wait(10)
    path = answer.headers["location"]
    assert world.ask("DELETE", path, token=world.ann).status_code == 403
    assert world.ask("DELETE", path, token=world.admin).json()["status"] == "cancelled"
    go.set()
    job = ended(world, answer, world.admin, status="cancelled")
    assert job["result"] is None
    assert world.ask("DELETE", path, token=world.admin).json()["status"] == "cancelled"


def test_rights_are_asked_for_each_participant_of_a_job_and_noted(world):
    answer = bulk(world, rows_of("ann", 5), world.pool, Prefer="respond-async")
    failed = ended(world, answer, world.pool, status="failed")
    assert failed["problem"]["code"] == "forbidden"
    entries = world.get("/api/v1/audit?limit=1000", token=world.admin).json()["items"]
    last = [one for one in entries if one["action"] == "readings.write"][-1]
    assert last["outcome"] == "refused"


def test_readings_come_as_csv_and_as_excel(world):
    table = pd.DataFrame(
        {
            "point": "ann",
            "start": pd.date_range("2026-01-02", periods=40, freq="15min").strftime("%Y-%m-%dT%H:%MZ"),
            "duration_s": 900,
            "import_wh": 123,
            "export_wh": 0,
        }
    )
    path, kept = "/api/v1/readings/bulk", io.BytesIO()
    csv = world.post(
        path, token=world.admin, content=table.to_csv(index=False), headers={"Content-Type": "text/csv"}
    )
    assert (csv.status_code, csv.json()["taken"]) == (201, 40)
    table.assign(import_wh=321).to_excel(kept, index=False)
    excel = world.post(path, token=world.admin, content=kept.getvalue(), headers={"Content-Type": XLSX})
    assert ended(world, excel, world.admin)["result"]["taken"] == 40
    broken = world.post(path, token=world.admin, content=b"PK no zip", headers={"Content-Type": XLSX})
    assert ended(world, broken, world.admin, status="failed")["problem"]["code"] == "body_unreadable"


def test_very_many_bids_become_a_job_in_which_each_stands_for_itself(world, monkeypatch):
    monkeypatch.setattr("gridagora.service.api.v1.bids.MOST_BIDS", 30)
    monkeypatch.setattr(parts, "PART", 25)
    session = world.get("/api/v1/market").json()["open_sessions"][-1]
    lines = [
        {"period": 4 * session, "side": "buy", "price_micro": 200_000 + k, "quantity_wh": 5}
        for k in range(80)
    ]
    lines[40]["price_micro"] = 10**12
    lines[41]["side"] = "steal"
    body = {"participant": "ann", "session": session, "bids": lines}
    answer = world.post("/api/v1/bids/bulk", token=world.ann, json=body)
    told = ended(world, answer, world.ann)["result"]
    assert (told["taken"], told["refused"]) == (78, 2)
    assert [(one["place"], one["code"]) for one in told["errors"]] == [
        ("bids[41].side", "literal_error"),
        ("bids[40].price", "price_out_of_bounds"),
    ]
    text = "period,side,price_micro,quantity_wh\n" + f"{4 * session},buy,100000,7\n" * 60
    path = f"/api/v1/bids/bulk?participant=ann&session={session}"
    csv = world.post(path, token=world.ann, content=text, headers={"Content-Type": "text/csv"})
    assert ended(world, csv, world.ann)["result"]["taken"] == 60
    assert (
        world.post(path, token=world.bob, content=text, headers={"Content-Type": "text/csv"}).status_code
        == 403
    )
    late = {"participant": "ann", "session": 0, "bids": [line | {"side": "buy"} for line in lines]}
    told = ended(world, world.post("/api/v1/bids/bulk", token=world.ann, json=late), world.ann)["result"]
    assert (told["taken"], told["refused"]) == (0, 80)
    assert {one["code"] for one in told["errors"]} == {"gate_closed"}
    assert told["errors"][0]["place"] == "bids[0] to bids[24]"


# --- findings -----------------------------------------------------------------------------------------


def listed(api, token, **params):
    answer = api.get("/api/v1/readings/findings", token=token, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def test_findings_are_listed_for_those_concerned(world):
    rows = rows_of("ann", 3, 200)
    rows[1] |= {"import_wh": 30_000}
    assert bulk(world, rows, world.admin).status_code == 201
    found = listed(world, world.ann, rule="above_capacity")
    assert {one["participant"] for one in found} == {"ann"}
    last = found[-1]
    assert (last["moment"], last["source"], last["estimated"]) == ("2026-01-03T02:15:00Z", "api", False)
    assert "above_capacity" in last["text"]
    assert listed(world, world.bob, rule="above_capacity") == []
    denied = world.get("/api/v1/readings/findings?participant=ann", token=world.bob)
    assert denied.status_code == 403
    everything = listed(world, world.admin, limit=1000)
    assert {one["participant"] for one in everything} == {"ann", "bob", "cem"}
    begin = "2026-01-03T02:00:00Z"
    later = listed(world, world.admin, limit=1000, **{"from": begin})
    assert later
    assert later == [one for one in everything if one["moment"] >= begin]


def test_what_a_meter_had_said_before_is_a_finding(world):
    assert bulk(world, rows_of("bob", 4, 190), world.admin).status_code == 201
    rows = rows_of("bob", 4, 190)
    rows[2] |= {"import_wh": 7}
    assert bulk(world, rows, world.admin).status_code == 201
    told = [one["text"].partition(": ")[2] for one in listed(world, world.bob, limit=1000)][-3:]
    assert told == [
        "duplicate, 101, 2 readings; told before",
        "duplicate, 103, 1 reading; told before",
        "version, 102, 1 reading; the newest is used",
    ]


def test_gaps_that_the_market_filled_are_findings(world):
    gaps = listed(world, world.bob, rule="gap", limit=1000)
    assert gaps
    assert all(one["estimated"] for one in gaps)
    assert gaps[0]["text"] == "4 periods without a usable reading; taken from its schedule"
    pages, cursor = [], None
    while True:
        page = world.get(
            "/api/v1/readings/findings",
            token=world.admin,
            params={"rule": "gap", "limit": 7} | ({"cursor": cursor} if cursor else {}),
        ).json()
        pages += [one["id"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(pages) == len(set(pages)) == len(listed(world, world.admin, rule="gap", limit=1000))


def test_a_series_is_checked_as_a_file_is(world):
    path = "/api/v1/readings/checks/cem"
    rows = rows_of("cem", 96, 96)
    for row in rows[20:75]:
        row["import_wh"] = 444
    assert bulk(world, rows, world.admin).status_code == 201
    span = {"from": "2026-01-02T00:00:00Z", "to": "2026-01-03T06:00:00Z"}
    told = world.get(path, token=world.admin, params=span).json()
    assert (told["periods"], told["measured"]) == (120, 96)
    assert told["estimated"] == 24
    assert {one["rule"] for one in told["findings"]} == {"gap", "frozen", "unusable"}
    (gap,) = [one for one in told["findings"] if one["rule"] == "gap"]
    assert (gap["begin"], gap["readings"]) == ("2026-01-03T00:00:00Z", 24)
    assert world.get(path, token=world.bob).status_code == 403
    for wrong in (
        {"from": "2020-01-01T00:00:00Z", "to": "2020-02-01T00:00:00Z"},
        {"from": "2027-01-01T00:00:00Z"},
    ):
        answer = world.get(path, token=world.admin, params=wrong)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "time_invalid")


def test_read_tables_of_findings_come_back_from_the_events(world):
    assert replay(world.database, world.platform.name).findings == ()
