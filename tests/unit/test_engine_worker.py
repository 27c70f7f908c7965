"""A second process: results, refusals, stopping and a child that dies."""

import time

import pytest

from gridagora.adapters.worker import Worker, WorkerError
from gridagora.errors import Fault, InputError


def refuse(stop):
    raise InputError([Fault(source="a", place="b", value=1, reason="no", fix="yes")])


def die(stop):
    raise SystemExit(3)


def wait_for_stop(stop):
    deadline = time.monotonic() + 20
    while not stop():
        if time.monotonic() > deadline:
            return "never asked"
    return "stopped"


HERE = "tests.unit.test_engine_worker"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    from pathlib import Path

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def test_result_comes_back():
    with Worker("gridagora.adapters.worker:example", 20, 22) as worker:
        assert worker.result() == 42


def test_bad_input_of_the_child_is_raised_here():
    with Worker(f"{HERE}:refuse") as worker, pytest.raises(InputError, match="no"):
        worker.result()


def test_a_child_that_dies_is_an_error_not_a_wait():
    with Worker(f"{HERE}:die") as worker, pytest.raises(WorkerError, match="exit code 3"):
        worker.result()


def test_child_is_asked_to_stop():
    with Worker(f"{HERE}:wait_for_stop") as worker:
        worker.stop()
        assert worker.result() == "stopped"
