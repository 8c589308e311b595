"""What a service may tell: the guide's names, names of its own, and nothing that cannot be kept."""

from __future__ import annotations

from datetime import datetime

import pytest

from mita_otel import AuditEvent, AuditEventType, AuditOutcome


@pytest.mark.parametrize("name", ["TRANSACTION_CREATE", "CONFIGURATION_CHANGE"])
def test_the_guides_names_are_there(name: str) -> None:
    assert AuditEventType[name] == name.lower()


@pytest.mark.parametrize("name", ["loan.approve", "kyc_check", "a", "a" * 64])
def test_a_name_of_ones_own_will_do(name: str) -> None:
    assert AuditEvent(event_type=name).event_type == name


@pytest.mark.parametrize("name", ["", "Loan", "loan approve", "a" * 65, "løn", "1st", "a\n", None, 7])
def test_another_name_is_refused_with_a_hint(name: object) -> None:
    with pytest.raises(ValueError, match="lower case letters"):
        AuditEvent(event_type=name)  # type: ignore[arg-type]


def test_an_outcome_is_one_of_four() -> None:
    assert AuditEvent(event_type="a", outcome="denied").outcome == AuditOutcome.DENIED
    with pytest.raises(ValueError, match="success, failure, denied, unknown"):
        AuditEvent(event_type="a", outcome="ok")


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        AuditEvent(event_type="a", occurred_at=datetime(2026, 11, 1))
