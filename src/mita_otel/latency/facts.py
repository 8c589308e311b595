"""What a limit needs to know of a span: its kind, how long it took, and its names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from mita_otel import semconv
from mita_otel.latency.sql import verb_of

Kind = Literal["api", "database", "financial", "background"]
"""The kinds of span that have limits."""

# How FastAPI's own telemetry and the contrib instrumentation name a background task.
_BACKGROUND_NAME = "fastapi.background_task"
_BACKGROUND_PREFIX = "BackgroundTask "


@dataclass(frozen=True)
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

    @cached_property
    def kind(self) -> Kind | None:
        """The kind of limit that applies, or None: nothing is expected of this span.

        What a service says itself (`mita.operation`) comes before what is guessed. A websocket is one SERVER
        span for a whole connection and has no method: it has no limit.
        """
        attributes = self.attributes
        if (
            attributes.get(semconv.OPERATION) is not None
            or attributes.get(semconv.OPERATION_KIND) is not None
        ):
            return "background" if attributes.get(semconv.OPERATION_KIND) == "background" else "financial"
        if self.span_kind == "SERVER":
            return "api" if self.method else None
        if semconv.first(attributes, semconv.DB_SYSTEM) is not None:
            return "database" if self.verb else None
        if self.name == _BACKGROUND_NAME or self.name.startswith(_BACKGROUND_PREFIX):
            return "background"
        return None

    @property
    def method(self) -> str | None:
        """The HTTP method in capitals; `_OTHER` where nobody knows it."""
        method = semconv.first(self.attributes, semconv.HTTP_METHOD)
        return str(method).upper() if method else None

    @property
    def route(self) -> str | None:
        """The route's template, as in `/api/accounts/{id}/balance`."""
        route = semconv.first(self.attributes, semconv.HTTP_ROUTE)
        return str(route) if route else None

    @property
    def path(self) -> str:
        """The path, for matching segments where there is no route. Never shown: it varies, and may hold a secret."""
        path = semconv.first(self.attributes, semconv.HTTP_PATH)
        if path is None:
            url = str(semconv.first(self.attributes, semconv.HTTP_URL) or "")
            path = "/" + url.partition("://")[2].partition("/")[2]
        return str(path).partition("?")[0]

    @cached_property
    def verb(self) -> str | None:
        """The database operation, as in `SELECT`."""
        operation = semconv.first(self.attributes, semconv.DB_OPERATION)
        statement = semconv.first(self.attributes, semconv.DB_STATEMENT)
        return verb_of(str(operation) if operation else None, str(statement) if statement else None)

    @property
    def operation(self) -> str | None:
        """The financial operation's name."""
        operation = self.attributes.get(semconv.OPERATION)
        return str(operation) if operation else None

    @property
    def category(self) -> str | None:
        """The financial operation's category."""
        category = self.attributes.get(semconv.OPERATION_CATEGORY)
        return str(category) if category else None
