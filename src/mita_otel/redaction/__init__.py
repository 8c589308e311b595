"""Value in, safe value out: pure, thread-safe, no OpenTelemetry."""

from __future__ import annotations

from mita_otel.redaction.hooks import BeforeSend, RedactingFilter
from mita_otel.redaction.known_secrets import Findings
from mita_otel.redaction.log_messages import SafeMessage
from mita_otel.redaction.marker import MARKER
from mita_otel.redaction.redactor import Redactor

__all__ = [
    "MARKER",
    "BeforeSend",
    "Findings",
    "RedactingFilter",
    "Redactor",
    "SafeMessage",
]
