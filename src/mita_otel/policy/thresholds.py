"""The section of a policy on latency limits."""

import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from mita_otel.policy.limits import HTTP_METHODS, STATEMENT_VERBS, Limit, ObjectivePolicy
from mita_otel.policy.section import Bounds, InvalidKeys, PositiveInt, Seconds, Section, Validator
from mita_otel.policy.toml_text import KeyPath

_ROUTE = re.compile(r"([A-Z]+) /\S*\Z")
_COMMAND = re.compile(r"[A-Z]+\Z")
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*\Z")


def _known(name: str, known: Collection[str], thing: str) -> None:
    if name in known:
        return
    if name.upper() in known:
        raise ValueError(f"{name!r} is not {thing}; write it in capitals: {name.upper()}")
    close = get_close_matches(name.upper(), known, n=1)
    fix = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
    raise ValueError(f"{name!r} is not {thing}; {fix}")


def _method(name: str) -> None:
    _known(name, HTTP_METHODS, "an HTTP method")


def _verb(name: str) -> None:
    _known(name, STATEMENT_VERBS, "a statement's verb")


def _command(name: str) -> None:
    if not _COMMAND.match(name):
        raise ValueError(f"{name!r} is not a command; write it in capitals, as in GET")


def _route(name: str) -> None:
    found = _ROUTE.match(name)
    if not found:
        raise ValueError(f"{name!r} is not a method and a route; write them as in 'POST /api/auth/login'")
    _method(found[1])


def _operation(name: str) -> None:
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is not an operation's name; write it as in payment_processing")


def _segment(name: str) -> None:
    if not name or "/" in name:
        raise ValueError(f"{name!r} is not one segment of a route; write it without slashes, as in balance")


Method = Annotated[str, Validator(_method)]
Verb = Annotated[str, Validator(_verb)]
Command = Annotated[str, Validator(_command)]
Route = Annotated[str, Validator(_route)]
Operation = Annotated[str, Validator(_operation)]
Segment = Annotated[str, Validator(_segment)]
Name = Annotated[str, Bounds(min_length=1, max_length=200)]


class FinancialEndpoint(Section):
    """The limit of a method's financial endpoints."""

    limit_ms: Limit
    """Milliseconds, or "off"."""
    segments: tuple[Segment, ...]
    """Whole segments of a route template, any of which makes the endpoint a financial one."""


class ApiThresholds(Section):
    """Limits of HTTP server requests, most specific first: routes, financial, methods, fallback."""

    routes: dict[Route, Limit]
    """Limits by `METHOD /route/{template}`."""
    financial: dict[Method, FinancialEndpoint]
    """Limits of financial endpoints by method."""
    methods: dict[Method, Limit]
    """Limits by method."""
    fallback_ms: Limit
    """The limit of any other method."""


DatabaseLimit = Limit | dict[Verb, Limit]
"""A limit by verb, or the limits of one table by verb."""


def _database(limits: dict[str, Any]) -> None:
    """Refuse a limit whose name is no verb. A table's name has a table of limits."""
    wrong: dict[KeyPath, str] = {}
    for name, limit in limits.items():
        if not isinstance(limit, dict):
            try:
                _verb(name)
            except ValueError as error:
                wrong[(name,)] = str(error)
    if wrong:
        raise InvalidKeys(wrong)


class BackgroundThresholds(Section):
    """Limits of background tasks."""

    default_ms: Limit
    """The limit of a background task."""


class OutgoingThresholds(Section):
    """Limits of HTTP requests that the service makes."""

    default_ms: Limit
    """The limit of a request to any other host."""
    hosts: dict[Name, Limit]
    """Limits by host, as in `api.example.com`."""


class CacheThresholds(Section):
    """Limits of cache operations (Redis and the like)."""

    default_ms: Limit
    """The limit of any other operation."""
    operations: dict[Command, Limit]
    """Limits by command, as in `GET`."""


class ConsumerThresholds(Section):
    """Limits of the handling of a message."""

    default_ms: Limit
    """The limit of a message from any other destination."""
    destinations: dict[Name, Limit]
    """Limits by queue or topic."""


class MobileThresholds(Section):
    """Limits of what a mobile app reports."""

    screen_ms: Limit
    """The limit of a screen to be drawn."""
    request_ms: Limit
    """The limit of a request, seen from the app."""
    operation_ms: Limit
    """The limit of a calculation in the app."""
    screens: dict[Name, Limit]
    """Limits by screen."""
    requests: dict[Name, Limit]
    """Limits by the request's name."""
    operations: dict[Name, Limit]
    """Limits by the operation's name."""


class CheckoutThresholds(Section):
    """Limits of waiting for a connection of a pool."""

    limit_ms: Limit
    """Milliseconds. A check-out above it becomes a span, also where check-outs have none."""


class RepeatedQueryThresholds(Section):
    """The same statement many times under one parent: N+1 queries."""

    max_repeats: PositiveInt | Literal["off"]
    """How often the same statement may run under one parent. Parameters and literals do not count."""
    max_parents: PositiveInt
    """Parents whose statements are counted at a time."""


class AdaptivePolicy(Section):
    """What limits that follow recent durations are made from."""

    window_s: Annotated[float, Bounds(ge=60, le=86400)]
    """Seconds that are looked back."""
    min_count: PositiveInt
    """Durations of an operation below which its limit is the ceiling."""
    refresh_s: Seconds
    """Seconds for which a limit stays as it is."""


class BreachLogPolicy(Section):
    """The log line that a breach leaves."""

    cool_down_s: Annotated[float, Bounds(ge=0)]
    """Seconds after a line in which further breaches of the same rule are only counted."""


class ThresholdPolicy(Section):
    """Latency limits."""

    enabled: bool
    """Whether anything is measured against a limit."""
    api: ApiThresholds
    database: Annotated[dict[Name, DatabaseLimit], Validator(_database)]
    """Limits by the statement's verb in capitals, or by table and verb: `payments.SELECT = 100`."""
    financial: dict[Operation, Limit]
    """Limits by a financial operation's name or category."""
    background: BackgroundThresholds
    outgoing: OutgoingThresholds
    cache: CacheThresholds
    consumer: ConsumerThresholds
    mobile: MobileThresholds
    checkout: CheckoutThresholds
    repeated_queries: RepeatedQueryThresholds
    adaptive: AdaptivePolicy
    objective: ObjectivePolicy
    log: BreachLogPolicy
