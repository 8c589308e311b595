"""Standard logging as OpenTelemetry log records, so that they reach whatever exporter asks for records.

A handler on the root logger would be the plain way; but a service that configures logging afterwards removes it, and
one that calls `basicConfig` afterwards finds a handler there and configures nothing.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from opentelemetry import _logs
from opentelemetry._logs import SeverityNumber
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from mita_otel.captured import RECORD_MARK
from mita_otel.instrumentation.patches import Patches
from mita_otel.redaction.log_messages import STANDARD_ATTRIBUTES, shown
from mita_otel.redaction.placeholders import text_of

_STANDARD: Final = STANDARD_ATTRIBUTES | {RECORD_MARK}
"""Attributes of a record that are not the application's `extra`."""
_EXPORTERS_OWN: Final = ("mita_otel.", "opentelemetry.", "sentry_sdk.", "urllib3.connectionpool.")
"""Loggers, with their children, whose records are about exporting records."""

_SEVERITIES: Final = (
    (logging.CRITICAL, SeverityNumber.FATAL),
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
    (logging.DEBUG, SeverityNumber.DEBUG),
    (0, SeverityNumber.TRACE),
)


class StandardLogging:
    """Emits an OpenTelemetry log record for each record of standard logging.

    Args:
        level: The lowest level, as in `INFO`; `off` emits no records.
        provider: Makes the OpenTelemetry loggers. None: the global one.
        on_error: Called with each record of level ERROR or above, before it is emitted.
    """

    def __init__(
        self,
        level: str,
        provider: _logs.LoggerProvider | None = None,
        on_error: Callable[[logging.LogRecord], None] | None = None,
    ) -> None:
        self._on_error = on_error
        self._level: int | None = None if level == "off" else getattr(logging, level)
        levels = [self._level, logging.ERROR if on_error is not None else None]
        self._lowest = min((one for one in levels if one is not None), default=logging.CRITICAL + 1)
        self._provider = provider
        self._inside = threading.local()

    def install(self, patches: Patches) -> None:
        """Emit from now on, for every logger, whatever handlers it has."""
        patches.wrap(logging, "Logger.callHandlers", self._call)

    def _call(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        record = args[0] if args else kwargs.get("record")
        if (
            isinstance(record, logging.LogRecord)
            and record.levelno >= self._lowest
            and not f"{record.name}.".startswith(_EXPORTERS_OWN)
            and not getattr(self._inside, "flag", False)
            and is_instrumentation_enabled()
        ):
            self._inside.flag = True
            try:
                if record.levelno >= logging.ERROR and self._on_error is not None:
                    with contextlib.suppress(Exception):
                        self._on_error(record)
                if self._level is not None and record.levelno >= self._level:
                    with contextlib.suppress(Exception):
                        self._emit(record)
            finally:
                self._inside.flag = False
        return wrapped(*args, **kwargs)

    def _emit(self, record: logging.LogRecord) -> None:
        attributes: dict[str, Any] = {
            name: value if isinstance(value, str | bool | int | float) else text_of(value)
            for name, value in vars(record).items()
            if name not in _STANDARD and value is not None
        }
        attributes["code.file.path"] = record.pathname
        attributes["code.function.name"] = record.funcName or ""
        attributes["code.line.number"] = record.lineno
        attributes["thread.name"] = record.threadName or ""
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        _logs.get_logger(record.name, logger_provider=self._provider).emit(
            timestamp=int(record.created * 1e9),
            severity_number=next(number for level, number in _SEVERITIES if record.levelno >= level),
            severity_text=record.levelname,
            body=_message(record),
            attributes=attributes,
            exception=error,
        )


def _message(record: logging.LogRecord) -> str:
    """Return the message. Where an argument does not fit, or has no text, logging itself reports the problem."""
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - any object may be an argument
        return shown(record.msg, record.args or ())
