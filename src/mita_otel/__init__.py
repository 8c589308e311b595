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
    from mita_otel.configuration import configure
    from mita_otel.errors import ConfigurationError
    from mita_otel.policy import Policy, PolicyError, load_policy
    from mita_otel.processors.log_redaction import LogRedactionProcessor
    from mita_otel.processors.metric_redaction import RedactedMetricExporter
    from mita_otel.processors.propagation import RedactedPropagator
    from mita_otel.processors.redaction import RedactionProcessor
    from mita_otel.processors.threshold import ThresholdProcessor
    from mita_otel.redaction import BeforeSend, RedactingFilter, Redactor
    from mita_otel.sentry.exporter import SentrySpanExporter
    from mita_otel.telemetry import Telemetry

    __version__ = _version("mita-otel")

__all__ = [
    "AuditEvent",
    "AuditEventType",
    "AuditOutcome",
    "BeforeSend",
    "ConfigurationError",
    "LogRedactionProcessor",
    "Policy",
    "PolicyError",
    "RedactedMetricExporter",
    "RedactedPropagator",
    "RedactingFilter",
    "RedactionProcessor",
    "Redactor",
    "SentrySpanExporter",
    "Telemetry",
    "ThresholdProcessor",
    "__version__",
    "configure",
    "get_audit_trail",
    "load_policy",
    "record_audit_event",
]

_HOMES = {
    "AuditEvent": "mita_otel.audit",
    "AuditEventType": "mita_otel.audit",
    "AuditOutcome": "mita_otel.audit",
    "BeforeSend": "mita_otel.redaction",
    "ConfigurationError": "mita_otel.errors",
    "LogRedactionProcessor": "mita_otel.processors.log_redaction",
    "Policy": "mita_otel.policy",
    "PolicyError": "mita_otel.policy",
    "RedactedMetricExporter": "mita_otel.processors.metric_redaction",
    "RedactedPropagator": "mita_otel.processors.propagation",
    "RedactingFilter": "mita_otel.redaction",
    "RedactionProcessor": "mita_otel.processors.redaction",
    "Redactor": "mita_otel.redaction",
    "SentrySpanExporter": "mita_otel.sentry.exporter",
    "Telemetry": "mita_otel.telemetry",
    "ThresholdProcessor": "mita_otel.processors.threshold",
    "configure": "mita_otel.configuration",
    "get_audit_trail": "mita_otel.audit",
    "load_policy": "mita_otel.policy",
    "record_audit_event": "mita_otel.audit",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mita-otel")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'mita_otel' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
