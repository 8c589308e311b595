"""The `store` exporter writes traces, breaches, redactions and errors as rows; failures are logged once."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode

from audit.kit import changed
from mita_otel import semconv
from mita_otel.policy import default_policy
from mita_otel.store.database import Database
from mita_otel.store.exporter import StoreLogExporter, StoreSpanExporter, StoreWriter

RESOURCE = Resource({"service.name": "shop", "deployment.environment.name": "test"})
HOUR_NS = 3600 * 10**9


@pytest.fixture
def writer(database_url: str) -> Iterator[StoreWriter]:
    database = Database(database_url, default_policy().store)
    yield StoreWriter(database, migrate=True)
    database.close()


def finished(
    name: str = "GET /x", attributes: dict[str, Any] | None = None, *, failed: bool = False
) -> ReadableSpan:
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    with provider.get_tracer("test").start_as_current_span(name, kind=SpanKind.SERVER) as span:
        span.set_attributes(attributes or {})
        if failed:
            span.set_status(Status(StatusCode.ERROR))
    return memory.get_finished_spans()[0]


def record(
    event_name: str | None = None, number: int = 17, body: Any = "it failed", **attributes: Any
) -> ReadableLogRecord:
    named = {name.replace("__", "."): value for name, value in attributes.items()}
    return ReadableLogRecord(
        log_record=LogRecord(
            timestamp=HOUR_NS * 500_000 + 5,
            severity_number=SeverityNumber(number),
            body=body,
            event_name=event_name,
            attributes=named,
        ),
        resource=RESOURCE,
    )


def rows(writer: StoreWriter, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    with writer.database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(f"SELECT {columns} FROM mita_{table}")]


def test_a_trace_is_stored_with_searchable_columns(writer: StoreWriter) -> None:
    span = finished(attributes={"user.id": "u1", "http.route": "/x", "data": b"\x01"}, failed=True)
    assert StoreSpanExporter(writer).export([span]) is SpanExportResult.SUCCESS
    [(trace_id, service, environment, name, kind, failed, exceeded, user, text)] = rows(
        writer, "spans", "trace_id, service, environment, name, kind, failed, exceeded, user_id, record"
    )
    assert trace_id == f"{span.context.trace_id:032x}"
    assert (service, environment, name, kind) == ("shop", "test", "GET /x", "SERVER")
    assert (bool(failed), bool(exceeded), user) == (True, False, "u1")
    assert json.loads(text)["attributes"] == {"user.id": "u1", "http.route": "/x", "data": "01"}


def test_a_repeated_span_is_stored_once(writer: StoreWriter) -> None:
    span = finished()
    exporter = StoreSpanExporter(writer)
    assert exporter.export([span]) is SpanExportResult.SUCCESS
    assert exporter.export([span]) is SpanExportResult.SUCCESS
    assert len(rows(writer, "spans")) == 1


def test_a_breach_is_a_row_with_rule_limit_and_trace(writer: StoreWriter) -> None:
    broken = {
        semconv.LATENCY_EXCEEDED: True,
        semconv.LATENCY_KIND: "api",
        semconv.LATENCY_RULE: "api.methods.GET",
        semconv.LATENCY_LIMIT_MS: 500,
        semconv.LATENCY_DURATION_MS: 612.5,
    }
    span = finished(attributes=broken)
    StoreSpanExporter(writer).export([span, finished()])
    assert rows(writer, "breaches", "kind, rule, name, duration_ms, limit_ms, trace_id") == [
        ("api", "api.methods.GET", "GET /x", 612.5, 500.0, f"{span.context.trace_id:032x}")
    ]


def test_redactions_are_counted_by_rule_and_hour_over_writers(writer: StoreWriter, database_url: str) -> None:
    exporter = StoreSpanExporter(writer)
    for rules in (("pan:2", "cvv:1"), ("pan:3",)):
        exporter.export([finished(attributes={semconv.REDACTED: 1, semconv.REDACTED_RULES: rules})])
    other = StoreWriter(Database(database_url, default_policy().store), migrate=True)
    StoreSpanExporter(other).export([finished(attributes={semconv.REDACTED_RULES: ("pan:10", "odd", "x:y")})])
    other.database.close()
    found = rows(writer, "redactions", "rule, count, hour_ns, service")
    totals: dict[str, int] = {}
    for rule, count, hour_ns, service in found:
        totals[rule] = totals.get(rule, 0) + count
        assert hour_ns % HOUR_NS == 0
        assert service == "shop"
    assert totals == {"pan": 15, "cvv": 1}


def test_only_errors_security_and_compliance_events_are_stored(
    writer: StoreWriter,
) -> None:
    batch = [
        record(
            semconv.ERROR_EVENT, 21, exception__type="ValueError", exception__message="no limit",
            mita__error__category="payment_processing", mita__severity="critical", mita__event__id="e" * 32,
            user__id="u1", mita__transaction__id="tx-1", merchant="m",
        ),
        record(semconv.SECURITY_EVENT, 13, mita__security__event_type="failed_login", mita__severity="high"),
        record(semconv.COMPLIANCE_EVENT, 9, mita__compliance__regulation="PCI_DSS", mita__severity="low"),
        record(None, 17, exception__type="KeyError", exception__message="'x'"),
        record(None, 17),
        record(None, 9, exception__type="KeyError"),
    ]  # fmt: skip
    assert StoreLogExporter(writer).export(batch) is LogRecordExportResult.SUCCESS
    assert rows(writer, "errors", "kind, category, severity, name, message, user_id, transaction_id") == [
        ("error", "payment_processing", "critical", "ValueError", "no limit", "u1", "tx-1"),
        ("security", "system_error", "high", "failed_login", "it failed", None, None),
        ("compliance", "system_error", "low", "PCI_DSS", "it failed", None, None),
        ("error", "system_error", "high", "KeyError", "'x'", None, None),
    ]
    [(details, event_id), *_] = rows(writer, "errors", "details, event_id")
    assert (json.loads(details), event_id) == (
        {"merchant": "m", "mita.error.category": "payment_processing"} and {"merchant": "m"},
        "e" * 32,
    )


@pytest.mark.parametrize(
    "odd", ["nul \x00 byte", "surrogate \ud800", "ü", "x" * 10_000, "'; DROP TABLE mita_spans; --"]
)
def test_unusual_text_never_loses_the_batch(writer: StoreWriter, odd: str) -> None:
    span = finished(
        odd,
        {
            "odd": odd,
            "user.id": odd,
            semconv.LATENCY_EXCEEDED: True,
            semconv.LATENCY_RULE: odd,
            semconv.LATENCY_KIND: odd,
            semconv.REDACTED_RULES: (f"{odd}:1",),
        },
    )
    assert StoreSpanExporter(writer).export([span]) is SpanExportResult.SUCCESS
    log = record(
        semconv.ERROR_EVENT, 17, body={"odd": odd}, mita__event__id=odd, exception__type=odd, odd=odd
    )
    assert StoreLogExporter(writer).export([log]) is LogRecordExportResult.SUCCESS
    assert len(rows(writer, "spans")) == len(rows(writer, "breaches")) == len(rows(writer, "errors")) == 1


def test_an_unavailable_store_fails_the_batch_and_logs_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(f"sqlite:///{tmp_path}/missing/mita.db", default_policy().store)
    exporter = StoreSpanExporter(StoreWriter(database, migrate=True))
    for _ in range(3):
        assert exporter.export([finished()]) is SpanExportResult.FAILURE
    assert len([one for one in caplog.records if one.levelno == logging.ERROR]) == 1
    (tmp_path / "missing").mkdir()
    assert exporter.export([finished()]) is SpanExportResult.SUCCESS
    exporter.shutdown()


def test_a_locked_store_fails_within_its_timeout(tmp_path: Path) -> None:
    path = tmp_path / "mita.db"
    policy = changed(store__lock_timeout_s=0.2).store
    exporter = StoreSpanExporter(StoreWriter(Database(f"sqlite:///{path}", policy), migrate=True))
    assert exporter.export([finished()]) is SpanExportResult.SUCCESS
    import sqlite3

    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    begun = time.monotonic()
    assert exporter.export([finished()]) is SpanExportResult.FAILURE
    assert time.monotonic() - begun < 10
    blocker.close()
    exporter.shutdown()


def test_a_refused_row_is_not_logged(writer: StoreWriter, caplog: pytest.LogCaptureFixture) -> None:
    row = {"occurred_ns": 1, "service": None, "message": "the customer's words"}
    assert not writer.write(errors=[row])
    assert "telemetry cannot be written to the store" in caplog.text
    assert "customer" not in caplog.text
