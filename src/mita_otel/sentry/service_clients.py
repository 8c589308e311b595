"""Joins Sentry clients that the service starts itself, to redact their events and to prevent duplicates.

Many services call `sentry_sdk.init()` during their import, after `opentelemetry-instrument` has configured
mita-otel. Their client then replaces ours.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Final
from weakref import WeakSet

import sentry_sdk
from sentry_sdk import Scope
from sentry_sdk.client import BaseClient
from sentry_sdk.integrations import Integration, setup_integrations
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import HttpTransport, Transport

from mita_otel import _sentry_compat
from mita_otel.errors import raise_interrupt
from mita_otel.instrumentation.patches import Patches
from mita_otel.policy.sentry import SentryPolicy
from mita_otel.processors.captured_exceptions import CapturedExceptions
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.slices import Slices
from mita_otel.redaction import Redactor
from mita_otel.sentry.dropped_errors import watch_drops
from mita_otel.sentry.transport.transport import SentryTransport

_logger = logging.getLogger("mita_otel")

Hook = Callable[[Any, Any], Any]

_HOOKS: Final = ("before_send_transaction", "before_send_log", "before_send_metric", "before_send_span")
"""The hooks of sentry-sdk other than `before_send`."""
_WITHHELD: Final = {"name": "[redacted:error]", "attributes": {}}
"""Replaces a span that cannot be redacted, because `before_send_span` cannot drop one."""


class ServiceClients:
    """Joins the clients that a service starts.

    Args:
        policy: Limits and switches.
        redactor: Redacts everything that the clients send.
        losses: Counts losses.
        hook: Wraps the service's `before_send` of a client.
        integrations: Creates the integrations to add to a client that does not have them.
        breadcrumb_hook: Wraps the service's `before_breadcrumb`. It is used if the client gets our integration of
            standard logging.
        joined: Called with each joined client.
        captured: Exceptions that become no issue again: the clients add those that they drop.
        patches: Restores the options, the integrations and the transport of the clients.
        slices: Divides the work of our transport into slices.
    """

    def __init__(
        self,
        policy: SentryPolicy,
        redactor: Redactor,
        losses: Losses,
        *,
        hook: Callable[[Hook | None, BaseClient], Hook],
        integrations: Callable[[], Iterable[Integration]],
        breadcrumb_hook: Callable[[Hook | None], Hook],
        joined: Callable[[BaseClient], None],
        captured: CapturedExceptions,
        patches: Patches,
        slices: Slices | None = None,
    ) -> None:
        self.client: BaseClient | None = None
        """The client that was joined last."""
        self.transaction_hook: Hook | None = None
        """The service's `before_send_transaction` with redaction, or None if the service has no such hook."""
        self._known: WeakSet[BaseClient] = WeakSet()
        self._policy = policy
        self._redactor = redactor
        self._losses = losses
        self._hook = hook
        self._integrations = integrations
        self._breadcrumb_hook = breadcrumb_hook
        self._joined = joined
        self._captured = captured
        self._patches = patches
        self._slices = slices
        self._watch = ClientWatch(self.join)

    def join(self, client: BaseClient) -> None:
        """Join a client: install our hooks and our transport, and switch its tracing off."""
        if client in self._known or (client.transport is None and client.spotlight is None):
            return
        self.client = client
        self._known.add(client)
        own = client.options.get("before_send_transaction")
        self.transaction_hook = redacting(self._redactor, own) if own is not None else None
        redact_client(client, self._redactor, self._patches, self._hook)
        traced = bool(client.options.get("traces_sample_rate") or client.options.get("traces_sampler"))
        ours: dict[str, Any] = {"traces_sample_rate": None, "traces_sampler": None}
        if self._policy.sessions:
            ours["auto_session_tracking"] = False
        if self._policy.logs:
            ours["enable_logs"] = False
        self._patches.set_members(client.options, ours)
        if self._policy.capture_errors:
            self._integrate(client)
            self._patches.add(watch_drops(client, self._captured))
        _sentry_compat.stop_statsd_metrics(client)
        if type(client.transport) is HttpTransport:
            self._replace_transport(client, client.transport)
        self._joined(client)
        _logger.warning(
            "joined the Sentry client of the service: its events are now redacted%s",
            "; its traces_sample_rate is ignored, because requests would appear twice: set sampling.ratio"
            if traced
            else "",
        )

    def _replace_transport(self, client: BaseClient, replaced: Transport) -> None:
        """Let a client send with our transport. A transport that was killed cannot be used again."""
        ours = SentryTransport(client.options, self._policy, self._losses, self._slices)
        client.transport = ours
        replaced.kill()

        def restore() -> None:
            if client.transport is ours:
                client.transport = HttpTransport(client.options)
                ours.kill()

        self._patches.add(restore)

    def _integrate(self, client: BaseClient) -> None:
        """Add missing integrations to a client, unless the service has disabled them."""
        missing = [one for one in self._integrations() if one.identifier not in client.integrations]
        added = setup_integrations(missing, with_defaults=False)
        self._patches.set_members(client.integrations, added)
        if LoggingIntegration.identifier in added:
            hook = self._breadcrumb_hook(client.options.get("before_breadcrumb"))
            self._patches.set_members(client.options, {"before_breadcrumb": hook})

    def watch(self) -> None:
        """Join each client that replaces ours from now on."""
        self._watch.begin(self._patches)


class ClientWatch:
    """Observes each new client before it sends anything.

    Args:
        take: Called with the client. If it fails, the client is closed, so that it sends nothing unredacted.
    """

    def __init__(self, take: Callable[[BaseClient], None]) -> None:
        self._take = take

    def begin(self, patches: Patches) -> None:
        """Watch until the patches are reverted."""
        original = Scope.set_client

        @wraps(original)
        def set_client(scope: Scope, client: BaseClient | None = None) -> None:
            original(scope, client)
            if client is not None and client.is_active() and patches.active:
                self._try(client)

        patches.set(Scope, "set_client", set_client)

    def _try(self, client: BaseClient) -> None:
        try:
            self._take(client)
        except BaseException as error:
            raise_interrupt(error)
            client.close(timeout=0)
            client.spotlight = None
            _logger.exception(
                "cannot redact the Sentry client of the service, so it was closed and sends nothing"
            )


def redact_clients(redactor: Redactor, patches: Patches) -> None:
    """Redact the events of the service's own clients, until the patches are reverted.

    Used if Sentry is not one of our exporters.
    """
    client = sentry_sdk.get_client()
    if client.is_active():
        redact_client(client, redactor, patches)
    ClientWatch(lambda client: redact_client(client, redactor, patches)).begin(patches)


def redact_client(
    client: BaseClient,
    redactor: Redactor,
    patches: Patches,
    hook: Callable[[Hook | None, BaseClient], Hook] | None = None,
) -> None:
    """Redact the result of every hook that a client calls before it sends.

    Args:
        client: Any client.
        redactor: Redacts each record.
        patches: Restores the service's hooks.
        hook: Creates the `before_send` hook. None: a hook that only redacts.
    """
    options = client.options
    before_send = options.get("before_send")
    ours: dict[str, Any] = {
        "before_send": hook(before_send, client) if hook is not None else redacting(redactor, before_send)
    }
    experiments = dict(options.get("_experiments") or {})
    for name in _HOOKS:
        own = options.get(name) or experiments.get(name)
        # Versions before 2.35 read the hook for logs only from the experiments.
        ours[name] = experiments[name] = redacting(
            redactor, own, instead=_WITHHELD if name == "before_send_span" else None
        )
    patches.set_members(options, {**ours, "_experiments": experiments})


def redacting(redactor: Redactor, then: Hook | None = None, *, instead: Any = None) -> Hook:
    """Return a hook that redacts the result of the service's own hook.

    Args:
        redactor: Redacts each record.
        then: The service's own hook, if any.
        instead: Replacement for a record that cannot be redacted. None: the record is dropped.
    """

    def hook(record: Any, hint: Any) -> Any:
        if then is not None:
            record = then(record, hint)
        return redactor.event(record) or instead if record is not None else None

    return hook
