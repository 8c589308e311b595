"""The global providers of the three signals: set or not, unset, and put aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry._logs import LoggerProvider as APILoggerProvider
from opentelemetry.metrics import MeterProvider as APIMeterProvider
from opentelemetry.trace import TracerProvider as APITracerProvider
from opentelemetry.util._once import Once


def has_meter_provider() -> bool:
    """Return whether somebody set a global MeterProvider."""
    from opentelemetry.metrics import _internal

    return _internal._METER_PROVIDER is not None


def has_logger_provider() -> bool:
    """Return whether somebody set a global LoggerProvider."""
    from opentelemetry._logs import _internal

    return _internal._LOGGER_PROVIDER is not None


def unset_tracer_provider(provider: APITracerProvider) -> None:
    """Let there be no global TracerProvider, as before `set_tracer_provider(provider)`."""
    from opentelemetry import trace

    if trace._TRACER_PROVIDER is provider:
        trace._TRACER_PROVIDER = None
        trace._TRACER_PROVIDER_SET_ONCE = Once()


def unset_meter_provider(provider: APIMeterProvider) -> None:
    """Let there be no global MeterProvider, as before `set_meter_provider(provider)`.

    Instruments that were made before it was set measure nothing until another provider is set.
    """
    from opentelemetry.metrics import _internal

    if _internal._METER_PROVIDER is provider:
        _internal._METER_PROVIDER = None
        _internal._METER_PROVIDER_SET_ONCE = Once()
        proxy = _internal._PROXY_METER_PROVIDER
        with proxy._lock:
            proxy._real_meter_provider = None
            for meter in proxy._meters:
                meter._real_meter = None


def unset_logger_provider(provider: APILoggerProvider) -> None:
    """Let there be no global LoggerProvider, as before `set_logger_provider(provider)`."""
    from opentelemetry._logs import _internal

    if _internal._LOGGER_PROVIDER is provider:
        _internal._LOGGER_PROVIDER = None
        _internal._LOGGER_PROVIDER_SET_ONCE = Once()


def put_aside_providers() -> Callable[[], None]:
    """Let there be no global providers, as in a process that has just started.

    Returns:
        A function that makes the providers of before the global ones again, also for instruments made since.
    """
    from opentelemetry import trace
    from opentelemetry._logs import _internal as logs
    from opentelemetry.metrics import _internal as metrics

    globals_: list[tuple[Any, str, Any]] = [
        (module, name, getattr(module, name))
        for module, signal in ((trace, "TRACER"), (logs, "LOGGER"), (metrics, "METER"))
        for name in (f"_{signal}_PROVIDER", f"_{signal}_PROVIDER_SET_ONCE")
    ]
    proxy = metrics._PROXY_METER_PROVIDER
    for module, name, _ in globals_:
        setattr(module, name, Once() if name.endswith("_ONCE") else None)
    with proxy._lock:
        before = proxy._real_meter_provider
        meters = [(meter, meter._real_meter) for meter in proxy._meters]
        instruments = [(one, one._real_instrument) for meter, _ in meters for one in meter._instruments]
        proxy._real_meter_provider = None
        _unbind(meter for meter, _ in meters)

    def restore() -> None:
        for module, name, value in globals_:
            setattr(module, name, value)
        with proxy._lock:
            known = {id(meter) for meter, _ in meters}
            new = [meter for meter in proxy._meters if id(meter) not in known]
            proxy._real_meter_provider = before
            proxy._meters[:] = [*(meter for meter, _ in meters), *new]
            _unbind(proxy._meters)
            for meter, real in meters:
                meter._real_meter = real
            for instrument, made in instruments:
                instrument._real_instrument = made
            if before is not None:
                for meter in new:
                    meter.on_set_meter_provider(before)

    return restore


def _unbind(meters: Iterable[Any]) -> None:
    for meter in meters:
        meter._real_meter = None
        for instrument in meter._instruments:
            instrument._real_instrument = None
