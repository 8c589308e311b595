"""A failed Celery task is an unhandled error, whichever instrumentation reports it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from closing import Closing
from e2e.receiver import Receiver
from mita_otel import configure

pytest.importorskip("celery", reason="needs the package celery")


@pytest.fixture
def _root_logger_as_before() -> Iterator[None]:
    """A worker sets the level of the root logger, and replaces its handlers."""
    level, handlers = logging.root.level, logging.root.handlers[:]
    yield
    logging.root.setLevel(level)
    logging.root.handlers[:] = handlers


@pytest.mark.usefixtures("_root_logger_as_before")
@pytest.mark.parametrize(
    ("measured", "logged"), [(True, True), (True, False), (False, True)], ids=["both", "measured", "logged"]
)
def test_a_failed_task_is_an_unhandled_error(
    isolated_telemetry: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    closing: Closing,
    measured: bool,
    logged: bool,
) -> None:
    from celery import Celery
    from celery.contrib.testing.worker import start_worker
    from opentelemetry.instrumentation.celery import CeleryInstrumentor

    monkeypatch.chdir(tmp_path)
    receiver = closing(Receiver())
    monkeypatch.setenv("SENTRY_DSN", receiver.dsn)
    monkeypatch.setattr(logging.getLogger("celery.app.trace"), "disabled", not logged)
    telemetry = configure(environment="test")
    jobs = Celery("jobs", broker="memory://", backend="cache+memory://", set_as_current=False)

    @jobs.task(name=f"settle.{measured}.{logged}", shared=False)
    def settle() -> None:
        raise ValueError("refused")

    if measured:
        CeleryInstrumentor().instrument()
    try:
        with start_worker(jobs, pool="solo", perform_ping_check=False):
            settle.delay().get(timeout=30, propagate=False)
    finally:
        if measured:
            CeleryInstrumentor().uninstrument()
    assert telemetry.flush(30)
    [event] = receiver.events
    assert event["exception"]["values"][-1]["mechanism"]["handled"] is False
