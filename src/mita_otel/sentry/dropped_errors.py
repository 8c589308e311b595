"""Errors that are not sent: those that a client dropped, which must not come back by another way, and ignored log lines."""

from __future__ import annotations

import builtins
import logging
import re
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from opentelemetry import trace
from sentry_sdk.client import BaseClient

from mita_otel.captured import mark_dropped
from mita_otel.processors.captured_exceptions import CapturedExceptions


def watch_drops(client: BaseClient, captured: CapturedExceptions) -> Callable[[], None]:
    """Remember each exception that the client drops: `ignore_errors`, event processors, sampling, `before_send`.

    Args:
        client: The client.
        captured: Exceptions that become no issue again.

    Returns:
        The inverse.
    """
    capture = client.capture_event

    @wraps(capture)
    def capture_event(event: Any, hint: Any = None, scope: Any = None) -> str | None:
        event_id = capture(event, hint, scope)
        if event_id is None:
            _remember(hint, captured)
        return event_id

    client.capture_event = capture_event  # type: ignore[method-assign]

    def unwatch() -> None:
        if vars(client).get("capture_event") is capture_event:
            del client.capture_event

    return unwatch


def _remember(hint: Any, captured: CapturedExceptions) -> None:
    info = (hint or {}).get("exc_info")
    exception = info[1] if isinstance(info, tuple) and len(info) > 1 else None
    if isinstance(exception, BaseException):
        mark_dropped(exception)
        captured.add_exception(trace.get_current_span().get_span_context().trace_id, exception)


class IgnoredLogLines:
    """Recognises log lines of level ERROR that are no errors.

    Args:
        patterns: `LOGGER: MESSAGE`, in which `*` matches anything.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        texts = [
            "".join(".*" if part == "*" else re.escape(part) for part in re.split(r"(\*)", one))
            for one in patterns
        ]
        self._loggers = {one.partition(":")[0] for one in patterns}
        self._pattern = re.compile("|".join(texts)) if texts else None

    def contain(self, record: object) -> bool:
        """Return whether a record of standard logging is one of them."""
        if self._pattern is None or not isinstance(record, logging.LogRecord) or record.exc_info:
            return False
        return record.name in self._loggers and bool(
            self._pattern.fullmatch(f"{record.name}: {record.getMessage()}")
        )


def recorded_exc_info(type_name: str, message: str) -> dict[str, Any]:
    """Return the hint of a recorded exception, from which `ignore_errors` and the service's hooks read the class.

    Only name and message are known. The instance has no other attributes, because its constructor does not run.
    """
    kind = _class_of(type_name)
    if kind is None or not issubclass(kind, BaseException):
        return {}
    try:
        return {"exc_info": (kind, kind.__new__(kind, message), None)}
    except Exception:  # noqa: BLE001 - the class may require other arguments
        return {}


def _class_of(type_name: str) -> type | None:
    """Return the class of a qualified name, if its module is imported."""
    parts = type_name.split(".")
    for end in range(len(parts) - 1, -1, -1):
        module = sys.modules.get(".".join(parts[:end])) if end else builtins
        if module is not None:
            found: Any = module
            for name in parts[end:]:
                found = getattr(found, name, None)
            return found if isinstance(found, type) else None
    return None
