"""Results of the engine: the response to an app, and what to count. Both are sent between processes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mita_otel.mobile.app_errors import AppError
from mita_otel.mobile.measurement import MeasuredSpan
from mita_otel.policy.mobile import Priority


@dataclass(slots=True)
class Reply:
    """The response to one request."""

    status: int
    body: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    """Why the request was refused, in one word. Empty: it was accepted."""
    hold: bool = False
    """Whether to send the app no response, so that it keeps its data."""
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Number of items by type and outcome."""
    redacted: Counter[str] = field(default_factory=Counter)
    """Number of redacted values by rule."""
    measured: list[MeasuredSpan] = field(default_factory=list)
    errors: list[AppError] = field(default_factory=list)
    project: str = ""
    cpu_s: float = 0.0
    """CPU seconds that the engine spent on the request."""


def refusal(status: int, reason: str, detail: str, **headers: str) -> Reply:
    """Return the response to a refused request, in Sentry's format."""
    said = {"X-Sentry-Error": detail, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Reply(status, {"detail": detail}, said, reason)


@dataclass(slots=True)
class EngineStatus:
    """The engine's state, and its losses and deliveries since the last status."""

    lost: Counter[tuple[str, Priority]] = field(default_factory=Counter)
    """Evicted and damaged records, by reason and priority."""
    delivered: int = 0
    records: int = 0
    """In the spool now."""
    bytes: int = 0
    """In the spool now."""
    waiting: Counter[Priority] = field(default_factory=Counter)
    """Records in the spool now, by priority."""
    destinations: dict[str, str] = field(default_factory=dict)
    """`ok` or `unavailable`, by destination and project."""
