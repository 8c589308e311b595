"""User, transaction, compliance and request contexts on spans, log records and errors."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from opentelemetry import context
from opentelemetry.context import Context
from sqlalchemy import create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from finance.conftest import Record
from finance.recording import Recording
from mita_otel import (
    FinancialContext,
    UserContext,
    add_financial_breadcrumb,
    capture_financial_error,
    clear_user,
    set_compliance_context,
    set_financial_user,
    set_request_context,
    set_transaction,
)
from mita_otel.finance.facts import FactChanges, Facts
from mita_otel.finance.user import user_of


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]


FIELDS = ("user_id", "id", "sub")


def attributes(recording: Recording, name: str) -> dict[str, Any]:
    return dict(recording.span(name).attributes or {})


def test_a_user_is_on_the_current_span_and_its_descendants(recording: Recording) -> None:
    user = UserContext(
        user_id=UUID(int=1),
        email="ada@example.com",
        subscription_tier="premium",
        account_type="business",
        risk_level="low",
        location="Berlin",
        last_login=dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        extra={"segment": "a"},
    )
    with recording.tracer.start_as_current_span("outer"):
        set_financial_user(user)
        with recording.tracer.start_as_current_span("inner"):
            pass
    shown = {
        "user.id": str(UUID(int=1)),
        "mita.user.subscription_tier": "premium",
        "mita.user.account_type": "business",
        "mita.user.risk_level": "low",
    }
    assert attributes(recording, "outer") == attributes(recording, "inner") == shown
    capture_financial_error(ValueError("after the span"))
    assert "user" not in recording.error["mita.contexts"]


def test_an_error_contains_all_fields_of_the_user(recording: Recording) -> None:
    last_login = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    set_financial_user(
        UserContext("u-1", email="ada@example.com", location={"city": "Berlin"}, last_login=last_login)
    )
    capture_financial_error(ValueError("x"))
    assert recording.error["mita.contexts"]["user"] == {
        "id": "u-1",
        "email": "ada@example.com",
        "location": {"city": "Berlin"},
        "last_login": "2026-01-02T00:00:00+00:00",
    }


def test_a_user_can_be_set_by_id_and_cleared(recording: Recording) -> None:
    set_financial_user(7)
    with recording.tracer.start_as_current_span("known"):
        pass
    clear_user()
    with recording.tracer.start_as_current_span("forgotten"):
        pass
    assert attributes(recording, "known") == {"user.id": "7"}
    assert attributes(recording, "forgotten") == {}


@pytest.mark.parametrize(
    "empty",
    [
        None,
        "",
        UserContext(None),  # type: ignore[arg-type]  # wrong on purpose
        {"email": "a@b.c"},
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_user_without_an_id_clears_the_previous_user(recording: Recording, empty: Any) -> None:
    set_financial_user("u-1")
    set_financial_user(empty)
    with recording.tracer.start_as_current_span("after"):
        pass
    assert attributes(recording, "after") == {}


def test_a_user_can_be_set_from_claims(recording: Recording) -> None:
    set_financial_user({"sub": "u-5", "password": "x"})  # type: ignore[arg-type]
    with recording.tracer.start_as_current_span("after"):
        pass
    assert attributes(recording, "after") == {"user.id": "u-5"}


def test_a_transaction_can_be_set_by_id_or_as_a_context(recording: Recording) -> None:
    set_transaction("tx-1", amount=5, currency="EUR", payment_method="card", channel="app")
    capture_financial_error(ValueError("x"))
    set_transaction(FinancialContext("tx-2", "7.5", "USD", merchant="Acme"))
    capture_financial_error(ValueError("y"))
    first, second = [event["mita.contexts"]["financial"] for event in recording.events()]
    assert (first["transaction_id"], first["amount"], first["currency"]) == ("tx-1", "5.00", "EUR")
    assert (first["payment_method"], first["channel"]) == ("card", "app")
    assert (second["transaction_id"], second["amount"], second["merchant"]) == ("tx-2", "7.50", "Acme")


def test_log_records_contain_user_and_transaction(recording: Recording) -> None:
    set_financial_user("u-1")
    set_transaction("tx-1")
    logger = recording.logger_provider.get_logger("any library")
    logger.emit(body="hello", attributes={"user.id": "the record's own", "a": 1})
    assert dict(recording.records[0].log_record.attributes or {}) == {
        "user.id": "the record's own",
        "mita.transaction.id": "tx-1",
        "a": 1,
    }


def test_the_compliance_context_is_on_spans_and_errors(recording: Recording) -> None:
    assert (
        set_compliance_context("PCI_DSS", "3.4_Secure_Cardholder_Data", details={"encryption_used": True})
        == ""
    )
    with recording.tracer.start_as_current_span("work"):
        pass
    capture_financial_error(ValueError("x"))
    assert attributes(recording, "work") == {
        "mita.compliance.regulation": "PCI_DSS",
        "mita.compliance.requirement": "3.4_Secure_Cardholder_Data",
        "mita.compliance.status": "compliant",
    }
    assert recording.error["mita.contexts"]["compliance"] == {
        "regulation": "PCI_DSS",
        "requirement": "3.4_Secure_Cardholder_Data",
        "status": "compliant",
        "encryption_used": True,
    }
    assert recording.events("mita.compliance") == []
    [signal, _] = recording.audit.signals
    assert (signal.kind, signal.name, signal.outcome) == ("compliance", "PCI_DSS", "compliant")


def test_a_compliance_violation_is_a_separate_issue(recording: Recording) -> None:
    event_id = set_compliance_context("PCI_DSS", "3.4", status="NON_COMPLIANT")
    [captured] = recording.events("mita.compliance")
    assert captured["mita.event.id"] == event_id
    assert captured["mita.error.category"] == "compliance_issue"
    assert captured["mita.severity"] == "critical"
    assert list(captured["mita.fingerprint"]) == ["compliance_issue", "PCI_DSS", "3.4"]
    assert recording.records[0].log_record.body == "PCI_DSS 3.4: NON_COMPLIANT"
    assert recording.counts("mita.compliance.violations") == {("compliance_issue", "PCI_DSS", "critical"): 1}
    assert recording.counts("mita.errors") == {}, "each counter counts what is its own"


def test_a_request_context_can_be_set_explicitly(recording: Recording) -> None:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/budgets/7",
        "headers": [
            (b"host", b"bank.example"),
            (b"authorization", b"Bearer secret"),
            (b"user-agent", b"curl"),
        ],
        "query_string": b"a=1",
        "client": ("192.0.2.1", 5),
        "scheme": "https",
    }
    set_request_context(scope)
    capture_financial_error(ValueError("x"))
    request = recording.error["mita.contexts"]["request"]
    assert request["url"] == "https://bank.example/api/budgets/7"
    assert request["headers"] == {"host": "bank.example", "user-agent": "curl"}
    assert (request["method"], request["query_string"]) == ("GET", "a=1")
    assert recording.error["mita.error.category"] == "budget_calculation"
    set_request_context("no request at all")


def test_contexts_have_separate_breadcrumbs(recording: Recording) -> None:
    add_financial_breadcrumb("here")
    inside = context.get_current()
    token = context.attach(Context())
    capture_financial_error(ValueError("elsewhere"))
    context.detach(token)
    assert "mita.breadcrumbs" not in recording.error
    assert context.get_current() is inside
    capture_financial_error(ValueError("here"))
    assert [crumb["message"] for crumb in recording.events()[1]["mita.breadcrumbs"]] == ["here"]


@pytest.mark.parametrize(
    ("user", "user_id"),
    [
        (None, None),
        ("u-1", "u-1"),
        ("", None),
        (5, "5"),
        (True, None),
        ({"sub": "u-2", "email": "ada@example.com"}, "u-2"),
        ({"email": "ada@example.com"}, None),
        (SimpleNamespace(id=7, subscription_tier="gold"), "7"),
        (SimpleNamespace(id=None, user_id="u-3"), "u-3"),
        (SimpleNamespace(is_authenticated=False, id=7), None),
        (UserContext("u-4"), "u-4"),
        (UserContext(None), None),  # type: ignore[arg-type]
        (UserContext(""), None),
        ({"sub": " "}, None),
        (object(), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_user_id_is_read_from_objects_and_mappings(user: object, user_id: str | None) -> None:
    found = user_of(user, FIELDS)
    assert (found.id if found else None) == user_id


def test_known_fields_of_a_user_mapping_are_kept() -> None:
    found = user_of({"id": 1, "email": "a@b.c", "risk_level": "high", "password": "x"}, FIELDS)
    assert found == UserContext(1, email="a@b.c", risk_level="high")


def test_reading_a_user_from_an_expired_object_runs_no_query() -> None:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    statements: list[str] = []
    with Session(engine) as session:
        session.add(User(id=5, email="ada@example.com"))
        session.commit()
        user = session.scalars(select(User)).one()
        assert user_of(user, FIELDS) == UserContext(5, email="ada@example.com")
        session.commit()  # expires the object: any attribute would be a query now
        event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
        assert user_of(user, FIELDS) == UserContext(5)
    assert statements == []
    engine.dispose()


def test_without_configuration_no_context_is_attached() -> None:
    before = context.get_current()
    set_financial_user("u")
    clear_user()
    set_transaction("t")
    set_request_context({"type": "http"})
    assert context.get_current() is before


def test_the_policy_can_disable_baggage(record: Record) -> None:
    from opentelemetry import baggage

    record(baggage={"send": []})
    set_transaction("tx-1")
    assert dict(baggage.get_all()) == {}


def test_the_type_of_changes_has_every_field_of_facts() -> None:
    assert FactChanges.__annotations__.keys() == {field.name for field in fields(Facts)}
