"""Makes the exporters that were asked for, and the fallback for Sentry where there is no DSN.

What exporters that cannot be created would have received is counted as lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter

from mita_otel import environment_variables as variables
from mita_otel import semconv
from mita_otel.errors import ConfigurationError
from mita_otel.exporters.file import FileSpanExporter
from mita_otel.exporters.memory import MemorySpanExporter
from mita_otel.exporters.registry import ExporterUnavailableError, find_exporters, make_otlp_exporter
from mita_otel.instrumentation.asgi import at_each_request
from mita_otel.latency.window import WindowStore
from mita_otel.policy import default_policy
from mita_otel.processors.observation import SpanObserver
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.stage import Stage
from mita_otel.sdk.service import Service
from mita_otel.store import StoreError, open_database

if TYPE_CHECKING:
    from mita_otel.sentry.sampling_context import SamplingContexts


_SENTRY = "sentry"
_LOCAL = frozenset({"console", "memory", "ConsoleSpanExporter", "InMemorySpanExporter"})
"""Exporters, ours and the SDK's, for a terminal or a test, without a backend."""
_REASON: Final = "not_created"


@dataclass
class Exporters:
    """The exporters of one configuration, and what they need from the other parts."""

    named: list[tuple[str, SpanExporter]] = field(default_factory=list)
    """Names and exporters of spans."""
    log_exporters: list[tuple[str, LogRecordExporter]] = field(default_factory=list)
    """Names and exporters of log records, beside those that `OTEL_LOGS_EXPORTER` names."""
    error_listeners: list[LogRecordProcessor] = field(default_factory=list)
    """Receive log records that are errors."""
    stages: list[Stage] = field(default_factory=list)
    """What exporters of several signals send with."""
    observers: list[SpanObserver] = field(default_factory=list)
    """See every finished span before any sampling."""
    windows: WindowStore | None = None
    """Keeps latency windows of all workers, if there is a store."""
    sentry_contexts: SamplingContexts | None = None
    """Sentry's sampling contexts by trace, if there is a Sentry exporter."""
    unavailable: dict[str, str] = field(default_factory=dict)
    """Why an exporter of spans could not be made, by its name."""
    keep_all: bool = False
    """Whether every trace is kept, since no backend is there that the policy's sampling is meant for."""


class ExporterFactory:
    """Makes exporters by name.

    Args:
        service: The service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._policy = service.policy
        self._env = service.env
        self._made = Exporters()

    def make(self, wanted: Sequence[str | SpanExporter], report: Callable[[str], object]) -> Exporters:
        """Return the exporters that were asked for, as far as they can be made.

        Args:
            wanted: Names and instances.
            report: Called with a sentence for each exporter that cannot be made.
        """
        made, makers = self._made, {name: partial(make, self) for name, make in self.MAKERS.items()}
        found = find_exporters(wanted, makers)
        made.named = found.exporters
        made.unavailable = dict(found.unavailable)
        problems = found.problems
        wants_sentry = any(isinstance(one, str) and one.strip() == _SENTRY for one in wanted)
        names = {name for name, _ in made.named}
        if _SENTRY not in names:
            self._redact_sentry_sdk()
        if wants_sentry and _SENTRY not in names:
            fallback = find_exporters(
                [name for name in self._policy.export.without_dsn if name not in names], makers
            )
            made.keep_all = bool(fallback.exporters) and not made.named
            made.named = [*made.named, *fallback.exporters]
            made.unavailable |= fallback.unavailable
            problems = [*problems, *fallback.problems]
        if made.named and {name for name, _ in made.named} <= _LOCAL:
            usual = default_policy(self._service.environment).sampling
            made.keep_all = made.keep_all or self._policy.sampling == usual
        for problem in problems:
            report(problem)
        return made

    def _redact_sentry_sdk(self) -> None:
        """Redact what the service sends through sentry-sdk by itself, once it imports it."""
        patches = self._service.patches

        def redact(module: object) -> None:
            from mita_otel.sentry.service_clients import redact_clients

            redact_clients(self._service.redactor, patches)

        patches.on_import("sentry_sdk", redact)

    def _otlp(self) -> SpanExporter:
        return make_otlp_exporter(self._env)

    def _memory(self) -> SpanExporter:
        return MemorySpanExporter(self._policy.export.memory.max_spans)

    def _console(self) -> SpanExporter:
        from mita_otel.exporters.console import ConsoleWaterfallExporter

        return ConsoleWaterfallExporter(policy=self._policy.export.console, redactor=self._service.redactor)

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
        self._made.log_exporters.append(("store", StoreLogExporter(writer)))
        self._made.windows = StoreWindows(
            database,
            self._service.redactor,
            service=self._service.name,
            environment=self._service.environment,
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
                f"Set it to your project's DSN, or name another exporter in {variables.TRACES_EXPORTER}",
                expected=True,
            )
        try:
            link = start_client(
                self._policy.sentry,
                dsn=dsn or None,
                environment=self._service.environment,
                release=self._release(),
                redactor=self._service.redactor,
                losses=self._service.losses,
                debug=variables.is_true(self._env.get(variables.SENTRY_DEBUG)),
                spotlight=spotlight,
                patches=self._service.patches,
                slices=self._service.slices,
            )
            exporter = SentrySpanExporter(
                self._policy.sentry, link, self._service.losses, step=self._service.slices.step
            )
        except ConfigurationError as error:
            raise ExporterUnavailableError(str(error)) from error
        self._made.stages.append(link)
        self._made.sentry_contexts = link.contexts
        at_each_request(self._service.patches, enter_request)
        if exporter.sessions is not None:
            self._made.observers.append(exporter.sessions)
        if self._policy.sentry.logs:
            from mita_otel.sentry.logs import SentryLogExporter

            self._made.log_exporters.append((_SENTRY, SentryLogExporter(link)))
        if self._policy.sentry.capture_errors:
            self._made.error_listeners.append(exporter.issues)
        return exporter

    def _release(self) -> str | None:
        release = self._env.get(variables.SENTRY_RELEASE, "").strip()
        if release:
            return release
        name = self._service.resource.attributes.get(semconv.SERVICE_NAME)
        version = self._service.resource.attributes.get(semconv.SERVICE_VERSION)
        return f"{name}@{version}" if name and version else None

    MAKERS: ClassVar[Mapping[str, Callable[[ExporterFactory], SpanExporter]]] = MappingProxyType(
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


def counting_unavailable(
    names: Iterable[str], losses: Losses, then: Callable[[ReadableSpan], None] | None
) -> Callable[[ReadableSpan], None] | None:
    """Return a function that counts each finished span for each exporter, also the spans that sampling drops later.

    Args:
        names: The exporters. None given: `then` is returned.
        losses: Counts the spans.
        then: Called with each finished span as well.
    """
    stages = [f"exporter.{name}" for name in names]
    if not stages:
        return then

    def on_end(span: ReadableSpan) -> None:
        for stage in stages:
            losses.add(stage, _REASON)
        if then is not None:
            then(span)

    return on_end


class UnavailableLogExporter(LogRecordProcessor):
    """Counts every log record.

    Args:
        name: The exporter's name.
        losses: Counts the records.
    """

    def __init__(self, name: str, losses: Losses) -> None:
        self._stage = f"logs.{name}"
        self._losses = losses

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Count a record."""
        self._losses.add(self._stage, _REASON)

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: there is no queue."""
        return True


class UnavailableMetricExporter(Stage):
    """Counts a collection of metrics at each flush.

    Args:
        losses: Counts the collections.
    """

    counts_losses: ClassVar[bool] = True

    def __init__(self, losses: Losses) -> None:
        self._losses = losses

    def flush(self, deadline_s: float) -> bool:
        """Count a collection."""
        self._losses.add("metrics", _REASON)
        return True
