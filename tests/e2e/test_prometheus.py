"""The Prometheus rules with metrics of a real service: series exist, and alerts fire."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from alerts.prometheus.promql import selected
from alerts.receivers import HttpReceiver
from e2e.prometheus import Alertmanager, Prometheus
from e2e.script import run_script
from e2e.service import clean_environment
from mita_otel.alerts.prometheus.alertmanager import alertmanager_file
from mita_otel.alerts.prometheus.rule_file import rule_file
from mita_otel.policy import Policy, load_policy
from mobile.kit import AUTH, KEY, PROJECT, RECORDED

pytestmark = pytest.mark.e2e

POLICY = f"""
[alerts.prometheus]
interval_s = 1

[alerts]
evaluate_s = 0.5
start = "off"

[alerts.email]
sender = "alerts@bank.example"

[mobile.projects.app]
id = "{PROJECT}"
keys = ["{KEY}"]
upstream = "http://fedcbafedcbafedc@127.0.0.1:9/1"

[mobile.intake]
isolation = "thread"
"""

SERVICE = """
    import asyncio, sys, time, httpx, mita_otel
    from opentelemetry import trace
    from opentelemetry.trace import SpanKind, Status, StatusCode
    from prometheus_client import start_http_server
    from mita_otel.processors.queues.losses import Losses

    telemetry = mita_otel.configure()
    gateway = mita_otel.mobile_app(telemetry)
    tracer = trace.get_tracer("bank")

    def span(kind, failed=False, **attributes):
        with tracer.start_as_current_span("x", kind=kind) as one:
            one.set_attributes({name.replace("__", "."): value for name, value in attributes.items()})
            if failed:
                one.set_status(Status(StatusCode.ERROR))

    def requests(count, failed):
        for number in range(count):
            span(SpanKind.SERVER, number < failed, http__request__method="GET", http__route="/a",
                 http__response__status_code=500 if number < failed else 200)

    def slow():
        one = tracer.start_span("x", kind=SpanKind.SERVER, start_time=time.time_ns() - 5_000_000_000)
        one.set_attributes({"http.request.method": "GET", "http.route": "/a", "http.response.status_code": 200})
        one.end()

    def everything():
        requests(2, 1)
        slow()
        for system in ("postgresql", "redis"):
            span(SpanKind.CLIENT, True, db__system__name=system, db__operation__name="SELECT", db__query__text="SELECT 1")
        span(SpanKind.CLIENT, True, db__client__connection__pool__name="main")
        span(SpanKind.CLIENT, True, http__request__method="GET", server__address="a.example")
        span(SpanKind.CONSUMER, True, messaging__system="kafka", messaging__destination__name="payments")
        for kind in ("financial", "background", "mobile_screen", "mobile_request", "mobile_operation"):
            span(SpanKind.INTERNAL, True, mita__operation="pay", mita__operation__kind=kind)
        mita_otel.capture_payment_error(ValueError("declined"))
        mita_otel.set_security_context("unusual_location", "high")
        mita_otel.set_compliance_context("PCI_DSS", status="violation")
        Losses(cool_down_s=60).add("exporter.sentry", "queue_full")
        crash()

    def crash():
        async def post():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="http://g") as client:
                answer = await client.post("/api/{project}/envelope/", content=open({crash!r}, "rb").read(), headers={auth!r})
                assert answer.status_code == 200, answer.text
        asyncio.run(post())
"""


def service(rest: str) -> str:
    code = textwrap.dedent(SERVICE)
    for name, value in {
        "{project}": PROJECT,
        "{crash!r}": repr(str(RECORDED / "flutter_crash.envelope")),
        "{auth!r}": repr(AUTH),
    }.items():
        code = code.replace(name, value)
    return code + textwrap.dedent(rest)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mita-otel.toml").write_text(POLICY)
    return tmp_path


ENV = {
    "OTEL_SERVICE_NAME": "bank",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "prometheus",
    "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
    "OTEL_EXPORTER_PROMETHEUS_PORT": "0",
}


def policy_of(folder: Path) -> Policy:
    return load_policy(folder / "mita-otel.toml", environment="production")


def test_every_series_in_a_rule_is_exported_by_a_service(folder: Path) -> None:
    shows = """
        from prometheus_client import generate_latest
        everything()
        telemetry.flush()
        answer(generate_latest().decode())
    """
    text = run_script(service(shows), folder, ENV).answer
    shown: dict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            shown[sample.name] |= set(sample.labels)

    looked_at = [
        one
        for group in rule_file(all_kinds(policy_of(folder)), "production").groups
        for rule in group.rules
        if rule.record
        for one in [*selected(rule.expr), *grouped(rule.expr)]
    ]
    assert len({name for name, _ in looked_at}) > 10
    for name, labels in looked_at:
        if name == "up":  # a series of Prometheus
            continue
        assert name in shown, f"{name}: only {sorted(shown)} are shown"
        assert labels <= shown[name] | {"job", "instance"}, f"{name}: {labels - shown[name]}"
    assert "le" in shown["http_server_request_duration_seconds_bucket"], "the parser has read labels"


def test_a_flush_does_not_leave_stale_values_for_the_next_scrape(folder: Path) -> None:
    shows = """
        from prometheus_client import generate_latest
        for number in range(3):
            mita_otel.capture_payment_error(ValueError("declined"))
            telemetry.flush()
        answer(generate_latest().decode())
    """
    lines = run_script(service(shows), folder, ENV).answer.splitlines()
    [shown] = [line for line in lines if line.startswith("mita_errors_total{")]
    assert shown.endswith(" 3.0")
    samples = [line for line in lines if not line.startswith("#")]
    assert len(samples) == len(set(samples))


def all_kinds(policy: Policy) -> Policy:
    """The policy with rules on every kind of event."""
    rules = policy.alerts.rules
    rate = rules["high_error_rate"].replace(title="Any error rate", kinds=(), group_by=())
    breaches = rules["critical_financial_errors"].replace(
        title="Anything", on=("breaches", "compliance", "security", "errors"), severities=(), group_by=()
    )
    more = {**rules, "rate": rate, "breaches": breaches}
    return policy.replace(alerts=policy.alerts.replace(rules=more, start="on"))


def grouped(expr: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each recorded series with its labels."""
    by = re.match(r"sum by \((.*?)\) ", expr)
    if by is not None:
        for name, _ in selected(expr):
            if name not in ("up", "process_start_time_seconds"):
                yield name, frozenset(by[1].split(", "))


class Service:
    """A process of the bank that runs code on command."""

    def __init__(self, folder: Path) -> None:
        does = """
            server, _ = start_http_server(0, "127.0.0.1")
            print(server.server_port, flush=True)
            for line in sys.stdin:
                eval(line)
                telemetry.flush()
                print("done", flush=True)
        """
        self._process = subprocess.Popen(
            [sys.executable, "-c", service(does)],
            cwd=folder,
            env=clean_environment(ENV),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._line())

    def does(self, what: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        assert self._line() == "done"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


@pytest.fixture
def bank(folder: Path) -> Iterator[Service]:
    process = Service(folder)
    yield process
    process.close()


@pytest.fixture
def slack() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def alertmanager(folder: Path, slack: HttpReceiver) -> Iterator[Alertmanager]:
    policy = policy_of(folder)
    secrets = folder / "secrets"
    secrets.mkdir()
    for channel in policy.alerts.channels.values():
        if channel.variable:
            (secrets / channel.variable).write_text(f"{slack.url}/{channel.variable}\n")
    pages = policy.alerts.delivery.replace(pagerduty_url=f"{slack.url}/pagerduty")
    there = policy.alerts.prometheus.replace(secrets_folder=str(secrets))
    alerts = policy.alerts.replace(delivery=pages, prometheus=there)
    file = alertmanager_file(policy.replace(alerts=alerts), "production")
    server = Alertmanager(folder, file.yaml())
    yield server
    server.close()


@pytest.fixture
def prometheus(folder: Path, bank: Service, alertmanager: Alertmanager) -> Iterator[Prometheus]:
    rules = rule_file(policy_of(folder), "production").yaml()
    server = Prometheus(folder, rules, f"127.0.0.1:{bank.port}", alertmanager.url)
    yield server
    server.close()


T = TypeVar("T")


def until(look: Callable[[], T], wanted: Callable[[T], bool], timeout_s: float = 60) -> T:
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        if wanted(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_an_alert_fires_after_real_errors_and_is_notified(
    bank: Service, prometheus: Prometheus, alertmanager: Alertmanager, slack: HttpReceiver
) -> None:
    until(lambda: prometheus.value('sum(up{job="bank"})'), lambda up: up == 1)
    assert prometheus.firing() == {}
    bank.does('mita_otel.capture_payment_error(ValueError("declined"), severity="high")')
    bank.does('mita_otel.capture_payment_error(ValueError("declined"), severity="high")')
    series = 'sum(mita:errors:increase5m{category="payment_processing"})'
    until(lambda: prometheus.value(series), lambda seen: seen == 2)
    assert prometheus.firing() == {}, "two are none"
    bank.does('mita_otel.capture_payment_error(ValueError("declined"), severity="high")')
    firing = until(prometheus.firing, bool)
    assert set(firing) == {"payment_processing_failures"}
    assert firing["payment_processing_failures"]["job"] == "bank"
    [notification] = slack.wait_for(1, timeout=60)
    assert notification.path == "/SLACK_PAYMENTS_WEBHOOK"
    assert notification.json["attachments"][0]["title"] == "Payment processing failures: bank"
    assert [one["labels"]["rule"] for one in alertmanager.alerts()] == ["payment_processing_failures"]
    assert prometheus.troubles() == []


def test_every_single_event_rule_fires_after_one_event(
    bank: Service, prometheus: Prometheus, slack: HttpReceiver
) -> None:
    bank.does("everything()")
    for _ in range(4):
        bank.does("crash()")
    bank.does("requests(60, 10)")
    bank.does('mita_otel.set_compliance_context("GDPR", status="violation")')
    expected = {
        "critical_financial_errors",
        "authentication_security_events",
        "pci_violation",
        "compliance_violation",
        "mobile_crashes",
        "high_error_rate",
        "telemetry_unhealthy",
    }
    firing = until(prometheus.firing, lambda found: set(found) >= expected)
    assert set(firing) == expected
    assert firing["compliance_violation"]["regulation"] == "GDPR"
    assert firing["telemetry_unhealthy"]["reason"] == "queue_full"
    assert prometheus.troubles() == []
    channels = {f"/SLACK_{team}_WEBHOOK" for team in ("FINANCE", "COMPLIANCE", "DEVOPS")} | {"/pagerduty"}
    until(lambda: {one.path for one in slack.posted}, lambda seen: seen == channels)


def test_no_alert_fires_for_a_healthy_service(bank: Service, prometheus: Prometheus) -> None:
    bank.does("requests(60, 1)")
    until(lambda: prometheus.value("sum(mita:api_spans:increase5m)"), lambda seen: seen == 60)
    assert prometheus.firing() == {}
    assert prometheus.troubles() == []
    text = httpx.get(f"http://127.0.0.1:{bank.port}/metrics", timeout=60).text
    assert "mita_errors_total" not in text
