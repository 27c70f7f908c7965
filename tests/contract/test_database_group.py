"""Group commit: many threads, one writer; answered when it is on disk; stops when the disk does."""

import threading

import pytest
from appending import opened, settled
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.adapters.sql.audit import replay, verify
from gridagora.adapters.sql.database import Database
from gridagora.adapters.sql.group import GroupCommit
from gridagora.adapters.sql.store import Decision, SqlStore
from gridagora.errors import CommandConflict, StoreError
from gridagora.model.events import CommandsAnswered, SessionSettled


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    sqlite = request.param == "sqlite"
    url = str(tmp_path / "a.db") if sqlite else request.getfixturevalue("new_postgresql")
    with Database(url, write=True, create=True) as database:
        made = SqlStore(database, "a")
        made.append([opened()])
        yield made


class Counter:
    """A market with one number for a state; each command adds one and is a session."""

    def __init__(self, first=1):
        self.value = first

    def __call__(self):
        number, self.value = self.value, self.value + 1
        return Decision(events=(settled(number),), answer=str(number))


def test_many_threads_have_each_command_once(store):
    counter, answers, problems, notes = Counter(), [], [], []

    def bid(name):
        try:
            waiting = [group.submit(counter, key=f"{name}-{k}", request=b"r") for k in range(40)]
            again = [group.submit(counter, key=f"{name}-{k}", request=b"r") for k in range(40)]
            first = [future.result(timeout=60) for future in waiting]
            second = [future.result(timeout=60) for future in again]
            assert [r.answer for r in first] == [r.answer for r in second]
            assert not any(r.repeated for r in first)
            assert all(r.repeated for r in second)
            answers.extend(r.answer for r in first)
        except BaseException as error:
            problems.append(error)

    with GroupCommit(store, told=lambda seq, event: notes.append((seq, event))) as group:
        threads = [threading.Thread(target=bid, args=(name,)) for name in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert problems == []
    assert sorted(map(int, answers)) == list(range(1, 241))
    events, told = list(store.events()), [n for n, _ in notes]
    assert [event.at for event in events if isinstance(event, SessionSettled)] == list(range(1, 241))
    assert told == [n for n, event in enumerate(events, 1) if isinstance(event, CommandsAnswered)]
    keys = [key for _, event in notes for key in event.key]
    assert sorted(keys) == sorted(f"{name}-{k}" for name in range(6) for k in range(40))
    assert replay(store.database, "a").findings == verify(store.database, "a").findings == ()


def test_receipt_names_the_events_of_the_command(store):
    with GroupCommit(store) as group:
        two = group.submit(lambda: Decision(events=(settled(1), settled(2)), answer="two")).result()
        none = group.submit(lambda: Decision(answer="refused"), key="k", request=b"r").result()
        again = group.submit(lambda: Decision(answer="other"), key="k", request=b"r").result()
    assert (two.first, two.last) == (2, 3)
    assert (none.first, none.last, none.answer) == (4, 3, "refused")
    assert (again.answer, again.repeated) == ("refused", True)


def test_what_a_command_raises_is_its_own_matter(store):
    def broken():
        raise ValueError("no such home")

    with GroupCommit(store) as group:
        futures = [group.submit(broken), group.submit(Counter())]
        with pytest.raises(ValueError, match="no such home"):
            futures[0].result()
        assert futures[1].result().last == 2
    assert store.count == 2


def test_a_key_for_another_request_is_refused_in_one_group_and_later(store):
    with GroupCommit(store) as group:
        held = threading.Event()
        group.submit(lambda: held.wait() and Decision())  # so that the next two wait together
        counter = Counter()
        futures = [group.submit(counter, key="k", request=request) for request in (b"a", b"b", b"a")]
        held.set()
        assert futures[0].result().answer == futures[2].result().answer == "1"
        with pytest.raises(CommandConflict):
            futures[1].result()
        with pytest.raises(CommandConflict):
            group.submit(counter, key="k", request=b"c").result()
    assert store.count == 3  # the opening, what came of the key, and the answer to it


def test_a_command_that_failed_can_be_given_again(store):
    attempts = []

    def late():
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("not yet")
        return Decision(events=(settled(1),))

    with GroupCommit(store) as group:
        with pytest.raises(ValueError, match="not yet"):
            group.submit(late, key="k", request=b"r").result()
        assert not group.submit(late, key="k", request=b"r").result().repeated


def test_closed_group_takes_no_more(store):
    group = GroupCommit(store)
    waiting = [group.submit(Counter(n)) for n in range(1, 4)]
    group.close()
    assert [future.result().last for future in waiting] == [2, 3, 4]
    with pytest.raises(StoreError, match="is closed"):
        group.submit(Counter()).result()


def test_after_a_write_that_failed_nobody_is_answered(store):
    from sqlalchemy import text

    with GroupCommit(store, most=2) as group:
        assert group.submit(Counter()).result().last == 2
        held = threading.Event()
        group.submit(lambda: held.wait() and Decision())
        with store.database.looking() as connection:
            connection.execute(text("UPDATE heads SET seq = 77"))
        waiting = [group.submit(Counter(n)) for n in range(2, 9)]
        held.set()
        for future in waiting:
            with pytest.raises(StoreError, match=r"(another program has written|has stopped)"):
                future.result(timeout=60)
        with pytest.raises(StoreError, match="has stopped, begin anew from the events"):
            group.submit(Counter()).result(timeout=60)
    with store.database.reading() as connection:
        assert connection.execute(text("SELECT max(seq) FROM events")).scalar() == 2


def test_an_event_that_cannot_be_kept_stops_the_store(store):
    """The state in memory has gone on without it: nothing after it could be right."""
    with GroupCommit(store) as group:
        with pytest.raises(StoreError, match="has stopped"):
            group.submit(lambda: Decision(events=("no event",))).result(timeout=60)
        with pytest.raises(StoreError, match="has stopped"):
            group.submit(Counter()).result(timeout=60)
    assert store.count == 1


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), max_size=25), st.integers(1, 4))
def test_retries_in_any_order_have_one_effect(tmp_path_factory, commands, most):
    path = tmp_path_factory.mktemp("group") / "a.db"
    with Database(str(path), write=True, create=True) as database:
        store = SqlStore(database, "a")
        store.append([opened()])
        counter, first = Counter(), {}
        with GroupCommit(store, most=most) as group:
            futures = [
                (key, request, group.submit(counter, key=f"k{key}", request=bytes([request])))
                for key, request in commands
            ]
            for key, request, future in futures:
                known = first.setdefault(key, request)
                if known == request:
                    assert future.result(timeout=60).last > 1
                else:
                    with pytest.raises(CommandConflict):
                        future.result(timeout=60)
        kinds = [type(event) for event in store.events()]
        assert kinds.count(SessionSettled) == len(first)
        answered = [
            key for event in store.events() if isinstance(event, CommandsAnswered) for key in event.key
        ]
        assert sorted(answered) == sorted(f"k{key}" for key in first)
        assert verify(database, "a").findings == ()
