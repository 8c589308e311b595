"""The redaction boundary for metrics: attributes of data points and exemplars are redacted before any exporter."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from opentelemetry.sdk.metrics.export import (
    Gauge,
    Histogram,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)

from mita_otel._otel_compat import Patch
from mita_otel._otel_compat.metrics import preferences_of, put_before_reader
from mita_otel.errors import raise_interrupt
from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.processors.metric_halves import halves
from mita_otel.processors.queues.batch_sender import MAX_REQUESTS
from mita_otel.processors.queues.losses import Cause, Losses
from mita_otel.processors.queues.otlp_responses import OtlpResponses
from mita_otel.processors.redaction import RedactedOrigins
from mita_otel.redaction import Redactor

_logger = logging.getLogger("mita_otel")

_NUMBERS: Final = ("value", "sum", "min", "max")
"""Fields of data points that hold measurements."""
_INT64: Final = 2**63
_STAGE: Final = "metrics"
"""The stage for losses."""


class MetricRedaction:
    """Redacts metrics, and merges data points whose redacted attributes are equal.

    Args:
        redaction: The policy section, or a redactor.
    """

    def __init__(self, redaction: RedactionPolicy | Redactor) -> None:
        self._redactor = redaction if isinstance(redaction, Redactor) else Redactor(redaction)
        self._origins = RedactedOrigins(self._redactor)

    def __call__(self, metrics: MetricsData) -> MetricsData | None:
        """Return a redacted copy of the metrics; None if they could not be redacted and must not be exported."""
        try:
            return MetricsData([self._resource(one) for one in metrics.resource_metrics])
        except BaseException as error:  # noqa: BLE001 - fail closed
            raise_interrupt(error)
            _logger.warning("metrics could not be redacted (%s) and were not exported", type(error).__name__)
            return None

    def _resource(self, metrics: ResourceMetrics) -> ResourceMetrics:
        return replace(
            metrics,
            resource=self._origins.resource(metrics.resource),
            scope_metrics=[self._scope(one) for one in metrics.scope_metrics],
        )

    def _scope(self, metrics: ScopeMetrics) -> ScopeMetrics:
        return replace(
            metrics,
            scope=self._origins.scope(metrics.scope) or metrics.scope,
            metrics=[self._metric(one) for one in metrics.metrics],
        )

    def _metric(self, metric: Metric) -> Metric:
        text = self._redactor.text
        data: Any = metric.data  # one of four classes that have points
        points = [self._point(one) for one in data.data_points]
        changed = any(
            safe.attributes != one.attributes for safe, one in zip(points, data.data_points, strict=True)
        )
        return replace(
            metric,
            name=text(metric.name),
            description=text(metric.description or ""),
            data=replace(data, data_points=merged(data, points) if changed else points),
        )

    def _point(self, point: Any) -> Any:
        exemplars = [
            replace(
                one,
                filtered_attributes=self._attributes(one.filtered_attributes),
                value=encodable_measurement(one.value),
            )
            for one in point.exemplars
        ]
        numbers = {
            name: encodable_measurement(getattr(point, name)) for name in _NUMBERS if hasattr(point, name)
        }
        return replace(point, attributes=self._attributes(point.attributes), exemplars=exemplars, **numbers)

    def _attributes(self, attributes: Mapping[str, Any] | None) -> dict[str, Any]:
        return self._redactor.attributes(attributes or {})


class RedactedMetricExporter(MetricExporter):
    """Redacts metrics before it passes them to another exporter.

    Fails closed: metrics that cannot be redacted are not exported.

    Args:
        redaction: The policy section, or a redactor.
        exporter: Receives the metrics.
        losses: Counts collections that were not exported. None: they are not counted.
    """

    def __init__(
        self,
        redaction: RedactionPolicy | Redactor,
        exporter: MetricExporter,
        losses: Losses | None = None,
    ) -> None:
        temporality, aggregation = preferences_of(exporter)
        super().__init__(temporality, aggregation)
        self._redact = MetricRedaction(redaction)
        self._exporter = exporter
        self._responses = OtlpResponses(exporter)
        self._losses = losses
        self._failed_before = False
        self._requests = 0

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Redact and pass on. A collection that was not exported is counted as lost, and sent in parts if it is too large."""
        safe = self._redact(metrics_data)
        if safe is None:
            self._lose("not_redactable", None)
            return MetricExportResult.FAILURE
        self._requests = 0
        return self._send(safe, timeout_millis, kwargs)

    def _send(self, data: MetricsData, timeout_millis: float, kwargs: dict[str, Any]) -> MetricExportResult:
        self._responses.begin()
        self._requests += 1
        try:
            result = self._exporter.export(data, timeout_millis, **kwargs)
        except BaseException as error:  # a cancellation or a Rust panic must not end the reader's thread
            raise_interrupt(error)
            if (parts := self._parts(data)) is not None:
                return self._send_each(parts, timeout_millis, kwargs)
            cause = self._responses.failure
            self._lose("exporter_failed" if cause is None else "export_failed", cause)
            if not self._failed_before and cause is None:
                self._failed_before = True
                _logger.exception("the metrics exporter failed; further failures are only counted")
            return MetricExportResult.FAILURE
        rejected, cause = self._responses.rejection
        if result is not MetricExportResult.SUCCESS:
            if (parts := self._parts(data)) is not None:
                return self._send_each(parts, timeout_millis, kwargs)
            self._lose("export_failed", self._responses.failure)
        elif rejected:
            self._lose("rejected", cause)
        return result

    def _parts(self, data: MetricsData) -> tuple[MetricsData, MetricsData] | None:
        """Return the halves of a collection that the backend refuses for its size, or None."""
        if not self._responses.too_large or self._requests >= MAX_REQUESTS:
            return None
        return halves(data)

    def _send_each(
        self, parts: tuple[MetricsData, MetricsData], timeout_millis: float, kwargs: dict[str, Any]
    ) -> MetricExportResult:
        results = [self._send(part, timeout_millis, kwargs) for part in parts]
        return next((one for one in results if one is not MetricExportResult.SUCCESS), results[0])

    def _lose(self, reason: str, cause: Cause | None) -> None:
        if self._losses is not None:
            self._losses.add(_STAGE, reason, 1, cause)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Flush the exporter."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown(timeout_millis, **kwargs)


def encodable_measurement(value: Any) -> Any:
    """Return a measurement that exporters can encode: an integer beyond 64 bits as the nearest float."""
    if value is None or isinstance(value, float) or (type(value) is int and -_INT64 <= value < _INT64):
        return value
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def redact_reader(
    redaction: RedactionPolicy | Redactor, reader: MetricReader, patch: Patch = setattr
) -> MetricReader:
    """Return the reader, which receives only redacted metrics from now on. For readers that have no exporter.

    Args:
        redaction: The policy's section, or a ready redactor.
        reader: Any reader, as Prometheus' that waits to be asked.
        patch: Sets the reader's attribute, as `Patches.set`, which can take it back.
    """
    put_before_reader(reader, MetricRedaction(redaction), patch)
    return reader


def merged(data: Any, points: Sequence[Any]) -> list[Any]:
    """Return one data point for each set of attributes.

    Sums, and histograms with the same bounds, are added. Of gauges the latest is kept. Exponential histograms are not
    merged, because their scales differ.

    Args:
        data: The metric data.
        points: Its redacted data points.
    """
    merge = {Sum: _add_numbers, Gauge: _latest, Histogram: _add_histograms}.get(type(data))
    if merge is None:
        return list(points)
    groups: dict[Any, list[Any]] = {}
    for point in points:
        groups.setdefault((_identity(point.attributes), *_bounds(point)), []).append(point)
    return [group[0] if len(group) == 1 else merge(group) for group in groups.values()]


def _identity(attributes: Any) -> tuple[Any, ...]:
    return tuple(sorted((key, repr(value)) for key, value in (attributes or {}).items()))


def _bounds(point: Any) -> tuple[Any, ...]:
    return tuple(getattr(point, "explicit_bounds", ()))


def _add_numbers(points: list[Any]) -> Any:
    return _spanning(points, value=sum(point.value for point in points))


def _latest(points: list[Any]) -> Any:
    return max(reversed(points), key=lambda point: point.time_unix_nano)


def _add_histograms(points: list[Any]) -> Any:
    return _spanning(
        points,
        count=sum(point.count for point in points),
        sum=sum(point.sum for point in points),
        bucket_counts=[
            sum(counts) for counts in zip(*(point.bucket_counts for point in points), strict=True)
        ],
        min=min((point.min for point in points if point.min is not None), default=None),
        max=max((point.max for point in points if point.max is not None), default=None),
    )


def _spanning(points: list[Any], **values: Any) -> Any:
    return replace(
        points[0],
        start_time_unix_nano=min(point.start_time_unix_nano or 0 for point in points),
        time_unix_nano=max(point.time_unix_nano for point in points),
        exemplars=[exemplar for point in points for exemplar in point.exemplars],
        **values,
    )
