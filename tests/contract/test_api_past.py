"""What lies far back: streams and notifications tell all of it, after a start as before."""

import pytest
from api_market import BUSES, EPOCH, MarketApi

BID = {"side": "buy", "price": "0.25", "quantity_wh": 100}


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """A market whose first session was settled so long ago that it is kept no more."""
    url = f"sqlite:///{tmp_path_factory.mktemp('past') / 'a.db'}"
    api = MarketApi(url, terms={"dispute_s": 3600})
    admin = api.person("operator", "root")
    ann = api.person("homes", "ann", participants=("ann",))
    api.join(admin, "ann", BUSES[0])
    for period in range(3):
        api.made("/api/v1/bids", ann, BID | {"participant": "ann", "period": period})
    before = [
        api.get("/api/v1/sessions/0/book").json()["levels"],
        api.get("/api/v1/sessions/1/book").json()["levels"],
    ]
    api.made("/api/v1/sessions/0/call-off", admin, {"reason": "the grid was rebuilt"})
    for session in range(10):
        api.until(EPOCH + (session + 2) * 3600, status="settled", session=session)
    yield api, ann, before
    api.close()


def test_notifications_are_pages_over_all_of_them(market):
    api, ann, _ = market
    path = "/api/v1/notifications?participant=ann"
    whole = api.get(f"{path}&limit=1000", token=ann).json()["items"]
    found, after = [], ""
    while True:
        page = api.get(f"{path}&limit=3{after}", token=ann).json()
        found += page["items"]
        if page["next"] is None:
            break
        after = f"&cursor={page['next']}"
    assert found == whole
    assert len(whole) > 15
    assert [one["text"] for one in whole if one["topic"] == "bids"] == [f"Bid {k} taken." for k in (1, 2, 3)]
    late = api.get(f"{path}&from=2026-01-01T05:00:00Z&topic=settlement", token=ann).json()["items"]
    assert late == [
        one for one in whole if one["topic"] == "settlement" and one["at"] >= "2026-01-01T05:00:00Z"
    ]


def test_a_stream_from_the_first_event_tells_of_the_gap_and_then_all(market):
    api, ann, _ = market
    assert 0 not in api.runner.ask(lambda state: list(state.sessions))
    told = list(api.client(ann).stream(last_id=0, once=True))
    gaps = [one for one in told if one.topic == "gap"]
    assert [one.data["after"] for one in gaps] == [0, *(one.id for one in gaps[:-1])]
    assert all(one.data["to"] == one.id for one in gaps)
    for path in gaps[0].data["read"]:
        assert api.get(path).status_code == 200
    oldest = api.runner.ask(lambda state: state.oldest)
    steps = [one for one in told if one.topic == "sessions"]
    assert {one.data["session"] for one in steps} == set(range(oldest, steps[-1].data["session"] + 1))
    after = list(api.client(ann).stream(last_id=gaps[-1].id, once=True))
    assert [one.topic for one in after] == [one.topic for one in told if one.id > gaps[-1].id]


def test_a_stream_of_a_participant_tells_its_notices_from_the_first_on(market):
    api, ann, _ = market
    told = list(api.client(ann).stream(participant="ann", topics=["notices"], last_id=0, once=True))
    whole = api.get("/api/v1/notifications?participant=ann&limit=1000", token=ann).json()["items"]
    notices = [one for one in told if one.topic == "notices"]
    assert [one.data for one in notices] == whole
    assert [one.id for one in notices] == sorted(one.id for one in notices)


def test_who_is_cut_off_anywhere_misses_nothing(market):
    api, ann, _ = market
    told = list(api.client(ann).stream(last_id=0, once=True))
    assert len({one.id for one in told}) < len(told)  # some events have several messages
    tail = told[-12:]
    for place, seen in enumerate(tail):
        again = list(api.client(ann).stream(last_id=seen.id, once=True))
        later = [(one.topic, one.data) for one in tail[place + 1 :] if one.topic != "book"]
        assert all(one in [(each.topic, each.data) for each in again] for one in later)


def test_the_order_book_of_a_session_stays_what_it_was(market):
    api, _, before = market
    assert before[0]
    assert [api.get(f"/api/v1/sessions/{k}/book").json()["levels"] for k in (0, 1)] == before
    one = api.get("/api/v1/sessions/0/book?period=1").json()["levels"]
    assert one == [level for level in before[0] if level["period"] == 1]


def test_a_service_that_starts_anew_answers_the_same(tmp_path):
    url = f"sqlite:///{tmp_path / 'b.db'}"
    paths = (
        "/api/v1/market",
        "/api/v1/sessions/0/book",
        "/api/v1/participants",
        "/api/v1/bids?participant=ann",
    )
    answers = []
    for turn in range(2):
        api = MarketApi(url)
        try:
            if turn == 0:
                admin = api.person("operator", "root")
                ann = api.person("homes", "ann", participants=("ann",))
                api.join(admin, "ann", BUSES[0])
                for period in (0, 1):
                    api.made("/api/v1/bids", ann, BID | {"participant": "ann", "period": period})
            answers.append([api.get(path, token=admin).json() for path in paths])
        finally:
            api.close()
    assert answers[0] == answers[1]


def test_a_session_of_long_ago_has_its_bids_and_tells_why_it_was_called_off(market):
    api, *_ = market
    assert 0 not in api.runner.ask(lambda state: list(state.sessions))
    one = api.get("/api/v1/sessions/0").json()
    assert (one["status"], one["bids"], one["called_off"]) == ("settled", 3, "the grid was rebuilt")
    assert api.get("/api/v1/sessions").json()["items"][0] == one
    quiet = api.get("/api/v1/sessions/1").json()
    assert (quiet["bids"], quiet["called_off"], quiet["by_schedule"]) == (0, None, None)
