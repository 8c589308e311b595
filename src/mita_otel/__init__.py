"""An OpenTelemetry distribution for Python financial services.

    import mita_otel

    telemetry = mita_otel.configure()

The names below are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import version as _version

    from mita_otel.configuration import configure
    from mita_otel.errors import ConfigurationError
    from mita_otel.policy import Policy, PolicyError, load_policy
    from mita_otel.processors.redaction import RedactionProcessor
    from mita_otel.processors.threshold import ThresholdProcessor
    from mita_otel.redaction import Redactor
    from mita_otel.sentry.exporter import SentrySpanExporter
    from mita_otel.telemetry import Telemetry

    __version__ = _version("mita-otel")

__all__ = [
    "ConfigurationError",
    "Policy",
    "PolicyError",
    "RedactionProcessor",
    "Redactor",
    "SentrySpanExporter",
    "Telemetry",
    "ThresholdProcessor",
    "__version__",
    "configure",
    "load_policy",
]

_HOMES = {
    "ConfigurationError": "mita_otel.errors",
    "Policy": "mita_otel.policy",
    "PolicyError": "mita_otel.policy",
    "RedactionProcessor": "mita_otel.processors.redaction",
    "Redactor": "mita_otel.redaction",
    "SentrySpanExporter": "mita_otel.sentry.exporter",
    "Telemetry": "mita_otel.telemetry",
    "ThresholdProcessor": "mita_otel.processors.threshold",
    "configure": "mita_otel.configuration",
    "load_policy": "mita_otel.policy",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mita-otel")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'mita_otel' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
