"""Explains losses of telemetry: destination, cause and next step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Cause(NamedTuple):
    """Why telemetry did not arrive."""

    destination: str
    """Product and address, such as `Sentry at o1.ingest.sentry.io:443`."""
    why: str
    """What went wrong."""
    fix: str
    """What to do about it."""

    def __str__(self) -> str:
        return f"{self.destination}: {self.why}; {self.fix}"


_DOCTOR: Final = "run `mita-otel doctor`"
_DESTINATIONS: Final[Mapping[str, str]] = {
    "sentry": "Sentry",
    "sentry.logs": "Sentry",
    "sentry.other": "Sentry",
    "pipeline": "the exporters",
    "metrics": "the metrics exporter",
    "breach_listeners": "the breach listeners",
    "latency_windows": "the store",
    "alerts": "the alert channels",
}
"""Destination by stage. An exporter's stage ends with its name."""
_REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "queue_full": ("the queue is full", "raise export.queue.exporter_max_spans of the policy"),
    "pipeline: queue_full": ("the queue is full", "raise export.queue.max_spans of the policy"),
    "shut_down": ("telemetry was shut down before", "end spans before shutdown()"),
    "not_created": ("the exporter could not be created", "read the error line of the start"),
    "export_failed": ("the exporter reported a failure", f"read its log lines, and {_DOCTOR}"),
    "exporter_failed": ("the exporter raised an exception", f"read its log lines, and {_DOCTOR}"),
    "processor_failed": ("a processor raised an exception", "read the debug log of mita_otel"),
    "too_large": ("the backend refuses its size", "raise the backend's limit for requests"),
    "not_encodable": ("a value cannot be encoded", "read the exporter's log lines"),
    "not_redactable": ("redaction failed, so nothing was sent", "report it with the error's type"),
    "callback_failed": ("an observable instrument's callback was cancelled", "check the callbacks"),
    "listener_failed": ("a listener raised an exception", "read the log line with its type"),
    "not_copyable": ("a log record could not be copied", "read the debug log of mita_otel"),
    "network_error": ("no response", _DOCTOR),
    "send_error": ("too large for Sentry", "lower sentry.max_event_kilobytes of the policy"),
    "internal_sdk_error": ("sending failed in this process", "set SENTRY_DEBUG=1 for details"),
    "queue_overflow": ("the queue is full", "raise sentry.max_envelopes or sentry.senders of the policy"),
    "ratelimited": ("Sentry limits the rate", "check the project's quota and rate limits"),
    "ratelimit_backoff": ("Sentry limits the rate", "check the project's quota and rate limits"),
    "before_send": ("the service's before_send dropped it", "check sentry_sdk.init()"),
    "too_many_spans": ("the trace has too many spans", "split long traces"),
    "store_failed": ("the database cannot be written", f"check MITA_OTEL_DATABASE_URL, and {_DOCTOR}"),
}
"""Cause and next step by reason, or by stage and reason."""


def usual_cause(stage: str, reason: str) -> Cause:
    """Return the cause of a loss that is known by stage and reason only."""
    group, _, name = stage.partition(".")
    destination = _DESTINATIONS.get(stage) or (f"exporter {name}" if group in {"exporter", "logs"} else stage)
    why, fix = (
        _REASONS.get(f"{stage}: {reason}") or _REASONS.get(reason) or (reason.replace("_", " "), _DOCTOR)
    )
    return Cause(destination, why, fix)
