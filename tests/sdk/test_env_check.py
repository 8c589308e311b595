"""Invalid values of OpenTelemetry's variables are hidden while OpenTelemetry reads them, and reported."""

from __future__ import annotations

import os

import pytest
from opentelemetry import propagate
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LogRecordLimits
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.util.re import parse_env_headers

from mita_otel._otel_compat.sdk_configuration import sampler_from_environment
from mita_otel.errors import ConfigurationError
from mita_otel.instrumentation.patches import Patches
from mita_otel.sdk.configuration import configure, configured
from mita_otel.sdk.env_check import without_unusable

NO_WHOLE_NUMBER = "is not a whole number of at least 0"
BAD = {
    ("OTEL_ATTRIBUTE_COUNT_LIMIT", "abc"): f"'abc' {NO_WHOLE_NUMBER}; used instead: 128",
    ("OTEL_ATTRIBUTE_COUNT_LIMIT", "-1"): f"'-1' {NO_WHOLE_NUMBER}; used instead: 128",
    ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1.5"): f"'1.5' {NO_WHOLE_NUMBER}; used instead: no limit",
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "abc"): (
        f"'abc' {NO_WHOLE_NUMBER}; used instead: OTEL_ATTRIBUTE_COUNT_LIMIT, else 128"
    ),
    ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "abc"): (
        f"'abc' {NO_WHOLE_NUMBER}; used instead: OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT, else no limit"
    ),
    ("OTEL_SPAN_EVENT_COUNT_LIMIT", "abc"): f"'abc' {NO_WHOLE_NUMBER}; used instead: 128",
    ("OTEL_SPAN_EVENT_COUNT_LIMIT", str(2**63)): f"'{2**63}' {NO_WHOLE_NUMBER}; used instead: 128",
    ("OTEL_SPAN_LINK_COUNT_LIMIT", "abc"): f"'abc' {NO_WHOLE_NUMBER}; used instead: 128",
    ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "abc"): (
        f"'abc' {NO_WHOLE_NUMBER}; used instead: OTEL_ATTRIBUTE_COUNT_LIMIT, else 128"
    ),
    ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "abc"): (
        f"'abc' {NO_WHOLE_NUMBER}; used instead: OTEL_ATTRIBUTE_COUNT_LIMIT, else 128"
    ),
    ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "abc"): (
        f"'abc' {NO_WHOLE_NUMBER}; used instead: OTEL_ATTRIBUTE_COUNT_LIMIT, else 128"
    ),
    ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "abc"): (
        f"'abc' {NO_WHOLE_NUMBER}; used instead: OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT, else no limit"
    ),
    ("OTEL_METRIC_EXPORT_INTERVAL", "abc"): "'abc' is not a usable duration; used instead: 60000",
    ("OTEL_METRIC_EXPORT_INTERVAL", "0"): "'0' is not a usable duration; used instead: 60000",
    ("OTEL_METRIC_EXPORT_INTERVAL", "nan"): "'nan' is not a usable duration; used instead: 60000",
    ("OTEL_METRIC_EXPORT_TIMEOUT", "1e300"): "'1e300' is not a usable duration; used instead: 30000",
    ("OTEL_METRIC_EXPORT_TIMEOUT", "-1"): "'-1' is not a usable duration; used instead: 30000",
    ("OTEL_METRICS_EXEMPLAR_FILTER", "some"): (
        "'some' is not one of always_off, always_on, trace_based; used instead: trace_based"
    ),
    ("OTEL_EXPORTER_PROMETHEUS_PORT", "99999"): "'99999' is not a port; used instead: 9464",
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "-3"): "'-3' is not a usable duration; used instead: 10",
    ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "soon"): (
        "'soon' is not a usable duration; used instead: OTEL_EXPORTER_OTLP_TIMEOUT, else 10"
    ),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"): (
        "'http/json' is not one of grpc, http/protobuf; used instead: whichever is installed"
    ),
    ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "zip"): (
        "'zip' is not one of deflate, gzip, none; used instead: OTEL_EXPORTER_OTLP_COMPRESSION, else none"
    ),
    ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a,authorization=Bearer hunter2;x,hunter2"): (
        "'authorization', an entry without = are not name=value; used instead: the rest of it"
    ),
    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "hunter2"): (
        "an entry without = is not name=value; used instead: OTEL_EXPORTER_OTLP_HEADERS, else none"
    ),
    ("OTEL_TRACES_SAMPLER", "sometimes"): "'sometimes' is not installed; used instead: the policy's sampling",
    ("OTEL_TRACES_SAMPLER", "TraceIdRatio"): "'TraceIdRatio' is not installed; used instead: the policy's sampling",
    ("OTEL_PYTHON_ID_GENERATOR", "dice"): "'dice' is not installed; used instead: random",
    ("OTEL_PYTHON_CONTEXT", "none"): "'none' is not installed; used instead: contextvars_context",
    ("OTEL_PYTHON_TRACER_PROVIDER", "mine"): "'mine' is not installed; used instead: mita-otel's",
    ("OTEL_PYTHON_METER_PROVIDER", "mine"): "'mine' is not installed; used instead: mita-otel's",
    ("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "1"): "'1' is not one of false, true; used instead: false",
    ("OTEL_PYTHON_EXCLUDED_URLS", "health,["): "'health,[' is not a regular expression; used instead: nothing",
    ("OTEL_PYTHON_FASTAPI_EXCLUDED_URLS", "a,(?i)b"): (
        "'a,(?i)b' is not a regular expression; used instead: OTEL_PYTHON_EXCLUDED_URLS"
    ),
    ("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", "["): (
        "'[' is not a regular expression; used instead: nothing"
    ),
    ("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS", "["): (
        "'[' is not a regular expression; used instead: every header"
    ),
    ("OTEL_PROPAGATORS", "tracecontext, pigeon"): "'pigeon' is not installed; used instead: tracecontext",
    ("OTEL_PROPAGATORS", "pigeon,owl"): "'pigeon', 'owl' are not installed; used instead: tracecontext,baggage",
    ("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "sherlock,otel"): "'sherlock' is not installed; used instead: otel",
    ("OTEL_RESOURCE_ATTRIBUTES", "a=1,b"): "'b' is not key=value; used instead: a=1",
}  # fmt: skip


@pytest.mark.parametrize(("setting", "said"), BAD.items(), ids=["=".join(setting) for setting in BAD])
def test_an_invalid_value_is_reported_with_the_value_used_instead(
    setting: tuple[str, str], said: str
) -> None:
    name, value = setting
    env = {name: value, "OTEL_SERVICE_NAME": "bank"}
    with without_unusable(env, Patches()) as problems:
        assert problems == [f"{name}: {said}"]
        assert env.get(name) != value
        assert env["OTEL_SERVICE_NAME"] == "bank"
    if not name.startswith(("OTEL_PYTHON_", "OTEL_INSTRUMENTATION_")):
        # Child processes inherit this value.
        assert env == {name: value, "OTEL_SERVICE_NAME": "bank"}


def test_invalid_patterns_read_by_instrumentations_stay_removed() -> None:
    sanitized = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS"
    env = {"OTEL_PYTHON_EXCLUDED_URLS": "[", sanitized: "["}
    with without_unusable(env, Patches()):
        pass
    assert env == {sanitized: ".*"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "64"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", " 0 "),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", ""),  # OpenTelemetry's SDK: no limit
        ("OTEL_METRIC_EXPORT_INTERVAL", "inf"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0.5"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "always_on"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", " GZIP"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "0"),
        ("OTEL_PROPAGATORS", "tracecontext, baggage"),
        ("OTEL_PROPAGATORS", "None"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "endpoint=http://localhost:14250"),  # of a third party's sampler
        ("OTEL_PYTHON_ID_GENERATOR", "random"),
        ("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "process,*"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=1, b=2"),
        ("OTEL_PYTHON_HTTPX_EXCLUDED_URLS", "(?i)health, v[12]/ping"),
        ("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE", "x-.*,content-type"),
    ],
)
def test_valid_values_are_unchanged(name: str, value: str) -> None:
    env = {name: value}
    with without_unusable(env, Patches()) as problems:
        assert (problems, env) == ([], {name: value})


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("OTEL_METRICS_EXEMPLAR_FILTER", "", None),
        ("OTEL_METRIC_EXPORT_INTERVAL", " ", None),
        ("OTEL_PROPAGATORS", "tracecontext,", "tracecontext"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=1,,b=2,", "a=1,b=2"),
    ],
)
def test_empty_values_count_as_unset_and_are_not_reported(name: str, value: str, left: str | None) -> None:
    env = {name: value}
    with without_unusable(env, Patches()) as problems:
        assert (problems, env.get(name)) == ([], left)


@pytest.mark.parametrize("share", ["abc", "2", "nan"])
def test_an_invalid_ratio_of_the_sampler_becomes_one(share: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": share}
    with without_unusable(env, Patches()) as problems:
        assert problems == [
            f"OTEL_TRACES_SAMPLER_ARG: '{share}' is not a number from 0 to 1; used instead: 1.0"
        ]
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        sampler = sampler_from_environment()
    assert sampler is not None
    assert "1.0" in sampler.get_description()


def test_a_long_value_is_truncated_in_the_message() -> None:
    with without_unusable({"OTEL_ATTRIBUTE_COUNT_LIMIT": "9" * 10_000}, Patches()) as problems:
        assert len(problems[0]) < 200


def test_reported_defaults_are_those_of_opentelemetry() -> None:
    spans, records = SpanLimits(), LogRecordLimits()
    assert {spans.max_attributes, spans.max_events, spans.max_links, spans.max_span_attributes} == {128}
    assert {spans.max_event_attributes, spans.max_link_attributes, records.max_log_record_attributes} == {128}
    assert spans.max_attribute_length is spans.max_span_attribute_length is None
    assert records.max_attribute_length is records.max_log_record_attribute_length is None
    exporter = OTLPSpanExporter()
    assert exporter._client._timeout == 10
    exporter.shutdown()


@pytest.mark.parametrize(("name", "value"), BAD)
def test_opentelemetry_reads_the_remaining_values_without_an_exception(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with without_unusable(os.environ, Patches()):
        SpanLimits(), LogRecordLimits(), Resource.create(), propagate._load_propagators()
        exporter = OTLPSpanExporter()
        provider = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    provider.shutdown()
    exporter.shutdown()


def test_configure_logs_an_invalid_value_once_and_continues(
    isolated_telemetry: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "abc")
    telemetry = configure(exporters=["memory"])
    assert configure(exporters=["memory"]) is telemetry
    assert telemetry.enabled
    assert caplog.text.count("OTEL_SPAN_LINK_COUNT_LIMIT: 'abc'") == 1
    assert os.environ["OTEL_SPAN_LINK_COUNT_LIMIT"] == "abc"


def test_configure_raises_for_an_invalid_value_if_strict(
    isolated_telemetry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "abc")
    with pytest.raises(ConfigurationError, match="OTEL_SPAN_LINK_COUNT_LIMIT: 'abc'"):
        configure(exporters=["memory"], strict=True)
    assert configured() is None


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("authorization=Basic dXNlcjpwYXNz==", {"authorization": "Basic dXNlcjpwYXNz=="}),
        ("a=b%20c, d = e f ,", {"a": "b c", "d": "e f"}),
        ("a=,b", {"a": ""}),
        ("a b=c,d=e", {"d": "e"}),
    ],
)
def test_headers_that_opentelemetry_accepts_are_kept(
    caplog: pytest.LogCaptureFixture, written: str, kept: dict[str, str]
) -> None:
    env = {"OTEL_EXPORTER_OTLP_HEADERS": written}
    with without_unusable(env, Patches()):
        assert parse_env_headers(env["OTEL_EXPORTER_OTLP_HEADERS"], liberal=True) == kept
    assert caplog.text == ""
