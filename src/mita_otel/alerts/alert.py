"""An alert: that a rule found too much, since when, who was told and who takes care of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mita_otel.alerts.points import Sample

_ID_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose alerts: those of a service in an environment, all its workers together."""

    service: str
    environment: str

    @property
    def key(self) -> str:
        """What the store knows it by."""
        return f"{self.service}/{self.environment}"

    def alert_id(self, rule: str, subject: str) -> str:
        """Return the id of the alert of a rule about a subject: always the same one."""
        text = "\x1f".join((self.service, self.environment, rule, subject))
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:_ID_CHARACTERS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """The state of a rule about a subject. Times are nanoseconds since the epoch; 0: never."""

    id: str
    rule: str
    subject: str
    open: bool
    opened_ns: int
    seen_ns: int
    """When there was last a reason for it."""
    hits: int
    """Events, or what made up the reason when it was last looked at."""
    reason: str
    """What a person reads: `3 events within 5 minutes`."""
    closed_ns: int = 0
    told_ns: int = 0
    """When people were told that it began; 0: nobody was, because of a silence or a cool-down."""
    last_told_ns: int = 0
    """When people were last told that it, or one before it, began."""
    told: tuple[str, ...] = ()
    """The channels that know of it."""
    steps: int = 0
    """Steps of its escalation that were taken."""
    acknowledged_ns: int = 0
    acknowledged_by: str = ""
    acknowledgement_told: bool = False
    sample: Sample | None = field(default=None)

    def but(self, **changes: Any) -> Alert:
        """Return the alert with changes."""
        return replace(self, **changes)
