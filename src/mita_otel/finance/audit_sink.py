"""Where the audit trail hears of what the financial API sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

SignalKind = Literal["operation", "error", "security", "compliance", "custom"]
"""What kind of thing a signal is about; `custom`: its name is an event type of the audit trail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSignal:
    """Something that an audit trail may want to keep. Values are plain and not yet redacted."""

    kind: SignalKind
    name: str
    """The operation, the error's category, the event's type or the regulation."""
    outcome: str
    """`success`, `failure`, `refused`, `cancelled`, or the status of a compliance check."""
    time_ns: int
    """When it ended: nanoseconds since the epoch."""
    category: str | None = None
    severity: str | None = None
    event_id: str | None = None
    """The event that it became, if it did."""
    user_id: str | None = None
    transaction_id: str | None = None
    amount: str | None = None
    currency: str | None = None
    request_id: str | None = None
    address: str | None = None
    """Where the request came from."""
    trace_id: str | None = None
    """32 hexadecimal digits."""
    span_id: str | None = None
    """16 hexadecimal digits."""
    details: Mapping[str, Any] = field(default_factory=dict)


class AuditSink(Protocol):
    """Takes what shall be kept."""

    def record(self, event: AuditSignal, /) -> None:
        """Take a signal, on the caller's thread: return soon. An exception is logged once and goes no further."""
