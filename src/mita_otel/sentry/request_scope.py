"""A Sentry scope for each request and task, so that tags and user of one do not appear in another.

sentry-sdk's integrations fork a scope for each request. Without them `sentry_sdk.set_user()` would speak of the process.
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
    """What a service says of one request through sentry-sdk. Its tags and user are said of the request's span as well.

    Args:
        outside: The isolation scope that was there before the request began.
        root: The request's span. None: it has not begun, or nobody records it.
        current_outside: The current scope that was there.
    """

    __slots__ = ("current_outside", "outside", "root")

    def __init__(self, outside: Scope, root: Span | None, current_outside: Scope) -> None:
        copy_scope(outside, self)
        self.outside = outside
        self.root = root
        self.current_outside = current_outside

    def __copy__(self) -> RequestScope:
        """Return a scope for a part of the request, as `sentry_sdk.isolation_scope()` makes one."""
        part = cast("RequestScope", super().__copy__())
        part.outside, part.root, part.current_outside = self.outside, self.root, self.current_outside
        return part

    @property
    def is_over(self) -> bool:
        """Whether its span has ended, or nobody recorded one."""
        return self.root is None or not self.root.is_recording()

    def set_tag(self, key: str, value: Any) -> None:
        """Set a tag of everything that is sent of this request."""
        super().set_tag(key, value)
        self._tell({f"{semconv.TAG}.{key}": value})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set several."""
        super().set_tags(tags)
        self._tell({f"{semconv.TAG}.{key}": value for key, value in tags.items()})

    def set_user(self, value: dict[str, Any] | None) -> None:
        """Set the user of everything that is sent of this request. The span gets only the id."""
        super().set_user(value)
        if isinstance(value, Mapping) and value.get("id") is not None:
            self._tell({semconv.USER_ID: str(value["id"])})

    def _tell(self, attributes: Mapping[str, Any]) -> None:
        if self.root is not None and self.root.is_recording():
            for name, value in attributes.items():
                self.root.set_attribute(name, value if isinstance(value, bool | int | float) else str(value))


def enter_request() -> None:
    """Give a request whose span has not begun a scope of its own; nobody may record it at all. In its own context."""
    if not trace.get_current_span().is_recording():
        _enter(None)


def enter_root(span: Span) -> None:
    """Give a request or task that begins with this span a scope of its own. On its own thread, in its own context."""
    if not _is_root(span):
        return
    current = Scope.get_isolation_scope()
    if isinstance(current, RequestScope) and current.root is None:
        current.root = span
    else:
        _enter(span)


def leave_root(span: ReadableSpan) -> None:
    """Go back to what was there before, where one task follows another in the same context.

    A server has a context for each request, and what runs there after the answer still belongs to the request.
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
