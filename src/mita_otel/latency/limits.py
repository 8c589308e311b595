"""Which limits apply to a span, most specific first, and whether the span exceeded them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from mita_otel import semconv
from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.operations import Operation, operation_of
from mita_otel.policy.limits import AdaptiveLimit, Kind, Limit
from mita_otel.policy.thresholds import ThresholdPolicy


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit and the name of the policy setting that defines it."""

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

    def attributes(self) -> dict[str, str | float | bool]:
        """Return the `mita.latency.*` attributes that mark a span."""
        return {
            semconv.LATENCY_EXCEEDED: True,
            semconv.LATENCY_KIND: self.kind,
            semconv.LATENCY_RULE: self.rule,
            semconv.LATENCY_LIMIT_MS: self.limit_ms,
            semconv.LATENCY_DURATION_MS: round(self.duration_ms, 3),
            semconv.LATENCY_OVERRUN_MS: round(self.overrun_ms, 3),
        }


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
class _NamedLimit:
    """A limit of the policy, with the name of its setting."""

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
        # One rule for each limit of the policy, so the policy bounds it.
        self._fixed: dict[str, Rule] = {}
        # There are few routes. Raw paths (of a 404) are many and may contain secrets, so they are not cached.
        self._routed_limit = lru_cache(maxsize=2048)(self._find_api_limit)

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
        named = self._limit_for(facts)
        return self._rule(named, facts) if named else None

    def rules_for(self, facts: SpanFacts) -> tuple[Rule, ...]:
        """Return every rule that applies: the kind's, and that of the operation that a request is named as."""
        limits = [self._limit_for(facts)]
        if facts.kind == "api" and facts.operation is not None:
            limits.append(self._financial_limit(facts))
        return tuple(self._rule(named, facts) for named in limits if named is not None)

    def _rule(self, named: _NamedLimit, facts: SpanFacts) -> Rule:
        known = self._fixed.get(named.name)
        if known is not None:
            return known
        if isinstance(named.limit, AdaptiveLimit):
            operation = operation_of(facts)
            usual = (
                self._recent.percentile_ms(operation, named.limit.percentile)
                if self._recent is not None and operation is not None
                else None
            )
            return Rule(named.name, named.limit.limit_ms(usual))
        rule = Rule(named.name, None if named.limit == "off" else float(named.limit))
        self._fixed[named.name] = rule
        return rule

    def _limit_for(self, facts: SpanFacts) -> _NamedLimit | None:
        policy = self._policy
        match facts.kind:
            case "api":
                method = facts.method or ""
                return (
                    self._routed_limit(method, facts.route)
                    if facts.route
                    else self._find_api_limit(method, facts.path)
                )
            case "database":
                return self._database_limit(facts)
            case "financial":
                return self._financial_limit(facts)
            case "background":
                by_name = _named("financial", facts.operation, policy.financial)
                return by_name or _NamedLimit("background.default", policy.background.default_ms)
            case "outgoing":
                return _named("outgoing.hosts", facts.host, self._hosts) or _NamedLimit(
                    "outgoing.default", policy.outgoing.default_ms
                )
            case "cache":
                return _named("cache.operations", facts.command, policy.cache.operations) or _NamedLimit(
                    "cache.default", policy.cache.default_ms
                )
            case "consumer":
                return _named(
                    "consumer.destinations", facts.destination, policy.consumer.destinations
                ) or _NamedLimit("consumer.default", policy.consumer.default_ms)
            case "checkout":
                return _NamedLimit("checkout.limit", policy.checkout.limit_ms)
        return self._mobile_limit(facts)

    def _database_limit(self, facts: SpanFacts) -> _NamedLimit | None:
        verb, table = facts.verb, facts.table
        if verb is None:
            return None
        if table is not None and self._tables:
            # `ledger.payments` has its own limit, else that of `payments`.
            for name in (table.lower(), table.lower().rpartition(".")[2]):
                written, limits = self._tables.get(name, ("", {}))
                if verb in limits:
                    return _NamedLimit(f"database.{written}.{verb}", limits[verb])
        limit = self._policy.database.get(verb)
        return None if limit is None or isinstance(limit, dict) else _NamedLimit(f"database.{verb}", limit)

    def _financial_limit(self, facts: SpanFacts) -> _NamedLimit | None:
        limits = self._policy.financial
        by_name = _named("financial", facts.operation, limits)
        return by_name or _named("financial", facts.category, limits)

    def _mobile_limit(self, facts: SpanFacts) -> _NamedLimit | None:
        mobile, name = self._policy.mobile, facts.operation or facts.name
        match facts.kind:
            case "mobile_screen":
                return _named("mobile.screens", name, mobile.screens) or _NamedLimit(
                    "mobile.screen", mobile.screen_ms
                )
            case "mobile_request":
                return _named("mobile.requests", name, mobile.requests) or _NamedLimit(
                    "mobile.request", mobile.request_ms
                )
            case "mobile_operation":
                return _named("mobile.operations", name, mobile.operations) or _NamedLimit(
                    "mobile.operation", mobile.operation_ms
                )
        return None

    def _find_api_limit(self, method: str, route: str) -> _NamedLimit:
        api = self._policy.api
        exact = f"{method} {route}"
        if exact in api.routes:
            return _NamedLimit(f"api.routes.{exact}", api.routes[exact])
        financial = api.financial.get(method)
        if financial is not None and not self._segments[method].isdisjoint(route.split("/")):
            return _NamedLimit(f"api.financial.{method}", financial.limit_ms)
        if method in api.methods:
            return _NamedLimit(f"api.methods.{method}", api.methods[method])
        return _NamedLimit("api.fallback", api.fallback_ms)


def _named(table: str, name: str | None, limits: dict[str, Limit]) -> _NamedLimit | None:
    if name is None or name not in limits:
        return None
    return _NamedLimit(f"{table}.{name}", limits[name])
