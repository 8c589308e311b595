"""Metrics of the gateway: requests, items, losses, and the measured spans and errors of apps."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from mita_otel import semconv
from mita_otel.alerts.events import AlertEvent
from mita_otel.errors import raise_interrupt
from mita_otel.finance.counts import FinanceCounts
from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.operations import Operation
from mita_otel.mobile.app_errors import AppError
from mita_otel.mobile.measurement import MeasuredSpan
from mita_otel.mobile.otel_spans import SCOPE
from mita_otel.mobile.reply import EngineStatus, Reply
from mita_otel.processors.breaches import Breaches
from mita_otel.processors.observation import Observation as SpanObservation
from mita_otel.processors.observation import SpanObserver
from mita_otel.processors.queues.forks import ForkSafeLock

_logger = logging.getLogger("mita_otel.mobile")


class GatewayMetrics:
    """Counts what the gateway receives, and passes measured spans and errors on. Thread-safe; never raises.

    Args:
        breaches: Counts and logs breaches, and notifies listeners. None: breaches are ignored.
        observers: Receive each measured span: summaries, metrics, error budgets.
        counts: Counts errors. None: errors are not counted.
        on_error: Called with each error, for alerts.
        meter: Creates the instruments. None: a meter of the global provider.
        cool_down_s: Seconds between two log lines about the same loss.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        breaches: Breaches | None = None,
        observers: Sequence[SpanObserver] = (),
        *,
        counts: FinanceCounts | None = None,
        on_error: Callable[[AlertEvent], None] = lambda signal: None,
        meter: metrics.Meter | None = None,
        cool_down_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        meter = meter or metrics.get_meter("mita_otel")
        self._breaches = breaches
        self._observers = tuple(observers)
        self._counts = counts
        self._on_error = on_error
        self._cool_down_s = cool_down_s
        self._clock = clock
        self._lock = threading.Lock()
        self._logged_at: dict[str, float] = {}
        self.lost: Counter[str] = Counter()
        """Records lost so far, by `reason: priority`."""
        self.engine_status: EngineStatus = EngineStatus()
        """The latest status of the engine."""
        self.status = GatewayStatus(clock=clock)
        """Recent problems."""
        self._requests = meter.create_counter(
            semconv.MOBILE_REQUESTS, unit="{request}", description="Requests to the mobile gateway"
        )
        self._items = meter.create_counter(
            semconv.MOBILE_ITEMS, unit="{item}", description="Items that mobile apps sent"
        )
        self._redacted = meter.create_counter(
            semconv.MOBILE_REDACTED, unit="{value}", description="Values redacted in what mobile apps sent"
        )
        self._delivered = meter.create_counter(
            semconv.MOBILE_DELIVERED, unit="{envelope}", description="Envelopes of mobile apps that arrived"
        )
        self._lost = meter.create_counter(
            semconv.MOBILE_LOST, unit="{envelope}", description="Envelopes of mobile apps that were dropped"
        )
        meter.create_observable_gauge(f"{semconv.MOBILE_SPOOL}.records", [self._records], unit="{envelope}")
        meter.create_observable_gauge(f"{semconv.MOBILE_SPOOL}.bytes", [self._bytes], unit="By")

    def count_reply(self, reply: Reply) -> None:
        """Count a response, and what the engine found in the request."""
        labels: dict[str, str | int] = {"http.response.status_code": reply.status}
        if reply.reason:
            labels["reason"] = reply.reason
        self._requests.add(1, labels)
        for (kind, outcome), count in reply.outcomes.items():
            self._items.add(count, {"type": kind, "outcome": outcome})
        for rule, count in reply.redacted.items():
            self._redacted.add(count, {"rule": rule})
        for measured in reply.measured:
            try:
                self._measured(measured)
            except BaseException as raised:  # noqa: BLE001 - logged at intervals, not for every request
                raise_interrupt(raised)
                self._log("measured", "a span of a mobile app could not be counted", exc_info=True)
        for error in reply.errors:
            try:
                self._error(error)
            except BaseException as raised:  # noqa: BLE001 - as above
                raise_interrupt(raised)
                self._log("error", "an error of a mobile app could not be counted", exc_info=True)

    def update(self, status: EngineStatus | None) -> None:
        """Count deliveries and losses; losses are logged at intervals. None: the engine did not answer."""
        self.status.update(status)
        if status is None:
            return
        self.engine_status = status
        if status.delivered:
            self._delivered.add(status.delivered)
        for (reason, priority), count in status.lost.items():
            self._lost.add(count, {"reason": reason, "priority": priority})
            with self._lock:
                self.lost[f"{reason}: {priority}"] += count
                total = self.lost[f"{reason}: {priority}"]
            self._log(
                reason, f"mobile telemetry lost: {reason} ({total} envelopes of priority {priority} so far)"
            )

    def _log(self, what: str, text: str, *, exc_info: bool = False) -> None:
        with self._lock:
            now = self._clock()
            if now - self._logged_at.get(what, float("-inf")) < self._cool_down_s:
                return
            self._logged_at[what] = now
        _logger.warning(text, exc_info=exc_info)

    def _measured(self, measured: MeasuredSpan) -> None:
        span = _span(measured)
        facts = SpanFacts(measured.name, "INTERNAL", measured.duration_ms, span.attributes or {})
        operation = Operation(measured.kind, measured.name)
        observation = SpanObservation(span, facts, operation, measured.verdict, measured.failed)
        for observer in self._observers:
            observer.observe(observation)
        if self._breaches is not None:
            for breach in measured.verdict.breaches:
                self._breaches.exceeded(breach, span, facts, measured.name)

    def _error(self, error: AppError) -> None:
        if self._counts is not None:
            self._counts.app_error(error.category, error.severity, handled=error.handled)
        self._on_error(
            AlertEvent(
                stream="errors",
                at_ns=time.time_ns(),  # an app may have been offline, and its clock may be wrong
                name=error.name,
                category=error.category,
                severity=error.severity,
                operation=error.operation,
                mobile=True,
                handled=error.handled,
                message=error.message,
                event_id=error.event_id,
                trace_id=error.trace_id,
            )
        )

    def _records(self, options: CallbackOptions) -> Iterable[Observation]:
        yield Observation(self.engine_status.records)

    def _bytes(self, options: CallbackOptions) -> Iterable[Observation]:
        yield Observation(self.engine_status.bytes)


def _span(measured: MeasuredSpan) -> ReadableSpan:
    context = SpanContext(
        int(measured.trace_id, 16), int(measured.span_id, 16), is_remote=True, trace_flags=TraceFlags(1)
    )
    end_ns = int(measured.end_s * 1e9)
    return ReadableSpan(
        name=measured.name,
        context=context,
        resource=Resource({}),
        attributes={semconv.OPERATION: measured.name, semconv.OPERATION_KIND: measured.kind},
        status=Status(StatusCode.ERROR if measured.failed else StatusCode.UNSET),
        start_time=end_ns - int(measured.duration_ms * 1e6),
        end_time=end_ns,
        instrumentation_scope=SCOPE,
    )


_OK = "ok"


class GatewayStatus:
    """Remembers when problems occurred; thread-safe.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = ForkSafeLock()
        self._lost_at: dict[str, float] = {}
        self._failing_since: dict[str, float] = {}
        self._silent_since: float | None = None

    def update(self, status: EngineStatus | None) -> None:
        """Record a status of the engine. None: it did not answer."""
        with self._lock:
            now = self._clock()
            if status is None:
                self._silent_since = now if self._silent_since is None else self._silent_since
                return
            self._silent_since = None
            for reason, _ in status.lost:
                self._lost_at[reason] = now
            self._failing_since = {
                name: self._failing_since.get(name, now)
                for name, state in status.destinations.items()
                if state != _OK
            }

    def lost_within(self, seconds: float) -> list[str]:
        """Return the reasons of losses within the last seconds."""
        with self._lock:
            since = self._clock() - seconds
            return sorted(reason for reason, at in self._lost_at.items() if at >= since)

    def failing_s(self) -> dict[str, float]:
        """Return for how many seconds each failing destination has failed."""
        with self._lock:
            now = self._clock()
            return {name: now - since for name, since in sorted(self._failing_since.items())}

    def silent_s(self) -> float | None:
        """Return for how many seconds the engine has been silent. None: it answers."""
        with self._lock:
            return None if self._silent_since is None else self._clock() - self._silent_since
