"""Log records as Sentry logs."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from mita_otel.sentry.logs import MAX_RECORDS, SentryLogExporter
from mita_otel.sentry.transport.sender_identity import identity_of


class Link:
    """A client that stores envelopes."""

    def __init__(self) -> None:
        options = {"environment": "staging", "release": "bank@1.0", "server_name": "host-1"}
        self.identity = identity_of(SimpleNamespace(options=options))  # type: ignore[arg-type]
        self.sent: list[Any] = []

    def send(self, envelope: Any) -> None:
        self.sent.append(envelope)


def record(**more: Any) -> ReadableLogRecord:
    made = LogRecord(timestamp=1_700_000_000_000_001_000, observed_timestamp=1, **more)
    made.trace_id, made.span_id = more.get("trace_id", 7), more.get("span_id", 9)
    return ReadableLogRecord(made, Resource({"service.name": "bank"}), InstrumentationScope("bank.ledger"))


def exported(*records: ReadableLogRecord) -> list[dict[str, Any]]:
    link = Link()
    SentryLogExporter(link).export(records)  # type: ignore[arg-type]
    for envelope in link.sent:
        [item] = envelope.items
        assert item.headers["type"] == "log"
        assert item.headers["content_type"] == "application/vnd.sentry.items.log+json"
        assert item.headers["item_count"] == len(json.loads(item.get_bytes())["items"])
    return [one for envelope in link.sent for one in json.loads(envelope.items[0].get_bytes())["items"]]


def test_a_log_record_is_exported_completely() -> None:
    [shown] = exported(
        record(body="paid", severity_number=SeverityNumber.WARN, severity_text="WARNING", attributes={"n": 5})
    )
    attributes = {name: one["value"] for name, one in shown.pop("attributes").items()}
    assert shown == {
        "timestamp": 1_700_000_000.000001,
        "level": "warn",
        "body": "paid",
        "trace_id": f"{7:032x}",
        "span_id": f"{9:016x}",
    }
    assert attributes == {
        "n": 5,
        "sentry.environment": "staging",
        "sentry.release": "bank@1.0",
        "sentry.sdk.name": "sentry.python.mita_otel",
        "sentry.sdk.version": attributes["sentry.sdk.version"],
        "sentry.severity_number": 13,
        "sentry.severity_text": "WARNING",
        "server.address": "host-1",
        "service.name": "bank",
        "logger.name": "bank.ledger",
    }


LEVELS = {
    SeverityNumber.TRACE: "trace", SeverityNumber.DEBUG: "debug", SeverityNumber.INFO: "info",
    SeverityNumber.WARN2: "warn", SeverityNumber.ERROR: "error", SeverityNumber.FATAL4: "fatal",
}  # fmt: skip


@pytest.mark.parametrize(("number", "level"), LEVELS.items())
def test_each_severity_number_has_a_sentry_level(number: SeverityNumber, level: str) -> None:
    assert exported(record(body="x", severity_number=number))[0]["level"] == level


@pytest.mark.parametrize(
    ("body", "shown"), [({"a": 1}, '{"a":1}'), (None, "null"), (5, "5"), (["x"], '["x"]'), ("", "")]
)
def test_a_body_of_another_type_is_json(body: Any, shown: str) -> None:
    assert exported(record(body=body))[0]["body"] == shown


def test_a_record_outside_a_trace_has_no_span_id() -> None:
    [shown] = exported(record(body="x", trace_id=0, span_id=0))
    assert shown["trace_id"] == "0" * 32
    assert "span_id" not in shown


def test_an_item_contains_at_most_a_hundred_records() -> None:
    link = Link()
    SentryLogExporter(link).export([record(body="x")] * 250)  # type: ignore[arg-type]
    assert [envelope.items[0].headers["item_count"] for envelope in link.sent] == [MAX_RECORDS, 100, 50]
