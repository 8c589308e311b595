"""The lifecycle of the parts of telemetry that queue or send something."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import ClassVar

from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.sdk.trace.export import SpanExporter

from mita_otel.processors.queues.forks import after_fork_in_child


class Stage:
    """A part of telemetry that queues or sends something. `Telemetry` holds an ordered list of stages.

    A subclass overrides the methods that it needs; the others do nothing. Every method is safe on any thread and may
    be called more than once. Deadlines are seconds of `time.monotonic()`.
    """

    counts_losses: ClassVar[bool] = False
    """Whether this stage sends the counts of the other stages' losses. It is flushed after them."""

    def start(self) -> None:
        """Start background work. Called when an application starts to serve, so after a server has forked."""

    def flush_async(self, deadline_s: float) -> None:
        """Begin to send what is queued, without waiting, so that several stages send at the same time."""

    def flush(self, deadline_s: float) -> bool:
        """Send what is queued. Returns False if the deadline passed first or sending failed."""
        return True

    def drain(self) -> None:
        """Release items that are held for the end of a trace or a chain, so that the next flush sends them.

        Called when the process may be about to end. New items are still accepted: after SIGTERM a server finishes its
        requests, and a test suite ends an application's lifespan many times. Only `close` refuses new items.
        """

    def abandon(self) -> None:
        """Count each item that was not sent as lost, once: the deadline has passed.

        Items are still sent if the process lives long enough.
        """

    def close(self) -> None:
        """Refuse new items and free threads, connections and files. Flush first: this does not wait for a backend."""


class ExporterHooks:
    """Optional methods of a span exporter, in addition to OpenTelemetry's `export`, `force_flush` and `shutdown`.

    An exporter that holds spans, has its own queue or observes running requests also inherits from this class and
    overrides the methods that it needs. The others do nothing.
    """

    takes_turns: ClassVar[bool] = False
    """Whether `export` does not wait for a network or disk, so that it may wait for the work of other queues' threads."""

    def implements(self, method: str) -> bool:
        """Return whether a subclass overrides a method, so that a call is worth its cost."""
        return getattr(type(self), method) is not getattr(ExporterHooks, method)

    @property
    def deliveries(self) -> Deliveries | None:
        """The latest deliveries. None: the result of `export` says whether spans arrived."""
        return None

    def on_span_start(self, span: Span) -> None:
        """Observe a span that starts. Runs on the application's thread, so it must be quick."""

    def on_span_end(self, span: ReadableSpan) -> None:
        """Observe a span that ends, before any queue. Runs on the application's thread, so it must be quick."""

    def watch_sampling(self, sampled_out: Callable[[], tuple[int, int]]) -> None:
        """Receive a function that returns the numbers of traces and spans that tail sampling has dropped."""

    def tick(self) -> None:
        """Export spans that were held too long. Called regularly while no spans arrive."""

    def drain(self) -> None:
        """Release held spans; see `Stage.drain`."""

    def abandon(self) -> None:
        """Count items that were not sent as lost; see `Stage.abandon`."""


def hooks_of(exporter: SpanExporter) -> ExporterHooks:
    """Return the exporter's hooks, or hooks that do nothing if it has no hooks."""
    return exporter if isinstance(exporter, ExporterHooks) else ExporterHooks()


def seconds_left(deadline_s: float) -> float:
    """Return the seconds until a deadline, 0 if it has passed."""
    return max(0.0, deadline_s - monotonic())


def milliseconds_left(deadline_s: float) -> int:
    """Return the whole milliseconds until a deadline, as OpenTelemetry's interfaces take them; 0 if it has passed."""
    return int(seconds_left(deadline_s) * 1000)


def deadline_in(timeout_millis: float) -> float:
    """Return the deadline of OpenTelemetry's `force_flush(timeout_millis)`."""
    return monotonic() + timeout_millis / 1000


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """Results of the latest deliveries. Times are seconds since the epoch."""

    last_success_s: float | None = None
    failing_since_s: float | None = None
    """Time of the first failure since the last success. None: the last delivery succeeded, or there was none."""
    why: str = ""
    """The latest failure."""


class Deliveries:
    """Records whether deliveries succeed. Thread-safe.

    Args:
        clock: Seconds since the epoch.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._reset()
        after_fork_in_child(self._reset)

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._state = DeliveryState()

    @property
    def state(self) -> DeliveryState:
        """Results of the latest deliveries."""
        return self._state

    def succeeded(self) -> None:
        """Record a successful delivery."""
        with self._lock:
            self._state = DeliveryState(last_success_s=self._clock())

    def failed(self, why: str) -> None:
        """Record a failed delivery."""
        with self._lock:
            since_s = self._state.failing_since_s
            self._state = DeliveryState(
                self._state.last_success_s, self._clock() if since_s is None else since_s, why
            )
