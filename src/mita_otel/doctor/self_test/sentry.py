"""Sends a test error and its transaction to Sentry through the pipeline of the service."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.trace import Status as SpanStatus
from opentelemetry.trace import StatusCode, format_trace_id

from mita_otel import environment_variables as variables
from mita_otel import semconv
from mita_otel.doctor.self_test.quiet import configure_quietly
from mita_otel.finance.errors import capture_financial_error
from mita_otel.policy import Policy
from mita_otel.processors.queues.loss_causes import usual_cause
from mita_otel.processors.queues.losses import DEADLINE_PASSED
from mita_otel.processors.queues.stage import DeliveryState, hooks_of
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sdk.telemetry import Telemetry

NAME: Final = "sentry"
_EXPORTER: Final = "sentry"


class SelfTestError(Exception):
    """A test of the delivery to Sentry. No problem has occurred."""


def try_sentry(policy: Policy, environment: str | None = None) -> Check:
    """Send an error and a trace to Sentry through the live pipeline, and return the result.

    Args:
        policy: The policy.
        environment: Environment to use (default: the current one).

    Raises:
        ConfigurationError: The DSN is missing or malformed.
    """
    telemetry = configure_quietly(policy, environment, _EXPORTER)
    if not telemetry.enabled:
        return Check(NAME, Status.FAIL, f"telemetry is off: unset {variables.SDK_DISABLED}")
    try:
        event_id, trace_id = _send()
        telemetry.drain(policy.sentry.send_timeout_s * 2)
        why = _why(telemetry)
    finally:
        telemetry.shutdown(0)
    if why:
        host = urlsplit(os.environ.get(variables.SENTRY_DSN, "").strip()).hostname
        return Check(NAME, Status.FAIL, f"{host}: {why}")
    message = f"Sentry accepted event {event_id} of trace {trace_id}, environment {telemetry.environment}"
    return Check(NAME, Status.PASS, message, {"event_id": event_id, "trace_id": trace_id})


def _send() -> tuple[str, str]:
    """Send the error, and return the ids of the event and of its trace."""
    tracer = trace.get_tracer("mita_otel.doctor.self_test")
    with tracer.start_as_current_span("mita-otel test sentry", attributes={semconv.IS_TEST: True}) as span:
        error = SelfTestError("a test of mita-otel: no problem has occurred")
        event_id = capture_financial_error(error, severity="low", tags={semconv.IS_TEST: "true"})
        span.set_status(SpanStatus(StatusCode.ERROR))  # so that the trace is kept, whatever is sampled
        return str(event_id), format_trace_id(span.get_span_context().trace_id)


def _why(telemetry: Telemetry) -> str:
    """Return why data did not arrive, or ""."""
    exporter = telemetry.exporters.get(_EXPORTER)
    deliveries = hooks_of(exporter).deliveries if exporter is not None else None
    state = deliveries.state if deliveries is not None else DeliveryState()
    if state.why:
        return state.why
    lost = telemetry.losses()
    if any(DEADLINE_PASSED in key for key in lost):
        return "it did not answer in time"
    if lost:
        causes = dict.fromkeys(usual_cause(*key.split(": ", 1)) for key in lost)
        steps = "; ".join(f"{one.why}: {one.fix}" for one in causes)
        return f"lost: {', '.join(lost)} ({steps})"
    return "" if state.last_success_s is not None else "nothing was sent"
