"""Emits each entry as an OpenTelemetry log record too, for a SIEM. The database stays authoritative."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry import _logs
from opentelemetry._logs import LogRecord, SeverityNumber

from mita_otel import semconv
from mita_otel.audit.committer import AuditReceipt
from mita_otel.audit.draft import Draft
from mita_otel.audit.event import AuditOutcome

_SHOWN: Final = ("type", "outcome", "resource_type", "resource_id", "request_id")
_SCOPE: Final = "mita_otel.audit"


def emit_entry(draft: Draft, receipt: AuditReceipt) -> None:
    """Emit a recorded entry: its type, its position in the chain, and its signature.

    Details, states and addresses are only in the store. Each emitted signature also serves as an anchor.
    """
    fields = draft.fields
    attributes: dict[str, Any] = {
        f"{semconv.AUDIT_EVENT}.{name}": fields[name] for name in _SHOWN if name in fields
    }
    attributes |= {
        semconv.AUDIT_CHAIN: receipt.chain,
        semconv.AUDIT_SEQUENCE: receipt.sequence,
        semconv.AUDIT_MAC: receipt.mac,
    }
    user_id = draft.personal.values.get("user_id") if draft.personal is not None else None
    if user_id is not None:
        attributes[semconv.USER_ID] = user_id
    good = fields["outcome"] == AuditOutcome.SUCCESS
    _logs.get_logger(_SCOPE).emit(
        LogRecord(
            timestamp=receipt.recorded_ns,
            observed_timestamp=receipt.recorded_ns,
            severity_number=SeverityNumber.INFO if good else SeverityNumber.WARN,
            severity_text="INFO" if good else "WARN",
            event_name=semconv.AUDIT_EVENT,
            body=f"audit: {fields['type']} {fields['outcome']}",
            attributes=attributes,
        )
    )
