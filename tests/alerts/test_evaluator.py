"""Each rule at its threshold, on a fake clock: below it there is no alert, at it there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from alerts.conftest import OpenStore
from alerts.kit import START, Bank, error, policy_with
from mita_otel.policy import default_policy

MakeBank = Callable[..., Bank]


# --- the guide's four --------------------------------------------------------------------------------
def test_a_critical_error_is_notified_at_once_by_email_slack_and_pagerduty(
    open_store: OpenStore,
) -> None:
    bank = Bank(open_store())
    bank.happens(error(severity="high", category="budget_calculation"))
    assert bank.sent == []
    bank.happens(error(1, severity="critical", category="budget_calculation"))
    assert bank.sent_to() == ["finance_email", "finance_slack", "finance_pagerduty"]
    assert {body.rule for _, body in bank.sent} == {"critical_financial_errors"}
    bank.happens(error(2, severity="critical", category="budget_calculation"))
    bank.evaluate(30)
    assert len(bank.sent) == 3


def test_three_payment_failures_within_five_minutes_open_one_alert(
    open_store: OpenStore,
) -> None:
    bank = Bank(open_store())
    bank.happens(error(0))
    bank.happens(error(299))
    assert bank.sent == []
    bank.happens(error(300))  # the first one is exactly five minutes ago: it counts
    assert bank.sent_to() == ["payments_email", "payments_slack"]
    assert bank.sent[0][1].reason == "3 events within 5 minutes"
    bank.happens(error(301), error(302))
    bank.evaluate(400)
    assert len(bank.sent) == 2


def test_a_third_failure_after_five_minutes_opens_no_alert(open_store: OpenStore) -> None:
    bank = Bank(open_store())
    bank.happens(error(0), error(150), error(300.001))
    assert bank.sent == []
    bank.happens(error(450))
    assert bank.sent_to() == ["payments_email", "payments_slack"]


def test_a_late_evaluation_finds_the_same_alert(open_store: OpenStore) -> None:
    bank = Bank(open_store())
    bank.now_s = 3600
    bank.happens(error(0), error(150), error(299))
    assert bank.sent_to() == ["payments_email", "payments_slack"]


def test_other_categories_do_not_count_as_payment_failures(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    bank.happens(*(error(n, category="budget_calculation") for n in range(10)))
    assert bank.sent == []


@pytest.mark.parametrize("stream", ["security", "errors"])
def test_an_authentication_violation_is_notified_by_email_and_pagerduty(
    memory_bank: MakeBank, stream: str
) -> None:
    bank = memory_bank()
    bank.happens(error(stream=stream, name="token_forged", category="security_violation", severity="high"))
    assert bank.sent_to() == ["security_email", "security_pagerduty"]


def test_a_failed_login_opens_no_alert_and_an_attack_does(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    bank.happens(
        *(error(n, stream="security", name="failed_login", category="authentication") for n in range(4))
    )
    assert bank.sent == []
    attack = {
        "name": "brute_force_suspected",
        "category": "security_violation",
        "severity": "security_critical",
    }
    bank.happens(error(5, stream="security", **attack))
    assert bank.sent_to() == ["security_email", "security_pagerduty"]


@pytest.mark.parametrize(("failed", "alerts"), [(5, False), (6, True)])
def test_more_than_five_percent_of_failures_open_an_alert(
    open_store: OpenStore, failed: int, alerts: bool
) -> None:
    bank = Bank(open_store())
    bank.spans("high_error_rate", failed - 1, 60, at_s=0)
    bank.spans("high_error_rate", 1, 40, at_s=200)
    assert bool(bank.evaluate(300)) is alerts
    if alerts:
        assert bank.sent_to() == ["devops_email", "devops_slack"]
        assert bank.sent[0][1].reason == "6 of 100 failed (6 %) within 5 minutes, limit 5 %"


def test_an_error_rate_needs_a_minimum_of_requests(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    bank.spans("high_error_rate", 19, 19)
    assert bank.evaluate(10) == []
    bank.spans("high_error_rate", 0, 1)
    assert bank.evaluate(11) != []


def test_failures_before_the_window_do_not_count(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    bank.spans("high_error_rate", 50, 50, at_s=0)
    bank.spans("high_error_rate", 0, 50, at_s=200)
    assert bank.evaluate(301) == []


# --- rules of mita-otel --------------------------------------------------------------------------------------------
def test_only_a_pci_violation_notifies_the_pci_channels(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    bank.happens(error(stream="compliance", name="GDPR", category="compliance_issue", severity="critical"))
    assert bank.sent_to() == ["compliance_email", "compliance_slack"]
    bank.sent.clear()
    bank.happens(
        error(1, stream="compliance", name="PCI_DSS", category="compliance_issue", severity="critical")
    )
    assert bank.sent_to() == ["compliance_email", "compliance_slack", "compliance_pagerduty"]


@pytest.mark.parametrize(("failed", "alerts"), [(9, False), (10, True)])
def test_ten_failed_statements_open_a_database_alert(
    memory_bank: MakeBank, failed: int, alerts: bool
) -> None:
    bank = memory_bank()
    bank.spans("database_trouble", failed, 10_000)
    assert bool(bank.evaluate(1)) is alerts


def test_crashes_of_the_app_are_counted_apart_from_service_errors(memory_bank: MakeBank) -> None:
    bank = memory_bank(policy_with({"mobile_crashes": {}}))
    bank.happens(*(error(n, handled=False) for n in range(9)))
    bank.happens(*(error(n, mobile=True, handled=True) for n in range(9)))
    bank.happens(*(error(n, mobile=True, handled=False) for n in range(4)))
    assert bank.sent == []
    bank.happens(error(9, mobile=True, handled=False))
    assert bank.sent_to() == ["devops_email", "devops_slack"]


def fill(bank: Bank, windows: int, each: int, *, until_s: float = 0) -> None:
    for window in range(windows):
        for slot in range(30):
            at_s = until_s - (window * 300 + slot * 10 + 10)
            bank.spans("unusual_volume", 0, each // 30, at_s=at_s)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (300, ""),
        (30, ""),
        (0, "far fewer than usual: 0 within 5 minutes, usual 300"),
        (3000, ""),
        (3030, "far more than usual: 3030 within 5 minutes, usual 300"),
    ],
)
def test_far_more_or_far_fewer_requests_than_usual_open_an_alert(
    open_store: OpenStore, now: int, said: str
) -> None:
    bank = Bank(open_store())
    fill(bank, 12, 300)
    for slot in range(30):
        bank.spans("unusual_volume", 0, now // 30, at_s=slot * 10)
    bank.evaluate(310)
    assert [body.reason for _, body in bank.sent] == [said] * bool(said)


def test_unusual_volume_needs_a_minimum_of_windows(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    fill(bank, 3, 300)
    assert bank.evaluate(310) == []


def test_an_idle_service_has_no_unusual_volume(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    fill(bank, 12, 60)
    assert bank.evaluate(310) == []


@pytest.mark.parametrize(("share", "window"), [(0.14, ""), (0.15, "1 hour")])
def test_a_fast_burning_error_budget_opens_an_alert_by_limit(
    open_store: OpenStore, share: float, window: str
) -> None:
    """1 % may break the limit; 14.4 times that in both windows is too fast."""
    bank = Bank(open_store())
    for minute in range(60):
        bank.spans("broken_limits", int(share * 100), 100, subject="api.methods.GET", at_s=minute * 60)
        bank.spans("broken_limits", 0, 100, subject="database.SELECT", at_s=minute * 60)
    bank.evaluate(3600)
    reasons = [(body.subject, body.reason) for _, body in bank.sent]
    if window:
        assert reasons[0][0] == "api.methods.GET"
        assert reasons[0][1].startswith(
            f"15 % of 6000 exceeded their limit within {window}: the error budget burns 15.0 times"
        )
    else:  # 14 times is below the fast pair's rate, and above the medium pair's, of 6 hours
        assert "within 6 hours" in reasons[0][1]


def test_a_budget_that_has_stopped_burning_opens_no_alert(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    for minute in range(30):
        bank.spans("broken_limits", 100, 100, subject="api.methods.GET", at_s=minute * 60)
    for minute in range(30, 62):
        bank.spans("broken_limits", 0, 100, subject="api.methods.GET", at_s=minute * 60)
    assert bank.evaluate(62 * 60) == []


def test_health_that_fails_for_five_minutes_opens_an_alert(
    open_store: OpenStore,
) -> None:
    from mita_otel.alerts.events import Exemplar, Sample

    bank = Bank(open_store())
    said = Exemplar(message="no export has worked")
    for second in range(0, 300, 10):
        failing = Sample(
            "telemetry_unhealthy", "export.sentry", START + second * 10**9, 1, 1, said, single=False
        )
        bank.store.add_samples([failing])
    assert bank.evaluate(299) == []
    bank.store.add_samples(
        [Sample("telemetry_unhealthy", "export.sentry", START + 300 * 10**9, 1, 1, said, single=False)]
    )
    bank.evaluate(300)
    assert bank.sent_to() == ["devops_slack", "devops_email"]
    assert bank.sent[0][1].subject == "export.sentry"
    assert bank.sent[0][1].reason == "no export has worked, for 5 minutes or longer"


def test_health_that_recovers_in_between_opens_no_alert(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    for second in range(0, 400, 10):
        bank.spans("telemetry_unhealthy", int(second != 200), 1, subject="export.sentry", at_s=second)
    assert bank.evaluate(400) == []


# --- options of rules ------------------------------------------------------------------------------
def test_a_grouping_rule_has_an_alert_for_each_group(memory_bank: MakeBank) -> None:
    rule: dict[str, Any] = {"group_by": ("category", "name"), "categories": (), "count": 2}
    bank = memory_bank(policy_with({"payment_processing_failures": rule}))
    bank.happens(error(0), error(1, name="Declined"), error(2, category="authentication"))
    assert bank.sent == []
    bank.happens(error(3), error(4, name="Declined"))
    assert {body.subject for _, body in bank.sent} == {
        "payment_processing · GatewayTimeout",
        "payment_processing · Declined",
    }


def test_alerts_beyond_the_maximum_share_one_subject(memory_bank: MakeBank) -> None:
    rule: dict[str, Any] = {
        "group_by": ("name",),
        "categories": (),
        "count": 1,
        "channels": ("finance_slack",),
    }
    bank = memory_bank(policy_with({"payment_processing_failures": rule}, max_alerts=3))
    bank.happens(*(error(n, name=f"Error{n}") for n in range(10)))
    assert [body.subject for _, body in bank.sent] == ["Error0", "Error1", "Error2", "(other)"]


def test_exceeded_limits_can_be_counted(memory_bank: MakeBank) -> None:
    rule: dict[str, Any] = {
        "title": "Slow balances", "on": ("breaches",), "names": ("api.financial.*",), "kinds": ("api",), "count": 2, "window_s": 60,
        "urgency": "warning", "channels": ("devops_slack",),
    }  # fmt: skip
    bank = memory_bank(policy_with({"slow": rule}))
    breach = {"stream": "breaches", "kind": "api", "category": "", "severity": ""}
    bank.happens(error(0, name="api.methods.GET", **breach), error(1, name="api.financial.GET", **breach))
    assert bank.sent == []
    bank.happens(error(2, name="api.financial.GET", **breach))
    assert bank.sent_to() == ["devops_slack"]


def test_staging_pages_no_one_and_has_higher_thresholds() -> None:
    production, staging = default_policy().alerts, default_policy("staging").alerts
    for name, rule in staging.rules.items():
        assert not [one for one in rule.channels if one.endswith(("_pagerduty", "_email"))], name
        assert rule.urgency in {"warning", "info"}, name
        assert not staging.escalations.get(rule.escalation), name
        assert (rule.count or 0) >= (production.rules[name].count or 0)
    assert default_policy("development").alerts.start == "off"
