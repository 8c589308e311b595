"""sentry-sdk's client: started by us with tracing off, or the host's, joined."""

from __future__ import annotations

import time
from typing import Any

import sentry_sdk
from opentelemetry import trace
from opentelemetry.trace import format_span_id, format_trace_id
from sentry_sdk.client import BaseClient, get_options
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations import Integration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.integrations.modules import ModulesIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration
from sentry_sdk.scope import register_external_propagation_context
from sentry_sdk.scrubber import EventScrubber
from sentry_sdk.utils import BadDsn, Dsn

from mita_otel import environment_variables as variables
from mita_otel.errors import ConfigurationError
from mita_otel.policy.sentry import SentryBreadcrumbPolicy, SentryPolicy
from mita_otel.processors.queues.losses import AFTER_SHUTDOWN, Losses
from mita_otel.redaction import Redactor
from mita_otel.sentry.event_door import EventDoor
from mita_otel.sentry.hosts import HostClients, redacting
from mita_otel.sentry.live_roots import LiveRoots
from mita_otel.sentry.logging import TraceLogging
from mita_otel.sentry.mapping.breadcrumbs import Breadcrumbs
from mita_otel.sentry.mapping.occurrences import Occurrences
from mita_otel.sentry.mapping.steps import Steps
from mita_otel.sentry.sampling_context import SamplingContexts
from mita_otel.sentry.transport.item_of_spans import SpansItem
from mita_otel.sentry.transport.sender_identity import agree, identity_of
from mita_otel.sentry.transport.spotlight import QueuedSpotlight
from mita_otel.sentry.transport.transport import STAGE, CountingTransport


class SentryLink:
    """A client, and what stands around it.

    Args:
        client: sentry-sdk's.
        door: What every event passes.
        contexts: The sampling contexts, by trace.
        losses: Where spans are counted that come after the client's end.
        joined: Whether the host had started the client.
    """

    def __init__(
        self,
        client: BaseClient,
        door: EventDoor,
        contexts: SamplingContexts,
        losses: Losses,
        *,
        joined: bool,
    ) -> None:
        self.client = client
        self.door = door
        self.contexts = contexts
        self.joined = joined
        self.identity = identity_of(client)
        """Who sends."""
        self.hosts: HostClients | None = None
        """The clients that the service has started."""
        self._losses = losses

    def agree(self, client: BaseClient) -> None:
        """Let a client of the service and ours say the same of who sends."""
        agree(self.client.options, client.options)
        self.identity = identity_of(self.client)
        self.contexts.say(environment=self.identity.environment, release=self.identity.release)
        self.contexts.follow(client.options)

    def send(self, envelope: Envelope) -> None:
        """Queue an envelope; to Spotlight as well, if it runs beside."""
        if self.client.spotlight is not None:
            self.client.spotlight.capture_envelope(envelope)
        if self.client.transport is not None:
            self.client.transport.capture_envelope(envelope)
            return
        for item in envelope.items if self.client.spotlight is None else ():
            if isinstance(item, SpansItem):
                self._losses.add(STAGE, AFTER_SHUTDOWN, item.spans)

    def own_transport(self) -> CountingTransport | None:
        """Return the transport, if it is ours and not closed."""
        transport = self.client.transport
        return transport if isinstance(transport, CountingTransport) else None

    def flush(self, timeout_s: float) -> bool:
        """Send everything that is queued, also what the service's own clients hold. False if that took too long."""
        deadline = time.monotonic() + timeout_s
        for client in self._clients:
            client.flush(timeout=max(0.0, deadline - time.monotonic()))
        if isinstance(self.client.spotlight, QueuedSpotlight):
            self.client.spotlight.flush(max(0.0, deadline - time.monotonic()))
        transports = [client.transport for client in self._clients]
        return all(one.senders.idle for one in transports if isinstance(one, CountingTransport))

    def drain(self) -> None:
        """Send client reports with the next `flush`: the process may be about to end."""
        for client in self._clients:
            if isinstance(client.transport, CountingTransport):
                client.transport.ending = True

    def abandon(self) -> None:
        """Count what was not sent as lost: the deadline has passed."""
        for client in self._clients:
            if isinstance(client.transport, CountingTransport):
                client.transport.abandon()

    def close(self) -> None:
        """End the client if it is ours. Flush first: this does not wait."""
        if self.hosts is not None:
            self.hosts.unwatch()
        if not self.joined:
            self.client.close(timeout=0)

    @property
    def _clients(self) -> list[BaseClient]:
        theirs = self.hosts.client if self.hosts is not None else None
        return [self.client] if theirs is None or theirs is self.client else [self.client, theirs]


def host_client_is_active() -> bool:
    """Return whether the host has started a Sentry client that sends."""
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
    debug: bool = False,
    spotlight: bool = False,
) -> SentryLink:
    """Start sentry-sdk, or join the client that the host has started. One that it starts later is joined as well.

    Args:
        policy: Bounds and switches.
        dsn: Where to send; not needed if the host's client knows.
        environment: Its name, as Sentry shall show it.
        release: As in `mita-finance@1.0.0`.
        redactor: What every event passes.
        losses: Where losses are counted.
        debug: Whether sentry-sdk says what it does.
        spotlight: Whether it may go without a DSN: to Spotlight alone.

    Raises:
        ConfigurationError: The DSN is malformed.
    """
    register_external_propagation_context(_current_ids)
    for name in ("mita_otel", "mita_otel.*", "opentelemetry.*"):
        ignore_logger(name)
    breadcrumbs = Breadcrumbs(policy.breadcrumbs.max_traces, policy.breadcrumbs.max_breadcrumbs)
    roots, occurrences = LiveRoots(policy.max_live_traces), Occurrences(policy.max_captured)
    steps = _steps(policy.breadcrumbs, roots, redactor)
    door = EventDoor(redactor, breadcrumbs, roots, steps, occurrences, losses)
    joined = host_client_is_active()
    if not joined:
        known = None if dsn is None and spotlight else checked_dsn(dsn)
        options = {"dsn": known, "environment": environment, "release": release, "debug": debug}
        _start(options, policy, door, redactor, losses)
    client = sentry_sdk.get_client()
    if joined:
        agree({"environment": environment, "release": release}, client.options)
    link = SentryLink(client, door, _contexts(client, roots, policy, redactor), losses, joined=joined)
    link.hosts = HostClients(
        policy,
        redactor,
        losses,
        door=door.around,
        integrations=lambda: _integrations(policy, breadcrumbs),
        joined=link.agree,
    )
    if joined:
        link.hosts.join(client)
    link.hosts.watch()
    return link


def _start(
    options: dict[str, Any], policy: SentryPolicy, door: EventDoor, redactor: Redactor, losses: Losses
) -> None:
    arguments: dict[str, Any] = {
        **options,
        "default_integrations": False,
        "integrations": _integrations(policy, door.breadcrumbs),
        "before_send": door,
        "before_send_transaction": redacting(redactor),
        "before_send_log": redacting(redactor),
        "before_send_metric": redacting(redactor),
        # The redactor knows more than sentry-sdk's own scrubber, says by which rule, and counts.
        "event_scrubber": EventScrubber(denylist=[], pii_denylist=[]),
        "ignore_errors": [KeyboardInterrupt],  # Ctrl-C is somebody's wish
        "traces_sample_rate": None,
        "auto_session_tracking": False,
        "shutdown_timeout": 0,
        "_experiments": {
            "transport_compression_level": policy.compression_level,
            "transport_compression_algo": "gzip",
        },
    }
    transport = CountingTransport(get_options(**arguments), policy, losses) if options["dsn"] else None
    sentry_sdk.init(**arguments, transport=transport)
    client = sentry_sdk.get_client()
    client.options["traces_sampler"] = None  # which sentry-sdk sets for Spotlight alone
    if client.spotlight is not None:
        client.spotlight = QueuedSpotlight(client.spotlight.url, policy.send_timeout_s)


def _contexts(
    client: BaseClient, roots: LiveRoots, policy: SentryPolicy, redactor: Redactor
) -> SamplingContexts:
    dsn = client.parsed_dsn
    base = {
        "public_key": dsn.public_key if dsn else None,
        "environment": client.options.get("environment"),
        "release": client.options.get("release"),
        "org_id": policy.propagation.org_id or (dsn.org_id if dsn else None),
    }
    known = {name: str(value) for name, value in base.items() if value}
    return SamplingContexts(known, roots, policy.propagation.max_traces, redactor.text)


def _steps(policy: SentryBreadcrumbPolicy, roots: LiveRoots, redactor: Redactor) -> Steps | None:
    if not policy.enabled:
        return None
    return Steps(roots, redactor, max_traces=policy.max_traces, max_steps=policy.max_breadcrumbs)


def checked_dsn(dsn: str | None) -> str:
    """Return a DSN that can be used, as it was written.

    Raises:
        ConfigurationError: It is none.
    """
    text = (dsn or "").strip()
    try:
        Dsn(text)
    except (BadDsn, ValueError) as error:
        raise ConfigurationError(
            f"{variables.SENTRY_DSN} is no DSN ({str(error)[:1].lower()}{str(error)[1:]}): nothing goes to Sentry. "
            "Copy it from Sentry's project settings, Client Keys; it reads like https://KEY@HOST/PROJECT"
        ) from error
    return text  # not the parsed one as text: sentry-sdk misspells a DSN that has a secret key


def _integrations(policy: SentryPolicy, breadcrumbs: Breadcrumbs) -> list[Integration]:
    """What sentry-sdk does better than we would: crashes of the interpreter and of threads, versions of packages."""
    if not policy.capture_errors:
        return []
    return [
        TraceLogging(policy.breadcrumbs, breadcrumbs),
        ExcepthookIntegration(),
        ThreadingIntegration(),
        ModulesIntegration(),
    ]


def _current_ids() -> tuple[str, str] | None:
    """Return trace and span id of OpenTelemetry's current span, so that Sentry links its events to them."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return format_trace_id(context.trace_id), format_span_id(context.span_id)
