"""A host that has set up OpenTelemetry or Sentry itself is joined, not fought: one line says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.receiver import Receiver
from e2e.script import run_script

pytestmark = pytest.mark.e2e


def test_a_tracer_provider_of_the_host_is_joined_and_its_exporters_see_no_secret(tmp_path: Path) -> None:
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


def test_a_sentry_client_of_the_host_is_joined_and_its_events_pass_the_redactor(
    receiver: Receiver, tmp_path: Path
) -> None:
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
    receiver.wait_for(lambda r: r.transactions and r.events, timeout=5)
    assert len(receiver.transactions) == len(receiver.events) == 1
    assert (
        receiver.transactions[0]["contexts"]["trace"]["trace_id"]
        == (receiver.events[0]["contexts"]["trace"]["trace_id"])
    )
    assert b"hunter2" not in receiver.raw
    assert b"4111" not in receiver.raw
    assert len(ran.log("joined")) == 1, ran.stderr
