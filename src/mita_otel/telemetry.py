"""The handle that `configure()` returns."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, Final, Protocol, runtime_checkable

from opentelemetry.sdk.trace.export import SpanExporter

from mita_otel.alerts.intake import AlertIntake
from mita_otel.health.health import Health
from mita_otel.performance import Performance
from mita_otel.policy import Policy
from mita_otel.processors.losses import Losses
from mita_otel.redaction import Redactor

_logger = logging.getLogger("mita_otel")

_ALMOST: Final = 0.9
"""The part of a deadline after which it counts as over: whoever waits rounds down what is left."""


@runtime_checkable
class LetsGo(Protocol):
    """What keeps something until it is complete: an exporter its traces, the audit trail the end of its chain."""

    def let_go(self) -> None:
        """Complete it: the process is ending."""


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
        held = [one for one in (*exporters.values(), *self._flushables) if isinstance(one, LetsGo)]
        self._holding: tuple[LetsGo, ...] = (*(one for one in holding if one is not None), *held)
        self._applications = applications
        self._engines = engines
        self._on_shutdown = on_shutdown
        self._shut_down = threading.Event()
        self._said_late = False

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
        deadline = monotonic() + (self.policy.lifecycle.flush_timeout_s if timeout_s is None else timeout_s)
        flushed = True
        for flushable in self._flushables:
            left_ms = max(0, int((deadline - monotonic()) * 1000))
            try:
                flushed = flushable.force_flush(left_ms) is not False and flushed
            except Exception:
                _logger.debug("%s could not be flushed", type(flushable).__name__, exc_info=True)
                flushed = False
        return flushed

    def finish(self, timeout_s: float) -> bool:
        """Flush as `flush` does, and what is held back for a trace's or a chain's end as well: there may be no later."""
        for one in self._holding:
            one.let_go()
        began_s = monotonic()
        flushed = self.flush(timeout_s)
        if self._losses is not None:
            self._losses.say_rest()
        # Whoever gives no time at all waits for nothing.
        late = timeout_s > 0 and monotonic() - began_s >= timeout_s * _ALMOST
        if late and not (flushed or self._said_late):
            self._said_late = True
            _logger.warning(
                "not all telemetry was sent in time (lifecycle.shutdown_timeout_s of the policy): what still waits is "
                "lost when the process ends"
            )
        return flushed

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
            for flushable in self._flushables:
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
        """Return how many spans were lost so far, by `stage: reason`. Empty is good."""
        if self._losses is None:
            return {}
        return {f"{stage}: {reason}": count for (stage, reason), count in self._losses.counts().items()}
