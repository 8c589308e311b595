"""A transaction of the alert store in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Final, TypeVar

import orjson
from sqlalchemy import delete, func, select, update
from sqlalchemy.engine import Connection

from mita_otel._json import json_bytes
from mita_otel.alerts.alert import Alert, AlertScope, Silence
from mita_otel.alerts.events import Counts, Exemplar, Sample
from mita_otel.alerts.notification import Notification
from mita_otel.alerts.store import QueuedNotification
from mita_otel.store.database import insert_rows, replace_rows
from mita_otel.store.rows import clean
from mita_otel.store.tables import table_of
from mita_otel.store.telemetry_tables import AlertMessageRow, AlertRow, AlertSampleRow, AlertSilenceRow

SAMPLES: Final = table_of(AlertSampleRow)
ALERTS: Final = table_of(AlertRow)
MESSAGES: Final = table_of(AlertMessageRow)
SILENCES: Final = table_of(AlertSilenceRow)
_COLUMNS: Final = frozenset(ALERTS.c.keys()) - {"scope", "state"}
"""Fields of an alert that have a column; the others are in the column `state`."""
T = TypeVar("T")
_MAX_UNEVALUATED: Final = 5000
"""Samples of a rule that one transaction evaluates."""


class SqlAlertTransaction:
    """An `AlertTransaction` on a database connection.

    Args:
        connection: The connection, in a transaction.
        scope: The service and environment.
        max_queued: Queued notifications; the oldest are dropped.
    """

    def __init__(self, connection: Connection, scope: AlertScope, max_queued: int) -> None:
        self._connection = connection
        self._scope = scope.key
        self._max_queued = max_queued

    def unevaluated(self, rule: str) -> list[Sample]:
        """Return the samples that are not evaluated yet, and mark them as evaluated."""
        rows = self._connection.execute(
            select(SAMPLES)
            .where(*self._of(rule), SAMPLES.c.seen.is_(False))
            .order_by(SAMPLES.c.at_ns, SAMPLES.c.id)
            .limit(_MAX_UNEVALUATED)
        ).all()
        if rows:
            ids = [row.id for row in rows]
            self._connection.execute(update(SAMPLES).where(SAMPLES.c.id.in_(ids)).values(seen=True))
        return [_sample_of(row) for row in rows]

    def samples_between(self, rule: str, subject: str, from_ns: int, to_ns: int) -> list[Sample]:
        """Return a rule's samples of a subject between two times."""
        time = SAMPLES.c.at_ns.between(from_ns, to_ns)
        rows = self._connection.execute(
            select(SAMPLES).where(*self._of(rule), time, SAMPLES.c.subject == subject)
        )
        return [_sample_of(row) for row in rows]

    def counts(self, rule: str, since_ns: int) -> dict[str, Counts]:
        """Return the sum of a rule's samples since a time, by subject."""
        rows = self._connection.execute(
            select(SAMPLES.c.subject, func.sum(SAMPLES.c.hits), func.sum(SAMPLES.c.total))
            .where(*self._of(rule), SAMPLES.c.at_ns >= since_ns)
            .group_by(SAMPLES.c.subject)
        )
        return {subject: Counts(int(hits), int(total)) for subject, hits, total in rows}

    def samples(self, rule: str, since_ns: int) -> list[Sample]:
        """Return a rule's samples since a time."""
        rows = self._connection.execute(select(SAMPLES).where(*self._of(rule), SAMPLES.c.at_ns >= since_ns))
        return [_sample_of(row) for row in rows]

    def first_ns(self, rule: str) -> int | None:
        """Return the time of the first sample that is kept."""
        found = self._connection.execute(select(func.min(SAMPLES.c.at_ns)).where(*self._of(rule))).scalar()
        return None if found is None else int(found)

    def alerts(self) -> list[Alert]:
        """Return all alerts."""
        statement = select(ALERTS).where(ALERTS.c.scope == self._scope).order_by(ALERTS.c.opened_ns)
        return [alert_of(row) for row in self._connection.execute(statement)]

    def save(self, alert: Alert) -> None:
        """Insert or replace an alert."""
        values = asdict(alert)
        row = {name: _clean(values[name]) for name in _COLUMNS}
        state = {name: value for name, value in values.items() if name not in _COLUMNS}
        row["state"] = clean(json_bytes(state).decode())
        replace_rows(self._connection, ALERTS, ["id"], [{"scope": self._scope, **row}])

    def silences(self) -> list[Silence]:
        """Return the silences."""
        rows = self._connection.execute(select(SILENCES).where(SILENCES.c.scope == self._scope))
        return [
            Silence(**{name: value for name, value in row._mapping.items() if name != "scope"})
            for row in rows
        ]

    def enqueue(self, notifications: Sequence[QueuedNotification]) -> None:
        """Queue notifications for delivery."""
        if not notifications:
            return
        of_scope = MESSAGES.c.scope == self._scope
        last = self._connection.execute(select(func.max(MESSAGES.c.position)).where(of_scope)).scalar() or 0
        insert_rows(
            self._connection,
            MESSAGES,
            [
                {
                    "id": one.id,
                    "scope": self._scope,
                    "channel": one.channel,
                    "position": last + number,
                    "created_ns": one.created_ns,
                    "attempts": one.attempts,
                    "due_ns": one.due_ns,
                    "body": clean(json_bytes(one.body.as_dict()).decode()),
                }
                for number, one in enumerate(notifications, 1)
            ],
        )
        if last + len(notifications) > self._max_queued:
            newest_dropped = (
                select(MESSAGES.c.position)
                .where(of_scope)
                .order_by(MESSAGES.c.position.desc())
                .offset(self._max_queued)
                .limit(1)
                .scalar_subquery()
            )
            self._connection.execute(delete(MESSAGES).where(of_scope, MESSAGES.c.position <= newest_dropped))

    def delete_samples(self, rule: str, before_ns: int) -> None:
        """Delete a rule's evaluated samples before a time."""
        old = (*self._of(rule), SAMPLES.c.at_ns < before_ns, SAMPLES.c.seen.is_(True))
        self._connection.execute(delete(SAMPLES).where(*old))

    def delete_closed(self, before_ns: int) -> None:
        """Delete alerts and silences that ended before a time, and notifications that were queued before it."""
        closed = (ALERTS.c.open.is_(False), ALERTS.c.closed_ns < before_ns)
        self._connection.execute(delete(ALERTS).where(ALERTS.c.scope == self._scope, *closed))
        ended = (SILENCES.c.scope == self._scope, SILENCES.c.until_ns < before_ns)
        self._connection.execute(delete(SILENCES).where(*ended))
        old = (MESSAGES.c.scope == self._scope, MESSAGES.c.created_ns < before_ns)
        self._connection.execute(delete(MESSAGES).where(*old))

    def _of(self, rule: str) -> tuple[Any, ...]:
        return (SAMPLES.c.scope == self._scope, SAMPLES.c.rule == rule)


def sample_row(sample: Sample, scope: AlertScope) -> dict[str, Any]:
    """Return the row of a sample."""
    return {
        "scope": scope.key,
        "rule": sample.rule,
        "subject": clean(sample.subject),
        "at_ns": sample.at_ns,
        "hits": sample.hits,
        "total": sample.total,
        "seen": not sample.single,
        "sample": None if sample.exemplar is None else clean(json_bytes(asdict(sample.exemplar)).decode()),
    }


def alert_of(row: Any) -> Alert:
    """Return the alert of a row."""
    state = orjson.loads(row.state)
    columns = {name: getattr(row, name) for name in _COLUMNS}
    exemplar = state.pop("exemplar", None)
    return _without_unknown_fields(
        Alert,
        {
            **state,
            **columns,
            "notified": tuple(state.get("notified", ())),
            "exemplar": None if exemplar is None else _without_unknown_fields(Exemplar, exemplar),
        },
    )


def notification_of(row: Any) -> QueuedNotification:
    """Return the queued notification of a row."""
    values = orjson.loads(row.body)
    facts = tuple((str(label), str(text)) for label, text in values["facts"])
    body = _without_unknown_fields(Notification, {**values, "facts": facts})
    return QueuedNotification(row.id, row.channel, body, row.created_ns, row.attempts, row.due_ns)


def _sample_of(row: Any) -> Sample:
    exemplar = None if row.sample is None else _without_unknown_fields(Exemplar, orjson.loads(row.sample))
    return Sample(
        row.rule, row.subject, row.at_ns, row.hits, row.total, exemplar, single=exemplar is not None
    )


def _without_unknown_fields(kind: type[T], values: Mapping[str, Any]) -> T:
    """Return an object of its known fields. During a rolling upgrade, newer workers store further fields."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in values.items() if name in names})


def _clean(value: Any) -> Any:
    return clean(value) if isinstance(value, str) else value
