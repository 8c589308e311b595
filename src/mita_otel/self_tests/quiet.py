"""The policy for a process that only tries something out."""

from __future__ import annotations

from mita_otel.policy import Policy


def quiet(policy: Policy) -> Policy:
    """Return the policy without what watches, records and deletes: a test wakes nobody and leaves no audit entry."""
    return policy.model_copy(
        update={
            "alerts": policy.alerts.model_copy(update={"start": "off"}),
            "audit": policy.audit.model_copy(update={"start": "off"}),
            "retention": policy.retention.model_copy(update={"schedule": "off"}),
        }
    )
