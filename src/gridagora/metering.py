"""All that meter data needs, in one place: readings, checking them, files, messages and signatures.

    from gridagora import metering

    check = metering.check_meter_file(Path("meters.csv"), timezone="Europe/Berlin", capacity_kw=30.0)
    print(check.summary())

The how-to page "Meter data" goes through all of it.
"""

from gridagora.adapters.meters.files import MeterFile, read_meter_file
from gridagora.adapters.meters.log import ReadingsLog
from gridagora.adapters.meters.messages import read_message, write_messages
from gridagora.adapters.meters.mqtt import Broker, broker_of, listen, send
from gridagora.adapters.meters.signing import broken_signatures, new_key, read_public_keys, sign
from gridagora.model.metering import QUALITIES, MeterReadings, canonical_bytes
from gridagora.settlement.metering import (
    METHODS,
    RULES,
    CheckedReadings,
    MeterFinding,
    MeterRules,
    check_readings,
)
from gridagora.studies.meter import MeterCheck, check_all, check_meter_file

__all__ = [
    "METHODS",
    "QUALITIES",
    "RULES",
    "Broker",
    "CheckedReadings",
    "MeterCheck",
    "MeterFile",
    "MeterFinding",
    "MeterReadings",
    "MeterRules",
    "ReadingsLog",
    "broken_signatures",
    "broker_of",
    "canonical_bytes",
    "check_all",
    "check_meter_file",
    "check_readings",
    "listen",
    "new_key",
    "read_message",
    "read_meter_file",
    "read_public_keys",
    "send",
    "sign",
    "write_messages",
]
