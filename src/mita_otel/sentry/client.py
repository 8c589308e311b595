"""Starts sentry-sdk's client with tracing off, or joins the client that the service has started."""

from __future__ import annotations

import logging
import os
from typing import Any

import sentry_sdk
from sentry_sdk.client import BaseClient
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations import Integration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.modules import ModulesIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration
from sentry_sdk.utils import BadDsn, Dsn

from mita_otel import _sentry_compat
from mita_otel import environment_variables as variables
from mita_otel.errors import ConfigurationError
from mita_otel.instrumentation.patches import Patches
from mita_otel.policy.sentry import SentryBreadcrumbPolicy, SentryPolicy
from mita_otel.processors.captured_exceptions import CapturedExceptions
from mita_otel.processors.queues.losses import AFTER_SHUTDOWN, Losses
from mita_otel.processors.queues.slices import Slices
from mita_otel.processors.queues.stage import Stage, seconds_left
from mita_otel.redaction import Redactor
from mita_otel.sentry.active_roots import ActiveRoots
from mita_otel.sentry.before_send import BeforeSendHook
from mita_otel.sentry.breadcrumbs import Breadcrumbs, LogBreadcrumbs, Steps
from mita_otel.sentry.default_release import default_release
from mita_otel.sentry.dropped_errors import watch_drops
from mita_otel.sentry.propagation import current_ids, current_trace_context
from mita_otel.sentry.sampling_context import SamplingContexts, sampling_contexts
from mita_otel.sentry.service_clients import ServiceClients, redacting
from mita_otel.sentry.transport.envelope_items import SPANS_STAGE, SpansItem
from mita_otel.sentry.transport.sender_identity import agree, identity_of
from mita_otel.sentry.transport.spotlight import QueuedSpotlight
from mita_otel.sentry.transport.transport import SentryTransport


class SentryLink(Stage):
    """The Sentry client, its hook, and the clients that the service starts.

    As a stage it comes after those that send with the client: spans, log records and errors.

    Args:
        client: The client of sentry-sdk.
        hook: The `before_send` hook of the client.
        contexts: The sampling contexts, by trace.
        losses: Counts spans that arrive after the client has ended.
        patches: Restores the service's clients.
        joined: Whether the service had started the client.
    """

    def __init__(
        self,
        client: BaseClient,
        hook: BeforeSendHook,
        contexts: SamplingContexts,
        losses: Losses,
        patches: Patches,
        *,
        joined: bool,
    ) -> None:
        self.client = client
        self.hook = hook
        self.contexts = contexts
        self.joined = joined
        self.identity = identity_of(client)
        """Environment, release and host that events contain."""
        self.service_clients: ServiceClients | None = None
        """The clients that the service has started."""
        self._losses = losses
        self._patches = patches

    def agree(self, client: BaseClient) -> None:
        """Use the same environment, release and host for the service's client and for ours."""
        agree(self.client.options, client.options, self._patches)
        self.identity = identity_of(self.client)
        self.contexts.set_base(environment=self.identity.environment, release=self.identity.release)
        self.contexts.follow(client.options)

    def issue_client(self) -> BaseClient:
        """Return the client that sends issues: the service's, if it sends to the same project, because it may drop them."""
        theirs = self.service_clients.client if self.service_clients is not None else None
        if theirs is None or theirs.transport is None or theirs.dsn != self.client.dsn:
            return self.client
        return theirs

    def send(self, envelope: Envelope) -> None:
        """Queue an envelope, also for Spotlight if it is in use."""
        if self.client.spotlight is not None:
            self.client.spotlight.capture_envelope(envelope)
        if self.client.transport is not None:
            self.client.transport.capture_envelope(envelope)
            return
        for item in envelope.items if self.client.spotlight is None else ():
            if isinstance(item, SpansItem):
                self._losses.add(SPANS_STAGE, AFTER_SHUTDOWN, item.spans)

    def own_transport(self) -> SentryTransport | None:
        """Return the transport if it is ours and is not closed, else None."""
        transport = self.client.transport
        return transport if isinstance(transport, SentryTransport) else None

    def flush(self, deadline_s: float) -> bool:
        """Send everything that is queued, including the service's clients. Return False if the deadline passed first."""
        for client in self._clients:
            client.flush(timeout=seconds_left(deadline_s))
        spotlight: Any = self.client.spotlight
        if isinstance(spotlight, QueuedSpotlight):
            spotlight.flush(deadline_s)
        transports = [client.transport for client in self._clients]
        return all(one.queue.idle for one in transports if isinstance(one, SentryTransport))

    def drain(self) -> None:
        """Send client reports with the next `flush`, because the process may end soon."""
        for client in self._clients:
            if isinstance(client.transport, SentryTransport):
                client.transport.ending = True

    def abandon(self) -> None:
        """Count unsent items as lost, because the deadline has passed."""
        for client in self._clients:
            if isinstance(client.transport, SentryTransport):
                client.transport.abandon()

    def close(self) -> None:
        """Close the client if it is ours. This does not wait, so flush first."""
        if not self.joined:
            self.client.close(timeout=0)
            scope = sentry_sdk.get_global_scope()
            if scope.client is self.client:
                scope.set_client(None)

    @property
    def _clients(self) -> list[BaseClient]:
        theirs = self.service_clients.client if self.service_clients is not None else None
        return [self.client] if theirs is None or theirs is self.client else [self.client, theirs]


def host_client_is_active() -> bool:
    """Return whether the service has started a Sentry client with a DSN."""
    client = sentry_sdk.get_client()
    return client.is_active() and bool(client.dsn)


def start_client(
    policy: SentryPolicy,
    *,
    dsn: str | None,
    environment: str,
    release: str | None,
    redactor: Redactor,
    losses: Losses,
    patches: Patches,
    debug: bool = False,
    spotlight: bool = False,
    slices: Slices | None = None,
) -> SentryLink:
    """Start sentry-sdk, or join the client that the service has started. Also join clients that it starts later.

    Args:
        policy: Limits and switches.
        dsn: The DSN of the project. It may be None if the service has started a client.
        environment: The environment that Sentry shows.
        release: The release, such as `mita-finance@1.0.0`.
        redactor: Redacts every event.
        losses: Counts losses.
        patches: Takes back what is changed in sentry-sdk and in the service's clients.
        debug: Whether sentry-sdk writes a debug log.
        spotlight: Whether the DSN may be missing, because events are sent to Spotlight.
        slices: Divides the transport's work into slices.

    Raises:
        ConfigurationError: The DSN is malformed.
    """
    unfollow = _sentry_compat.follow_trace(current_ids)
    if unfollow is not None:
        patches.add(unfollow)
    patches.add(_sentry_compat.ignore_loggers("mita_otel", "mita_otel.*", "opentelemetry.*"))
    breadcrumbs = Breadcrumbs(policy.breadcrumbs.max_traces, policy.breadcrumbs.max_breadcrumbs)
    roots = ActiveRoots(policy.max_live_traces, policy.max_ended_traces)
    captured = CapturedExceptions(policy.max_captured)
    steps = _steps(policy.breadcrumbs, roots, redactor)
    trace_context = current_trace_context if unfollow is None else None
    hook = BeforeSendHook(
        redactor,
        breadcrumbs,
        roots,
        steps,
        captured,
        losses,
        trace_context=trace_context,
        ignored_log_lines=policy.ignored_log_lines,
    )
    if not (joined := host_client_is_active()):
        known = None if dsn is None and spotlight else checked_dsn(dsn)
        # With None sentry-sdk starts git.
        found = release or default_release(os.environ) or ""
        options = {"dsn": known, "environment": environment, "release": found, "debug": debug}
        _start(options, policy, hook, redactor, losses, slices)
    client = sentry_sdk.get_client()
    if not joined:
        watch_drops(client, captured)
    if joined:
        agree({"environment": environment, "release": release}, client.options, patches)
    contexts = sampling_contexts(client, roots, policy, redactor)
    hook.sampling_context = contexts.of
    link = SentryLink(client, hook, contexts, losses, patches, joined=joined)
    link.service_clients = ServiceClients(
        policy,
        redactor,
        losses,
        hook=hook.around,
        integrations=lambda: _integrations(policy),
        breadcrumb_hook=lambda own: LogBreadcrumbs(breadcrumbs, own),
        joined=link.agree,
        captured=captured,
        patches=patches,
        slices=slices,
    )
    if joined:
        link.service_clients.join(client)
    link.service_clients.watch()
    return link


def _start(
    options: dict[str, Any],
    policy: SentryPolicy,
    hook: BeforeSendHook,
    redactor: Redactor,
    losses: Losses,
    slices: Slices | None,
) -> None:
    class PolicyTransport(SentryTransport):
        """The transport that sentry-sdk creates if there is a DSN."""

        def __init__(self, options: dict[str, Any]) -> None:
            super().__init__(options, policy, losses, slices)

    arguments: dict[str, Any] = {
        **options,
        "transport": PolicyTransport,
        "default_integrations": False,
        "integrations": _integrations(policy),
        "before_send": hook,
        "before_send_transaction": redacting(redactor),
        "before_send_log": redacting(redactor),
        "before_send_metric": redacting(redactor),
        "before_breadcrumb": LogBreadcrumbs(hook.breadcrumbs),
        # The redactor covers more than sentry-sdk's scrubber, and it records the rule and the number of values.
        **_sentry_compat.no_scrubbing(),
        "ignore_errors": [KeyboardInterrupt],  # Ctrl-C is not an error
        "traces_sample_rate": None,
        "attach_stacktrace": False,
        "auto_session_tracking": False,
        "max_request_body_size": "always",  # `instrumentation.error_request_body` decides
        "shutdown_timeout": 0,
    }
    sentry_sdk.init(**_sentry_compat.known_options(arguments))
    client = hook.client = sentry_sdk.get_client()
    client.options["release"] = options["release"] or None
    _sentry_compat.stop_statsd_metrics(client)
    client.options["traces_sampler"] = None  # sentry-sdk sets it when only Spotlight is used
    if client.spotlight is not None:
        client.spotlight = QueuedSpotlight(client.spotlight.url, policy.send_timeout_s)  # type: ignore[assignment]


def _steps(policy: SentryBreadcrumbPolicy, roots: ActiveRoots, redactor: Redactor) -> Steps | None:
    if not policy.enabled:
        return None
    return Steps(roots, redactor, max_traces=policy.max_traces, max_steps=policy.max_breadcrumbs)


def checked_dsn(dsn: str | None) -> str:
    """Return a valid DSN, unchanged.

    Raises:
        ConfigurationError: The DSN is invalid.
    """
    text = (dsn or "").strip()
    try:
        Dsn(text)
    except (BadDsn, ValueError) as error:
        raise ConfigurationError(
            f"{variables.SENTRY_DSN} is not a valid DSN ({str(error)[:1].lower()}{str(error)[1:]}): nothing is sent to Sentry. "
            "Copy it from Sentry's project settings, Client Keys; its format is https://KEY@HOST/PROJECT"
        ) from error
    return text  # not str(Dsn(text)): sentry-sdk formats a DSN with a secret key incorrectly


def _integrations(policy: SentryPolicy) -> list[Integration]:
    """Return sentry-sdk's integrations for log records, crashes of the interpreter and of threads, and package versions."""
    if not policy.capture_errors:
        return []
    breadcrumbs = policy.breadcrumbs
    level: int | None = getattr(logging, breadcrumbs.level) if breadcrumbs.enabled else None
    return [
        _sentry_compat.logging_integration(event_level=logging.ERROR, breadcrumb_level=level),
        ExcepthookIntegration(),
        ThreadingIntegration(),
        ModulesIntegration(),
    ]
