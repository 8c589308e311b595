"""Installs the audit trail, its retention, and the financial API whose operations it records."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from mita_otel import environment_variables as variables
from mita_otel.audit.errors import AuditWriteError
from mita_otel.audit.installed import LazyAudit
from mita_otel.audit.installed import install as install_audit
from mita_otel.finance.middleware import (
    complete_failure,
)
from mita_otel.finance.runtime import FinanceRuntime
from mita_otel.finance.runtime import install as install_finance
from mita_otel.instrumentation.asgi import at_each_response
from mita_otel.policy import Policy
from mita_otel.processors.queues.stage import Stage
from mita_otel.sdk.financial_audit import FinancialAudit
from mita_otel.sdk.service import Service

if TYPE_CHECKING:
    from mita_otel.audit.runtime import AuditRuntime
    from mita_otel.sdk.composition import Additions


def start_audit(service: Service, additions: Additions) -> LazyAudit | None:
    """Install the audit trail, and start it if policy or environment say so.

    Never raises: a failure is logged now, and raised to callers that record an event.
    """
    service.patches.add(lambda: install_audit(None))
    policy, env = service.policy, service.env
    if policy.audit.start == "off":
        install_audit(None)
        return None

    def build() -> AuditRuntime:
        from mita_otel.audit.runtime import AuditRuntime

        return AuditRuntime(
            policy,
            service.redactor,
            environment=service.environment,
            service=service.name,
            env=env,
            on_recorded=additions.on_audit_entry,
            move_on_demand=additions.move_audit_on_demand,
        )

    audit = LazyAudit(build)
    install_audit(audit)
    if policy.audit.start == "configure" or env.get(variables.DATABASE_URL, "").strip():
        with suppress(AuditWriteError):  # already logged
            audit.runtime.trail.start()
    elif env.get(variables.AUDIT_KEY, "").strip():
        _ = audit.runtime  # an unusable key is logged now, not with the first entry
    return audit


def retention_stage(policy: Policy, audit: LazyAudit | None) -> Stage | None:
    """Return the daily application of retention. None: the policy switches it off."""
    if policy.retention.schedule == "off":
        return None
    from mita_otel.audit.retention.schedule import start_retention

    return start_retention(policy, audit)


def start_finance(service: Service, audit: LazyAudit | None) -> None:
    """Install the runtime of the financial API. Its operations are audited if there is an audit trail."""
    policy = service.policy
    if audit is None:
        runtime = FinanceRuntime(policy.finance)
    else:
        sink = FinancialAudit(policy.audit, audit)
        runtime = FinanceRuntime(policy.finance, audit=sink, wants_access=sink.wants_access)
    install_finance(runtime)
    at_each_response(service.patches, complete_failure)
    service.patches.add(lambda: install_finance(None))
