"""Facts about the running code: user, transaction and operation, stored in OpenTelemetry's context.

`Facts` are immutable and part of the context: they follow tasks and threads, end with the span or operation in
which they were set, and do not leak to other requests. `RequestFacts` belong to one request: a fact that was set in
a dependency or another thread applies to the rest of the request. They also have a context variable, because an
instrumentation that continues a trace starts with an empty context.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final, TypedDict, Unpack

from opentelemetry import context, trace
from opentelemetry.context import Context

from mita_otel import semconv
from mita_otel.finance.categories import FinancialSeverity
from mita_otel.finance.transaction import FinancialContext
from mita_otel.finance.user import UserContext

Breadcrumb = Mapping[str, Any]
"""Keys: timestamp (seconds since the epoch), message, category, level, data."""


_COMPLIANCE: Final = {
    "regulation": semconv.COMPLIANCE_REGULATION,
    "requirement": semconv.COMPLIANCE_REQUIREMENT,
    "status": semconv.COMPLIANCE_STATUS,
}


class FactChanges(TypedDict, total=False):
    """The facts that `Facts.but` changes."""

    user: UserContext | None
    transaction: FinancialContext | None
    operation: str | None
    category: str | None
    severity: FinancialSeverity | None
    compliance: Mapping[str, Any] | None
    pci: bool | None
    request_id: str | None
    started: float | None
    tags: Mapping[str, str] | None
    breadcrumbs: tuple[Breadcrumb, ...]
    shared: RequestFacts | None


@dataclass(frozen=True)
class Facts:
    """The facts of a context. None: unknown, or the same as in the request."""

    user: UserContext | None = None
    transaction: FinancialContext | None = None
    operation: str | None = None
    category: str | None = None
    severity: FinancialSeverity | None = None
    """Severity of the operation's errors. None: that of the category."""
    compliance: Mapping[str, Any] | None = None
    pci: bool | None = None
    """Whether cardholder data are processed."""
    request_id: str | None = None
    started: float | None = None
    """When the operation started, on the runtime's clock."""
    tags: Mapping[str, str] | None = None
    breadcrumbs: tuple[Breadcrumb, ...] = ()
    """Breadcrumbs outside a request. Inside a request, the request keeps them."""
    shared: RequestFacts | None = None

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """The attributes that all spans below contain."""
        # Written out for speed: every request and operation calls this.
        found: dict[str, Any] = self.user.attributes() if self.user is not None else {}
        if self.transaction is not None and self.transaction.transaction_id is not None:
            found[semconv.TRANSACTION_ID] = str(self.transaction.transaction_id)
        if self.operation is not None:
            found[semconv.OPERATION_PART_OF] = self.operation
        if self.compliance is not None:
            found.update(
                {_COMPLIANCE[name]: self.compliance[name] for name in _COMPLIANCE if name in self.compliance}
            )
        if self.pci is not None:
            found[semconv.PCI_SCOPE] = self.pci
        if self.request_id is not None:
            found[semconv.REQUEST_ID] = self.request_id
        return found

    def replace(self, **changes: Unpack[FactChanges]) -> Facts:
        """Return these facts with changes; ten times as fast as `dataclasses.replace`."""
        facts = object.__new__(Facts)
        facts.__dict__.update(self.__dict__)
        facts.__dict__.pop("attributes", None)
        facts.__dict__.update(changes)
        return facts

    def over(self, base: Facts) -> Facts:
        """Return these facts, with those of `base` where they are None."""
        missing = {
            name: getattr(base, name)
            for name in _MERGED
            if getattr(self, name) is None and getattr(base, name)
        }
        return self.replace(**missing) if missing else self


class RequestFacts:
    """The facts that all tasks and threads of a request share.

    Args:
        facts: The facts at its start.
        max_breadcrumbs: Maximum number of breadcrumbs; the newest are kept.
        server_span: The request's span, if it has started.
    """

    def __init__(self, facts: Facts, max_breadcrumbs: int, server_span: trace.Span | None = None) -> None:
        self.facts = facts
        """The facts of the request. `know` replaces them; they are never changed."""
        self._lock = threading.Lock()
        self.breadcrumbs: deque[Breadcrumb] = deque(maxlen=max_breadcrumbs)
        self.server_span = server_span
        """The request's span. It may start later than the middleware."""

    @property
    def alone(self) -> Facts:
        """Facts that contain the request alone."""
        return NO_FACTS.replace(shared=self)

    def know(self, **changes: Unpack[FactChanges]) -> None:
        """Add facts, from any thread of the request."""
        with self._lock:
            self.facts = self.facts.replace(**changes)

    def look(self) -> None:
        """Update the facts from the request. Called often."""

    def settle(self) -> None:
        """Determine the remaining facts, for an error or the response."""

    def request_context(self) -> dict[str, Any]:
        """Return the request context of errors."""
        return {}

    def performance(self) -> dict[str, Any]:
        """Return the performance context of errors."""
        return {}


NO_FACTS: Final = Facts()
_MERGED: Final = tuple(one.name for one in fields(Facts) if one.name not in {"shared", "breadcrumbs"})
_KEY: Final = context.create_key("mita_otel.finance")
_request: Final[ContextVar[RequestFacts | None]] = ContextVar("mita_otel_request", default=None)


def local_facts(within: Context | None = None) -> Facts:
    """Return the facts that were set in this context, without those of the request."""
    found = context.get_value(_KEY, within)
    if isinstance(found, Facts):
        return found
    shared = _request.get()
    return NO_FACTS if shared is None else shared.alone


def enter_request(shared: RequestFacts | None) -> Token[RequestFacts | None]:
    """Enter a request until `leave_request`. None: no request."""
    return _request.set(shared)


def leave_request(token: Token[RequestFacts | None]) -> None:
    """Leave the request."""
    _request.reset(token)


def known_facts() -> Facts:
    """Return all facts that apply here."""
    facts = local_facts()
    if facts.shared is None:
        return facts
    facts.shared.look()
    return facts.over(facts.shared.facts)


def known_attributes() -> Mapping[str, Any]:
    """Return the attributes of a span or log record that starts here. Cheap if there are none."""
    facts = local_facts()
    if facts is NO_FACTS:
        return {}
    shared = facts.shared
    if shared is None:
        return facts.attributes
    shared.look()
    return {**shared.facts.attributes, **facts.attributes} if facts.attributes else shared.facts.attributes


def breadcrumbs_here() -> tuple[Breadcrumb, ...]:
    """Return the breadcrumbs of an error that happens here, oldest first."""
    facts = local_facts()
    return facts.breadcrumbs if facts.shared is None else tuple(facts.shared.breadcrumbs)


def with_facts(facts: Facts, base: Context | None = None) -> Context:
    """Return a context with these facts."""
    return context.set_value(_KEY, facts, base)


def learn(**changes: Unpack[FactChanges]) -> Facts:
    """Add facts from here on, until the enclosing span, operation or request ends.

    Exceptions of the application's objects are raised here, before anything changes.
    """
    facts = local_facts().replace(**changes)
    _ = facts.attributes
    if facts.shared is not None:
        facts.shared.know(**changes)
    context.attach(with_facts(facts))
    return facts
