"""Readings over MQTT 3.1.1, QoS 1: nothing is confirmed before it is kept, and coming twice does no harm.

The session of a listener is kept by the broker under its client id: what is sent while it is away, or was not
confirmed when it stopped, comes when it is back.  A lost connection is made again by itself.
"""

import queue
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

import numpy as np

from gridagora.adapters.meters.messages import read_message, write_messages
from gridagora.errors import Fault, GridAgoraError, check_faults
from gridagora.model.metering import MeterReadings

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage

TOPIC = "gridagora/meters"
PORTS = {"mqtt": 1883, "mqtts": 8883}
QOS = 1
REFUSED = 0x80
"""A broker grants what is below."""

REASON = 3
"""Place of the reason (or of one for each topic) in what paho tells: client, data, flags or id, reason."""

BATCH = 500
"""Messages that are kept together, with one wait for the disk."""

LOOK_S = 0.2
"""How often a listener looks whether it is to stop, seconds."""

PATIENCE_S = 15.0
"""How long is waited for a connection, or for the next confirmation, seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Broker:
    """Where messages go through, and under which topic.

    Parameters
    ----------
    host, port : of the broker
    tls : encrypted; the certificate is checked against those that the system trusts
    username, password : where the broker asks for them; never shown
    topic : beginning of the topics, TOPIC/POINT/readings
    """

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    topic: str = TOPIC


class Sink(Protocol):
    """Keeps readings: a file (`ReadingsLog`), or the store of a platform."""

    def add(self, readings: MeterReadings, refused: Sequence[Fault], *, received: np.datetime64) -> None:
        """Keep readings and refusals; they are safe when this returns."""


def broker_of(url: str, *, topic: str = TOPIC, password: str | None = None) -> Broker:
    """Read the address of a broker.

    Parameters
    ----------
    url : mqtt://[user[:password]@]host[:port], or mqtts:// for TLS
    topic : beginning of the topics
    password : instead of one in the address

    Raises
    ------
    InputError
        Every fault of the address and the topic.

    Examples
    --------
    >>> broker_of("mqtts://gateway:secret@broker.example")
    Broker(host='broker.example', port=8883, tls=True, username='gateway', topic='gridagora/meters')
    """
    faults: list[Fault] = []
    fix = "write e.g. mqtt://localhost:1883"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        check_faults([_fault("--broker", url, "is no address", fix=fix)])
        raise
    if parts.scheme not in PORTS or not parts.hostname or parts.path not in ("", "/"):
        shown = url if parts.password is None else url.replace(parts.password, "***")
        faults.append(_fault("--broker", shown, "is no address of a broker", fix=fix))
    if not topic or set(topic) & set("+#\0") or topic.startswith("/") or topic.endswith("/"):
        faults.append(_fault("--topic", topic, "is no topic", fix=f"write e.g. {TOPIC}"))
    check_faults(faults)
    return Broker(
        host=parts.hostname or "",
        port=port or PORTS[parts.scheme],
        tls=parts.scheme == "mqtts",
        username=unquote(parts.username) if parts.username else None,
        password=password or (unquote(parts.password) if parts.password else None),
        topic=topic,
    )


def listen(
    broker: Broker,
    sink: Sink,
    *,
    client_id: str,
    stop: Callable[[], bool],
    keys: Mapping[str, tuple[bytes, ...]] | None = None,
    notice: Callable[[str], None] = lambda _text: None,
    progress: Callable[[int, int], None] = lambda _kept, _refused: None,
) -> tuple[int, int]:
    """Collect readings until ``stop`` says so; return how many were kept and how many refusals there were.

    Parameters
    ----------
    broker : where to listen
    sink : keeps them; messages are confirmed to the broker after it has
    client_id : name of the session; no two listeners may have the same
    stop : asked several times a second
    keys : public keys by point
    notice : told what happens to the connection
    progress : told both numbers after each batch

    Raises
    ------
    GridAgoraError
        The broker cannot be reached at first, or refuses the connection or the subscription.
    """
    counted = [0, 0]

    def keep(messages: Sequence[tuple[str, bytes]]) -> None:
        good, bad = _keep(messages, sink, keys=keys or {})
        counted[0], counted[1] = counted[0] + good, counted[1] + bad
        progress(*counted)

    collect(broker, keep, client_id=client_id, stop=stop, notice=notice)
    return counted[0], counted[1]


def collect(
    broker: Broker,
    keep: Callable[[Sequence[tuple[str, bytes]]], None],
    *,
    client_id: str,
    stop: Callable[[], bool],
    notice: Callable[[str], None] = lambda _text: None,
) -> None:
    """Hand on messages, (point, payload) each, until ``stop`` says so.

    Parameters
    ----------
    broker, client_id, stop, notice : as of `listen`
    keep : keeps messages; they are confirmed to the broker when it returns, and come again where it raises

    Raises
    ------
    GridAgoraError
        The broker cannot be reached at first, or refuses the connection or the subscription.
    """
    inbox: queue.SimpleQueue[MQTTMessage] = queue.SimpleQueue()
    client, state = _client(broker, client_id=client_id, listens=True, notice=notice)
    client.on_message = lambda _client, _data, message: inbox.put(message)
    _connect(client, broker, state)
    try:
        while not stop():
            batch = _next_batch(inbox)
            state.check()
            if batch:
                keep([(_point_of(message), bytes(message.payload)) for message in batch])
                for message in batch:
                    client.ack(message.mid, message.qos)
    finally:
        client.disconnect()
        client.loop_stop()


def _next_batch(inbox: "queue.SimpleQueue[MQTTMessage]") -> "list[MQTTMessage]":
    """Return the messages that are there, after waiting a moment for the first."""
    batch: list[MQTTMessage] = []
    try:
        batch.append(inbox.get(timeout=LOOK_S))
        while len(batch) < BATCH:
            batch.append(inbox.get_nowait())
    except queue.Empty:
        return batch
    return batch


def _keep(
    messages: Sequence[tuple[str, bytes]], sink: Sink, *, keys: Mapping[str, tuple[bytes, ...]]
) -> tuple[int, int]:
    """Read messages and hand them to the sink."""
    received = np.datetime64(datetime.now(UTC).replace(tzinfo=None), "s")
    parts, faults = [MeterReadings.none()], []
    for point, payload in messages:
        readings, found = read_message(point, payload, received=received, keys=keys)
        parts.append(readings)
        faults += found
    together = MeterReadings.concat(parts)
    sink.add(together, faults, received=received)
    return len(together), len(faults)


def _point_of(message: "MQTTMessage") -> str:
    """Return the point that a topic names."""
    try:
        return message.topic.split("/")[-2]
    except UnicodeDecodeError:
        return ""


def send(
    broker: Broker,
    readings: MeterReadings,
    *,
    client_id: str = "",
    notice: Callable[[str], None] = lambda _text: None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> int:
    """Publish readings and wait until the broker has confirmed each message; return how many there were.

    Parameters
    ----------
    broker : where to publish
    readings : readings; sign them before (`gridagora.adapters.meters.signing.sign`)
    client_id : name of the session; made up by the broker when left out
    notice : told what happens to the connection
    progress : told messages confirmed and all

    Raises
    ------
    GridAgoraError
        The broker cannot be reached, refuses the connection, or does not confirm.
    """
    messages = write_messages(readings)
    client, state = _client(broker, client_id=client_id, listens=False, notice=notice)
    _connect(client, broker, state)
    try:
        waiting = [
            client.publish(f"{broker.topic}/{point}/readings", payload, qos=QOS)
            for point, payload in messages
        ]
        for done, message in enumerate(waiting, start=1):
            message.wait_for_publish(PATIENCE_S)
            state.check()
            if not message.is_published():
                text = (
                    f"{broker.host}:{broker.port} confirmed {done - 1} of {len(waiting)} messages; send again"
                )
                raise GridAgoraError(f"{text}: what came twice does no harm")
            progress(done, len(waiting))
    finally:
        client.disconnect()
        client.loop_stop()
    return len(messages)


class _State:
    """What the network thread found out about the connection."""

    def __init__(self, notice: Callable[[str], None]) -> None:
        self.connected = threading.Event()
        self._notice = notice
        self._refused: str | None = None

    def refuse(self, text: str) -> None:
        """Note that the broker does not want us."""
        self._refused = text
        self.connected.set()

    def tell(self, text: str) -> None:
        """Tell the user."""
        self._notice(text)

    def check(self) -> None:
        """Raise where the broker does not want us."""
        if self._refused is not None:
            raise GridAgoraError(self._refused)


def _client(
    broker: Broker, *, client_id: str, listens: bool, notice: Callable[[str], None]
) -> tuple["Client", _State]:
    """Make a client that connects again by itself; one that listens does so when its subscription holds."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    state = _State(notice)
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=not listens,
        manual_ack=listens,
    )
    where = f"{broker.host}:{broker.port}"

    def ready() -> None:
        state.tell(f"connected to {where}")
        state.connected.set()

    def connected(*told: Any) -> None:
        reason = told[REASON]
        if reason.is_failure:
            text = f"the broker {where} refuses the connection: {reason}"
            if state.connected.is_set():  # it was good before: the client goes on trying
                state.tell(text)
            else:
                state.refuse(text)
        elif listens:
            client.subscribe(f"{broker.topic}/+/readings", qos=QOS)
        else:
            ready()

    def lost(*told: Any) -> None:
        reason = told[REASON]
        if reason.is_failure:
            state.tell(f"lost the connection to {where} ({reason}); trying again")

    def subscribed(*told: Any) -> None:
        if any(reason.value >= REFUSED for reason in told[REASON]):
            state.refuse(f"the broker {where} does not let us listen to {broker.topic}")
        else:
            ready()

    client.on_connect, client.on_disconnect, client.on_subscribe = connected, lost, subscribed
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    if broker.tls:
        client.tls_set_context(ssl.create_default_context())
    client.reconnect_delay_set(min_delay=1, max_delay=30)
    return client, state


def _connect(client: "Client", broker: Broker, state: _State) -> None:
    """Connect once and start the network thread; a broker that is not there is an error now, not later."""
    where = f"{broker.host}:{broker.port}"
    try:
        client.connect(broker.host, broker.port)
    except (OSError, ValueError) as error:
        raise GridAgoraError(f"the broker {where} cannot be reached: {error}") from error
    client.loop_start()
    if not state.connected.wait(PATIENCE_S):
        state.refuse(f"{where} does not answer as an MQTT broker does")
    try:
        state.check()
    except GridAgoraError:
        client.disconnect()
        client.loop_stop()
        raise


def _fault(place: str, value: object, reason: str, *, fix: str) -> Fault:
    return Fault(source="command line", place=place, value=value, reason=reason, fix=fix)
