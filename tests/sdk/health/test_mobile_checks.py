"""Health of the mobile gateway: waiting records, unavailable destinations, losses, a silent engine."""

from __future__ import annotations

from collections import Counter

import pytest

from mita_otel.mobile.gateway_metrics import GatewayMetrics
from mita_otel.mobile.reply import EngineStatus
from mita_otel.policy import default_policy
from mita_otel.sdk.health.check import Check, HealthReport, Status
from mita_otel.sdk.health.checks import mobile_checks

POLICY = default_policy()
SPOOL = POLICY.mobile.spool


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(clock: Clock) -> GatewayMetrics:
    return GatewayMetrics(clock=clock)


def checks(metrics: GatewayMetrics) -> dict[str, Check]:
    return {one.name: one for one in mobile_checks(metrics, SPOOL, POLICY.health)}


def statuses(metrics: GatewayMetrics) -> set[Status]:
    return {one.status for one in checks(metrics).values()}


def test_an_unused_gateway_passes(metrics: GatewayMetrics) -> None:
    assert set(checks(metrics)) == {"mobile:engine", "mobile:spool", "mobile:destinations", "mobile:losses"}
    assert statuses(metrics) == {Status.PASS}


def test_waiting_records_are_shown_by_priority_with_the_limits(metrics: GatewayMetrics) -> None:
    metrics.update(EngineStatus(records=3, bytes=4096, waiting=Counter({"crash": 1, "error": 2})))
    check = checks(metrics)["mobile:spool"]
    assert check.status is Status.PASS
    assert check.observed == {
        "records": 3,
        "bytes": 4096,
        "waiting": {"crash": 1, "error": 2},
        "capacity_records": SPOOL.max_records,
        "capacity_bytes": SPOOL.max_megabytes * 1_000_000,
    }


@pytest.mark.parametrize(
    ("records", "size", "status"),
    [
        (int(SPOOL.max_records * POLICY.health.queue_share), 0, Status.PASS),
        (int(SPOOL.max_records * POLICY.health.queue_share) + 1, 0, Status.WARN),
        (1, int(SPOOL.max_megabytes * 1_000_000 * POLICY.health.queue_share), Status.PASS),
        (1, SPOOL.max_megabytes * 1_000_000, Status.WARN),
    ],
)
def test_a_spool_above_the_policys_share_is_a_warning(
    metrics: GatewayMetrics, records: int, size: int, status: Status
) -> None:
    metrics.update(EngineStatus(records=records, bytes=size))
    assert checks(metrics)["mobile:spool"].status is status


def test_an_unavailable_destination_is_a_warning_then_a_failure_until_it_recovers(
    metrics: GatewayMetrics, clock: Clock
) -> None:
    trouble = EngineStatus(destinations={"sentry/app": "unavailable", "store/app": "ok"})
    metrics.update(trouble)
    clock.now += POLICY.health.stale_s - 1
    metrics.update(trouble)
    check = checks(metrics)["mobile:destinations"]
    assert check.status is Status.WARN
    assert check.said == "nothing is taken by sentry/app for up to 299 seconds; it waits in the spool"
    assert check.observed == {"sentry/app": "failing for 299 s", "store/app": "ok"}
    clock.now += 1
    assert checks(metrics)["mobile:destinations"].status is Status.FAIL
    metrics.update(EngineStatus(destinations={"sentry/app": "ok", "store/app": "ok"}))
    assert checks(metrics)["mobile:destinations"].status is Status.PASS
    metrics.update(trouble)
    assert (
        checks(metrics)["mobile:destinations"].status is Status.WARN
    )  # the time counts from the new failure


def test_a_loss_is_a_temporary_warning_and_a_lasting_count_by_reason(
    metrics: GatewayMetrics, clock: Clock
) -> None:
    metrics.update(
        EngineStatus(lost=Counter({("spool_full", "debug"): 2, ("rejected_status_413", "error"): 1}))
    )
    metrics.update(EngineStatus())
    check = checks(metrics)["mobile:losses"]
    assert check.status is Status.WARN
    assert check.said == "lost recently: rejected_status_413, spool_full"
    clock.now += POLICY.health.losses_s + 1
    metrics.update(EngineStatus())
    check = checks(metrics)["mobile:losses"]
    assert check.status is Status.PASS
    assert check.observed == {"rejected_status_413: error": 1, "spool_full: debug": 2}


def test_an_engine_that_does_not_answer_is_a_warning_then_a_failure(
    metrics: GatewayMetrics, clock: Clock
) -> None:
    metrics.update(EngineStatus(records=7))
    metrics.update(None)
    clock.now += POLICY.health.stale_s - 1
    metrics.update(None)
    check = checks(metrics)["mobile:engine"]
    assert check.status is Status.WARN
    assert "has not answered for 299 seconds" in check.said
    assert checks(metrics)["mobile:spool"].observed["records"] == 7  # the last reported value
    clock.now += 1
    assert checks(metrics)["mobile:engine"].status is Status.FAIL
    metrics.update(EngineStatus())
    assert checks(metrics)["mobile:engine"].status is Status.PASS


def test_two_gateways_of_one_service_are_both_shown(metrics: GatewayMetrics) -> None:
    other = GatewayMetrics()
    other.update(None)
    both = (
        *mobile_checks(metrics, SPOOL, POLICY.health),
        *mobile_checks(other, SPOOL, POLICY.health),
    )
    document = HealthReport(both, 0.0).document(detailed=False)
    assert document["checks"]["mobile:engine"] == [{"status": "pass"}, {"status": "warn"}]
