"""One check of telemetry's health, and the report of all checks.

Format: `application/health+json` (draft-inadarei-api-health-check-06: expired, and still the only convention).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

MEDIA_TYPE: Final = "application/health+json"


class Status(StrEnum):
    """The status of a check."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    """It works, with a problem."""
    FAIL = "fail"


_ORDER: Final = (Status.FAIL, Status.WARN, Status.PASS)


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    name: str
    """As in `export:sentry`."""
    status: Status
    said: str = ""
    """Why, with the fix. It can name hosts and paths, so it is shown only with the token."""
    observed: Mapping[str, Any] = field(default_factory=dict)
    """Numbers, shown only with the token."""


def worst(statuses: Iterable[Status]) -> Status:
    """Return the worst of them; pass, if there is none."""
    found = set(statuses)
    return next((one for one in _ORDER if one in found), Status.PASS)


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The results of all checks."""

    checks: tuple[Check, ...]
    at_s: float
    """When they were checked, in seconds since the epoch."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Versions and the policy's digest, shown only with the token."""

    @property
    def status(self) -> Status:
        """The worst of the checks."""
        return worst(check.status for check in self.checks)

    @property
    def http_status(self) -> int:
        """200 for pass and warn, 503 for fail."""
        return 503 if self.status is Status.FAIL else 200

    def document(self, *, detailed: bool) -> dict[str, Any]:
        """Return the answer's body.

        Args:
            detailed: Whether the document shows more than the status of each check.
        """
        document: dict[str, Any] = {"status": self.status.value}
        if detailed:
            document["details"] = dict(self.about)
        found: dict[str, list[dict[str, Any]]] = {}
        for check in self.checks:  # several may have one name, as two gateways in one service do
            shown = self._detailed(check) if detailed else {"status": check.status.value}
            found.setdefault(check.name, []).append(shown)
        document["checks"] = found
        return document

    def _detailed(self, check: Check) -> dict[str, Any]:
        shown: dict[str, Any] = {"status": check.status.value, "time": _iso(self.at_s)}
        if check.said:
            shown["output"] = check.said
        if check.observed:
            shown["observedValue"] = dict(check.observed)
        return shown


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
