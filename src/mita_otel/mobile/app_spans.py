"""The spans of an app, from transactions or from streamed span items.

Sources: Sentry's event payloads (transactions) and span protocol, version 2, as sentry_flutter 9 writes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

_OK: Final = frozenset({"ok", "cancelled", "unknown", "unset", ""})
"""Span statuses that are not failures."""
_LATEST_S: Final = 2**33
"""Latest valid time: some 250 years after the epoch."""


@dataclass(slots=True)
class AppSpan:
    """A finished span of an app. Names and data were redacted before."""

    record: dict[str, Any]
    """The span as it is forwarded. Changes to it are forwarded too."""
    name: str
    op: str
    data: Mapping[str, Any]
    """Its data or attributes as JSON values."""
    trace_id: str
    """Hexadecimal."""
    span_id: str
    """Hexadecimal."""
    parent_span_id: str
    """Hexadecimal. Empty: there is none."""
    start_s: float
    """Seconds since the epoch."""
    end_s: float
    """Seconds since the epoch."""
    failed: bool
    status: str
    is_root: bool
    """Whether it is the root of a transaction or a segment."""
    streamed: bool = False
    """Whether it is a streamed span, whose data are typed attributes."""

    @property
    def duration_ms(self) -> float:
        """Milliseconds; never negative, even if the clock stepped back."""
        return max(0.0, (self.end_s - self.start_s) * 1000)


def spans_of_transaction(event: dict[str, Any]) -> list[AppSpan]:
    """Return the spans of a transaction, root first, without those that lack ids or times."""
    trace = _mapping(_mapping(event.get("contexts")).get("trace"))
    found: list[AppSpan] = []
    root = _span(event, trace, _text(event.get("transaction")), is_root=True)
    if root is not None:
        found.append(root)
    spans = event.get("spans")
    for span in spans if isinstance(spans, list) else ():
        if isinstance(span, dict):
            one = _span(span, span, _text(span.get("description")), is_root=False)
            if one is not None:
                found.append(one)
    return found


def spans_of_item(value: dict[str, Any]) -> Iterator[AppSpan]:
    """Yield the streamed spans of an item, or the single span of an older SDK."""
    items = value.get("items")
    if not isinstance(items, list):
        single = _span(value, value, _text(value.get("description")), is_root=bool(value.get("is_segment")))
        if single is not None:
            yield single
        return
    for item in items:
        if not isinstance(item, dict):
            continue
        attributes = {
            name: attribute.get("value")
            for name, attribute in _mapping(item.get("attributes")).items()
            if isinstance(attribute, Mapping)
        }
        start_s, end_s = seconds_of(item.get("start_timestamp")), seconds_of(item.get("end_timestamp"))
        ids = _ids(item)
        if ids is None or start_s is None or end_s is None:
            continue
        yield AppSpan(
            item,
            _text(item.get("name")),
            _text(attributes.get("sentry.op")),
            attributes,
            *ids,
            start_s,
            end_s,
            failed=item.get("status") == "error",
            status=_text(item.get("status")),
            is_root=bool(item.get("is_segment")),
            streamed=True,
        )


def seconds_of(value: Any) -> float | None:
    """Return a timestamp in seconds since the epoch, from a number or a text as in Sentry. None: it is invalid."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if 0 <= value < _LATEST_S else None
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _span(times: dict[str, Any], span: Mapping[str, Any], name: str, *, is_root: bool) -> AppSpan | None:
    start_s, end_s = seconds_of(times.get("start_timestamp")), seconds_of(times.get("timestamp"))
    ids = _ids(span)
    if ids is None or start_s is None or end_s is None:
        return None
    status = _text(span.get("status"))
    return AppSpan(
        times,
        name,
        _text(span.get("op")),
        _mapping(span.get("data")),
        *ids,
        start_s,
        end_s,
        failed=status not in _OK,
        status=status,
        is_root=is_root,
    )


def _ids(span: Mapping[str, Any]) -> tuple[str, str, str] | None:
    trace_id, span_id, parent = (_text(span.get(key)) for key in ("trace_id", "span_id", "parent_span_id"))
    if not _is_hex(trace_id, 32) or not _is_hex(span_id, 16):
        return None
    return trace_id.lower(), span_id.lower(), parent.lower() if _is_hex(parent, 16) else ""


def _is_hex(text: str, length: int) -> bool:
    return (
        len(text) == length and all(char in "0123456789abcdefABCDEF" for char in text) and set(text) != {"0"}
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
