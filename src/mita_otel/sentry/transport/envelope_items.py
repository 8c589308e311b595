"""Envelope items with their data categories and numbers of spans.

Source: Sentry's envelope items and data categories.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sentry_sdk.envelope import Item, PayloadRef

from mita_otel._json import json_bytes
from mita_otel.errors import raise_interrupt

SPANS_STAGE: Final = "sentry"
"""Stage at which lost spans are counted."""
LOGS_STAGE: Final = "sentry.logs"
"""Stage at which lost log records are counted."""
OTHER_STAGE: Final = "sentry.other"
"""Stage at which other lost items are counted, such as errors and sessions."""

_CATEGORIES: Final = {
    "event": "error",
    "transaction": "transaction",
    "span": "span",
    "log": "log_item",
    "trace_metric": "trace_metric",
    "statsd": "metric_bucket",
    "session": "session",
    "sessions": "session",
    "attachment": "attachment",
    "profile": "profile",
    "profile_chunk": "profile_chunk",
    "check_in": "monitor",
    "feedback": "feedback",
    "client_report": "internal",
}
"""Data category by item type."""
_BYTE_CATEGORIES: Final = {"log_item": "log_byte", "trace_metric": "trace_metric_byte"}
"""Category for the size in bytes, for categories whose size Sentry counts as well."""
Event = dict[str, Any]
_MAX_TEXT: Final = 4096
"""Maximum characters of a text after the last step."""
_logger = logging.getLogger("mita_otel")
_SAFE: Final = ("event_id", "timestamp", "level", "platform", "type")
"""Members of an event that the SDK sets. They contain no data of the application."""
_SAFE_IDS: Final = ("type", "trace_id", "span_id", "parent_span_id")
_LEVELS: Final = frozenset({"fatal", "error", "warning", "info", "debug"})
_WITHHELD: Final = "[redacted:error]"


class SpansItem(Item):
    """An item of encoded spans.

    Args:
        payload: The spans as JSON.
        type: `transaction` or `span`.
        spans: Number of spans in the item.
        important: Whether one of the spans exceeded a limit or failed.
        headers: Additional headers of the item.
        content_type: Content type of the payload.
    """

    def __init__(
        self,
        payload: bytes,
        *,
        type: str,  # noqa: A002 - sentry-sdk's name
        spans: int,
        important: bool = False,
        headers: dict[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> None:
        super().__init__(PayloadRef(bytes=payload), headers=headers, type=type, content_type=content_type)
        self.spans = spans
        self.important = important


def category_of(item: Item) -> str:
    """Return the data category of an envelope item. It determines the rate limit."""
    return _CATEGORIES.get(item.type or "", "default")


def loss_of(item: Item) -> tuple[str, int]:
    """Return the stage and the quantity to count if the item is lost."""
    if isinstance(item, SpansItem):
        return SPANS_STAGE, item.spans
    if item.type == "log":
        return LOGS_STAGE, int(item.headers.get("item_count") or 1)
    return OTHER_STAGE, 0 if item.type == "client_report" else 1


def quantities_of(item: Item) -> Iterator[tuple[str, int]]:
    """Yield each data category of an item with its quantity."""
    category = category_of(item)
    if isinstance(item, SpansItem):
        if category == "transaction":
            yield category, 1
        yield "span", item.spans
        return
    if category == "attachment":
        yield category, len(item.get_bytes()) or 1
        return
    count = item.headers.get("item_count")
    yield category, count if isinstance(count, int) and count > 0 else 1
    if category in _BYTE_CATEGORIES:
        yield _BYTE_CATEGORIES[category], len(item.get_bytes())


def fitted(event: Event, max_bytes: int) -> bytes:
    """Return the event as JSON, and omit parts until it fits. `contexts.mita.left_out` lists the omitted parts.

    The result can still be too large if omitting every part is not enough.

    Args:
        event: The redacted event, as a JSON value.
        max_bytes: Maximum size of the JSON.
    """
    payload = json_bytes(event)
    left_out: list[str] = []
    for name, lighter in _STEPS:
        if len(payload) <= max_bytes:
            break
        left_out.append(name)
        event = _with_note(lighter(event), left_out)
        payload = json_bytes(event)
    return payload


def _with_note(event: Event, left_out: list[str]) -> Event:
    present = event.get("contexts")
    contexts = dict(present) if isinstance(present, Mapping) else {}
    known = contexts.get("mita")
    mita = dict(known) if isinstance(known, Mapping) else {"type": "mita"}
    return {**event, "contexts": {**contexts, "mita": {**mita, "left_out": list(left_out)}}}


def _without_outer_variables(event: Event) -> Event:
    return _each_stack(event, lambda frames: [*map(_bare, frames[:-1]), *frames[-1:]])


def _without_variables(event: Event) -> Event:
    return _each_stack(event, lambda frames: [_bare(frame) for frame in frames])


def _without_breadcrumbs(event: Event) -> Event:
    return {name: value for name, value in event.items() if name != "breadcrumbs"}


def _without_data(event: Event) -> Event:
    request = event.get("request")
    light = {name: value for name, value in event.items() if name not in {"extra", "modules"}}
    if isinstance(request, Mapping):
        light["request"] = {name: value for name, value in request.items() if name not in {"data", "env"}}
    return light


def _without_contexts(event: Event) -> Event:
    contexts = event.get("contexts")
    kept = {"trace": contexts["trace"]} if isinstance(contexts, Mapping) and "trace" in contexts else {}
    return {**event, "contexts": kept}


def _without_long_texts(event: Event) -> Event:
    short: Event = _cut(event)
    return short


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _MAX_TEXT else f"{value[:_MAX_TEXT]}…"
    if isinstance(value, Mapping):
        return {name: _cut(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(member) for member in value]
    return value


def _each_stack(event: Event, change: Callable[[list[Any]], list[Any]]) -> Event:
    """Return the event with the changed frames of its exceptions and threads."""
    light = dict(event)
    for interface in ("exception", "threads"):
        entry = event.get(interface)
        values = entry.get("values") if isinstance(entry, Mapping) else None
        if isinstance(entry, Mapping) and isinstance(values, list):
            light[interface] = {**entry, "values": [_with_frames(one, change) for one in values]}
    return light


def _with_frames(value: Any, change: Callable[[list[Any]], list[Any]]) -> Any:
    stack = value.get("stacktrace") if isinstance(value, Mapping) else None
    frames = stack.get("frames") if isinstance(stack, Mapping) else None
    if not isinstance(stack, Mapping) or not isinstance(frames, list):
        return value
    return {**value, "stacktrace": {**stack, "frames": change(frames)}}


def _bare(frame: Any) -> Any:
    if not isinstance(frame, Mapping):
        return frame
    return {name: value for name, value in frame.items() if name != "vars"}


_STEPS: Final[tuple[tuple[str, Callable[[Event], Event]], ...]] = (
    ("variables of outer frames", _without_outer_variables),
    ("variables", _without_variables),
    ("breadcrumbs", _without_breadcrumbs),
    ("request and extra data", _without_data),
    ("contexts", _without_contexts),
    ("long texts", _without_long_texts),
)
"""Parts to omit, in this order."""


class DeferredEvent(Event):
    """A placeholder for an event that waits for its redaction.

    As a mapping it contains ids, time and level only. If anything other than `SentryTransport` sends it, no data of the
    application leaves the process.

    Args:
        event: The event. It is not changed.
        size: The bytes that it occupies while it waits.
        redact: Returns the redacted event, or None if it cannot be redacted.
    """

    def __init__(self, event: Mapping[str, Any], size: int, redact: Callable[[], Event | None]) -> None:
        super().__init__(
            {name: event[name] for name in _SAFE if isinstance(event.get(name), str | float | int)}
        )
        if self.get("level") not in _LEVELS:
            self["level"] = "error"
        self["message"] = _WITHHELD
        trace = (event.get("contexts") or {}).get("trace")
        if isinstance(trace, Mapping):
            self["contexts"] = {"trace": {name: str(trace[name]) for name in _SAFE_IDS if trace.get(name)}}
        self.size = size
        """Bytes that the event occupies while it waits."""
        self._redact = redact

    def payload(self, headers: dict[str, Any], max_bytes: int) -> bytes | None:
        """Return the redacted event as JSON, or None if it cannot be redacted.

        Args:
            headers: The envelope's headers. The event's sampling context is moved there, as sentry-sdk does.
            max_bytes: Maximum size of the JSON.
        """
        try:
            event = self._redact()
            if event is None:
                return None
            context = event.get("contexts", {}).get("trace") or {}
            sampling_context = context.pop("dynamic_sampling_context", None)
            if sampling_context:
                headers["trace"] = sampling_context
            return fitted(event, max_bytes)
        except BaseException as error:
            raise_interrupt(error)
            _logger.debug("an event could not be redacted", exc_info=True)
            return None
