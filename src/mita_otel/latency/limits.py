"""Which limit applies to a span, most specific first, and whether it was kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from mita_otel.latency.facts import Kind, SpanFacts
from mita_otel.policy.thresholds import FinancialEndpoint, Limit, ThresholdPolicy


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit and the name of the policy's line that sets it."""

    name: str
    """As in `api.financial.GET`."""
    limit_ms: float | None
    """Milliseconds; None: `"off"`."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A span took longer than its limit."""

    kind: Kind
    rule: str
    limit_ms: float
    duration_ms: float

    @property
    def overrun_ms(self) -> float:
        """Milliseconds above the limit."""
        return self.duration_ms - self.limit_ms


class LimitBook:
    """Finds the limit of a span, and judges.

    Args:
        policy: The limits.

    Example:
        `LimitBook(policy.thresholds).judge(SpanFacts("GET /x", "SERVER", 501, {"http.request.method": "GET"}))`
        is `Breach("api", "api.methods.GET", 500, 501)`.
    """

    def __init__(self, policy: ThresholdPolicy) -> None:
        self._policy = policy
        self._segments = {method: frozenset(rule.segments) for method, rule in policy.api.financial.items()}
        # Routes are few. Raw paths (of a 404) are not, and may hold a secret: they are not remembered.
        self._routed_rule = lru_cache(maxsize=2048)(self._find_api_rule)

    def judge(self, facts: SpanFacts) -> Breach | None:
        """Return the breach, or None. Exactly at the limit is not a breach; above it is."""
        if not self._policy.enabled:
            return None
        rule = self.rule_for(facts)
        if rule is None or rule.limit_ms is None or facts.duration_ms <= rule.limit_ms:
            return None
        kind = facts.kind
        return Breach(kind, rule.name, rule.limit_ms, facts.duration_ms) if kind else None

    def rule_for(self, facts: SpanFacts) -> Rule | None:
        """Return the rule that applies to the span, or None."""
        match facts.kind:
            case "api":
                method = facts.method or ""
                if facts.route:
                    return self._routed_rule(method, facts.route)
                return self._find_api_rule(method, facts.path)
            case "database":
                return _rule("database", facts.verb, self._policy.database)
            case "financial":
                limits = self._policy.financial
                by_name = _rule("financial", facts.operation, limits)
                return by_name or _rule("financial", facts.category, limits)
            case "background":
                by_name = _rule("financial", facts.operation, self._policy.financial)
                return by_name or Rule(
                    "background.default", _milliseconds(self._policy.background.default_ms)
                )
        return None

    def _find_api_rule(self, method: str, route: str) -> Rule:
        api = self._policy.api
        exact = f"{method} {route}"
        if exact in api.routes:
            return Rule(f"api.routes.{exact}", _milliseconds(api.routes[exact]))
        financial: FinancialEndpoint | None = api.financial.get(method)
        if financial is not None and not self._segments[method].isdisjoint(route.split("/")):
            return Rule(f"api.financial.{method}", _milliseconds(financial.limit_ms))
        if method in api.methods:
            return Rule(f"api.methods.{method}", _milliseconds(api.methods[method]))
        return Rule("api.fallback", _milliseconds(api.fallback_ms))


def _rule(kind: str, name: str | None, limits: dict[str, Limit]) -> Rule | None:
    if name is None or name not in limits:
        return None
    return Rule(f"{kind}.{name}", _milliseconds(limits[name]))


def _milliseconds(limit: Limit) -> float | None:
    return None if limit == "off" else float(limit)
