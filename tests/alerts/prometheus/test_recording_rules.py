"""Each rule at its threshold, evaluated by Prometheus: `promtool test rules` with generated series."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alerts.kit import policy_with
from alerts.prometheus.promtool import World
from mita_otel.policy import Policy, default_policy

ERRORS = "mita_errors_total"
BANK = [{"job": "bank"}]
SILENT: list[dict[str, str]] = []
T = 900.0
"""Seconds after which a target has enough samples."""

Error = dict[str, Any]  # of texts; `Any`, because they are passed beside arguments of other types
PAYMENT: Error = {
    "category": "payment_processing",
    "severity": "high",
    "source": "service",
    "handled": "true",
}
CRITICAL: Error = {**PAYMENT, "severity": "critical"}

MakeWorld = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path) -> MakeWorld:
    """Return series in which one instance of the bank is scraped from the start."""

    def make(policy: Policy | None = None, **options: Any) -> World:
        made = World(policy or default_policy("production"), tmp_path, **options)
        made.target()
        return made

    return make


def test_three_failures_within_five_minutes_fire(world: MakeWorld) -> None:
    two, three = world(), world()
    two.rises(ERRORS, [T, T + 100], **PAYMENT)
    two.expects("payment_processing_failures", {T + 90: SILENT, T + 120: SILENT, T + 600: SILENT})
    three.rises(ERRORS, [T, T + 100, T + 200], **PAYMENT)
    three.expects("payment_processing_failures", {T + 180: SILENT, T + 210: BANK, T + 240: BANK})


def test_a_failure_before_the_window_does_not_count(world: MakeWorld) -> None:
    bank = world()
    bank.rises(ERRORS, [T, T + 100, T + 330], **PAYMENT)
    bank.expects("payment_processing_failures", {T + 330: SILENT, T + 345: SILENT, T + 400: SILENT})


def test_failures_are_added_up_by_service(world: MakeWorld) -> None:
    bank = world()
    for instance in ("b", "c"):
        bank.target(instance=instance)
    bank.target(job="shop")
    bank.rises(ERRORS, [T], **PAYMENT)
    bank.rises(ERRORS, [T, T + 15], instance="c", begin=0, start=70, **PAYMENT)
    bank.rises(ERRORS, [T, T + 15], job="shop", **PAYMENT)
    bank.expects("payment_processing_failures", {T: SILENT, T + 15: BANK})


@pytest.mark.parametrize("scrape_s", [15, 60])
def test_the_first_value_of_a_counter_counts(world: MakeWorld, scrape_s: int) -> None:
    bank = world(scrape_s=scrape_s)
    bank.rises(ERRORS, [T], **CRITICAL)
    bank.expects("critical_financial_errors", {T - 15: SILENT, T: BANK, T + 60: BANK})


@pytest.mark.parametrize("scrape_s", [15, 60])
def test_an_increase_of_an_old_counter_counts(world: MakeWorld, scrape_s: int) -> None:
    bank = world(scrape_s=scrape_s)
    bank.rises(ERRORS, [T], begin=0, start=41, **CRITICAL)
    bank.expects("critical_financial_errors", {T - 15: SILENT, T: BANK})


def test_the_first_error_of_a_new_process_counts_at_once(world: MakeWorld) -> None:
    bank = world()
    bank.target(instance="new", since=T)
    bank.saw("process_start_time_seconds", {T: T - 10}, instance="new")
    bank.rises(ERRORS, [T], instance="new", **CRITICAL)
    bank.expects("critical_financial_errors", {T - 15: SILENT, T: BANK})


def test_old_errors_do_not_count_when_prometheus_starts(tmp_path: Path) -> None:
    old = World(default_policy("production"), tmp_path)
    old.target(since=T)
    old.saw("process_start_time_seconds", {T: T - 86_400})
    old.rises(ERRORS, [T + 105], begin=T, start=1000, **CRITICAL)
    old.expects("critical_financial_errors", {T: SILENT, T + 30: SILENT, T + 60: SILENT, T + 105: BANK})


def test_old_errors_do_not_count_after_a_scrape_gap(tmp_path: Path) -> None:
    bank = World(default_policy("production"), tmp_path)
    bank.saw("up", {0: 1, 300: 0, T: 1})
    bank.saw("process_start_time_seconds", {0: -86_400, 300: "stale", T: -86_400})
    bank.saw(ERRORS, {0: 1000, 300: "stale", T: 1000}, **CRITICAL)
    bank.expects(
        "critical_financial_errors", dict.fromkeys((299, 315, T, T + 15, T + 60, T + 75, T + 300), SILENT)
    )


@pytest.mark.parametrize(("before", "start_is_known"), [(1, True), (3, True), (3, False), (50, False)])
def test_errors_count_across_a_restart(world: MakeWorld, before: int, start_is_known: bool) -> None:
    bank = world()
    if start_is_known:
        bank.saw("process_start_time_seconds", {0: -86_400, T: T - 5})
    bank.saw(ERRORS, {0: before, T: 1, T + 30: 2, T + 60: 3}, **PAYMENT)
    bank.expects("payment_processing_failures", {T + 45: SILENT, T + 60: BANK})


def test_errors_before_and_after_a_restart_are_added_up(world: MakeWorld) -> None:
    bank = world()
    bank.saw(ERRORS, {0: 50, T: 51, T + 15: 52, T + 60: 1}, **PAYMENT)
    bank.expects("payment_processing_failures", {T + 45: SILENT, T + 60: BANK})


def test_two_errors_after_a_restart_count_as_two(world: MakeWorld) -> None:
    bank = world(scrape_s=60)
    bank.saw(ERRORS, {0: 50, T: 1, T + 60: 2}, **PAYMENT)
    bank.expects("payment_processing_failures", {T + at: SILENT for at in range(15, 600, 15)})


def test_an_unscraped_restart_does_not_affect_other_processes(world: MakeWorld) -> None:
    bank = world()
    bank.target(instance="b")
    bank.saw(ERRORS, {0: 50, T: "stale", T + 90: 0}, instance="b", **CRITICAL)
    bank.rises(ERRORS, [T + 135], begin=0, **CRITICAL)
    bank.expects("critical_financial_errors", {T + 135: BANK})


def test_a_restart_does_not_fire(world: MakeWorld) -> None:
    bank = world()
    bank.saw(ERRORS, {0: 50, T: "stale", T + 60: None}, **CRITICAL)
    bank.saw(ERRORS, {0: 7, T: 0}, instance="b", **CRITICAL)
    bank.target(instance="b")
    bank.expects("critical_financial_errors", {T + s: SILENT for s in (0, 15, 30, 60, 75, 300)})


def test_the_last_error_of_an_ended_process_counts(world: MakeWorld) -> None:
    bank = world(policy_with({"critical_financial_errors": {"count": 2}}))
    bank.saw(ERRORS, {0: 0, T: 1, T + 15: "stale"}, **CRITICAL)
    bank.rises(ERRORS, [T + 45], instance="b", begin=0, **CRITICAL)
    bank.expects("critical_financial_errors", {T + 30: SILENT, T + 45: BANK})


def test_an_alert_keeps_firing_and_is_escalated(world: MakeWorld) -> None:
    bank = world()
    bank.rises(ERRORS, [T, T + 15, T + 30], **PAYMENT)
    rule = "payment_processing_failures"
    bank.expects(rule, {T + 30: BANK, T + 3600: BANK, T + 30 + 300 + 3600 + 30: SILENT})
    bank.expects(rule, {T + 900: SILENT, T + 945: BANK, T + 3600: BANK, T + 4200: SILENT}, step=1)
    bank.expects(rule, {T + 1800: SILENT, T + 1845: BANK}, step=2)


@pytest.mark.parametrize(
    ("severity", "rule", "fires"),
    [
        ("security_critical", "critical_financial_errors", True),
        ("high", "critical_financial_errors", False),
        ("high", "authentication_security_events", False),
    ],
)
def test_a_rule_counts_only_matching_errors(world: MakeWorld, severity: str, rule: str, fires: bool) -> None:
    bank = world()
    bank.rises(ERRORS, [T], **{**PAYMENT, "severity": severity})
    bank.expects(rule, {T + 15: BANK if fires else SILENT})


@pytest.mark.parametrize(
    ("event", "severity", "fires"),
    [
        ("failed_login", "high", False),
        ("brute_force_suspected", "security_critical", True),
        ("unusual_location", "high", True),
        ("unusual_location", "medium", False),
    ],
)
def test_a_failed_login_does_not_fire(world: MakeWorld, event: str, severity: str, fires: bool) -> None:
    bank = world()
    bank.rises(
        "mita_security_events_total", [T], event_type=event, severity=severity, category="authentication"
    )
    bank.expects("authentication_security_events", {T: BANK if fires else SILENT})


def test_an_authorization_error_fires_the_security_rule(world: MakeWorld) -> None:
    bank = world()
    bank.rises(ERRORS, [T], **{**PAYMENT, "category": "authorization"})
    bank.expects("authentication_security_events", {T: BANK})


def test_violations_fire_by_regulation(world: MakeWorld) -> None:
    bank = world()
    facts: Error = {"category": "compliance_issue", "severity": "critical"}
    bank.rises("mita_compliance_violations_total", [T], regulation="GDPR", **facts)
    bank.expects("pci_violation", {T: SILENT})
    bank.expects("compliance_violation", {T: [{"job": "bank", "regulation": "GDPR"}]})
    bank.rises("mita_compliance_violations_total", [T + 15], regulation="PCI_DSS", **facts)
    bank.expects("pci_violation", {T: SILENT, T + 15: BANK})
    bank.expects("compliance_violation", {T + 15: [{"job": "bank", "regulation": "GDPR"}]})


CRASH: Error = {"category": "(other)", "severity": "", "source": "mobile", "handled": "false"}


@pytest.mark.parametrize(
    ("crashes", "changes", "fires"),
    [(4, {}, False), (5, {}, True), (9, {"handled": "true"}, False), (9, {"source": "service"}, False)],
)
def test_five_crashes_of_the_app_fire(world: MakeWorld, crashes: int, changes: Error, fires: bool) -> None:
    bank = world()
    bank.rises(ERRORS, [T + number for number in range(crashes)], **{**CRASH, **changes})
    bank.expects("mobile_crashes", {T + 30: BANK if fires else SILENT})


REQUESTS = "http_server_request_duration_seconds_count"


@pytest.mark.parametrize(
    ("requests", "failed", "fires"),
    [(100, 5, False), (100, 6, True), (19, 19, False), (20, 2, True), (20, 1, False)],
)
def test_an_error_rate_above_the_limit_with_enough_requests_fires(
    world: MakeWorld, requests: int, failed: int, fires: bool
) -> None:
    bank = world()
    bank.saw(REQUESTS, {0: 5000, T: 5000 + requests - failed}, http_route="/a", http_request_method="GET")
    bank.saw(REQUESTS, {T: failed}, http_route="/a", http_request_method="GET", error_type="500")
    bank.expects("high_error_rate", {T - 15: SILENT, T: BANK if fires else SILENT})


@pytest.mark.parametrize(("count", "fires"), [(9, False), (10, True)])
def test_ten_failed_statements_and_checkouts_fire_and_cache_failures_do_not(
    world: MakeWorld, count: int, fires: bool
) -> None:
    bank = world()
    statements = "db_client_operation_duration_seconds_count"
    bank.saw(statements, {T: count - 3}, db_system_name="postgresql", error_type="OperationalError")
    bank.saw(statements, {T: 500}, db_system_name="postgresql")
    bank.saw(statements, {T: 500}, db_system_name="redis", error_type="TimeoutError")
    bank.saw("db_client_connection_wait_time_seconds_count", {T: 3}, error_type="TimeoutError")
    bank.expects("database_trouble", {T: BANK if fires else SILENT})


def test_financial_operations_are_counted_apart_from_other_kinds(world: MakeWorld) -> None:
    rule = {"on": ("failures",), "kinds": ("financial",), "above": None, "count": 2, "min_count": 1}
    bank = world(policy_with({"high_error_rate": rule}))
    spans = "mita_operation_duration_seconds_count"
    bank.rises(spans, [T, T + 30], mita_operation_kind="financial", error_type="ValueError")
    bank.rises(spans, [T], mita_operation_kind="background", error_type="ValueError")
    bank.expects("high_error_rate", {T: SILENT, T + 30: BANK})


def test_exceeded_limits_are_counted_by_kind_and_rule(world: MakeWorld) -> None:
    rule = {
        "on": ("breaches",),
        "kinds": ("api",),
        "names": ("api.financial.*",),
        "windows": (),
        "group_by": ("name",),
        "count": 2,
    }
    bank = world(policy_with({"broken_limits": rule}))
    breaches = "mita_latency_breaches_total"
    bank.rises(breaches, [T, T + 15], kind="api", rule="api.financial.GET")
    bank.rises(breaches, [T], kind="api", rule="api.financial.PUT")
    bank.rises(breaches, [T, T], kind="api", rule="api.methods.GET")
    bank.rises(breaches, [T, T], kind="database", rule="database.SELECT")
    bank.expects("broken_limits", {T: SILENT, T + 15: [{"job": "bank", "limit": "api.financial.GET"}]})


@pytest.mark.parametrize(
    ("total", "broken", "fires"), [(1000, 143, False), (1000, 150, True), (19, 19, False), (30, 10, True)]
)
def test_an_error_budget_that_burns_too_fast_in_both_windows_fires(
    world: MakeWorld, total: int, broken: int, fires: bool
) -> None:
    policy = policy_with({"broken_limits": {"windows": ("fast",)}})
    bank = world(policy, scrape_s=60)
    checked = "mita_latency_checked_total"
    bank.saw(checked, {0: 0, T: total - broken}, rule="api.financial.GET", broken="false")
    bank.saw(checked, {0: 0, T: broken}, rule="api.financial.GET", broken="true")
    fired = [{"job": "bank", "limit": "api.financial.GET"}]
    bank.expects("broken_limits", {T + 60: fired if fires else SILENT})


def test_an_error_budget_that_has_stopped_burning_does_not_fire(world: MakeWorld) -> None:
    policy = policy_with({"broken_limits": {"windows": ("fast",), "quiet_s": 0}})
    bank = world(policy, scrape_s=60)
    bank.saw("mita_latency_checked_total", {0: 0, T: 20, T + 600: 60}, rule="r", broken="false")
    bank.saw("mita_latency_checked_total", {0: 0, T: 20}, rule="r", broken="true")
    fired = [{"job": "bank", "limit": "r"}]
    bank.expects("broken_limits", {T + 60: fired, T + 660: SILENT})


def test_a_limit_uses_the_policys_target(world: MakeWorld) -> None:
    policy = policy_with({"broken_limits": {"windows": ("fast",)}})
    objective = policy.thresholds.objective.replace(targets={"strict": 0.999})
    thresholds = policy.thresholds.replace(objective=objective)
    bank = world(policy.replace(thresholds=thresholds), scrape_s=60)
    for rule in ("strict", "usual"):
        bank.saw("mita_latency_checked_total", {0: 0, T: 950}, rule=rule, broken="false")
        bank.saw("mita_latency_checked_total", {0: 0, T: 50}, rule=rule, broken="true")
    bank.expects("broken_limits", {T + 60: [{"job": "bank", "limit": "strict"}]})


def busy(bank: World, until: float, each: int = 200) -> dict[float, float]:
    """Return a counter with a number of requests in each five minutes."""
    return {at: at / 300 * each for at in range(0, int(until), 15)}


H = 3600.0


@pytest.mark.parametrize(
    ("after", "fires"),
    [({}, True), ({H + 60: 2450}, False), ({H + 60: 2415}, True), ({H + 60: 2400 + 2100}, True)],
)
def test_far_more_or_far_fewer_requests_than_usual_fire(
    world: MakeWorld, after: dict[float, float], fires: bool
) -> None:
    bank = world()
    bank.saw(REQUESTS, {**busy(bank, H), H: 2400, **after})
    bank.expects("unusual_volume", {H: SILENT, H + 330: BANK if fires else SILENT})


def test_a_service_without_series_is_unusual(world: MakeWorld) -> None:
    bank = world()
    bank.saw(REQUESTS, {**busy(bank, H), H: "stale"})
    bank.expects("unusual_volume", {H: SILENT, H + 300: BANK, H + 900: BANK})


def test_volume_does_not_fire_in_the_first_half_hour(world: MakeWorld) -> None:
    bank = world()
    bank.saw(REQUESTS, {**busy(bank, T), T: 600})
    bank.expects("unusual_volume", {T + 330: SILENT})


def test_a_lost_span_fires(world: MakeWorld) -> None:
    bank = world()
    bank.rises("mita_pipeline_dropped_total", [T], stage="exporter.sentry", reason="queue_full")
    lost = [{"job": "bank", "stage": "exporter.sentry", "reason": "queue_full"}]
    bank.expects("telemetry_unhealthy", {T - 15: SILENT, T: lost})
