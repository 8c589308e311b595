"""The book of a service with several workers: in the store, so that all count together and a restart forgets nothing."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final

import orjson
from sqlalchemy import delete, func, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from mita_otel.alerts.alert import Alert, Scope
from mita_otel.alerts.book import BookUnavailableError, Message
from mita_otel.alerts.memory_book import due_messages
from mita_otel.alerts.notification import Notification
from mita_otel.alerts.points import Point, Sample, Sums
from mita_otel.alerts.silence import Silence
from mita_otel.encoding import json_bytes
from mita_otel.policy import Policy
from mita_otel.processors.forks import after_fork_in_child
from mita_otel.store import StoreError, open_database
from mita_otel.store.additions import add, replace_rows
from mita_otel.store.alert_tables import AlertMessageRow, AlertPointRow, AlertRow, AlertSilenceRow
from mita_otel.store.database import Database
from mita_otel.store.lease import Lease
from mita_otel.store.migrate import require
from mita_otel.store.rows import clean
from mita_otel.store.tables import table_of

_POINTS: Final = table_of(AlertPointRow)
_ALERTS: Final = table_of(AlertRow)
_MESSAGES: Final = table_of(AlertMessageRow)
_SILENCES: Final = table_of(AlertSilenceRow)
_COLUMNS: Final = frozenset(_ALERTS.c.keys()) - {"scope", "state"}
"""What of an alert has a column of its own."""
_MAX_FRESH: Final = 5000
"""Points of a rule that one turn looks at."""
_ADVISORY_LOCK: Final = 0x6D697461_616C72
"""Number of PostgreSQL's lock of whoever writes alerts."""


class StoreBook:
    """An `AlertBook` for one scope.

    Args:
        database: The store.
        scope: Whose alerts.
        lease_s: Seconds after which another process takes over from one that died.
        migrate: Whether tables may be made where they are missing.
        max_messages: Messages that may wait; the oldest go first.
        clock_ns: Nanoseconds since the epoch.
    """

    def __init__(
        self,
        database: Database,
        scope: Scope,
        *,
        lease_s: float,
        migrate: bool,
        max_messages: int,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.database = database
        self.scope = scope
        self._lease_s = lease_s
        self._migrate = migrate
        self._max_messages = max_messages
        self._clock_ns = clock_ns
        self._ready = False
        self._lease = self._make_lease()
        after_fork_in_child(self._forget)

    def _forget(self) -> None:
        self._lease = self._make_lease()

    def _make_lease(self) -> Lease:
        digest = hashlib.sha256(self.scope.key.encode("utf-8", "replace")).hexdigest()[:32]
        holder = f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"
        return Lease(self.database, f"alerts:{digest}", holder, clock_ns=self._clock_ns)

    def add(self, points: Iterable[Point]) -> None:
        """Add what was counted."""
        rows = [self._point_row(point) for point in points]
        with self._writing() as connection:
            add(connection, _POINTS, rows)

    def leads(self) -> bool:
        """Return whether this process is the one that looks at the rules and delivers."""
        with self._answering():
            self._prepare()
            return self._lease.take(self._lease_s)

    @contextmanager
    def turn(self) -> Iterator[StoreTurn]:
        """Begin a turn: nobody else writes alerts of any scope meanwhile."""
        with self._writing() as connection:
            if not self.database.is_sqlite:  # there the writer is the only one
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            yield StoreTurn(connection, self.scope, self._max_messages)

    def waiting(self) -> int:
        """Return how many messages wait for delivery."""
        with self._reading() as connection:
            of_scope = select(func.count()).select_from(_MESSAGES).where(_MESSAGES.c.scope == self.scope.key)
            return int(connection.execute(of_scope).scalar_one())

    def next_messages(self, now_ns: int, channels: Collection[str], limit: int) -> list[Message]:
        """Return what may be sent now."""
        if not channels:
            return []
        statement = (
            select(_MESSAGES)
            .where(_MESSAGES.c.scope == self.scope.key, _MESSAGES.c.channel.in_(list(channels)))
            .order_by(_MESSAGES.c.channel, _MESSAGES.c.position)
        )
        with self._reading() as connection:
            return due_messages(map(_message, connection.execute(statement)), now_ns, channels, limit)

    def delivered(self, messages: Sequence[Message]) -> None:
        """Forget messages."""
        with self._writing() as connection:
            connection.execute(delete(_MESSAGES).where(_MESSAGES.c.id.in_([one.id for one in messages])))

    def try_later(self, message: Message, due_ns: int) -> None:
        """Note that a try failed."""
        later = {"attempts": message.attempts + 1, "due_ns": due_ns}
        with self._writing() as connection:
            connection.execute(update(_MESSAGES).where(_MESSAGES.c.id == message.id).values(**later))

    def silence(self, silence: Silence) -> None:
        """Keep a silence."""
        row = {name: clean(text) if isinstance(text, str) else text for name, text in asdict(silence).items()}
        with self._writing() as connection:
            add(connection, _SILENCES, [{"scope": self.scope.key, **row}])

    def end_silence(self, silence_id: str, now_ns: int) -> bool:
        """End a silence."""
        with self._writing() as connection:
            one = delete(_SILENCES).where(_SILENCES.c.id == silence_id, _SILENCES.c.scope == self.scope.key)
            return bool(connection.execute(one).rowcount)

    def acknowledge(self, alert_id: str, by: str, now_ns: int) -> Alert | None:
        """Note that somebody takes care of an open alert."""
        mine = (_ALERTS.c.id == alert_id, _ALERTS.c.scope == self.scope.key, _ALERTS.c.open.is_(True))
        with self._writing() as connection:
            row = connection.execute(select(_ALERTS).where(*mine).with_for_update()).one_or_none()
            if row is None:
                return None
            alert = _alert(row)
            if not alert.acknowledged_ns:
                alert = alert.but(acknowledged_ns=now_ns, acknowledged_by=clean(by))
                changes = {"acknowledged_ns": now_ns, "acknowledged_by": alert.acknowledged_by}
                connection.execute(update(_ALERTS).where(*mine).values(**changes))
            return alert

    def read_alerts(self) -> list[Alert]:
        """Return every alert that is known, without a turn."""
        with self._reading() as connection:
            return StoreTurn(connection, self.scope, self._max_messages).alerts()

    def read_silences(self) -> list[Silence]:
        """Return the silences, without a turn."""
        with self._reading() as connection:
            return StoreTurn(connection, self.scope, self._max_messages).silences()

    def close(self) -> None:
        """Close the connections. The lease runs out by itself."""
        self.database.close()

    def _point_row(self, point: Point) -> dict[str, Any]:
        return {
            "scope": self.scope.key,
            "rule": point.rule,
            "subject": clean(point.subject),
            "at_ns": point.at_ns,
            "hits": point.hits,
            "total": point.total,
            "seen": not point.single,
            "sample": None if point.sample is None else clean(json_bytes(asdict(point.sample)).decode()),
        }

    def _prepare(self) -> None:
        if not self._ready:
            require(self.database, migrate=self._migrate)
            self._ready = True

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (StoreError, SQLAlchemyError) as error:
            raise BookUnavailableError(str(error).splitlines()[0]) from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._answering():
            self._prepare()
            with self.database.read() as connection:
                yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._answering():
            self._prepare()
            with self.database.write() as connection:
                yield connection


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
            select(_POINTS)
            .where(*self._of(rule), _POINTS.c.seen.is_(False))
            .order_by(_POINTS.c.at_ns, _POINTS.c.id)
            .limit(_MAX_FRESH)
        ).all()
        if rows:
            ids = [row.id for row in rows]
            self._connection.execute(update(_POINTS).where(_POINTS.c.id.in_(ids)).values(seen=True))
        return [_point(row) for row in rows]

    def between(self, rule: str, subject: str, from_ns: int, to_ns: int) -> list[Point]:
        """Return a rule's points about a subject from one time to another."""
        time = _POINTS.c.at_ns.between(from_ns, to_ns)
        rows = self._connection.execute(
            select(_POINTS).where(*self._of(rule), time, _POINTS.c.subject == subject)
        )
        return [_point(row) for row in rows]

    def sums(self, rule: str, since_ns: int) -> dict[str, Sums]:
        """Return what was counted since then, by subject."""
        rows = self._connection.execute(
            select(_POINTS.c.subject, func.sum(_POINTS.c.hits), func.sum(_POINTS.c.total))
            .where(*self._of(rule), _POINTS.c.at_ns >= since_ns)
            .group_by(_POINTS.c.subject)
        )
        return {subject: Sums(int(hits), int(total)) for subject, hits, total in rows}

    def points(self, rule: str, since_ns: int) -> list[Point]:
        """Return the points since then."""
        rows = self._connection.execute(select(_POINTS).where(*self._of(rule), _POINTS.c.at_ns >= since_ns))
        return [_point(row) for row in rows]

    def first_ns(self, rule: str) -> int | None:
        """Return when the rule's first point was, of those that are kept."""
        found = self._connection.execute(select(func.min(_POINTS.c.at_ns)).where(*self._of(rule))).scalar()
        return None if found is None else int(found)

    def alerts(self) -> list[Alert]:
        """Return every alert that is known."""
        return [
            _alert(row)
            for row in self._connection.execute(
                select(_ALERTS).where(_ALERTS.c.scope == self._scope).order_by(_ALERTS.c.opened_ns)
            )
        ]

    def put(self, alert: Alert) -> None:
        """Keep an alert."""
        values = asdict(alert)
        row = {name: _clean(values[name]) for name in _COLUMNS}
        state = {name: value for name, value in values.items() if name not in _COLUMNS}
        row["state"] = clean(json_bytes(state).decode())
        replace_rows(self._connection, _ALERTS, ["id"], [{"scope": self._scope, **row}])

    def silences(self) -> list[Silence]:
        """Return the silences."""
        rows = self._connection.execute(select(_SILENCES).where(_SILENCES.c.scope == self._scope))
        return [
            Silence(**{name: value for name, value in row._mapping.items() if name != "scope"})
            for row in rows
        ]

    def send(self, messages: Sequence[Message]) -> None:
        """Queue messages for delivery."""
        if not messages:
            return
        of_scope = _MESSAGES.c.scope == self._scope
        last = self._connection.execute(select(func.max(_MESSAGES.c.position)).where(of_scope)).scalar() or 0
        add(
            self._connection,
            _MESSAGES,
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
                select(_MESSAGES.c.position)
                .where(of_scope)
                .order_by(_MESSAGES.c.position.desc())
                .offset(self._max_messages)
                .limit(1)
                .scalar_subquery()
            )
            self._connection.execute(delete(_MESSAGES).where(of_scope, _MESSAGES.c.position <= kept))

    def forget(self, rule: str, before_ns: int) -> None:
        """Forget older points, as far as turns have seen them."""
        gone = (*self._of(rule), _POINTS.c.at_ns < before_ns, _POINTS.c.seen.is_(True))
        self._connection.execute(delete(_POINTS).where(*gone))

    def forget_closed(self, before_ns: int) -> None:
        """Forget alerts, silences and messages that were over before then."""
        closed = (_ALERTS.c.open.is_(False), _ALERTS.c.closed_ns < before_ns)
        self._connection.execute(delete(_ALERTS).where(_ALERTS.c.scope == self._scope, *closed))
        over = (_SILENCES.c.scope == self._scope, _SILENCES.c.until_ns < before_ns)
        self._connection.execute(delete(_SILENCES).where(*over))
        old = (_MESSAGES.c.scope == self._scope, _MESSAGES.c.created_ns < before_ns)
        self._connection.execute(delete(_MESSAGES).where(*old))

    def _of(self, rule: str) -> tuple[Any, ...]:
        return (_POINTS.c.scope == self._scope, _POINTS.c.rule == rule)


def open_store_book(policy: Policy, scope: Scope, env: Mapping[str, str]) -> StoreBook:
    """Return the book in the store that the environment or the policy names.

    Raises:
        StoreError: The store's extra, or the database's driver, is not installed.
    """
    return StoreBook(
        open_database(policy.store, env),
        scope,
        lease_s=policy.alerts.lease_s,
        migrate=policy.store.migrate,
        max_messages=policy.alerts.delivery.max_waiting,
    )


def scopes_of(database: Database) -> dict[str, int]:
    """Return the scopes that the store knows, with the open alerts of each."""
    found: dict[str, int] = defaultdict(int)
    with database.read() as connection:
        for table in (_POINTS, _ALERTS):
            for (scope,) in connection.execute(select(table.c.scope).distinct()):
                found[scope] += 0
        counts = (
            select(_ALERTS.c.scope, func.count()).where(_ALERTS.c.open.is_(True)).group_by(_ALERTS.c.scope)
        )
        for scope, count in connection.execute(counts):
            found[scope] += count
    return dict(found)


def _point(row: Any) -> Point:
    sample = None if row.sample is None else Sample(**orjson.loads(row.sample))
    return Point(row.rule, row.subject, row.at_ns, row.hits, row.total, sample, single=sample is not None)


def _alert(row: Any) -> Alert:
    state = orjson.loads(row.state)
    columns = {name: getattr(row, name) for name in _COLUMNS}
    sample = state.pop("sample")
    return Alert(
        **columns,
        **{**state, "told": tuple(state["told"])},
        sample=None if sample is None else Sample(**sample),
    )


def _message(row: Any) -> Message:
    body = Notification.from_dict(orjson.loads(row.body))
    return Message(row.id, row.channel, body, row.created_ns, row.attempts, row.due_ns)


def _clean(value: Any) -> Any:
    return clean(value) if isinstance(value, str) else value
