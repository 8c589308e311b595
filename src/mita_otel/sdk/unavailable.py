"""Counts what exporters that could not be created would have received, so that `flush()` and `losses()` report it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar, Final

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.trace import ReadableSpan

from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.stage import Stage

_REASON: Final = "not_created"


def counting_unavailable(
    names: Iterable[str], losses: Losses, then: Callable[[ReadableSpan], None] | None
) -> Callable[[ReadableSpan], None] | None:
    """Return a function that counts each finished span for each exporter, also the spans that sampling drops later.

    Args:
        names: The exporters. None given: `then` is returned.
        losses: Counts the spans.
        then: Called with each finished span as well.
    """
    stages = [f"exporter.{name}" for name in names]
    if not stages:
        return then

    def on_end(span: ReadableSpan) -> None:
        for stage in stages:
            losses.add(stage, _REASON)
        if then is not None:
            then(span)

    return on_end


class UnavailableLogExporter(LogRecordProcessor):
    """Counts every log record.

    Args:
        name: The exporter's name.
        losses: Counts the records.
    """

    def __init__(self, name: str, losses: Losses) -> None:
        self._stage = f"logs.{name}"
        self._losses = losses

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Count a record."""
        self._losses.add(self._stage, _REASON)

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: there is no queue."""
        return True


class UnavailableMetricExporter(Stage):
    """Counts a collection of metrics at each flush.

    Args:
        losses: Counts the collections.
    """

    counts_losses: ClassVar[bool] = True

    def __init__(self, losses: Losses) -> None:
        self._losses = losses

    def flush(self, deadline_s: float) -> bool:
        """Count a collection."""
        self._losses.add("metrics", _REASON)
        return True
