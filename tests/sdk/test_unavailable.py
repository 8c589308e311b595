"""Signals for an exporter that could not be created count as lost, and `flush()` returns False."""

from __future__ import annotations

import logging

import pytest
from opentelemetry import trace

from mita_otel.sdk.configuration import configure


@pytest.fixture(autouse=True)
def clean(isolated_telemetry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER", "OTEL_TRACES_EXPORTER", "SENTRY_DSN"):
        monkeypatch.delenv(name, raising=False)


def work() -> None:
    with trace.get_tracer("test").start_as_current_span("work"):
        logging.getLogger("bank").warning("hello")


def test_spans_and_log_records_and_metrics_are_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "missing")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "missing")
    telemetry = configure(exporters=["missing", "memory"])
    work()
    assert telemetry.flush() is False
    assert telemetry.losses() == {
        "exporter.missing: not_created": 1,
        "logs.missing: not_created": 1,
        "metrics: not_created": 1,
    }
    [line] = [text for text in caplog.messages if "telemetry lost at exporter.missing" in text]
    assert "not delivered to exporter missing: the exporter could not be created; read the error line" in line
    telemetry.shutdown(0)


@pytest.mark.parametrize("dsn", ["nonsense", "https://host/1"])
def test_an_unusable_dsn_counts_as_a_loss(monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    monkeypatch.setenv("SENTRY_DSN", dsn)
    telemetry = configure(exporters=["sentry", "memory"])
    work()
    assert telemetry.flush() is False
    assert telemetry.losses() == {"exporter.sentry: not_created": 1}
    telemetry.shutdown(0)


def test_without_a_dsn_the_fallback_loses_nothing() -> None:
    telemetry = configure(exporters=["sentry", "memory"])
    work()
    assert telemetry.flush() is True
    assert telemetry.losses() == {}
    telemetry.shutdown(0)


def test_a_constructor_that_panics_does_not_stop_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    def panic(self: object) -> None:
        raise PanicException("no")

    monkeypatch.setattr("mita_otel.exporters.file.FileSpanExporter.__init__", lambda *_, **__: panic(None))
    telemetry = configure(exporters=["file", "memory"])
    work()
    assert telemetry.flush() is False
    assert telemetry.losses() == {"exporter.file: not_created": 1}
    telemetry.shutdown(0)
