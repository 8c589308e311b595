"""The sampling decision about a trace: policy rules, evidence from its spans, and the result."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import translate
from typing import Literal

from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.limits import RecentDurations
from mita_otel.latency.operations import operation_of
from mita_otel.policy.sampling import SamplingRule
from mita_otel.processors.sampling.consistent import NEVER, Randomness, ratio_of, threshold_of


@dataclass(frozen=True, slots=True)
class SamplingMatch:
    """A rule that a span matches."""

    rule: str
    """The rule's name."""
    ratio: float
    """Fraction of such traces to keep."""


class SamplingRules:
    """Finds the rule of a span.

    Args:
        rules: By name.
        recent: Recent durations, for rules with a percentile. None: such rules match no span.
    """

    def __init__(self, rules: Mapping[str, SamplingRule], recent: RecentDurations | None = None) -> None:
        self._recent = recent
        # Sorted by ratio: if several rules match, the one with the highest ratio applies.
        self._rules = [
            _Compiled(name, rule) for name, rule in sorted(rules.items(), key=lambda item: -item[1].ratio)
        ]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def match(self, facts: SpanFacts) -> SamplingMatch | None:
        """Return the match with the highest ratio, or None."""
        for rule in self._rules:
            if rule.matches(facts, self._recent):
                return rule.match
        return None


class _Compiled:
    """A rule with its patterns compiled."""

    def __init__(self, name: str, rule: SamplingRule) -> None:
        self.match = SamplingMatch(name, rule.ratio)
        self._rule = rule
        self._operation = _pattern(rule.operation)
        self._route = _pattern(rule.route)
        self._attributes = {key: _pattern(text) for key, text in rule.attributes.items()}

    def matches(self, facts: SpanFacts, recent: RecentDurations | None) -> bool:
        rule = self._rule
        if rule.longer_than_ms is not None and facts.duration_ms < rule.longer_than_ms:
            return False
        if self._operation is not None and not self._operation.match(facts.operation or ""):
            return False
        if self._route is not None and not self._is_route(facts, self._route):
            return False
        for name, pattern in self._attributes.items():
            value = facts.attributes.get(name)
            if value is None or (pattern is not None and not pattern.match(_text(value))):
                return False
        return rule.above_percentile is None or _is_above(facts, rule.above_percentile, recent)

    def _is_route(self, facts: SpanFacts, pattern: re.Pattern[str]) -> bool:
        if facts.kind != "api":
            return False
        # A request without a route is matched by its path.
        return bool(pattern.match(f"{facts.method} {facts.route or facts.path}"))


def _is_above(facts: SpanFacts, percentile: float, recent: RecentDurations | None) -> bool:
    operation = operation_of(facts)
    usual = (
        recent.percentile_ms(operation, percentile) if recent is not None and operation is not None else None
    )
    return usual is not None and facts.duration_ms > usual


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pattern(text: str | None) -> re.Pattern[str] | None:
    """Compile a pattern in which only `*` is special. Matching takes linear time: `translate` does not backtrack."""
    if text is None:
        return None
    return re.compile(translate(re.sub(r"([\[?])", r"[\1]", text)))


Flaw = Literal["breach", "error"]
"""Reasons to keep a trace at any ratio: a breach of a limit, or an error."""

Caller = Literal["undecided", "against", "for"]
"""The caller's decision about the trace, as far as the policy respects it."""

Reason = Literal["breach", "error", "rule", "ratio", "caller"]
"""Why a trace was kept or dropped."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence from the spans of a trace so far."""

    randomness: Randomness
    flaw: Flaw | None = None
    match: SamplingMatch | None = None
    """The rule with the highest ratio."""
    caller: Caller = "undecided"

    def joined(
        self, flaw: Flaw | None, match: SamplingMatch | None, caller: Caller = "undecided"
    ) -> Evidence:
        """Return the evidence together with that of another span."""
        if match is None or (self.match is not None and match.ratio <= self.match.ratio):
            match = self.match
        if flaw is None or self.flaw == "breach":
            flaw = self.flaw
        return Evidence(self.randomness, flaw, match, self.caller if caller == "undecided" else caller)


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about a trace."""

    kept: bool
    reason: Reason
    threshold: int
    """The applied threshold, including a caller's: see `mita_otel.processors.sampling.consistent`."""
    rule: str | None = None

    @property
    def rate(self) -> float:
        """Fraction of such traces to keep."""
        return ratio_of(self.threshold)


def decide(evidence: Evidence, ratio: float) -> Decision:
    """Return the decision about a trace.

    Args:
        evidence: Evidence from its spans.
        ratio: Fraction of healthy traces to keep if no rule matches.
    """
    before = evidence.randomness.threshold
    if evidence.flaw is not None:
        return Decision(True, evidence.flaw, before)
    if evidence.caller != "undecided":
        return Decision(evidence.caller == "for", "caller", before)
    match = evidence.match
    threshold = max(before, threshold_of(ratio if match is None else match.ratio))
    kept = threshold < NEVER and evidence.randomness.passes(threshold)
    return Decision(kept, "rule" if match else "ratio", threshold, match.rule if match else None)
