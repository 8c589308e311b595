"""Every rule's edge, on a clock of the test's own: one event too few is silence, one more is an alert, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from alerts.conftest import OpenBook
from alerts.kit import START, Bank, error, policy_with
from mita_otel.policy import default_policy

MakeBank = Callable[..., Bank]


# --- the guide's four --------------------------------------------------------------------------------
def test_one_critical_financial_error_is_told_at_once_by_email_slack_and_pagerduty(
    open_book: OpenBook,
) -> None:
    bank = Bank(open_book())
    bank.happens(error(severity="high", category="budget_calculation"))
    assert bank.told == []
    bank.happens(error(1, severity="critical", category="budget_calculation"))
    assert bank.told_to() == ["finance_email", "finance_slack", "finance_pagerduty"]
    assert {body.rule for _, body in bank.told} == {"critical_financial_errors"}
    bank.happens(error(2, severity="critical", category="budget_calculation"))
    bank.look(30)
    assert len(bank.told) == 3


def test_two_payment_failures_in_five_minutes_are_silence_and_three_are_an_alert_once(
    open_book: OpenBook,
) -> None:
    bank = Bank(open_book())
    bank.happens(error(0))
    bank.happens(error(299))
    assert bank.told == []
    bank.happens(error(300))  # the first one is exactly five minutes ago: it counts
    assert bank.told_to() == ["payments_email", "payments_slack"]
    assert bank.told[0][1].reason == "3 events within 5 minutes"
    bank.happens(error(301), error(302))
    bank.look(400)
    assert len(bank.told) == 2


def test_a_third_failure_a_moment_later_than_five_minutes_is_none_too_many(open_book: OpenBook) -> None:
    bank = Bank(open_book())
    bank.happens(error(0), error(150), error(300.001))
    assert bank.told == []
    bank.happens(error(450))
    assert bank.told_to() == ["payments_email", "payments_slack"]


def test_events_that_are_looked_at_an_hour_late_are_still_too_many(open_book: OpenBook) -> None:
    bank = Bank(open_book())
    bank.now_s = 3600
    bank.happens(error(0), error(150), error(299))
    assert bank.told_to() == ["payments_email", "payments_slack"]


def test_other_categories_do_not_count_as_payment_failures(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    bank.happens(*(error(n, category="budget_calculation") for n in range(10)))
    assert bank.told == []


@pytest.mark.parametrize("stream", ["security", "errors"])
def test_one_violation_of_authentication_is_told_by_email_and_pagerduty(
    memory_bank: MakeBank, stream: str
) -> None:
    bank = memory_bank()
    bank.happens(error(stream=stream, name="token_forged", category="security_violation", severity="high"))
    assert bank.told_to() == ["security_email", "security_pagerduty"]


def test_a_wrong_password_is_no_violation_but_an_attack_is(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    bank.happens(
        *(error(n, stream="security", name="failed_login", category="authentication") for n in range(4))
    )
    assert bank.told == []
    attack = {
        "name": "brute_force_suspected",
        "category": "security_violation",
        "severity": "security_critical",
    }
    bank.happens(error(5, stream="security", **attack))
    assert bank.told_to() == ["security_email", "security_pagerduty"]


@pytest.mark.parametrize(("failed", "alerts"), [(5, False), (6, True)])
def test_five_percent_of_failures_are_silence_and_more_are_an_alert(
    open_book: OpenBook, failed: int, alerts: bool
) -> None:
    bank = Bank(open_book())
    bank.spans("high_error_rate", failed - 1, 60, at_s=0)
    bank.spans("high_error_rate", 1, 40, at_s=200)
    assert bool(bank.look(300)) is alerts
    if alerts:
        assert bank.told_to() == ["devops_email", "devops_slack"]
        assert bank.told[0][1].reason == "6 of 100 failed (6 %) within 5 minutes, limit 5 %"


def test_a_few_requests_say_nothing_about_an_error_rate(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    bank.spans("high_error_rate", 19, 19)
    assert bank.look(10) == []
    bank.spans("high_error_rate", 0, 1)
    assert bank.look(11) != []


def test_failures_that_are_older_than_the_window_do_not_count(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    bank.spans("high_error_rate", 50, 50, at_s=0)
    bank.spans("high_error_rate", 0, 50, at_s=200)
    assert bank.look(301) == []


# --- ours --------------------------------------------------------------------------------------------
def test_a_pci_violation_wakes_compliance_and_another_regulations_does_not(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    bank.happens(error(stream="compliance", name="GDPR", category="compliance_issue", severity="critical"))
    assert bank.told_to() == ["compliance_email", "compliance_slack"]
    bank.told.clear()
    bank.happens(
        error(1, stream="compliance", name="PCI_DSS", category="compliance_issue", severity="critical")
    )
    assert bank.told_to() == ["compliance_email", "compliance_slack", "compliance_pagerduty"]


@pytest.mark.parametrize(("failed", "alerts"), [(9, False), (10, True)])
def test_ten_failed_statements_are_database_trouble(memory_bank: MakeBank, failed: int, alerts: bool) -> None:
    bank = memory_bank()
    bank.spans("database_trouble", failed, 10_000)
    assert bool(bank.look(1)) is alerts


def test_crashes_of_the_app_are_told_from_the_services_errors(memory_bank: MakeBank) -> None:
    bank = memory_bank(policy_with({"mobile_crashes": {}}))
    bank.happens(*(error(n, handled=False) for n in range(9)))
    bank.happens(*(error(n, mobile=True, handled=True) for n in range(9)))
    bank.happens(*(error(n, mobile=True, handled=False) for n in range(4)))
    assert bank.told == []
    bank.happens(error(9, mobile=True, handled=False))
    assert bank.told_to() == ["devops_email", "devops_slack"]


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
def test_far_more_and_far_fewer_requests_than_usual_are_told(
    open_book: OpenBook, now: int, said: str
) -> None:
    bank = Bank(open_book())
    fill(bank, 12, 300)
    for slot in range(30):
        bank.spans("unusual_volume", 0, now // 30, at_s=slot * 10)
    bank.look(310)
    assert [body.reason for _, body in bank.told] == [said] * bool(said)


def test_nothing_is_usual_before_there_was_enough_of_it(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    fill(bank, 3, 300)
    assert bank.look(310) == []


def test_a_service_that_is_idle_at_night_has_no_unusual_volume(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    fill(bank, 12, 60)
    assert bank.look(310) == []


@pytest.mark.parametrize(("share", "window"), [(0.14, ""), (0.15, "1 hour")])
def test_an_error_budget_that_goes_too_fast_is_told_by_limit(
    open_book: OpenBook, share: float, window: str
) -> None:
    """1 % may break the limit; 14.4 times that in both windows is too fast."""
    bank = Bank(open_book())
    for minute in range(60):
        bank.spans("broken_limits", int(share * 100), 100, subject="api.methods.GET", at_s=minute * 60)
        bank.spans("broken_limits", 0, 100, subject="database.SELECT", at_s=minute * 60)
    bank.look(3600)
    reasons = [(body.subject, body.reason) for _, body in bank.told]
    if window:
        assert reasons[0][0] == "api.methods.GET"
        assert reasons[0][1].startswith(
            f"15 % of 6000 broke their limit within {window}: the error budget goes 15.0 times"
        )
    else:  # 14 times is below the fast pair's rate, and above the medium pair's, of 6 hours
        assert "within 6 hours" in reasons[0][1]


def test_a_budget_that_has_stopped_going_is_no_alert(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    for minute in range(30):
        bank.spans("broken_limits", 100, 100, subject="api.methods.GET", at_s=minute * 60)
    for minute in range(30, 62):
        bank.spans("broken_limits", 0, 100, subject="api.methods.GET", at_s=minute * 60)
    assert bank.look(62 * 60) == []


def test_telemetry_that_is_unhealthy_for_five_minutes_is_told_and_for_less_is_not(
    open_book: OpenBook,
) -> None:
    from mita_otel.alerts.points import Point, Sample

    bank = Bank(open_book())
    said = Sample(message="no export has worked")
    for second in range(0, 300, 10):
        failing = Point(
            "telemetry_unhealthy", "export.sentry", START + second * 10**9, 1, 1, said, single=False
        )
        bank.book.add([failing])
    assert bank.look(299) == []
    bank.book.add(
        [Point("telemetry_unhealthy", "export.sentry", START + 300 * 10**9, 1, 1, said, single=False)]
    )
    bank.look(300)
    assert bank.told_to() == ["devops_slack", "devops_email"]
    assert bank.told[0][1].subject == "export.sentry"
    assert bank.told[0][1].reason == "no export has worked, for 5 minutes and longer"


def test_telemetry_that_was_well_in_between_is_not_told(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    for second in range(0, 400, 10):
        bank.spans("telemetry_unhealthy", int(second != 200), 1, subject="export.sentry", at_s=second)
    assert bank.look(400) == []


# --- what rules may say ------------------------------------------------------------------------------
def test_a_rule_that_groups_has_an_alert_for_each_group(memory_bank: MakeBank) -> None:
    rule: dict[str, Any] = {"group_by": ("category", "name"), "categories": (), "count": 2}
    bank = memory_bank(policy_with({"payment_processing_failures": rule}))
    bank.happens(error(0), error(1, name="Declined"), error(2, category="authentication"))
    assert bank.told == []
    bank.happens(error(3), error(4, name="Declined"))
    assert {body.subject for _, body in bank.told} == {
        "payment_processing · GatewayTimeout",
        "payment_processing · Declined",
    }


def test_one_alert_too_many_is_told_with_the_others_of_its_kind(memory_bank: MakeBank) -> None:
    rule: dict[str, Any] = {
        "group_by": ("name",),
        "categories": (),
        "count": 1,
        "channels": ("finance_slack",),
    }
    bank = memory_bank(policy_with({"payment_processing_failures": rule}, max_alerts=3))
    bank.happens(*(error(n, name=f"Error{n}") for n in range(10)))
    assert [body.subject for _, body in bank.told] == ["Error0", "Error1", "Error2", "(other)"]


def test_broken_limits_can_be_counted_one_by_one(memory_bank: MakeBank) -> None:
    rule: dict[str, Any] = {
        "title": "Slow balances", "on": ("breaches",), "names": ("api.financial.*",), "kinds": ("api",), "count": 2, "window_s": 60,
        "urgency": "warning", "channels": ("devops_slack",),
    }  # fmt: skip
    bank = memory_bank(policy_with({"slow": rule}))
    breach = {"stream": "breaches", "kind": "api", "category": "", "severity": ""}
    bank.happens(error(0, name="api.methods.GET", **breach), error(1, name="api.financial.GET", **breach))
    assert bank.told == []
    bank.happens(error(2, name="api.financial.GET", **breach))
    assert bank.told_to() == ["devops_slack"]


def test_staging_is_calmer() -> None:
    production, staging = default_policy().alerts, default_policy("staging").alerts
    for name, rule in staging.rules.items():
        assert not [one for one in rule.channels if one.endswith(("_pagerduty", "_email"))], name
        assert rule.urgency in {"warning", "info"}, name
        assert not staging.escalations.get(rule.escalation), name
        assert (rule.count or 0) >= (production.rules[name].count or 0)
    assert default_policy("development").alerts.start == "off"
