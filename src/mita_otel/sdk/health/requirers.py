"""Libraries that are there for telemetry alone: what only mita-otel, sentry-sdk and OpenTelemetry's packages need."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from typing import Final

_TELEMETRY: Final = re.compile(r"mita-otel|sentry-sdk|opentelemetry-.+")
_NAME: Final = re.compile(r"[A-Za-z0-9._\-]+")


def there_for_telemetry(names: Iterable[str]) -> frozenset[str]:
    """Return those of the distributions that nobody asked for by name, and only telemetry's packages need.

    An installer marks what was asked for by name (`REQUESTED`, as the packaging guide's "Recording installed
    projects" says). A package that nobody needs, and that has no mark, is the service's own as well.
    """
    requested: set[str] = set()
    requirers: dict[str, set[str]] = defaultdict(set)
    for one in distributions():
        name = _plain(one.name or "")
        if one.read_text("REQUESTED") is not None:
            requested.add(name)
        for required in _required(one):
            requirers[required].add(name)

    def somebody_elses(name: str) -> bool:
        asked, seen = [name], {name}
        while asked:
            one = asked.pop()
            if one in requested or not requirers[one]:
                return True
            further = {other for other in requirers[one] if not _TELEMETRY.fullmatch(other)} - seen
            asked += further
            seen |= further
        return False

    return frozenset(name for name in names if not somebody_elses(_plain(name)))


def _required(one: Distribution) -> Iterable[str]:
    for text in one.requires or ():
        match = _NAME.match(text)
        # An extra's requirement is none where the extra was not asked for; telemetry's own are taken as asked for.
        if match and ("extra ==" not in text or _TELEMETRY.fullmatch(_plain(one.name or ""))):
            yield _plain(match.group())


def _plain(name: str) -> str:
    """Return a name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", name).lower()
