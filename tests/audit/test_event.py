"""Events that a service may record: the guide's types, custom types, valid outcomes and times."""

from __future__ import annotations

from datetime import datetime

import pytest

from mita_otel import AuditEvent, AuditEventType, AuditOutcome


@pytest.mark.parametrize("name", ["TRANSACTION_CREATE", "CONFIGURATION_CHANGE"])
def test_the_types_of_the_guide_exist(name: str) -> None:
    assert AuditEventType[name] == name.lower()


@pytest.mark.parametrize("name", ["loan.approve", "kyc_check", "a", "a" * 64])
def test_a_custom_type_is_accepted(name: str) -> None:
    assert AuditEvent(event_type=name).event_type == name


@pytest.mark.parametrize("name", ["", "Loan", "loan approve", "a" * 65, "løn", "1st", "a\n", None, 7])
def test_an_invalid_type_is_refused_with_a_hint(name: object) -> None:
    with pytest.raises(ValueError, match="lower case letters"):
        AuditEvent(event_type=name)  # type: ignore[arg-type]


def test_an_outcome_is_one_of_four_values() -> None:
    assert AuditEvent(event_type="a", outcome="denied").outcome == AuditOutcome.DENIED
    with pytest.raises(ValueError, match="success, failure, denied, unknown"):
        AuditEvent(event_type="a", outcome="ok")


def test_a_time_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        AuditEvent(event_type="a", occurred_at=datetime(2026, 11, 1))
