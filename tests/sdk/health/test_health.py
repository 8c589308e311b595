"""Health of telemetry: the result of each failure, details with and without the token, and caching."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

import mita_otel
from e2e.receiver import Receiver
from leaks import shows
from mita_otel.audit.trail import AuditHealth
from mita_otel.policy import Policy, default_policy
from mita_otel.policy.conversion import convert
from mita_otel.processors.queues.stage import Deliveries, DeliveryState
from mita_otel.sdk.health import checks as health_checks
from mita_otel.sdk.health.check import Check, HealthReport, Status, worst
from mita_otel.sdk.health.libraries import libraries

Configure = Callable[..., mita_otel.Telemetry]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    backend = Receiver()
    yield backend
    backend.close()


@pytest.fixture
def configure(isolated_telemetry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Configure:
    monkeypatch.chdir(tmp_path)

    def call(
        exporters: list[Any] | None = None, policy: Policy | None = None, **env: str
    ) -> mita_otel.Telemetry:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return mita_otel.configure(policy=policy, exporters=exporters or ["memory"], strict=True)

    return call


def span(name: str = "work") -> None:
    with trace.get_tracer("test").start_as_current_span(name):
        pass


def checks_of(telemetry: mita_otel.Telemetry, view: Any = "error_monitoring") -> dict[str, Check]:
    assert telemetry.health is not None
    return {one.name: one for one in telemetry.health.report(view).checks}


def policy_with(**sections: dict[str, Any]) -> Policy:
    tree = default_policy().to_dict()
    for name, changes in sections.items():
        tree[name] = {**tree[name], **changes}
    return convert(Policy, tree)


QUICK: dict[str, dict[str, Any]] = {"health": {"cache_s": 0.0}, "sampling": {"mode": "always"}}


# --- each check --------------------------------------------------------------------------------------
def test_a_service_with_delivered_spans_passes(configure: Configure, receiver: Receiver) -> None:
    telemetry = configure(["sentry"], policy_with(**QUICK), SENTRY_DSN=receiver.dsn)
    assert checks_of(telemetry)["export:sentry"].said == "nothing has been exported yet"
    span()
    assert telemetry.flush()
    found = checks_of(telemetry)
    assert found["sentry:configured"].status is Status.PASS
    assert found["export:sentry"].status is Status.PASS
    assert found["export:sentry"].observed["last_success"] == pytest.approx(time.time(), abs=60)
    assert telemetry.health is not None and telemetry.health.report("sentry").status is Status.PASS


@pytest.mark.parametrize("trouble", [500, "cut"])
def test_an_unavailable_sentry_is_a_warning_and_then_a_failure(
    configure: Configure, receiver: Receiver, trouble: Any
) -> None:
    receiver.behaviour = trouble
    policy = policy_with(**QUICK)
    telemetry = configure(["sentry"], policy, SENTRY_DSN=receiver.dsn)
    span()
    telemetry.flush()
    check = checks_of(telemetry)["export:sentry"]
    assert check.status is Status.WARN
    why = (
        "Sentry answered 500"
        if trouble == 500
        else f"no connection to 127.0.0.1:{receiver.port} (closed without a response)"
    )
    assert check.said.endswith(why)
    assert telemetry.health is not None
    later = time.time() + policy.health.stale_s + 1
    telemetry.health._clock = lambda: later
    report = telemetry.health.report("sentry")
    assert (report.status, report.http_status) == (Status.FAIL, 503)
    assert telemetry.health.report("ready").http_status == 200
    assert telemetry.health.report("live").http_status == 200
    receiver.behaviour = "ok"
    telemetry.health._clock = time.time
    span()
    telemetry.flush()
    assert checks_of(telemetry)["export:sentry"].status is Status.PASS


def test_without_a_dsn_the_destination_of_traces_is_reported(configure: Configure) -> None:
    found = checks_of(configure(["memory"]))
    assert found["sentry:configured"].status is Status.WARN
    assert found["sentry:configured"].said == "nothing goes to Sentry, traces go to memory: set SENTRY_DSN"


def test_a_queue_above_its_share_is_a_warning(configure: Configure) -> None:
    telemetry = configure(policy=policy_with(health={"cache_s": 0.0, "queue_share": 0.000_01}))
    span()
    check = checks_of(telemetry)["queue:pipeline"]
    if check.observed["waiting"]:  # the pipeline may have emptied it already
        assert check.status is Status.WARN
        assert check.said == f"1 of {check.observed['capacity']} places are taken"


def test_a_loss_is_a_temporary_warning_and_a_lasting_count(configure: Configure) -> None:
    telemetry = configure(policy=policy_with(**QUICK))
    losses = telemetry._stages.losses
    assert losses is not None
    assert checks_of(telemetry)["telemetry:losses"].status is Status.PASS
    losses.add("exporter.otlp", "queue_full", 7)
    check = checks_of(telemetry)["telemetry:losses"]
    assert check.status is Status.WARN
    assert check.said == "lost recently: exporter.otlp: queue_full"
    losses._clock = lambda: time.monotonic() + 301
    check = checks_of(telemetry)["telemetry:losses"]
    assert (check.status, check.observed) == (Status.PASS, {"exporter.otlp: queue_full": 7})


def test_disabled_redaction_is_a_failure(configure: Configure) -> None:
    policy = policy_with(**QUICK)
    tree = policy.to_dict()
    tree["redaction"]["enabled"] = False
    telemetry = configure(policy=convert(Policy, tree))
    check = checks_of(telemetry)["redaction:canary"]
    assert check.status is Status.FAIL
    assert check.said.startswith("canaries come out, of the rules pan, iban")
    assert not shows(check)


def test_an_unwritable_audit_trail_makes_the_service_unready(configure: Configure, tmp_path: Path) -> None:
    telemetry = configure(
        policy=policy_with(**QUICK, audit={"on_failure": "log"}),
        MITA_OTEL_AUDIT_SPOOL=str(tmp_path / "spool"),
    )
    assert checks_of(telemetry)["audit:spool"].said == "nothing has been recorded yet"
    assert telemetry.health is not None and telemetry.health.report("ready").http_status == 200
    mita_otel.record_audit_event("test", "u1")
    found = checks_of(telemetry)
    assert found["audit:spool"].status is Status.PASS
    assert found["audit:chain"].status is Status.WARN
    assert found["audit:chain"].said == "the audit chain is unsigned: set MITA_OTEL_AUDIT_KEY"
    telemetry.shutdown()


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"seconds_failing": 61.0, "error": "the store does not answer"}, Status.WARN, "entries wait in the spool, the database has not taken any for 61 seconds: the store does not answer"),
        ({"waiting_too_much": True}, Status.WARN, "more waits in the spool than audit.spool.warn_megabytes"),
        ({"ok": False, "error": "disk full"}, Status.FAIL, "entries cannot be recorded: disk full"),
        ({}, Status.PASS, ""),
    ],
)  # fmt: skip
def test_an_unavailable_database_is_a_warning_and_an_unwritable_spool_a_failure(
    changes: dict[str, Any], status: Status, said: str
) -> None:
    class Trail:
        started = True

        def health(self) -> AuditHealth:
            well: dict[str, Any] = {
                "ok": True, "error": "", "chain": "c1", "keyed": True, "refused": 0, "waiting_bytes": 9,
                "waiting_too_much": False, "seconds_failing": 0.0,
            }  # fmt: skip
            return AuditHealth(**{**well, **changes})

    trail: Any = Trail()
    spool = next(health_checks.audit_checks(trail))
    assert (spool.name, spool.status, spool.said) == ("audit:spool", status, said)


def test_an_unavailable_alert_store_is_a_warning() -> None:
    class Engine:
        failing: Mapping[str, str] = {}
        unavailable = "the database is away"

    engine: Any = Engine()
    check = health_checks.alert_check(engine)
    assert (check.status, check.said) == (Status.WARN, "the database is away")


def test_a_file_instead_of_the_spool_folder_makes_the_service_unready(
    configure: Configure, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spool").write_text("not a folder")
    policy = policy_with(**QUICK, audit={"on_failure": "log", "start": "configure"})
    telemetry = configure(policy=policy, MITA_OTEL_AUDIT_SPOOL=str(tmp_path / "spool"))
    mita_otel.record_audit_event("test", "u1")
    assert telemetry.health is not None
    report = telemetry.health.report("ready")
    assert (report.status, report.http_status) == (Status.FAIL, 503)
    assert report.checks[0].said.startswith("entries cannot be recorded: ")


def test_undelivered_notifications_are_a_warning(configure: Configure) -> None:
    telemetry = configure(policy=policy_with(**QUICK), SLACK_FINANCE_WEBHOOK="http://127.0.0.1:1/x")
    assert checks_of(telemetry)["alerts:delivery"].status is Status.PASS
    mita_otel.capture_financial_error(ValueError("x"), severity="critical")
    telemetry.flush()
    check = checks_of(telemetry)["alerts:delivery"]
    assert check.status is Status.WARN
    assert check.said == "messages do not arrive: finance_slack: Slack: no connection (ConnectError)"


def test_libraries_are_listed_with_the_instrumentation_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_is_excused(names: object) -> frozenset[str]:
        return frozenset()

    found = {one.name: one for one in libraries(not_missed=none_is_excused)}
    assert found["fastapi"].state in {"measured", "not loaded"}
    assert found["httpx"].state in {"measured", "not loaded"}
    from mita_otel.sdk.health import libraries as module

    monkeypatch.setattr(module, "entry_points", lambda group: [])
    found = {one.name: one for one in libraries(not_missed=none_is_excused)}
    assert found["httpx"].state == "missing"
    assert found["aiohttp"].fix == "pip install opentelemetry-instrumentation-aiohttp-client"
    check = health_checks.instrumentation_check(none_is_excused)
    assert "httpx is not measured: pip install opentelemetry-instrumentation-httpx" in check.said


def test_requirements_of_libraries_are_read_once(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the metadata of all installed packages: too expensive for every report."""
    from mita_otel.sdk.health import libraries as module

    reads = 0

    def distributions() -> Iterator[Any]:
        nonlocal reads
        reads += 1
        return iter(())

    monkeypatch.setattr(module, "distributions", distributions)
    monkeypatch.setattr(module, "entry_points", lambda group: [])
    telemetry = configure(policy=policy_with(**QUICK))
    for _ in range(3):
        assert "httpx is not measured" in checks_of(telemetry)["instrumentation:libraries"].said
    assert reads == 1


def test_requirements_of_measured_libraries_are_not_read() -> None:
    asked: list[tuple[str, ...]] = []
    found = libraries(
        ["fastapi", "httpx", "no-such-library"], lambda names: frozenset(asked.append(names) or ())
    )
    assert {one.name for one in found} == {"fastapi", "httpx"}
    assert asked == []


# --- deliveries --------------------------------------------------------------------------------------
def test_deliveries_record_the_first_failure_and_the_last_success() -> None:
    clock = [100.0]
    deliveries = Deliveries(clock=lambda: clock[0])
    assert deliveries.state == DeliveryState()
    deliveries.failed("a")
    clock[0] = 200
    deliveries.failed("b")
    assert deliveries.state == DeliveryState(None, 100.0, "b")
    deliveries.succeeded()
    assert deliveries.state == DeliveryState(200.0)
    clock[0] = 300
    deliveries.failed("c")
    assert deliveries.state == DeliveryState(200.0, 300.0, "c")


# --- the report --------------------------------------------------------------------------------------
def test_the_overall_status_is_the_worst_check() -> None:
    assert worst([]) is Status.PASS
    assert worst([Status.PASS, Status.WARN]) is Status.WARN
    assert worst([Status.WARN, Status.FAIL, Status.PASS]) is Status.FAIL


def test_the_brief_document_has_only_the_status_of_each_check() -> None:
    check = Check("export:sentry", Status.WARN, "http://secret.example does not answer", {"waiting": 3})
    report = HealthReport((check,), 0.0, {"service": "bank"})
    assert report.document(detailed=False) == {
        "status": "warn",
        "checks": {"export:sentry": [{"status": "warn"}]},
    }
    assert report.http_status == 200
    detailed = report.document(detailed=True)
    assert detailed["details"] == {"service": "bank"}
    assert detailed["checks"]["export:sentry"] == [
        {"status": "warn", "time": "1970-01-01T00:00:00Z", "output": "http://secret.example does not answer", "observedValue": {"waiting": 3}}
    ]  # fmt: skip


def test_the_detailed_document_has_versions_and_the_policys_digest(configure: Configure) -> None:
    telemetry = configure(OTEL_SERVICE_NAME="bank")
    assert telemetry.health is not None
    about = telemetry.health.report().about
    assert about["service"] == "bank" and about["environment"] == "production"
    assert len(about["policy_sha256"]) == 64
    assert {"mita-otel", "opentelemetry-sdk"} <= set(about["versions"])


def test_a_report_is_cached_briefly(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry = configure()
    health = telemetry.health
    assert health is not None
    looked: list[float] = []
    original = health._run_checks

    def counting(now: float) -> Any:
        looked.append(now)
        return original(now)

    monkeypatch.setattr(health, "_run_checks", counting)
    clock = [1000.0]
    monkeypatch.setattr(health, "_monotonic", lambda: clock[0])
    for _ in range(50):
        health.report()
    assert len(looked) == 1
    clock[0] += telemetry.policy.health.cache_s
    health.report()
    assert len(looked) == 2


def test_rules_on_health_receive_failures(configure: Configure) -> None:
    telemetry = configure(policy=policy_with(**QUICK))
    assert telemetry.health is not None
    results = {one.name: one.failing for one in telemetry.health.results()}
    assert results["redaction:canary"] is False
    assert results["sentry:configured"] is False  # a warning is not a failure
