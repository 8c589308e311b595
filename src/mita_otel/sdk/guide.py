"""The guide's objects, for code that says `sentry_service.…`: other names for the functions of `mita_otel`."""

from __future__ import annotations

from typing import Any

from mita_otel.audit.current import get_audit_trail, record_audit_event
from mita_otel.finance import api_request, contexts, errors, monitors, security, trail
from mita_otel.finance.runtime import running
from mita_otel.policy import load_policy
from mita_otel.redaction import BeforeSend, Redactor
from mita_otel.reports import export_compliance_report
from mita_otel.sdk.configuration import configured
from mita_otel.sdk.performance_summary import get_performance_summary


def filter_sensitive_data(event: Any, hint: Any = None) -> Any:
    """Return a Sentry event without the secrets in it, as everything is redacted; also a `before_send` of its own.

    Args:
        event: An event, or any mapping.
        hint: What sentry-sdk passes along.
    """
    telemetry = configured()
    redactor = telemetry.redactor if telemetry is not None else Redactor(load_policy())
    return BeforeSend(redactor)(event, {} if hint is None else hint)


class SentryService:
    """Errors and operations."""

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
    add_financial_breadcrumb = staticmethod(trail.add_financial_breadcrumb)


class PerformanceMonitor:
    """Operations and requests."""

    monitor_financial_operation = staticmethod(monitors.monitor_financial_operation)
    monitor_financial_performance = staticmethod(monitors.monitor_financial_performance)
    monitor_api_request = staticmethod(api_request.monitor_api_request)
    get_performance_summary = staticmethod(get_performance_summary)


class SentryContextManager:
    """Contexts, the audit trail and reports of it."""

    set_financial_user = staticmethod(contexts.set_financial_user)
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
    _record_audit_event = staticmethod(record_audit_event)  # as the guide writes it


sentry_service = SentryService()
performance_monitor = PerformanceMonitor()
sentry_context_manager = SentryContextManager()
