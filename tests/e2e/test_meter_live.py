"""Readings over MQTT into a live market: they settle its sessions, nothing is lost, nothing counts twice."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from benchmarks.served import BUSES, NAMES, Client, Server, seed
from meter_broker import KINDS, PASSWORD, USER, free_port, running_broker

sys.path.append(str(Path(__file__).parents[1] / "contract"))
from api_market import EPOCH, SCENARIO, TERMS, Hands

from gridagora.adapters.live_meters import MeterListener
from gridagora.adapters.meters import mqtt
from gridagora.adapters.meters.signing import new_key, read_private_key, sign
from gridagora.adapters.sql.audit import replay, verify
from gridagora.adapters.sql.database import Database
from gridagora.bootstrap import live_runner
from gridagora.engine.live.commands import KeepResource, SubmitBids
from gridagora.model.live_events import FindingsNoted, ReadingsTaken
from gridagora.model.metering import MeterReadings

HOUR, WAIT_S = 3600, 30.0


@pytest.fixture(params=KINDS)
def address(request, tmp_path):
    port = free_port()
    with running_broker(request.param, port, tmp_path):
        yield f"mqtt://{USER}@127.0.0.1:{port}"


def broker_at(address):
    return mqtt.broker_of(address, password=PASSWORD)


def until(condition):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def readings(point, import_wh, export_wh=0, *, first=EPOCH):
    """Return readings of quarter-hours."""
    count = max(np.size(import_wh), np.size(export_wh))
    return MeterReadings(
        point=point,
        start=np.datetime64(first, "s") + np.arange(count) * np.timedelta64(900, "s"),
        duration_s=900,
        import_wh=import_wh,
        export_wh=export_wh,
        source="gateway 7",
        received=np.datetime64(first + HOUR, "s"),
    )


class Village:
    """A market whose first session was traded in and delivered, and a listener beside it."""

    def __init__(self, path, address):
        self.hands, self.address = Hands(EPOCH - HOUR), address
        self.runner = live_runner(f"sqlite:///{path}", SCENARIO, clock=self.hands, epoch=EPOCH, **TERMS)
        for name, bus in zip(NAMES[:2], BUSES, strict=False):
            self.keep("participant", name, "active", name=name)
            more = {"meter": f"1EMH-{name}", "import_kw": 20.0, "export_kw": 20.0}
            self.keep("connection_point", f"{name}-1", "active", participant=name, bus=bus, **more)
            self.keep("asset", f"{name}-pv", "approved", participant=name, type="pv", power_kw=10)
        until(lambda: self.runner.ask(lambda state: state.next_open) > 0)
        for name, side in (("ann", 1), ("bob", -1)):
            bid = {"period": [0], "side": [side], "price": [200_000], "quantity": [1000]}
            self.runner.do(SubmitBids(at=0, actor=name, session=0, participant=name, **bid))
        self.hands.moment = EPOCH + HOUR
        until(lambda: self.runner.ask(lambda state: state.next_publish) > 0)
        self.listener = self.listen()

    def listen(self):
        listener = MeterListener(
            broker_at(self.address), self.runner, self.hands.now, client_id="market-of-tests"
        )
        until(lambda: listener.state()["connection"].startswith("connected"))
        return listener

    def keep(self, kind, id_, status, version=0, **body):
        text = json.dumps(body)
        self.runner.do(
            KeepResource(at=0, actor="t", kind=kind, id=id_, body=text, status=status, version=version)
        )

    def send(self, *sent):
        """Send readings, and wait until each message was looked at."""
        before = self.listener.state()
        for one in sent:
            mqtt.send(broker_at(self.address), one)
        seen = before["messages"] + len(sent)
        until(lambda: self.listener.state()["messages"] >= seen)
        return {name: value for name, value in self.listener.state().items() if name != "connection"}

    def events(self, kind):
        with Database(self.runner.url) as database:
            return [event for event in database.events("small") if isinstance(event, kind)]

    def close(self):
        self.listener.close()
        self.runner.close()


@pytest.fixture
def village(tmp_path, address):
    made = Village(tmp_path / "a.db", address)
    yield made
    made.close()


def test_readings_settle_a_session(village):
    told = village.send(readings("ann", [900, 800, 700, 600]), readings("1EMH-bob", 0, [1000, 0, 0, 0]))
    assert told == {"messages": 2, "readings": 8, "findings": 0, "unknown": 0}
    village.hands.moment = EPOCH + 2 * HOUR
    until(lambda: village.runner.ask(lambda state: state.next_settle) > 0)
    metered = village.runner.ask(lambda state: state.sessions[0].delivered.metered_wh.tolist())
    assert metered == [[900, -1000], [800, 0], [700, 0], [600, 0]]
    assert {event.source for event in village.events(ReadingsTaken)} == {"mqtt"}


def test_what_cannot_be_is_told_to_whom_it_concerns_and_what_is_of_nobody_is_counted(village):
    told = village.send(
        readings("ann", [100, 200, 900_000, 300]),
        readings("stranger", [1]),
        readings("bob", [5], first=EPOCH + HOUR),
    )
    assert told == {"messages": 3, "readings": 3, "findings": 2, "unknown": 1}
    ann, bob = village.events(FindingsNoted)
    assert (ann.participant, ann.rule, ann.start.tolist()) == (("ann",), ("above_capacity",), [EPOCH + 1800])
    assert (bob.participant, bob.rule) == (("bob",), ("early",))


def test_a_point_with_a_key_takes_signed_readings_alone(village, tmp_path):
    public = new_key(tmp_path / "a.pem")
    key, _ = read_private_key(tmp_path / "a.pem")
    point = {"participant": "ann", "bus": BUSES[0], "public_key": public}
    village.keep("connection_point", "ann-1", "active", 1, **point)
    told = village.send(readings("ann", [100] * 4), sign(readings("ann", [200] * 4), key))
    assert told == {"messages": 2, "readings": 4, "findings": 4, "unknown": 0}
    assert village.events(ReadingsTaken)[0].import_wh.tolist() == [200] * 4
    assert "signature is missing" in village.events(FindingsNoted)[0].told[0]


def test_a_message_that_comes_again_has_no_second_effect(village):
    for number in range(2):
        assert village.send(readings("ann", [100] * 4))["messages"] == number + 1
    assert len(village.events(ReadingsTaken)) == 1


def test_what_was_sent_while_nobody_listened_comes_later(village):
    village.listener.close()
    mqtt.send(broker_at(village.address), readings("ann", [100] * 4))
    village.listener = village.listen()
    until(lambda: village.listener.state()["readings"] == 4)


@pytest.mark.slow
@pytest.mark.parametrize("address", [kind for kind in KINDS if kind == "mosquitto"], indirect=True)
def test_a_service_that_is_killed_loses_no_reading_and_takes_none_twice(tmp_path, address, monkeypatch):
    """Mosquitto alone: amqtt does not send again what a killed listener had not confirmed."""
    monkeypatch.setenv("GRIDAGORA_MQTT_PASSWORD", PASSWORD)
    url = f"sqlite:///{tmp_path / 'a.db'}"
    seed(url, readings_lead_s=10 * HOUR)
    server = Server(url, speed=7200, options=("--broker", address))
    with server:
        with Client(server.port, "op") as client:
            begins = moment(client.get("/api/v1/sessions")[1]["items"][0]["delivery_start"])
            until(lambda: client.get("/api/v1/readings/connection")[1]["connection"].startswith("connected"))
            until(lambda: moment(client.get("/api/v1/market")[1]["now"]) > begins + 6 * HOUR)
        sent = 0
        for hour in range(6):
            told = [
                readings(name, [100 + hour, k, 1, 2], first=begins + hour * HOUR)
                for k, name in enumerate(NAMES)
            ]
            sent += mqtt.send(broker_at(address), MeterReadings.concat(told))
            if hour in (1, 3):
                server.kill()
                server.start()
        with Client(server.port, "op") as client:
            until(lambda: taken(url) >= sent)
        server.stop()
    assert taken(url) == sent
    with Database(url) as database:
        assert verify(database, "small").findings == ()
        assert replay(database, "small").findings == ()


def moment(text):
    return int(np.datetime64(text.rstrip("Z"), "s").astype(np.int64))


def taken(url):
    """Return how many messages became events."""
    with Database(url) as database:
        return sum(
            isinstance(event, ReadingsTaken) and event.source == "mqtt" for event in database.events("small")
        )
