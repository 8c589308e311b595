"""`capture()`: real telemetry for one test, with recorders in the place of backends.

What telemetry keeps for the whole process is put aside, and given back.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import sentry_sdk
from opentelemetry import _logs, metrics, propagate, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from sentry_sdk import Scope
from sentry_sdk.client import BaseClient

from mita_otel import environment_variables as variables
from mita_otel._otel_compat.global_providers import put_aside_providers
from mita_otel._otel_compat.metrics import forget_meters
from mita_otel._otel_compat.traces import set_clock
from mita_otel.alerts.alert_setup import AlertComponents, scope_of
from mita_otel.alerts.engine import AlertEngine
from mita_otel.alerts.evaluator import RuleEvaluator
from mita_otel.alerts.events import AlertEvent, AlertEventProcessor
from mita_otel.alerts.memory_store import MemoryAlertStore
from mita_otel.alerts.span_counter import SpanCounter
from mita_otel.audit import installed as audit
from mita_otel.finance import runtime as finance
from mita_otel.instrumentation.patches import Patches
from mita_otel.policy import Policy, environment_name, load_policy
from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.policy.sources import find_file
from mita_otel.redaction import Redactor
from mita_otel.sdk import configuration
from mita_otel.sdk.composition import Additions
from mita_otel.sdk.configuration import compose_for_test
from mita_otel.sdk.service import Service, Settings
from mita_otel.sentry.transport.ingest_client import IngestClient
from mita_otel.testing.captured import CapturedTelemetry
from mita_otel.testing.deterministic import ManualClock, SequentialIds
from mita_otel.testing.recorders import Recorders

_DSN: Final = "http://capture@sentry.invalid/1"
"""Nothing is sent to it."""
_BACKENDS: Final = ("MITA_OTEL_", "OTEL_", "PAGERDUTY_", "SENTRY_", "SLACK_")
"""Beginnings of the variables that name backends. A test does not see them."""
_KEPT: Final = frozenset({variables.HMAC_KEY, variables.POLICY})
_NO_EXPORTERS: Final = dict.fromkeys(
    (variables.TRACES_EXPORTER, variables.METRICS_EXPORTER, variables.LOGS_EXPORTER), "none"
)
_redactors: Final[list[Redactor]] = []
_MAX_REDACTORS: Final = 4


@contextmanager
def capture(
    policy: Policy | str | os.PathLike[str] | Mapping[str, Any] | None = None,
    environment: str | None = None,
    *,
    service_name: str = "test",
    deterministic: bool = False,
) -> Iterator[CapturedTelemetry]:
    """Start telemetry for the block, and record what it would export. Nothing uses the network.

    Limits, redaction, alert rules and the mapping to Sentry are the real ones. Every trace is kept. A call of
    `configure()` inside the block returns this telemetry. At the end of the block the process is as it was before.
    The variables of backends (`SENTRY_*`, `OTEL_*`, …) are not set inside the block.

    Args:
        policy: A policy, the path of a policy file, or values that differ from the discovered policy, as in
            `{"thresholds": {"api": {"methods": {"GET": 100}}}}`. None: the policy that `configure()` finds.
        environment: The environment's name. None: as for `configure()`.
        service_name: The service's name.
        deterministic: Ids count from 1, and time passes only by `mita.clock.advance(seconds)`.

    Raises:
        PolicyError: The policy is invalid.

    Example:
        >>> with capture({"thresholds": {"financial": {"refund": 100}}}, deterministic=True) as mita:
        ...     with mita_otel.monitor_financial_operation("refund"):
        ...         mita.clock.advance(0.2)
        ...     mita.assert_breached("financial.refund")
    """
    name = environment_name(environment)
    effective = policy if isinstance(policy, Policy) else _load(policy, name)
    folder = Path(tempfile.gettempdir(), f"mita-otel-test-{uuid4().hex}")  # made when something is stored
    clock = ManualClock() if deterministic else None
    recorders = Recorders(log_audit_entries=effective.audit.log_records)
    reader = InMemoryMetricReader()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        patches = Patches()
        stack.callback(patches.revert)
        patches.set_items(os.environ, {**dict.fromkeys(_variables_of_backends()), **_NO_EXPORTERS})
        patches.set(IngestClient, "post", recorders.sentry.post)
        if clock is not None:
            set_clock(clock.time_ns, patches.set)
        meters = MeterProvider([reader], Resource.get_empty(), shutdown_on_exit=False)
        stack.callback(meters.shutdown)
        stack.enter_context(isolated())
        metrics.set_meter_provider(meters)
        alerts = MemoryAlertStore(
            max_samples=effective.alerts.max_events,
            max_queued=effective.alerts.delivery.max_waiting,
            on_loss=lambda what, count: None,
        )
        telemetry = compose_for_test(
            Settings(_for_tests(effective, folder), name, service_name, (recorders.spans, "sentry")),
            {**os.environ, variables.SENTRY_DSN: _DSN},
            Additions(
                redactor=_redactor(effective.redaction),
                id_generator=SequentialIds() if deterministic else None,
                log_exporters=[("capture", recorders.logs)],
                breach_listeners=[recorders.breaches],
                start_alerts=lambda service: _alerts(service, alerts, clock),
                on_audit_entry=recorders.audit,
                move_audit_on_demand=True,  # creating a database takes longer than a test
            ),
        )
        # The lines of a test contain its secrets.
        sentry_sdk.get_client().options["include_source_context"] = False
        yield CapturedTelemetry(telemetry, recorders, reader, alerts, clock)


def _variables_of_backends() -> list[str]:
    return [name for name in os.environ if name.startswith(_BACKENDS) and name not in _KEPT]


def _load(policy: str | os.PathLike[str] | Mapping[str, Any] | None, environment: str) -> Policy:
    if isinstance(policy, Mapping):
        return load_policy(environment=environment, overlay=dict(policy))
    found = find_file(None if policy is None else Path(policy), os.environ, Path.cwd())
    if found is not None and not found[0].is_file():
        return load_policy(policy, environment=environment)
    path, changed_ns = (found[0].absolute(), found[0].stat().st_mtime_ns) if found else (None, 0)
    settings = tuple(sorted(item for item in os.environ.items() if item[0].startswith("MITA_OTEL_")))
    return _loaded(None if policy is None else os.fspath(policy), environment, path, changed_ns, settings)


@lru_cache(maxsize=8)
def _loaded(
    policy: str | None,
    environment: str,
    path: Path | None,
    changed_ns: int,
    settings: tuple[tuple[str, str], ...],
) -> Policy:
    """Return a policy. Most tests of a suite use the same file, and reading it takes longer than a short test."""
    return load_policy(policy, environment=environment)


def _redactor(policy: RedactionPolicy) -> Redactor:
    """Return a redactor. Most tests of a suite use the same rules, and compiling them takes longer than a short test."""
    if os.environ.get(variables.HMAC_KEY):
        return Redactor(policy)
    for known in _redactors:
        if known.policy == policy:
            return known
    made = Redactor(policy)
    _redactors[:] = [made, *_redactors][:_MAX_REDACTORS]
    return made


def _for_tests(policy: Policy, folder: Path) -> Policy:
    """Return the policy with every trace kept, with files in a temporary folder, and without other hosts."""
    audit = policy.audit.replace(
        spool=policy.audit.spool.replace(folder=str(folder / "audit")),
        anchors=policy.audit.anchors.replace(path=str(folder / "anchors.jsonl"), url="", timestamp_url=""),
    )
    return policy.replace(
        sampling=policy.sampling.replace(mode="always"),
        lifecycle=policy.lifecycle.replace(handle_signals=False),
        sentry=policy.sentry.replace(compression_level=0, senders=1),  # one sender keeps the order
        store=policy.store.replace(url=f"sqlite:///{folder / 'store.db'}"),
        audit=audit,
    )


def _alerts(service: Service, store: MemoryAlertStore, clock: ManualClock | None) -> AlertComponents:
    """Evaluate the rules of the policy as if each channel was configured, without notifications."""
    objective = service.policy.thresholds.objective
    # Rules about the health of telemetry would read the list of installed packages in each test.
    rules = {
        name: rule
        for name, rule in service.policy.alerts.rules.items()
        if rule.is_local and rule.on != ("health",)
    }
    alerts = service.policy.alerts.replace(rules=rules)
    counter = SpanCounter(rules, objective, max_subjects=alerts.max_alerts, on_first=lambda: engine.start())
    evaluator = RuleEvaluator(
        alerts,
        objective,
        scope_of(service.resource, service.environment),
        service.redactor,
        lambda channels: channels,
        shared=False,
    )
    clock_ns = time.time_ns if clock is None else clock.time_ns

    def submit(event: AlertEvent) -> None:
        engine.submit(event if clock is None else replace(event, at_ns=clock.time_ns()))

    engine = AlertEngine(
        alerts, store, evaluator, None, counter, service.redactor, service.losses, clock_ns=clock_ns
    )
    return AlertComponents(engine, AlertEventProcessor(submit, engine.streams), counter)


@contextmanager
def isolated(timeout_s: float = 5.0) -> Iterator[None]:
    """Run with no telemetry in the process: no providers, no Sentry client, no configuration.

    `configure()` can be called inside. At the end its telemetry is shut down, and what was there before applies again.

    Args:
        timeout_s: Seconds that the shutdown of telemetry may take.
    """
    everyone = sentry_sdk.get_global_scope()
    with ExitStack() as stack:
        stack.callback(_move_handles)
        stack.callback(_give_back_client, everyone, everyone.client)
        scopes = [
            stack.enter_context(sentry_sdk.isolation_scope()),
            stack.enter_context(sentry_sdk.new_scope()),
        ]
        stack.callback(propagate.set_global_textmap, propagate.get_global_textmap())
        stack.callback(finance.install, finance.running())
        for put_aside in (audit.put_aside, configuration.put_aside, put_aside_providers):
            stack.callback(put_aside())
        finance.install(None)
        for scope in (everyone, *scopes):
            scope.set_client(None)
        forget_meters("mita_otel")  # their instruments would wait for a provider
        stack.callback(_shut_down, timeout_s)
        yield


def _shut_down(timeout_s: float) -> None:
    telemetry = configuration.configured()
    if telemetry is not None:
        telemetry.shutdown(timeout_s)


def _give_back_client(scope: Scope, client: BaseClient) -> None:
    """Let a scope have a client again, and close the one that was started since."""
    if scope.client is not client:
        scope.client.close(timeout=0)
    scope.set_client(client)


def _move_handles() -> None:
    configuration.move_handles(trace.get_tracer_provider(), _logs.get_logger_provider())
