"""Misspelt names of variables are found; names that other software reads are not reported."""

from __future__ import annotations

import pytest

from doctor.kit import by_name
from mita_otel.doctor.settings import misspelt_checks


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OTEL_EXPORTER_OLTP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_EXPORTER_OTLP_ENDPONT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("OTEL_SERVICENAME", "OTEL_SERVICE_NAME"),
        ("OTEL_TRACE_EXPORTER", "OTEL_TRACES_EXPORTER"),
        ("OTEL_RESOURCE_ATTRIBUTE", "OTEL_RESOURCE_ATTRIBUTES"),
        ("OTEL_PYTHON_DISABLED_INSTRUMENTATION", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"),
        ("OTLE_SERVICE_NAME", "OTEL_SERVICE_NAME"),
        ("otel_service_name", "OTEL_SERVICE_NAME"),
        ("SENTRY_DNS", "SENTRY_DSN"),
        ("SENTYR_DSN", "SENTRY_DSN"),
        ("SENTRY_ENV", "SENTRY_ENVIRONMENT"),
        ("SENTRY_TRACE_SAMPLE_RATE", "SENTRY_TRACES_SAMPLE_RATE"),
        ("SENTRY_AUTHTOKEN", "SENTRY_AUTH_TOKEN"),
        ("MITA_OTEL_DATABSE_URL", "MITA_OTEL_DATABASE_URL"),
    ],
)
def test_a_misspelt_name_is_found(name: str, meant: str) -> None:
    [check] = misspelt_checks({name: "x", "PATH": "/bin"})
    assert check.said == f"nothing reads {name}; did you mean {meant}?"


@pytest.mark.parametrize(
    "name",
    [
        "OTEL_SERVICE_NAME", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_PYTHON_FASTAPI_EXCLUDED_URLS", "OTEL_PYTHON_DJANGO_EXCLUDED_URLS", "OTEL_RESOURCE_ATTRIBUTES_POD_NAME",
        "OTEL_SERVICE_VERSION", "OTEL_JAVAAGENT_DEBUG", "SENTRY_PROJECT", "SENTRY_DIST", "SENTRY_PROPERTIES",
        "MITA_OTEL_SENTRY__MAX_SPANS", "SERVICE_NAME", "DATABASE_URL", "ENVIRONMENT", "HOME",
    ],
)  # fmt: skip
def test_a_name_that_other_software_reads_is_not_reported(name: str) -> None:
    assert by_name(misspelt_checks({name: "x"})) == {}
