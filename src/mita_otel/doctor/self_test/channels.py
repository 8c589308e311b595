"""Sends a test message to the channels of a kind, like an alert."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel.alerts.alert import AlertScope
from mita_otel.alerts.channels.notifier import NotDeliveredError, TryLaterError
from mita_otel.alerts.channels.registry import Channels
from mita_otel.alerts.notification import Notification, redacted
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy
from mita_otel.policy.channels import ChannelKind
from mita_otel.redaction import Redactor
from mita_otel.sdk.health.check import Check, Status

_TITLE: Final = "a test of mita-otel"
_REASON: Final = "test message: no problem has occurred"
_TOOK: Final = {
    "slack": "Slack answered {}",
    "pagerduty": "PagerDuty accepted event {}",
    "email": "the mail server accepted {}",
    "webhook": "it answered {}",
    "apprise": "apprise delivered it",
}


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
