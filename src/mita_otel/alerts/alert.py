"""An alert, the service that it belongs to, and silences."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mita_otel.alerts.samples import Exemplar, matches_any

_ID_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True)
class AlertScope:
    """A service in an environment: all its workers share their alerts."""

    service: str
    environment: str

    @property
    def key(self) -> str:
        """The key in the store."""
        return f"{self.service}/{self.environment}"

    def alert_id(self, rule: str, subject: str) -> str:
        """Return the id of a rule's alert about a subject. It never changes."""
        text = "\x1f".join((self.service, self.environment, rule, subject))
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:_ID_CHARACTERS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """The state of a rule's alert about a subject. Times are nanoseconds since the epoch; 0 means never."""

    id: str
    rule: str
    subject: str
    open: bool
    opened_ns: int
    seen_ns: int
    """When the rule's condition was last met."""
    hits: int
    """Events, or spans that failed or exceeded a limit, when the condition was last met."""
    reason: str
    """For people: `3 events within 5 minutes`."""
    closed_ns: int = 0
    notified_ns: int = 0
    """When people were notified that it opened; 0: not yet, because of a silence or a cool-down."""
    last_notified_ns: int = 0
    """When people were last notified that this alert, or an earlier one of the same id, opened."""
    notified: tuple[str, ...] = ()
    """Channels that were notified."""
    steps: int = 0
    """Escalation steps taken so far."""
    acknowledged_ns: int = 0
    acknowledged_by: str = ""
    acknowledgement_notified: bool = False
    exemplar: Exemplar | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Suppresses notifications of matching alerts for a time. Times are nanoseconds since the epoch."""

    id: str
    rule: str
    """Name of the rule; `*` matches anything."""
    subject: str
    """Subject of the alert; `*` matches anything."""
    from_ns: int
    until_ns: int
    by: str
    """Who created it."""
    why: str

    def covers(self, rule: str, subject: str, now_ns: int) -> bool:
        """Return whether it applies to an alert now."""
        return (
            self.from_ns <= now_ns < self.until_ns
            and matches_any(rule, [self.rule])
            and matches_any(subject, [self.subject])
        )


def is_silenced(silences: Iterable[Silence], rule: str, subject: str, now_ns: int) -> bool:
    """Return whether a silence applies to an alert now."""
    return any(one.covers(rule, subject, now_ns) for one in silences)
