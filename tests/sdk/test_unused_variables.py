"""OpenTelemetry variables without effect are reported with a reason and a fix."""

from __future__ import annotations

import pytest
from opentelemetry.sdk import environment_variables as of_the_sdk

from mita_otel.policy import default_policy
from mita_otel.sdk.metrics_and_logs import log_queue_policy
from mita_otel.sdk.unused_variables import Setup, unused_variables

POLICY = default_policy()
OTLP = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": "otlp"}


def unused(env: dict[str, str], *, fastapi: str = "auto") -> list[str]:
    policy = POLICY.replace(instrumentation=POLICY.instrumentation.replace(fastapi=fastapi))
    traces = [name for name in env.get("OTEL_TRACES_EXPORTER", "sentry").split(",") if name]
    found = unused_variables(Setup.of(policy, traces, env), env)
    assert all(" has no effect: " in one for one in found)
    return [one.partition(" ")[0] for one in found]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "OTEL_EXPORTER_PROMETHEUS_PORT",
        ),
        *("OTEL_EXPORTER_ZIPKIN_ENDPOINT", "OTEL_BSP_EXPORT_TIMEOUT", "OTEL_BLRP_EXPORT_TIMEOUT"),
        *("OTEL_BLRP_SCHEDULE_DELAY", "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_PYTHON_TRACER_CONFIGURATOR"),
        *("OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED", "OTEL_PYTHON_STARLETTE_EXCLUDED_URLS"),
    ],
)
def test_an_unused_variable_is_reported(name: str) -> None:
    assert unused({name: "1"}) == [name]
    assert unused({name: " "}) == []


def test_variables_of_exporters_in_use_are_not_reported() -> None:
    names = [name for name in vars(of_the_sdk) if name.startswith("OTEL_EXPORTER_OTLP_")]
    assert len(names) > 20
    assert unused({**dict.fromkeys(names, "1"), **OTLP, "OTEL_METRIC_EXPORT_INTERVAL": "9"}) == []
    assert unused({"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_LOGS_EXPORTER": "otlp"}) == []
    assert unused({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "x", "OTEL_LOGS_EXPORTER": "otlp"}) == [
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
    ]
    assert unused({"OTEL_EXPORTER_PROMETHEUS_PORT": "1", "OTEL_METRICS_EXPORTER": "prometheus"}) == []


def test_variables_with_effect_are_not_reported() -> None:
    names = (
        *("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
        *("OTEL_PYTHON_FASTAPI_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS", "OTEL_SERVICE_NAME"),
        *("OTEL_TRACES_SAMPLER", "OTEL_PROPAGATORS", "PATH", "OTEL_RESOURCE_ATTRIBUTES"),
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST",
    )
    assert unused(dict.fromkeys(names, "1")) == []


@pytest.mark.parametrize(("source", "is_unused"), [("native", True), ("contrib", False)])
def test_captured_headers_need_the_contrib_package(source: str, is_unused: bool) -> None:
    name = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST"
    assert unused({name: "x-request-id"}, fastapi=source) == ([name] if is_unused else [])


def test_variables_of_log_records_bound_their_queues() -> None:
    env = {
        "OTEL_BLRP_SCHEDULE_DELAY": "50",
        "OTEL_BLRP_MAX_QUEUE_SIZE": "100",
        "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "10",
    }
    queue = log_queue_policy(POLICY.export.queue, env)
    assert (queue.delay_ms, queue.exporter_max_spans, queue.max_batch) == (50, 100, 10)
    assert log_queue_policy(POLICY.export.queue, {}) == POLICY.export.queue
