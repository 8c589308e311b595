"""Under gevent, spans and errors of greenlets arrive, and a hanging backend blocks no greenlet."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from e2e.receiver import Receiver
from e2e.script import run_script
from e2e.transactions import trace_of

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        importlib.util.find_spec("gevent") is None, reason="gevent is not installed for this Python"
    ),
]

_PATCH = "from gevent import monkey; monkey.patch_all()\n"
_WORK = """
import logging, time
import gevent
import mita_otel, sentry_sdk
from opentelemetry import trace
telemetry = mita_otel.configure()
tracer = trace.get_tracer("test")
log = logging.getLogger("shop")

def task(number):
    with tracer.start_as_current_span(f"task {number}"):
        sentry_sdk.set_user({"id": f"user {number}"})
        gevent.sleep(0.001)
        with tracer.start_as_current_span("step", attributes={"note": "card 4111111111111111"}):
            gevent.sleep(0.001)
        if number % 10 == 0:
            log.error("task %d went wrong", number)
"""


@pytest.mark.parametrize("protocol", ["transactions", "spans", "otlp"])
def test_spans_and_errors_of_greenlets_arrive_with_their_context(
    receiver: Receiver, tmp_path: Path, protocol: str
) -> None:
    ran = run_script(
        _PATCH
        + _WORK
        + """
gevent.joinall([gevent.spawn(task, number) for number in range(60)], raise_error=True)
flushed = telemetry.flush(60)
telemetry.shutdown()
answer([flushed, telemetry.losses()])
""",
        tmp_path,
        {"SENTRY_DSN": receiver.dsn, "MITA_OTEL_SENTRY__PROTOCOL": protocol},
    )
    assert ran.answer == [True, {}]
    receiver.wait_for(lambda r: len(r.events) >= 6)
    assert sorted(event["user"]["id"] for event in receiver.events) == [f"user {n}" for n in range(0, 60, 10)]
    assert len({trace_of(event)["trace_id"] for event in receiver.events}) == 6
    if protocol == "transactions":
        assert sorted(len(one["spans"]) for one in receiver.transactions) == [1] * 60
    else:
        assert len(receiver.streamed_spans) + len(receiver.otlp_spans) == 120
    assert b"4111111111111111" not in receiver.raw


def test_a_hanging_backend_blocks_no_greenlet_and_shutdown_respects_its_deadline(
    receiver: Receiver, tmp_path: Path
) -> None:
    receiver.behaviour = "hang"
    ran = run_script(
        _PATCH
        + _WORK
        + """
before = time.monotonic()
gevent.joinall([gevent.spawn(task, number) for number in range(60)], raise_error=True)
worked = time.monotonic() - before
flushed = telemetry.flush(0.5)
before = time.monotonic()
telemetry.shutdown(1)
ended = time.monotonic() - before
answer([flushed, worked < 10, ended < 10, telemetry.losses()["sentry: shutdown_deadline"]])
""",
        tmp_path,
        {"SENTRY_DSN": receiver.dsn},
    )
    assert ran.answer == [False, True, True, 120]


def test_spans_arrive_if_configured_before_monkey_patching(receiver: Receiver, tmp_path: Path) -> None:
    ran = run_script(
        _WORK.replace(
            'tracer = trace.get_tracer("test")',
            'from gevent import monkey; monkey.patch_all(); tracer = trace.get_tracer("test")',
        )
        + """
gevent.joinall([gevent.spawn(task, number) for number in range(20)], raise_error=True)
telemetry.shutdown()
answer(telemetry.losses())
""",
        tmp_path,
        {"SENTRY_DSN": receiver.dsn},
    )
    assert ran.answer == {}
    assert len(receiver.transactions) == 20
