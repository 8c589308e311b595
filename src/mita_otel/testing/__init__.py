"""Telemetry for tests: `capture()` and the pytest fixture `mita`.

    from mita_otel.testing import capture

    with capture(environment="staging") as mita:
        client.get("/api/accounts/7/balance")
    mita.assert_within_limits()

Importing this package imports neither OpenTelemetry's SDK nor pytest: pytest loads the plugin in every run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mita_otel.testing.captured import CapturedTelemetry as CapturedTelemetry
    from mita_otel.testing.captured_items import CapturedError as CapturedError
    from mita_otel.testing.captured_items import CapturedLog as CapturedLog
    from mita_otel.testing.captured_items import CapturedMetric as CapturedMetric
    from mita_otel.testing.captured_items import Redaction as Redaction
    from mita_otel.testing.capturing import capture as capture
    from mita_otel.testing.deterministic import ManualClock as ManualClock

_HOMES: Final = {
    "CapturedError": "captured",
    "CapturedLog": "captured",
    "CapturedMetric": "captured",
    "CapturedTelemetry": "captured",
    "ManualClock": "deterministic",
    "Redaction": "captured",
    "capture": "capturing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
