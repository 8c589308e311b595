"""Categories and severities under the guide's names; a team's own are plain strings from the policy."""

from __future__ import annotations

from enum import Enum, StrEnum


class FinancialErrorCategory(StrEnum):
    """What kind of thing went wrong. The policy says how bad that is, and may know more categories."""

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
    """How bad it is."""

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
    """Return a category's or severity's name as the policy writes it, from an enumeration of any kind or a text."""
    if member is None:
        return None
    value = member.value if isinstance(member, Enum) else member
    return value.strip().lower() or None if isinstance(value, str) else None


def severity_of(member: Enum | str | None) -> FinancialSeverity | None:
    """Return the severity, or None if there is none of that name."""
    name = name_of(member)
    try:
        return FinancialSeverity(name) if name else None
    except ValueError:
        return None


def at_least(severity: FinancialSeverity, floor: str) -> bool:
    """Return whether a severity is as bad as `floor`, or worse."""
    return _ORDER.index(severity) <= _ORDER.index(FinancialSeverity(floor))
