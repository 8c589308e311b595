"""Makes reports for whoever asks: the command line, and the guide's function."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from mita_otel.audit.anchors import read_anchors
from mita_otel.audit.current import current_room
from mita_otel.audit.event import AuditEvent, AuditEventType
from mita_otel.audit.starting import AuditRoom, anchor_path
from mita_otel.policy import Policy
from mita_otel.reports.model import Report, ReportKind
from mita_otel.reports.period import last_days
from mita_otel.reports.scope import Scope
from mita_otel.reports.writing import format_of, write_report


def make_report(
    kind: ReportKind,
    scope: Scope,
    room: AuditRoom,
    policy: Policy,
    *,
    verified: bool = True,
    now: datetime | None = None,
    by: str | None = None,
    on_progress: Callable[[str], None] | None = None,
    on_verified: Callable[[int, int], None] | None = None,
) -> Report:
    """Make a report from the store. That it was made is an entry of the audit trail.

    Args:
        kind: Which.
        scope: What of; a person by the id that the service knows them by.
        room: The audit trail, and the store.
        policy: The policy.
        verified: Whether the audit trail is verified, if the report shows it.
        now: None: now.
        by: Who asks, for the audit trail.
        on_progress: Told what is being done.
        on_verified: Told how many entries of how many are verified.

    Raises:
        StoreError: The store cannot be used: its extra is not installed, or the database does not answer.
        AuditError: The anchors cannot be read.
    """
    database = room.database()
    from mita_otel.audit.verify import verify
    from mita_otel.reports.build import Workplace, build_report
    from mita_otel.store.migrate import require

    require(database, migrate=policy.store.migrate)
    room.trail.flush(policy.audit.mover.read_wait_s)
    anchors = anchor_path(policy, os.environ)
    if scope.user_id is not None:
        scope = Scope(scope.period, scope.service, scope.environment, room.trail.user_id(scope.user_id))
    workplace = Workplace(
        database=database,
        policy=policy,
        now=now or datetime.now(UTC),
        verify=(
            lambda: verify(
                database,
                room.keys,
                anchors=read_anchors(anchors) if anchors.exists() else (),
                spool=room.folder,
                on_progress=on_verified,
            )
        )
        if verified
        else None,
        waiting_bytes=room.folder.waiting_bytes(),
        on_progress=on_progress or (lambda what: None),
    )
    report = build_report(kind, scope, workplace)
    room.trail.record(
        AuditEvent(
            event_type=AuditEventType.REPORT_EXPORT,
            user_id=by,
            resource_type="report",
            resource_id=kind,
            details={"start": report.start, "end": report.end, "of_one_person": scope.user_id is not None},
        )
    )
    return report


def export_compliance_report(
    output_file: str | os.PathLike[str],
    user_id: str | None = None,
    days_back: int = 30,
    *,
    reader: str | None = None,
) -> Path:
    """Write a compliance report of the last days to a file.

    Its format is that of the file's ending: `.json`, `.csv`, `.md` or `.html`. The audit trail is verified.

    Args:
        output_file: The file.
        user_id: Audit entries and errors of this person alone.
        days_back: Days to look back on.
        reader: Who asks, for the entry about the export.

    Returns:
        The file's path.

    Raises:
        AuditUnavailableError: There is no audit trail: `configure()` has not been called, or it is off.
        StoreError: The store cannot be used.
        ConfigurationError: The file's ending names no format, or `days_back` is not above 0.
        OSError: The file cannot be written.
    """
    room = current_room()
    path = Path(output_file)
    format_of(path)
    now = datetime.now(UTC)
    scope = Scope(last_days(days_back, now), user_id=user_id)
    return write_report(make_report("compliance", scope, room, room.policy, now=now, by=reader), path)
