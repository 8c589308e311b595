"""Built-in categories and severities. The policy can add categories as plain strings."""

from __future__ import annotations

from enum import Enum, StrEnum


class FinancialErrorCategory(StrEnum):
    """Category of an error. The policy sets its severity and can add categories."""

    AUTHENTICATION = "authentication"
    AUTHORIZATION = "authorization"
    TRANSACTION_PROCESSING = "transaction_processing"
    PAYMENT_PROCESSING = "payment_processing"
    ACCOUNT_MANAGEMENT = "account_management"
    BUDGET_CALCULATION = "budget_calculation"
    FINANCIAL_ANALYSIS = "financial_analysis"
    DATA_VALIDATION = "data_validation"
    EXTERNAL_INTEGRATION = "external_integration"
    SECURITY_VIOLATION = "security_violation"
    COMPLIANCE_ISSUE = "compliance_issue"
    SYSTEM_ERROR = "system_error"


class FinancialSeverity(StrEnum):
    """Severity of an error."""

    SECURITY_CRITICAL = "security_critical"
    """Security breaches, unauthorized access."""
    CRITICAL = "critical"
    """Payment failures, transaction errors."""
    HIGH = "high"
    """Authentication failures, system errors."""
    MEDIUM = "medium"
    """Validation errors, business logic issues."""
    LOW = "low"
    """Information, warnings."""


_ORDER = tuple(FinancialSeverity)


def name_of(member: Enum | str | None) -> str | None:
    """Return the name of a category or severity in the policy's spelling, from an enum member or a text."""
    if member is None:
        return None
    value = member.value if isinstance(member, Enum) else member
    return value.strip().lower() or None if isinstance(value, str) else None


def severity_of(member: Enum | str | None) -> FinancialSeverity | None:
    """Return the severity, or None if the name is unknown."""
    name = name_of(member)
    try:
        return FinancialSeverity(name) if name else None
    except ValueError:
        return None


def at_least(severity: FinancialSeverity, floor: str) -> bool:
    """Return whether a severity is at least `floor`."""
    return _ORDER.index(severity) <= _ORDER.index(FinancialSeverity(floor))
