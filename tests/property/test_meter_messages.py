"""Whatever comes over the wire: good readings out, or reasons, and never an error."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.adapters.meters.messages import FORMAT, MOST_BYTES, MOST_READINGS, read_message, write_messages
from gridagora.adapters.meters.mqtt import broker_of
from gridagora.adapters.meters.signing import (
    broken_signatures,
    new_key,
    read_private_key,
    read_public_keys,
    sign,
)
from gridagora.errors import InputError
from gridagora.model.metering import COLUMNS, MeterReadings

NOW = np.datetime64("2016-01-05T00:00:00")
MANY = settings(deadline=None, max_examples=300)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
GOOD = {"start": "2016-01-04T00:00:00Z", "duration_s": 900, "import_wh": 1, "export_wh": 0}
odd_readings = st.dictionaries(
    st.sampled_from([*GOOD, "quality", "signature", "x"]),
    json_values
    | st.sampled_from(["2016-01-04T00:00:00+14:00", "0001-01-01T00:00:00+01:00", "9" * 20, 10**13]),
).map(lambda changed: GOOD | changed)


def message(readings, **changed) -> bytes:
    return json.dumps({"format": FORMAT, "source": "gateway 7", "readings": readings} | changed).encode()


@MANY
@given(st.text(max_size=80), st.binary(max_size=400))
def test_any_bytes_are_refused_with_a_reason(point, payload) -> None:
    readings, refused = read_message(point, payload, received=NOW)
    assert len(readings) == 0
    assert refused


@MANY
@given(json_values)
def test_any_json_is_refused_with_a_reason(value) -> None:
    readings, refused = read_message("a", json.dumps(value).encode(), received=NOW)
    assert len(readings) == 0
    assert refused


@MANY
@given(st.lists(odd_readings, min_size=1, max_size=4))
def test_wrong_readings_are_refused_one_by_one(entries) -> None:
    readings, refused = read_message("a", message([*entries, GOOD]), received=NOW)
    assert 1 <= len(readings) <= len(entries) + 1
    assert (len(readings) == len(entries) + 1) == (not refused)
    assert all(len(str(refusal)) < 1000 for refusal in refused)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"x" * (MOST_BYTES + 1), "too many bytes"),
        (b"[" * 200_000, "too deep"),
        (b'{"a":' * 40_000, "too deep"),
        (b"\xff\xfe{}", "no UTF-8"),
        (b'{"format": NaN}', "NaN"),
        (b'{"a": 1, "a": 2}', "stands twice"),
        (b"9" * 10_000, "is no JSON"),
        (message([GOOD] * (MOST_READINGS + 1)), "is no list of readings"),
        (message([]), "is no list of readings"),
        (message([GOOD], source="=1"), "is no name"),
        (message([GOOD], extra=1), "not known"),
        (message([GOOD | {"import_wh": True}]), "no whole number"),
        (message([GOOD | {"import_wh": 1.0}]), "no whole number"),
        (message([GOOD | {"start": "2016-01-04 00:00"}]), "no time"),
        (message([GOOD | {"start": "2016-02-30T00:00:00Z"}]), "no time"),
    ],
)
def test_each_kind_of_harm_has_its_reason(payload, reason) -> None:
    readings, refused = read_message("a", payload, received=NOW)
    assert len(readings) == 0
    assert any(reason in refusal.reason for refusal in refused)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 9))
def test_messages_carry_all_that_readings_say(seed, count, most) -> None:
    rng = np.random.default_rng(seed)
    given_ones = MeterReadings(
        point=rng.choice(["home 1", "b"], count),
        start=NOW - rng.integers(0, 10**6, count),
        duration_s=rng.choice([0, 900], count),
        import_wh=rng.integers(-5, 10**9, count),
        export_wh=rng.integers(0, 10**9, count),
        source=rng.choice(["x", "y"], count),
        received=NOW,
        quality=rng.choice(["measured", "estimated"], count),
        meter=rng.choice(["", "7"], count),
    )
    back = [read_message(point, text, received=NOW) for point, text in write_messages(given_ones, most=most)]
    assert not any(refused for _, refused in back)
    together = MeterReadings.concat([readings for readings, _ in back])

    def rows(readings: MeterReadings) -> list[tuple]:
        return sorted(zip(*(getattr(readings, name).tolist() for name in COLUMNS), strict=True))

    assert rows(together) == rows(given_ones)


def test_a_signature_holds_for_its_reading_alone(tmp_path) -> None:
    (tmp_path / "keys.csv").write_text(f"point,public_key\na,{new_key(tmp_path / 'a.pem')}\nc,12\n")
    _, faults = read_public_keys(tmp_path / "keys.csv")
    assert [fault.reason for fault in faults] == ["is no public key"]
    (tmp_path / "keys.csv").write_text((tmp_path / "keys.csv").read_text().replace("c,12\n", ""))
    keys, _ = read_public_keys(tmp_path / "keys.csv")
    key, _ = read_private_key(tmp_path / "a.pem")
    readings = MeterReadings(
        point="a",
        start=NOW - np.array([900, 1800]),
        duration_s=900,
        import_wh=[1, 2],
        export_wh=0,
        source="x",
        received=NOW,
    )
    signed = sign(readings, key)
    assert not broken_signatures(signed, keys).any()
    columns = {name: getattr(signed, name) for name in COLUMNS}
    swapped = MeterReadings(**columns | {"signature": signed.signature[::-1]})
    assert broken_signatures(swapped, keys).all()
    assert broken_signatures(readings, keys).all()
    other = MeterReadings(**columns | {"point": "b"})
    assert not broken_signatures(other, keys).any()  # no key is known of b
    assert oct((tmp_path / "a.pem").stat().st_mode)[-3:] == "600"
    with pytest.raises(FileExistsError):
        new_key(tmp_path / "a.pem")
    (tmp_path / "bad.pem").write_text("no key")
    assert read_private_key(tmp_path / "bad.pem")[1][0].reason.startswith("is no private key")
    assert read_private_key(tmp_path / "none.pem")[1][0].reason.startswith("cannot be read")


def test_addresses_of_brokers() -> None:
    assert broker_of("mqtt://host").port == 1883
    assert broker_of("mqtts://u:p%40ss@host:99").password == "p@ss"
    assert "p@ss" not in repr(broker_of("mqtts://u:p%40ss@host:99"))
    for url in ("http://host", "mqtt://", "mqtt://host:port", "mqtt://host/path", "host"):
        with pytest.raises(InputError):
            broker_of(url)
    with pytest.raises(InputError, match=r"(?s)2 faults.*\*\*\*.*no topic"):
        broker_of("amqp://u:secret@host", topic="a/+")
