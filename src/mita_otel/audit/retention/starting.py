"""Puts retention together from the policy, for the process that is to apply it every day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mita_otel.audit.retention.schedule import DailyRetention, this_process
from mita_otel.audit.starting import AuditRoom
from mita_otel.policy import Policy

if TYPE_CHECKING:
    from mita_otel.audit.retention.apply import Retention
    from mita_otel.store.lease import Lease


def start_retention(policy: Policy, audit: AuditRoom | None) -> DailyRetention | None:
    """Start daily retention if `retention.schedule` says so.

    Returns:
        What has to be shut down; None: cron does it, or nobody, or there is no audit trail to record it in.
    """
    if policy.retention.schedule != "daily" or audit is None:
        return None
    holder = this_process()

    def open_retention() -> tuple[Retention, Lease]:
        database = audit.database()
        from mita_otel.audit.retention.apply import Retention
        from mita_otel.store.lease import Lease
        from mita_otel.store.migrate import require

        require(database, migrate=policy.store.migrate)
        retention = Retention(policy.retention, policy.summary, database, audit.trail)
        return retention, Lease(database, "retention", holder)

    daily = DailyRetention(policy.retention, open_retention)
    daily.start()
    return daily
