"""Retention periods: the guide's table by default, longer ones allowed, shorter than a regulation refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mita_otel.policy import PolicyError, default_policy, load_policy
from mita_otel.policy.storage import minimums


def load(tmp_path: Path, text: str) -> object:
    path = tmp_path / "mita-otel.toml"
    path.write_text(text)
    return load_policy(path, env={})


def test_the_default_periods_are_the_guides() -> None:
    retention = default_policy().retention
    assert retention.errors_days >= 7 * 365 + 2
    assert retention.audit_days >= 7 * 365 + 2
    assert 365 <= retention.performance_days <= 366
    assert retention.debug_days == 30


def test_longer_periods_are_allowed(tmp_path: Path) -> None:
    load(tmp_path, "[retention]\naudit_days = 5000\ndebug_days = 90\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("audit_days = 400", r"mita-otel.toml:2: retention.audit_days: 400 days are too short: SOX 802 asks for 2557 \(.*17 CFR"),
        ("errors_days = 364", r"PCI DSS 10.5.1 asks for 365 \(.*12 months.*take it out of retention.regulations"),
        ('regulations = ["PCI DSS 10.5.1"]\naudit_days = 300', r"PCI DSS 10.5.1 asks for 365"),
        ('regulations = ["GDPR"]', r"'GDPR' is not a regulation that is known here; known: PCI DSS 10.5.1, SOX 802"),
    ],
)  # fmt: skip
def test_a_period_shorter_than_a_regulation_is_refused_with_the_reason(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(PolicyError, match=message):
        load(tmp_path, f"[retention]\n{text}\n")


def test_a_regulation_that_does_not_apply_sets_no_minimum(tmp_path: Path) -> None:
    load(tmp_path, '[retention]\nregulations = ["PCI DSS 10.5.1"]\naudit_days = 365\n')
    load(tmp_path, "[retention]\nregulations = []\naudit_days = 1\nerrors_days = 1\n")


def test_pci_dss_requires_twelve_months_and_sox_seven_years() -> None:
    asked = {(one.regulation, one.data): (one.days, one.at_hand_days) for one in minimums()}
    assert asked["PCI DSS 10.5.1", "audit"] == (365, 92)
    assert asked["SOX 802", "audit"][0] == 2557
