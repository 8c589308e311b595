"""Where spans and log records come from, resource and instrumentation scope, redacted once each."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final, Generic, TypeVar

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from mita_otel.processors.queues.forks import ForkSafeLock
from mita_otel.redaction import Redactor

_MAX_SHARED: Final = 64
"""Resources and scopes whose redacted form is remembered. A process has a handful."""

T = TypeVar("T")


class RedactedOrigins:
    """Redacts resources and scopes, and remembers the result.

    Args:
        redactor: Takes the secrets out.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._resources: _Shared[Resource] = _Shared()
        self._scopes: _Shared[InstrumentationScope] = _Shared()

    def resource(self, resource: Resource) -> Resource:
        """Return the resource, or a copy without the secrets in it."""
        known = self._resources.get(resource)
        if known is None:
            tally: Counter[str] = Counter()
            attributes = self._redactor.attributes(resource.attributes, tally)
            schema_url = self._redactor.text(resource.schema_url or "", tally)
            known = Resource(attributes, schema_url) if tally else resource
            self._resources.put(resource, known)
        return known

    def scope(self, scope: InstrumentationScope | None) -> InstrumentationScope | None:
        """Return the scope, or a copy without the secrets in it."""
        if scope is None:
            return None
        known = self._scopes.get(scope)
        if known is None:
            tally: Counter[str] = Counter()
            name = self._redactor.text(scope.name, tally)
            version = self._redactor.text(scope.version or "", tally)
            schema_url = self._redactor.text(scope.schema_url or "", tally)
            attributes = self._redactor.attributes(scope.attributes or {}, tally)
            known = InstrumentationScope(name, version, schema_url, attributes) if tally else scope
            self._scopes.put(scope, known)
        return known


class _Shared(Generic[T]):
    """Remembers, by identity and with a bound, the redacted form of objects that many spans share.

    The original is kept alive beside it, so that its identity cannot be given to another object.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[int, tuple[T, T]] = OrderedDict()
        self._lock = ForkSafeLock()

    def get(self, original: T) -> T | None:
        entry = self._entries.get(id(original))
        return entry[1] if entry is not None and entry[0] is original else None

    def put(self, original: T, redacted: T) -> None:
        with self._lock:
            self._entries[id(original)] = (original, redacted)
            if len(self._entries) > _MAX_SHARED:
                self._entries.popitem(last=False)
