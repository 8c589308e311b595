"""A Sentry scope for each request and task, so that its tags and user do not appear in other requests.

sentry-sdk's integrations fork a scope for each request. Without them `sentry_sdk.set_user()` would apply to the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import SpanKind
from sentry_sdk import Scope

from mita_otel import semconv
from mita_otel._sentry_compat import copy_scope, forget_transaction_name
from mita_otel.sentry.mapping.span_tree import key_of
from mita_otel.sentry.scope_content import ScopeContent, ScopeContents


class _RememberingScope(Scope):
    """A scope whose content is remembered for the transaction of its request."""

    __slots__ = ("content",)

    content: ScopeContent | None
    """None: the scope is for a part of the request only."""

    def set_tag(self, key: str, value: Any) -> None:
        """Set a tag on all events of this request."""
        super().set_tag(key, value)
        self._add("tags", {key: value})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set several tags on all events of this request."""
        super().set_tags(tags)
        self._add("tags", tags)

    def set_context(self, key: str, value: dict[str, Any]) -> None:
        """Set a context on all events of this request."""
        super().set_context(key, value)
        self._add("contexts", {key: value})

    def set_extra(self, key: str, value: Any) -> None:
        """Set further data on all events of this request."""
        super().set_extra(key, value)
        self._add("extra", {key: value})

    def set_user(self, value: dict[str, Any] | None) -> None:
        """Set the user of all events of this request."""
        super().set_user(value)
        if self.content is not None:
            self.content.set_user(value)

    def set_transaction_name(self, name: str, source: str | None = None) -> None:
        """Set the name of the transaction and of its errors."""
        super().set_transaction_name(name, source)
        if self.content is not None:
            self.content.set_transaction(name, source)

    def _add(self, member: str, entries: Mapping[str, Any]) -> None:
        if self.content is not None and isinstance(entries, Mapping):
            self.content.add(member, entries)


class CurrentScope(_RememberingScope):
    """The current scope of one request. A fork, as `sentry_sdk.new_scope()` makes it, is not remembered.

    Args:
        outside: The current scope before the request began.
        content: The content of the request.
    """

    __slots__ = ()

    def __init__(self, outside: Scope, content: ScopeContent | None) -> None:
        copy_scope(outside, self)
        self.content = content

    def __copy__(self) -> CurrentScope:
        """Return a scope for a part of the request."""
        part = cast("CurrentScope", super().__copy__())
        part.content = None
        return part


class RequestScope(_RememberingScope):
    """The isolation scope of one request. Tags and the user's id are also set as attributes of the request's span.

    Args:
        outside: The isolation scope before the request began.
        root: The request's span. None: it has not started, or it is not recorded.
        current_outside: The current scope before the request began.
    """

    __slots__ = ("current_outside", "outside", "root")

    def __init__(self, outside: Scope, root: Span | None, current_outside: Scope) -> None:
        copy_scope(outside, self)
        self.content = ScopeContent(outside.content if isinstance(outside, RequestScope) else None)
        self.outside = outside
        self.root = root
        self.current_outside = current_outside

    def __copy__(self) -> RequestScope:
        """Return a scope for a part of the request. `sentry_sdk.isolation_scope()` calls this."""
        part = cast("RequestScope", super().__copy__())
        part.outside, part.root, part.current_outside = self.outside, self.root, self.current_outside
        part.content = self.content
        # It has forked the current scope just before, for code that still serves the request.
        current = Scope.get_current_scope()
        if isinstance(current, CurrentScope) and current.content is None:
            current.content = self.content
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


def enter_root(span: Span, contents: ScopeContents | None = None) -> None:
    """Create a scope for the request or task that starts with this span. Call this in its thread and context.

    Args:
        span: The span.
        contents: Remembers what is said of the request. None: it is not remembered.
    """
    if not _is_root(span):
        return
    scope = Scope.get_isolation_scope()
    if isinstance(scope, RequestScope) and scope.root is None:
        scope.root = span
    else:
        scope = _enter(span)
    if contents is not None and scope.content is not None:
        scope.content.bind(partial(contents.keep, key_of(span)))
        if not isinstance(scope.outside, RequestScope):
            contents.outside = (scope.outside, scope.current_outside)


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


def _enter(root: Span | None) -> RequestScope:
    outside, current = Scope.get_isolation_scope(), Scope.get_current_scope()
    while isinstance(outside, RequestScope) and outside.is_over:
        current = outside.current_outside
        outside = outside.outside
    scope = RequestScope(outside, root, current)
    part = CurrentScope(current, scope.content)
    if not isinstance(outside, RequestScope):
        # A name from outside is that of another transaction, for example of one that sentry-sdk made at start-up.
        forget_transaction_name(scope)
        forget_transaction_name(part)
    Scope.set_isolation_scope(scope)
    Scope.set_current_scope(part)
    return scope


def _is_root(span: ReadableSpan) -> bool:
    return span.parent is None or span.parent.is_remote
