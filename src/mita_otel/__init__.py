"""An OpenTelemetry distribution for Python financial services.

    import mita_otel

    telemetry = mita_otel.configure()

The names below are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import version as _version

    from mita_otel.audit import (
        AuditEvent,
        AuditEventType,
        AuditOutcome,
        get_audit_trail,
        record_audit_event,
    )
    from mita_otel.errors import ConfigurationError
    from mita_otel.finance.api_request import monitor_api_request
    from mita_otel.finance.contexts import (
        clear_user,
        set_compliance_context,
        set_financial_user,
        set_request_context,
        set_transaction,
    )
    from mita_otel.finance.database_operation import monitor_database_operation
    from mita_otel.finance.decorator import MissingUserError, financial_operation_monitor
    from mita_otel.finance.dependency import request_operation
    from mita_otel.finance.errors import (
        capture_authentication_error,
        capture_budget_error,
        capture_compliance_error,
        capture_financial_error,
        capture_payment_error,
        capture_security_error,
        capture_transaction_error,
    )
    from mita_otel.finance.hand_over import context_to_carry, continue_context
    from mita_otel.finance.middleware import FinancialSentryMiddleware
    from mita_otel.finance.monitors import (
        financial_transaction_context,
        monitor_financial_operation,
        monitor_financial_performance,
    )
    from mita_otel.finance.names import FinancialErrorCategory, FinancialSeverity
    from mita_otel.finance.people import UserContext
    from mita_otel.finance.security import set_security_context
    from mita_otel.finance.trail import add_financial_breadcrumb
    from mita_otel.finance.transaction import FinancialContext
    from mita_otel.latency.facts import PerformanceCategory
    from mita_otel.policy import Policy, PolicyError, load_policy
    from mita_otel.processors.breach_signal import BreachListener, BreachReport
    from mita_otel.processors.log_redaction import LogRedactionProcessor
    from mita_otel.processors.metric_redaction import RedactedMetricExporter
    from mita_otel.processors.propagation import RedactedPropagator
    from mita_otel.processors.redaction import RedactionProcessor
    from mita_otel.processors.repeated_queries import RepeatedQueriesProcessor
    from mita_otel.processors.tail_sampling import TailSampler
    from mita_otel.processors.threshold import ThresholdProcessor
    from mita_otel.redaction import BeforeSend, RedactingFilter, Redactor
    from mita_otel.reports import export_compliance_report
    from mita_otel.sdk.configuration import configure
    from mita_otel.sdk.guide import (
        filter_sensitive_data,
        get_performance_summary,
        performance_monitor,
        sentry_context_manager,
        sentry_service,
    )
    from mita_otel.sdk.health.endpoints import health_app, health_router
    from mita_otel.sdk.mobile_gateway import mobile_app, mobile_router
    from mita_otel.sdk.telemetry import Telemetry
    from mita_otel.sentry.exporter import SentrySpanExporter

    __version__ = _version("mita-otel")

__all__ = [
    "AuditEvent",
    "AuditEventType",
    "AuditOutcome",
    "BeforeSend",
    "BreachListener",
    "BreachReport",
    "ConfigurationError",
    "FinancialContext",
    "FinancialErrorCategory",
    "FinancialSentryMiddleware",
    "FinancialSeverity",
    "LogRedactionProcessor",
    "MissingUserError",
    "PerformanceCategory",
    "Policy",
    "PolicyError",
    "RedactedMetricExporter",
    "RedactedPropagator",
    "RedactingFilter",
    "RedactionProcessor",
    "Redactor",
    "RepeatedQueriesProcessor",
    "SentrySpanExporter",
    "TailSampler",
    "Telemetry",
    "ThresholdProcessor",
    "UserContext",
    "__version__",
    "add_financial_breadcrumb",
    "capture_authentication_error",
    "capture_budget_error",
    "capture_compliance_error",
    "capture_financial_error",
    "capture_payment_error",
    "capture_security_error",
    "capture_transaction_error",
    "clear_user",
    "configure",
    "context_to_carry",
    "continue_context",
    "export_compliance_report",
    "filter_sensitive_data",
    "financial_operation_monitor",
    "financial_transaction_context",
    "get_audit_trail",
    "get_performance_summary",
    "health_app",
    "health_router",
    "load_policy",
    "mobile_app",
    "mobile_router",
    "monitor_api_request",
    "monitor_database_operation",
    "monitor_financial_operation",
    "monitor_financial_performance",
    "performance_monitor",
    "record_audit_event",
    "request_operation",
    "sentry_context_manager",
    "sentry_service",
    "set_compliance_context",
    "set_financial_user",
    "set_request_context",
    "set_security_context",
    "set_transaction",
]

_HOMES = {
    "AuditEvent": "mita_otel.audit",
    "AuditEventType": "mita_otel.audit",
    "AuditOutcome": "mita_otel.audit",
    "BeforeSend": "mita_otel.redaction",
    "BreachListener": "mita_otel.processors.breach_signal",
    "BreachReport": "mita_otel.processors.breach_signal",
    "ConfigurationError": "mita_otel.errors",
    "FinancialContext": "mita_otel.finance.transaction",
    "FinancialErrorCategory": "mita_otel.finance.names",
    "FinancialSentryMiddleware": "mita_otel.finance.middleware",
    "FinancialSeverity": "mita_otel.finance.names",
    "LogRedactionProcessor": "mita_otel.processors.log_redaction",
    "MissingUserError": "mita_otel.finance.decorator",
    "PerformanceCategory": "mita_otel.latency.facts",
    "Policy": "mita_otel.policy",
    "PolicyError": "mita_otel.policy",
    "RedactedMetricExporter": "mita_otel.processors.metric_redaction",
    "RedactedPropagator": "mita_otel.processors.propagation",
    "RedactingFilter": "mita_otel.redaction",
    "RedactionProcessor": "mita_otel.processors.redaction",
    "Redactor": "mita_otel.redaction",
    "RepeatedQueriesProcessor": "mita_otel.processors.repeated_queries",
    "SentrySpanExporter": "mita_otel.sentry.exporter",
    "TailSampler": "mita_otel.processors.tail_sampling",
    "Telemetry": "mita_otel.sdk.telemetry",
    "ThresholdProcessor": "mita_otel.processors.threshold",
    "UserContext": "mita_otel.finance.people",
    "add_financial_breadcrumb": "mita_otel.finance.trail",
    "capture_authentication_error": "mita_otel.finance.errors",
    "capture_budget_error": "mita_otel.finance.errors",
    "capture_compliance_error": "mita_otel.finance.errors",
    "capture_financial_error": "mita_otel.finance.errors",
    "capture_payment_error": "mita_otel.finance.errors",
    "capture_security_error": "mita_otel.finance.errors",
    "capture_transaction_error": "mita_otel.finance.errors",
    "clear_user": "mita_otel.finance.contexts",
    "configure": "mita_otel.sdk.configuration",
    "context_to_carry": "mita_otel.finance.hand_over",
    "continue_context": "mita_otel.finance.hand_over",
    "filter_sensitive_data": "mita_otel.sdk.guide",
    "financial_operation_monitor": "mita_otel.finance.decorator",
    "financial_transaction_context": "mita_otel.finance.monitors",
    "get_audit_trail": "mita_otel.audit",
    "get_performance_summary": "mita_otel.sdk.guide",
    "health_app": "mita_otel.sdk.health.endpoints",
    "health_router": "mita_otel.sdk.health.endpoints",
    "export_compliance_report": "mita_otel.reports",
    "load_policy": "mita_otel.policy",
    "mobile_app": "mita_otel.sdk.mobile_gateway",
    "mobile_router": "mita_otel.sdk.mobile_gateway",
    "monitor_api_request": "mita_otel.finance.api_request",
    "monitor_financial_operation": "mita_otel.finance.monitors",
    "monitor_database_operation": "mita_otel.finance.database_operation",
    "monitor_financial_performance": "mita_otel.finance.monitors",
    "performance_monitor": "mita_otel.sdk.guide",
    "record_audit_event": "mita_otel.audit",
    "request_operation": "mita_otel.finance.dependency",
    "sentry_context_manager": "mita_otel.sdk.guide",
    "sentry_service": "mita_otel.sdk.guide",
    "set_compliance_context": "mita_otel.finance.contexts",
    "set_financial_user": "mita_otel.finance.contexts",
    "set_request_context": "mita_otel.finance.contexts",
    "set_security_context": "mita_otel.finance.security",
    "set_transaction": "mita_otel.finance.contexts",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mita-otel")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'mita_otel' has no attribute {name!r}")
    from mita_otel.sdk.env_check import import_opentelemetry

    import_opentelemetry()
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
