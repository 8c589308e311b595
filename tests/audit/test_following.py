"""Following the trail shows late entries too, and no entry twice."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from audit.kit import Kit, changed
from mita_otel import AuditEvent
from mita_otel.audit.reader import AuditFilter, AuditReader, Follower

SECOND = 10**9
SLOW = changed(audit__mover__delay_ms=3_600_000.0)


def test_late_entries_of_another_process_are_shown_once(tmp_path: Path, database_url: str) -> None:
    now = [1_800_000_000 * SECOND]
    with (
        closing(Kit(tmp_path / "slow", url=database_url, policy=SLOW, clock_ns=lambda: now[0])) as slow,
        closing(Kit(tmp_path / "quick", url=database_url, clock_ns=lambda: now[0])) as quick,
    ):
        reader = AuditReader(lambda: quick.database, quick.trail, migrate=True)
        late = slow.trail.record(AuditEvent(event_type="late"))
        now[0] += 5 * SECOND
        quick.trail.record(AuditEvent(event_type="first"))
        shown = reader.recent(AuditFilter(), hours_back=None, limit=1, reader=None)
        follower = Follower(reader, shown)
        assert late is not None
        before = [one.event_type for one in follower.newer()]
        assert slow.trail.flush(60)
        now[0] += SECOND
        quick.trail.record(AuditEvent(event_type="second"))
        assert quick.trail.flush(60)
        came = [*before, *(one.event_type for one in follower.newer())]
        assert came.count("late") == came.count("second") == 1
        assert "first" not in came
        assert [*follower.newer()] == []


def test_an_empty_trail_can_be_followed(tmp_path: Path) -> None:
    with closing(Kit(tmp_path)) as kit:
        reader = AuditReader(lambda: kit.database, kit.trail, migrate=True)
        follower = Follower(reader, [])
        assert follower.newer() == []
        kit.trail.record(AuditEvent(event_type="test"))
        assert kit.trail.flush(60)
        assert [one.event_type for one in follower.newer()] == ["audit_start", "configuration_change", "test"]
