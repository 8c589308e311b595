"""Missing or invalid settings: one message each, no traceback, and the service runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.conftest import StartService
from e2e.receiver import Receiver
from e2e.transactions import requests

pytestmark = pytest.mark.e2e

DSNS = {
    "not a URL": "this is not a dsn",
    "no key": "http://127.0.0.1:9/1",
    "no project": "http://key@127.0.0.1:9/",
    "no scheme": "key@127.0.0.1/1",
    "other scheme": "ftp://key@127.0.0.1/1",
    "port": "http://key@127.0.0.1:ninety/1",
}


def test_without_a_dsn_traces_go_to_the_console_and_one_line_is_logged(start_service: StartService) -> None:
    service = start_service()
    service.client.get("/api/items/1").raise_for_status()
    service.stop()
    assert len([line for line in service.stderr.lines if "SENTRY_DSN" in line]) == 1, service.said
    assert "Traceback" not in service.stderr.text
    assert "/api/items/{item_id}" in service.stdout.text


@pytest.mark.parametrize("dsn", DSNS.values(), ids=DSNS.keys())
def test_a_malformed_dsn_is_one_log_line_and_the_service_runs(start_service: StartService, dsn: str) -> None:
    service = start_service({"SENTRY_DSN": dsn})
    service.client.get("/api/items/1").raise_for_status()
    service.stop()
    assert len([line for line in service.stderr.lines if "SENTRY_DSN" in line]) == 1, service.said
    assert "Traceback" not in service.stderr.text


POLICIES = {
    "not TOML": ("[thresholds", "limits.toml:1"),
    "unknown section": ("[tresholds]\n", "thresholds"),
    "wrong type": ('[thresholds.api.methods]\nGET = "fast"\n', "thresholds.api.methods.GET"),
}


@pytest.mark.parametrize(("text", "hint"), POLICIES.values(), ids=POLICIES.keys())
def test_an_invalid_policy_file_is_reported_with_its_line_and_defaults_apply(
    receiver: Receiver, start_service: StartService, tmp_path: Path, text: str, hint: str
) -> None:
    policy = tmp_path / "limits.toml"
    policy.write_text(text)
    service = start_service({"SENTRY_DSN": receiver.dsn, "MITA_OTEL_POLICY": str(policy)})
    service.client.get("/api/items/1").raise_for_status()
    service.stop()
    receiver.wait_for(requests)
    assert service.stderr.text.count("limits.toml") == 1, service.said
    assert hint in service.stderr.text
    assert "Traceback" not in service.stderr.text


def test_an_unknown_exporter_is_one_log_line_that_lists_the_known_ones(
    receiver: Receiver, start_service: StartService
) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn, "OTEL_TRACES_EXPORTER": "sentry,sentri"})
    service.client.get("/api/items/1").raise_for_status()
    service.stop()
    receiver.wait_for(requests)
    [line] = [line for line in service.stderr.lines if "'sentri'" in line]
    assert "did you mean 'sentry'" in line
    for name in ("console", "file", "memory", "none", "otlp", "sentry"):
        assert name in line
    assert "Traceback" not in service.stderr.text


# Each of them would prevent telemetry or a signal from starting.
BAD = {
    "OTEL_ATTRIBUTE_COUNT_LIMIT": "abc",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "abc",
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "-1",
    "OTEL_METRIC_EXPORT_INTERVAL": "0",
    "OTEL_METRICS_EXEMPLAR_FILTER": "some",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
    "OTEL_PYTHON_METER_PROVIDER": "mine",
    "OTEL_METRICS_EXPORTER": "otlp,promethius",
    "OTEL_LOGS_EXPORTER": "zipkin,otlp",
}


def everything(receiver: Receiver) -> bool:
    paths = {one.path for one in receiver.requests}
    return bool(receiver.transactions and receiver.events) and {"/v1/metrics", "/v1/logs"} <= paths


@pytest.mark.parametrize("instrument", [True, False])
def test_an_invalid_opentelemetry_variable_is_one_log_line_and_only_it_is_ignored(
    receiver: Receiver, start_service: StartService, app_folder: Path, instrument: bool
) -> None:
    bad = BAD
    if not instrument:  # OpenTelemetry's launcher does not start with the last one
        bad = {**BAD, "OTEL_PROPAGATORS": "tracecontext,pigeon"}
        app = app_folder / "app.py"
        first, line = "from __future__ import annotations\n", "import mita_otel\nmita_otel.configure()\n"
        app.write_text(app.read_text().replace(first, first + line, 1))
    service = start_service(
        {"SENTRY_DSN": receiver.dsn, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.otlp_endpoint, **bad},
        instrument=instrument,
    )
    service.client.get("/api/items/1").raise_for_status()
    service.client.get("/api/error")
    service.stop()
    receiver.wait_for(everything)
    before = service.stderr.text.partition("Exception in ASGI application")[0]
    for name in bad:
        assert len([line for line in before.splitlines() if line.startswith(f"{name}: ")]) == 1, service.said
    assert "Traceback" not in before


def test_an_invalid_pattern_breaks_no_request(receiver: Receiver, start_service: StartService) -> None:
    """The contrib instrumentation reads these when the application is created, and one at each request."""
    headers = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS"
    bad = [f"{headers}_SERVER_REQUEST", f"{headers}_SANITIZE_FIELDS", "OTEL_PYTHON_FASTAPI_EXCLUDED_URLS"]
    service = start_service(
        {
            "SENTRY_DSN": receiver.dsn,
            "MITA_OTEL_INSTRUMENTATION__FASTAPI": "contrib",
            "OTEL_PYTHON_METER_PROVIDER": "mine",
            **dict.fromkeys(bad, "["),
        }
    )
    service.client.get("/api/items/1").raise_for_status()
    service.stop()
    receiver.wait_for(requests)
    for name in [*bad, "OTEL_PYTHON_METER_PROVIDER"]:
        assert len([line for line in service.stderr.lines if line.startswith(f"{name}: ")]) == 1, service.said
    assert "Traceback" not in service.stderr.text


def test_disabled_telemetry_exports_nothing(receiver: Receiver, start_service: StartService) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn, "OTEL_SDK_DISABLED": "true"})
    service.client.get("/api/items/1").raise_for_status()
    service.client.get("/api/error")
    service.stop()
    assert receiver.requests == []
    assert "Traceback (most recent call last):\n  File" not in service.stdout.text
