"""Options that several commands share, and times on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from mita_otel.errors import ConfigurationError

PolicyFile = Annotated[Path | None, typer.Option("--policy", "-p", help="Policy file (default: discovered).")]
Environment = Annotated[
    str | None, typer.Option("--environment", "-e", help="Environment to use (default: the current one).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Organization = Annotated[str | None, typer.Option("--org", help="Sentry organization (default: SENTRY_ORG).")]

_LENGTH: Final = re.compile(r"(\d+)([mhdw])\Z")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def time_ns(text: str | None, option: str, *, now: datetime | None = None) -> int | None:
    """Return a time as nanoseconds since the epoch.

    Args:
        text: `2026-11-25`, or `2026-11-25T09:30` with a zone or in UTC. `36h` and `7d` are durations ago.
        option: Name of the option, for the error.
        now: The current time (default: the clock's).

    Raises:
        ConfigurationError: The text is not a time.
    """
    if text is None:
        return None
    ago = _LENGTH.match(text.strip())
    try:
        if ago is not None:
            length = timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
            moment = (now or datetime.now(UTC)) - length
        else:
            moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"{option} {text}: not a time; use 2026-11-25T09:30 (UTC), or 36h or 7d (ago)"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000) * 1000


def seconds(text: str, option: str) -> float:
    """Return a duration in seconds.

    Args:
        text: `90m`, `2h`, `7d`.
        option: Name of the option, for the error.

    Raises:
        ConfigurationError: The text is not a duration.
    """
    length = _LENGTH.match(text.strip())
    if length is None or not int(length.group(1)):
        raise ConfigurationError(f"{option} {text}: not a duration; use 90m, 2h or 7d")
    return timedelta(**{_UNITS[length.group(2)]: int(length.group(1))}).total_seconds()
