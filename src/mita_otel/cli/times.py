"""Times as they are given on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from mita_otel.errors import ConfigurationError

_AGO: Final = re.compile(r"(\d+)([mhdw])\Z")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def time_ns(text: str | None, option: str, *, now: datetime | None = None) -> int | None:
    """Return a time as nanoseconds since the epoch.

    Args:
        text: `2026-11-25`, `2026-11-25T09:30`, with a zone or UTC; or `36h`, `7d`: so long ago.
        option: Its name, for the message.
        now: None: now.

    Raises:
        ConfigurationError: It is no time.
    """
    if text is None:
        return None
    ago = _AGO.match(text.strip())
    try:
        if ago is not None:
            length = timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
            moment = (now or datetime.now(UTC)) - length
        else:
            moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"{option} {text}: not a time; write it as in 2026-11-25T09:30 (UTC), or as in 36h or 7d (ago)"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000) * 1000


def seconds(text: str, option: str) -> float:
    """Return a length of time in seconds.

    Args:
        text: `90m`, `2h`, `7d`.
        option: Its name, for the message.

    Raises:
        ConfigurationError: It is no length of time.
    """
    length = _AGO.match(text.strip())
    if length is None or not int(length.group(1)):
        raise ConfigurationError(f"{option} {text}: not a length of time; write it as in 90m, 2h or 7d")
    return timedelta(**{_UNITS[length.group(2)]: int(length.group(1))}).total_seconds()
