"""The engine as `configure()` creates it: events become notifications, off the request path."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

import mita_otel
from alerts.channels.test_notifiers import notification
from alerts.kit import policy_with
from alerts.receivers import HttpReceiver, Reply
from mita_otel.alerts.alert import AlertScope
from mita_otel.alerts.channels.registry import Channels
from mita_otel.alerts.dispatcher import NotificationDispatcher
from mita_otel.alerts.engine import AlertEngine, HealthResult
from mita_otel.alerts.evaluator import RuleEvaluator
from mita_otel.alerts.memory_store import MemoryAlertStore
from mita_otel.alerts.span_counter import SpanCounter
from mita_otel.alerts.store import AlertStoreUnavailableError, QueuedNotification
from mita_otel.policy import Policy, default_policy
from mita_otel.policy.conversion import convert
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.stage import deadline_in
from mita_otel.redaction import Redactor

PAN = "4111 1111 1111 1111"


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


Configure = Callable[..., mita_otel.Telemetry]


@pytest.fixture
def configure(
    receiver: HttpReceiver, isolated_telemetry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> Configure:
    """Call `configure()` with Slack where the receiver is."""
    monkeypatch.chdir(tmp_path)

    def call(policy: Policy | None = None, **env: str) -> mita_otel.Telemetry:
        for name, value in {"SLACK_FINANCE_WEBHOOK": f"{receiver.url}/finance", **env}.items():
            monkeypatch.setenv(name, value)
        return mita_otel.configure(policy=policy, exporters=["memory"], strict=True)

    return call


def texts(receiver: HttpReceiver) -> list[str]:
    return [one.json["text"] for one in receiver.posted]


def test_three_payment_errors_become_one_redacted_notification(
    configure: Configure, receiver: HttpReceiver
) -> None:
    telemetry = configure()
    for _ in range(3):
        mita_otel.capture_payment_error(ValueError(f"declined: {PAN}"), severity="high")
    assert telemetry.flush()
    assert texts(receiver) == ["Payment processing failures: 3 events within 5 minutes"]
    body = receiver.posted[0].body.decode()
    assert "ValueError: declined: [redacted:pan]" in body and PAN not in body


def test_two_payment_errors_are_below_the_threshold(configure: Configure, receiver: HttpReceiver) -> None:
    telemetry = configure()
    for _ in range(2):
        mita_otel.capture_payment_error(ValueError("declined"), severity="high")
    assert telemetry.flush()
    assert receiver.posted == []


def test_a_compliance_violation_is_notified_with_its_regulation(
    configure: Configure, receiver: HttpReceiver
) -> None:
    telemetry = configure(SLACK_SECURITY_WEBHOOK=f"{receiver.url}/security", PAGERDUTY_FINANCE_KEY="")
    mita_otel.set_compliance_context("PCI_DSS", "3.4_Secure_Cardholder_Data", "non_compliant")
    assert telemetry.flush()
    assert [one.path for one in receiver.posted] == ["/security"]  # compliance_slack is not set
    assert texts(receiver) == ["PCI DSS violation: 1 event within 1 minute"]
    assert "PCI_DSS" in receiver.posted[0].body.decode()


def request_spans(count: int, failed: int) -> None:
    tracer = trace.get_tracer("test")
    for number in range(count):
        attributes = {"http.request.method": "GET", "http.route": "/api/items"}
        with tracer.start_as_current_span(
            "GET /api/items", kind=SpanKind.SERVER, attributes=attributes
        ) as span:
            if number < failed:
                span.set_status(Status(StatusCode.ERROR))


def test_failed_requests_are_counted_before_any_sampling(
    configure: Configure, receiver: HttpReceiver
) -> None:
    policy = default_policy()
    sampling = policy.sampling.replace(mode="tail", ratio=0.0)
    telemetry = configure(policy.replace(sampling=sampling))
    request_spans(100, 6)
    assert telemetry.flush()
    assert texts(receiver) == ["High error rate: 6 of 100 failed (6 %) within 5 minutes, limit 5 %"]


def test_a_rule_can_count_exceeded_limits(configure: Configure, receiver: HttpReceiver) -> None:
    rule = {
        "title": "Slow items", "on": ("breaches",), "count": 2, "window_s": 60, "urgency": "info", "channels": ("finance_slack",),
    }  # fmt: skip
    telemetry = configure(policy_with({"slow": rule}))
    tracer = trace.get_tracer("test")
    for _ in range(2):
        now = time.time_ns()
        attributes = {"http.request.method": "GET", "http.route": "/api/items"}
        span = tracer.start_span("GET", kind=SpanKind.SERVER, attributes=attributes, start_time=now - 10**9)
        span.end(now)
    assert telemetry.flush()
    assert telemetry.flush()  # breaches are reported on a separate thread
    assert texts(receiver) == ["Slow items: 2 events within 1 minute"]
    assert "GET /api/items: 1000 ms, limit 500 ms" in receiver.posted[0].body.decode()


def test_without_a_configured_channel_no_thread_runs(configure: Configure) -> None:
    configure(SLACK_FINANCE_WEBHOOK="")
    assert not [
        one for one in threading.enumerate() if one.name in {"mita-otel-alerts", "mita-otel-notifications"}
    ]


def test_a_hanging_receiver_blocks_neither_the_service_nor_its_shutdown(
    configure: Configure, receiver: HttpReceiver
) -> None:
    receiver.replies = ["hang"]
    telemetry = configure()
    started = time.monotonic()
    mita_otel.capture_financial_error(ValueError("x"), severity="critical")
    assert time.monotonic() - started < 1
    receiver.wait_for(1)
    telemetry.shutdown(0.5)
    assert time.monotonic() - started < 8


def test_an_invalid_mail_server_is_logged_once_and_other_channels_work(
    configure: Configure, receiver: HttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    policy = default_policy()
    tree = policy.to_dict()
    tree["alerts"]["email"]["sender"] = "a@mita.finance"
    telemetry = configure(convert(Policy, tree), MITA_OTEL_SMTP_URL="mail.example")
    mita_otel.capture_financial_error(ValueError("x"), severity="critical")
    assert not telemetry.flush()
    assert telemetry.losses() == {"alerts: undelivered.finance_email": 1}
    assert caplog.text.count("MITA_OTEL_SMTP_URL is not the URL of a mail server") >= 1
    assert len(receiver.posted) == 1


def test_active_channels_and_rules_without_one_are_logged(
    configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    configure(SLACK_FINANCE_WEBHOOK="", PAGERDUTY_FINANCE_KEY="0" * 32)
    assert (
        "channels: finance_pagerduty; no notifications for payment_processing_failures, high_error_rate"
        in caplog.text
    )


# --- the engine by itself ----------------------------------------------------------------------------
class Away(MemoryAlertStore):
    """A store that does not answer for a while."""

    away = False
    another_leads = False

    def acquire_lease(self) -> bool:
        if self.away:
            raise AlertStoreUnavailableError("the database is away")
        return not self.another_leads

    def add_samples(self, points: Any) -> None:
        if self.away:
            raise AlertStoreUnavailableError("the database is away")
        super().add_samples(points)


class Running:
    def __init__(self, policy: Policy, receiver: HttpReceiver) -> None:
        self.store = Away(max_samples=policy.alerts.max_events, max_queued=100)
        self.losses = Losses(cool_down_s=60)
        redactor = Redactor(policy.redaction)
        self.channels = Channels(policy.alerts, {"SLACK_FINANCE_WEBHOOK": receiver.url})
        objective = policy.thresholds.objective
        self.engine = AlertEngine(
            policy.alerts,
            self.store,
            RuleEvaluator(
                policy.alerts,
                objective,
                AlertScope("bank", "test"),
                redactor,
                self.channels.resolve,
                shared=False,
            ),
            NotificationDispatcher(
                policy.alerts.delivery,
                self.store,
                self.channels,
                redactor,
                self.losses,
                kind_of=lambda name: "slack",
            ),
            SpanCounter(policy.alerts.rules, objective, max_subjects=10),
            redactor,
            self.losses,
        )


@pytest.fixture
def running(receiver: HttpReceiver) -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def make(policy: Policy | None = None) -> Running:
        made.append(Running(policy or default_policy(), receiver))
        return made[-1]

    yield make
    for one in made:
        one.engine.close()
        one.engine._deliverer._stopped.wait(60)  # type: ignore[union-attr]
        one.channels.close()


def failure(at_ns: int | None = None) -> Any:
    from mita_otel.alerts.events import AlertEvent

    return AlertEvent(
        stream="errors",
        at_ns=at_ns or time.time_ns(),
        name="E",
        category="payment_processing",
        severity="high",
    )


def test_events_are_kept_while_the_store_is_unavailable(
    running: Callable[..., Running], receiver: HttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    one = running()
    one.store.away = True
    for _ in range(3):
        one.engine.submit(failure())
    assert one.engine.flush(deadline_in(60_000))
    assert receiver.posted == [] and one.engine.unavailable == "the database is away"
    assert caplog.text.count("alerts: the database is away") == 1
    one.store.away = False
    assert one.engine.flush(deadline_in(60_000))
    assert len(receiver.posted) == 1 and one.engine.unavailable == ""


def test_every_string_of_a_stored_event_is_redacted(running: Callable[..., Running]) -> None:
    rule = {"group_by": ("operation",), "categories": (), "severities": (), "count": 1}
    one = running(policy_with({"payment_processing_failures": rule}))
    texts = {name: f"{name} {PAN}" for name in ("name", "category", "operation", "message")}
    one.engine.submit(replace(failure(), **texts))
    assert one.engine.flush(deadline_in(60_000))
    [alert] = one.store.alerts()
    [point] = one.store.samples("payment_processing_failures", 0)
    assert alert.subject == point.subject == "operation [redacted:pan]"
    for sample in (alert.exemplar, point.exemplar):
        assert sample is not None
        assert {name: getattr(sample, name) for name in texts} == {
            name: f"{name} [redacted:pan]" for name in texts
        }


def test_without_the_lease_a_process_only_counts(
    running: Callable[..., Running], receiver: HttpReceiver
) -> None:
    one = running()
    one.store.another_leads = True
    waiting = QueuedNotification("m1", "finance_slack", notification(), time.time_ns())
    one.store.enqueue([waiting])
    for _ in range(3):
        one.engine.submit(failure())
    assert one.engine.flush(deadline_in(60_000))
    assert receiver.posted == [] and one.store.alerts() == []
    one.store.another_leads = False
    assert one.engine.flush(deadline_in(60_000))
    assert len(receiver.wait_for(2)) == 2  # the stored events of the other process, and the new ones


def test_dropped_samples_are_counted(running: Callable[..., Running]) -> None:
    one = running(policy_with({"payment_processing_failures": {}}, max_events=5))
    one.store.away = True
    for _ in range(20):
        one.engine.submit(failure())
        one.engine.flush(deadline_in(60_000))
    assert one.losses.counts()["alerts", "samples_dropped"] == 15


def test_a_flood_of_events_is_bounded(running: Callable[..., Running]) -> None:
    one = running(policy_with({"payment_processing_failures": {}}, max_events=100))
    holding = threading.Event()
    original = one.store.transaction

    def slow() -> Any:
        holding.wait(60)
        return original()

    one.store.transaction = slow  # type: ignore[method-assign]
    for _ in range(2000):
        one.engine.submit(failure())
    holding.set()
    assert one.losses.counts()["alerts", "queue_full"] > 0
    assert one.engine.flush(deadline_in(60_000))


def test_failing_health_opens_an_alert_and_an_error_while_reading_it_is_ignored(
    running: Callable[..., Running], receiver: HttpReceiver
) -> None:
    clock = [1_000_000 * 10**9]
    one = running()
    one.engine._clock_ns = lambda: clock[0]
    answers: list[Any] = [ZeroDivisionError()]

    def looks() -> list[HealthResult]:
        if answers:
            raise answers.pop()
        return [
            HealthResult("export.sentry", True, f"no export has worked, key {PAN}"),
            HealthResult("redaction", False),
        ]

    one.engine.watch_health(looks)
    for _ in range(33):
        one.engine.tick()
        clock[0] += 10 * 10**9
    assert one.engine._deliverer is not None and one.engine._deliverer.flush(60)
    assert texts(receiver) == [
        "Telemetry itself is unhealthy: export.sentry: no export has worked, key [redacted:pan], for 5 minutes or longer"
    ]


def test_a_forked_child_starts_empty(running: Callable[..., Running]) -> None:
    import os

    one = running()
    one.store.away = True
    one.engine.submit(failure())
    one.engine.flush(deadline_in(60_000))
    child = os.fork()
    if not child:
        ok = not one.engine._pending and not one.engine._counter.started and not one.store.alerts()
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_notifications_are_delivered_without_a_flush(
    running: Callable[..., Running], receiver: HttpReceiver
) -> None:
    receiver.usual = Reply(200, "ok")
    one = running()
    one.engine.start()
    for _ in range(3):
        one.engine.submit(failure())
    receiver.wait_for(1)
