"""The alert store in the database: all workers count together, and alerts survive a restart."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from mita_otel.alerts.alert import Alert, AlertScope, Silence
from mita_otel.alerts.events import Sample
from mita_otel.alerts.sql_transaction import (
    ALERTS,
    MESSAGES,
    SAMPLES,
    SILENCES,
    SqlAlertTransaction,
    alert_of,
    notification_of,
    sample_row,
)
from mita_otel.alerts.store import AlertStoreUnavailableError, QueuedNotification, select_due
from mita_otel.policy import Policy
from mita_otel.processors.queues.forks import after_fork_in_child
from mita_otel.store import StoreError, open_database
from mita_otel.store.database import Database, insert_rows
from mita_otel.store.lease import Lease
from mita_otel.store.migrate import require
from mita_otel.store.rows import clean

_ADVISORY_LOCK: Final = 0x6D697461_616C72
"""Number of PostgreSQL's advisory lock for writing alerts."""


class SqlAlertStore:
    """An `AlertStore` for one scope.

    Args:
        database: The database.
        scope: The service and environment.
        lease_s: Seconds after which another process takes over from one that ended.
        migrate: Whether missing tables may be created.
        max_queued: Queued notifications; the oldest are dropped.
        clock_ns: Nanoseconds since the epoch.
    """

    def __init__(
        self,
        database: Database,
        scope: AlertScope,
        *,
        lease_s: float,
        migrate: bool,
        max_queued: int,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.shared = True
        """Other processes, and commands, see it."""
        self.database = database
        self.scope = scope
        self._lease_s = lease_s
        self._migrate = migrate
        self._max_queued = max_queued
        self._clock_ns = clock_ns
        self._ready = False
        self._lease = self._new_lease()
        after_fork_in_child(self._reset)

    def _reset(self) -> None:
        self._lease = self._new_lease()

    def _new_lease(self) -> Lease:
        digest = hashlib.sha256(self.scope.key.encode("utf-8", "replace")).hexdigest()[:32]
        holder = f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"
        return Lease(self.database, f"alerts:{digest}", holder, clock_ns=self._clock_ns)

    def add_samples(self, samples: Iterable[Sample]) -> None:
        """Add samples."""
        rows = [sample_row(sample, self.scope) for sample in samples]
        with self._writing() as connection:
            insert_rows(connection, SAMPLES, rows)

    def acquire_lease(self) -> bool:
        """Acquire or renew the lease to evaluate rules and deliver notifications."""
        with self._translated_errors():
            self._prepare()
            return self._lease.take(self._lease_s)

    @contextmanager
    def transaction(self) -> Iterator[SqlAlertTransaction]:
        """Begin a transaction. It excludes all other writers of alerts, of any scope."""
        with self._writing() as connection:
            if not self.database.is_sqlite:  # SQLite has one writer at a time anyway
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            yield SqlAlertTransaction(connection, self.scope, self._max_queued)

    def waiting(self) -> int:
        """Return the number of queued notifications."""
        with self._reading() as connection:
            of_scope = select(func.count()).select_from(MESSAGES).where(MESSAGES.c.scope == self.scope.key)
            return int(connection.execute(of_scope).scalar_one())

    def due(self, now_ns: int, channels: Collection[str], limit: int) -> list[QueuedNotification]:
        """Return the notifications to deliver now."""
        if not channels:
            return []
        statement = (
            select(MESSAGES)
            .where(MESSAGES.c.scope == self.scope.key, MESSAGES.c.channel.in_(list(channels)))
            .order_by(MESSAGES.c.channel, MESSAGES.c.position)
        )
        with self._reading() as connection:
            return select_due(map(notification_of, connection.execute(statement)), now_ns, channels, limit)

    def remove(self, notifications: Sequence[QueuedNotification]) -> None:
        """Remove notifications from the queue."""
        with self._writing() as connection:
            connection.execute(delete(MESSAGES).where(MESSAGES.c.id.in_([one.id for one in notifications])))

    def postpone(self, notification: QueuedNotification, due_ns: int) -> None:
        """Count a failed attempt, and set the time of the next one."""
        later = {"attempts": notification.attempts + 1, "due_ns": due_ns}
        with self._writing() as connection:
            connection.execute(update(MESSAGES).where(MESSAGES.c.id == notification.id).values(**later))

    def add_silence(self, silence: Silence) -> None:
        """Add a silence."""
        row = {name: clean(text) if isinstance(text, str) else text for name, text in asdict(silence).items()}
        with self._writing() as connection:
            insert_rows(connection, SILENCES, [{"scope": self.scope.key, **row}])

    def end_silence(self, silence_id: str) -> bool:
        """End a silence."""
        with self._writing() as connection:
            one = delete(SILENCES).where(SILENCES.c.id == silence_id, SILENCES.c.scope == self.scope.key)
            return bool(connection.execute(one).rowcount)

    def acknowledge(self, alert_id: str, by: str, now_ns: int) -> Alert | None:
        """Acknowledge an open alert."""
        this = (ALERTS.c.id == alert_id, ALERTS.c.scope == self.scope.key, ALERTS.c.open.is_(True))
        with self._writing() as connection:
            row = connection.execute(select(ALERTS).where(*this).with_for_update()).one_or_none()
            if row is None:
                return None
            alert = alert_of(row)
            if not alert.acknowledged_ns:
                alert = replace(alert, acknowledged_ns=now_ns, acknowledged_by=clean(by))
                changes = {"acknowledged_ns": now_ns, "acknowledged_by": alert.acknowledged_by}
                connection.execute(update(ALERTS).where(*this).values(**changes))
            return alert

    def read_alerts(self) -> list[Alert]:
        """Return all alerts, without excluding writers."""
        with self._reading() as connection:
            return SqlAlertTransaction(connection, self.scope, self._max_queued).alerts()

    def read_silences(self) -> list[Silence]:
        """Return the silences, without excluding writers."""
        with self._reading() as connection:
            return SqlAlertTransaction(connection, self.scope, self._max_queued).silences()

    def close(self) -> None:
        """Close the connections. The lease expires."""
        self.database.close()

    def _prepare(self) -> None:
        if not self._ready:
            require(self.database, migrate=self._migrate)
            self._ready = True

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except (StoreError, SQLAlchemyError) as error:
            raise AlertStoreUnavailableError(str(error).splitlines()[0]) from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._translated_errors():
            self._prepare()
            with self.database.read() as connection:
                yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._translated_errors():
            self._prepare()
            with self.database.write() as connection:
                yield connection


def open_alert_store(policy: Policy, scope: AlertScope, env: Mapping[str, str]) -> SqlAlertStore:
    """Return the alert store in the database that the environment or the policy names.

    Raises:
        StoreError: The extra `store` or the database's driver is not installed.
    """
    return SqlAlertStore(
        open_database(policy.store, env),
        scope,
        lease_s=policy.alerts.lease_s,
        migrate=policy.store.migrate,
        max_queued=policy.alerts.delivery.max_waiting,
    )


def known_scopes(database: Database) -> dict[str, int]:
    """Return the keys of the scopes in the database, with the number of open alerts of each."""
    found: dict[str, int] = defaultdict(int)
    with database.read() as connection:
        for table in (SAMPLES, ALERTS):
            for (scope,) in connection.execute(select(table.c.scope).distinct()):
                found[scope] += 0
        open_alerts = select(ALERTS.c.scope, func.count()).where(ALERTS.c.open.is_(True))
        for scope, count in connection.execute(open_alerts.group_by(ALERTS.c.scope)):
            found[scope] += count
    return dict(found)
