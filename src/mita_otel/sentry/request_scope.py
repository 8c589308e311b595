"""A Sentry scope for each request and task, so that its tags and user do not appear in other requests.

sentry-sdk's integrations fork a scope for each request. Without them `sentry_sdk.set_user()` would apply to the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, cast

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import SpanKind
from sentry_sdk import Scope

from mita_otel import semconv
from mita_otel._sentry_compat import copy_scope
from mita_otel.sentry.mapping.span_tree import key_of


class RequestScope(Scope):
    """The isolation scope of one request. Tags and user are also set as attributes of the request's span.

    Args:
        outside: The isolation scope before the request began.
        root: The request's span. None: it has not started, or it is not recorded.
        current_outside: The current scope before the request began.
    """

    __slots__ = ("current_outside", "outside", "root")

    def __init__(self, outside: Scope, root: Span | None, current_outside: Scope) -> None:
        copy_scope(outside, self)
        self.outside = outside
        self.root = root
        self.current_outside = current_outside

    def __copy__(self) -> RequestScope:
        """Return a scope for a part of the request. `sentry_sdk.isolation_scope()` calls this."""
        part = cast("RequestScope", super().__copy__())
        part.outside, part.root, part.current_outside = self.outside, self.root, self.current_outside
        return part

    @property
    def is_over(self) -> bool:
        """Whether the request's span has ended or is not recorded."""
        return self.root is None or not self.root.is_recording()

    def set_tag(self, key: str, value: Any) -> None:
        """Set a tag on all events of this request and on its span."""
        super().set_tag(key, value)
        self._set_on_span({f"{semconv.TAG}.{key}": value})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set several tags on all events of this request and on its span."""
        super().set_tags(tags)
        self._set_on_span({f"{semconv.TAG}.{key}": value for key, value in tags.items()})

    def set_user(self, value: dict[str, Any] | None) -> None:
        """Set the user of all events of this request. The span gets only the id."""
        super().set_user(value)
        if isinstance(value, Mapping) and value.get("id") is not None:
            self._set_on_span({semconv.USER_ID: str(value["id"])})

    def _set_on_span(self, attributes: Mapping[str, Any]) -> None:
        if self.root is not None and self.root.is_recording():
            for name, value in attributes.items():
                self.root.set_attribute(name, value if isinstance(value, bool | int | float) else str(value))


def enter_request() -> None:
    """Create a scope for a request whose span has not started. Call this in the context of the request."""
    if not trace.get_current_span().is_recording():
        _enter(None)


def enter_root(span: Span) -> None:
    """Create a scope for the request or task that starts with this span. Call this in its thread and context."""
    if not _is_root(span):
        return
    current = Scope.get_isolation_scope()
    if isinstance(current, RequestScope) and current.root is None:
        current.root = span
    else:
        _enter(span)


def leave_root(span: ReadableSpan) -> None:
    """Restore the previous scopes when a task ends, because the next task may run in the same context.

    Scopes of server requests remain: a server has a context for each request, and code that runs there after the
    response still belongs to the request.
    """
    if span.kind is SpanKind.SERVER or not _is_root(span):
        return
    current = Scope.get_isolation_scope()
    if (
        isinstance(current, RequestScope)
        and current.root is not None
        and key_of(current.root) == key_of(span)
    ):
        Scope.set_isolation_scope(current.outside)
        Scope.set_current_scope(current.current_outside)


def _enter(root: Span | None) -> None:
    outside, current = Scope.get_isolation_scope(), Scope.get_current_scope()
    while isinstance(outside, RequestScope) and outside.is_over:
        current = outside.current_outside
        outside = outside.outside
    Scope.set_isolation_scope(RequestScope(outside, root, current))
    Scope.set_current_scope(copy(current))


def _is_root(span: ReadableSpan) -> bool:
    return span.parent is None or span.parent.is_remote
