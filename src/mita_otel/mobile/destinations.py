"""Destinations of records, and the outcome of a delivery."""

from __future__ import annotations

import gzip
import logging
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import orjson
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from mita_otel._json import json_bytes
from mita_otel.mobile.app_spans import AppSpan, spans_of_item, spans_of_transaction
from mita_otel.mobile.envelope import EnvelopeBounds, EnvelopeError, parse_envelope, write_envelope
from mita_otel.mobile.otel_spans import error_record, resource_of, root_attributes, span_of
from mita_otel.mobile.rate_limits import PRIORITIES, ForwardedRateLimits
from mita_otel.mobile.upstream import Upstream, UpstreamUnreachable
from mita_otel.policy import Policy
from mita_otel.policy.mobile import Priority
from mita_otel.store import StoreError, open_database

if TYPE_CHECKING:
    from mita_otel.store.exporter import StoreLogExporter, StoreSpanExporter, StoreWriter


Outcome = Literal["delivered", "rejected", "limited", "unavailable"]

_REFUSED_FOR_GOOD: Final = frozenset({400, 405, 413, 415, 422})
"""Statuses that no retry can change. Other errors may be fixed: a key, a project, an outage."""
_TOO_MANY: Final = 429


@dataclass(frozen=True, slots=True)
class Delivery:
    """The outcome of a delivery."""

    outcome: Outcome
    reason: str = ""
    """For counting and the log, for example `status_503`."""


class Destination(Protocol):
    """Receives records."""

    def may_have(self, record: SpoolRecord, /) -> bool:
        """Return whether the record may be sent now."""

    def deliver(self, record: SpoolRecord, payload: bytes, /) -> Delivery:
        """Deliver a record. May block. Called on several threads."""

    def close(self) -> None:
        """Close connections."""


class SentryDestination:
    """One project in Sentry.

    Args:
        upstream: The connection.
        limits: Its rate limits, updated from its responses.
        compression_level: Level of gzip. 0: no compression.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        upstream: Upstream,
        limits: ForwardedRateLimits,
        *,
        compression_level: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._upstream = upstream
        self.limits = limits
        self._level = compression_level
        self._clock = clock

    def may_have(self, record: SpoolRecord) -> bool:
        """Return whether no rate limit of Sentry covers the record's categories."""
        return not self.limits.is_limited(record.categories)

    def deliver(self, record: SpoolRecord, payload: bytes) -> Delivery:
        """Send a record."""
        body = payload
        if record.form == "envelope":
            body = write_envelope(sent_later(record.header, self._clock() - record.received_s), payload)
        if self._level:
            body = gzip.compress(body, self._level)
        post = (
            self._upstream.post_otlp_traces if record.form == "otlp_traces" else self._upstream.post_envelope
        )
        try:
            answer = post(body, compressed=bool(self._level))
        except UpstreamUnreachable as error:
            return Delivery("unavailable", str(error))
        self.limits.update(answer.status, answer.headers)
        reason = f"status_{answer.status}"
        if 200 <= answer.status < 300:
            return Delivery("delivered", reason)
        if answer.status == _TOO_MANY:
            # The limit names other categories, so all that is known is to wait.
            return Delivery("unavailable" if self.may_have(record) else "limited", reason)
        return Delivery("rejected" if answer.status in _REFUSED_FOR_GOOD else "unavailable", reason)

    def close(self) -> None:
        """Close the connections."""
        self._upstream.close()


def sent_later(header: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Return an envelope's header with `sent_at` moved by the time it waited.

    Sentry corrects the app's clock by the difference between `sent_at` and the time of arrival. The time in the
    spool must not look like a slow clock.

    Args:
        header: The app's header.
        seconds: How long the envelope waited.
    """
    said = header.get("sent_at")
    if not isinstance(said, str) or seconds <= 0:
        return dict(header)
    try:
        sent_at = datetime.fromisoformat(said)
        later = (sent_at if sent_at.tzinfo else sent_at.replace(tzinfo=UTC)) + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return dict(header)
    return {**header, "sent_at": later.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}


_logger = logging.getLogger("mita_otel.mobile")

_OWN_BOUNDS: Final = EnvelopeBounds(1 << 20, 1 << 20)
"""Our own records were bounded when they were written."""


def store_destinations(policy: Policy, env: Mapping[str, str]) -> Callable[[str], Destination] | None:
    """Return the factory of store destinations by project name.

    None: no project uses the store, or it is unavailable.
    """
    if not any(project.store for project in policy.mobile.projects.values()):
        return None
    try:
        database = open_database(policy.store, env)
        from mita_otel.store.exporter import StoreWriter
    except StoreError as error:
        _logger.error("mobile telemetry does not reach the store: %s", error)
        return None
    writer = StoreWriter(database, migrate=policy.store.migrate)
    return lambda name: StoreDestination(writer, policy.mobile.projects[name].service)


class StoreDestination:
    """The store as the destination of one app.

    Args:
        writer: Writes the rows.
        service: The app's service name.
        clock: Seconds since the epoch.
    """

    def __init__(self, writer: StoreWriter, service: str, clock: Callable[[], float] = time.time) -> None:
        from mita_otel.store.exporter import StoreLogExporter, StoreSpanExporter

        self._spans: StoreSpanExporter = StoreSpanExporter(writer)
        self._errors: StoreLogExporter = StoreLogExporter(writer)
        self._service = service
        self._clock = clock

    def may_have(self, record: SpoolRecord) -> bool:
        """Return True: Sentry's rate limits do not apply to the store."""
        return True

    def deliver(self, record: SpoolRecord, payload: bytes) -> Delivery:
        """Write the content of a record."""
        try:
            spans, errors = self._read(record, payload)
        except (EnvelopeError, orjson.JSONDecodeError):
            return Delivery("rejected", "unreadable")
        if spans and self._spans.export(spans) is not SpanExportResult.SUCCESS:
            return Delivery("unavailable", "store")
        if errors and self._errors.export(errors) is not LogRecordExportResult.SUCCESS:
            return Delivery("unavailable", "store")
        return Delivery("delivered")

    def close(self) -> None:
        """Close the connections."""
        self._spans.shutdown()

    def _read(
        self, record: SpoolRecord, payload: bytes
    ) -> tuple[list[ReadableSpan], list[ReadableLogRecord]]:
        if record.form == "otlp_traces":
            from mita_otel.mobile.otlp import read_spans

            return list(read_spans(payload, self._service)), []
        spans: list[ReadableSpan] = []
        errors: list[ReadableLogRecord] = []
        for item in parse_envelope(b"{}\n" + payload, _OWN_BOUNDS).items:
            if item.type == "transaction":
                spans += self._transaction(orjson.loads(item.payload))
            elif item.type == "span":
                spans += self._streamed(orjson.loads(item.payload))
            elif item.type == "event":
                event = orjson.loads(item.payload)
                error = error_record(event, resource_of(event, self._service), self._clock())
                if error is not None:
                    errors.append(error)
        return spans, errors

    def _transaction(self, event: dict[str, Any]) -> Iterator[ReadableSpan]:
        resource = resource_of(event, self._service)
        for span in spans_of_transaction(event):
            yield span_of(span, resource, root_attributes(event) if span.is_root else None)

    def _streamed(self, value: dict[str, Any]) -> Iterator[ReadableSpan]:
        found: list[AppSpan] = list(spans_of_item(value))
        for span in found:
            yield span_of(span, resource_of(span.data, self._service))


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
