"""Exporters selected by variable, argument and policy; several together; third-party exporters by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e.conftest import StartService
from e2e.distribution import install_distribution, sabotage
from e2e.receiver import Receiver
from e2e.script import run_script

pytestmark = pytest.mark.e2e

_JOB = """
import mita_otel
from opentelemetry import trace
telemetry = mita_otel.configure({arguments})
with trace.get_tracer("test").start_as_current_span("job", attributes={{"password": "hunter2"}}):
    pass
telemetry.flush()
answer({{"exporters": sorted(telemetry.exporters), "environment": telemetry.environment}})
telemetry.shutdown()
"""


def job(arguments: str = "") -> str:
    return _JOB.format(arguments=arguments)


def test_each_exporter_writes_the_same_span_to_its_destination(receiver: Receiver, tmp_path: Path) -> None:
    ran = run_script(
        job(),
        tmp_path,
        {
            "OTEL_TRACES_EXPORTER": "sentry,otlp, console,file,memory",
            "SENTRY_DSN": receiver.dsn,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.otlp_endpoint,
            "MITA_OTEL_FILE": "out/spans.jsonl",
        },
    )
    assert ran.answer["exporters"] == ["console", "file", "memory", "otlp", "sentry"]
    receiver.wait_for(lambda r: r.transactions and r.otlp_spans)
    [transaction] = receiver.transactions
    [span] = receiver.otlp_spans
    [record] = map(json.loads, (tmp_path / "out" / "spans.jsonl").read_text().splitlines())
    assert transaction["transaction"] == span["name"] == record["name"] == "job"
    assert transaction["contexts"]["trace"]["span_id"] == record["span_id"]
    assert "job" in ran.stdout
    for written in (receiver.raw, json.dumps(record).encode(), ran.stdout.encode()):
        assert b"hunter2" not in written


BY = {
    "variable": ("", {"OTEL_TRACES_EXPORTER": "file"}, ["file"]),
    "argument": ('exporters=["memory", "file"]', {}, ["file", "memory"]),
    "argument, one text": ('exporters="memory, file"', {}, ["file", "memory"]),
    "argument before variable": ('exporters=["memory"]', {"OTEL_TRACES_EXPORTER": "file"}, ["memory"]),
    "none": ("", {"OTEL_TRACES_EXPORTER": "none"}, []),
    "policy": ("", {}, ["memory"]),
    "policy of the environment": ("", {"ENVIRONMENT": "staging"}, ["file"]),
    "variable before policy": ("", {"ENVIRONMENT": "staging", "OTEL_TRACES_EXPORTER": "memory"}, ["memory"]),
}


@pytest.mark.parametrize(("arguments", "env", "expected"), BY.values(), ids=BY.keys())
def test_argument_variable_and_policy_select_the_exporters(
    tmp_path: Path, arguments: str, env: dict[str, str], expected: list[str]
) -> None:
    (tmp_path / "mita-otel.toml").write_text(
        '[export]\ntraces = ["memory"]\n[environments.staging.export]\ntraces = ["file"]\n'
    )
    assert run_script(job(arguments), tmp_path, env).answer["exporters"] == expected


def test_an_exporter_instance_is_used(tmp_path: Path) -> None:
    ran = run_script(
        """
        import mita_otel
        from mita_otel.exporters.memory import MemorySpanExporter
        from opentelemetry import trace
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        ours, foreign = MemorySpanExporter(), InMemorySpanExporter()
        telemetry = mita_otel.configure(exporters=[ours, foreign, "none"])
        with trace.get_tracer("test").start_as_current_span("job"):
            pass
        telemetry.flush()
        answer([[s.name for s in ours.spans], [s.name for s in foreign.get_finished_spans()]])
        """,
        tmp_path,
    )
    assert ran.answer == [["job"], ["job"]]


ENVIRONMENTS = {
    "argument": ('environment="a"', {"SENTRY_ENVIRONMENT": "b", "ENVIRONMENT": "c"}, "a"),
    "SENTRY_ENVIRONMENT": ("", {"SENTRY_ENVIRONMENT": "b", "ENVIRONMENT": "c"}, "b"),
    "ENVIRONMENT": (
        "",
        {"ENVIRONMENT": "c", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=d"},
        "c",
    ),
    "resource": ("", {"OTEL_RESOURCE_ATTRIBUTES": "a=1,deployment.environment.name=d"}, "d"),
    "nothing": ("", {}, "production"),
}


@pytest.mark.parametrize(("arguments", "env", "expected"), ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_argument_and_variables_select_the_environment(
    tmp_path: Path, arguments: str, env: dict[str, str], expected: str
) -> None:
    env = {**env, "OTEL_TRACES_EXPORTER": "none"}
    assert run_script(job(arguments), tmp_path, env).answer["environment"] == expected


_THIRD_PARTY = """
import pathlib
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
class Exporter(SpanExporter):
    def export(self, spans):
        with pathlib.Path("third.txt").open("a") as file:
            for span in spans:
                file.write(f"{span.name} {dict(span.attributes)}\\n")
        return SpanExportResult.SUCCESS
class Broken(SpanExporter):
    def __init__(self):
        raise OSError("no such spool")
class Raises(SpanExporter):
    def export(self, spans):
        raise RuntimeError("spool is full")
class NotOne:
    pass
"""


@pytest.fixture
def third_party(tmp_path: Path) -> dict[str, str]:
    """An environment with third-party exporters installed."""
    return install_distribution(
        tmp_path / "site",
        "third_party",
        _THIRD_PARTY,
        "[opentelemetry_traces_exporter]\nspool = third_party:Exporter\nbroken = third_party:Broken\n"
        "raises = third_party:Raises\nnotone = third_party:NotOne\n",
    )


def test_a_third_party_exporter_receives_redacted_spans(tmp_path: Path, third_party: dict[str, str]) -> None:
    ran = run_script(job(), tmp_path, {**third_party, "OTEL_TRACES_EXPORTER": "spool,memory"})
    assert ran.answer["exporters"] == ["memory", "spool"]
    written = (tmp_path / "third.txt").read_text()
    assert written.startswith("job ")
    assert "hunter2" not in written


@pytest.mark.parametrize(
    ("name", "hint"), [("broken", "no such spool"), ("notone", "SpanExporter"), ("unheard", "'unheard'")]
)
def test_an_unavailable_exporter_is_one_log_line_and_the_others_work(
    tmp_path: Path, third_party: dict[str, str], name: str, hint: str
) -> None:
    ran = run_script(job(), tmp_path, {**third_party, "OTEL_TRACES_EXPORTER": f"{name},spool"})
    assert ran.answer["exporters"] == ["spool"]
    assert (tmp_path / "third.txt").exists()
    assert len([line for line in ran.stderr.splitlines() if hint in line]) == 1, ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_raising_exporter_does_not_affect_the_others(tmp_path: Path, third_party: dict[str, str]) -> None:
    ran = run_script(job(), tmp_path, {**third_party, "OTEL_TRACES_EXPORTER": "raises,spool"})
    assert (tmp_path / "third.txt").read_text().startswith("job ")
    assert len(ran.log("exporter raises failed")) == 1


_BAD_PROCESSORS = """
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
class Bad(SpanProcessor):
    def on_start(self, span, parent_context=None):
        raise RuntimeError("on_start")
    def on_end(self, span):
        raise RuntimeError("on_end")
    def force_flush(self, timeout_millis=30000):
        raise RuntimeError("force_flush")
    def shutdown(self):
        raise RuntimeError("shutdown")
"""


def test_a_raising_processor_does_not_affect_the_application(tmp_path: Path) -> None:
    ran = run_script(
        _BAD_PROCESSORS
        + """
import mita_otel
telemetry = mita_otel.configure(exporters=["memory"])
trace.get_tracer_provider().add_span_processor(Bad())
for _ in range(3):
    with trace.get_tracer("test").start_as_current_span("job"):
        pass
telemetry.flush()
names = [span.name for span in telemetry.exporters["memory"].spans]
telemetry.shutdown()
answer(names)
""",
        tmp_path,
    )
    assert ran.answer == ["job", "job", "job"]


@pytest.mark.parametrize("link", ["threshold.ThresholdProcessor", "redaction.RedactionProcessor"])
def test_a_raising_link_does_not_affect_the_service(
    receiver: Receiver, start_service: StartService, tmp_path: Path, link: str
) -> None:
    module, name = link.split(".")
    env = sabotage(
        tmp_path / "site",
        f"""
from mita_otel.processors import {module} as module
def process(self, span):
    raise RuntimeError("a bug of ours")
module.{name}.process = process
""",
    )
    service = start_service({**env, "SENTRY_DSN": receiver.dsn})
    answer = service.client.get("/api/items/password=hunter2")
    assert answer.status_code == 200
    service.stop()
    said = [line for line in service.stderr.lines if f"{name} failed on a span" in line]
    assert len(said) == 1, service.said
    assert b"hunter2" not in receiver.raw, "it failed open"
