"""Records of standard logging as breadcrumbs of the error that may follow in their trace."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from opentelemetry import trace

from mita_otel.sentry.mapping.breadcrumbs import Breadcrumb, Breadcrumbs


class LogBreadcrumbs:
    """A `before_breadcrumb` hook for sentry-sdk: keeps the breadcrumbs of log records by trace and not in a scope.

    Args:
        breadcrumbs: Where they are kept.
        then: The hook of the service; it is called first.
    """

    def __init__(
        self, breadcrumbs: Breadcrumbs, then: Callable[[Any, dict[str, Any]], Any] | None = None
    ) -> None:
        self._breadcrumbs = breadcrumbs
        self._then = then

    def __call__(self, crumb: Any, hint: dict[str, Any]) -> Any:
        """Return a breadcrumb of the service; keep one of a log record, and return None."""
        kept = crumb if self._then is None else self._then(crumb, hint)
        if kept is None or "log_record" not in hint:
            return kept
        trace_id = trace.get_current_span().get_span_context().trace_id
        if trace_id:
            self._breadcrumbs.add(trace_id, _encodable(kept))
        crumb.clear()  # in debug mode, sentry-sdk writes what a hook drops to standard error
        return None


def _encodable(crumb: Any) -> Breadcrumb:
    kept = {name: value for name, value in crumb.items() if name != "data" or value}
    timestamp = kept.get("timestamp")
    if isinstance(timestamp, datetime):
        kept["timestamp"] = timestamp.isoformat()
    return kept
