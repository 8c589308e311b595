"""Metrics over OTLP and Prometheus: exact counts with sampling, each metric once; a dead collector."""

from __future__ import annotations

import re
import socket
import time
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict

from e2e.conftest import StartService
from e2e.receiver import Receiver

pytestmark = pytest.mark.e2e

REQUESTS = 40


def otlp(receiver: Receiver, **more: Any) -> dict[str, Any]:
    return {
        "SENTRY_DSN": receiver.dsn,
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.otlp_endpoint,
        "MITA_OTEL_SAMPLING__MODE": None,
        **more,
    }


def newest(receiver: Receiver) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the points of the newest export, by metric and scope."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for one in receiver.requests:
        if one.path == "/v1/metrics":
            for resource in MessageToDict(one.message).get("resourceMetrics", []):
                for scope in resource.get("scopeMetrics", []):
                    for metric in scope.get("metrics", []):
                        data = next(metric[kind] for kind in ("sum", "gauge", "histogram") if kind in metric)
                        found.setdefault(metric["name"], {})[scope["scope"]["name"]] = data["dataPoints"]
    return found


def labels(point: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in point.get("attributes", [])}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("settings", "scope"),
    [
        ({}, "fastapi"),
        ({"MITA_OTEL_INSTRUMENTATION__FASTAPI": "contrib"}, "mita_otel"),
        (
            {"MITA_OTEL_INSTRUMENTATION__FASTAPI": "contrib", "OTEL_SEMCONV_STABILITY_OPT_IN": "http"},
            "opentelemetry.instrumentation.fastapi",
        ),
    ],
    ids=["FastAPI's own telemetry", "contrib, old names", "contrib, stable names"],
)
def test_counts_are_exact_and_each_metric_is_exported_once(
    receiver: Receiver, start_service: StartService, settings: dict[str, str], scope: str
) -> None:
    service = start_service(otlp(receiver, **settings))
    for number in range(REQUESTS):
        service.client.get(f"/api/items/{number}")
    service.client.get("/api/error")
    service.stop()
    receiver.wait_for(newest)
    found = newest(receiver)

    by_scope = found["http.server.request.duration"]
    assert list(by_scope) == [scope], "one of them emits it"
    items = [point for point in by_scope[scope] if labels(point).get("http.route") == "/api/items/{item_id}"]
    assert sum(int(point["count"]) for point in items) == REQUESTS
    queries = found["db.client.operation.duration"]["mita_otel"]
    selects = [point for point in queries if labels(point).get("db.operation.name") == "SELECT"]
    assert sum(int(point["count"]) for point in selects) == 2 * REQUESTS
    decided = found["mita.sampling.traces"]["mita_otel"]
    assert sum(int(point["asInt"]) for point in decided) >= REQUESTS + 1
    assert {
        "mita.sampling.held.spans",
        "otel.sdk.processor.span.queue.size",
        "mita.latency.burn_rate",
    } <= set(found)
    exported = found["otel.sdk.exporter.span.exported"]["mita_otel"]
    assert [labels(point)["otel.component.name"] for point in exported] == ["sentry"]


def test_prometheus_is_served_on_the_configured_port(receiver: Receiver, start_service: StartService) -> None:
    port = free_port()
    service = start_service(
        {
            "SENTRY_DSN": receiver.dsn,
            "OTEL_METRICS_EXPORTER": "prometheus",
            "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
            "MITA_OTEL_SAMPLING__MODE": None,
        }
    )
    service.client.get("/api/accounts/1/balance?wait_s=0.32")
    for number in range(REQUESTS):
        service.client.get(f"/api/items/{number}")
    wanted = re.compile(
        r"^http_server_request_duration_seconds_count\{.*http_route=\"/api/items/\{item_id\}\".*\} "
        + f"{REQUESTS}(.0)?$",
        re.MULTILINE,
    )
    # The pipeline's thread records the histogram of queries half a second later.
    deadline = time.monotonic() + 60
    text = ""
    while time.monotonic() < deadline:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
        if wanted.search(text) and 'db_operation_name="SELECT"' in text and "mita_latency_breaches" in text:
            break
        time.sleep(0.2)
    assert wanted.search(text), text[-3000:]
    assert re.search(r'mita_latency_breaches_total\{.*rule="api.financial.GET".*\} 1', text)
    assert "mita_sampling_held_spans" in text
    service.stop()


def test_a_port_in_use_is_logged_and_that_worker_exports_no_metrics(
    receiver: Receiver, start_service: StartService
) -> None:
    port = free_port()
    service = start_service(
        {
            "SENTRY_DSN": receiver.dsn,
            "OTEL_METRICS_EXPORTER": "prometheus",
            "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
        },
        launcher="workers",
    )
    assert service.client.get("/api/items/1").status_code == 200
    assert httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).status_code == 200
    service.stop()
    said = [line for line in service.stderr.lines if "the metrics exporter prometheus is off" in line]
    assert said, service.said
    assert "OTEL_EXPORTER_PROMETHEUS_PORT" in said[0]
    assert "Traceback" not in service.stderr.text


@pytest.mark.parametrize("behaviour", ["hang", 500])
def test_a_dead_collector_does_not_delay_the_shutdown(
    receiver: Receiver, start_service: StartService, behaviour: Any
) -> None:
    service = start_service(otlp(receiver, OTEL_METRIC_EXPORT_INTERVAL="300"))
    service.client.get("/api/items/1")
    receiver.behaviour = behaviour
    receiver.wait_for(lambda r: r.refused > 0)
    started = time.monotonic()
    service.stop()
    assert time.monotonic() - started < 20, "a deadline for each way that a process can end"
    failures = [line for line in service.stderr.lines if "metric" in line.lower() and "ERROR" in line]
    assert len(failures) <= 3, failures
