"""Applies the retention policy: deletes data past its retention period, and records it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from mita_otel.audit.event import AuditEvent, AuditEventType, AuditOutcome
from mita_otel.audit.retention.entry_purge import AuditPurge
from mita_otel.audit.retention.holds import read_holds
from mita_otel.audit.retention.rollup import RollUp, RowPurge, kept_tables
from mita_otel.audit.trail import AuditTrail
from mita_otel.audit.verification.holds import hold_faults
from mita_otel.errors import ConfigurationError
from mita_otel.policy.storage import DATA_CLASSES, RetentionPolicy, SummaryPolicy
from mita_otel.store.database import Database
from mita_otel.store.tables import AuditEntryRow, table_of
from mita_otel.store.telemetry_tables import LatencyWindowRow

_DAY: Final = 86_400 * 1_000_000_000

OnProgress = Callable[[str, int], None]
"""Called with the name of a table and how many of its rows were deleted."""


class RetentionError(ConfigurationError):
    """Nothing was deleted. The message says why."""


@dataclass(slots=True)
class RetentionResult:
    """What was deleted, or would be in a dry run."""

    dry_run: bool
    now_ns: int
    deleted: dict[str, int] = field(default_factory=dict)
    """Deleted rows by table."""
    before_ns: dict[str, int] = field(default_factory=dict)
    """By data class: older data are past their retention period."""
    tombstones: int = 0
    holds: int = 0
    """Legal holds in force."""
    rolled_up: int = 0
    """Latency windows that were merged into longer ones."""
    refused: list[str] = field(default_factory=list)
    """A sentence for each chain that does not verify and was not purged."""

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "dry_run": self.dry_run,
            "deleted": dict(self.deleted),
            "before_ns": dict(self.before_ns),
            "tombstones": self.tombstones,
            "holds": self.holds,
            "rolled_up": self.rolled_up,
            "refused": list(self.refused),
        }


class RetentionJob:
    """Applies the policy to a store.

    Args:
        policy: The retention periods.
        summaries: How latency windows are merged.
        database: The store.
        trail: Records the run. Its keys sign the tombstones.
        clock_ns: Nanoseconds since the epoch.
    """

    def __init__(
        self,
        policy: RetentionPolicy,
        summaries: SummaryPolicy,
        database: Database,
        trail: AuditTrail,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._policy = policy
        self._summaries = summaries
        self._database = database
        self._trail = trail
        self._clock_ns = clock_ns

    def apply(
        self,
        *,
        dry_run: bool = False,
        trust_clock: bool = False,
        by: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> RetentionResult:
        """Delete data past their retention period, in small batches, except data under a legal hold.

        Args:
            dry_run: Only count rows.
            trust_clock: Skip the check of the clock.
            by: Who runs it, for the audit trail.
            on_progress: Called after each table.

        Raises:
            RetentionError: The clock looks wrong, or a legal hold differs from its entries.
            StoreUnavailableError: The database does not answer. The next run continues.
        """
        now_ns = self._clock_ns()
        with self._database.read() as connection:
            problem = clock_problem(connection, now_ns, self._policy.max_clock_ahead_days)
            faults = list(hold_faults(connection, self._trail.keys))
        if problem is not None and not trust_clock:
            raise RetentionError(
                f"nothing was deleted: {problem}. Correct the clock, or run with --trust-clock if it is correct"
            )
        if faults:
            raise RetentionError(
                f"nothing was deleted: {'; '.join(faults)}. Place the hold again (mita-otel retention hold), and release "
                "the one named here"
            )
        applied = RetentionResult(dry_run, now_ns)
        applied.before_ns = {name: now_ns - self._policy.days(name) * _DAY for name in DATA_CLASSES}
        self._apply_to_trail(applied, on_progress)
        self._apply_to_rows(applied, on_progress)
        with self._database.read() as connection:
            applied.holds = len(read_holds(connection))
        if not dry_run:
            applied.rolled_up = RollUp(self._database, self._summaries).roll_up(
                now_ns / 1e9,
                minutes_after_days=self._policy.minutes_after_days,
                hours_after_days=self._policy.hours_after_days,
            )
            self._record(applied, by)
        return applied

    def _apply_to_trail(self, applied: RetentionResult, on_progress: OnProgress | None) -> None:
        purge = AuditPurge(self._database, self._trail.keys, max_batch=self._policy.max_batch)
        deleted = 0 if applied.dry_run else purge.finish_interrupted()
        reason = f"past the retention period of {self._policy.audit_days} days"
        for stretch in purge.stretches(applied.before_ns["audit"]):
            purged = (
                stretch.entries
                if applied.dry_run
                else purge.purge(stretch, now_ns=applied.now_ns, reason=reason)
            )
            applied.tombstones += purged > 0
            deleted += purged
            if on_progress is not None:
                on_progress("mita_audit_entries", deleted)
        applied.deleted["mita_audit_entries"] = deleted
        applied.refused = purge.refused

    def _apply_to_rows(self, applied: RetentionResult, on_progress: OnProgress | None) -> None:
        purge = RowPurge(self._database, max_batch=self._policy.max_batch)
        for kept in kept_tables():
            act = purge.count if applied.dry_run else purge.purge
            count = act(kept, applied.before_ns[kept.data_class])
            applied.deleted[kept.table.name] = count
            if on_progress is not None:
                on_progress(kept.table.name, count)

    def _record(self, applied: RetentionResult, by: str | None) -> None:
        self._trail.record(
            AuditEvent(
                event_type=AuditEventType.RETENTION_APPLY,
                user_id=by,
                outcome=AuditOutcome.FAILURE if applied.refused else AuditOutcome.SUCCESS,
                resource_type="store",
                details=applied.as_dict(),
            )
        )


_SECOND: Final = 1_000_000_000

_SERVER_S: Final = func.extract("epoch", func.clock_timestamp())
_SERVER_MAY_DIFFER: Final = 3600 * _SECOND


def clock_problem(connection: Connection, now_ns: int, allowance_days: int) -> str | None:
    """Return why the clock looks wrong. None: it looks right.

    With a clock that jumped forward, all data would be deleted at once. Two signs reveal it: the database server
    has a different time, or nothing was recorded for longer than `allowance_days` before the last `allowance_days`.
    A service that was really off for so long must run that long again first.

    Args:
        connection: The store.
        now_ns: The time of this machine's clock, nanoseconds since the epoch.
        allowance_days: How far the clock may be ahead.
    """
    if connection.dialect.name != "sqlite":
        server_ns = int(connection.execute(select(_SERVER_S)).scalar_one() * _SECOND)
        if abs(server_ns - now_ns) > _SERVER_MAY_DIFFER:
            return f"the clock says {_day(now_ns)}, the database server's says {_day(server_ns)}"
    allowed_ns = now_ns - allowance_days * _DAY
    newest_ns = _newest_before(connection, allowed_ns)
    if newest_ns is not None and allowed_ns - newest_ns > allowance_days * _DAY:
        return (
            f"the clock says {_day(now_ns)}, but nothing was recorded between {_day(newest_ns)} and "
            f"{_day(allowed_ns)}: it may have been stepped forward"
        )
    return None


def _newest_before(connection: Connection, before_ns: int) -> int | None:
    entries, windows = table_of(AuditEntryRow), table_of(LatencyWindowRow)
    found = [
        connection.scalar(select(func.max(entries.c.recorded_ns)).where(entries.c.recorded_ns < before_ns)),
        connection.scalar(
            select(func.max(windows.c.start_s) * _SECOND).where(windows.c.start_s < before_ns // _SECOND)
        ),
    ]
    return max((int(one) for one in found if one is not None), default=None)


def _day(ns: int) -> str:
    return datetime.fromtimestamp(ns / _SECOND, UTC).strftime("%Y-%m-%d %H:%M UTC")
