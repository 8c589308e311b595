"""The guide's objects, for code that says `sentry_service.…`: other names for the functions of `mita_otel`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from mita_otel.audit.committer import AuditReceipt
from mita_otel.audit.current import get_audit_trail, record_audit_event
from mita_otel.audit.event import AuditEventType
from mita_otel.finance import breadcrumbs as trail
from mita_otel.finance import contexts, errors, manual_instrumentation, monitors, security
from mita_otel.finance.categories import FinancialErrorCategory, FinancialSeverity
from mita_otel.finance.runtime import running
from mita_otel.finance.user import UserContext, UserId
from mita_otel.latency.facts import PerformanceCategory
from mita_otel.latency.summary import Coverage, summarise
from mita_otel.policy import load_policy
from mita_otel.redaction import BeforeSend, Redactor
from mita_otel.reports import export_compliance_report
from mita_otel.sdk.configuration import configured
from mita_otel.sdk.performance import checked


def get_performance_summary(
    last_hours: float = 1, category: PerformanceCategory | str | None = None
) -> dict[str, Any]:
    """Return how fast the service was in the last hours (the guide's `get_performance_summary()`).

    Counts are of every span that was recorded, before tail sampling took any away. Percentiles come from mergeable
    sketches: `relative_error` says by how much of their value they may be off. `scope` says whether the numbers are
    of this process (`process`), or of every worker (`all_workers`), which takes a store. `sample_rate` below 1 says
    that traces were left out when they began (`sampling.mode = "head"`).

    Args:
        last_hours: Hours to look back on. A process remembers `summary.hours` of the policy, a store more.
        category: One category alone. None: all.

    Returns:
        JSON values: `start`, `end`, `scope`, `sample_rate`, `relative_error`; `count`, `errors`, `breaches`, `mean_ms`,
        `min_ms`, `max_ms`, `p50_ms`, `p90_ms`, `p95_ms`, `p99_ms` (None where nothing was measured); `slowest`, a list
        of spans with their trace ids; and `categories`, by name, with the same numbers and `operations`, by name,
        with the same numbers, `rule` and `limit_ms`. Without `configure()` there is nothing in it.

    Raises:
        ValueError: `last_hours` is not above 0, or there is no such category.
    """
    checked(last_hours, category)
    telemetry = configured()
    if telemetry is not None and telemetry.performance is not None:
        return telemetry.performance.summary(last_hours, category)
    now = time.time()
    return summarise([], Coverage(now - last_hours * 3600, now, "process"))


def filter_sensitive_data(event: Any, hint: Any = None) -> Any:
    """Return a redacted Sentry event. It can also be a client's `before_send`.

    Args:
        event: An event, or any mapping.
        hint: What sentry-sdk passes along.
    """
    telemetry = configured()
    redactor = telemetry.redactor if telemetry is not None else Redactor(load_policy())
    return BeforeSend(redactor)(event, {} if hint is None else hint)


class SentryService:
    """Errors and operations."""

    FinancialErrorCategory = FinancialErrorCategory
    FinancialSeverity = FinancialSeverity

    @property
    def initialized(self) -> bool:
        """Whether telemetry is configured, and errors are captured."""
        return running() is not None

    capture_financial_error = staticmethod(errors.capture_financial_error)
    capture_transaction_error = staticmethod(errors.capture_transaction_error)
    capture_authentication_error = staticmethod(errors.capture_authentication_error)
    capture_payment_error = staticmethod(errors.capture_payment_error)
    capture_budget_error = staticmethod(errors.capture_budget_error)
    capture_security_error = staticmethod(errors.capture_security_error)
    capture_compliance_error = staticmethod(errors.capture_compliance_error)
    monitor_financial_performance = staticmethod(monitors.monitor_financial_performance)
    performance_monitoring = staticmethod(monitors.monitor_financial_performance)
    add_financial_breadcrumb = staticmethod(trail.add_financial_breadcrumb)

    @staticmethod
    def set_financial_user_context(
        user_id: UserId,
        user_email: str | None = None,
        subscription_tier: str | None = None,
        account_type: str | None = None,
        risk_level: str | None = None,
    ) -> None:
        """Set the user; see `set_financial_user`."""
        contexts.set_financial_user(
            UserContext(user_id, user_email, subscription_tier, account_type, risk_level)
        )


class PerformanceMonitor:
    """Operations and requests."""

    monitor_financial_operation = staticmethod(monitors.monitor_financial_operation)
    monitor_financial_performance = staticmethod(monitors.monitor_financial_performance)
    monitor_api_request = staticmethod(manual_instrumentation.monitor_api_request)
    monitor_database_operation = staticmethod(manual_instrumentation.monitor_database_operation)
    get_performance_summary = staticmethod(get_performance_summary)


class SentryContextManager:
    """Contexts, the audit trail and reports of it."""

    set_financial_user = staticmethod(contexts.set_financial_user)
    set_financial_user_context = staticmethod(contexts.set_financial_user)
    clear_user = staticmethod(contexts.clear_user)
    set_transaction = staticmethod(contexts.set_transaction)
    set_request_context = staticmethod(contexts.set_request_context)
    set_compliance_context = staticmethod(contexts.set_compliance_context)
    set_security_context = staticmethod(security.set_security_context)
    add_financial_breadcrumb = staticmethod(trail.add_financial_breadcrumb)
    financial_transaction_context = staticmethod(monitors.financial_transaction_context)
    get_audit_trail = staticmethod(get_audit_trail)
    export_compliance_report = staticmethod(export_compliance_report)
    record_audit_event = staticmethod(record_audit_event)

    @staticmethod
    def _record_audit_event(
        event_type: AuditEventType | str,
        user_id: str | None = None,
        operation_name: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> AuditReceipt | None:
        """Record an event in the audit trail; see `record_audit_event`."""
        resource = None if operation_name is None else "operation"
        return record_audit_event(
            event_type, user_id, details, resource_type=resource, resource_id=operation_name
        )


sentry_service = SentryService()
performance_monitor = PerformanceMonitor()
sentry_context_manager = SentryContextManager()
