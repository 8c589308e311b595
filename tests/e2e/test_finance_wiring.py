"""`configure()` sets up the financial API, with a separate process for each case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from e2e.script import run_script

pytestmark = pytest.mark.e2e

_APP = """
import asyncio, threading
from concurrent.futures import ThreadPoolExecutor
import mita_otel
from opentelemetry import trace
from mita_otel import *
def make_app(**options):
    from fastapi import FastAPI
    app = FastAPI(**options)
    @app.get("/api/payments/{payment_id}")
    async def pay(payment_id: str):
        with trace.get_tracer("t").start_as_current_span("query"):
            pass
    return app
def ask(app, path="/api/payments/p-1"):
    import httpx
    async def go():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            return await client.get(path)
    return asyncio.run(go())
def spans(telemetry):
    telemetry.flush()
    return {span.name: dict(span.attributes) for span in telemetry.exporters["memory"].spans}
"""
_ENV = {"OTEL_TRACES_EXPORTER": "memory", "MITA_OTEL_SAMPLING__MODE": "always"}


def run(code: str, folder: Path, **env: str) -> Any:
    return run_script(_APP + code, folder, {**_ENV, **env}).answer


@pytest.mark.parametrize(
    "start", ["telemetry = mita_otel.configure(); app = make_app()",
              "app = make_app(); telemetry = mita_otel.configure(); telemetry.instrument(app=app)"],
    ids=["before", "after"],
)  # fmt: skip
def test_every_application_has_the_middleware(tmp_path: Path, start: str) -> None:
    code = f"{start}\nanswer([ask(app).headers.get('x-request-id', ''), spans(telemetry)])"
    request_id, spans = run(code, tmp_path)
    assert len(request_id) == 32
    for name in ("GET /api/payments/{payment_id}", "query"):
        assert spans[name]["mita.request.id"] == request_id
        assert spans[name]["mita.transaction.id"] == "p-1"
        assert spans[name]["mita.operation.part_of"] == "payment_processing"


def test_a_middleware_added_by_the_service_takes_precedence(tmp_path: Path) -> None:
    code = """
telemetry = mita_otel.configure()
from starlette.middleware import Middleware
first = make_app(middleware=[Middleware(FinancialSentryMiddleware, user=lambda request: "from the constructor")])
second = make_app()
second.add_middleware(FinancialSentryMiddleware, user=lambda request: "added later")
seen = []
for app in (first, second):
    ask(app)
    seen.append(spans(telemetry)["query"]["user.id"])
    telemetry.exporters["memory"].clear()
answer([seen, [len(app.user_middleware) for app in (first, second)]])
"""
    assert run(code, tmp_path) == [["from the constructor", "added later"], [1, 2]]


def test_the_policy_can_disable_the_middleware(tmp_path: Path) -> None:
    code = "telemetry = mita_otel.configure(); answer([dict(ask(make_app()).headers), spans(telemetry)])"
    headers, spans = run(code, tmp_path, MITA_OTEL_FINANCE__MIDDLEWARE="false")
    assert "x-request-id" not in headers
    assert "mita.request.id" not in spans["GET /api/payments/{payment_id}"]


_THREADS = """
telemetry = mita_otel.configure()
tracer = trace.get_tracer("t")
def work(name):
    with tracer.start_as_current_span(name):
        pass
with ThreadPoolExecutor(1) as pool:
    with financial_transaction_context("u-1", "pay", "tx-1"):
        thread = threading.Thread(target=work, args=("thread",))
        thread.start()
        thread.join()
        pool.submit(work, "pool").result()
    pool.submit(work, "later").result()
answer({name: one.get("user.id") for name, one in spans(telemetry).items() if name != "pay"})
"""


def test_threads_inherit_the_context_and_pool_threads_drop_it_after_a_job(tmp_path: Path) -> None:
    assert run(_THREADS, tmp_path) == {"thread": "u-1", "pool": "u-1", "later": None}


@pytest.mark.parametrize(
    "env",
    [{"MITA_OTEL_INSTRUMENTATION__THREADS": "false"}, {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "threading"}],
    ids=["policy", "variable"],
)
def test_without_thread_instrumentation_no_context_is_inherited(tmp_path: Path, env: dict[str, str]) -> None:
    assert run(_THREADS, tmp_path, **env) == {"thread": None, "pool": None, "later": None}


def test_threads_of_exporters_do_not_inherit_a_context(tmp_path: Path) -> None:
    """They start with the first span, inside an operation, but must not inherit its context."""
    code = """
telemetry = mita_otel.configure()
with financial_transaction_context("u-1", "pay", "tx-1"):
    pass
telemetry.flush()
own = [thread for thread in threading.enumerate() if thread.name.startswith("mita-otel")]
answer([len(own) > 0, [bool(getattr(thread, "_otel_context", None)) for thread in own]])
"""
    started, inherited = run(code, tmp_path)
    assert started
    assert not any(inherited)


def test_nothing_is_captured_after_shutdown_or_with_telemetry_disabled(tmp_path: Path) -> None:
    code = """
before = capture_financial_error(ValueError("x"))
telemetry = mita_otel.configure()
during = capture_financial_error(ValueError("x"))
telemetry.shutdown()
after = capture_financial_error(ValueError("x"))
answer([len(before), len(during), len(after), sentry_service.initialized])
"""
    assert run(code, tmp_path) == [0, 32, 0, False]
    assert run(code, tmp_path, OTEL_SDK_DISABLED="true") == [0, 0, 0, False]
