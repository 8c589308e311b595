"""Security events, counts of failed logins, and attacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mita_otel import semconv
from mita_otel.finance.attribute_values import attribute_mapping
from mita_otel.finance.audit_signal import notify_audit
from mita_otel.finance.capture import same_user
from mita_otel.finance.categories import FinancialErrorCategory, FinancialSeverity, at_least, severity_of
from mita_otel.finance.events import NO_EVENT, EventId, FinancialEvent, prepare, send
from mita_otel.finance.facts import Facts, known_facts
from mita_otel.finance.runtime import FinanceRuntime, running
from mita_otel.finance.user import UserId


def set_security_context(
    event_type: str,
    severity: FinancialSeverity | str = FinancialSeverity.MEDIUM,
    details: Mapping[str, Any] | None = None,
    user_id: UserId | None = None,
) -> EventId:
    """Record a security event. Later errors of the request are not affected.

    It becomes a log record named `mita.security`, and an issue in Sentry from the severity
    `finance.security.issue_from` on. Failed logins are counted by user and by address: too many within the policy's
    window are reported as an attack, once per window.

    Args:
        event_type: For example `failed_login`.
        severity: Severity of the event.
        details: For example `ip_address`, `user_agent`, `attempt_count`; redacted before export.
        user_id: The affected account. It does not become the user of this request, because there was no login.

    Returns:
        The event's id. Empty if it is only a log record, or telemetry is off.
    """
    runtime = running()
    if runtime is None:
        return NO_EVENT
    event_id = runtime.guard(
        "set_security_context", report_security, runtime, event_type, severity, details, user_id
    )
    return event_id if isinstance(event_id, EventId) else NO_EVENT


def report_security(
    runtime: FinanceRuntime,
    event_type: str,
    severity: FinancialSeverity | str = FinancialSeverity.MEDIUM,
    details: Mapping[str, Any] | None = None,
    user_id: UserId | None = None,
) -> EventId:
    """Send a security event; see `set_security_context`."""
    kind = str(event_type).strip()
    level = severity_of(severity) or FinancialSeverity.MEDIUM
    known = attribute_mapping(details, runtime.policy.context)
    facts = known_facts()
    if user_id is not None:
        facts = facts.replace(user=same_user(facts.user, user_id))
    attempts, attack = _count(runtime, kind, known, facts)
    event_id = _send(runtime, kind, level, known, facts, attempts)
    if attack:
        policy = runtime.policy.security.brute_force
        _send(runtime, policy.event_type, FinancialSeverity(policy.severity), known, facts, attempts)
    return event_id


def _count(
    runtime: FinanceRuntime, kind: str, details: Mapping[str, Any], facts: Facts
) -> tuple[int | None, bool]:
    """Return the number of failures, and whether to report an attack."""
    policy = runtime.policy.security.brute_force
    user_key = f"user {facts.user.id}" if facts.user is not None else None
    if kind in policy.successes and user_key is not None:
        runtime.failures.forget(user_key)
    if kind not in policy.failures:
        return None, False
    address = next((str(details[name]) for name in policy.address_keys if details.get(name)), None)
    keys = [key for key in (user_key, f"address {address}" if address else None) if key]
    claims = [count for name in policy.attempt_keys if type(count := details.get(name)) is int]
    return runtime.failures.add(*keys, claimed=max(claims, default=0))


def _send(
    runtime: FinanceRuntime,
    kind: str,
    severity: FinancialSeverity,
    details: Mapping[str, Any],
    facts: Facts,
    attempts: int | None,
) -> EventId:
    logins = runtime.policy.security.brute_force
    is_login = kind in logins.failures or kind in logins.successes
    category = (
        FinancialErrorCategory.AUTHENTICATION if is_login else FinancialErrorCategory.SECURITY_VIOLATION
    )
    is_issue = at_least(severity, runtime.policy.security.issue_from)
    event_id = EventId.new() if is_issue else NO_EVENT
    attributes: dict[str, Any] = {semconv.SECURITY_EVENT_TYPE: kind}
    security: dict[str, Any] = {"event_type": kind, "severity": severity.value, **details}
    if attempts is not None:
        attributes[semconv.SECURITY_ATTEMPTS] = security["attempts"] = attempts
    happening = FinancialEvent(
        name=semconv.SECURITY_EVENT,
        message=f"security event: {kind}",
        severity=severity,
        category=category.value,
        event_id=event_id or None,
        facts=facts,
        attributes=attributes,
        contexts={"security": security},
        tags={"security_event": kind},
        fingerprint=[category.value, kind],
    )
    sending = prepare(happening, runtime)
    send(sending, runtime)
    runtime.counts.security_event(kind, category.value, severity.value)
    notify_audit(
        runtime,
        happening.facts,
        sending.span_context,
        kind="security",
        name=kind,
        outcome="success" if kind in logins.successes else "failure",
        category=category.value,
        severity=severity.value,
        event_id=event_id or None,
        details=security,
    )
    return event_id
