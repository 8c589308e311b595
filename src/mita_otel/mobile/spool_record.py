"""A record: what goes to one destination, redacted, with what has to be known to send it. A file in the spool."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import orjson

from mita_otel._json import json_bytes
from mita_otel.mobile.item_types import PRIORITIES
from mita_otel.policy.mobile import Priority

_VERSION: Final = 1


class DamagedRecordError(Exception):
    """A file of the spool is not what was written."""


@dataclass(frozen=True, slots=True)
class SpoolRecord:
    """What is known of a record without opening it twice."""

    destination: str
    """`sentry` or `store`."""
    project: str
    """The project's name."""
    priority: Priority
    categories: tuple[str, ...] = ()
    """Sentry's categories of what is in it."""
    form: str = "envelope"
    """`envelope` or `otlp_traces`."""
    received_s: float = 0.0
    """When it was taken, in seconds since the epoch."""
    header: dict[str, Any] = field(default_factory=dict)
    """The envelope's header."""


def encode_record(record: SpoolRecord, payload: bytes) -> bytes:
    """Return the contents of a record's file."""
    line = {"v": _VERSION, **asdict(record), "length": len(payload), "crc": zlib.crc32(payload)}
    return b"".join([json_bytes(line, newline=True), payload])


def decode_record(content: bytes) -> tuple[SpoolRecord, bytes]:
    """Return a record and its payload.

    Raises:
        DamagedRecordError: The file is not whole.
    """
    line, newline, payload = content.partition(b"\n")
    try:
        said = orjson.loads(line)
        if not newline or said.pop("v") != _VERSION or said.pop("length") != len(payload):
            raise DamagedRecordError("the file is not whole")
        if said.pop("crc") != zlib.crc32(payload):
            raise DamagedRecordError("the file was changed")
        record = SpoolRecord(**{**said, "categories": tuple(said["categories"])})
        if record.priority not in PRIORITIES:
            raise DamagedRecordError("the file has no priority")
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise DamagedRecordError("the file is no record") from error
    return record, payload
