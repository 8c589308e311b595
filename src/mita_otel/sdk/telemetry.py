"""The handle that `configure()` returns."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:  # not loaded if telemetry is switched off
    from opentelemetry.sdk.trace.export import SpanExporter

    from mita_otel.alerts.events import AlertEventProcessor
    from mita_otel.instrumentation.patches import Patches
    from mita_otel.policy import Policy
    from mita_otel.processors.queues.stage import Stage
    from mita_otel.redaction import Redactor
    from mita_otel.sdk.health.health import Health
    from mita_otel.sdk.performance import Performance
    from mita_otel.sdk.service import Settings
    from mita_otel.sdk.stages import Stages

_logger = logging.getLogger("mita_otel")


class Instruments(Protocol):
    """Measures a library's objects."""

    def instrument(self, target: Any, /) -> None:
        """Measure the object."""


class Instrumentation(NamedTuple):
    """What measures objects that existed before `configure()` was called."""

    applications: Instruments
    engines: Instruments


class Insight(NamedTuple):
    """What answers questions about the service and about telemetry itself."""

    performance: Performance
    health: Health
    alerts: AlertEventProcessor | None = None


class Telemetry:
    """Telemetry as it was configured: flush it, end it, point it at an application or an engine.

    Every method is safe at any time, on any thread, and never raises into the application.

    Args:
        settings: What was asked for.
        redactor: The redactor that everything passes.
        stages: What queues and sends.
        patches: Takes back what was changed in the process.
        exporters: The exporters by name.
        insight: What answers questions. None: telemetry is off.
        instrumentation: What measures existing objects. None: telemetry is off.
    """

    def __init__(
        self,
        settings: Settings,
        redactor: Redactor,
        stages: Stages,
        patches: Patches,
        *,
        exporters: Mapping[str, SpanExporter] | None = None,
        insight: Insight | None = None,
        instrumentation: Instrumentation | None = None,
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
        self._patches = patches
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
            Whether everything was sent in time, and nothing was lost since the last call.
        """
        if self.ended:
            return True
        return self._stages.flush(_seconds(timeout_s, self.policy.lifecycle.flush_timeout_s))

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
        return self._stages.drain(_seconds(timeout_s, self.policy.lifecycle.shutdown_timeout_s))

    def shutdown(self, timeout_s: float | None = None) -> bool:
        """Drain, take back every change to the process, and end. A second call does nothing.

        Later spans are refused. `configure()` starts telemetry again.

        Args:
            timeout_s: Seconds it may take. None: `lifecycle.shutdown_timeout_s` of the policy.

        Returns:
            Whether everything was sent in time, and nothing was lost since the last `flush()`.
        """
        was_running = not self.ended
        sent = self.drain(timeout_s)
        self._patches.revert()
        self._close()
        return sent and (not was_running or self._stages.nothing_lost())

    def end_with_process(self, timeout_s: float | None = None) -> bool:
        """Drain and end like `shutdown`, but leave the process as it is: what runs until its end stays redacted."""
        sent = self.drain(timeout_s)
        self._close()
        return sent

    def keep(self, stage: Stage) -> None:
        """Flush, drain and close a stage with the rest from now on."""
        from mita_otel.instrumentation.patches import type_name
        from mita_otel.processors.queues.stage import Stage

        if _is_a(stage, Stage):
            self._stages.keep(stage)
        else:
            _logger.error("keep(): expected a mita_otel Stage, got %s: it is ignored", type_name(stage))

    def instrument(self, *, app: Any = None, engine: Any = None) -> None:
        """Measure an application or engines that existed before `configure()` was called.

        Args:
            app: A FastAPI application that has not served a request yet.
            engine: A SQLAlchemy engine, sync or async, or several.
        """
        if self._instrumentation is None:
            return
        if app is not None:
            _instrument(self._instrumentation.applications, app)
        if engine is not None:
            for one in list(engine) if type(engine) in {list, tuple, set, frozenset} else [engine]:
                _instrument(self._instrumentation.engines, one)

    def losses(self) -> dict[str, int]:
        """Return how many spans, log records and errors were lost so far, by `stage: reason`. Empty is good."""
        counts = self._stages.losses.counts()
        return {f"{stage}: {reason}": count for (stage, reason), count in counts.items()}

    def _close(self) -> None:
        if not self._shut_down.is_set():
            self._shut_down.set()
            self._stages.close()


def _instrument(instruments: Instruments, target: Any) -> None:
    try:
        instruments.instrument(target)
    except Exception as error:  # noqa: BLE001 - never into the application
        _logger.error("instrument(): %s", error)


def _seconds(given: float | None, default: float) -> float:
    """Return a timeout that can be waited for; the default where no number is given."""
    if given is None:
        return default
    if type(given) not in {int, float} or given != given:
        from mita_otel.instrumentation.patches import type_name

        _logger.error("expected a timeout in seconds, got %s: %s s are used", type_name(given), default)
        return default
    return min(max(float(min(given, TIMEOUT_MAX)), 0.0), TIMEOUT_MAX)


def _is_a(value: object, kind: type) -> bool:
    """Return whether a value is an instance, whatever it says of its class."""
    return issubclass(type(value), kind)
