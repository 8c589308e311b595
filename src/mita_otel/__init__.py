"""An OpenTelemetry distribution for Python financial services.

    import mita_otel

    telemetry = mita_otel.configure()

The public names are listed in `__init__.pyi`. They are loaded when they are first used, so that importing the package
costs nothing.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return __dir__()
    if name == "__version__":
        from importlib.metadata import version

        return version("mita-otel")
    home = None if name.startswith("_") else _homes().get(name)
    if home is None:
        raise AttributeError(f"module 'mita_otel' has no attribute {name!r}")
    if name != "configure":  # it does so itself, unless telemetry is switched off
        from mita_otel.sdk.env_check import import_opentelemetry

        import_opentelemetry()
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*_homes(), "__version__"])


@cache
def _homes() -> dict[str, str]:
    """Return the module of each public name, from the lines `from MODULE import NAME as NAME` of the table."""
    with open(f"{__file__}i", encoding="utf-8") as table:  # noqa: PTH123 - pathlib takes longer to load than the rest
        lines = [line.split() for line in table if line.startswith("from ")]
    return {name: module for _, module, _, name, *_ in lines}
