"""Categories and severities, and the policy's tables that choose them: operations by route, categories by operation.

The policy can add categories as plain strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, StrEnum
from functools import lru_cache

from mita_otel.policy.finance import FinancePolicy

_WORD = re.compile(r"[a-z]+|[A-Z][a-z]*|\d+")
_MAX_REMEMBERED = 2048


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


class OperationTable:
    """Looks up operations and categories.

    Args:
        policy: The tables.
    """

    def __init__(self, policy: FinancePolicy) -> None:
        self._policy = policy
        self._pci = frozenset(policy.pci_segments)
        self._declared: dict[str, tuple[str | None, FinancialSeverity | None]] = {}
        # Only templates are cached: they are few, while raw paths vary and may contain secrets.
        self._of_route = lru_cache(maxsize=_MAX_REMEMBERED)(self._find)
        self._of_name = lru_cache(maxsize=_MAX_REMEMBERED)(self._find_category)

    def of_route(self, method: str, route: str) -> str | None:
        """Return the operation of a route's template, or None."""
        return self._of_route(method, route)

    def of_path(self, method: str, path: str) -> str | None:
        """Return the operation of a path without a known route."""
        return self._find(method, path)

    def of_tags(self, tags: Iterable[object]) -> str | None:
        """Return the first of a route's tags that is a category."""
        return next((str(tag) for tag in tags if str(tag) in self._policy.categories), None)

    def handles_cards(self, route: str) -> bool:
        """Return whether a route or path processes cardholder data."""
        return not self._pci.isdisjoint(route.split("/"))

    def category(self, operation: str | None) -> str | None:
        """Return the category of an operation: its name if that is a category, or by a word in it."""
        return self._of_name(operation) if operation else None

    def declare(self, operation: str, category: str | None, severity: FinancialSeverity | None) -> None:
        """Remember the category and severity that the application gives an operation. Bounded."""
        if operation in self._declared or len(self._declared) < self._policy.metrics.max_names:
            self._declared[operation] = (category, severity)

    def declared(self, operation: str | None) -> tuple[str | None, FinancialSeverity | None]:
        """Return the category and severity that the application gave an operation, or those of the tables."""
        category, severity = self._declared.get(operation or "", (None, None))
        return category or self.category(operation), severity

    def severity(self, category: str) -> FinancialSeverity:
        """Return the severity of a category; of an unknown category, that of `system_error`."""
        categories = self._policy.categories
        return FinancialSeverity(categories.get(category) or categories.get("system_error", "high"))

    def _find(self, method: str, route: str) -> str | None:
        rules = self._policy.routes
        exact = rules.get(f"{method} {route}") or rules.get(f"* {route}")
        if exact is not None:
            return exact
        segments = [segment for segment in route.split("/") if segment and not segment.startswith("{")]
        for rule_method in (method, "*"):
            for segment in reversed(segments):
                found = rules.get(f"{rule_method} {segment}")
                if found is not None:
                    return found
        return None

    def _find_category(self, operation: str) -> str | None:
        if operation in self._policy.categories:
            return operation
        words = (word.lower() for word in _WORD.findall(operation))
        return next((self._policy.words[word] for word in words if word in self._policy.words), None)
