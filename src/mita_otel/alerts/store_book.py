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

from sqlalchemy import delete, func, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from mita_otel._json import json_bytes
from mita_otel.alerts.alert import Alert, Scope
from mita_otel.alerts.book import BookUnavailableError, Message
from mita_otel.alerts.memory_book import due_messages
from mita_otel.alerts.points import Point
from mita_otel.alerts.silence import Silence
from mita_otel.alerts.store_turn import ALERTS, MESSAGES, POINTS, SILENCES, StoreTurn, alert_of, message_of
from mita_otel.policy import Policy
from mita_otel.processors.queues.forks import after_fork_in_child
from mita_otel.store import StoreError, open_database
from mita_otel.store.additions import add
from mita_otel.store.database import Database
from mita_otel.store.lease import Lease
from mita_otel.store.migrate import require
from mita_otel.store.rows import clean

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
        self.shared = True
        """Whoever has the store sees it."""
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
            add(connection, POINTS, rows)

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
            of_scope = select(func.count()).select_from(MESSAGES).where(MESSAGES.c.scope == self.scope.key)
            return int(connection.execute(of_scope).scalar_one())

    def next_messages(self, now_ns: int, channels: Collection[str], limit: int) -> list[Message]:
        """Return what may be sent now."""
        if not channels:
            return []
        statement = (
            select(MESSAGES)
            .where(MESSAGES.c.scope == self.scope.key, MESSAGES.c.channel.in_(list(channels)))
            .order_by(MESSAGES.c.channel, MESSAGES.c.position)
        )
        with self._reading() as connection:
            return due_messages(map(message_of, connection.execute(statement)), now_ns, channels, limit)

    def delivered(self, messages: Sequence[Message]) -> None:
        """Forget messages."""
        with self._writing() as connection:
            connection.execute(delete(MESSAGES).where(MESSAGES.c.id.in_([one.id for one in messages])))

    def try_later(self, message: Message, due_ns: int) -> None:
        """Note that a try failed."""
        later = {"attempts": message.attempts + 1, "due_ns": due_ns}
        with self._writing() as connection:
            connection.execute(update(MESSAGES).where(MESSAGES.c.id == message.id).values(**later))

    def silence(self, silence: Silence) -> None:
        """Keep a silence."""
        row = {name: clean(text) if isinstance(text, str) else text for name, text in asdict(silence).items()}
        with self._writing() as connection:
            add(connection, SILENCES, [{"scope": self.scope.key, **row}])

    def end_silence(self, silence_id: str, now_ns: int) -> bool:
        """End a silence."""
        with self._writing() as connection:
            one = delete(SILENCES).where(SILENCES.c.id == silence_id, SILENCES.c.scope == self.scope.key)
            return bool(connection.execute(one).rowcount)

    def acknowledge(self, alert_id: str, by: str, now_ns: int) -> Alert | None:
        """Note that somebody takes care of an open alert."""
        mine = (ALERTS.c.id == alert_id, ALERTS.c.scope == self.scope.key, ALERTS.c.open.is_(True))
        with self._writing() as connection:
            row = connection.execute(select(ALERTS).where(*mine).with_for_update()).one_or_none()
            if row is None:
                return None
            alert = alert_of(row)
            if not alert.acknowledged_ns:
                alert = alert.but(acknowledged_ns=now_ns, acknowledged_by=clean(by))
                changes = {"acknowledged_ns": now_ns, "acknowledged_by": alert.acknowledged_by}
                connection.execute(update(ALERTS).where(*mine).values(**changes))
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
        for table in (POINTS, ALERTS):
            for (scope,) in connection.execute(select(table.c.scope).distinct()):
                found[scope] += 0
        counts = select(ALERTS.c.scope, func.count()).where(ALERTS.c.open.is_(True)).group_by(ALERTS.c.scope)
        for scope, count in connection.execute(counts):
            found[scope] += count
    return dict(found)
