"""FastAPI: its own telemetry where the version has it (0.163 and later), the contrib package's elsewhere.

Never both: one SERVER span a request. `FastAPI.__init__` is wrapped on the class, so that an application
whose module said `from fastapi import FastAPI` before we came is measured too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, Literal
from weakref import WeakSet

import wrapt

from mita_otel.instrumentation.background_tasks import BackgroundTaskSpans
from mita_otel.instrumentation.exception_events import Capture, ErrorReports
from mita_otel.policy.runtime import InstrumentationPolicy

Source = Literal["native", "contrib", "off"]


_QUIET: Final = {"tracing": False, "metrics": False, "logs": False}
"""How FastAPI's own telemetry is told to keep still."""


def has_native_telemetry(fastapi_class: type) -> bool:
    """Return whether this FastAPI has telemetry of its own."""
    return "telemetry" in inspect.signature(fastapi_class.__init__).parameters  # type: ignore[misc]


def fastapi_source(policy: InstrumentationPolicy, has_native: bool) -> Source:
    """Return whose telemetry applications use."""
    if policy.fastapi == "auto":
        return "native" if has_native else "contrib"
    if policy.fastapi == "native" and not has_native:
        return "contrib"
    return policy.fastapi


class FastAPIInstrumentation:
    """Measures FastAPI applications.

    Args:
        policy: Whose telemetry, and how much of it.
        middleware: An ASGI middleware that every application gets, unless it has it.
        capture: Takes unhandled exceptions first; see `ErrorReports`.
    """

    def __init__(
        self,
        policy: InstrumentationPolicy,
        middleware: type[Any] | None = None,
        capture: Capture | None = None,
    ) -> None:
        self._policy = policy
        self._middleware = middleware
        self._capture = capture
        self._silent: WeakSet[Any] = WeakSet()
        """Applications that were silenced, and may yet be named."""

    def install(self) -> None:
        """Measure every application that is made from now on; waits for fastapi's import."""
        if self._policy.fastapi == "off":
            self.silence()
            return

        def patch(module: Any) -> None:
            has_native = has_native_telemetry(module.FastAPI)
            init = self._init(fastapi_source(self._policy, has_native), has_native)
            wrapt.wrap_function_wrapper(module, "FastAPI.__init__", init)
            source = fastapi_source(self._policy, has_native)
            if source == "native":
                BackgroundTaskSpans().install()
            ErrorReports(self._policy, native=source == "native", capture=self._capture).install()

        wrapt.register_post_import_hook(patch, "fastapi.applications")

    def silence(self) -> None:
        """Keep FastAPI's own telemetry still in every application made from now on, unless its maker says otherwise.

        It measures wherever there is a provider, and more than we would have it do.
        """

        def patch(module: Any) -> None:
            if has_native_telemetry(module.FastAPI):
                wrapt.wrap_function_wrapper(module, "FastAPI.__init__", self._init_silent)

        wrapt.register_post_import_hook(patch, "fastapi.applications")

    def instrument(self, app: Any) -> None:
        """Measure an application that exists already."""
        from fastapi import FastAPI

        self._add_middleware(app)
        source = fastapi_source(self._policy, has_native_telemetry(FastAPI))
        if source == "contrib":
            self._contrib(app)
        elif source == "native":
            telemetry = getattr(app, "_telemetry", None)
            if isinstance(telemetry, dict):  # FastAPI reads it at each request
                if app in self._silent:
                    telemetry.update(dict.fromkeys(_QUIET, True))
                telemetry["operation_spans"] = self._policy.fastapi_operation_spans

    def _init(self, source: Source, has_native: bool) -> Callable[..., None]:
        def init(
            wrapped: Callable[..., None], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> None:
            if source == "native":
                ours = {"operation_spans": self._policy.fastapi_operation_spans}
                kwargs = {**kwargs, "telemetry": {**ours, **(kwargs.get("telemetry") or {})}}
            elif has_native:
                # Somebody else's telemetry, or none: FastAPI's own must keep still.
                kwargs = _quiet(kwargs)
            wrapped(*args, **kwargs)
            if source == "contrib":
                self._contrib(instance)
            self._add_middleware(instance)

        return init

    def _init_silent(
        self, wrapped: Callable[..., None], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        wrapped(*args, **_quiet(kwargs))
        if kwargs.get("telemetry") is None:
            self._silent.add(instance)

    def _add_middleware(self, app: Any) -> None:
        """Add the middleware first, so that whatever the service adds later stands outside: its authentication, say."""
        present = {entry.cls for entry in getattr(app, "user_middleware", ())}
        serves = getattr(app, "middleware_stack", None) is not None
        if self._middleware is not None and self._middleware not in present and not serves:
            app.add_middleware(self._middleware)

    def _contrib(self, app: Any) -> None:
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        if not getattr(app, "_is_instrumented_by_opentelemetry", False):
            exclude: list[Literal["receive", "send"]] | None = (
                None if self._policy.asgi_message_spans else ["receive", "send"]
            )
            FastAPIInstrumentor.instrument_app(app, exclude_spans=exclude)


def _quiet(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {**kwargs, "telemetry": {**_QUIET, **(kwargs.get("telemetry") or {})}}
