"""Feeds what summaries and burn rates are made from."""

from __future__ import annotations

from mita_otel.latency.burn import BudgetLedger
from mita_otel.latency.recorder import LatencyRecorder
from mita_otel.processors.observation import Observation
from mita_otel.processors.queues.forks import after_fork_in_child


class LatencyMemory:
    """Counts each span in its operation's window, and in its rules' error budgets.

    Args:
        recorder: The windows.
        ledger: The error budgets.
    """

    def __init__(self, recorder: LatencyRecorder, ledger: BudgetLedger) -> None:
        self.recorder = recorder
        self.ledger = ledger
        after_fork_in_child(self._reset)

    def observe(self, observation: Observation) -> None:
        """Count the span."""
        verdict, context = observation.verdict, observation.span.context
        self.recorder.record(
            observation.operation,
            observation.facts.duration_ms,
            context.trace_id if context is not None else 0,
            failed=observation.failed,
            breached=bool(verdict.breaches),
            rule=verdict.rules[0] if verdict.rules else None,
        )
        broken = {breach.rule for breach in verdict.breaches}
        for rule in verdict.rules:
            if rule.limit_ms is not None:
                self.ledger.count(rule.name, broken=rule.name in broken)

    def _reset(self) -> None:
        self.recorder.reset()
        self.ledger.reset()
