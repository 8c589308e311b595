"""Telemetry of apps is counted, summarised and reported like that of the service."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from mita_otel.alerts.events import AlertEvent
from mita_otel.finance.counts import FinanceCounts
from mita_otel.mobile.engine import Engine
from mita_otel.mobile.gateway_metrics import GatewayMetrics
from mita_otel.mobile.reply import EngineStatus, Reply
from mita_otel.policy import default_policy
from mita_otel.processors.breach_signal import BreachReport
from mita_otel.processors.pipeline import Measurements
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.stage import deadline_in
from mita_otel.redaction import Redactor
from mita_otel.sdk.performance import Performance
from mobile.kit import UNREACHABLE, intake, policy_with, recorded


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def metrics(reader: InMemoryMetricReader) -> GatewayMetrics:
    return GatewayMetrics(meter=MeterProvider([reader], shutdown_on_exit=False).get_meter("test"))


def points(reader: InMemoryMetricReader) -> dict[str, dict[str, Any]]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: {
            ",".join(
                f"{key}={value!s}" for key, value in sorted((point.attributes or {}).items())
            ): point.value  # type: ignore[union-attr]
            for point in metric.data.data_points
        }
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_requests_items_and_redacted_values_are_counted(
    metrics: GatewayMetrics, reader: InMemoryMetricReader
) -> None:
    metrics.count_reply(
        Reply(
            200,
            outcomes=Counter({("event", "forwarded"): 1, ("attachment", "refused"): 2}),
            redacted=Counter(pan=3),
        )
    )
    metrics.count_reply(Reply(403, reason="unknown_key"))
    shown = points(reader)
    assert shown["mita.mobile.requests"] == {
        "http.response.status_code=200": 1,
        "http.response.status_code=403,reason=unknown_key": 1,
    }
    assert shown["mita.mobile.items"] == {
        "outcome=forwarded,type=event": 1,
        "outcome=refused,type=attachment": 2,
    }
    assert shown["mita.mobile.redacted"] == {"rule=pan": 3}


def test_waiting_and_lost_records_are_counted_and_losses_logged_per_cool_down(
    metrics: GatewayMetrics, reader: InMemoryMetricReader, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        metrics.update(
            EngineStatus(lost=Counter({("spool_full", "debug"): 2}), delivered=5, records=7, bytes=900)
        )
    shown = points(reader)
    assert shown["mita.mobile.lost"] == {"priority=debug,reason=spool_full": 6}
    assert shown["mita.mobile.delivered"] == {"": 15}
    assert shown["mita.mobile.spool.records"] == {"": 7}
    assert shown["mita.mobile.spool.bytes"] == {"": 900}
    assert metrics.lost == {"spool_full: debug": 6}
    lines = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == 1
    assert "spool_full" in lines[0].getMessage()


def test_screens_are_summarised_and_their_breaches_reach_listeners(tmp_path: Path) -> None:
    policy = default_policy()
    measurements = Measurements(
        policy, str, Losses(cool_down_s=60), tail=False, metrics_active=lambda: False, env={}
    )
    performance = Performance(policy.summary, measurements, 1.0)
    heard: list[BreachReport] = []

    class Listener:
        def on_breach(self, report: BreachReport, /) -> None:
            heard.append(report)

    performance.on_breach(Listener())
    metrics = GatewayMetrics(measurements.breaches, measurements.observers)
    engine = Engine(
        policy_with(tmp_path / "spool", upstream="http://fedcbafedcbafedc@127.0.0.1:9/1"), Redactor(), {}
    )
    for name in ("screen_render", "ui_load", "payment_request", "financial_operation"):
        metrics.count_reply(engine.take(intake(recorded(name))))
    engine.stop(0)
    assert measurements.signal.flush(deadline_in(60_000))
    measurements.signal.close()
    summary = performance.summary()
    assert set(summary["categories"]) == {"mobile_screen", "mobile_request", "mobile_operation"}
    screens = summary["categories"]["mobile_screen"]["operations"]
    assert screens["TransactionScreen"]["breaches"] == 1
    assert screens["TransactionScreen"]["limit_ms"] == 1000
    assert screens["/payments"]["breaches"] == 0
    assert {(one.kind, one.rule, one.operation) for one in heard} == {
        ("mobile_screen", "mobile.screen", "TransactionScreen"),
        ("mobile_request", "mobile.request", "submitPayment"),
        ("mobile_operation", "mobile.operation", "budgetCalculation"),
    }
    assert all(len(one.trace_id) == 32 and len(one.span_id) == 16 for one in heard)


def test_a_failing_observer_does_not_affect_the_reply(
    metrics: GatewayMetrics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def observe(self, observation: Any, /) -> None:
            raise RuntimeError

    engine = Engine(
        policy_with(tmp_path / "spool", upstream="http://fedcbafedcbafedc@127.0.0.1:9/1"), Redactor(), {}
    )
    reply = engine.take(intake(recorded("screen_render")))
    engine.stop(0)
    loud = GatewayMetrics(observers=[Broken()])
    for _ in range(3):
        loud.count_reply(reply)
    assert caplog.text.count("could not be counted") == 1


def test_errors_of_apps_are_counted_and_passed_to_alerts(tmp_path: Path) -> None:
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("test")
    heard: list[AlertEvent] = []
    metrics = GatewayMetrics(counts=FinanceCounts(default_policy().finance, meter), on_error=heard.append)
    engine = Engine(policy_with(tmp_path / "spool", upstream=UNREACHABLE), Redactor(), {})
    for name in ("payment_error", "flutter_crash", "slow_message", "feedback", "screen_render"):
        metrics.count_reply(engine.take(intake(recorded(name))))
    engine.stop(0)
    assert points(reader)["mita.errors"] == {
        "category=(other),handled=false,severity=,source=mobile": 1,
        "category=payment_processing,handled=true,severity=critical,source=mobile": 1,
    }
    payment, crash = heard
    assert (payment.stream, payment.mobile, payment.handled) == ("errors", True, True)
    assert (payment.category, payment.severity) == ("payment_processing", "critical")
    assert (crash.mobile, crash.handled) == (True, False)
    assert len(crash.event_id) == 32
    assert crash.name


def test_an_error_that_is_refused_is_not_counted(tmp_path: Path) -> None:
    heard: list[AlertEvent] = []
    metrics = GatewayMetrics(on_error=heard.append)
    policy = policy_with(tmp_path / "spool", upstream=UNREACHABLE, spool={"max_records": 1})
    engine = Engine(policy, Redactor(), {})
    replies = [engine.take(intake(recorded("flutter_crash"))) for _ in range(3)]
    engine.stop(0)
    for reply in replies:
        metrics.count_reply(reply)
    assert len(heard) == sum(reply.status == 200 for reply in replies) < 3
