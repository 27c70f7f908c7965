"""Connections of a served market: what is no HTTP, heads without end, and large bodies that are right."""

import json
import socket
import time

import pytest
from benchmarks.served import Client, Server, seed


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('lines')}/market.db"
    seed(url)
    with Server(url) as server:
        yield server


def said(server, *parts):
    """Return head and body of the answer to bytes, sent until the server has enough."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        try:
            for part in parts:
                line.sendall(part)
        except OSError:
            pass  # the server has ended the connection
        answer = b""
        try:
            while part := line.recv(65_536):
                answer += part
        except OSError:
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode().lower(), body


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"FOO /api/v1/market HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/v1/bids HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/bids HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_with_a_problem_document(served, sent):
    head, body = said(served, sent)
    assert head.startswith("http/1.1 400")
    assert "content-type: application/problem+json" in head
    assert json.loads(body)["code"] == "bad_request"


@pytest.mark.parametrize("piece", [b"X-More: " + b"a" * 1000 + b"\r\n", b"a" * 1000])
def test_a_head_without_end_is_cut_off(served, piece):
    start = time.monotonic()
    head, _ = said(served, b"GET / HTTP/1.1\r\nHost: x\r\nY: ", *([piece] * 100_000))
    assert time.monotonic() - start < 10.0
    assert head == "" or head.startswith("http/1.1 400")  # a reset may overtake the answer
    with Client(served.port) as client:
        assert client.get("/healthz")[0] == 200


def test_large_bodies_one_after_the_other_are_taken(served):
    with Client(served.port, "pool") as client:
        session = client.get("/api/v1/market")[1]["open_sessions"][-1]
        row = {"period": 4 * session, "side": "buy", "price_micro": 1, "quantity_wh": 1}
        body = {"participant": "ann", "session": session, "bids": [row] * 9_000}
        for number in range(3):
            status, told = client.send("/api/v1/bids/bulk", body, f"large-{number}")
            assert (status, told["count"]) == (201, 9_000)


@pytest.mark.parametrize("wrong", [{"period": True}, {"quantity_wh": True}, {"price_micro": False}])
def test_true_is_no_number(served, wrong):
    body = {"participant": "ann", "period": 1, "side": "buy", "price_micro": 1, "quantity_wh": 1} | wrong
    with Client(served.port, "pool") as client:
        status, told = client.send("/api/v1/bids", body, f"truth-{wrong}".replace(" ", ""))
    assert (status, [fault["code"] for fault in told["errors"]]) == (422, ["number_type"])
