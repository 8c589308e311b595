"""Private names of metric readers and meters."""

from __future__ import annotations

from opentelemetry import metrics
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData

from mita_otel._otel_compat.global_providers import unset_meter_provider
from mita_otel._otel_compat.metrics import forget_meters, put_before_reader, readers_of, skip_flush


def test_forgotten_meters_create_no_instruments_of_the_next_provider() -> None:
    metrics.get_meter("ours").create_observable_gauge("gauge", [lambda options: [Observation(1)]])
    forget_meters("ours")
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    try:
        assert reader.get_metrics_data() is None
    finally:
        unset_meter_provider(provider)
        provider.shutdown()


def test_a_pull_reader_skips_flushes() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("m").create_counter("c").add(1)
    skip_flush(reader)
    assert provider.force_flush()
    assert reader._metrics_data is None  # nothing was collected
    provider.shutdown()


def test_put_before_reader_decides_what_a_reader_receives() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("m").create_counter("c").add(1)
    assert readers_of(provider) == (reader,)
    put_before_reader(reader, lambda data: MetricsData([]))
    assert reader.get_metrics_data() == MetricsData([])
    put_before_reader(reader, lambda data: None)
    reader.collect()
    assert reader.get_metrics_data() is None
