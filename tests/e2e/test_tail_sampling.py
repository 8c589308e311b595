"""With production settings, every slow or failed trace arrives, and about a tenth of the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import StartService
from e2e.receiver import Receiver
from e2e.relay import judge
from e2e.script import run_script
from e2e.service import Launcher
from e2e.transactions import requests, trace_of

pytestmark = pytest.mark.e2e

DEFAULT = {"MITA_OTEL_SAMPLING__MODE": None}
HEALTHY = 120


def drive(service: Any) -> None:
    """Send healthy, slow and failing requests."""
    for number in range(HEALTHY):
        assert service.client.get(f"/api/items/{number}").status_code == 200
    for number in range(3):
        assert service.client.get(f"/api/accounts/{number}/balance?wait_s=0.32").status_code == 200
        assert service.client.get("/api/error").status_code == 500
        assert service.client.get(f"/api/reports/{number}?wait_s=0.22").status_code == 200


def by_name(receiver: Receiver) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for one in requests(receiver):
        found.setdefault(one["transaction"], []).append(one)
    return found


def sampling(transaction: dict[str, Any]) -> tuple[Any, Any]:
    data = trace_of(transaction)["data"]
    return data.get("mita.sampling.rate"), data.get("mita.sampling.reason")


@pytest.mark.parametrize("launcher", ["single", "workers", "gunicorn"])
def test_slow_and_failed_traces_arrive_and_a_fraction_of_the_others(
    receiver: Receiver, start_service: StartService, launcher: Launcher
) -> None:
    # The first error of a process is slow on a busy machine, but must not be a breach as well.
    never_slow = {"MITA_OTEL_THRESHOLDS__API__ROUTES": '{ "GET /api/error" = "off" }'}
    service = start_service({"SENTRY_DSN": receiver.dsn, **DEFAULT, **never_slow}, launcher=launcher)
    drive(service)
    service.stop()
    receiver.wait_for(lambda r: len(by_name(r).get("GET /api/error", ())) == 3)

    found = by_name(receiver)
    slow = found["GET /api/accounts/{account_id}/balance"]
    assert [sampling(one) for one in slow] == [(1.0, "breach")] * 3
    assert [sampling(one) for one in found["GET /api/reports/{report_id}"]] == [(1.0, "breach")] * 3
    # (On a busy machine one of them may be slow as well.)
    assert {sampling(one) for one in found["GET /api/error"]} <= {(1.0, "error"), (1.0, "breach")}
    assert all(len(one["spans"]) == 1 for one in found["GET /api/reports/{report_id}"]), "with their queries"
    healthy = found.get("GET /api/items/{item_id}", [])
    # 12 of 120 on average; more than 40 has a probability of 1e-10. (A busy machine makes some of them slow.)
    by_ratio = [one for one in healthy if sampling(one)[1] == "ratio"]
    assert len(by_ratio) <= 40
    assert {sampling(one)[0] for one in by_ratio} <= {0.1}
    assert all(len(one["spans"]) == 2 for one in healthy)
    for one in [*slow, *healthy[:2]]:
        judge(one)


@pytest.mark.parametrize(
    ("settings", "low", "high"),
    [
        ({"OTEL_TRACES_SAMPLER": "always_on", **DEFAULT}, 40, 40),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off", **DEFAULT}, 0, 0),
        ({"MITA_OTEL_SAMPLING__MODE": "head", "MITA_OTEL_SAMPLING__RATIO": "0.5"}, 3, 37),
        ({"MITA_OTEL_SAMPLING__RATIO": "1.0", **DEFAULT}, 40, 40),
        ({"ENVIRONMENT": "development", **DEFAULT}, 40, 40),
    ],
    ids=["sampler of the user", "nothing", "head", "tail of all", "development"],
)
def test_the_environment_selects_the_sampling_mode(
    receiver: Receiver, start_service: StartService, settings: dict[str, Any], low: int, high: int
) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn, **settings})
    for number in range(40):
        service.client.get(f"/api/items/{number}")
    service.stop()
    received = len(requests(receiver)) if not low else receiver.wait_for(lambda r: len(requests(r)))
    assert low <= received <= high
    if "head" in settings.values():
        assert {sampling(one) for one in requests(receiver)} == {(0.5, "ratio")}


UNSAMPLED = [{"traceparent": f"00-{digit * 32}-b7ad6b7169203331-00"} for digit in "ab"]


@pytest.mark.parametrize(("policy", "expected"), [("respect", 0), ("keep_breaches", 1)])
def test_an_unsampled_callers_breach_is_kept_by_policy_and_always_counted(
    receiver: Receiver, start_service: StartService, policy: str, expected: int
) -> None:
    service = start_service(
        {
            "SENTRY_DSN": receiver.dsn,
            "OTEL_METRICS_EXPORTER": "console",
            "MITA_OTEL_SAMPLING__REMOTE_UNSAMPLED": policy,
            **DEFAULT,
        }
    )
    service.client.get("/api/accounts/1/balance?wait_s=0.32", headers=UNSAMPLED[0])
    service.client.get("/api/accounts/1/balance", headers=UNSAMPLED[1])
    service.stop()
    assert len(requests(receiver)) == expected
    assert '"name": "mita.latency.breaches"' in service.stdout.text
    assert "api.financial.GET" in service.stdout.text


def test_a_joined_host_receives_the_kept_traces(tmp_path: Path) -> None:
    ran = run_script(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        host, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(host))
        trace.set_tracer_provider(provider)
        import mita_otel
        telemetry = mita_otel.configure(exporters=["none"])
        tracer = trace.get_tracer("t")
        for number in range(300):
            with tracer.start_as_current_span("healthy"):
                pass
        with tracer.start_as_current_span("failed") as span:
            span.set_status(trace.StatusCode.ERROR)
        telemetry.shutdown()
        names = [span.name for span in host.get_finished_spans()]
        answer([names.count("healthy"), names.count("failed")])
        """,
        tmp_path,
        DEFAULT,
    )
    healthy, failed = ran.answer
    assert failed == 1
    assert 5 <= healthy <= 75
    assert ran.log("of the traces that tail sampling keeps")


def test_summaries_count_unsampled_spans(tmp_path: Path) -> None:
    ran = run_script(
        """
        import mita_otel
        from opentelemetry import trace
        telemetry = mita_otel.configure(exporters=["memory"])
        tracer = trace.get_tracer("t")
        for number in range(400):
            with tracer.start_as_current_span("pay", attributes={"mita.operation": "payment_processing"}):
                pass
        telemetry.flush()
        answer([mita_otel.get_performance_summary(1, "financial"), len(telemetry.exporters["memory"].spans)])
        """,
        tmp_path,
        {**DEFAULT, "MITA_OTEL_SAMPLING__RATIO": "0.15"},
    )
    summary, exported = ran.answer
    assert (summary["count"], summary["scope"], summary["sample_rate"]) == (400, "process", 1.0)
    assert 15 <= exported <= 150
    assert json.dumps(summary)


def test_without_a_dsn_the_console_shows_every_trace(tmp_path: Path) -> None:
    ran = run_script(
        """
        import mita_otel
        from opentelemetry import trace
        telemetry = mita_otel.configure()
        for number in range(30):
            with trace.get_tracer("t").start_as_current_span(f"step-{number:02d}"):
                pass
        telemetry.shutdown()
        """,
        tmp_path,
        DEFAULT,
    )
    assert sum(f"step-{number:02d}" in ran.stdout for number in range(30)) == 30
    assert ran.log("sampling always")


@pytest.mark.parametrize(
    ("exporters", "env", "kept"),
    [
        ('["memory"]', {}, True),
        ('["memory", "console"]', {}, True),
        ("[memory]", {}, True),
        ('["memory", "file"]', {}, False),
        ('["memory"]', {"SENTRY_TRACES_SAMPLE_RATE": "0.0"}, False),
        ('["memory"]', {"MITA_OTEL_SAMPLING__MODE": "head", "MITA_OTEL_SAMPLING__RATIO": "0.0"}, False),
    ],
)
def test_with_console_or_memory_exporters_only_every_trace_is_kept(
    tmp_path: Path, exporters: str, env: dict[str, str], kept: bool
) -> None:
    ran = run_script(
        f"""
        import mita_otel
        from opentelemetry import trace
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        memory = InMemorySpanExporter()
        telemetry = mita_otel.configure(exporters={exporters})
        for _ in range(30):
            with trace.get_tracer("t").start_as_current_span("step"):
                pass
        telemetry.flush()
        found = telemetry.exporters.get("memory")
        answer(len(memory.get_finished_spans() if found is None else found.spans))
        """,
        tmp_path,
        {**DEFAULT, **env},
    )
    assert (ran.answer == 30) is kept


def test_a_forked_child_exports_no_span_of_its_parent(tmp_path: Path) -> None:
    ran = run_script(
        """
        import multiprocessing, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        import mita_otel
        from opentelemetry import trace
        telemetry = mita_otel.configure(exporters=["file"])
        tracer = trace.get_tracer("t")
        def work():
            with tracer.start_as_current_span("of the child") as span:
                span.set_status(trace.StatusCode.ERROR)
        with tracer.start_as_current_span("root of the parent") as root:
            with tracer.start_as_current_span("child span of the parent"):
                pass
            telemetry.flush()
            process = multiprocessing.get_context("fork").Process(target=work)
            process.start()
            process.join()
            root.set_status(trace.StatusCode.ERROR)
        telemetry.shutdown()
        answer(process.exitcode)
        """,
        tmp_path,
        {"MITA_OTEL_FILE": str(tmp_path / "spans.jsonl"), **DEFAULT},
    )
    assert ran.answer == 0
    names = [json.loads(line)["name"] for line in (tmp_path / "spans.jsonl").read_text().splitlines()]
    assert sorted(names) == ["child span of the parent", "of the child", "root of the parent"]
