"""Metric readers and exporters, and meters that exist before a provider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader, MetricsData

from mita_otel._otel_compat import Patch


def preferences_of(exporter: MetricExporter) -> tuple[Any, Any]:
    """Return the temporality and the aggregation that a metric exporter asks its reader for."""
    return exporter._preferred_temporality, exporter._preferred_aggregation


def put_before_reader(
    reader: MetricReader, redact: Callable[[MetricsData], MetricsData | None], patch: Patch = setattr
) -> None:
    """Let a metric reader receive what `redact` returns, and nothing where it returns None.

    A reader that is asked for metrics, as Prometheus' is, has no exporter that could be wrapped.
    """
    receive = reader._receive_metrics

    def receive_redacted(metrics_data: MetricsData, *args: Any, **kwargs: Any) -> None:
        safe = redact(metrics_data)
        if safe is not None:
            receive(safe, *args, **kwargs)

    patch(reader, "_receive_metrics", receive_redacted)


def skip_flush(reader: MetricReader) -> None:
    """Let a flush do nothing to a reader that is asked for metrics, as Prometheus' is.

    Its own `force_flush` would collect, keep the result, and show it before newer numbers when it is asked.
    """
    reader.force_flush = lambda timeout_millis=10_000: True  # type: ignore[method-assign]


def readers_of(provider: MeterProvider) -> tuple[MetricReader, ...]:
    """Return the readers that a host's MeterProvider has."""
    kept: Any = getattr(provider, "_metric_readers", None)
    # Older releases keep them in the configuration.
    return tuple(getattr(provider._sdk_config, "metric_readers", ()) if kept is None else kept)


def forget_meters(name: str) -> None:
    """Let the next global MeterProvider make no instruments for meters of this name that exist now."""
    from opentelemetry.metrics import _internal

    proxy = _internal._PROXY_METER_PROVIDER
    with proxy._lock:
        proxy._meters[:] = [meter for meter in proxy._meters if meter.name != name]
