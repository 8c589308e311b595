"""The engine as `configure()` makes it: what the financial API and the service do becomes messages, off the request's path."""

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
from mita_otel.alerts.alert import Scope
from mita_otel.alerts.book import BookUnavailableError, Message
from mita_otel.alerts.courier import Courier
from mita_otel.alerts.engine import AlertEngine, Look
from mita_otel.alerts.evaluation import Evaluation
from mita_otel.alerts.memory_book import MemoryBook
from mita_otel.alerts.sums import SpanSums
from mita_otel.alerts.ways import Ways
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


def test_three_captured_payment_errors_become_one_message_without_the_card(
    configure: Configure, receiver: HttpReceiver
) -> None:
    telemetry = configure()
    for _ in range(3):
        mita_otel.capture_payment_error(ValueError(f"declined: {PAN}"), severity="high")
    assert telemetry.flush()
    assert texts(receiver) == ["Payment processing failures: 3 events within 5 minutes"]
    body = receiver.posted[0].body.decode()
    assert "ValueError: declined: [redacted:pan]" in body and PAN not in body


def test_two_are_silence(configure: Configure, receiver: HttpReceiver) -> None:
    telemetry = configure()
    for _ in range(2):
        mita_otel.capture_payment_error(ValueError("declined"), severity="high")
    assert telemetry.flush()
    assert receiver.posted == []


def test_security_events_and_violations_are_told_with_their_names(
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


def test_broken_limits_are_counted_one_by_one_if_a_rule_wants_it(
    configure: Configure, receiver: HttpReceiver
) -> None:
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
    assert telemetry.flush()  # the report of a breach takes a thread of its own
    assert texts(receiver) == ["Slow items: 2 events within 1 minute"]
    assert "GET /api/items: 1000 ms, limit 500 ms" in receiver.posted[0].body.decode()


def test_without_a_channel_nothing_runs(configure: Configure) -> None:
    configure(SLACK_FINANCE_WEBHOOK="")
    assert not [one for one in threading.enumerate() if one.name in {"mita-otel-alerts", "mita-otel-courier"}]


def test_a_receiver_that_hangs_holds_up_neither_the_service_nor_its_end(
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


def test_a_wrong_mail_server_is_one_line_and_the_other_channels_work(
    configure: Configure, receiver: HttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    policy = default_policy()
    tree = policy.to_dict()
    tree["alerts"]["email"]["sender"] = "a@mita.finance"
    telemetry = configure(convert(Policy, tree), MITA_OTEL_SMTP_URL="mail.example")
    mita_otel.capture_financial_error(ValueError("x"), severity="critical")
    assert telemetry.flush()
    assert caplog.text.count("MITA_OTEL_SMTP_URL is not the URL of a mail server") >= 1
    assert len(receiver.posted) == 1


def test_it_is_said_who_is_told_and_of_what_nobody_is(
    configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    configure(SLACK_FINANCE_WEBHOOK="", PAGERDUTY_FINANCE_KEY="0" * 32)
    assert (
        "channels finance_pagerduty; nobody is told of payment_processing_failures, high_error_rate"
        in caplog.text
    )


# --- the engine by itself ----------------------------------------------------------------------------
class Away(MemoryBook):
    """A book that does not answer for a while."""

    away = False
    another_leads = False

    def leads(self) -> bool:
        if self.away:
            raise BookUnavailableError("the database is away")
        return not self.another_leads

    def add(self, points: Any) -> None:
        if self.away:
            raise BookUnavailableError("the database is away")
        super().add(points)


class Running:
    def __init__(self, policy: Policy, receiver: HttpReceiver) -> None:
        self.book = Away(max_points=policy.alerts.max_events, max_messages=100)
        self.losses = Losses(cool_down_s=60)
        redactor = Redactor(policy.redaction)
        self.ways = Ways(policy.alerts, {"SLACK_FINANCE_WEBHOOK": receiver.url})
        objective = policy.thresholds.objective
        self.engine = AlertEngine(
            policy.alerts,
            self.book,
            Evaluation(
                policy.alerts, objective, Scope("bank", "test"), redactor, self.ways.ready, shared=False
            ),
            Courier(
                policy.alerts.delivery,
                self.book,
                self.ways,
                redactor,
                self.losses,
                kind_of=lambda name: "slack",
            ),
            SpanSums(policy.alerts.rules, objective, max_subjects=10),
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
        one.ways.close()


def failure(at_ns: int | None = None) -> Any:
    from mita_otel.alerts.signal import Signal

    return Signal(
        stream="errors",
        at_ns=at_ns or time.time_ns(),
        name="E",
        category="payment_processing",
        severity="high",
    )


def test_what_is_counted_while_the_book_is_away_is_told_when_it_is_back(
    running: Callable[..., Running], receiver: HttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    one = running()
    one.book.away = True
    for _ in range(3):
        one.engine.take(failure())
    assert one.engine.flush(deadline_in(60_000))
    assert receiver.posted == [] and one.engine.unavailable == "the database is away"
    assert caplog.text.count("alerts: the database is away") == 1
    one.book.away = False
    assert one.engine.flush(deadline_in(60_000))
    assert len(receiver.posted) == 1 and one.engine.unavailable == ""


def test_what_is_remembered_of_an_event_is_redacted_text_by_text(running: Callable[..., Running]) -> None:
    rule = {"group_by": ("operation",), "categories": (), "severities": (), "count": 1}
    one = running(policy_with({"payment_processing_failures": rule}))
    texts = {name: f"{name} {PAN}" for name in ("name", "category", "operation", "message")}
    one.engine.take(replace(failure(), **texts))
    assert one.engine.flush(deadline_in(60_000))
    [alert] = one.book.alerts()
    [point] = one.book.points("payment_processing_failures", 0)
    assert alert.subject == point.subject == "operation [redacted:pan]"
    for sample in (alert.sample, point.sample):
        assert sample is not None
        assert {name: getattr(sample, name) for name in texts} == {
            name: f"{name} [redacted:pan]" for name in texts
        }


def test_while_another_process_leads_this_one_counts_and_neither_looks_nor_delivers(
    running: Callable[..., Running], receiver: HttpReceiver
) -> None:
    one = running()
    one.book.another_leads = True
    waiting = Message("m1", "finance_slack", notification(), time.time_ns())
    one.book.send([waiting])
    for _ in range(3):
        one.engine.take(failure())
    assert one.engine.flush(deadline_in(60_000))
    assert receiver.posted == [] and one.book.alerts() == []
    one.book.another_leads = False
    assert one.engine.flush(deadline_in(60_000))
    assert len(receiver.wait_for(2)) == 2  # what the other one left, and what was counted


def test_what_there_is_no_room_for_is_counted(running: Callable[..., Running]) -> None:
    one = running(policy_with({"payment_processing_failures": {}}, max_events=5))
    one.book.away = True
    for _ in range(20):
        one.engine.take(failure())
        one.engine.flush(deadline_in(60_000))
    assert one.losses.counts()["alerts", "points_dropped"] == 15


def test_a_flood_of_signals_is_bounded(running: Callable[..., Running]) -> None:
    one = running(policy_with({"payment_processing_failures": {}}, max_events=100))
    holding = threading.Event()
    original = one.book.turn

    def slow() -> Any:
        holding.wait(60)
        return original()

    one.book.turn = slow  # type: ignore[method-assign]
    for _ in range(2000):
        one.engine.take(failure())
    holding.set()
    assert one.losses.counts()["alerts", "queue_full"] > 0
    assert one.engine.flush(deadline_in(60_000))


def test_unhealthy_telemetry_is_counted_and_a_look_that_fails_harms_nobody(
    running: Callable[..., Running], receiver: HttpReceiver
) -> None:
    clock = [1_000_000 * 10**9]
    one = running()
    one.engine._clock_ns = lambda: clock[0]
    answers: list[Any] = [ZeroDivisionError()]

    def looks() -> list[Look]:
        if answers:
            raise answers.pop()
        return [Look("export.sentry", True, f"no export has worked, key {PAN}"), Look("redaction", False)]

    one.engine.watch_health(looks)
    for _ in range(33):
        one.engine.tick()
        clock[0] += 10 * 10**9
    assert one.engine._deliverer is not None and one.engine._deliverer.flush(60)
    assert texts(receiver) == [
        "Telemetry itself is unhealthy: export.sentry: no export has worked, key [redacted:pan], for 5 minutes and longer"
    ]


def test_the_children_of_a_fork_start_anew(running: Callable[..., Running]) -> None:
    import os

    one = running()
    one.book.away = True
    one.engine.take(failure())
    one.engine.flush(deadline_in(60_000))
    child = os.fork()
    if not child:
        ok = not one.engine._pending and not one.engine._counter.started and not one.book.alerts()
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_event_reaches_the_receiver_within_moments_without_a_flush(
    running: Callable[..., Running], receiver: HttpReceiver
) -> None:
    receiver.usual = Reply(200, "ok")
    one = running()
    one.engine.start()
    for _ in range(3):
        one.engine.take(failure())
    receiver.wait_for(1)
