"""The handle that `configure()` returns."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from opentelemetry.sdk.trace.export import SpanExporter

from mita_otel.alerts.intake import AlertIntake
from mita_otel.policy import Policy
from mita_otel.processors.queues.stage import Stage
from mita_otel.redaction import Redactor
from mita_otel.sdk.health.health import Health
from mita_otel.sdk.performance import Performance
from mita_otel.sdk.settings import Settings
from mita_otel.sdk.stages import Stages

_logger = logging.getLogger("mita_otel")


class Instruments(Protocol):
    """Measures a library's objects."""

    def instrument(self, target: Any, /) -> None:
        """Measure the object."""


@dataclass(frozen=True)
class Instrumentation:
    """What measures objects that existed before `configure()` was called."""

    applications: Instruments
    engines: Instruments


@dataclass(frozen=True)
class Insight:
    """What answers questions about the service and about telemetry itself."""

    performance: Performance
    health: Health
    alerts: AlertIntake | None = None


class Telemetry:
    """Telemetry as it was configured: flush it, end it, point it at an application or an engine.

    Every method is safe at any time, on any thread, and never raises into the application.

    Args:
        settings: What was asked for.
        redactor: The redactor that everything passes.
        stages: What queues and sends.
        exporters: The exporters by name.
        insight: What answers questions. None: telemetry is off.
        instrumentation: What measures existing objects. None: telemetry is off.
        on_shutdown: Called after the stages have been closed.
    """

    def __init__(
        self,
        settings: Settings,
        redactor: Redactor,
        stages: Stages,
        *,
        exporters: Mapping[str, SpanExporter] | None = None,
        insight: Insight | None = None,
        instrumentation: Instrumentation | None = None,
        on_shutdown: Callable[[], None] = lambda: None,
    ) -> None:
        self.policy: Policy = settings.policy
        """The effective policy."""
        self.environment: str = settings.environment
        """The environment's name."""
        self.redactor = redactor
        """The redactor that everything passes."""
        self.exporters = dict(exporters or {})
        """The exporters by name."""
        self.performance = insight.performance if insight is not None else None
        """Summaries, burn rates and breaches. None: telemetry is off."""
        self.health = insight.health if insight is not None else None
        """The health of telemetry itself. None: telemetry is off."""
        self.alerts = insight.alerts if insight is not None else None
        """Where errors are reported to the alert engine. None: no alert rule is active in this process."""
        self._stages = stages
        self._instrumentation = instrumentation
        self._on_shutdown = on_shutdown
        self._shut_down = threading.Event()

    @property
    def ended(self) -> bool:
        """True after `shutdown()`."""
        return self._shut_down.is_set()

    @property
    def enabled(self) -> bool:
        """False if `OTEL_SDK_DISABLED` switched telemetry off."""
        return self.performance is not None

    def start(self) -> None:
        """Start background work that waits for a server's workers, as alert rules do."""
        if not self.ended:
            self._stages.start()

    def flush(self, timeout_s: float | None = None) -> bool:
        """Send everything that has finished so far, and wait for it.

        Args:
            timeout_s: Seconds it may take. None: `lifecycle.flush_timeout_s` of the policy.

        Returns:
            Whether everything was sent in time.
        """
        if self.ended:
            return True
        return self._stages.flush(self.policy.lifecycle.flush_timeout_s if timeout_s is None else timeout_s)

    def drain(self, timeout_s: float | None = None) -> bool:
        """Flush, and send what is held for the end of a trace or a chain as well: the process may be about to end.

        Args:
            timeout_s: Seconds it may take. None: `lifecycle.shutdown_timeout_s` of the policy.

        Returns:
            Whether everything was sent in time.
        """
        if self.ended:
            self._stages.losses.log_rest()
            return True
        return self._stages.drain(
            self.policy.lifecycle.shutdown_timeout_s if timeout_s is None else timeout_s
        )

    def shutdown(self, timeout_s: float | None = None) -> bool:
        """Drain, then end. Later spans are refused. A second call does nothing.

        Args:
            timeout_s: Seconds it may take. None: `lifecycle.shutdown_timeout_s` of the policy.

        Returns:
            Whether everything was sent in time.
        """
        sent = self.drain(timeout_s)
        if not self.ended:
            self._shut_down.set()
            self._stages.close()
            self._on_shutdown()
        return sent

    def keep(self, stage: Stage) -> None:
        """Flush, drain and close a stage with the rest from now on."""
        self._stages.keep(stage)

    def instrument(self, *, app: Any = None, engine: Any = None) -> None:
        """Measure an application or engines that existed before `configure()` was called.

        Args:
            app: A FastAPI application that has not served a request yet.
            engine: A SQLAlchemy engine, sync or async, or several.
        """
        if self._instrumentation is None:
            return
        if app is not None:
            self._instrumentation.applications.instrument(app)
        if engine is not None:
            for one in engine if isinstance(engine, list | tuple | set) else [engine]:
                self._instrumentation.engines.instrument(one)

    def losses(self) -> dict[str, int]:
        """Return how many spans, log records and errors were lost so far, by `stage: reason`. Empty is good."""
        counts = self._stages.losses.counts()
        return {f"{stage}: {reason}": count for (stage, reason), count in counts.items()}
