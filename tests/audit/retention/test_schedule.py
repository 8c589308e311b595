"""Retention runs daily, at the policy's time, in one process; a failure is logged."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit.kit import changed
from audit.retention.kit import DAY_NS, NOW_NS, Store, store
from mita_otel.audit.retention.apply import RetentionJob
from mita_otel.audit.retention.schedule import DailyRetention
from mita_otel.policy import default_policy
from mita_otel.store import StoreError
from mita_otel.store.lease import Lease
from mita_otel.store.telemetry_tables import SpanRow

POLICY = default_policy().retention


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-01T00:00", "2026-11-01T03:15"),
        ("2026-11-01T03:15", "2026-11-02T03:15"),
        ("2026-12-31T23:59", "2027-01-01T03:15"),
    ],
)
def test_the_next_run_is_at_the_policys_time(now: str, due: str) -> None:
    daily = DailyRetention(POLICY, lambda: pytest.fail("not now"))
    assert daily.next_run(datetime.fromisoformat(now).replace(tzinfo=UTC)) == datetime.fromisoformat(
        due
    ).replace(tzinfo=UTC)


def opened(kept: Store, holder: str) -> tuple[RetentionJob, Lease]:
    return kept.retention, Lease(kept.kit.database, "retention", holder, clock_ns=kept.clock_ns)


def test_one_of_several_processes_applies_retention(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        kept.put(SpanRow, start_ns=NOW_NS - 40 * DAY_NS)
        first = DailyRetention(POLICY, lambda: opened(kept, "one"))
        second = DailyRetention(POLICY, lambda: opened(kept, "two"))
        assert first.run_once()
        assert not second.run_once()
        assert kept.count(SpanRow) == 0
        kept.set_clock(1)
        assert second.run_once()


def test_a_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> tuple[RetentionJob, Lease]:
        raise StoreError("the store is not there")

    assert not DailyRetention(POLICY, broken).run_once()
    assert "retention: the store is not there" in caplog.text
    assert not DailyRetention(POLICY, lambda: 1 / 0).run_once()  # type: ignore[arg-type,return-value]
    assert "the next attempt is tomorrow" in caplog.text


def test_the_policy_starts_retention_and_shutdown_ends_it(
    isolated_telemetry: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from mita_otel import configure

    monkeypatch.chdir(tmp_path)
    telemetry = configure(policy=changed(retention__schedule="daily"), exporters=["none"])
    assert "mita-otel-retention" in [thread.name for thread in threading.enumerate()]
    telemetry.shutdown(1)
