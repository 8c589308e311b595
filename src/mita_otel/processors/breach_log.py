"""The log line that a breach leaves: one a rule in a while."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.limits import Breach
from mita_otel.latency.operations import method_of
from mita_otel.processors.queues.forks import ForkSafeLock

_logger = logging.getLogger("mita_otel.latency")

_TABLES: Final = (
    "financial.",
    "outgoing.hosts.",
    "cache.operations.",
    "consumer.destinations.",
    "mobile.screens.",
    "mobile.requests.",
    "mobile.operations.",
)
"""The policy's tables of limits by name. A name that stands there is the policy's, and may be shown."""

_NOUNS: Final = {
    "financial": "financial operation",
    "background": "background operation",
    "consumer": "message",
    "checkout": "connection check-out",
    "cache": "cache operation",
    "outgoing": "outgoing request",
    "mobile_screen": "mobile screen",
    "mobile_request": "mobile request",
    "mobile_operation": "mobile operation",
}


@dataclass(slots=True)
class _Said:
    at_s: float
    unsaid: int = 0


class BreachLog:
    """One log line a rule in a while; the next one says how many there were in between.

    Args:
        cool_down_s: Seconds of silence after a line, by rule.
        clock: Monotonic seconds.
    """

    def __init__(self, cool_down_s: float, clock: Callable[[], float]) -> None:
        self._cool_down_s = cool_down_s
        self._clock = clock
        self._lock = ForkSafeLock()
        # One entry a rule of the policy: the policy bounds it.
        self._said: dict[str, _Said] = {}

    def say(self, rule: str, text: str, trace_id: str) -> None:
        """Log the text, unless the rule was logged a short while ago.

        Args:
            rule: The rule that was broken.
            text: What happened; nothing that varies or could be a secret.
            trace_id: The trace's id.
        """
        with self._lock:
            now = self._clock()
            said = self._said.get(rule)
            if said is not None and now - said.at_s < self._cool_down_s:
                said.unsaid += 1
                return
            unsaid = said.unsaid if said else 0
            self._said[rule] = _Said(now)
        more = f"; {unsaid} more since the last line" if unsaid else ""
        _logger.warning("%s (rule %s, trace %s)%s", text, rule, trace_id, more)


def text_of(breach: Breach, facts: SpanFacts) -> str:
    """Return what a breach is, as in `GET /api/notes took 620 ms, limit 500 ms`.

    No path, no statement, no name that the application made up: only names of the policy, methods and route
    templates.
    """
    return f"{what(facts, breach.rule)} took {breach.duration_ms:.0f} ms, limit {breach.limit_ms:g} ms"


def what(facts: SpanFacts, rule: str) -> str:
    """Return a name of the span that may be shown to anybody."""
    kind = facts.kind
    if kind == "api":
        return f"{method_of(facts)} {facts.route or '(no route)'}"
    if kind == "database":
        return f"database {facts.verb}"
    noun = _NOUNS.get(kind or "", "span")
    name = next((rule.removeprefix(table) for table in _TABLES if rule.startswith(table)), "")
    return f"{noun} {name}".strip()
