"""Every name of the MITA monitoring guide exists: a port changes only the module that names are imported from."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import mita_otel

IMPORTED = [
    "AuditEventType", "FinancialErrorCategory", "FinancialSentryMiddleware", "FinancialSeverity", "PerformanceCategory",
    "UserContext", "add_financial_breadcrumb", "capture_financial_error", "filter_sensitive_data",
    "financial_operation_monitor", "financial_transaction_context", "get_performance_summary", "monitor_api_request",
    "monitor_financial_operation", "monitor_financial_performance", "performance_monitor", "sentry_context_manager",
    "sentry_service", "set_compliance_context", "set_financial_user", "set_security_context",
]  # fmt: skip
"""Imported from a module of the application. In a port: `from mita_otel import …`."""

MEMBERS = {
    "AuditEventType": [
        "CONFIGURATION_CHANGE", "DATA_ACCESS", "DATA_EXPORT", "ERROR_OCCURRED", "PAYMENT_PROCESS", "SECURITY_EVENT",
        "TRANSACTION_CREATE", "TRANSACTION_DELETE", "TRANSACTION_UPDATE", "USER_LOGIN", "USER_LOGOUT",
    ],
    "FinancialErrorCategory": [
        "ACCOUNT_MANAGEMENT", "AUTHENTICATION", "AUTHORIZATION", "BUDGET_CALCULATION", "COMPLIANCE_ISSUE",
        "DATA_VALIDATION", "EXTERNAL_INTEGRATION", "FINANCIAL_ANALYSIS", "PAYMENT_PROCESSING", "SECURITY_VIOLATION",
        "SYSTEM_ERROR", "TRANSACTION_PROCESSING",
    ],
    "FinancialSeverity": ["CRITICAL", "HIGH", "LOW", "MEDIUM", "SECURITY_CRITICAL"],
    "PerformanceCategory": [
        "API_REQUEST", "AUTHENTICATION", "BUSINESS_LOGIC", "CACHE_OPERATION", "DATABASE_QUERY", "EXTERNAL_API",
        "FILE_PROCESSING", "FINANCIAL_CALCULATION",
    ],
    "performance_monitor": [
        "get_performance_summary", "monitor_api_request", "monitor_database_operation", "monitor_financial_operation",
    ],
    "sentry_context_manager": [
        "_record_audit_event", "export_compliance_report", "get_audit_trail", "set_compliance_context",
        "set_financial_user_context", "set_security_context",
    ],
    "sentry_service": [
        "FinancialErrorCategory", "FinancialSeverity", "add_financial_breadcrumb", "capture_authentication_error",
        "capture_budget_error", "capture_financial_error", "capture_payment_error", "capture_transaction_error",
        "initialized", "performance_monitoring", "set_financial_user_context",
    ],
}  # fmt: skip
"""Members of the imported names, in the guide and in the MITA application."""

ARGUMENTS = {
    "add_financial_breadcrumb": ["message", "data"],
    "capture_financial_error": [
        "exception", "category", "severity", "user_id", "transaction_id", "amount", "currency", "request",
        "additional_context", "additionalContext",
    ],
    "financial_operation_monitor": ["operation_name", "category", "track_performance", "require_user"],
    "financial_transaction_context": ["user_id", "operation", "transaction_id", "amount", "currency"],
    "get_performance_summary": ["last_hours", "category"],
    "monitor_api_request": ["request", "user_id", "additional_context"],
    "monitor_financial_operation": ["operation_name", "user_id", "additional_context"],
    "monitor_financial_performance": ["operation_name", "operation_type", "user_id", "transaction_data"],
    "sentry_context_manager._record_audit_event": ["event_type", "user_id", "operation_name", "details"],
    "sentry_context_manager.export_compliance_report": ["output_file", "user_id", "days_back"],
    "sentry_context_manager.get_audit_trail": ["user_id", "event_type", "hours_back"],
    "sentry_service.set_financial_user_context": [
        "user_id", "user_email", "subscription_tier", "account_type", "risk_level",
    ],
    "set_compliance_context": ["regulation", "requirement", "status", "details"],
    "set_financial_user": ["user"],
    "set_security_context": ["event_type", "severity", "details", "user_id"],
    "UserContext": [
        "user_id", "email", "subscription_tier", "account_type", "risk_level", "location", "last_login", "device_info",
        "session_id", "ip_address",
    ],
}  # fmt: skip
"""Keyword arguments that the guide or the MITA application passes."""

SCRIPTS = {
    "setup_sentry_alerts": ["--org", "--project", "--environment", "--validate-only", "--list-rules"],
    "test_sentry_integration": [],
    "test_pagerduty_integration": [],
    "generate_performance_report": ["--days"],
    "generate_compliance_report": ["--month"],
}
"""Scripts with the options that the guide passes. `python scripts/NAME.py` becomes `NAME`."""


def found(name: str) -> Any:
    value: Any = mita_otel
    for part in name.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("name", IMPORTED)
def test_each_imported_name_exists(name: str) -> None:
    assert name in mita_otel.__all__  # type: ignore[attr-defined]  # made on request


@pytest.mark.parametrize(("name", "member"), [(name, one) for name, all_ in MEMBERS.items() for one in all_])
def test_each_member_exists(name: str, member: str) -> None:
    assert hasattr(found(name), member)


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS.items())
def test_each_function_accepts_the_arguments(name: str, arguments: list[str]) -> None:
    inspect.signature(found(name)).bind(**dict.fromkeys(arguments))


def test_values_of_the_application_select_a_category() -> None:
    category = mita_otel.PerformanceCategory
    assert category("api_request") is category.API_REQUEST is category.API
    assert mita_otel.get_performance_summary(1, "database_query") is not None
    with pytest.raises(ValueError, match="there is no category 'nope'"):
        mita_otel.get_performance_summary(1, "nope")


@pytest.mark.parametrize(("script", "options"), SCRIPTS.items())
def test_each_script_is_installed_with_its_options(script: str, options: list[str]) -> None:
    assert {one.name for one in entry_points(group="console_scripts")} >= {script}
    if options:
        path = Path(sys.executable).with_name(script)
        shown = subprocess.run(
            [path, "--help"],
            capture_output=True,
            text=True,
            check=True,
            env={"COLUMNS": "200", "NO_COLOR": "1"},
        )
        assert [one for one in options if one not in shown.stdout] == []
