"""The handle that `configure()` returns."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, Final, Protocol, runtime_checkable

from opentelemetry.sdk.trace.export import SpanExporter

from mita_otel.alerts.intake import AlertIntake
from mita_otel.policy import Policy
from mita_otel.processors.queues.losses import CutsOff, Losses, signal_of
from mita_otel.redaction import Redactor
from mita_otel.sdk.health.health import Health
from mita_otel.sdk.performance import Performance

_logger = logging.getLogger("mita_otel")

_ALMOST: Final = 0.9
"""The part of a deadline after which it counts as over: whoever waits rounds down what is left."""


@runtime_checkable
class LetsGo(Protocol):
    """What keeps something until it is complete: an exporter its traces, the audit trail the end of its chain."""

    def let_go(self) -> None:
        """Complete it: the process is ending."""


@runtime_checkable
class Hurries(Protocol):
    """What can send beside others that are waited for."""

    def hurry(self, timeout_millis: int, /) -> None:
        """Start to send what waits."""


class Flushable(Protocol):
    """A provider of any signal, or anything else that holds telemetry back for a while."""

    def force_flush(self, timeout_millis: int = ..., /) -> bool:
        """Send what waits."""

    def shutdown(self) -> None:
        """End."""


class Instruments(Protocol):
    """What measures a library's objects."""

    def instrument(self, target: Any, /) -> None:
        """Measure the object."""


class Telemetry:
    """Telemetry as it was configured: flush it, end it, point it at an application or an engine.

    Every method is safe at any time, on any thread, and never raises into the application.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        environment: str,
        redactor: Redactor,
        exporters: dict[str, SpanExporter],
        losses: Losses | None,
        flushables: Iterable[Flushable],
        metrics: Iterable[Flushable] = (),
        cutting: Iterable[CutsOff] = (),
        applications: Instruments | None = None,
        engines: Instruments | None = None,
        on_shutdown: Callable[[], None] | None = None,
        holding: Iterable[LetsGo | None] = (),
        performance: Performance | None = None,
        health: Health | None = None,
        alerts: AlertIntake | None = None,
    ) -> None:
        self.policy = policy
        """The effective policy."""
        self.environment = environment
        """The environment's name."""
        self.redactor = redactor
        """The redactor that everything passes."""
        self.exporters = exporters
        """The exporters by name."""
        self.performance = performance
        """Summaries, burn rates and breaches. None: telemetry is off."""
        self.health = health
        """How telemetry itself is. None: telemetry is off."""
        self.alerts = alerts
        """Where alerts hear of errors. None: nothing is watched."""
        self._losses = losses
        self._flushables = tuple(flushables)
        self._metrics = tuple(metrics)
        self._cutting = (*cutting, *(one for one in self._flushables if isinstance(one, CutsOff)))
        held = [one for one in (*exporters.values(), *self._flushables) if isinstance(one, LetsGo)]
        self._holding: tuple[LetsGo, ...] = (*(one for one in holding if one is not None), *held)
        self._applications = applications
        self._engines = engines
        self._on_shutdown = on_shutdown
        self._shut_down = threading.Event()
        self._said_late: str | None = None

    @property
    def ended(self) -> bool:
        """True after `shutdown()`."""
        return self._shut_down.is_set()

    @property
    def enabled(self) -> bool:
        """False if `OTEL_SDK_DISABLED` switched telemetry off."""
        return bool(self._flushables)

    def flush(self, timeout_s: float | None = None) -> bool:
        """Send everything that has finished so far, and wait for it.

        Args:
            timeout_s: Seconds it may take. None: `lifecycle.flush_timeout_s` of the policy.

        Returns:
            Whether everything was handed over in time.
        """
        if self._shut_down.is_set():
            return True
        deadline_s = monotonic() + (self.policy.lifecycle.flush_timeout_s if timeout_s is None else timeout_s)
        # Metrics come last: they count what became of the rest.
        return all([_flush(self._flushables, deadline_s), _flush(self._metrics, deadline_s)])

    def finish(self, timeout_s: float) -> bool:
        """Flush as `flush` does, and what is held back for a trace's or a chain's end as well: there may be no later."""
        if self._shut_down.is_set():
            self._say_rest()
            return True
        for one in self._holding:
            one.let_go()
        began_s = monotonic()
        share = self.policy.lifecycle.shutdown_metrics_share if self._metrics else 0
        for_rest_s = timeout_s * (1 - share)
        flushed = _flush(self._flushables, began_s + for_rest_s)
        late = not flushed and _is_over(began_s, for_rest_s)
        _cut_off(self._cutting if late else ())
        if self._metrics:
            counted = _flush(self._metrics, began_s + timeout_s)
            metrics_late = not counted and _is_over(began_s, timeout_s)
            _cut_off(self._metrics if metrics_late else ())
            flushed, late = flushed and counted, late or metrics_late
        self._say_rest()
        cut_off = self._cut_off_so_far()
        # Whoever gives no time at all waits for nothing; unless all of it has been used up before.
        expected = timeout_s == 0 and self._said_late is None
        if late and not expected and cut_off != self._said_late:
            self._said_late = cut_off
            _logger.warning(
                "not all telemetry was sent in time (lifecycle.shutdown_timeout_s of the policy): what still waits is "
                "lost when the process ends%s",
                cut_off,
            )
        return flushed

    def _say_rest(self) -> None:
        if self._losses is not None:
            self._losses.say_rest()

    def _cut_off_so_far(self) -> str:
        counts = {} if self._losses is None else self._losses.cut_off()
        said = [f"{count} {signal_of(stage)} at {stage}" for stage, count in sorted(counts.items())]
        return f": {', '.join(said)}" if said else ""

    def shutdown(self, timeout_s: float | None = None) -> bool:
        """Flush, then end. Later spans are refused. A second call does nothing.

        Args:
            timeout_s: Seconds it may take. None: `lifecycle.shutdown_timeout_s` of the policy.

        Returns:
            Whether everything was handed over in time.
        """
        flushed = self.finish(self.policy.lifecycle.shutdown_timeout_s if timeout_s is None else timeout_s)
        if not self._shut_down.is_set():
            self._shut_down.set()
            for flushable in (*self._flushables, *self._metrics):
                try:
                    flushable.shutdown()
                except Exception:
                    _logger.debug("%s could not be ended", type(flushable).__name__, exc_info=True)
            if self._on_shutdown is not None:
                self._on_shutdown()
        return flushed

    def keep(self, flushable: Flushable) -> None:
        """Flush something with the rest from now on, and end it with the rest."""
        self._flushables = (*self._flushables, flushable)

    def instrument(self, *, app: Any = None, engine: Any = None) -> None:
        """Measure an application or engines that existed before `configure()` was called.

        Args:
            app: A FastAPI application that has not served a request yet.
            engine: A SQLAlchemy engine, sync or async, or several.
        """
        if app is not None and self._applications is not None:
            self._applications.instrument(app)
        if engine is not None and self._engines is not None:
            for one in engine if isinstance(engine, list | tuple | set) else [engine]:
                self._engines.instrument(one)

    def losses(self) -> dict[str, int]:
        """Return how many spans, log records and errors were lost so far, by `stage: reason`. Empty is good."""
        if self._losses is None:
            return {}
        return {f"{stage}: {reason}": count for (stage, reason), count in self._losses.counts().items()}


def _flush(flushables: Iterable[Flushable], deadline_s: float) -> bool:
    """Flush one after another, those that can beside the others; return whether all was sent."""
    flushables = tuple(flushables)
    flushed = True
    for flushable in flushables:
        if isinstance(flushable, Hurries):
            flushable.hurry(_left_ms(deadline_s))
    for flushable in flushables:
        try:
            flushed = flushable.force_flush(_left_ms(deadline_s)) is not False and flushed
        except Exception:
            _logger.debug("%s could not be flushed", type(flushable).__name__, exc_info=True)
            flushed = False
    return flushed


def _is_over(began_s: float, timeout_s: float) -> bool:
    return monotonic() - began_s >= timeout_s * _ALMOST


def _left_ms(deadline_s: float) -> int:
    return max(0, int((deadline_s - monotonic()) * 1000))


def _cut_off(late: Iterable[object]) -> None:
    for one in late:
        if isinstance(one, CutsOff):
            try:
                one.cut_off()
            except Exception:
                _logger.debug("what %s holds could not be counted", type(one).__name__, exc_info=True)
