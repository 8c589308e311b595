"""The handle of a service whose telemetry `OTEL_SDK_DISABLED` switches off. It loads next to nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mita_otel.errors import ConfigurationError
from mita_otel.sdk.telemetry import Telemetry

if TYPE_CHECKING:
    from mita_otel.policy import Policy
    from mita_otel.processors.queues.stage import Stage
    from mita_otel.redaction import Redactor
    from mita_otel.sdk.service import Settings


class DisabledTelemetry(Telemetry):
    """A handle that does nothing. The policy is read, and its redaction rules are compiled, when they are asked for.

    Args:
        resolve: Returns the settings for environment variables.
    """

    def __init__(self, resolve: Callable[[Mapping[str, str]], Settings]) -> None:
        self._resolve = resolve
        self.exporters = {}
        self.performance = self.health = self.alerts = None
        self._shut_down = threading.Event()

    @cached_property
    def _settings(self) -> Settings:
        return self._resolve(os.environ)

    @property
    def policy(self) -> Policy:  # type: ignore[override]  # read when it is asked for
        """The effective policy."""
        return self._settings.policy

    @property
    def environment(self) -> str:  # type: ignore[override]  # read when it is asked for
        """The environment's name."""
        return self._settings.environment

    @cached_property
    def redactor(self) -> Redactor:  # type: ignore[override]  # built when it is asked for
        """The redactor of the policy."""
        from mita_otel.policy import default_policy
        from mita_otel.redaction import Redactor

        try:
            return Redactor(self.policy)
        except ConfigurationError:
            return Redactor(default_policy(self.environment))

    def start(self) -> None:
        """Do nothing: there is no background work."""

    def flush(self, timeout_s: float | None = None) -> bool:
        """Return True: there is nothing to send."""
        return True

    def drain(self, timeout_s: float | None = None) -> bool:
        """Return True: there is nothing to send."""
        return True

    def shutdown(self, timeout_s: float | None = None) -> bool:
        """End. `configure()` starts telemetry again if the variable is no longer set."""
        self._shut_down.set()
        return True

    def keep(self, stage: Stage) -> None:
        """Do nothing: the process has no telemetry to end."""

    def instrument(self, *, app: Any = None, engine: Any = None) -> None:
        """Do nothing."""

    def losses(self) -> dict[str, int]:
        """Return an empty table: nothing is recorded, so nothing is lost."""
        return {}
