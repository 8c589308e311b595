"""Sends one batch through an exporter, in halves where one item or the size of the whole prevents it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel.errors import raise_interrupt
from mita_otel.processors.queues.losses import Cause
from mita_otel.processors.queues.otlp_responses import OtlpResponses

_logger = logging.getLogger("mita_otel")

_FAILED: Final = "failed"
"""The `error.type` of an export for which the exporter returned a failure."""
MAX_REQUESTS: Final = 64
"""Requests for one batch. One item of 512 that is too large takes 19; a limit that is always exceeded must not take 1,023."""
_MAX_NAME: Final = 80
"""Characters of a span's name in a log line."""

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Exports(Protocol[T_contra]):
    """The common interface of OpenTelemetry's exporters of spans and log records."""

    def export(self, batch: Sequence[T_contra], /) -> Any:
        """Export a batch, and return the result."""

    def force_flush(self, timeout_millis: int = ..., /) -> bool:
        """Send everything that is queued."""

    def shutdown(self) -> None:
        """Shut down."""


@dataclass(frozen=True, slots=True)
class ExportFailure:
    """Items of a batch that did not arrive."""

    count: int
    reason: str
    """The reason for the loss counts."""
    error_type: str
    """An exception's name, or `failed`."""
    cause: Cause | None


class BatchSender(Generic[T]):
    """Sends batches, and returns what did not arrive.

    If OTLP's exporter sent no request, it cannot encode one of the items. If the backend refuses the size of a request, each
    half may arrive. Either way the batch is halved until only the items that cause it are lost.

    Args:
        name: The exporter's name, for log messages.
        exporter: Receives the items.
        success: The exporter's result for a successful export.
        responses: Observes the requests of the exporter.
        work: Returns the slice of work that one export belongs to.
        stepped: Divides the reading of a batch into steps.
    """

    def __init__(
        self,
        name: str,
        exporter: Exports[T],
        success: object,
        responses: OtlpResponses,
        work: Callable[[], AbstractContextManager[None]],
        stepped: Callable[[list[T]], Sequence[T]],
    ) -> None:
        self._name = name
        self._exporter = exporter
        self._success = success
        self._responses = responses
        self._work = work
        self._stepped = stepped
        self._failed_before = False
        self._requests = 0

    def send(self, batch: list[T]) -> list[ExportFailure]:
        """Export a batch. Return the items that did not arrive."""
        self._requests = 0
        return self._send(batch)

    def _send(self, batch: list[T]) -> list[ExportFailure]:
        self._responses.begin()
        failure = self._try_export(batch)
        if failure is None:
            rejected, cause = self._responses.rejection
            return [ExportFailure(min(rejected, len(batch)), "rejected", _FAILED, cause)] if rejected else []
        encodable = self._responses.requested or not self._responses.active
        self._requests += self._responses.requested
        too_large, cause = self._responses.too_large, self._responses.failure
        if too_large and cause is not None and (len(batch) == 1 or self._requests >= MAX_REQUESTS):
            return [ExportFailure(len(batch), "too_large", failure, _of_items(cause, batch))]
        if encodable and not too_large:
            # OTLP's exporters before 1.44 raise an exception when a request failed.
            reason = "export_failed" if failure == _FAILED or cause is not None else "exporter_failed"
            return [ExportFailure(len(batch), reason, failure, cause)]
        if len(batch) == 1:
            return [ExportFailure(1, "not_encodable", failure, None)]
        half = len(batch) // 2
        return [*self._send(batch[:half]), *self._send(batch[half:])]

    def _try_export(self, batch: list[T]) -> str | None:
        """Export, and return what failed: an exception's name, or `failed` if the exporter returned a failure."""
        try:
            # The exporter's own HTTP requests must not become spans.
            with suppress_instrumentation(), self._work():
                result = self._exporter.export(self._stepped(batch))
        except BaseException as error:  # such as a CancelledError or a Rust panic
            raise_interrupt(error)
            if not self._failed_before and self._responses.failure is None:
                self._failed_before = True
                _logger.exception("exporter %s failed; further failures are only counted", self._name)
            return type(error).__name__
        return None if result is self._success else _FAILED


def _of_items(cause: Cause, batch: Sequence[Any]) -> Cause:
    """Return the cause of a loss with the name of the item that is too large."""
    if len(batch) > 1:
        return cause._replace(why=f"{cause.why} to {MAX_REQUESTS} requests, each smaller than the one before")
    name = getattr(batch[0], "name", None)
    item = f"the span {name[:_MAX_NAME]!r}" if isinstance(name, str) else "one log record"
    return cause._replace(why=f"{cause.why} to {item} alone")
