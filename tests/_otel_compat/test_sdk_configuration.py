"""The SDK's functions that resolve names in `OTEL_*` variables."""

from __future__ import annotations

from typing import Literal

import pytest
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from mita_otel._otel_compat.sdk_configuration import (
    asked_exporters,
    id_generator_from_environment,
    sampler_from_environment,
)


def test_the_sampler_of_the_environment_is_created(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sampler_from_environment() is None
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    sampler = sampler_from_environment()
    assert isinstance(sampler, ParentBasedTraceIdRatio)
    assert "0.25" in sampler.get_description()


def test_the_id_generator_of_the_environment_is_created(monkeypatch: pytest.MonkeyPatch) -> None:
    assert id_generator_from_environment() is None  # the provider uses its own
    monkeypatch.setenv("OTEL_PYTHON_ID_GENERATOR", "random")
    assert isinstance(id_generator_from_environment(), RandomIdGenerator)
    monkeypatch.setenv("OTEL_PYTHON_ID_GENERATOR", "absent")
    assert id_generator_from_environment() is None


@pytest.mark.parametrize(
    ("variable", "signal"), [("OTEL_METRICS_EXPORTER", "metrics"), ("OTEL_LOGS_EXPORTER", "logs")]
)
def test_exporters_of_metrics_and_logs_are_found_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, signal: Literal["metrics", "logs"]
) -> None:
    for nothing in (None, "none", "", "none, "):
        if nothing is not None:
            monkeypatch.setenv(variable, nothing)
        assert asked_exporters(signal) == ({}, {})
    monkeypatch.setenv(variable, "console,absent,none,otlp,console,")
    for protocol, packages in (
        ("", ["sdk", "http"]),
        ("http/protobuf", ["sdk", "http"]),
        ("grpc", ["sdk", "grpc"]),
    ):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)  # without one it is HTTP, as for traces
        asked = asked_exporters(signal)
        assert list(asked.missing) == ["absent"]
        exporters = [make() for make in asked.classes.values()]
        modules = [type(one).__module__.split(".") for one in exporters]
        assert [parts[1] if parts[1] == "sdk" else parts[4] for parts in modules] == packages
        for exporter in exporters:
            exporter.shutdown()
