"""The exporters that were asked for, made; and what stands in for Sentry where there is no DSN."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import wrapt
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter

from mita_otel import environment_variables as variables
from mita_otel import semconv
from mita_otel.errors import ConfigurationError
from mita_otel.exporters.file import FileSpanExporter
from mita_otel.exporters.memory import MemorySpanExporter
from mita_otel.exporters.otlp import make_otlp_exporter
from mita_otel.exporters.registry import ExporterUnavailableError, Found, find_exporters
from mita_otel.instrumentation.asgi_requests import at_each_request
from mita_otel.latency.window import WindowStore
from mita_otel.policy import Policy, default_policy
from mita_otel.processors.observation import SpanObserver
from mita_otel.processors.queues.losses import Losses
from mita_otel.redaction import Redactor
from mita_otel.store import StoreError, open_database

if TYPE_CHECKING:
    from mita_otel.sentry.hosts import ClientWatch
    from mita_otel.sentry.sampling_context import SamplingContexts

_SENTRY = "sentry"
_TO_LOOK_AT = frozenset({"console", "memory", "ConsoleSpanExporter", "InMemorySpanExporter"})
"""Exporters, ours and the SDK's, whose spans are for somebody at a terminal or for a test, and for no back end."""


class WaysOut:
    """Makes exporters by name, with this process's policy.

    Args:
        policy: The policy.
        redactor: What Sentry's own events pass.
        environment: The environment's name, as Sentry shall show it.
        resource: What the service is.
        losses: Where the Sentry bridge counts what it loses.
        env: The environment variables.
    """

    def __init__(
        self,
        policy: Policy,
        redactor: Redactor,
        environment: str,
        resource: Resource,
        losses: Losses,
        env: Mapping[str, str],
    ) -> None:
        self._policy = policy
        self._redactor = redactor
        self._environment = environment
        self._resource = resource
        self._losses = losses
        self._env = env
        self.error_listeners: list[LogRecordProcessor] = []
        """Take log records that are errors: the exporters' that can show one."""
        self.log_exporters: list[tuple[str, LogRecordExporter]] = []
        """Names and exporters of log records, beside those that `OTEL_LOGS_EXPORTER` names."""
        self.keeps_everything = False
        """Whether no trace is left out: none goes to a back end that the policy's sampling was meant for."""
        self.windows: WindowStore | None = None
        """Keeps latency windows of all workers, if there is a store."""
        self.observers: list[SpanObserver] = []
        """See every finished span, before any sampling."""
        self._watches: list[ClientWatch] = []
        self.sentry_contexts: SamplingContexts | None = None
        """Sentry's sampling contexts by trace, if there is a Sentry exporter."""

    def open(self, wanted: Sequence[str | SpanExporter]) -> Found:
        """Return the exporters that were asked for, and a sentence for each that cannot be had."""
        makers = {name: partial(make, self) for name, make in self.MAKERS.items()}
        found = find_exporters(wanted, makers)
        asked_for_sentry = any(isinstance(one, str) and one.strip() == _SENTRY for one in wanted)
        has_sentry = any(name == _SENTRY for name, _ in found.exporters)
        if not has_sentry:
            self._redact_sentry_sdk()
        if asked_for_sentry and not has_sentry:
            present = {name for name, _ in found.exporters}
            instead = [name for name in self._policy.export.without_dsn if name not in present]
            stand_in = find_exporters(instead, makers)
            self.keeps_everything = bool(stand_in.exporters) and not found.exporters
            found.exporters.extend(stand_in.exporters)
            found.problems.extend(stand_in.problems)
        if found.exporters and {name for name, _ in found.exporters} <= _TO_LOOK_AT:
            usual = default_policy(self._environment).sampling
            self.keeps_everything = self.keeps_everything or self._policy.sampling == usual
        return found

    def close(self) -> None:
        """Leave sentry-sdk as it was."""
        for one in self._watches:
            one.end()

    def _redact_sentry_sdk(self) -> None:
        """Redact what the service sends through sentry-sdk by itself, if it ever imports it."""

        def patch(module: object) -> None:
            from mita_otel.sentry.hosts import redact_clients

            self._watches.append(redact_clients(self._redactor))

        wrapt.register_post_import_hook(patch, "sentry_sdk")

    def _otlp(self) -> SpanExporter:
        return make_otlp_exporter(self._env)

    def _memory(self) -> SpanExporter:
        return MemorySpanExporter(self._policy.export.memory.max_spans)

    def _console(self) -> SpanExporter:
        from mita_otel.exporters.console import ConsoleWaterfallExporter

        return ConsoleWaterfallExporter(policy=self._policy.export.console)

    def _file(self) -> SpanExporter:
        settings = self._policy.export.file
        return FileSpanExporter(
            self._env.get(variables.FILE) or settings.path, settings.max_megabytes * 1_000_000
        )

    def _store(self) -> SpanExporter:
        try:
            database = open_database(self._policy.store, self._env)
            from mita_otel.store.exporter import StoreLogExporter, StoreSpanExporter, StoreWriter
            from mita_otel.store.windows import StoreWindows
        except StoreError as error:
            raise ExporterUnavailableError(str(error)) from error
        writer = StoreWriter(database, migrate=self._policy.store.migrate)
        self.log_exporters.append(("store", StoreLogExporter(writer)))
        self.windows = StoreWindows(
            database,
            self._redactor,
            service=str(self._resource.attributes.get(semconv.SERVICE_NAME, "")),
            environment=self._environment,
            migrate=self._policy.store.migrate,
        )
        return StoreSpanExporter(writer)

    def _sentry(self) -> SpanExporter:
        from mita_otel.sentry.client import host_client_is_active, start_client
        from mita_otel.sentry.exporter import SentrySpanExporter
        from mita_otel.sentry.request_scope import enter_request

        dsn = self._env.get(variables.SENTRY_DSN, "").strip()
        spotlight = variables.is_set(self._env.get(variables.SENTRY_SPOTLIGHT))
        if not dsn and not spotlight and not host_client_is_active():
            instead = ", ".join(self._policy.export.without_dsn) or "nothing"
            raise ExporterUnavailableError(
                f"{variables.SENTRY_DSN} is not set: nothing goes to Sentry, traces go to {instead}. "
                f"Set it to your project's DSN, or name another exporter in {variables.TRACES_EXPORTER}"
            )
        try:
            link = start_client(
                self._policy.sentry,
                dsn=dsn or None,
                environment=self._environment,
                release=self._release(),
                redactor=self._redactor,
                losses=self._losses,
                debug=variables.is_true(self._env.get(variables.SENTRY_DEBUG)),
                spotlight=spotlight,
            )
            exporter = SentrySpanExporter(self._policy.sentry, link, self._losses)
        except ConfigurationError as error:
            raise ExporterUnavailableError(str(error)) from error
        self.sentry_contexts = link.contexts
        at_each_request(enter_request)
        if exporter.sessions is not None:
            self.observers.append(exporter.sessions)
        if self._policy.sentry.logs:
            from mita_otel.sentry.logs import SentryLogExporter

            self.log_exporters.append((_SENTRY, SentryLogExporter(link)))
        if self._policy.sentry.capture_errors:
            self.error_listeners.append(exporter.issues)
        return exporter

    def _release(self) -> str | None:
        release = self._env.get(variables.SENTRY_RELEASE, "").strip()
        if release:
            return release
        name = self._resource.attributes.get(semconv.SERVICE_NAME)
        version = self._resource.attributes.get(semconv.SERVICE_VERSION)
        return f"{name}@{version}" if name and version else None

    MAKERS: ClassVar[Mapping[str, Callable[[WaysOut], SpanExporter]]] = MappingProxyType(
        {
            "console": _console,
            "file": _file,
            "memory": _memory,
            "otlp": _otlp,
            _SENTRY: _sentry,
            "store": _store,
        }
    )
    """Our own exporters by name."""
