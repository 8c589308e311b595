"""What every test may rely on: no setting of the developer's shell, and a way to configure in the process itself.

OpenTelemetry's providers, `configure()` and the Sentry client are set once a process. A test that needs them has
two ways: `run_script` of the end-to-end kit (a fresh interpreter, half a second), or the fixture
`isolated_telemetry`, which gives the globals back as they were. Tests of single rooms need neither: they make a
provider of their own and pass it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic
from typing import Any

import pytest

from databases import database_url, postgresql_server, postgresql_url  # noqa: F401 - fixtures of every test
from exploring import load_profile

_SETTINGS = ("OTEL_", "MITA_OTEL_", "SENTRY_", "SLACK_", "PAGERDUTY_", "ENVIRONMENT")


# The tests start hundreds of interpreters. Without its bytecode cache, each compiles everything again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure() -> None:
    load_profile()


@pytest.fixture(autouse=True, scope="session")
def _no_settings_of_the_shell() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(_SETTINGS):
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True, scope="module")
def _threads_end_with_their_module() -> Iterator[None]:
    """Hold every module to ending the threads that it started: a left one works on in the tests of others.

    Pools that a library keeps for the process are idle, and stay.
    """
    before = set(threading.enumerate())
    yield
    left = [
        thread
        for thread in threading.enumerate()
        if thread not in before and not thread.name.startswith("ThreadPoolExecutor-")
    ]
    deadline = monotonic() + 60
    for thread in left:
        thread.join(max(0.0, deadline - monotonic()))
    assert not (named := [thread.name for thread in left if thread.is_alive()]), (
        f"threads left running: {named}"
    )


@pytest.fixture(autouse=True)
def _workers_end_with_their_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End the daemon threads of queues that a test made and left as they were, and their connections."""
    from mita_otel.processors.queues.worker import BoundedWorker
    from mita_otel.sentry.transport.senders import Senders
    from mita_otel.sentry.transport.transport import CountingTransport

    made: list[Callable[[], object]] = []

    def remember(kind: type, end: Callable[[Any], object]) -> None:
        prepare = kind.__init__  # type: ignore[misc]

        def prepare_and_remember(self: Any, *arguments: Any, **options: Any) -> None:
            prepare(self, *arguments, **options)
            made.append(partial(end, self))

        monkeypatch.setattr(kind, "__init__", prepare_and_remember)

    remember(BoundedWorker, lambda worker: worker.stop(0) if worker.started else None)
    remember(Senders, lambda senders: senders.kill())
    remember(CountingTransport, lambda transport: transport.kill())
    yield
    for end in made:
        end()


@pytest.fixture
def isolated_telemetry() -> Iterator[None]:
    """Let the test call `configure()` in this process; undo it afterwards.

    Replaces, for one test, the global providers of traces, metrics and logs, the global propagator, what
    `configure()` remembers, the Sentry client, and the hooks into FastAPI, Starlette and logging. Those into
    SQLAlchemy stay; a test that needs them fresh uses a process of its own.
    """
    import logging

    import fastapi
    import sentry_sdk
    import starlette.applications
    from opentelemetry import propagate, trace
    from opentelemetry._logs import _internal as logs
    from opentelemetry.metrics import _internal as metrics
    from opentelemetry.util._once import Once
    from starlette.middleware.exceptions import ExceptionMiddleware

    from mita_otel.audit import current
    from mita_otel.finance import runtime as finance
    from mita_otel.sdk import configuration

    with pytest.MonkeyPatch.context() as patch, sentry_sdk.isolation_scope():
        for module, name in (
            (trace, "_TRACER_PROVIDER"),
            (metrics, "_METER_PROVIDER"),
            (logs, "_LOGGER_PROVIDER"),
        ):
            patch.setattr(module, name, None)
            patch.setattr(module, f"{name}_SET_ONCE", Once())
        patch.setattr(propagate, "_HTTP_TEXT_FORMAT", propagate.get_global_textmap())
        for owner, method in (
            (fastapi.FastAPI, "__init__"),
            (starlette.applications.Starlette, "__call__"),
            (ExceptionMiddleware, "__init__"),
            (ExceptionMiddleware, "__call__"),
            (logging.Logger, "callHandlers"),
        ):
            patch.setattr(owner, method, vars(owner)[method])  # put back afterwards
        # Instruments made before there is a provider wait here for one: not those of other tests.
        patch.setattr(metrics, "_PROXY_METER_PROVIDER", metrics._ProxyMeterProvider())
        patch.setattr(configuration, "_configured", None)
        patch.setattr(configuration, "_warned", set())
        patch.setattr(current, "_installed", None)
        patch.setattr(finance, "_running", None)
        global_scope = sentry_sdk.get_global_scope()
        client = global_scope.client
        yield
        configured = configuration._configured
        if configured is not None:
            configured[1].shutdown(1.0)
        global_scope.set_client(client)
