"""FastAPI: its own telemetry where the version has it (0.163 and later), the contrib package's elsewhere.

Never both: one SERVER span a request. `FastAPI.__init__` is wrapped on the class, so that an application
whose module said `from fastapi import FastAPI` before we came is measured too.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, Literal
from weakref import WeakSet

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode
from opentelemetry.util.http import parse_excluded_urls

from mita_otel import environment_variables as variables
from mita_otel import semconv
from mita_otel.instrumentation.exception_events import Capture, ErrorReports
from mita_otel.instrumentation.patches import Patches, type_name
from mita_otel.policy.runtime import InstrumentationPolicy

Source = Literal["native", "contrib", "off"]

_QUIET: Final = {"tracing": False, "metrics": False, "logs": False}
"""Switches FastAPI's own telemetry off."""


def has_native_telemetry(fastapi_class: type) -> bool:
    """Return whether this FastAPI has its own telemetry."""
    return "telemetry" in inspect.signature(fastapi_class.__init__).parameters  # type: ignore[misc]


def fastapi_source(policy: InstrumentationPolicy, has_native: bool) -> Source:
    """Return whose telemetry applications use."""
    if policy.fastapi == "auto":
        return "native" if has_native else "contrib"
    if policy.fastapi == "native" and not has_native:
        return "contrib"
    return policy.fastapi


def excluded_urls(env: Mapping[str, str]) -> Callable[[str], bool] | None:
    """Return whether a URL is excluded by `OTEL_PYTHON_FASTAPI_EXCLUDED_URLS`, else by `OTEL_PYTHON_EXCLUDED_URLS`."""
    patterns = env.get(variables.FASTAPI_EXCLUDED_URLS, env.get("OTEL_PYTHON_EXCLUDED_URLS", ""))
    return parse_excluded_urls(patterns).url_disabled if patterns.strip() else None


class FastAPIInstrumentation:
    """Measures FastAPI applications.

    Args:
        policy: Whose telemetry, and how much of it.
        patches: Takes back what this changes.
        middleware: An ASGI middleware that every application gets, unless it has it.
        capture: Receives unhandled exceptions first; see `ErrorReports`.
        excluded: Returns whether requests to a URL are not measured. FastAPI's contrib package reads its variables itself.
    """

    def __init__(
        self,
        policy: InstrumentationPolicy,
        patches: Patches,
        middleware: type[Any] | None = None,
        capture: Capture | None = None,
        excluded: Callable[[str], bool] | None = None,
    ) -> None:
        self._policy = policy
        self._patches = patches
        self._middleware = middleware
        self._capture = capture
        self._excluded = excluded
        self._silenced: WeakSet[Any] = WeakSet()
        """Applications without FastAPI's own telemetry, which `instrument` may still be called with."""
        self._by_contrib: WeakSet[Any] = WeakSet()
        """Applications that the contrib package measures for us."""

    def install(self) -> None:
        """Measure every application that is made from now on, once fastapi is imported."""
        if self._policy.fastapi == "off":
            self.silence()
            return
        self._patches.add(self._remove_contrib)

        def patch(module: Any) -> None:
            has_native = has_native_telemetry(module.FastAPI)
            source = fastapi_source(self._policy, has_native)
            self._patches.wrap(module, "FastAPI.__init__", self._init(source, has_native))
            if source == "native":
                BackgroundTaskSpans().install(self._patches)
            reports = ErrorReports(self._policy, native=source == "native", capture=self._capture)
            reports.install(self._patches)

        self._patches.on_import("fastapi.applications", patch)

    def silence(self) -> None:
        """Switch FastAPI's own telemetry off in every application made from now on, unless its code switches it on.

        It measures wherever there is a provider, and more than the policy asks for.
        """

        def patch(module: Any) -> None:
            if has_native_telemetry(module.FastAPI):
                self._patches.wrap(module, "FastAPI.__init__", self._init_silent)

        self._patches.on_import("fastapi.applications", patch)

    def instrument(self, app: Any) -> None:
        """Measure an application that exists already.

        Raises:
            TypeError: It is not a FastAPI application.
        """
        applications = sys.modules.get("fastapi.applications")
        if applications is None or not isinstance(app, applications.FastAPI):
            raise TypeError(f"app has to be a fastapi.FastAPI, and is a {type_name(app)}")
        self._add_middleware(app)
        source = fastapi_source(self._policy, has_native_telemetry(applications.FastAPI))
        if source == "contrib":
            self._contrib(app)
        elif source == "native":
            telemetry = getattr(app, "_telemetry", None)
            if isinstance(telemetry, dict):  # FastAPI reads it at each request
                if app in self._silenced:
                    telemetry.update(dict.fromkeys(_QUIET, True))
                telemetry["operation_spans"] = self._policy.fastapi_operation_spans
                telemetry["exclude"] = self._exclude(telemetry.get("exclude"))

    def _init(self, source: Source, has_native: bool) -> Callable[..., None]:
        def init(
            wrapped: Callable[..., None], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> None:
            if source == "native":
                ours = {"operation_spans": self._policy.fastapi_operation_spans}
                asked = kwargs.get("telemetry") or {}
                exclude = self._exclude(asked.get("exclude"))
                kwargs = {**kwargs, "telemetry": {**ours, **asked, "exclude": exclude}}
            elif has_native:
                # The contrib package measures, or nothing does: FastAPI's own telemetry must not.
                kwargs = _quiet(kwargs)
            wrapped(*args, **kwargs)
            # Starlette before 0.24 builds its middleware in the constructor: it is built again with ours.
            built = getattr(instance, "middleware_stack", None) is not None
            if built:
                instance.middleware_stack = None
            if source == "contrib":
                self._contrib(instance)
            self._add_middleware(instance)
            if built:
                instance.middleware_stack = instance.build_middleware_stack()

        return init

    def _exclude(self, asked: Exclude | None) -> Exclude | None:
        """Return FastAPI's setting that excludes requests: the application's, and the URLs of the variables."""
        excluded, patches = self._excluded, self._patches
        if excluded is None:
            return asked

        def exclude(scope: MutableMapping[str, Any]) -> bool:
            return (asked is not None and asked(scope)) or (patches.active and excluded(_url(scope)))

        return exclude

    def _init_silent(
        self, wrapped: Callable[..., None], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        wrapped(*args, **_quiet(kwargs))
        if kwargs.get("telemetry") is None:
            self._silenced.add(instance)

    def _add_middleware(self, app: Any) -> None:
        """Add the middleware first, so that it is inside of what the service adds later, as its authentication."""
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
            self._by_contrib.add(app)

    def _remove_contrib(self) -> None:
        for app in list(self._by_contrib):
            from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

            FastAPIInstrumentor.uninstrument_app(app)


Exclude = Callable[[MutableMapping[str, Any]], bool]
"""Returns whether a request, given its ASGI scope, is not measured."""


def _url(scope: MutableMapping[str, Any]) -> str:
    """Return a request's URL as the contrib instrumentation compares it."""
    from opentelemetry.instrumentation.asgi import get_host_port_url_tuple

    return str(get_host_port_url_tuple(scope)[2])  # type: ignore[no-untyped-call]


def _quiet(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {**kwargs, "telemetry": {**_QUIET, **(kwargs.get("telemetry") or {})}}


SPAN_NAME: Final = "fastapi.background_task"


class BackgroundTaskSpans:
    """Measures the background tasks of requests that are measured.

    Args:
        tracer: Makes the spans. None: one of the global provider.
    """

    def __init__(self, tracer: trace.Tracer | None = None) -> None:
        self._tracer = tracer or trace.get_tracer("mita_otel.instrumentation.fastapi")

    def install(self, patches: Patches) -> None:
        """Measure from now on, once starlette is imported."""
        patches.on_import(
            "starlette.background",
            lambda module: patches.wrap(module, "BackgroundTask.__call__", self._call),
        )

    def _call(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        current = trace.get_current_span()
        is_measured = getattr(current, "name", None) == SPAN_NAME  # the application asked for operation spans
        if is_measured or not current.get_span_context().is_valid:
            return wrapped(*args, **kwargs)
        return self._measured(wrapped, getattr(instance, "func", None), args, kwargs)

    async def _measured(
        self, wrapped: Callable[..., Any], function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        with self._tracer.start_as_current_span(
            SPAN_NAME,
            attributes={"code.function.name": _name_of(function)},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                await wrapped(*args, **kwargs)
            except Exception as error:
                # As FastAPI does it; the exception itself is reported where it leaves the application.
                span.set_attribute(semconv.ERROR_TYPE, _name_of(type(error)).removeprefix("builtins."))
                span.set_status(Status(StatusCode.ERROR))
                raise


def _name_of(function: Any) -> str:
    module = getattr(function, "__module__", type(function).__module__)
    return f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"
