"""Which libraries of a service are measured, and which could be: found out without importing any of them."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import Distribution, PackageNotFoundError, distributions, entry_points, version
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from importlib.metadata import PackageMetadata

_TELEMETRY: Final = re.compile(r"mita-otel|sentry-sdk|opentelemetry-.+")
_NAME: Final = re.compile(r"[A-Za-z0-9._\-]+")


class ParsedDistribution(Distribution):
    """An installed distribution. Its metadata are parsed once; the standard library parses them for each attribute."""

    def __init__(self, distribution: Distribution) -> None:
        self._distribution = distribution

    @cached_property
    def metadata(self) -> PackageMetadata:
        """The parsed metadata."""
        return self._distribution.metadata

    def read_text(self, filename: str) -> str | None:
        """Return the text of a file of the metadata. None: there is no such file."""
        return self._distribution.read_text(filename)

    def locate_file(self, path: Any) -> Any:  # their types have changed with each Python
        """Return the path of a file of the distribution."""
        return self._distribution.locate_file(path)


def installed_distributions() -> list[Distribution]:
    """Return every installed distribution, in the order in which Python finds them."""
    return [ParsedDistribution(one) for one in distributions()]


def there_for_telemetry(names: Iterable[str]) -> frozenset[str]:
    """Return the distributions that were not installed by name, and that only telemetry packages need.

    An installer marks what was installed by name (`REQUESTED`, as the packaging guide's "Recording installed
    projects" says). A package without a mark that no other package needs is the service's own as well.
    """
    installed = installed_distributions()
    requested = _requested(installed)
    requirers: dict[str, set[str]] = defaultdict(set)
    for one in installed:
        for required in _required(one):
            requirers[required].add(_plain(one.name or ""))

    def needed_by_others(name: str) -> bool:
        asked, seen = [name], {name}
        while asked:
            one = asked.pop()
            if one in requested or not requirers[one]:
                return True
            further = {other for other in requirers[one] if not _TELEMETRY.fullmatch(other)} - seen
            asked += further
            seen |= further
        return False

    return frozenset(name for name in names if not needed_by_others(_plain(name)))


def _requested(installed: Iterable[Distribution]) -> set[str]:
    """Return the distributions that were installed by name.

    uv marks every package, and pip marks every package of a lock file. Such marks do not distinguish what was
    installed by name, so the marks of an installer count only if it has left a package without one.
    """
    marked: dict[str, set[str]] = defaultdict(set)
    distinguishing: set[str] = set()
    for one in installed:
        installer = (one.read_text("INSTALLER") or "").strip()
        if one.read_text("REQUESTED") is None:
            distinguishing.add(installer)
        else:
            marked[installer].add(_plain(one.name or ""))
    return {name for installer in distinguishing for name in marked[installer]}


def _required(one: Distribution) -> Iterable[str]:
    for text in one.requires or ():
        match = _NAME.match(text)
        # An extra of ours is taken as asked for. Extras of sentry-sdk and OpenTelemetry name the libraries that they
        # instrument, such as Flask, and those belong to the service.
        if match and ("extra ==" not in text or _plain(one.name or "") == "mita-otel"):
            yield _plain(match.group())


def _plain(name: str) -> str:
    """Return a name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", name).lower()


Measured = Literal["measured", "not loaded", "missing"]

OURS: Final = {"fastapi": "fastapi", "sqlalchemy": "sqlalchemy"}
"""Distributions that are measured without any other package, and their modules."""
WELL_KNOWN: Final = {
    "flask": "flask",
    "django": "django",
    "falcon": "falcon",
    "pyramid": "pyramid",
    "tornado": "tornado",
    "httpx": "httpx",
    "requests": "requests",
    "urllib3": "urllib3",
    "aiohttp": "aiohttp-client",
    "redis": "redis",
    "celery": "celery",
    "pymongo": "pymongo",
    "grpcio": "grpc_client",
    "kafka-python": "kafka",
    "confluent-kafka": "confluent_kafka",
    "boto3": "botocore",
}
"""Distributions, and the entry point of the OpenTelemetry package that measures each."""
_MODULES: Final = {"grpcio": "grpc", "kafka-python": "kafka", "confluent-kafka": "confluent_kafka"}


@dataclass(frozen=True, slots=True)
class Library:
    """A library that is installed."""

    name: str
    version: str
    state: Measured
    """`measured`: what measures it is there. `not loaded`: it would be, and the service has not imported it. `missing`:
    nothing measures it."""
    fix: str = ""


def installed_version(name: str) -> str:
    """Return the version of a distribution; empty: it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def libraries(
    names: Iterable[str] = (*OURS, *WELL_KNOWN),
    not_missed: Callable[[tuple[str, ...]], frozenset[str]] = there_for_telemetry,
) -> list[Library]:
    """Return the libraries that are installed, and whether they are measured; not those that telemetry alone needs.

    Args:
        names: Distributions.
        not_missed: Returns which of those that nothing measures telemetry alone needs.
    """
    available = {point.name for point in entry_points(group="opentelemetry_instrumentor")}
    found: list[Library] = []
    for name in names:
        installed = installed_version(name)
        if not installed:
            continue
        loaded = _MODULES.get(name, name) in sys.modules
        if name in OURS or WELL_KNOWN[name] in available:
            found.append(Library(name, installed, "measured" if loaded else "not loaded"))
        else:
            package = f"opentelemetry-instrumentation-{WELL_KNOWN[name].replace('_', '-')}"
            found.append(Library(name, installed, "missing", f"pip install {package}"))
    missing = tuple(one.name for one in found if one.state == "missing")
    excused = not_missed(missing) if missing else frozenset()
    return [one for one in found if one.name not in excused]
