"""What the service says of a request through sentry-sdk's scopes, for the request's transaction.

sentry-sdk applies scopes to events and to its own transactions. Ours are sent after the request has ended, on another
thread, so its calls are remembered by the request's span.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from sentry_sdk import Scope, get_global_scope

from mita_otel._sentry_compat import applied
from mita_otel.processors.queues.forks import ForkSafeLock
from mita_otel.sentry.mapping.attribute_values import json_value
from mita_otel.sentry.mapping.span_tree import SpanKey
from mita_otel.sentry.mapping.tags import tag_name, tag_value

Content = dict[str, Any]
"""Members of Sentry's event: `tags`, `user`, `contexts`, `extra`, `transaction`, `transaction_info`."""

GENERATED_SOURCES: Final = frozenset({"route", "url", "view", "component", "unknown"})
"""Sources of transaction names that sentry-sdk's integrations set. Such a name can differ from our transaction's name."""
_MAPPINGS: Final = ("tags", "contexts", "extra", "user")


class ScopeContent:
    """The content that was set on the scopes of one request or task.

    Args:
        inherited: The content of the request in which a task starts.
    """

    __slots__ = ("_keep", "members")

    def __init__(self, inherited: ScopeContent | None = None) -> None:
        self.members: Content = dict(inherited.members) if inherited is not None else {}
        self._keep: Callable[[ScopeContent], None] | None = None

    def bind(self, keep: Callable[[ScopeContent], None]) -> None:
        """Call a function with this content as soon as there is any."""
        self._keep = keep
        if self.members:
            keep(self)

    def add(self, member: str, entries: Mapping[str, Any]) -> None:
        """Add entries to a member such as `tags`."""
        self._set(member, {**(self.members.get(member) or {}), **entries})

    def set_user(self, user: Mapping[str, Any] | None) -> None:
        """Set the user. None: there is no user."""
        self._set("user", dict(user) if isinstance(user, Mapping) else None)

    def set_transaction(self, name: str, source: Any) -> None:
        """Set the transaction's name, unless an integration of sentry-sdk generated it."""
        source = str(getattr(source, "value", source) or "custom")
        if source not in GENERATED_SOURCES:
            self._set("transaction_info", {"source": source})
            self._set("transaction", str(name))

    def _set(self, member: str, value: Any) -> None:
        is_first = not self.members
        # A new mapping: the exporter's thread may read the old one.
        self.members = {**self.members, member: value}
        if is_first and self._keep is not None:
            self._keep(self)


class ScopeContents:
    """Remembers the content of requests until their transactions are sent; thread-safe.

    Args:
        max_requests: Maximum number of requests. Beyond that the oldest is evicted.
    """

    def __init__(self, max_requests: int) -> None:
        self._max_requests = max_requests
        self._lock = ForkSafeLock()
        self._kept: OrderedDict[SpanKey, ScopeContent] = OrderedDict()
        self.outside: tuple[Scope, ...] = ()
        """The scopes outside of any request."""

    def keep(self, key: SpanKey, content: ScopeContent) -> None:
        """Remember the content of the request with this span."""
        with self._lock:
            self._kept[key] = content
            if len(self._kept) > self._max_requests:
                self._kept.popitem(last=False)

    def transaction_of(self, key: SpanKey) -> tuple[str, str] | None:
        """Return name and source of a request's transaction, if the service has set them."""
        content = self._kept.get(key)
        members = content.members if content is not None else {}
        return (
            (members["transaction"], members["transaction_info"]["source"])
            if "transaction" in members
            else None
        )

    def take(self, key: SpanKey) -> Content:
        """Return the content of a request, with that of the process, and forget it. Not redacted."""
        with self._lock:
            content = self._kept.pop(key, None)
        found = {
            member: value
            for member, value in applied([get_global_scope(), *self.outside]).items()
            if member in _MAPPINGS
        }
        for member, value in content.members.items() if content is not None else ():
            is_added = member in _MAPPINGS and member != "user"
            found[member] = {**(found.get(member) or {}), **value} if is_added else value
        contexts = {name: one for name, one in (found.get("contexts") or {}).items() if name != "trace"}
        return {member: value for member, value in {**found, "contexts": contexts}.items() if value}


def with_content(event: dict[str, Any], content: Content) -> dict[str, Any]:
    """Return a transaction event with redacted content. What its spans say takes precedence."""
    merged = {
        member: {**_members(content, member), **(event.get(member) or {})}
        for member in _MAPPINGS
        if content.get(member)
    }
    named: dict[str, Any] = {
        name: content[name] for name in ("transaction", "transaction_info") if name in content
    }
    return {**event, **merged, **named}


def attributes_of_content(content: Content) -> dict[str, Any]:
    """Return redacted content as attributes of a streamed span."""
    user = _members(content, "user")
    names = {"username": "user.name", "id": "user.id"}
    return {
        **{
            f"{name}.{key}": value
            for name, context in _members(content, "contexts").items()
            if isinstance(context, Mapping)
            for key, value in context.items()
            if key != "type"
        },
        **{names.get(key, f"user.{key}"): value for key, value in user.items()},
        **_members(content, "extra"),
        **_members(content, "tags"),
    }


def _members(content: Content, member: str) -> dict[str, Any]:
    found = content.get(member)
    entries: Iterable[tuple[Any, Any]] = found.items() if isinstance(found, Mapping) else ()
    if member == "tags":
        return {tag_name(str(name)): tag_value(value) for name, value in entries if value is not None}
    return {str(name): json_value(value) for name, value in entries}
