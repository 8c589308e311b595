"""Adds losses that occur before the transport to client reports, so that Sentry's statistics include them.

Source: Sentry's client reports, reasons of discarded events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mita_otel.processors.queues.losses import AFTER_SHUTDOWN, DEADLINE_PASSED, Losses
from mita_otel.sentry.transport.envelope_items import SPANS_STAGE
from mita_otel.sentry.transport.transport import SentryTransport

_REASONS: Final = {
    "queue_full": "queue_overflow",
    "too_many_spans": "buffer_overflow",
    "before_send": "before_send",
}
"""Sentry's reason by mita-otel's reason. Other reasons are reported as internal errors."""
_OUR_ERROR: Final = "internal_sdk_error"
_REPORTED_BY_TRANSPORT: Final = frozenset(
    {"queue_overflow", "ratelimit_backoff", "network_error", "ratelimited"}
)
"""Reasons that the transport already reports."""
_TOO_LATE: Final = frozenset({DEADLINE_PASSED, AFTER_SHUTDOWN})
"""Reasons after which no report is sent."""


class LossReports:
    """Reports spans that were lost before the transport.

    Args:
        losses: Counts all losses.
        transport: Returns the transport, or None if it is not ours.
        exporter: The exporter's name in `losses`.
    """

    def __init__(
        self, losses: Losses, transport: Callable[[], SentryTransport | None], exporter: str = "sentry"
    ) -> None:
        self._transport = transport
        self._stages = frozenset({"pipeline", f"exporter.{exporter}"})
        self._sampled_out: Callable[[], tuple[int, int]] | None = None
        self._reported = (0, 0)
        losses.listen(self._lost)

    def watch_sampling(self, sampled_out: Callable[[], tuple[int, int]]) -> None:
        """Set the callable that returns the numbers of unsampled traces and spans so far."""
        self._sampled_out = sampled_out

    def report_sampling(self) -> None:
        """Report the traces and spans that were not sampled since the last report."""
        transport = self._transport()
        if self._sampled_out is None or transport is None:
            return
        traces, spans = self._sampled_out()
        before_traces, before_spans = self._reported
        self._reported = (traces, spans)
        # A forked child counts from zero again, so a difference can be negative.
        transport.report(
            "sample_rate",
            transactions=max(0, traces - before_traces),
            spans=max(0, spans - before_spans),
        )

    def _lost(self, stage: str, reason: str, count: int) -> None:
        if reason in _TOO_LATE:
            return
        if stage not in self._stages and (stage != SPANS_STAGE or reason in _REPORTED_BY_TRANSPORT):
            return
        transport = self._transport()
        if transport is not None:
            transport.report(_REASONS.get(reason, _OUR_ERROR), spans=count)
