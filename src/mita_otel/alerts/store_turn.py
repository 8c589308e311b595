"""One turn of the book in the store: one transaction, and nobody else writes meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Final, TypeVar

import orjson
from sqlalchemy import delete, func, select, update
from sqlalchemy.engine import Connection

from mita_otel._json import json_bytes
from mita_otel.alerts.alert import Alert, Scope
from mita_otel.alerts.book import Message
from mita_otel.alerts.notification import Notification
from mita_otel.alerts.points import Point, Sample, Sums
from mita_otel.alerts.silence import Silence
from mita_otel.store.additions import add, replace_rows
from mita_otel.store.alert_tables import AlertMessageRow, AlertPointRow, AlertRow, AlertSilenceRow
from mita_otel.store.rows import clean
from mita_otel.store.tables import table_of

POINTS: Final = table_of(AlertPointRow)
ALERTS: Final = table_of(AlertRow)
MESSAGES: Final = table_of(AlertMessageRow)
SILENCES: Final = table_of(AlertSilenceRow)
_COLUMNS: Final = frozenset(ALERTS.c.keys()) - {"scope", "state"}
"""What of an alert has a column of its own."""
T = TypeVar("T")
_MAX_FRESH: Final = 5000
"""Points of a rule that one turn looks at."""


class StoreTurn:
    """A `Turn` in one transaction.

    Args:
        connection: The transaction.
        scope: Whose alerts.
        max_messages: Messages that may wait.
    """

    def __init__(self, connection: Connection, scope: Scope, max_messages: int) -> None:
        self._connection = connection
        self._scope = scope.key
        self._max_messages = max_messages

    def fresh(self, rule: str) -> list[Point]:
        """Return the points that no turn has seen; they count as seen from now on."""
        rows = self._connection.execute(
            select(POINTS)
            .where(*self._of(rule), POINTS.c.seen.is_(False))
            .order_by(POINTS.c.at_ns, POINTS.c.id)
            .limit(_MAX_FRESH)
        ).all()
        if rows:
            ids = [row.id for row in rows]
            self._connection.execute(update(POINTS).where(POINTS.c.id.in_(ids)).values(seen=True))
        return [_point(row) for row in rows]

    def between(self, rule: str, subject: str, from_ns: int, to_ns: int) -> list[Point]:
        """Return a rule's points about a subject from one time to another."""
        time = POINTS.c.at_ns.between(from_ns, to_ns)
        rows = self._connection.execute(
            select(POINTS).where(*self._of(rule), time, POINTS.c.subject == subject)
        )
        return [_point(row) for row in rows]

    def sums(self, rule: str, since_ns: int) -> dict[str, Sums]:
        """Return what was counted since then, by subject."""
        rows = self._connection.execute(
            select(POINTS.c.subject, func.sum(POINTS.c.hits), func.sum(POINTS.c.total))
            .where(*self._of(rule), POINTS.c.at_ns >= since_ns)
            .group_by(POINTS.c.subject)
        )
        return {subject: Sums(int(hits), int(total)) for subject, hits, total in rows}

    def points(self, rule: str, since_ns: int) -> list[Point]:
        """Return the points since then."""
        rows = self._connection.execute(select(POINTS).where(*self._of(rule), POINTS.c.at_ns >= since_ns))
        return [_point(row) for row in rows]

    def first_ns(self, rule: str) -> int | None:
        """Return when the rule's first point was, of those that are kept."""
        found = self._connection.execute(select(func.min(POINTS.c.at_ns)).where(*self._of(rule))).scalar()
        return None if found is None else int(found)

    def alerts(self) -> list[Alert]:
        """Return every alert that is known."""
        return [
            alert_of(row)
            for row in self._connection.execute(
                select(ALERTS).where(ALERTS.c.scope == self._scope).order_by(ALERTS.c.opened_ns)
            )
        ]

    def put(self, alert: Alert) -> None:
        """Keep an alert."""
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

    def send(self, messages: Sequence[Message]) -> None:
        """Queue messages for delivery."""
        if not messages:
            return
        of_scope = MESSAGES.c.scope == self._scope
        last = self._connection.execute(select(func.max(MESSAGES.c.position)).where(of_scope)).scalar() or 0
        add(
            self._connection,
            MESSAGES,
            [
                {
                    "id": message.id,
                    "scope": self._scope,
                    "channel": message.channel,
                    "position": last + number,
                    "created_ns": message.created_ns,
                    "attempts": message.attempts,
                    "due_ns": message.due_ns,
                    "body": clean(json_bytes(message.body.as_dict()).decode()),
                }
                for number, message in enumerate(messages, 1)
            ],
        )
        too_old = last + len(messages) - self._max_messages
        if too_old > 0:
            kept = (
                select(MESSAGES.c.position)
                .where(of_scope)
                .order_by(MESSAGES.c.position.desc())
                .offset(self._max_messages)
                .limit(1)
                .scalar_subquery()
            )
            self._connection.execute(delete(MESSAGES).where(of_scope, MESSAGES.c.position <= kept))

    def forget(self, rule: str, before_ns: int) -> None:
        """Forget older points, as far as turns have seen them."""
        gone = (*self._of(rule), POINTS.c.at_ns < before_ns, POINTS.c.seen.is_(True))
        self._connection.execute(delete(POINTS).where(*gone))

    def forget_closed(self, before_ns: int) -> None:
        """Forget alerts, silences and messages that were over before then."""
        closed = (ALERTS.c.open.is_(False), ALERTS.c.closed_ns < before_ns)
        self._connection.execute(delete(ALERTS).where(ALERTS.c.scope == self._scope, *closed))
        over = (SILENCES.c.scope == self._scope, SILENCES.c.until_ns < before_ns)
        self._connection.execute(delete(SILENCES).where(*over))
        old = (MESSAGES.c.scope == self._scope, MESSAGES.c.created_ns < before_ns)
        self._connection.execute(delete(MESSAGES).where(*old))

    def _of(self, rule: str) -> tuple[Any, ...]:
        return (POINTS.c.scope == self._scope, POINTS.c.rule == rule)


def _point(row: Any) -> Point:
    sample = None if row.sample is None else _known(Sample, orjson.loads(row.sample))
    return Point(row.rule, row.subject, row.at_ns, row.hits, row.total, sample, single=sample is not None)


def alert_of(row: Any) -> Alert:
    """Return the alert of a row."""
    state = orjson.loads(row.state)
    columns = {name: getattr(row, name) for name in _COLUMNS}
    sample = state.pop("sample")
    return _known(
        Alert,
        {
            **state,
            **columns,
            "told": tuple(state["told"]),
            "sample": None if sample is None else _known(Sample, sample),
        },
    )


def message_of(row: Any) -> Message:
    """Return the message of a row."""
    values = orjson.loads(row.body)
    facts = tuple((str(label), str(text)) for label, text in values["facts"])
    body = _known(Notification, {**values, "facts": facts})
    return Message(row.id, row.channel, body, row.created_ns, row.attempts, row.due_ns)


def _known(kind: type[T], values: Mapping[str, Any]) -> T:
    """Return what was stored. What a newer version has stored beside it is none of ours: workers are replaced in turn."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in values.items() if name in names})


def _clean(value: Any) -> Any:
    return clean(value) if isinstance(value, str) else value
