"""Signals of the financial API become audit entries once the trail has started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.kit import changed, kit
from audit.recording import fork
from mita_otel.finance.audit_signal import AuditSignal
from mita_otel.policy import default_policy
from mita_otel.sdk.financial_audit import FinancialAudit

TIME_NS = 1_793_491_200_123_456_000


def signal(**fields: Any) -> AuditSignal:
    return AuditSignal(
        **{"kind": "operation", "name": "pay", "outcome": "success", "time_ns": TIME_NS, **fields}
    )


@pytest.mark.parametrize(
    ("fields", "event_type", "outcome"),
    [
        ({"category": "payment_processing"}, "payment_process", "success"),
        ({"category": "transaction_processing", "outcome": "failure"}, "transaction_create", "failure"),
        ({"category": "a_teams_own"}, "financial_operation", "success"),
        ({"category": None, "outcome": "cancelled"}, "financial_operation", "unknown"),
        ({"kind": "security", "name": "failed_login", "outcome": "failure"}, "login_failed", "failure"),
        ({"kind": "security", "name": "login"}, "login", "success"),
        ({"kind": "security", "name": "brute_force_suspected", "outcome": "failure"}, "security_event", "failure"),
        ({"kind": "error", "name": "payment_processing", "outcome": "failure"}, "error", "failure"),
        ({"kind": "compliance", "name": "PCI_DSS", "outcome": "compliant"}, "compliance_event", "success"),
        ({"kind": "compliance", "name": "PCI_DSS", "outcome": "non_compliant"}, "compliance_event", "failure"),
        ({"kind": "operation", "outcome": "refused"}, "financial_operation", "denied"),
        ({"kind": "custom", "name": "loan.approve"}, "loan.approve", "success"),
        ({"kind": "custom", "name": "Not A Name"}, "financial_operation", "success"),
    ],
)  # fmt: skip
def test_each_signal_has_its_type_and_outcome(
    tmp_path: Path, fields: dict[str, Any], event_type: str, outcome: str
) -> None:
    with kit(tmp_path) as made:
        event = FinancialAudit(default_policy().audit, made.trail).event(signal(**fields))
    assert (event.event_type, event.outcome) == (event_type, outcome)


def test_an_entry_has_user_transaction_and_amount(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        audit = FinancialAudit(default_policy().audit, made.trail)
        made.trail.start()
        audit.record(
            signal(
                category="payment_processing", user_id="u1", transaction_id="tx-7", amount="10.50", currency="USD",
                request_id="r1", address="10.0.0.9", trace_id="ab" * 16, details={"merchant": "m", "cvv": "123"},
            )
        )  # fmt: skip
        assert made.trail.flush(60)
        [(user, kind, resource, trace, body)] = made.rows(
            "user_id, resource_type, resource_id, trace_id, body", "event_type = 'payment_process'"
        )
    assert (user, kind, resource, trace) == ("u1", "transaction", "tx-7", "ab" * 16)
    fields = json.loads(body)
    assert fields["details"] == {
        "merchant": "m", "cvv": "[redacted:cvv]", "name": "pay", "category": "payment_processing", "amount": "10.50",
        "currency": "USD",
    }  # fmt: skip
    assert fields["occurred_ns"] == TIME_NS


def test_a_data_access_has_its_route_as_resource(tmp_path: Path) -> None:
    seen = {"method": "GET", "route": "/cards/{card}", "status": 200}
    with kit(tmp_path) as made:
        audit = FinancialAudit(default_policy().audit, made.trail)
        event = audit.event(signal(kind="custom", name="data_access", details=seen))
        other = audit.event(signal(kind="custom", name="Not A Type", transaction_id="tx-7"))
    assert (event.resource_type, event.resource_id, event.details) == ("route", "/cards/{card}", seen)
    assert (other.resource_type, other.resource_id, other.details) == (
        "transaction",
        "tx-7",
        {"name": "Not A Type"},
    )


def test_accesses_are_audited_after_the_start_if_the_policy_allows(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        audit = FinancialAudit(default_policy().audit, made.trail)
        assert not audit.wants_access()
        made.trail.start()
        assert audit.wants_access()
        assert not FinancialAudit(changed(audit__data_access=False).audit, made.trail).wants_access()


def test_the_financial_api_does_not_start_a_trail(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        before = set(tmp_path.iterdir())  # the database
        FinancialAudit(default_policy().audit, made.trail).record(signal())
        assert made.rows() == []
    assert set(tmp_path.iterdir()) == before


def test_a_worker_forked_after_the_start_records(tmp_path: Path) -> None:
    """Like a gunicorn worker."""
    with kit(tmp_path) as made:
        made.trail.start()
        audit = FinancialAudit(default_policy().audit, made.trail)

        def worker() -> None:
            audit.record(signal(category="payment_processing"))
            assert made.trail.close(60)

        assert fork(worker) == 0
        assert made.rows("outcome", "event_type = 'payment_process'") == [("success",)]


def test_a_failing_disk_does_not_affect_the_operation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with kit(tmp_path) as made:
        made.trail.start()
        assert made.trail.close(60)
        for path in made.folder.path.iterdir():
            path.unlink()
        made.folder.path.rmdir()
        made.folder.path.write_text("no folder any more")
        FinancialAudit(default_policy().audit, made.trail).record(signal())
        assert "it is not in the trail" in caplog.text
