"""Private names of the global providers."""

from __future__ import annotations

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import (
    TracerProvider,
)

from mita_otel._otel_compat.global_providers import (
    has_logger_provider,
    has_meter_provider,
    put_aside_providers,
    unset_logger_provider,
    unset_meter_provider,
    unset_tracer_provider,
)
from mita_otel._otel_compat.metrics import forget_meters


def test_global_providers_are_unset_and_can_be_set_again() -> None:
    assert has_meter_provider() is False
    assert has_logger_provider() is False
    forget_meters("mita_otel")  # of other tests in this process
    early = metrics.get_meter("early").create_counter("early")
    for _ in range(2):
        reader = InMemoryMetricReader()
        meters = MeterProvider([reader], shutdown_on_exit=False)
        loggers, tracers = LoggerProvider(shutdown_on_exit=False), TracerProvider(shutdown_on_exit=False)
        metrics.set_meter_provider(meters)
        _logs.set_logger_provider(loggers)
        trace.set_tracer_provider(tracers)
        assert [has_meter_provider(), has_logger_provider()] == [True, True]
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
            assert [has_meter_provider(), has_logger_provider()] == [True, True]
            unset_meter_provider(meters_to_unset)
            unset_logger_provider(loggers_to_unset)
            unset_tracer_provider(tracers_to_unset)
        assert [has_meter_provider(), has_logger_provider()] == [False, False]
        assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
        meters.shutdown()
    forget_meters("early")


def test_replaced_providers_are_restored_with_their_instruments() -> None:
    forget_meters("mita_otel")  # of other tests in this process
    restore_all = put_aside_providers()
    early = metrics.get_meter("early").create_counter("early")
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    try:
        metrics.set_meter_provider(provider)
        restore = put_aside_providers()
        assert not has_meter_provider()
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
