"""An existing setup of OpenTelemetry or Sentry in the host is joined, and one log line says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e import canaries
from e2e.receiver import Receiver
from e2e.script import run_script

pytestmark = pytest.mark.e2e


def test_a_joined_tracer_provider_exports_no_secret(tmp_path: Path) -> None:
    ran = run_script(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        theirs, later = InMemorySpanExporter(), InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(theirs))
        trace.set_tracer_provider(provider)
        import mita_otel
        telemetry = mita_otel.configure(exporters=["memory"])
        provider.add_span_processor(BatchSpanProcessor(later))
        with trace.get_tracer("test").start_as_current_span("job", attributes={"password": "hunter2"}):
            pass
        telemetry.flush()
        answer({
            "same": trace.get_tracer_provider() is provider,
            "seen": [
                [s.name, s.attributes["password"]]
                for e in (theirs.get_finished_spans(), later.get_finished_spans(),
                          telemetry.exporters["memory"].spans)
                for s in e
            ],
        })
        """,
        tmp_path,
    )
    assert ran.answer["same"] is True
    assert len(ran.answer["seen"]) == 3, ran.answer
    assert {name for name, _ in ran.answer["seen"]} == {"job"}
    assert "hunter2" not in str(ran.answer)
    [line] = ran.log("joined")
    assert "TracerProvider" in line


def test_events_of_a_joined_sentry_client_are_redacted(receiver: Receiver, tmp_path: Path) -> None:
    ran = run_script(
        """
        import os, sentry_sdk
        sentry_sdk.init(dsn=os.environ["SENTRY_DSN"], release="host@1")
        theirs = sentry_sdk.get_client()
        import mita_otel
        from opentelemetry import trace
        telemetry = mita_otel.configure()
        with trace.get_tracer("test").start_as_current_span("job", attributes={"password": "hunter2"}):
            sentry_sdk.capture_message("card 4111 1111 1111 1111 refused")
        telemetry.shutdown()
        answer(sentry_sdk.get_client() is theirs)
        """,
        tmp_path,
        {"SENTRY_DSN": receiver.dsn},
    )
    assert ran.answer is True
    receiver.wait_for(lambda r: r.transactions and r.events)
    assert len(receiver.transactions) == len(receiver.events) == 1
    assert (
        receiver.transactions[0]["contexts"]["trace"]["trace_id"]
        == (receiver.events[0]["contexts"]["trace"]["trace_id"])
    )
    assert b"hunter2" not in receiver.raw
    assert canaries.leaks(receiver.raw, {"message": "4111 1111 1111 1111"}) == []
    assert len(ran.log("joined")) == 1, ran.stderr


def test_joined_logger_and_meter_providers_export_no_secret(tmp_path: Path) -> None:
    ran = run_script(
        """
        from opentelemetry import _logs, metrics
        from opentelemetry._logs import LogRecord
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        reader, logs = InMemoryMetricReader(), InMemoryLogRecordExporter()
        metrics.set_meter_provider(MeterProvider([reader]))
        provider = LoggerProvider()
        provider.add_log_record_processor(SimpleLogRecordProcessor(logs))
        _logs.set_logger_provider(provider)
        import mita_otel
        mita_otel.configure(exporters=["memory"])
        later = InMemoryLogRecordExporter()
        provider.add_log_record_processor(SimpleLogRecordProcessor(later))
        metrics.get_meter("m").create_counter("c").add(1, {"note": "card 4111111111111111"})
        _logs.get_logger("l").emit(LogRecord(body="card 4111111111111111", attributes={"password": "hunter2"}))
        shown = reader.get_metrics_data().to_json()
        bodies = [
            [str(one.log_record.body), dict(one.log_record.attributes)]
            for exporter in (logs, later) for one in exporter.get_finished_logs()
        ]
        answer({"metrics": shown, "logs": bodies})
        """,
        tmp_path,
    )
    assert "4111111111111111" not in ran.answer["metrics"]
    assert "card [redacted:pan]" in ran.answer["metrics"]
    assert len(ran.answer["logs"]) == 2
    for body, attributes in ran.answer["logs"]:
        assert body == "card [redacted:pan]"
        assert attributes["password"] == "[redacted:password]"


def test_providers_of_another_sdk_are_not_joined_and_are_named(tmp_path: Path) -> None:
    ran = run_script(
        """
        from opentelemetry import _logs, metrics
        class Meters(metrics.NoOpMeterProvider): pass
        class Loggers(_logs.NoOpLoggerProvider): pass
        metrics.set_meter_provider(Meters())
        _logs.set_logger_provider(Loggers())
        import mita_otel
        mita_otel.configure(exporters=["memory"])
        answer(None)
        """,
        tmp_path,
    )
    assert "__main__.Meters" in ran.log("MeterProvider")[0]
    assert "__main__.Loggers" in ran.log("LoggerProvider")[0]


def test_propagated_headers_contain_no_secret(tmp_path: Path) -> None:
    ran = run_script(
        """
        from opentelemetry import baggage, propagate, trace
        import mita_otel
        mita_otel.configure(exporters=["memory"])
        context = baggage.set_baggage("note", "card 4111111111111111", baggage.set_baggage("tenant", "acme"))
        carrier = {}
        with trace.get_tracer("t").start_as_current_span("job", context=context) as span:
            propagate.inject(carrier, trace.set_span_in_context(span, context))
        answer(carrier)
        """,
        tmp_path,
    )
    assert ran.answer["baggage"] == "tenant=acme"
    assert ran.answer["traceparent"].startswith("00-")
