"""A spool record: redacted data for one destination, with what is needed to send it. A file in the spool."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import orjson

from mita_otel._json import json_bytes
from mita_otel.mobile.rate_limits import PRIORITIES
from mita_otel.policy.mobile import Priority

_VERSION: Final = 1


class DamagedRecordError(Exception):
    """A file of the spool was changed or is incomplete."""


@dataclass(frozen=True, slots=True)
class SpoolRecord:
    """The description of a record."""

    destination: str
    """`sentry` or `store`."""
    project: str
    """The project's name."""
    priority: Priority
    categories: tuple[str, ...] = ()
    """Sentry's categories of its content."""
    form: str = "envelope"
    """`envelope` or `otlp_traces`."""
    received_s: float = 0.0
    """When it was received, seconds since the epoch."""
    header: dict[str, Any] = field(default_factory=dict)
    """The envelope's header."""


def encode_record(record: SpoolRecord, payload: bytes) -> bytes:
    """Return the content of a record's file."""
    line = {"v": _VERSION, **asdict(record), "length": len(payload), "crc": zlib.crc32(payload)}
    return b"".join([json_bytes(line, newline=True), payload])


def decode_record(content: bytes) -> tuple[SpoolRecord, bytes]:
    """Return a record and its payload.

    Raises:
        DamagedRecordError: The file was changed or is incomplete.
    """
    line, newline, payload = content.partition(b"\n")
    try:
        fields = orjson.loads(line)
        if not newline or fields.pop("v") != _VERSION or fields.pop("length") != len(payload):
            raise DamagedRecordError("the file is incomplete")
        if fields.pop("crc") != zlib.crc32(payload):
            raise DamagedRecordError("the file was changed")
        record = SpoolRecord(**{**fields, "categories": tuple(fields["categories"])})
        if record.priority not in PRIORITIES:
            raise DamagedRecordError("the file has no priority")
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise DamagedRecordError("the file is not a spool record") from error
    return record, payload
