"""Which limits apply to a span, most specific first, and whether the span exceeded them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.operations import Operation, operation_of
from mita_otel.policy.limits import AdaptiveLimit, Kind, Limit
from mita_otel.policy.thresholds import ThresholdPolicy


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


@dataclass(frozen=True, slots=True)
class Verdict:
    """The limits that apply to a span, and the breaches."""

    rules: tuple[Rule, ...] = ()
    """The limits that apply: one, or two for a request that is a financial operation as well."""
    breaches: tuple[Breach, ...] = ()
    """The exceeded limits, the worst first."""


NOTHING = Verdict()
"""The verdict on a span that has no limit."""


class RecentDurations(Protocol):
    """Recent durations of operations, for adaptive limits."""

    def percentile_ms(self, operation: Operation, percentile: float) -> float | None:
        """Return the percentile of the operation's recent durations. None: there are too few."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the policy."""

    name: str
    limit: Limit


class LimitBook:
    """Finds the limits of a span, and compares its duration with them.

    Args:
        policy: The limits.
        recent: Recent durations, for adaptive limits. None: adaptive limits are at their ceilings.

    Example:
        `LimitBook(policy.thresholds).judge(SpanFacts("GET /x", "SERVER", 501, {"http.request.method": "GET"}))`
        is `Breach("api", "api.methods.GET", 500, 501)`.
    """

    def __init__(self, policy: ThresholdPolicy, recent: RecentDurations | None = None) -> None:
        self._policy = policy
        self._recent = recent
        self._segments = {method: frozenset(rule.segments) for method, rule in policy.api.financial.items()}
        self._tables = {
            name.lower(): (name, limits)
            for name, limits in policy.database.items()
            if isinstance(limits, dict)
        }
        self._hosts = {host.lower(): limit for host, limit in policy.outgoing.hosts.items()}
        # One rule for each line of the policy, so the policy bounds it.
        self._fixed: dict[str, Rule] = {}
        # There are few routes. Raw paths (of a 404) are many and may contain secrets, so they are not cached.
        self._routed_line = lru_cache(maxsize=2048)(self._find_api_line)

    def judge(self, facts: SpanFacts) -> Breach | None:
        """Return the worst breach, or None. Exactly at the limit is not a breach; above it is."""
        breaches = self.verdict(facts).breaches
        return breaches[0] if breaches else None

    def verdict(self, facts: SpanFacts) -> Verdict:
        """Return the limits that apply to the span, and those that it exceeded."""
        kind = facts.kind
        if kind is None or not self._policy.enabled:
            return NOTHING
        rules = self.rules_for(facts)
        breaches = [
            Breach(kind, rule.name, rule.limit_ms, facts.duration_ms)
            for rule in rules
            if rule.limit_ms is not None and facts.duration_ms > rule.limit_ms
        ]
        if len(breaches) > 1:
            breaches.sort(key=lambda breach: breach.limit_ms)
        return Verdict(rules, tuple(breaches))

    def rule_for(self, facts: SpanFacts) -> Rule | None:
        """Return the rule of the span's own kind, or None."""
        line = self._line_for(facts)
        return self._rule(line, facts) if line else None

    def rules_for(self, facts: SpanFacts) -> tuple[Rule, ...]:
        """Return every rule that applies: the kind's, and that of the operation that a request is named as."""
        lines = [self._line_for(facts)]
        if facts.kind == "api" and facts.operation is not None:
            lines.append(self._financial_line(facts))
        return tuple(self._rule(line, facts) for line in lines if line is not None)

    def _rule(self, line: _Line, facts: SpanFacts) -> Rule:
        known = self._fixed.get(line.name)
        if known is not None:
            return known
        if isinstance(line.limit, AdaptiveLimit):
            operation = operation_of(facts)
            usual = (
                self._recent.percentile_ms(operation, line.limit.percentile)
                if self._recent is not None and operation is not None
                else None
            )
            return Rule(line.name, line.limit.limit_ms(usual))
        rule = Rule(line.name, None if line.limit == "off" else float(line.limit))
        self._fixed[line.name] = rule
        return rule

    def _line_for(self, facts: SpanFacts) -> _Line | None:
        policy = self._policy
        match facts.kind:
            case "api":
                method = facts.method or ""
                return (
                    self._routed_line(method, facts.route)
                    if facts.route
                    else self._find_api_line(method, facts.path)
                )
            case "database":
                return self._database_line(facts)
            case "financial":
                return self._financial_line(facts)
            case "background":
                by_name = _named("financial", facts.operation, policy.financial)
                return by_name or _Line("background.default", policy.background.default_ms)
            case "outgoing":
                return _named("outgoing.hosts", facts.host, self._hosts) or _Line(
                    "outgoing.default", policy.outgoing.default_ms
                )
            case "cache":
                return _named("cache.operations", facts.command, policy.cache.operations) or _Line(
                    "cache.default", policy.cache.default_ms
                )
            case "consumer":
                return _named(
                    "consumer.destinations", facts.destination, policy.consumer.destinations
                ) or _Line("consumer.default", policy.consumer.default_ms)
            case "checkout":
                return _Line("checkout.limit", policy.checkout.limit_ms)
        return self._mobile_line(facts)

    def _database_line(self, facts: SpanFacts) -> _Line | None:
        verb, table = facts.verb, facts.table
        if verb is None:
            return None
        if table is not None and self._tables:
            # `ledger.payments` has its own limit, else that of `payments`.
            for name in (table.lower(), table.lower().rpartition(".")[2]):
                written, limits = self._tables.get(name, ("", {}))
                if verb in limits:
                    return _Line(f"database.{written}.{verb}", limits[verb])
        limit = self._policy.database.get(verb)
        return None if limit is None or isinstance(limit, dict) else _Line(f"database.{verb}", limit)

    def _financial_line(self, facts: SpanFacts) -> _Line | None:
        limits = self._policy.financial
        by_name = _named("financial", facts.operation, limits)
        return by_name or _named("financial", facts.category, limits)

    def _mobile_line(self, facts: SpanFacts) -> _Line | None:
        mobile, name = self._policy.mobile, facts.operation or facts.name
        match facts.kind:
            case "mobile_screen":
                return _named("mobile.screens", name, mobile.screens) or _Line(
                    "mobile.screen", mobile.screen_ms
                )
            case "mobile_request":
                return _named("mobile.requests", name, mobile.requests) or _Line(
                    "mobile.request", mobile.request_ms
                )
            case "mobile_operation":
                return _named("mobile.operations", name, mobile.operations) or _Line(
                    "mobile.operation", mobile.operation_ms
                )
        return None

    def _find_api_line(self, method: str, route: str) -> _Line:
        api = self._policy.api
        exact = f"{method} {route}"
        if exact in api.routes:
            return _Line(f"api.routes.{exact}", api.routes[exact])
        financial = api.financial.get(method)
        if financial is not None and not self._segments[method].isdisjoint(route.split("/")):
            return _Line(f"api.financial.{method}", financial.limit_ms)
        if method in api.methods:
            return _Line(f"api.methods.{method}", api.methods[method])
        return _Line("api.fallback", api.fallback_ms)


def _named(table: str, name: str | None, limits: dict[str, Limit]) -> _Line | None:
    if name is None or name not in limits:
        return None
    return _Line(f"{table}.{name}", limits[name])
