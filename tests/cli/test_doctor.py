"""`mita-otel doctor`: text and JSON output, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cli.conftest import Said

Process = Callable[..., Said]
SECRET = "hunter2hunter2hunter2"
SOUND = {"OTEL_SERVICE_NAME": "bank", "MITA_OTEL_AUDIT_KEY": "k" * 32, "OTEL_TRACES_EXPORTER": "none"}


def document(said: Said) -> Any:
    return json.loads(said.out)


def test_warnings_alone_exit_with_0_and_are_counted(process: Process) -> None:
    said = process("doctor", **SOUND)
    assert (said.code, said.err) == (0, "")
    lines = said.lines
    assert lines[0].startswith("pass  policy: ")
    assert lines[-3] == "pass  redaction: 40 canaries sent, all redacted"
    assert lines[-1] == f"{len(lines) - 2} checks run: 2 warnings (exporters, alerts)"


def test_a_failure_exits_with_1_and_is_summarised_last(process: Process) -> None:
    said = process("doctor", **SOUND, OTEL_SDK_DISABLED="true", OTEL_PYTHON_DISTRO="mita")
    assert (said.code, said.err) == (1, "")
    assert "fail  switch: OTEL_SDK_DISABLED is true: telemetry is off; unset it" in said.lines
    count = len(said.lines) - 2
    summary = "2 failures (switch, distro) and 2 warnings (exporters, alerts)"
    assert said.lines[-1] == f"{count} checks run: {summary}"


def test_an_unknown_option_exits_with_2(process: Process) -> None:
    said = process("doctor", "--everything")
    assert said.code == 2
    assert "--everything" in said.err and "Traceback" not in said.err


def test_a_missing_policy_exits_with_1_and_the_other_checks_run(process: Process) -> None:
    said = process("doctor", "--policy", "absent.toml", **SOUND)
    assert said.code == 1
    assert said.lines[0].startswith("fail  policy: ")
    assert "absent.toml: there is no such file" in said.lines[0]
    assert "pass  redaction: 40 canaries sent, all redacted" in said.lines


def test_json_contains_all_checks(process: Process) -> None:
    dsn = f"http://{SECRET}@127.0.0.1:1/1"
    environment = {**SOUND, "OTEL_TRACES_EXPORTER": "sentry", "SENTRY_DSN": dsn}
    said = process("doctor", "--json", **environment)
    assert (said.code, said.err) == (1, "")
    found = document(said)
    assert found["status"] == "fail"
    assert all(set(check) == {"name", "status", "message", "observed"} for check in found["checks"])
    checks = {check["name"]: check for check in found["checks"]}
    assert len(checks) == len(found["checks"])
    assert checks["sentry"] == {
        "name": "sentry",
        "status": "fail",
        "message": "127.0.0.1:1 refuses connections; check the port in SENTRY_DSN, and that the server is running",
        "observed": {},
    }
    assert checks["audit"]["observed"]["megabytes_left"] > 0
    plain = process("doctor", **environment).lines
    assert [f"{one['status']}  {one['name']}: {one['message']}" for one in found["checks"]] == plain[:-2]
    assert SECRET not in said.out


@pytest.mark.parametrize(("environment", "status"), [({}, "warn"), ({"OTEL_SDK_DISABLED": "true"}, "fail")])
def test_the_overall_status_is_the_worst(process: Process, environment: dict[str, str], status: str) -> None:
    assert document(process("doctor", "--json", **SOUND, **environment))["status"] == status


def test_offline_contacts_no_host(process: Process) -> None:
    environment = {
        **SOUND,
        "OTEL_TRACES_EXPORTER": "sentry,otlp",
        "SENTRY_DSN": "http://key@127.0.0.1:1/1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
    }
    assert process("doctor", **environment).code == 1
    said = process("doctor", "--offline", **environment)
    assert said.code == 0
    assert "pass  sentry: 127.0.0.1:1 not contacted" in said.lines


def test_exporters_of_metrics_and_logs_are_not_started(process: Process) -> None:
    """They would log failed exports, and the service already uses the port of Prometheus."""
    said = process(
        "doctor",
        **SOUND,
        OTEL_METRICS_EXPORTER="otlp,prometheus",
        OTEL_LOGS_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
    )
    assert (said.code, said.err) == (0, "")


def test_variables_that_break_the_import_of_opentelemetry_are_reported(process: Process) -> None:
    bad = {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "abc", "OTEL_PROPAGATORS": "tracecontext,pigeon"}
    said = process("doctor", **SOUND, **bad)
    assert (said.code, said.err) == (1, "")
    [line] = [line for line in said.lines if line.startswith("fail  variables: ")]
    assert all(f"{name}: " in line for name in bad)
    assert "pass  redaction: 32 canaries sent, all redacted" in said.lines
