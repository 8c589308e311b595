"""An error dropped by the service's own Sentry client is not reported from its span or a log record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import sentry_sdk
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from sentry_sdk.integrations.fastapi import FastApiIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.starlette import StarletteIntegration

from closing import Closing
from e2e.receiver import Receiver
from mita_otel import capture_financial_error, configure
from mita_otel.captured import is_dropped, mark_dropped
from mita_otel.processors.captured_exceptions import CapturedExceptions
from mita_otel.sentry.dropped_errors import recorded_exc_info, watch_drops

DSN = "http://key@127.0.0.1:9/1"


def service() -> FastAPI:
    app = FastAPI()

    @app.post("/crash")
    async def crash(body: dict[str, Any]) -> None:
        raise KeyError("id")

    @app.post("/recorded")
    async def recorded(body: dict[str, Any]) -> None:
        with suppress(KeyError), trace.get_tracer("bank").start_as_current_span("ask"):
            raise KeyError("id")

    @app.post("/logged")
    async def logged(body: dict[str, Any]) -> None:
        try:
            raise KeyError("id")
        except KeyError:
            logging.getLogger("bank.noisy").exception("failed")

    @app.post("/api/payments/captured")
    async def captured(body: dict[str, Any]) -> None:
        capture_financial_error(KeyError("id"))

    return app


PATHS = ("/crash", "/recorded", "/logged", "/api/payments/captured")


def ignore_lookup_errors(event: Any, hint: Any) -> Any:
    return None if issubclass(hint["exc_info"][0], LookupError) else event


@pytest.fixture
def receiver(
    isolated_telemetry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closing: Closing
) -> Iterator[Receiver]:
    monkeypatch.chdir(tmp_path)
    backend = closing(Receiver())
    monkeypatch.setenv("SENTRY_DSN", backend.dsn)
    yield backend
    sentry_sdk.get_client().close(timeout=0)


def start(
    receiver: Receiver, order: str, init: Callable[[], object] = lambda: None, **options: Any
) -> tuple[Any, FastAPI]:
    """Start telemetry and the service's own Sentry client, in either order."""
    telemetry = configure(environment="test") if order == "after us" else None
    # Default integrations of a client would leave listeners in SQLAlchemy.
    integrations = [StarletteIntegration(), FastApiIntegration(), *options.pop("integrations", ())]
    sentry_sdk.init(dsn=receiver.dsn, integrations=integrations, auto_enabling_integrations=False, **options)
    init()
    telemetry = telemetry or configure(environment="test")
    return telemetry, service()


async def post(app: FastAPI, *paths: str) -> None:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://bank.example") as client:
        for path in paths:
            await client.post(path, json={"note": "x" * 2000})


@pytest.mark.parametrize("order", ["before us", "after us"])
@pytest.mark.parametrize(
    "options",
    [
        {"ignore_errors": [LookupError]},
        {"ignore_errors": ["KeyError"]},
        {"before_send": lambda event, hint: None},
        {"before_send": ignore_lookup_errors},
        {"sample_rate": 0.0},
        {"error_sampler": lambda event, hint: 0.0},
    ],
    ids=["ignored class", "ignored name", "hook", "hook by class", "sample rate", "sampler"],
)
async def test_a_dropped_error_is_not_reported_again(
    receiver: Receiver, order: str, options: dict[str, Any]
) -> None:
    telemetry, app = start(receiver, order, **options)
    await post(app, *PATHS)
    assert telemetry.flush(30)
    assert receiver.events == []
    assert telemetry.losses() == {}


@pytest.mark.parametrize("order", ["before us", "after us"])
async def test_an_error_dropped_by_an_event_processor_is_not_reported_again(
    receiver: Receiver, order: str
) -> None:
    with sentry_sdk.isolation_scope():
        processor = sentry_sdk.get_isolation_scope().add_event_processor
        telemetry, app = start(receiver, order, lambda: processor(lambda event, hint: None))
        await post(app, "/crash", "/logged", "/api/payments/captured")
        assert telemetry.flush(30)
    assert receiver.events == []
    assert telemetry.losses() == {}


@pytest.mark.parametrize("logs", ["", "console"])
async def test_a_logger_ignored_by_the_client_makes_no_issue(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, logs: str
) -> None:
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", logs)
    telemetry, app = start(receiver, "before us", integrations=[LoggingIntegration(event_level=None)])
    await post(app, "/logged")
    assert telemetry.flush(30)
    assert receiver.events == []


@pytest.mark.parametrize(
    ("size", "kept"), [("never", False), ("small", False), ("medium", True), ("always", True)]
)
async def test_the_clients_limit_for_request_bodies_applies(
    receiver: Receiver, size: str, kept: bool
) -> None:
    telemetry, app = start(receiver, "before us", max_request_body_size=size)
    await post(app, "/crash")
    assert telemetry.flush(30)
    [event] = receiver.events
    assert bool(event["request"].get("data")) is kept


async def test_an_application_instrumented_by_contrib_reports_exceptions_once(receiver: Receiver) -> None:
    app = service()
    FastAPIInstrumentor.instrument_app(app)
    telemetry, _ = start(receiver, "before us")
    await post(app, *PATHS)
    assert telemetry.flush(30)
    assert len(receiver.events) == len(PATHS)
    FastAPIInstrumentor.uninstrument_app(app)


@pytest.mark.parametrize(
    ("name", "line", "sent"),
    [
        ("gunicorn.error", "Worker (pid:812) was sent SIGTERM!", 0),
        ("gunicorn.error", "Worker (pid:812) was sent SIGINT!", 0),
        ("gunicorn.error", "Worker (pid:812) was sent SIGKILL! Perhaps out of memory?", 1),
        ("gunicorn.error", "Worker (pid:812) exited with code 3.", 1),
        ("bank", "Worker (pid:812) was sent SIGTERM!", 1),
    ],
)
def test_normal_stops_of_gunicorn_workers_are_not_errors(
    receiver: Receiver, name: str, line: str, sent: int
) -> None:
    telemetry = configure(environment="test")
    logging.getLogger(name).error(line.replace("812", "%s"), 812)
    assert telemetry.flush(30)
    assert len(receiver.events) == sent


def test_a_watch_records_dropped_exceptions_until_it_is_reverted() -> None:
    client = sentry_sdk.Client(dsn=DSN, default_integrations=False, ignore_errors=[KeyError])
    captured = CapturedExceptions(10)
    unwatch = watch_drops(client, captured)
    error = KeyError("id")
    client.capture_event({}, {"exc_info": (KeyError, error, None)})
    assert is_dropped(error)
    assert not captured.add(0, "KeyError", "")
    unwatch()
    assert "capture_event" not in vars(client)
    client.close(timeout=0)


def test_a_dropped_exception_is_another_error_in_another_trace() -> None:
    error = ValueError("the ledger is closed")
    with trace.use_span(trace.NonRecordingSpan(trace.SpanContext(1, 1, is_remote=False))):
        mark_dropped(error)
        assert is_dropped(error)
    with trace.use_span(trace.NonRecordingSpan(trace.SpanContext(2, 1, is_remote=False))):
        assert not is_dropped(error)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("KeyError", KeyError),
        ("builtins.KeyError", KeyError),
        ("httpx.ConnectError", httpx.ConnectError),
        ("no_such_module.Error", None),
        ("sys.path", None),
        ("ExceptionGroup", None),
    ],
)
def test_the_hint_of_a_recorded_exception_has_its_class(name: str, kind: type | None) -> None:
    hint = recorded_exc_info(name, "refused")
    assert hint.get("exc_info", (None,))[0] is kind
