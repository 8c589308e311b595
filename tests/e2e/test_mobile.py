"""The gateway in a real service: one trace over app and backend, and no loss of acknowledged data."""

from __future__ import annotations

import gzip
import json
import shutil
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.receiver import Receiver
from e2e.service import Service
from mobile.kit import AUTH, KEY, PROJECT, recorded, recorded_now

pytestmark = pytest.mark.e2e

ENVELOPE = f"/api/{PROJECT}/envelope/"
UPSTREAM_KEY = "aaaaaaaaaaaaaaaa"
Start = Callable[..., Service]

POLICY = """
[mobile.projects.app]
id = "42"
keys = ["{key}"]
upstream = "{dsn}"

[mobile.forward]
retry_first_s = 0.1
retry_max_s = 0.5

[mobile.intake]
news_s = 0.2

[mobile.rate]
client_burst = 100000
client_per_minute = 1000000
total_burst = 100000
total_per_minute = 1000000

[mobile.spool]
adopt_s = 0.5
"""


def write_app(folder: Path, receiver: Receiver) -> Path:
    """Write the service with the gateway; both export to the same receiver."""
    folder.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).with_name("mobile_app.py"), folder / "app.py")
    dsn = receiver.dsn.replace("publickey", UPSTREAM_KEY)
    (folder / "mita-otel.toml").write_text(POLICY.format(key=KEY, dsn=dsn))
    return folder


@pytest.fixture
def start(start_service: Start, receiver: Receiver, tmp_path: Path) -> Start:
    """Start the service with the gateway; both export to the same receiver."""
    folder = write_app(tmp_path / "mobile", receiver)

    def run(**options: Any) -> Service:
        env = {"SENTRY_DSN": receiver.dsn, **options.pop("env", {})}
        return start_service(env, folder, **options)

    return run


def post(service: Service, body: bytes) -> httpx.Response:
    headers = {**AUTH, "content-encoding": "gzip", "content-type": "application/x-sentry-envelope"}
    return service.client.post(ENVELOPE, content=gzip.compress(body), headers=headers)


def of_app(receiver: Receiver) -> list[dict[str, Any]]:
    return [one for one in receiver.transactions if one["platform"] == "other"]


def of_backend(receiver: Receiver) -> list[dict[str, Any]]:
    """Return the backend's transactions; without sampling they include the gateway's requests."""
    return [
        one
        for one in receiver.transactions
        if one["platform"] == "python" and "envelope" not in one["transaction"]
    ]


PAYMENT = json.loads(recorded("payment_request").split(b"\n")[2])
TRACE = PAYMENT["contexts"]["trace"]["trace_id"]
CALL = PAYMENT["spans"][0]["span_id"]
"""The span of the app's request to the backend."""
BY_SENTRY, BY_TRACEPARENT, BY_BOTH, UNSAMPLED = (f"{digit}{TRACE[1:]}" for digit in "abcd")
"""Traces, by the headers that continue them."""


def sentry_trace(trace_id: str) -> dict[str, str]:
    return {
        "sentry-trace": f"{trace_id}-{CALL}-1",
        "baggage": f"sentry-trace_id={trace_id},sentry-public_key={KEY},sentry-release=mita-mobile%401.4.2%2B142,"
        "sentry-environment=production,sentry-transaction=API%3A%20submitPayment,sentry-sample_rate=1,sentry-sampled=true",
    }


def traceparent(trace_id: str) -> dict[str, str]:
    return {"traceparent": f"00-{trace_id}-{CALL}-01"}


def payment_of(trace_id: str) -> bytes:
    """Return the app's envelope with the trace."""
    event_id = json.loads(recorded("payment_request").split(b"\n")[0])["event_id"]
    body = recorded_now("payment_request").replace(TRACE.encode(), trace_id.encode())
    return body.replace(event_id.encode(), f"{trace_id[0]}{event_id[1:]}".encode())


@dataclass(frozen=True)
class Conversation:
    """The data that one service received from apps, and its output."""

    receiver: Receiver
    written: str
    mobile_screens: Mapping[str, Any]
    """Operations of the category `mobile_screen` in the service's summary."""

    def of(self, trace_id: str, transactions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [one for one in transactions if one["contexts"]["trace"]["trace_id"] == trace_id]

    def sampling_context(self, trace_id: str, key: str) -> Mapping[str, Any]:
        """Return the sampling context of the trace in the envelope that went to the project with the key."""
        [found] = [
            one.header["trace"]
            for one in self.receiver.requests
            if f"sentry_key={key}" in str(one.headers)
            and any(item.type == "transaction" for item in one.items)
            and one.header["trace"]["trace_id"] == trace_id
        ]
        return found


@pytest.fixture(scope="module")
def conversation(
    shared_receiver: Receiver, start_shared_service: Start, tmp_path_factory: pytest.TempPathFactory
) -> Conversation:
    folder = write_app(tmp_path_factory.mktemp("mobile"), shared_receiver)
    service = start_shared_service({"SENTRY_DSN": shared_receiver.dsn}, folder)
    assert post(service, recorded_now("screen_render")).status_code == 200
    service.wait_for(lambda: "mobile screen took" in service.stderr.text, "the line about the slow screen")
    for trace_id, headers in (
        (BY_SENTRY, sentry_trace(BY_SENTRY)),
        (BY_TRACEPARENT, traceparent(BY_TRACEPARENT)),
        (BY_BOTH, {**sentry_trace(BY_BOTH), **traceparent(BY_BOTH)}),
    ):
        assert service.client.post("/api/payments", headers=headers).status_code == 200
        assert post(service, payment_of(trace_id)).status_code == 200
    unsampled = {
        "sentry-trace": f"{UNSAMPLED}-{CALL}-0",
        "baggage": f"sentry-trace_id={UNSAMPLED},sentry-sampled=false",
    }
    service.client.post("/api/payments", headers=unsampled)
    service.client.get("/api/transactions")
    for name in ("payment_error", "logs", "feedback", "streamed_spans", "screenshot", "network_error"):
        assert post(service, recorded_now(name)).status_code == 200
    summary = service.client.get("/performance").json()["categories"]
    shared_receiver.wait_for(
        lambda one: (
            len(of_app(one)) >= 4
            and len(one.events) == 3
            and one.items("feedback")
            and one.items("log")
            and one.items("span")
        )
    )
    service.stop()
    shared_receiver.wait_for(lambda one: len(of_backend(one)) >= 5)
    return Conversation(
        shared_receiver, service.stdout.text + service.stderr.text, summary["mobile_screen"]["operations"]
    )


@pytest.mark.parametrize(
    "trace_id",
    [BY_SENTRY, BY_TRACEPARENT, BY_BOTH],
    ids=["sentry-trace and baggage", "traceparent", "both"],
)
def test_a_request_of_the_app_and_its_handling_are_one_trace(
    conversation: Conversation, trace_id: str
) -> None:
    [app] = conversation.of(trace_id, of_app(conversation.receiver))
    [backend] = conversation.of(trace_id, of_backend(conversation.receiver))
    assert backend["transaction"] == "POST /api/payments"
    assert app["spans"][0]["span_id"] == backend["contexts"]["trace"]["parent_span_id"] == CALL
    # A breach of the app is marked like one of the backend.
    assert app["tags"]["latency_rule"] == "mobile.request"
    assert app["tags"]["component"] == "mobile_app"


def test_app_and_backend_have_the_apps_sampling_context(conversation: Conversation) -> None:
    backend = conversation.sampling_context(BY_SENTRY, "publickey")
    app = conversation.sampling_context(BY_SENTRY, UPSTREAM_KEY)
    for name in ("trace_id", "release", "environment", "transaction", "sample_rate", "sampled"):
        assert backend[name] == app[name], name


def test_a_trace_unsampled_by_the_app_is_unsampled_in_the_backend(conversation: Conversation) -> None:
    assert Counter(one["transaction"] for one in of_backend(conversation.receiver)) == {
        "POST /api/payments": 3,
        "GET /api/transactions": 1,
        "GET /performance": 1,
    }
    assert conversation.of(UNSAMPLED, conversation.receiver.transactions) == []


def test_screens_are_in_the_services_performance_summary(conversation: Conversation) -> None:
    assert conversation.mobile_screens["TransactionScreen"]["breaches"] == 1
    assert "mobile screen took 1350 ms, limit 1000 ms" in conversation.written


def test_no_secret_of_an_app_reaches_sentry_the_spool_or_the_log(conversation: Conversation) -> None:
    for secret in (
        b"4111 1111",
        b'"4111',
        b"5555555555554444",
        b"GB82WEST",
        b"tok-5f1e",
        b"5b8f0e2a7c914d3b",
        b"\x89PNG",
    ):
        assert secret not in conversation.receiver.raw
        assert secret.decode("latin-1") not in conversation.written


def test_a_trace_sampled_by_the_app_is_kept_at_any_backend_ratio(start: Start, receiver: Receiver) -> None:
    """With `sampling.remote_sampled = "keep"`, tail sampling follows the app's decision."""
    env = {
        "MITA_OTEL_SAMPLING__MODE": "tail",
        "MITA_OTEL_SAMPLING__RATIO": "0",
        "MITA_OTEL_SAMPLING__REMOTE_SAMPLED": "keep",
    }
    service = start(env=env)
    service.client.post("/api/payments", headers=sentry_trace(TRACE))
    service.client.get("/api/transactions")
    service.stop()
    assert [one["transaction"] for one in of_backend(receiver)] == ["POST /api/payments"]


def test_requests_to_the_gateway_create_no_traces(start: Start, receiver: Receiver) -> None:
    service = start(env={"MITA_OTEL_SAMPLING__MODE": "tail", "MITA_OTEL_SAMPLING__RATIO": "1"})
    post(service, recorded_now("payment_error"))
    service.client.get("/api/transactions")
    receiver.wait_for(lambda one: one.events)
    service.stop()
    assert [one["transaction"] for one in of_backend(receiver)] == ["GET /api/transactions"]


# --- no acknowledged data are lost -----------------------------------------------------------------------
def error(event_id: str) -> bytes:
    body = recorded_now("payment_error")
    old = json.loads(body.split(b"\n")[0])["event_id"]
    return body.replace(old.encode(), event_id.encode())


class Apps:
    """Many apps that send errors concurrently, and record which were accepted."""

    def __init__(self, service: Service, clients: int, each: int) -> None:
        self.taken: set[str] = set()
        self.refused: list[int] = []
        self._url = f"http://127.0.0.1:{service.port}{ENVELOPE}"
        self._each = each
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send) for _ in range(clients)]

    def start(self) -> Apps:
        for thread in self._threads:
            thread.start()
        return self

    def join(self) -> None:
        for thread in self._threads:
            thread.join(120)

    def _send(self) -> None:
        with httpx.Client(timeout=60) as client:
            for _ in range(self._each):
                event_id = uuid.uuid4().hex
                headers = {**AUTH, "content-encoding": "gzip"}
                try:
                    answer = client.post(self._url, content=gzip.compress(error(event_id)), headers=headers)
                except httpx.HTTPError:
                    continue  # no response: the app keeps it
                with self._lock:
                    if answer.status_code == 200:
                        self.taken.add(event_id)
                    else:
                        self.refused.append(answer.status_code)


def arrived(receiver: Receiver) -> set[str]:
    return {event["event_id"] for event in receiver.events}


@pytest.mark.parametrize("launcher", ["single", "workers", "gunicorn"])
def test_errors_of_many_apps_arrive_after_an_outage_of_sentry(
    start: Start, receiver: Receiver, launcher: str
) -> None:
    receiver.behaviour = 503
    service = start(launcher=launcher)
    apps = Apps(service, clients=16, each=6).start()
    # The service's own routes respond meanwhile.
    for _ in range(20):
        assert service.client.get("/api/transactions").status_code == 200
    apps.join()
    assert (len(apps.taken), apps.refused) == (96, [])
    receiver.behaviour = "ok"
    receiver.wait_for(lambda one: apps.taken <= arrived(one), timeout=60)


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_a_service_that_ends_while_sentry_hangs_loses_no_acknowledged_data(
    start: Start, receiver: Receiver, how: str
) -> None:
    receiver.behaviour = "hang"
    service = start(env={"MITA_OTEL_LIFECYCLE__SHUTDOWN_TIMEOUT_S": "1"})
    apps = Apps(service, clients=8, each=10).start()
    service.wait_for(lambda: len(apps.taken) > 20, "some were taken")
    if how == "SIGTERM":
        service.stop()
    else:
        service.kill()
    apps.join()
    assert apps.taken
    receiver.closing.set()
    receiver.behaviour = "ok"
    start()
    receiver.wait_for(lambda one: apps.taken <= arrived(one), timeout=60)
