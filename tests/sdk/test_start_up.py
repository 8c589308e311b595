"""What a start loads and does: not what only a later use needs, no other program, no network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NEVER = {
    *("alembic", "grpc", "httpx", "jinja2", "sqlalchemy", "stdnum", "typer"),
    *("mita_otel.alerts.engine", "mita_otel.audit.trail", "mita_otel.doctor", "mita_otel.mobile"),
    *("mita_otel.redaction.compiled_rules", "mita_otel.redaction.finders.cards", "mita_otel.reports"),
    *(
        "mita_otel.sdk.guide",
        "mita_otel.store.database",
        "mita_otel.testing",
        "opentelemetry.sdk._configuration",
    ),
}
HTTP = {"requests", "urllib3"}
PROTOBUF = {"google.protobuf"}
SENTRY = {"sentry_sdk", "mita_otel.sentry.client"}

LOADED = """
import sys
from mita_otel.sdk.warm_up import WarmUp
WarmUp.start = lambda self: None  # what it loads is not part of the start
import mita_otel
mita_otel.configure()
print(*sys.modules)
"""
EVENTS = """
import sys
seen = []
watched = ("subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "socket.connect", "socket.get")
sys.addaudithook(lambda event, arguments: seen.append(event) if event.startswith(watched) else None)
import threading
import mita_otel
mita_otel.configure()
for thread in threading.enumerate():
    if thread.name == "mita-otel-warm-up":
        thread.join()
print("compiled" if "mita_otel.redaction.compiled_rules" in sys.modules else "not compiled")
print(*[event for event in seen if event != "socket.gethostname"])
"""
SETTINGS = {
    "disabled": {"OTEL_SDK_DISABLED": "true", "SENTRY_DSN": "https://k@sentry.example/1"},
    "otlp": {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example:4318"},
    "sentry": {"SENTRY_DSN": "https://k@sentry.example/1"},
    "console": {"OTEL_TRACES_EXPORTER": "console"},
    "memory": {"OTEL_TRACES_EXPORTER": "memory"},
}


def run(code: str, settings: str, folder: Path) -> str:
    hidden = ("MITA_", "OTEL_", "SENTRY_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **SETTINGS[settings]},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout


@pytest.mark.parametrize(
    ("exporter", "unused"),
    [
        ("otlp", NEVER | SENTRY),
        ("sentry", NEVER | PROTOBUF | {"requests"}),
        ("console", NEVER | HTTP | PROTOBUF | SENTRY),
        ("memory", NEVER | HTTP | PROTOBUF | SENTRY),
    ],
)
def test_a_start_loads_only_what_the_exporter_needs(exporter: str, unused: set[str], tmp_path: Path) -> None:
    loaded = set(run(LOADED, exporter, tmp_path).split())
    assert "mita_otel.processors.pipeline" in loaded
    assert sorted(unused & loaded) == []


def test_where_telemetry_is_switched_off_next_to_nothing_is_loaded(tmp_path: Path) -> None:
    code = LOADED.replace("from mita_otel.sdk.warm_up import WarmUp\nWarmUp.start = lambda self: None", "")
    loaded = set(run(code, "disabled", tmp_path).split())
    assert {name for name in loaded if name.startswith("mita_otel.")} == {
        *("mita_otel.environment_variables", "mita_otel.errors"),
        *(
            "mita_otel.sdk",
            "mita_otel.sdk.configuration",
            "mita_otel.sdk.disabled",
            "mita_otel.sdk.telemetry",
        ),
    }
    assert not {"opentelemetry", "sentry_sdk", "wrapt", "asyncio", "importlib.metadata"} & loaded


@pytest.mark.parametrize("exporter", ["otlp", "sentry", "console", "memory"])
def test_a_start_and_its_warm_up_start_no_program_and_use_no_network(exporter: str, tmp_path: Path) -> None:
    compiled, events = run(EVENTS, exporter, tmp_path).split("\n")[:2]
    assert compiled == "compiled"
    assert events == ""
