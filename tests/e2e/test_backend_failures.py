"""Backends that refuse, hang, throttle or fail: the service responds as usual and ends in time."""

from __future__ import annotations

import re

import pytest

from e2e.conftest import StartService
from e2e.receiver import Behaviour, Receiver
from e2e.script import run_script
from e2e.service import Service
from e2e.test_metrics import labels, newest

pytestmark = pytest.mark.e2e

DEADLINE_S = 1.0
MARGIN_S = 10.0
"""Seconds that server and interpreter need to end on a busy machine."""


def answers(service: Service) -> list[tuple[int, str]]:
    """Return the responses to a fixed sequence of requests."""
    client = service.client
    requests = [
        *(client.get(f"/api/items/{number}") for number in range(5)),
        client.get("/api/async/1"),
        client.get("/api/missing"),
        client.get("/api/error"),
        client.post("/api/twice"),
        client.get("/api/accounts/1/balance"),
    ]
    return [(one.status_code, one.text) for one in requests]


@pytest.fixture(scope="module")
def undisturbed() -> list[tuple[int, str]]:
    """The responses of the service without telemetry, from its source."""
    return [
        *((200, f'{{"item":"{number}","count":0,"now":true}}') for number in range(5)),
        (200, '{"item":"1","count":0,"owner":null}'),
        (404, '{"detail":"nothing here"}'),
        (500, "Internal Server Error"),
        (409, '{"detail":"already there"}'),
        (200, '{"balance":"12.50"}'),
    ]


def misbehave(receiver: Receiver, behaviour: Behaviour | str) -> None:
    if behaviour == "refuse":
        receiver.refuse()
    elif behaviour != "absent":
        receiver.behaviour = behaviour  # type: ignore[assignment]


EVERY_SIGNAL = {
    "OTEL_TRACES_EXPORTER": "sentry,otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "MITA_OTEL_SENTRY__LOGS": "true",
}


@pytest.mark.parametrize(
    ("behaviour", "signals", "most_lines"),
    [
        *(
            pytest.param(behaviour, EVERY_SIGNAL, 12, id=str(behaviour))
            for behaviour in ("absent", "refuse", "hang", "reset", 429, 413, 500)
        ),
        *(
            pytest.param("hang", {"OTEL_TRACES_EXPORTER": exporter}, 6, id=f"hang-{exporter}")
            for exporter in ("sentry", "otlp")
        ),
    ],
)
def test_the_service_responds_as_usual_and_ends_by_the_deadline(
    receiver: Receiver,
    start_service: StartService,
    undisturbed: list[tuple[int, str]],
    behaviour: Behaviour | str,
    signals: dict[str, str],
    most_lines: int,
) -> None:
    host = "backend.invalid" if behaviour == "absent" else "127.0.0.1"
    misbehave(receiver, behaviour)
    service = start_service(
        {
            **signals,
            "SENTRY_DSN": receiver.dsn.replace("127.0.0.1", host),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.otlp_endpoint.replace("127.0.0.1", host),
            "MITA_OTEL_LIFECYCLE__SHUTDOWN_TIMEOUT_S": str(DEADLINE_S),
        }
    )
    assert answers(service) == undisturbed
    service.stop("SIGTERM", timeout=DEADLINE_S + MARGIN_S)
    assert "in _export" not in service.stderr.text
    lines = [line for line in service.stderr.lines if host in line and "running on" not in line]
    assert len(lines) <= most_lines, service.said


@pytest.mark.parametrize("how", ["SIGTERM", "CTRL_C"])
@pytest.mark.parametrize("launcher", ["workers", "gunicorn", "preload", "reload"])
def test_several_processes_end_by_the_deadline_with_a_hanging_backend(
    receiver: Receiver, start_service: StartService, launcher: str, how: str
) -> None:
    receiver.behaviour = "hang"
    service = start_service(
        {"SENTRY_DSN": receiver.dsn, "MITA_OTEL_LIFECYCLE__SHUTDOWN_TIMEOUT_S": str(DEADLINE_S)},
        launcher=launcher,
    )
    for number in range(5):
        service.client.get(f"/api/items/{number}")
    service.stop(how, timeout=DEADLINE_S + MARGIN_S)  # type: ignore[arg-type]


_MANY_SPANS = """
import resource, mita_otel
from opentelemetry import trace
telemetry = mita_otel.configure()
tracer = trace.get_tracer("test")
def work(count):
    for number in range(count):
        with tracer.start_as_current_span("job", attributes={"text": "x" * 200}):
            pass
work(1000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
work(20000)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
telemetry.shutdown(1.0)
answer({"losses": telemetry.losses(), "grown_mb": (after - before) / 1024})
"""


@pytest.mark.parametrize("behaviour", ["refuse", "hang", 500, 413])
@pytest.mark.parametrize("exporter", ["sentry", "otlp"])
def test_memory_stays_bounded_and_every_lost_span_is_counted(
    receiver: Receiver, behaviour: Behaviour | str, exporter: str, tmp_path
) -> None:
    misbehave(receiver, behaviour)
    ran = run_script(
        _MANY_SPANS,
        tmp_path,
        {
            "OTEL_TRACES_EXPORTER": exporter,
            "SENTRY_DSN": receiver.dsn,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.otlp_endpoint,
            "MITA_OTEL_EXPORT__QUEUE__MAX_SPANS": "1000",
            "MITA_OTEL_EXPORT__QUEUE__EXPORTER_MAX_SPANS": "1000",
            "MITA_OTEL_SENTRY__MAX_ENVELOPES": "50",
        },
    )
    lost = sum(ran.answer["losses"].values())
    # No data arrived. A batch between two queues may be counted in both.
    assert 21000 <= lost <= 21000 + 2 * 512, ran.answer
    assert ran.answer["grown_mb"] < 60, ran.answer
    assert len(ran.log("lost")) >= 1
    assert len(ran.stderr.splitlines()) < 60, ran.stderr[-3000:]


def test_after_a_429_with_retry_after_the_loss_is_counted_and_reported(receiver: Receiver, tmp_path) -> None:
    receiver.behaviour = 429
    receiver.answer_headers = {"Retry-After": "60", "X-Sentry-Rate-Limits": "60:transaction:project"}
    ran = run_script(
        """
        import mita_otel
        from opentelemetry import trace
        telemetry = mita_otel.configure()
        tracer = trace.get_tracer("test")
        for _ in range(30):
            with tracer.start_as_current_span("job"):
                pass
            telemetry.flush()
        telemetry.shutdown(1.0)
        answer(telemetry.losses())
        """,
        tmp_path,
        {"SENTRY_DSN": receiver.dsn},
    )
    assert sum(ran.answer.values()) == 30, ran.answer
    assert receiver.refused < 30, "throttled, it went on sending"


def test_items_lost_at_the_deadline_are_logged_and_counted_in_metrics(
    receiver: Receiver, start_service: StartService
) -> None:
    silent = Receiver()
    silent.behaviour = "hang"
    service = start_service(
        {
            "OTEL_TRACES_EXPORTER": "sentry,otlp",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "SENTRY_DSN": silent.dsn,
            "OTEL_EXPORTER_OTLP_ENDPOINT": silent.otlp_endpoint,
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{receiver.otlp_endpoint}/v1/metrics",
            "MITA_OTEL_SENTRY__SEND_TIMEOUT_S": "300",
            "MITA_OTEL_LIFECYCLE__SHUTDOWN_TIMEOUT_S": "5",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "300",
        }
    )
    for number in range(7):
        service.client.get(f"/api/items/{number}")
    service.client.get("/api/error")
    service.stop("SIGTERM", timeout=60)
    silent.close()
    line = [line for line in service.stderr.lines if "in time" in line][-1]
    abandoned = {stage: int(count) for count, stage in re.findall(r"(\d+) [a-z() ]+ at ([\w.]+)", line)}
    assert abandoned["sentry"] == abandoned["exporter.otlp"] >= 8
    assert abandoned["sentry.other"] >= 1
    points = [
        (labels(point), int(point["asInt"]))
        for points in newest(receiver)["mita.pipeline.dropped"].values()
        for point in points
    ]
    counted = {one["stage"]: count for one, count in points if one["reason"] == "shutdown_deadline"}
    # The last log records of the server come later.
    assert 1 <= counted.pop("logs.OTLPLogExporter") <= abandoned.pop("logs.OTLPLogExporter")
    assert counted == abandoned
