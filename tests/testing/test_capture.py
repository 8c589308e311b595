"""Telemetry for one test: `capture()` records signals, provides assertions, and restores the process."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from pathlib import Path

import pytest
import sentry_sdk
from opentelemetry import _logs, metrics, propagate, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import mita_otel
from e2e.script import run_script
from mita_otel._otel_compat.global_providers import put_aside_providers
from mita_otel.policy import PolicyError, default_policy
from mita_otel.testing import capture

CARD = "4111 1111 1111 1111"
REFUND = {"thresholds": {"financial": {"refund": 100}}}


def slow_refund(mita: object) -> None:
    with mita_otel.monitor_financial_operation("refund"):
        mita.clock.advance(0.2)  # type: ignore[attr-defined]


def test_each_signal_is_recorded_as_it_would_be_exported() -> None:
    with capture(REFUND, "staging", deterministic=True) as mita:
        slow_refund(mita)
        logging.getLogger("shop").warning("card %s refused", CARD)
        metrics.get_meter("shop").create_counter("refunds").add(3)
        mita_otel.capture_payment_error(ValueError("declined"))
        sentry_sdk.capture_exception(KeyError("mine"))
        mita_otel.record_audit_event("configuration_change", "user-7", {"card": CARD})
        assert mita.telemetry.environment == "staging"
        assert [(span.name, span.duration_ms) for span in mita.spans] == [("refund", 200.0)]
        assert ("shop", "WARNING", "card [redacted:pan] refused") in [
            (log.logger, log.severity, log.body) for log in mita.logs
        ]
        assert [one.value for one in mita.metrics if one.name == "refunds"] == [3]
        assert [error.type for error in mita.errors] == ["ValueError", "KeyError"]
        assert mita.errors[0].tags["error_category"] == "payment_processing"
        assert [(breach.rule, breach.limit) for breach in mita.breaches] == [("financial.refund", 100)]
        assert {redaction.rule for redaction in mita.redactions} == {"pan"}
        (entry,) = mita.audit
        assert (entry["type"], entry["user_id"]) == ("configuration_change", "user-7")
        assert mita.alerts == []
        mita.assert_no_secrets(CARD)


def test_traces_are_nested_and_equal_in_each_run() -> None:
    def run() -> list[dict[str, object]]:
        with capture(REFUND, deterministic=True) as mita:
            with trace.get_tracer("shop").start_as_current_span("request"):
                slow_refund(mita)
            assert {span.trace_id for span in mita.spans} == {f"{1:032x}"}
            return mita.traces

    (root,) = first = run()
    assert root["name"] == "request"
    assert [child["name"] for child in root["children"]] == ["refund"]  # type: ignore[attr-defined]
    assert first == run()


@pytest.mark.parametrize("kind", ["object", "path", "overlay"])
def test_a_policy_is_an_object_a_path_or_an_overlay(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("[thresholds.financial]\nrefund = 100\n", "utf-8")
    policy = {"object": default_policy("development"), "path": file, "overlay": REFUND}[kind]
    with capture(policy, "development", deterministic=True) as mita:  # type: ignore[arg-type]
        slow_refund(mita)
        rules = [breach.rule for breach in mita.breaches]
    assert rules == ([] if kind == "object" else ["financial.refund"])


def test_an_overlay_with_an_unknown_setting_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"thresholds\.finacial"), capture({"thresholds": {"finacial": {}}}):
        pass


def test_failed_assertions_list_the_recorded_signals() -> None:
    with capture(REFUND, deterministic=True) as mita:
        mita.assert_within_limits()
        slow_refund(mita)
        mita_otel.capture_payment_error(ValueError("declined"), severity="critical")
        mita.assert_breached("financial.refund")
        mita.assert_alerted("critical_financial_errors")
        with pytest.raises(AssertionError, match=r"financial\.refund: refund: 200\.0 ms, limit 100 ms"):
            mita.assert_within_limits()
        with pytest.raises(AssertionError, match=r"not exceeded(.|\n)*refund: 200\.0 ms, limit 100 ms"):
            mita.assert_breached("financial.transfer")
        with pytest.raises(AssertionError, match=r"no such rule(.|\n)*critical_financial_errors: 1 event"):
            mita.assert_alerted("nope")


@pytest.mark.parametrize("secret", ["zebra-crossing", 'a"b\\c', "naïve käse", "a/b c+d"])
def test_a_secret_is_found_in_the_form_of_each_exporter(secret: str) -> None:
    with capture() as mita:
        with trace.get_tracer("shop").start_as_current_span("pay", attributes={"note": f"<{secret}>"}):
            logging.getLogger("shop").warning("paid with %s.", secret)
        with pytest.raises(AssertionError) as raised:
            mita.assert_no_secrets(secret)
        mita.assert_no_secrets("another value")
    for place in (
        "file exporter",
        "store exporter",
        "OTLP exporter (spans)",
        "OTLP exporter (logs)",
        "Sentry",
    ):
        assert place in str(raised.value)
    assert secret not in str(raised.value)


def test_a_value_too_short_for_a_search_is_refused() -> None:
    with capture() as mita, pytest.raises(ValueError, match="at least 3 characters"):
        mita.assert_no_secrets("1")


def test_backends_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTRY_DSN", "https://key@127.0.0.1:9/1")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    before = dict(os.environ)
    with capture() as mita:
        assert "SENTRY_DSN" not in os.environ
        sentry_sdk.init(
            dsn="https://key@127.0.0.1:9/1", auto_enabling_integrations=False
        )  # as an application does
        sentry_sdk.capture_exception(KeyError("mine"))
        with trace.get_tracer("shop").start_as_current_span("pay"):
            pass
        assert [error.type for error in mita.errors] == ["KeyError"]
        assert mita.telemetry.losses() == {}
    assert dict(os.environ) == before


def test_configure_inside_returns_this_telemetry() -> None:
    with capture() as mita:
        assert mita_otel.configure() is mita.telemetry


def test_the_process_is_restored() -> None:
    client, propagator = sentry_sdk.get_global_scope().client, propagate.get_global_textmap()
    restore = put_aside_providers()
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(shutdown_on_exit=False), MeterProvider([reader], shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    counter = metrics.get_meter("shop").create_counter("orders")
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(meters)
    loggers = _logs.get_logger_provider()
    try:
        with capture() as mita:
            kept = trace.get_tracer("kept by the application")
            with kept.start_as_current_span("inside"):
                counter.add(1)
            assert [span.name for span in mita.spans] == ["inside"]
            assert [one.value for one in mita.metrics if one.name == "orders"] == [1]
        with kept.start_as_current_span("outside"):
            counter.add(5)
        assert trace.get_tracer_provider() is tracers
        assert metrics.get_meter_provider() is meters
        assert _logs.get_logger_provider() is loggers
        assert [span.name for span in exporter.get_finished_spans()] == ["outside"]
        data = reader.get_metrics_data()
        assert data is not None
        (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
        assert metric.data.data_points[0].value == 5  # type: ignore[union-attr]
    finally:
        restore()
        meters.shutdown()
        tracers.shutdown()
    assert sentry_sdk.get_global_scope().client is client
    assert propagate.get_global_textmap() is propagator


@pytest.mark.usefixtures("isolated_telemetry")
def test_earlier_telemetry_continues_afterwards() -> None:
    outer = mita_otel.configure(exporters=["memory"], policy=default_policy("development"))
    tracer = trace.get_tracer("shop")
    with capture() as mita:
        with tracer.start_as_current_span("inside"):
            pass
        assert [span.name for span in mita.spans] == ["inside"]
    with tracer.start_as_current_span("outside"):
        pass
    assert mita_otel.configure(exporters=["memory"], policy=default_policy("development")) is outer
    assert outer.flush(30)
    assert [span.name for span in outer.exporters["memory"].spans] == ["outside"]  # type: ignore[attr-defined]


async def test_tasks_and_threads_are_recorded() -> None:
    tracer = trace.get_tracer("shop")

    async def task(name: str) -> None:
        with tracer.start_as_current_span(name):
            await asyncio.sleep(0)

    def work() -> None:
        with tracer.start_as_current_span("thread"):
            pass

    with capture() as mita:
        await asyncio.gather(task("a"), task("b"))
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert {span.name for span in mita.spans} == {"a", "b", "thread"}


def test_a_clock_is_provided_on_request_only() -> None:
    with capture() as mita, pytest.raises(RuntimeError, match="deterministic=True"):
        mita.clock.advance(1)
    with capture(deterministic=True) as mita, pytest.raises(ValueError, match="cannot go back"):
        mita.clock.advance(-1)


def test_importing_the_plugin_imports_nothing_heavy(tmp_path: Path) -> None:
    script = """
        import mita_otel.testing, mita_otel.testing.pytest_plugin
        answer(sorted(sys.modules))
    """
    imported = run_script(script, tmp_path).answer
    heavy = ("opentelemetry", "sentry_sdk", "mita_otel.sdk", "mita_otel.policy", "mita_otel.redaction")
    assert [name for name in imported if name.startswith(heavy)] == []


def test_audit_entries_are_recorded_without_a_database_until_the_trail_is_read() -> None:
    with capture() as mita:
        mita_otel.record_audit_event("login", "user-7")
        assert [entry["type"] for entry in mita.audit] == ["login"]
        database = Path(mita.telemetry.policy.store.url.removeprefix("sqlite:///"))
        assert not database.exists()
        assert [entry.event_type for entry in mita_otel.get_audit_trail("user-7")] == ["login"]
        assert database.exists()
