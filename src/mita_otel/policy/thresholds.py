"""The section of a policy that says how fast is fast enough (the guide's Performance Thresholds)."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mita_otel.policy.sections import Section

Limit = Annotated[float, Field(gt=0, description="milliseconds")] | Literal["off"]
"""A limit in milliseconds, or `"off"`: measured, never a breach."""

_METHOD = re.compile(r"[A-Z]+\Z")
_ROUTE = re.compile(r"[A-Z]+ /\S*\Z")
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*\Z")


def _method(name: str) -> str:
    if not _METHOD.match(name):
        raise ValueError(f"{name!r} is not an HTTP method; write it in capitals, as in GET")
    return name


def _route(name: str) -> str:
    if not _ROUTE.match(name):
        raise ValueError(f"{name!r} is not a method and a route; write them as in 'POST /api/auth/login'")
    return name


def _operation(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is not an operation's name; write it as in payment_processing")
    return name


def _segment(name: str) -> str:
    if not name or "/" in name:
        raise ValueError(f"{name!r} is not one segment of a route; write it without slashes, as in balance")
    return name


Method = Annotated[str, AfterValidator(_method)]
Route = Annotated[str, AfterValidator(_route)]
Operation = Annotated[str, AfterValidator(_operation)]
Segment = Annotated[str, AfterValidator(_segment)]


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


class BackgroundThresholds(Section):
    """Limits of background tasks."""

    default_ms: Limit
    """The limit of a background task."""


class BreachLogPolicy(Section):
    """The log line that a breach leaves."""

    cool_down_s: Annotated[float, Field(ge=0)]
    """Seconds after a line in which further breaches of the same rule are only counted."""


class ThresholdPolicy(Section):
    """How fast is fast enough."""

    enabled: bool
    """Whether anything is measured against a limit."""
    api: ApiThresholds
    database: dict[Method, Limit]
    """Limits by the statement's verb, in capitals."""
    financial: dict[Operation, Limit]
    """Limits by a financial operation's name or category."""
    background: BackgroundThresholds
    log: BreachLogPolicy
