"""What `OTEL_*` variables name, looked up by the SDK's own configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler


def sampler_from_environment() -> Sampler | None:
    """Return the sampler that `OTEL_TRACES_SAMPLER` names, by entry point; None if it names none.

    The provider's own constructor knows the built-in names only.
    """
    if not os.environ.get("OTEL_TRACES_SAMPLER"):
        return None  # without the SDK's configuration, which takes some milliseconds to load
    from opentelemetry.sdk import _configuration as sdk

    return sdk._import_sampler(sdk._get_sampler())


def id_generator_from_environment() -> IdGenerator | None:
    """Return the generator that `OTEL_PYTHON_ID_GENERATOR` names; None if it names none or there is no such entry point."""
    if not os.environ.get("OTEL_PYTHON_ID_GENERATOR"):
        return None
    from opentelemetry.sdk import _configuration as sdk

    try:
        return sdk._import_id_generator(sdk._get_id_generator())
    except RuntimeError:
        return None


class AskedExporters(NamedTuple):
    """The exporters that a signal's variable names."""

    classes: dict[str, Callable[[], Any]]
    """By name, those that can be had. Of metrics they may be readers."""
    missing: dict[str, Exception]
    """By name, what became of the others when they were looked for."""


def asked_exporters(signal: Literal["metrics", "logs"]) -> AskedExporters:
    """Return what `OTEL_METRICS_EXPORTER` or `OTEL_LOGS_EXPORTER` names, without making an exporter."""
    asked = AskedExporters({}, {})
    if not os.environ.get(f"OTEL_{signal.upper()}_EXPORTER"):
        return asked
    from opentelemetry.sdk import _configuration as sdk

    for name in dict.fromkeys(_installed(signal)):
        if name in {"", "none"}:
            continue
        of = {signal: [name]}
        try:
            for found in sdk._import_exporters([], of.get("metrics", []), of.get("logs", [])):
                asked.classes.update(found)
        except Exception as error:  # noqa: BLE001 - it imports a third party's module
            asked.missing[name] = error
    return asked


def _installed(signal: Literal["metrics", "logs"]) -> list[str]:
    """Names of the signal's exporters; `otlp` is the protocol asked for, else whichever is installed."""
    from importlib.metadata import entry_points

    from opentelemetry.sdk import _configuration as sdk

    names: list[str] = sdk._get_exporter_names(signal)
    if not names:
        return names  # without a look at the installed packages, which is slow
    asked = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL") or os.environ.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL"
    )
    group = f"opentelemetry_{signal}_exporter"
    if asked or not entry_points(group=group, name="otlp_proto_http"):
        return names
    return ["otlp_proto_http" if name == "otlp_proto_grpc" else name for name in names]
