"""The tamper-evident audit trail: entries are never dropped, they form signed chains, and can be verified.

from mita_otel import AuditEventType, record_audit_event

record_audit_event(AuditEventType.TRANSACTION_CREATE, user_id="u1", resource_id="tx-7")
"""

from mita_otel.audit.committer import AuditReceipt
from mita_otel.audit.current import current_trail, get_audit_trail, install, record_audit_event
from mita_otel.audit.errors import AuditError, AuditUnavailableError, AuditWriteError
from mita_otel.audit.event import AuditEvent, AuditEventType, AuditOutcome, AuditSink
from mita_otel.audit.trail import AuditHealth, AuditTrail

__all__ = [
    "AuditError",
    "AuditEvent",
    "AuditEventType",
    "AuditHealth",
    "AuditOutcome",
    "AuditReceipt",
    "AuditSink",
    "AuditTrail",
    "AuditUnavailableError",
    "AuditWriteError",
    "current_trail",
    "get_audit_trail",
    "install",
    "record_audit_event",
]
