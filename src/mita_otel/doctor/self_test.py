"""Self-tests: real, marked events to Sentry and to the channels of alerts.

The event to Sentry passes through the pipeline of the service, without alerts, audit trail and retention.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import Status as SpanStatus
from opentelemetry.trace import StatusCode, format_trace_id

from mita_otel import environment_variables as variables
from mita_otel import semconv
from mita_otel.alerts.alert import AlertScope
from mita_otel.alerts.channels.notifier import NotDeliveredError, TryLaterError
from mita_otel.alerts.channels.registry import Channels
from mita_otel.alerts.notification import Notification, redacted
from mita_otel.errors import ConfigurationError
from mita_otel.finance.errors import capture_financial_error
from mita_otel.instrumentation.patches import Patches
from mita_otel.policy import Policy
from mita_otel.policy.channels import ChannelKind
from mita_otel.processors.queues.losses import DEADLINE_PASSED, usual_cause
from mita_otel.processors.queues.stage import DeliveryState, hooks_of
from mita_otel.redaction import Redactor
from mita_otel.sdk.configuration import configure
from mita_otel.sdk.env_check import changed, without_unusable
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sdk.telemetry import Telemetry
from mita_otel.sdk.unused_variables import Setup, without_effect

_logger = logging.getLogger("mita_otel")
NAME: Final = "sentry"
_EXPORTER: Final = "sentry"
_TITLE: Final = "a test of mita-otel"
_REASON: Final = "test message: no problem has occurred"
_TOOK: Final = {
    "slack": "Slack answered {}",
    "pagerduty": "PagerDuty accepted event {}",
    "email": "the mail server accepted {}",
    "webhook": "it answered {}",
    "apprise": "apprise delivered it",
}


def configure_quietly(policy: Policy, environment: str | None, exporter: str) -> Telemetry:
    """Start telemetry with one exporter, and without alerts, audit trail and retention.

    Metrics and logs have no exporter: the running service uses the Prometheus port, and other exporters would send.

    Args:
        policy: The policy.
        environment: Environment to use (default: the current one).
        exporter: Name of the exporter of traces.

    Raises:
        ConfigurationError: The exporter is not available.
    """
    off = dict.fromkeys((variables.METRICS_EXPORTER, variables.LOGS_EXPORTER), "none")
    with without_unusable(os.environ, Patches()) as problems, changed(os.environ, off):
        for problem in problems:
            _logger.warning(problem)
        # The service may use them with its own exporters; the start would log that this one does not.
        unused = without_effect(Setup.of(policy, [exporter], os.environ), os.environ)
        with changed(os.environ, dict.fromkeys(unused)):
            return configure(
                policy=_quiet(policy), environment=environment, exporters=[exporter], strict=True
            )


def _quiet(policy: Policy) -> Policy:
    return policy.replace(
        alerts=policy.alerts.replace(start="off"),
        audit=policy.audit.replace(start="off"),
        retention=policy.retention.replace(schedule="off"),
    )


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


def try_channels(
    policy: Policy,
    scope: AlertScope,
    kind: ChannelKind,
    env: Mapping[str, str],
    *,
    names: Sequence[str] = (),
    keep_open: bool = False,
) -> Iterator[Check]:
    """Send a test message to channels, and yield the result for each.

    Args:
        policy: The channels.
        scope: Service and environment in the message.
        kind: Kind of the channels.
        env: The environment variables, which contain the secrets.
        names: Channels to use (default: all of the kind).
        keep_open: Whether a PagerDuty incident stays open instead of being resolved.

    Raises:
        ConfigurationError: There is no such channel.
    """
    known = [name for name, channel in policy.alerts.channels.items() if channel.kind == kind]
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"no {kind} channel {name}; use one of: {', '.join(known) or '(none in the policy)'}"
            )
    channels, redactor = Channels(policy.alerts, env), Redactor(policy)
    try:
        for name in names or known:
            missing = channels.missing(name)
            if missing:
                yield Check(name, Status.WARN, _unused(channels, name, missing))
                continue
            yield _try(channels, name, kind, redacted(_message(scope), redactor), keep_open=keep_open)
    finally:
        channels.close()


def _unused(channels: Channels, name: str, missing: str) -> str:
    instead = channels.resolve((name,))
    return f"{missing}; {instead[0]} is its fallback" if instead else f"{missing}; there is no fallback"


def _message(scope: AlertScope) -> Notification:
    return Notification(
        action="trigger",
        alert_id=f"test-{uuid.uuid4().hex[:12]}",
        rule="test",
        subject="",
        title=_TITLE,
        reason=_REASON,
        urgency="info",
        service=scope.service,
        environment=scope.environment,
        at_ns=time.time_ns(),
        is_test=True,
    )


def _try(
    channels: Channels, name: str, kind: ChannelKind, message: Notification, *, keep_open: bool
) -> Check:
    try:
        notifier = channels.notifier(name)
        with suppress_instrumentation():
            answer = notifier.send(message)
            result = _TOOK[kind].format(answer)
            if kind == "pagerduty" and not keep_open:
                notifier.send(replace(message, action="resolve"))
                result = f"{result}, and resolved it"
    except TryLaterError as error:
        later = f"; retry after {error.after_s:.0f} seconds" if error.after_s else ""
        return Check(name, Status.FAIL, f"{error}{later}")
    except (NotDeliveredError, ConfigurationError) as error:
        return Check(name, Status.FAIL, str(error))
    return Check(name, Status.PASS, result, {"answer": answer})
