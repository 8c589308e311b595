"""Errors of apps, for metrics and alerts: a few short fields of a redacted event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mita_otel.mobile.measurement import tags_of

_LEVELS: Final = frozenset({"fatal", "error"})
_MAX_TEXT: Final = 2000
"""Maximum characters of a text, which is sent between processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppError:
    """An error that an app reported."""

    name: str
    """The exception's type. Empty: the event is a message."""
    message: str
    category: str
    """As the app sent it, or empty. The same applies to the severity."""
    severity: str
    operation: str
    handled: bool
    event_id: str
    trace_id: str
    """32 hexadecimal digits, or empty."""


def error_of(event: Mapping[str, Any]) -> AppError | None:
    """Return the error of a redacted event. None: the event is a plain message."""
    name, message = exception_of(event)
    if not is_error(event, name):
        return None
    tags = tags_of(dict(event))
    contexts = event.get("contexts")
    trace = contexts.get("trace") if isinstance(contexts, Mapping) else None
    return AppError(
        name=name[:_MAX_TEXT],
        message=message[:_MAX_TEXT],
        category=_text(tags, "error_category"),
        severity=_text(tags, "severity"),
        operation=_text(event, "transaction"),
        handled=not is_crash(event),
        event_id=_text(event, "event_id"),
        trace_id=_text(trace, "trace_id") if isinstance(trace, Mapping) else "",
    )


def is_error(event: Mapping[str, Any], exception: str) -> bool:
    """Return whether an event is an error: by its level, or because it has an exception."""
    return level_of(event) in _LEVELS or bool(exception)


def level_of(event: Mapping[str, Any]) -> str:
    """Return an event's level. Without one it is an error, as in Sentry."""
    return str(event.get("level") or "error")


def is_crash(event: Mapping[str, Any]) -> bool:
    """Return whether an event reports a crash or an unhandled exception."""
    if event.get("level") == "fatal":
        return True
    return any(
        isinstance(one, Mapping)
        and isinstance(one.get("mechanism"), Mapping)
        and one["mechanism"].get("handled") is False
        for one in _exceptions(event)
    )


def exception_of(event: Mapping[str, Any]) -> tuple[str, str]:
    """Return type and text of an event's last exception, or an empty type and its message."""
    values = _exceptions(event)
    if values and isinstance(values[-1], Mapping):
        last = values[-1]
        return str(last.get("type") or "Error"), str(last.get("value") or "")
    message = event.get("message", event.get("logentry"))
    if isinstance(message, Mapping):
        message = message.get("formatted") or message.get("message")
    return "", str(message or "")


def _exceptions(event: Mapping[str, Any]) -> list[Any]:
    exception = event.get("exception")
    values = exception.get("values") if isinstance(exception, Mapping) else exception
    return values if isinstance(values, list) else []


def _text(owner: Mapping[str, Any], name: str) -> str:
    value = owner.get(name)
    return value[:_MAX_TEXT] if isinstance(value, str) else ""
