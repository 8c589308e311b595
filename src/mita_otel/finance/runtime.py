"""The configured instance of the financial API. Without it every call does nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry import _logs, metrics, trace

from mita_otel.errors import raise_interrupt
from mita_otel.finance.audit_signal import AuditSignalSink
from mita_otel.finance.brute_force import FailureCounter
from mita_otel.finance.categories import OperationTable
from mita_otel.finance.counts import SCOPE, FinanceCounts
from mita_otel.finance.transaction import Money
from mita_otel.policy.finance import FinancePolicy

_logger = logging.getLogger("mita_otel.finance")


class FinanceRuntime:
    """The parts that the financial API needs.

    Args:
        policy: The financial policy.
        tracer: Starts spans of operations. None: a tracer of the global provider.
        logger: Emits errors and events. None: a logger of the global provider.
        meter: Counts errors and events. None: a meter of the global provider.
        audit: Receives signals for the audit trail. None: there is none.
        wants_access: Whether the trail records each request that accesses cardholder data.
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
        """Call a function whose failure must not affect the application. The first failure is logged."""
        try:
            return call(*args, **kwargs)
        except BaseException as error:
            raise_interrupt(error)
            if what not in self._reported:
                self._reported.add(what)
                _logger.exception("%s failed; further failures are not reported", what)
            return None

    def log_once(self, message: str) -> None:
        """Log a misuse of the API once."""
        if message not in self._reported:
            self._reported.add(message)
            _logger.error(message)


_lock = threading.Lock()
_running: FinanceRuntime | None = None


def running() -> FinanceRuntime | None:
    """Return the configured instance, or None."""
    return _running


def install(runtime: FinanceRuntime | None) -> None:
    """Install the configured instance; None removes it. Called by the composition root."""
    global _running
    with _lock:
        _running = runtime
