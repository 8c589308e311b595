"""Legal holds: data that must be kept beyond their retention period."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, select, true, update
from sqlalchemy.engine import Connection

from mita_otel.audit.event import AuditEvent, AuditEventType
from mita_otel.audit.trail import AuditTrail
from mita_otel.audit.verification.holds import DIFFERS, MISSING, SEAL, hold_seal, holds_in_force, release_seal
from mita_otel.errors import ConfigurationError
from mita_otel.policy.storage import DATA_CLASSES
from mita_otel.store.database import Database
from mita_otel.store.tables import LegalHoldRow, table_of


class LegalHoldError(ConfigurationError):
    """A legal hold forbids the operation, or the hold does not exist."""


@dataclass(frozen=True, slots=True)
class LegalHold:
    """A legal hold."""

    id: str
    created_ns: int
    """Nanoseconds since the epoch."""
    created_by: str
    reason: str
    data_class: str | None
    """The data class. None: all."""
    user_id: str | None
    """The person. None: all."""
    from_ns: int | None
    until_ns: int | None
    """Nanoseconds since the epoch, exclusive."""
    released_ns: int | None = None
    released_by: str | None = None

    def covers(self, *, data_class: str, user_id: str | None) -> bool:
        """Return whether it covers data of this class and person."""
        return self.data_class in (None, data_class) and (self.user_id is None or self.user_id == user_id)


class LegalHolds:
    """Places and releases holds. Both are recorded in the audit trail.

    Args:
        database: The store.
        trail: Records the holds.
        clock_ns: Nanoseconds since the epoch.
    """

    def __init__(
        self, database: Database, trail: AuditTrail, *, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._database = database
        self._trail = trail
        self._clock_ns = clock_ns

    def place(
        self,
        *,
        reason: str,
        by: str,
        data_class: str | None = None,
        user_id: str | None = None,
        from_ns: int | None = None,
        until_ns: int | None = None,
    ) -> LegalHold:
        """Place a hold. It is in force when this returns.

        Args:
            reason: Why, for example the number of the case.
            by: Who places it.
            data_class: Only data of this class. None: of all.
            user_id: Only data of this person. None: of all.
            from_ns: Only data from this time on. None: from the beginning.
            until_ns: Only data before this time. None: without end.

        Raises:
            LegalHoldError: An argument is invalid.
        """
        if data_class is not None and data_class not in DATA_CLASSES:
            raise LegalHoldError(f"{data_class!r} is not a data class; use one of {', '.join(DATA_CLASSES)}")
        if not reason.strip():
            raise LegalHoldError("a legal hold needs a reason, for example the number of the case")
        hold = LegalHold(
            id=f"hold-{secrets.token_hex(6)}",
            created_ns=self._clock_ns(),
            created_by=by,
            reason=reason,
            data_class=data_class,
            user_id=None if user_id is None else self._trail.user_id(user_id),
            from_ns=from_ns,
            until_ns=until_ns,
        )
        # The entry first: a row without one is a hold that was made up.
        self._record(AuditEventType.LEGAL_HOLD_CREATE, hold, by, {SEAL: hold_seal(self._trail.keys, hold)})
        self._flush()
        try:
            with self._database.write() as connection:
                connection.execute(
                    table_of(LegalHoldRow)
                    .insert()
                    .values(**{name: getattr(hold, name) for name in LegalHold.__dataclass_fields__})
                )
        except BaseException:
            self._record(AuditEventType.LEGAL_HOLD_RELEASE, hold, by, {MISSING: True})
            raise
        return hold

    def release(self, hold_id: str, *, by: str) -> LegalHold:
        """Release a hold. Its row stays in the table, with who released it and when.

        A hold that was removed from the table, or marked there, can be released as well: the trail knows it.

        Raises:
            LegalHoldError: The hold does not exist, or was already released.
        """
        table = table_of(LegalHoldRow)
        self._flush()
        with self._database.read() as connection:
            row = connection.execute(select(table).where(table.c.id == hold_id)).one_or_none()
            # A row that was tampered with: the trail still has the hold, so its release must be recorded.
            entry = holds_in_force(connection, self._trail.keys).get(hold_id)
        if row is None and entry is None:
            raise LegalHoldError(f"there is no legal hold {hold_id}; run: mita-otel retention holds")
        if row is not None and row.released_ns is not None and entry is None:
            raise LegalHoldError(f"the legal hold {hold_id} was already released by {row.released_by}")
        hold = LegalHold(hold_id, 0, "", "", None, None, None, None) if row is None else _hold(row)
        keys, released_ns = self._trail.keys, self._clock_ns()
        differs = entry is None or hold_seal(keys, hold, entry.key_id) != entry.seal
        proof = {SEAL: release_seal(keys, hold_id, released_ns, by), MISSING: row is None, DIFFERS: differs}
        self._record(AuditEventType.LEGAL_HOLD_RELEASE, hold, by, proof)
        self._flush()  # the entry must be in the database before the row changes
        with self._database.write() as connection:
            connection.execute(
                update(table).where(table.c.id == hold_id).values(released_ns=released_ns, released_by=by)
            )
        return hold

    def all(self, *, released: bool = False) -> list[LegalHold]:
        """Return the holds, oldest first; with `released`, also those that were released."""
        with self._database.read() as connection:
            return read_holds(connection, released=released)

    def _flush(self) -> None:
        self._trail.flush(self._trail.policy.mover.read_wait_s)

    def _record(self, event_type: AuditEventType, hold: LegalHold, by: str, proof: Mapping[str, Any]) -> None:
        self._trail.record(
            AuditEvent(
                event_type=event_type,
                user_id=by,
                resource_type="legal_hold",
                resource_id=hold.id,
                details={
                    "reason": hold.reason,
                    "data": hold.data_class or "all",
                    "one_person": hold.user_id is not None,
                    "from_ns": hold.from_ns,
                    "until_ns": hold.until_ns,
                    **proof,
                },
            )
        )


def read_holds(connection: Connection, *, released: bool = False) -> list[LegalHold]:
    """Return the holds, on an open connection."""
    table = table_of(LegalHoldRow)
    statement = select(table).order_by(table.c.created_ns, table.c.id)
    if not released:
        statement = statement.where(table.c.released_ns.is_(None))
    return [_hold(row) for row in connection.execute(statement)]


def held(
    holds: Sequence[LegalHold], data_class: str, time: ColumnElement[Any], user_id: ColumnElement[Any] | None
) -> ColumnElement[bool]:
    """Return the condition that a row is under a legal hold.

    Args:
        holds: The holds in force.
        data_class: The data class of the rows.
        time: The rows' column with nanoseconds since the epoch.
        user_id: The rows' column with the person. None: the rows name no person, and holds on a person's data do
            not cover them.
    """
    conditions: list[ColumnElement[bool]] = []
    for hold in holds:
        if hold.data_class not in (None, data_class) or (hold.user_id is not None and user_id is None):
            continue
        parts: list[ColumnElement[bool]] = [true()]
        if hold.user_id is not None and user_id is not None:
            parts.append(user_id.is_not_distinct_from(hold.user_id))
        if hold.from_ns is not None:
            parts.append(time >= hold.from_ns)
        if hold.until_ns is not None:
            parts.append(time < hold.until_ns)
        conditions.append(and_(*parts))
    return or_(false(), *conditions)


def _hold(row: Any) -> LegalHold:
    return LegalHold(**{name: getattr(row, name) for name in LegalHold.__dataclass_fields__})
