"""The facts of a span that limits use: its kind, duration and names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar, get_args, overload

from mita_otel import semconv
from mita_otel.latency.bounded_names import bounded_destination
from mita_otel.latency.sql import summarise_statement, verb_of
from mita_otel.policy.limits import Kind

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""All kinds, in the order of tables."""


class PerformanceCategory(StrEnum):
    """A kind of span, for `get_performance_summary`."""

    API = "api"
    """Requests that the service answers."""
    FINANCIAL = "financial"
    """Financial operations."""
    BACKGROUND = "background"
    """Background tasks."""
    CONSUMER = "consumer"
    """The handling of messages."""
    DATABASE = "database"
    """Statements."""
    CHECKOUT = "checkout"
    """Waiting for a connection of a pool."""
    CACHE = "cache"
    """Operations of a cache."""
    OUTGOING = "outgoing"
    """HTTP requests that the service makes."""
    MOBILE_SCREEN = "mobile_screen"
    """Screens of a mobile app."""
    MOBILE_REQUEST = "mobile_request"
    """Requests, seen from a mobile app."""
    MOBILE_OPERATION = "mobile_operation"
    """Calculations in a mobile app."""

    # Names of the MITA application for the same kinds.
    API_REQUEST = API
    DATABASE_QUERY = DATABASE
    EXTERNAL_API = OUTGOING
    CACHE_OPERATION = CACHE
    FINANCIAL_CALCULATION = FINANCIAL
    BUSINESS_LOGIC = FINANCIAL
    AUTHENTICATION = FINANCIAL
    FILE_PROCESSING = BACKGROUND

    @classmethod
    def _missing_(cls, value: object) -> PerformanceCategory | None:
        """Accept the value that the MITA application gives a name, as in `api_request`."""
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


# How FastAPI's own telemetry and the contrib instrumentation name a background task.
_BACKGROUND_NAME: Final = "fastapi.background_task"
_BACKGROUND_PREFIX: Final = "BackgroundTask "

_CHECKOUT_NAME: Final = "connect"
CACHES: Final = frozenset({"redis", "memcached", "valkey", "keydb", "dragonfly"})
"""Database systems that are caches."""
_NOT_HANDLING: Final = frozenset({"receive", "poll", "settle", "create", "send", "publish"})
"""Messaging operations that wait or send. Their duration does not depend on the service's work."""


T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801 - it is used as `property` is
    """A property that is computed once. `functools.cached_property` takes a lock on Python 3.11, for every span."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> lazy[T] | T:
        """Return the value; later accesses find it on the object and do not come here."""
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value


@dataclass
class SpanFacts:
    """The facts of a finished span."""

    name: str
    """The span's name."""
    span_kind: str
    """`SERVER`, `CLIENT`, `INTERNAL`, `PRODUCER` or `CONSUMER`."""
    duration_ms: float
    """Milliseconds from start to end."""
    attributes: Mapping[str, Any]
    """The span's attributes, old names or new."""

    @lazy
    def kind(self) -> Kind | None:
        """The kind of limit that applies, or None: the span has no limit.

        `mita.operation.kind` comes first, then the semantic conventions of requests and statements, then the name of an
        operation. A websocket is one SERVER span for a whole connection and has no
        method: it has no limit.
        """
        attributes = self.attributes
        said = attributes.get(semconv.OPERATION_KIND)
        if said is not None:
            return next((kind for kind in KINDS if kind == said), "financial")
        conventional = self._conventional_kind()
        if conventional is not None:
            return conventional
        if attributes.get(semconv.OPERATION) is not None:
            return "financial"
        if self.name == _BACKGROUND_NAME or self.name.startswith(_BACKGROUND_PREFIX):
            return "background"
        return None

    def _conventional_kind(self) -> Kind | None:
        attributes = self.attributes
        if self.span_kind == "SERVER":
            return "api" if self.method else None
        system = semconv.first(attributes, semconv.DB_SYSTEM)
        if system is not None:
            if str(system) in CACHES:
                return "cache"
            if self.verb:
                return "database"
            return "checkout" if self.name == _CHECKOUT_NAME else None
        if self.span_kind == "CONSUMER" and attributes.get(semconv.OPERATION) is None:
            operation = semconv.first(attributes, semconv.MESSAGING_OPERATION)
            return None if operation in _NOT_HANDLING else "consumer"
        if self.span_kind == "CLIENT":
            if semconv.DB_POOL_NAME in attributes:
                return "checkout"
            return "outgoing" if self.method else None
        return None

    @lazy
    def method(self) -> str | None:
        """The HTTP method in capitals; `_OTHER` if it is unknown."""
        method = semconv.first(self.attributes, semconv.HTTP_METHOD)
        return str(method).upper() if method else None

    @lazy
    def route(self) -> str | None:
        """The route's template, as in `/api/accounts/{id}/balance`."""
        return semconv.route(self.attributes)

    @property
    def path(self) -> str:
        """The path, for matching segments where there is no route. It is never exported: it varies, and may contain a secret."""
        path = semconv.first(self.attributes, semconv.HTTP_PATH)
        if path is None:
            url = str(semconv.first(self.attributes, semconv.HTTP_URL) or "")
            path = "/" + url.partition("://")[2].partition("/")[2]
        return str(path).partition("?")[0]

    @lazy
    def verb(self) -> str | None:
        """The database operation, as in `SELECT`."""
        operation = semconv.first(self.attributes, semconv.DB_OPERATION)
        statement = semconv.first(self.attributes, semconv.DB_STATEMENT)
        return verb_of(str(operation) if operation else None, str(statement) if statement else None)

    @lazy
    def table(self) -> str | None:
        """The database table, as in `payments` or `ledger.payments`; the statement's first where no attribute names one."""
        table = semconv.first(self.attributes, semconv.DB_COLLECTION)
        if table:
            return str(table)
        statement = semconv.first(self.attributes, semconv.DB_STATEMENT)
        return summarise_statement(str(statement))[1] if statement and self.kind == "database" else None

    @property
    def command(self) -> str | None:
        """The cache's command in capitals, as in `GET`."""
        operation = semconv.first(self.attributes, semconv.DB_OPERATION)
        if not operation:
            operation = semconv.first(self.attributes, semconv.DB_STATEMENT)
        words = str(operation or self.name).split(None, 1)
        return words[0].upper() if words and words[0].isalpha() else None

    @property
    def host(self) -> str | None:
        """The host that a request was made to."""
        host = semconv.first(self.attributes, semconv.SERVER_ADDRESS)
        if not host:
            url = str(semconv.first(self.attributes, semconv.HTTP_URL) or "")
            host = url.partition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")[0]
        return str(host).lower() if host else None

    @property
    def destination(self) -> str | None:
        """The queue or topic that a message came from."""
        destination = semconv.first(self.attributes, semconv.MESSAGING_DESTINATION)
        return str(destination) if destination else None

    @property
    def bounded_destination(self) -> str | None:
        """The destination without what is generated for one consumer, user or job: for names and metrics."""
        return bounded_destination(self.attributes)

    @property
    def operation(self) -> str | None:
        """The operation's name, as the service sets it."""
        operation = self.attributes.get(semconv.OPERATION)
        return str(operation) if operation else None

    @property
    def category(self) -> str | None:
        """The financial operation's category."""
        category = self.attributes.get(semconv.OPERATION_CATEGORY)
        return str(category) if category else None
