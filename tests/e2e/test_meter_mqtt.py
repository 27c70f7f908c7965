"""Readings through a real broker: nothing lost, nothing counted twice, strangers' messages do no harm."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from meter_broker import KINDS, PASSWORD, USER, free_port, running_broker

from gridagora.adapters.meters import mqtt
from gridagora.adapters.meters.files import read_meter_file
from gridagora.adapters.meters.log import ReadingsLog
from gridagora.adapters.meters.signing import new_key, read_private_key, read_public_keys, sign
from gridagora.errors import GridAgoraError
from gridagora.model.metering import MeterReadings
from gridagora.model.time import TimeAxis
from gridagora.settlement.metering import check_readings

WAIT_S = 30.0


def broker_at(port: int, password: str = PASSWORD) -> mqtt.Broker:
    return mqtt.broker_of(f"mqtt://{USER}@127.0.0.1:{port}", password=password)


def some_readings(*, point: str = "home-1", count: int = 40) -> MeterReadings:
    start = np.datetime64("2016-01-04") + np.arange(count) * np.timedelta64(900, "s")
    return MeterReadings(
        point=point,
        start=start,
        duration_s=900,
        import_wh=100 + np.arange(count),
        export_wh=0,
        source="gateway 7",
        received=start + 1000,
    )


class Listening:
    """A listener in a thread that stops when it has seen enough readings."""

    def __init__(self, broker: mqtt.Broker, path: Path, *, enough: int, keys=None) -> None:
        self.connected = threading.Event()
        self.told: list[str] = []
        self.seen = 0
        self.stop = threading.Event()
        self.result: tuple[int, int] = (0, 0)
        self._enough = enough
        self._thread = threading.Thread(target=self._run, args=(broker, path, keys), daemon=True)

    def _run(self, broker: mqtt.Broker, path: Path, keys) -> None:
        with ReadingsLog(path) as log:
            self.result = mqtt.listen(
                broker,
                log,
                client_id="test-listener",
                stop=lambda: self.stop.is_set() or self.seen >= self._enough,
                keys=keys,
                notice=self._notice,
                progress=self._progress,
            )

    def _notice(self, text: str) -> None:
        self.told.append(text)
        if text.startswith("connected"):
            self.connected.set()

    def _progress(self, kept: int, refused: int) -> None:
        self.seen = kept + refused

    def __enter__(self) -> "Listening":
        self._thread.start()
        assert self.connected.wait(WAIT_S)
        return self

    def __exit__(self, kind, _error, _trace) -> None:
        if kind is not None:
            self.stop.set()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()


@pytest.fixture(params=KINDS)
def address(request, tmp_path):
    port = free_port()
    with running_broker(request.param, port, tmp_path):
        yield broker_at(port)


def test_what_is_sent_is_in_the_file_and_twice_does_no_harm(address, tmp_path) -> None:
    readings, path = some_readings(), tmp_path / "readings.csv"
    with Listening(address, path, enough=80) as listener:
        assert mqtt.send(address, readings) == 1
        assert mqtt.send(address, readings) == 1
    assert listener.result == (80, 0)
    table, faults = read_meter_file(path)
    assert not faults
    assert table.arrivals
    axis = TimeAxis(start=readings.start[0], periods=40)
    checked = check_readings(table.readings, axis)
    assert checked.import_wh.tolist() == [readings.import_wh.tolist()]
    assert set(table.readings.source.tolist()) == {"gateway 7"}
    assert [found.rule for found in checked.findings if found.rule not in ("late", "frozen")] in (
        ["duplicate"],
        [],
    )


def test_what_is_sent_while_the_listener_is_away_comes_later(address, tmp_path) -> None:
    path = tmp_path / "readings.csv"
    with Listening(address, path, enough=1):
        mqtt.send(address, some_readings(count=1))
    mqtt.send(address, some_readings(point="home-2", count=7))
    with Listening(address, path, enough=7) as listener:
        pass
    assert listener.result == (7, 0)
    table, _ = read_meter_file(path)
    assert len(table.readings) == 8


def test_a_broker_that_goes_and_comes_back(tmp_path) -> None:
    port, path = free_port(), tmp_path / "readings.csv"
    address = broker_at(port)
    with running_broker("amqtt", port, tmp_path):
        listener = Listening(address, path, enough=2)
        listener.__enter__()
        mqtt.send(address, some_readings(count=1))
    listener.connected.clear()
    with running_broker("amqtt", port, tmp_path):
        assert listener.connected.wait(WAIT_S)
        for _ in range(20):  # a broker that begins anew drops what comes before a subscription
            mqtt.send(address, some_readings(point="home-2", count=1))
            listener._thread.join(1.0)
            if not listener._thread.is_alive():
                break
        listener.__exit__(None, None, None)
    assert listener.result[0] >= 2
    assert listener.result[1] == 0
    assert any("trying again" in text for text in listener.told)


def test_signed_readings_count_and_forged_ones_are_told(address, tmp_path) -> None:
    public = new_key(tmp_path / "gateway.pem")
    (tmp_path / "keys.csv").write_text(f"point,public_key\nhome-1,{public}\n")
    keys, faults = read_public_keys(tmp_path / "keys.csv")
    key, more = read_private_key(tmp_path / "gateway.pem")
    assert not faults + more
    signed = sign(some_readings(count=3), key)
    forged = MeterReadings(
        **{name: getattr(signed, name) for name in signed.__slots__} | {"import_wh": [1, 2, 3]}
    )
    path = tmp_path / "readings.csv"
    with Listening(address, path, enough=9, keys=keys) as listener:
        mqtt.send(address, signed)
        mqtt.send(address, forged)
        mqtt.send(address, some_readings(count=3))
    assert listener.result == (3, 6)
    refused = (tmp_path / "readings-refused.csv").read_text()
    assert refused.count("signature does not hold") == 3
    assert refused.count("signature is missing") == 3


def test_strange_messages_are_refused_and_told(address, tmp_path) -> None:
    from paho.mqtt import publish

    where = {"hostname": address.host, "port": address.port}
    where["auth"] = {"username": USER, "password": PASSWORD}
    strange = [b"", b"\xff\xfe", b"[" * 100_000, b"{}", b"null", b'{"format": 1}', b"x" * 300_000]
    messages = [("gridagora/meters/home-1/readings", payload, 1, False) for payload in strange]
    messages.append(("gridagora/meters/=cmd/readings", b"{}", 1, False))
    path = tmp_path / "readings.csv"
    with Listening(address, path, enough=13) as listener:
        publish.multiple(messages, **where)
        mqtt.send(address, some_readings(count=1))
    assert listener.result == (1, 12)  # three faults are in each of the two objects
    refused = (tmp_path / "readings-refused.csv").read_text()
    for reason in ("is no UTF-8", "too deep", "too many bytes", "is no object", "no name of a point"):
        assert reason in refused


def test_no_broker_is_told_at_once(tmp_path) -> None:
    address = broker_at(free_port())
    with pytest.raises(GridAgoraError, match="cannot be reached"):
        mqtt.send(address, some_readings(count=1))


def test_a_wrong_password_is_told(tmp_path) -> None:
    port = free_port()
    with (
        running_broker("amqtt", port, tmp_path),
        pytest.raises(GridAgoraError, match=r"refuses the connection|does not answer"),
    ):
        mqtt.send(broker_at(port, "guessed"), some_readings(count=1))


def test_the_commands_listen_and_send_and_ctrl_c_keeps_all(tmp_path, monkeypatch) -> None:
    port = free_port()
    (tmp_path / "meters.csv").write_text("start,home 1 kWh\n2016-01-04 00:00,0.1\n2016-01-04 00:15,0.2\n")
    program = [sys.executable, "-c", "from gridagora.cli import main; main()"]
    broker = ["--broker", f"mqtt://{USER}@127.0.0.1:{port}"]
    monkeypatch.setenv("GRIDAGORA_MQTT_PASSWORD", PASSWORD)
    with running_broker("amqtt", port, tmp_path):
        listen = [*program, "meter", "listen", *broker, "-o", str(tmp_path / "got.csv")]
        with subprocess.Popen(listen, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert any("connected" in line for line in process.stderr)
                send = [*program, "meter", "send", str(tmp_path / "meters.csv"), *broker]
                done = subprocess.run(send, capture_output=True, text=True, check=True)
                assert "2 readings in 1 messages" in done.stdout
                process.send_signal(signal.SIGINT)
                out, _ = process.communicate(timeout=WAIT_S)
            finally:
                process.kill()
    assert process.returncode == 0
    assert f"2 readings in {tmp_path / 'got.csv'}" in out
    table, faults = read_meter_file(tmp_path / "got.csv")
    assert not faults
    assert table.readings.import_wh.tolist() == [100, 200]
