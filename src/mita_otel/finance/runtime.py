"""The one configured instance of the financial API; without it every call does nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry import _logs, metrics, trace

from mita_otel.finance.audit_signal import AuditSignalSink
from mita_otel.finance.brute_force import FailureCounter
from mita_otel.finance.counts import SCOPE, FinanceCounts
from mita_otel.finance.money import Money
from mita_otel.finance.routing import OperationTable
from mita_otel.policy.finance import FinancePolicy

_logger = logging.getLogger("mita_otel.finance")


class FinanceRuntime:
    """What the financial API works with.

    Args:
        policy: What its names mean.
        tracer: Makes the operations' spans. None: one of the global provider.
        logger: Takes errors and events. None: one of the global provider.
        meter: Counts them. None: one of the global provider.
        audit: Hears of them, if there is an audit trail.
        wants_access: Whether it also wants to hear of each request that touches cardholder data.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        policy: FinancePolicy,
        *,
        tracer: trace.Tracer | None = None,
        logger: _logs.Logger | None = None,
        meter: metrics.Meter | None = None,
        audit: AuditSignalSink | None = None,
        wants_access: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = policy
        self.tracer = tracer or trace.get_tracer(SCOPE)
        self.logger = logger or _logs.get_logger(SCOPE)
        self.counts = FinanceCounts(policy, meter)
        self.audit = audit
        self.wants_access = wants_access
        self.clock = clock
        self.money = Money(policy.currencies)
        self.operations = OperationTable(policy)
        self.failures = FailureCounter(policy.security.brute_force, clock)
        self.expected_errors = frozenset(policy.operations.expected_errors)
        self._reported: set[str] = set()

    def guard(self, what: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call something that must not disturb the application; its first failure is logged."""
        try:
            return call(*args, **kwargs)
        except Exception:
            if what not in self._reported:
                self._reported.add(what)
                _logger.exception("%s failed; further failures are not reported", what)
            return None

    def say_once(self, message: str) -> None:
        """Tell the log how the application uses the API wrongly, once."""
        if message not in self._reported:
            self._reported.add(message)
            _logger.error(message)


_lock = threading.Lock()
_running: FinanceRuntime | None = None


def running() -> FinanceRuntime | None:
    """Return the configured instance, or None: nothing is configured."""
    return _running


def install(runtime: FinanceRuntime | None) -> None:
    """Make this the configured instance; None: there is none any more. The composition root's business."""
    global _running
    with _lock:
        _running = runtime
