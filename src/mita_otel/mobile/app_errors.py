"""An app's event as an error that is counted and that alerts hear of: a few short texts of what was redacted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mita_otel.mobile.breach_marks import tags_of

_LEVELS: Final = frozenset({"fatal", "error"})
_MAX_TEXT: Final = 2000
"""Characters of a text: it travels between processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppError:
    """An error that an app reported."""

    name: str
    """The exception's type; empty: it was a message."""
    message: str
    category: str
    """What the app says, or empty; as the severity."""
    severity: str
    operation: str
    handled: bool
    event_id: str
    trace_id: str
    """32 hexadecimal digits, or empty."""


def error_of(event: Mapping[str, Any]) -> AppError | None:
    """Return an event, redacted, as an error; None: it is none, but a message."""
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
    """Return whether an event, with the type of its exception if it has one, is an error and no mere message."""
    return level_of(event) in _LEVELS or bool(exception)


def level_of(event: Mapping[str, Any]) -> str:
    """Return an event's level, as Sentry takes it where there is none."""
    return str(event.get("level") or "error")


def is_crash(event: Mapping[str, Any]) -> bool:
    """Return whether an event is of an app that came to its end, or could not handle an exception."""
    if event.get("level") == "fatal":
        return True
    return any(
        isinstance(one, Mapping)
        and isinstance(one.get("mechanism"), Mapping)
        and one["mechanism"].get("handled") is False
        for one in _exceptions(event)
    )


def exception_of(event: Mapping[str, Any]) -> tuple[str, str]:
    """Return type and text of an event's last exception, else no type and its message."""
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
