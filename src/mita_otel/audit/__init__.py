"""The tamper-evident audit trail: entries are never dropped, they form signed chains, and can be verified.

from mita_otel import AuditEventType, record_audit_event

record_audit_event(AuditEventType.TRANSACTION_CREATE, user_id="u1", resource_id="tx-7")
"""
