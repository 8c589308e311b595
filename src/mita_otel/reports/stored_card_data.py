"""Searches stored telemetry and audit entries for card data that was not redacted when it was written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson
from sqlalchemy import Table, select
from sqlalchemy.engine import Connection

from mita_otel.policy import default_policy
from mita_otel.policy.storage import ReportPolicy
from mita_otel.redaction import Redactor
from mita_otel.reports.scope import ReportScope
from mita_otel.reports.sections import NamedCount, StoredCardData
from mita_otel.store.tables import AuditEntryRow, table_of
from mita_otel.store.telemetry_tables import ErrorRow, SpanRow

_ENTRIES: Final = table_of(AuditEntryRow)
_ERRORS: Final = table_of(ErrorRow)
_SPANS: Final = table_of(SpanRow)
_RULES: Final = frozenset({"cvv", "pan", "pin", "track"})
_AUDITED: Final = ("resource_id", "details", "before", "after")
_ROWS: Final = 1000


def find_card_data(connection: Connection, scope: ReportScope, policy: ReportPolicy) -> StoredCardData:
    """Search the newest rows of a scope with the default redaction rules, whatever the policy says.

    Args:
        connection: Connection to the store.
        scope: Period, service, environment and person.
        policy: How many rows of each table are searched, and how many are listed.
    """
    redactor = Redactor(default_policy().redaction)
    searched, rules, examples, rows = 0, Counter[str](), list[str](), 0
    for place, values in _values(connection, scope, policy.max_searched):
        searched += 1
        found = Counter[str]()
        redactor.attributes(values, found)
        hits = {rule: count for rule, count in found.items() if rule in _RULES}
        if hits:
            rows += 1
            rules.update(hits)
            if len(examples) < policy.max_examples:
                examples.append(place)
    return StoredCardData(
        searched=searched,
        rows=rows,
        by_rule=[NamedCount(name=name, count=count) for name, count in sorted(rules.items())],
        examples=examples,
    )


def _values(connection: Connection, scope: ReportScope, limit: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield where each row is, and its texts."""
    for row in _newest(
        connection, scope, _ERRORS, _ERRORS.c.occurred_ns, ("id", "message", "details"), limit
    ):
        yield f"{_ERRORS.name} {row.id}", {"message": row.message, "details": _json(row.details)}
    for row in _newest(connection, scope, _SPANS, _SPANS.c.start_ns, ("span_id", "name", "record"), limit):
        record = _json(row.record)
        yield (
            f"{_SPANS.name} {row.span_id}",
            {"name": row.name, "attributes": record.get("attributes"), "events": record.get("events")},
        )
    columns = ("chain", "sequence", "body")
    for row in _newest(connection, scope, _ENTRIES, _ENTRIES.c.recorded_ns, columns, limit):
        body = _json(row.body)
        yield f"{row.chain} {row.sequence}", {name: body[name] for name in _AUDITED if name in body}


def _newest(
    connection: Connection, scope: ReportScope, table: Table, time_ns: Any, columns: Iterable[str], limit: int
) -> Iterable[Any]:
    statement = select(*(table.c[name] for name in columns)).where(scope.rows(table, time_ns))
    newest = statement.order_by(time_ns.desc()).limit(limit)
    return connection.execution_options(yield_per=_ROWS).execute(newest)


def _json(text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        return {"text": text}
    return value if isinstance(value, dict) else {"value": value}
