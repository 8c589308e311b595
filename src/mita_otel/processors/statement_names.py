"""Names the statements that contrib packages measure like those that mita-otel measures: by verb and table."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan

from mita_otel import semconv
from mita_otel.latency.facts import CACHES
from mita_otel.latency.sql import statement_name, summarise_statement
from mita_otel.processors.finished_spans import RewrittenSpan
from mita_otel.processors.link import Link
from mita_otel.processors.observation import CONTRIB_PREFIX

_WITHOUT_SQL: Final = CACHES | {
    *("mongodb", "elasticsearch", "opensearch", "dynamodb", "aws.dynamodb"),
    *("couchdb", "neo4j", "geode", "hbase", "influxdb"),
}
"""Database systems whose statements are not SQL."""


class StatementNames(Link):
    """Replaces the names that contrib packages give to SQL statements.

    A contrib package takes the first word of the text for the operation, and names the span after it. The word of
    `SELECT'4111…'` holds a literal, that of `-- nightly` is no operation, and no package says which table a statement
    uses. The span is passed on as a copy with the name `SELECT payments`, and with the operation and the table, both
    from the lexed statement. Attributes keep the names that the package uses.
    """

    def process(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the span, renamed if a contrib package measured an SQL statement with it."""
        return named_after_statement(span)


def named_after_statement(span: ReadableSpan) -> ReadableSpan:
    """Return the span, renamed if a contrib package measured an SQL statement with it, or if its name is the statement."""
    attributes = span.attributes or {}
    statement = semconv.first(attributes, semconv.DB_STATEMENT)
    system = semconv.first(attributes, semconv.DB_SYSTEM)
    if not statement or system is None or str(system) in _WITHOUT_SQL:
        return span
    scope = span.instrumentation_scope
    is_contrib = scope is not None and scope.name.startswith(CONTRIB_PREFIX)
    if not is_contrib and not _is_text_of(span.name, str(statement)):
        return span
    verb, table = summarise_statement(str(statement))
    namespace = semconv.first(attributes, semconv.DB_NAMESPACE)
    changed = _with(dict(attributes), semconv.DB_OPERATION, verb)
    if table is not None and semconv.first(attributes, semconv.DB_COLLECTION) is None:
        changed[semconv.DB_COLLECTION[0]] = table
    name = statement_name(verb, table, str(namespace) if namespace else None, str(system))
    if name == span.name and changed == attributes:
        return span
    return RewrittenSpan(span, name=name, attributes=changed)


def _is_text_of(name: str, statement: str) -> bool:
    """Return whether a name is the start of the statement, and more than its verb."""
    return len(name.split(None, 1)) > 1 and statement.startswith(name.rstrip(". \u2026"))


def _with(attributes: dict[str, Any], names: semconv.Names, value: str | None) -> dict[str, Any]:
    """Set an attribute under the names that it has, or the stable one. None removes it."""
    present = [name for name in names if attributes.pop(name, None) is not None]
    if value is not None:
        attributes.update(dict.fromkeys(present or names[:1], value))
    return attributes
