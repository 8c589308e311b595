"""Each assumption that `_otel_compat` makes about OpenTelemetry's private names."""

from __future__ import annotations

import importlib
from typing import Any, Literal

import pytest
from opentelemetry import _logs, metrics, trace
from opentelemetry._logs import LogRecord
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import Logger, LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs._internal import ConcurrentMultiLogRecordProcessor
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    SpanLimits,
    SpanProcessor,
    Tracer,
    TracerProvider,
)
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from alerts.receivers import HttpReceiver, Reply
from e2e.grpc_receiver import GrpcReceiver
from mita_otel import _otel_compat
from mita_otel._otel_compat import GrpcAnswer, OtlpAnswer


def test_the_lengths_at_which_providers_cut_values() -> None:
    spans = TracerProvider(
        span_limits=SpanLimits(max_attribute_length=7, max_span_attribute_length=9), shutdown_on_exit=False
    )
    assert _otel_compat.span_length_limits(spans) == (9, 7)
    limits = _otel_compat.log_record_limits(5)
    if limits:  # from 1.44 on
        assert _otel_compat.log_record_length_limits(LoggerProvider(shutdown_on_exit=False, **limits)) == (
            5,
            5,
        )
        assert _otel_compat.log_record_limits(None)["log_record_limits"].max_attribute_length is None


class Recording(SpanProcessor):
    def __init__(self) -> None:
        self.names: list[str] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.names.append(span.name)


@pytest.mark.parametrize("concurrent", [False, True])
def test_put_in_front_takes_over_what_was_there_and_what_comes_later(concurrent: bool) -> None:
    before, later, front = Recording(), Recording(), Recording()
    seen: list[tuple[SpanProcessor, ...]] = []
    added: list[SpanProcessor] = []
    multi = ConcurrentMultiSpanProcessor() if concurrent else None
    provider = TracerProvider(active_span_processor=multi, shutdown_on_exit=False)
    provider.add_span_processor(before)
    tracer = provider.get_tracer("early")

    def build(present: tuple[SpanProcessor, ...]) -> SpanProcessor:
        seen.append(present)
        return front

    put_back = _otel_compat.put_in_front(provider, build, added.append)
    provider.add_span_processor(later)
    tracer.start_span("span").end()
    assert seen == [(before,)]
    assert added == [later]
    assert (front.names, before.names, later.names) == (["span"], [], [])
    put_back([before, later])
    tracer.start_span("after").end()
    assert (front.names, before.names, later.names) == (["span"], ["after"], ["after"])


def test_the_sampler_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _otel_compat.sampler_from_environment() is None
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    sampler = _otel_compat.sampler_from_environment()
    assert isinstance(sampler, ParentBasedTraceIdRatio)
    assert "0.25" in sampler.get_description()


def test_the_id_generator_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(_otel_compat.id_generator_from_environment(), RandomIdGenerator)
    monkeypatch.setenv("OTEL_PYTHON_ID_GENERATOR", "nobody")
    assert _otel_compat.id_generator_from_environment() is None


@pytest.mark.parametrize(
    ("variable", "signal"), [("OTEL_METRICS_EXPORTER", "metrics"), ("OTEL_LOGS_EXPORTER", "logs")]
)
def test_exporters_of_the_other_signals(
    monkeypatch: pytest.MonkeyPatch, variable: str, signal: Literal["metrics", "logs"]
) -> None:
    for nothing in (None, "none", "", "none, "):
        if nothing is not None:
            monkeypatch.setenv(variable, nothing)
        assert _otel_compat.asked_exporters(signal) == ({}, {})
    monkeypatch.setenv(variable, "console,nobody,none,otlp,console,")
    for protocol, packages in (
        ("", ["sdk", "http"]),
        ("http/protobuf", ["sdk", "http"]),
        ("grpc", ["sdk", "grpc"]),
    ):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)  # without one it is HTTP, as for traces
        asked = _otel_compat.asked_exporters(signal)
        assert list(asked.missing) == ["nobody"]
        exporters = [make() for make in asked.classes.values()]
        modules = [type(one).__module__.split(".") for one in exporters]
        assert [parts[1] if parts[1] == "sdk" else parts[4] for parts in modules] == packages
        for exporter in exporters:
            exporter.shutdown()


def test_a_wrapped_provider_is_found_and_a_foreign_one_is_not() -> None:
    provider = TracerProvider(shutdown_on_exit=False)

    class Proxy:
        def __init__(self, provider: object) -> None:
            self.provider = provider

    assert _otel_compat.unwrap_provider(provider) is provider
    assert _otel_compat.unwrap_provider(Proxy(provider)) is provider
    assert _otel_compat.unwrap_provider(object()) is None


def test_global_providers_are_unset_and_can_be_set_again() -> None:
    assert _otel_compat.has_meter_provider() is False
    assert _otel_compat.has_logger_provider() is False
    _otel_compat.forget_meters("mita_otel")  # of other tests in this process
    early = metrics.get_meter("early").create_counter("early")
    for _ in range(2):
        reader = InMemoryMetricReader()
        meters = MeterProvider([reader], shutdown_on_exit=False)
        loggers, tracers = LoggerProvider(shutdown_on_exit=False), TracerProvider(shutdown_on_exit=False)
        metrics.set_meter_provider(meters)
        _logs.set_logger_provider(loggers)
        trace.set_tracer_provider(tracers)
        assert [_otel_compat.has_meter_provider(), _otel_compat.has_logger_provider()] == [True, True]
        assert trace.get_tracer_provider() is tracers
        early.add(1)
        metrics.get_meter("late").create_counter("late").add(1)
        found = reader.get_metrics_data()
        assert found is not None
        assert sorted(
            metric.name
            for one in found.resource_metrics
            for scope in one.scope_metrics
            for metric in scope.metrics
        ) == ["early", "late"]
        others = (
            MeterProvider([]),
            LoggerProvider(shutdown_on_exit=False),
            TracerProvider(shutdown_on_exit=False),
        )
        for meters_to_unset, loggers_to_unset, tracers_to_unset in (others, (meters, loggers, tracers)):
            assert trace.get_tracer_provider() is tracers
            assert [_otel_compat.has_meter_provider(), _otel_compat.has_logger_provider()] == [True, True]
            _otel_compat.unset_meter_provider(meters_to_unset)
            _otel_compat.unset_logger_provider(loggers_to_unset)
            _otel_compat.unset_tracer_provider(tracers_to_unset)
        assert [_otel_compat.has_meter_provider(), _otel_compat.has_logger_provider()] == [False, False]
        assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
        meters.shutdown()
    _otel_compat.forget_meters("early")


def test_forgotten_meters_make_no_instruments_of_the_next_provider() -> None:
    metrics.get_meter("ours").create_observable_gauge("gauge", [lambda options: [Observation(1)]])
    _otel_compat.forget_meters("ours")
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    try:
        assert reader.get_metrics_data() is None
    finally:
        _otel_compat.unset_meter_provider(provider)
        provider.shutdown()


def test_providers_that_are_put_aside_come_back_with_their_instruments() -> None:
    _otel_compat.forget_meters("mita_otel")  # of other tests in this process
    restore_all = _otel_compat.put_aside_providers()
    early = metrics.get_meter("early").create_counter("early")
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    try:
        metrics.set_meter_provider(provider)
        restore = _otel_compat.put_aside_providers()
        assert not _otel_compat.has_meter_provider()
        early.add(1)
        late = metrics.get_meter("late").create_counter("late")
        restore()
        early.add(2)
        late.add(3)
        data = reader.get_metrics_data()
        assert data is not None
        values = {
            metric.name: [point.value for point in metric.data.data_points]  # type: ignore[union-attr]
            for scope in data.resource_metrics[0].scope_metrics
            for metric in scope.metrics
        }
        assert values == {"early": [2], "late": [3]}
    finally:
        restore_all()
        provider.shutdown()


def test_a_tracer_moves_to_another_provider() -> None:
    before, after = TracerProvider(shutdown_on_exit=False), TracerProvider(shutdown_on_exit=False)
    recording = Recording()
    after.add_span_processor(recording)
    tracer = before.get_tracer("t")
    assert isinstance(tracer, Tracer)
    _otel_compat.move_tracer(tracer, after)
    tracer.start_span("moved").end()
    assert recording.names == ["moved"]


def test_spans_and_log_records_get_their_times_from_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    _otel_compat.set_clock(lambda: 42, monkeypatch.setattr)
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("x")
    span.add_event("e")
    span.end()
    assert isinstance(span, ReadableSpan)
    assert (span.start_time, span.events[0].timestamp, span.end_time) == (42, 42, 42)
    assert LogRecord(body="x").observed_timestamp == 42


def test_a_logger_moves_to_another_provider() -> None:
    first, second = (
        LoggerProvider(resource=Resource({"name": name}), shutdown_on_exit=False)
        for name in ("first", "second")
    )
    second.add_log_record_processor(SimpleLogRecordProcessor(exporter := InMemoryLogRecordExporter()))
    logger = first.get_logger("app")
    assert isinstance(logger, Logger)
    _otel_compat.move_logger(logger, second)
    logger.emit(LogRecord(body="x"))
    [record] = exporter.get_finished_logs()
    assert record.resource.attributes == {"name": "second"}


def test_a_flush_is_skipped_by_a_reader_that_is_asked() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("m").create_counter("c").add(1)
    _otel_compat.skip_flush(reader)
    assert provider.force_flush()
    assert reader._metrics_data is None  # nothing was collected
    provider.shutdown()


def test_put_before_reader_decides_what_a_reader_receives() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("m").create_counter("c").add(1)
    assert _otel_compat.readers_of(provider) == (reader,)
    _otel_compat.put_before_reader(reader, lambda data: MetricsData([]))
    assert reader.get_metrics_data() == MetricsData([])
    _otel_compat.put_before_reader(reader, lambda data: None)
    reader.collect()
    assert reader.get_metrics_data() is None


@pytest.mark.parametrize("concurrent", [False, True])
def test_joining_a_logger_provider_wraps_its_processors_and_leaving_restores_them(concurrent: bool) -> None:
    class Marking(LogRecordProcessor):
        def __init__(self, to: list[str], prefix: str = "") -> None:
            self.to, self.prefix = to, prefix

        def on_emit(self, log_record: Any) -> None:
            self.to.append(self.prefix + str(log_record.log_record.body))

        def shutdown(self) -> None: ...

        def force_flush(self, timeout_millis: int = 0) -> bool:
            return True

    bodies: list[str] = []
    multi = ConcurrentMultiLogRecordProcessor() if concurrent else None
    provider = LoggerProvider(multi_log_record_processor=multi, shutdown_on_exit=False)
    provider.add_log_record_processor(Marking([]))
    wrap = lambda one: Marking(bodies, "wrapped ")  # noqa: E731
    leave = _otel_compat.join_logger_provider(provider, [Marking(bodies, "ours ")], wrap)
    host: list[str] = []
    provider.add_log_record_processor(Marking(host))
    provider.get_logger("early").emit(LogRecord(body="x"))
    assert sorted(bodies) == ["ours x", "wrapped x", "wrapped x"]
    leave()
    provider.get_logger("early").emit(LogRecord(body="y"))
    assert (len(bodies), host) == (3, ["y"])
    provider.shutdown()


def test_an_otlp_exporter_is_asked_once_and_says_what_it_heard() -> None:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    receiver = HttpReceiver()
    receiver.usual = Reply(503, "", {"Retry-After": "30"})
    exporter = OTLPSpanExporter(f"{receiver.url}/v1/traces", headers={"x-tenant": "bank"})
    try:
        heard = _otel_compat.ask_otlp(exporter, 10)
        assert isinstance(heard, OtlpAnswer)
        assert (heard.endpoint, heard.status, heard.error) == (f"{receiver.url}/v1/traces", 503, None)
        assert heard.headers["retry-after"] == "30"
        [posted] = receiver.posted
        assert (posted.body, posted.headers["x-tenant"]) == (b"", "bank")
    finally:
        exporter.shutdown()
        receiver.close()
    nobody = OTLPSpanExporter("http://127.0.0.1:1/v1/traces")
    away = _otel_compat.ask_otlp(nobody, 10)
    assert isinstance(away, OtlpAnswer) and away.status is None and away.error is not None
    nobody.shutdown()
    assert _otel_compat.ask_otlp(InMemorySpanExporter(), 10) is None


def test_an_otlp_exporter_over_grpc_is_asked_once_and_says_what_it_heard() -> None:
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    receiver = GrpcReceiver()
    address = f"127.0.0.1:{receiver.port}"
    exporter = OTLPSpanExporter(f"http://{address}", headers={"x-tenant": "bank"})
    try:
        assert _otel_compat.ask_otlp(exporter, 30) == GrpcAnswer(address, "OK", "")
        receiver.refuses = (grpc.StatusCode.PERMISSION_DENIED, "not you")
        assert _otel_compat.ask_otlp(exporter, 30) == GrpcAnswer(address, "PERMISSION_DENIED", "not you")
        assert [one["x-tenant"] for one in receiver.metadata] == ["bank", "bank"]
    finally:
        exporter.shutdown()
        receiver.close()


# --- the SQLAlchemy package ---------------------------------------------------------------------------
def test_single_engines_get_and_lose_the_listeners_of_the_sqlalchemy_package() -> None:
    pytest.importorskip("opentelemetry.instrumentation.sqlalchemy", exc_type=ImportError)
    from sqlalchemy import create_engine

    ours, other = create_engine("sqlite://"), create_engine("sqlite://")
    listeners = _otel_compat.EngineListeners("test")
    listeners.add(ours)
    listeners.add(other)
    assert [type(one.__self__).__name__ for one in list[Any](ours.dispatch.before_cursor_execute)] == [
        "EngineTracer"
    ]
    listeners.remove(ours)
    assert [*ours.dispatch.before_cursor_execute, *ours.pool.dispatch.checkout] == []
    assert len(list(other.dispatch.before_cursor_execute)) == 1
    listeners.remove(other)


def test_the_span_of_a_statement_is_taken_from_the_sqlalchemy_package() -> None:
    pytest.importorskip("opentelemetry.instrumentation.sqlalchemy", exc_type=ImportError)
    from sqlalchemy import create_engine, event, text
    from sqlalchemy.engine import Engine

    provider = TracerProvider(shutdown_on_exit=False)
    engine = create_engine("sqlite://")
    listeners = _otel_compat.EngineListeners("test", provider)
    listeners.add(engine)
    taken: list[Any] = []

    def after(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        taken.append((_otel_compat.statement_span(context), _otel_compat.take_statement_span(context)))
        taken.append((_otel_compat.statement_span(context), None))

    event.listen(Engine, "after_cursor_execute", after)  # called before the listeners of a single engine
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    (span, same), (nothing, _) = taken
    assert span is same
    assert span.is_recording(), "the package ends it no more"
    assert nothing is None
    listeners.remove(engine)
    event.remove(Engine, "after_cursor_execute", after)


@pytest.mark.parametrize(
    "path",
    [
        "proto.http.trace_exporter:OTLPSpanExporter",
        "proto.http._log_exporter:OTLPLogExporter",
        "proto.http.metric_exporter:OTLPMetricExporter",
        "proto.grpc.trace_exporter:OTLPSpanExporter",
        "proto.grpc._log_exporter:OTLPLogExporter",
        "proto.grpc.metric_exporter:OTLPMetricExporter",
    ],
)
def test_the_requests_of_each_otlp_exporter_can_be_intercepted(path: str) -> None:
    module, _, name = path.partition(":")
    exporter = getattr(importlib.import_module(f"opentelemetry.exporter.otlp.{module}"), name)()
    try:
        assert _otel_compat.intercept_otlp(exporter, lambda url, send: send(url)[0], lambda *_: None)
    finally:
        exporter.shutdown()
    assert not _otel_compat.intercept_otlp(object(), lambda url, send: None, lambda *_: None)
