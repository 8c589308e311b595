"""Standard logging: errors become issues, anything else a breadcrumb of the error that may follow."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace
from sentry_sdk.integrations.logging import LOGGING_TO_EVENT_LEVEL, LoggingIntegration, _BaseHandler

from mita_otel.policy.sentry import SentryBreadcrumbPolicy
from mita_otel.sentry.mapping.breadcrumbs import Breadcrumb, Breadcrumbs


class TraceLogging(LoggingIntegration):
    """sentry-sdk's logging integration, with breadcrumbs kept by trace.

    Args:
        policy: Whether, and from which level on.
        breadcrumbs: Where they are kept.
    """

    def __init__(self, policy: SentryBreadcrumbPolicy, breadcrumbs: Breadcrumbs) -> None:
        super().__init__(level=None, event_level=logging.ERROR, sentry_logs_level=None)
        if policy.enabled:
            level: int = getattr(logging, policy.level)
            self._breadcrumb_handler = _TrailHandler(level, breadcrumbs)  # type: ignore[assignment]


class _TrailHandler(_BaseHandler):
    def __init__(self, level: int, breadcrumbs: Breadcrumbs) -> None:
        super().__init__(level)
        self._breadcrumbs = breadcrumbs

    def emit(self, record: logging.LogRecord) -> None:
        try:
            trace_id = trace.get_current_span().get_span_context().trace_id
            if trace_id:
                self._breadcrumbs.add(trace_id, self._breadcrumb(record))
        except Exception:  # noqa: BLE001 - a record whose arguments do not fit its message
            return

    def _breadcrumb(self, record: logging.LogRecord) -> Breadcrumb:
        breadcrumb: dict[str, Any] = {
            "type": "log",
            "level": LOGGING_TO_EVENT_LEVEL.get(record.levelno, "info"),
            "category": record.name,
            "message": record.getMessage(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
        }
        data = self._extra_from_record(record)
        if data:
            breadcrumb["data"] = dict(data)
        return breadcrumb
