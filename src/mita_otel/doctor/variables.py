"""Finds misspelt names of environment variables: names that no one reads and that resemble one that is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Final

from mita_otel import environment_variables as variables
from mita_otel.sdk.health.check import Check, Status

_PREFIXES: Final = ("OTEL_", "SENTRY_", "MITA_OTEL_")
_SIMILAR: Final = 0.85
_VERY_SIMILAR: Final = 0.9
"""For names without one of the prefixes, and for those that single instrumentations read."""
_OF_INSTRUMENTATIONS: Final = ("OTEL_PYTHON_", "OTEL_INSTRUMENTATION_")
_SHORTEST: Final = 9
"""Characters of the shortest name that is compared, as `SENTRY_DN`."""
_OF_SENTRY: Final = (
    "SENTRY_API_KEY", "SENTRY_BAGGAGE", "SENTRY_DIST", "SENTRY_DOTENV_PATH", "SENTRY_HTTP_MAX_RETRIES",
    "SENTRY_LOAD_DOTENV", "SENTRY_LOG_LEVEL", "SENTRY_NO_PROGRESS_BAR", "SENTRY_PIPELINE", "SENTRY_PROJECT",
    "SENTRY_PROPERTIES", "SENTRY_SAMPLE_RATE", "SENTRY_TRACE", "SENTRY_USE_ENVIRONMENT", "SENTRY_VCS_REMOTE",
)  # fmt: skip
"""Names that sentry-sdk and sentry-cli read."""
_OF_OPENTELEMETRY: Final = (
    "OTEL_ENTITIES", "OTEL_EXPORTER_OTLP_INSECURE", "OTEL_EXPORTER_PROMETHEUS_HOST", "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
    "OTEL_PYTHON_EXCLUDED_URLS", "OTEL_SERVICE_VERSION",
)  # fmt: skip
"""Names in use that no installed package declares."""


def misspelt_checks(env: Mapping[str, str]) -> Iterator[Check]:
    """Check the names of the variables that are set.

    Args:
        env: The environment variables.
    """
    known = _known()
    for name in sorted(env):
        meant = _meant(name, known)
        if meant:
            message = f"nothing reads {name}; did you mean {meant}?"
            yield Check(f"variable:{name}", Status.WARN, message)


def _meant(name: str, known: frozenset[str]) -> str:
    """Return the known name that a name resembles, or ""."""
    upper = name.upper()
    if name in known or len(name) < _SHORTEST or "__" in name:
        return ""
    if upper in known:
        return upper
    close = get_close_matches(upper, sorted(known), n=1, cutoff=_VERY_SIMILAR)
    if close or not upper.startswith(_PREFIXES):
        return close[0] if close else ""
    longer = [one for one in known if one.startswith(upper)]
    if len(longer) == 1:
        return longer[0]
    # Collectors and operators add to known names, as in OTEL_RESOURCE_ATTRIBUTES_POD_NAME.
    if upper.startswith(_OF_INSTRUMENTATIONS) or any(upper.startswith(f"{one}_") for one in known):
        return ""
    similar = get_close_matches(upper, sorted(known), n=1, cutoff=_SIMILAR)
    return similar[0] if similar else ""


def _known() -> frozenset[str]:
    """Return the names that installed packages declare."""
    declared = {
        value
        for point in entry_points(group="opentelemetry_environment_variables")
        for name, value in vars(point.load()).items()
        if name.isupper() and isinstance(value, str) and value.startswith("OTEL_")
    }
    return frozenset({*declared, *variables.names(), *_OF_SENTRY, *_OF_OPENTELEMETRY})
