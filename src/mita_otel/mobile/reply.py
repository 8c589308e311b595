"""What the engine says: an answer for the app, and what is to be counted. It travels between processes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mita_otel.mobile.app_errors import AppError
from mita_otel.mobile.measurement import MeasuredSpan
from mita_otel.policy.mobile import Priority


@dataclass(slots=True)
class Reply:
    """The answer to one request."""

    status: int
    body: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    """Why it was refused, in a word; empty: it was not."""
    hold: bool = False
    """Whether the app should get no answer, so that it keeps what it sent."""
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Items by type and by what became of them."""
    redacted: Counter[str] = field(default_factory=Counter)
    """Values that were redacted, by rule."""
    measured: list[MeasuredSpan] = field(default_factory=list)
    errors: list[AppError] = field(default_factory=list)
    project: str = ""
    cpu_s: float = 0.0
    """Seconds of CPU that the engine has spent on it."""


def refusal(status: int, reason: str, detail: str, **headers: str) -> Reply:
    """Return the answer to a request that was not taken, as Sentry says it."""
    said = {"X-Sentry-Error": detail, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Reply(status, {"detail": detail}, said, reason)


@dataclass(slots=True)
class EngineStatus:
    """What happened since the last time, beside the answers."""

    lost: Counter[tuple[str, Priority]] = field(default_factory=Counter)
    """Parcels that were given up, by reason and priority."""
    delivered: int = 0
    records: int = 0
    """In the spool now."""
    bytes: int = 0
    """In the spool now."""
    waiting: Counter[Priority] = field(default_factory=Counter)
    """Parcels in the spool now, by priority."""
    destinations: dict[str, str] = field(default_factory=dict)
    """`ok` or `unavailable`, by destination and project."""
