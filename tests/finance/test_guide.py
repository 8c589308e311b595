"""Every Python snippet of the guide, with only its import line changed.

The code between the marks is the guide's, indented if it awaits and so needs a function. Names that a snippet uses
without importing them are defined before the mark.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI

from finance.asgi import http_scope
from finance.recording import Recording
from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor

# The snippets keep the guide's formatting, import order and unused results.
# ruff: noqa: I001, F841
# fmt: off

user = SimpleNamespace(
    id="u-1",
    email="ada@example.com",
    subscription_tier="premium",
    tier="premium",
    account_type="business",
    risk_assessment="low",
    location="Berlin",
    last_login="2026-01-02T00:00:00Z",
)
transaction = SimpleNamespace(id="tx-1", amount=9.90, currency="EUR")


def attributes(recording: Recording, name: str) -> dict[str, Any]:
    return dict(recording.span(name).attributes or {})


def test_setup_initialize_backend_monitoring(recording: Recording) -> None:
    app = FastAPI()

    # --- the guide
    from mita_otel import sentry_service
    from mita_otel import FinancialSentryMiddleware

    # Middleware is automatically applied
    app.add_middleware(FinancialSentryMiddleware)
    # ---
    assert sentry_service.initialized
    assert [entry.cls for entry in app.user_middleware] == [FinancialSentryMiddleware]


async def test_setup_financial_operations_monitoring(recording: Recording) -> None:
    # --- the guide
    from mita_otel import financial_operation_monitor
    from mita_otel import FinancialErrorCategory

    @financial_operation_monitor(
        operation_name="process_payment",
        category=FinancialErrorCategory.PAYMENT_PROCESSING,
        track_performance=True,
        require_user=True
    )
    async def process_payment(user_id: str, amount: float, currency: str):
        # Payment processing logic
        pass
    # ---

    await process_payment("u-1", 9.9, "EUR")
    span = attributes(recording, "process_payment")
    assert span["mita.operation.category"] == "payment_processing"
    assert (span["user.id"], span["mita.amount"], span["mita.currency"]) == ("u-1", "9.90", "EUR")
    assert recording.events("mita.security") == []


async def test_backend_error_capture(recording: Recording) -> None:
    from mita_otel import FinancialSeverity

    user_id, amount, currency, transaction_id = "u-1", 9.9, "EUR", "tx-1"
    payment_method, merchant_name = "credit_card", "Acme"

    async def process_transaction(user_id: str, amount: float) -> Any:
        raise ConnectionError("gateway down")

    async def snippet() -> None:
        # --- the guide
        from mita_otel import capture_financial_error, FinancialErrorCategory

        try:
            # Risky financial operation
            result = await process_transaction(user_id, amount)
        except Exception as e:
            await capture_financial_error(
                exception=e,
                category=FinancialErrorCategory.TRANSACTION_PROCESSING,
                severity=FinancialSeverity.CRITICAL,
                user_id=user_id,
                transaction_id=transaction_id,
                amount=amount,
                currency=currency,
                additionalContext={
                    'payment_method': payment_method,
                    'merchant': merchant_name
                }
            )
            raise
        # ---

    with pytest.raises(ConnectionError):
        await snippet()
    captured = recording.error
    assert (captured["mita.error.category"], captured["mita.severity"]) == ("transaction_processing", "critical")
    assert captured["mita.contexts"]["additional"] == {"payment_method": "credit_card", "merchant": "Acme"}
    assert captured["mita.contexts"]["financial"]["amount"] == "9.90"


def test_data_sanitization() -> None:
    # --- the guide
    # Automatically redacted fields:
    sensitive_keys = {
        'password', 'token', 'secret', 'key',
        'card_number', 'cvv', 'pin', 'ssn',
        'account_number', 'routing_number', 'iban'
    }
    # ---

    redactor = Redactor(default_policy().redaction)
    for key in sensitive_keys:
        assert "x-marks-it" not in str(redactor.attributes({key: "x-marks-it 123"})), key


async def test_backend_performance_monitoring(recording: Recording) -> None:
    categories = ["food", "rent"]

    async def calculate_budget(user_id: str, categories: list[str]) -> Any:
        return Budget()

    async def snippet() -> Any:
        # --- the guide
        from mita_otel import monitor_financial_operation

        async with monitor_financial_operation(
            operation_name="calculate_monthly_budget",
            user_id=user.id,
            additional_context={
                'budget_period': 'monthly',
                'categories_count': len(categories)
            }
        ) as transaction:

            # Perform budget calculation
            result = await calculate_budget(user.id, categories)

            # Add result metadata
            transaction.set_data("calculated_categories", len(result))
            transaction.set_data("total_budget", result.total_amount)

            return result
        # ---

    assert (await snippet()).total_amount == 120
    span = attributes(recording, "calculate_monthly_budget")
    assert span["mita.operation.data.budget_period"] == "monthly"
    assert span["mita.operation.data.calculated_categories"] == 2
    assert span["mita.operation.data.total_budget"] == 120
    assert span["mita.operation.category"] == "budget_calculation", "so that the guide's 1500 ms apply"


class Budget:
    total_amount = 120

    def __len__(self) -> int:
        return 2


async def test_transaction_monitoring(recording: Recording) -> None:
    async def process(transaction: Any) -> Any:
        return SimpleNamespace(payment_method="credit_card", merchant="Acme", status="settled")

    payment_processor = SimpleNamespace(process=process)

    # --- the guide
    from mita_otel import financial_transaction_context

    async with financial_transaction_context(
        user_id=user.id,
        operation="payment_processing",
        transaction_id=transaction.id,
        amount=transaction.amount,
        currency=transaction.currency
    ) as ctx:

        # Process payment
        result = await payment_processor.process(transaction)

        # Add success metadata
        ctx.set_result(result)
        ctx.add_metadata("payment_method", result.payment_method)
        ctx.add_metadata("merchant", result.merchant)
    # ---

    span = attributes(recording, "payment_processing")
    assert span["mita.transaction.id"] == "tx-1"
    assert span["mita.operation.result.status"] == "settled"
    assert span["mita.operation.data.merchant"] == "Acme"
    assert span["mita.operation.outcome"] == "success"


def test_user_financial_context(recording: Recording) -> None:
    # --- the guide
    from mita_otel import UserContext, set_financial_user

    user_ctx = UserContext(
        user_id=user.id,
        email=user.email,
        subscription_tier=user.subscription_tier,
        account_type=user.account_type,
        risk_level=user.risk_assessment,
        location=user.location,
        last_login=user.last_login
    )

    set_financial_user(user_ctx)
    # ---

    with recording.tracer.start_as_current_span("below"):
        pass
    assert attributes(recording, "below")["user.id"] == "u-1"
    assert "ada@example.com" not in str(attributes(recording, "below"))


def test_compliance_context(recording: Recording) -> None:
    # --- the guide
    from mita_otel import set_compliance_context

    set_compliance_context(
        regulation="PCI_DSS",
        requirement="3.4_Secure_Cardholder_Data",
        status="compliant",
        details={
            "encryption_used": True,
            "access_logged": True,
            "data_retention": "compliant"
        }
    )
    # ---

    with recording.tracer.start_as_current_span("below"):
        pass
    assert attributes(recording, "below")["mita.compliance.requirement"] == "3.4_Secure_Cardholder_Data"


def test_security_event_monitoring(recording: Recording) -> None:
    from starlette.requests import Request

    request: Any = Request(http_scope(headers=[("user-agent", "curl")]))
    failed_attempts, user_id = 3, "u-1"
    # --- the guide
    from mita_otel import set_security_context

    # Failed login attempt
    set_security_context(
        event_type="failed_login",
        severity="high",
        details={
            "ip_address": request.client.host,
            "user_agent": request.headers.get("user-agent"),
            "attempt_count": failed_attempts
        },
        user_id=user_id
    )
    # ---
    [captured] = recording.events("mita.security")
    assert captured["mita.event.id"]
    assert captured["mita.security.attempts"] == 3
    assert captured["mita.contexts"]["security"]["ip_address"] == "192.0.2.7"


def test_performance_data_missing(recording: Recording) -> None:
    # --- the guide
    # Check performance monitoring configuration
    from mita_otel import performance_monitor

    # Verify sampling rate
    print(f"Traces sample rate: {os.getenv('SENTRY_TRACES_SAMPLE_RATE', 'default')}")  # noqa: T201
    # ---

    with performance_monitor.monitor_financial_operation("pay"):
        pass
    assert recording.span("pay")


def test_sensitive_data_appearing_in_sentry() -> None:
    sensitive_keys = {"password", "token"}  # as the guide defines them under Data Sanitization
    # --- the guide
    # Verify data filtering is active
    from mita_otel import filter_sensitive_data

    # Check sensitive keys configuration

    # Add additional sensitive fields if needed
    sensitive_keys.add('your_custom_field')
    # ---
    shown = filter_sensitive_data({"extra": {"password": "hunter2", "city": "Berlin"}}, {})
    assert shown["extra"] == {"password": "[redacted:password]", "city": "Berlin"}
    # The effective setting is in the policy.
    policy = default_policy().redaction
    keys = policy.keys.replace(sensitive=(*policy.keys.sensitive, *sensitive_keys))
    redactor = Redactor(policy.replace(keys=keys))
    assert "x-marks-it" not in str(redactor.attributes({"your_custom_field": "x-marks-it"}))


async def test_always_include_context(recording: Recording) -> None:
    payment_method, e = "credit_card", ValueError("x")
    # --- the guide
    from mita_otel import capture_financial_error, FinancialErrorCategory

    await capture_financial_error(
        exception=e,
        category=FinancialErrorCategory.TRANSACTION_PROCESSING,
        user_id=user.id,
        transaction_id=transaction.id,
        additional_context={
            'operation_step': 'payment_verification',
            'payment_method': payment_method
        }
    )
    # ---
    assert recording.error["mita.severity"] == "critical"
    assert recording.error["mita.contexts"]["additional"]["operation_step"] == "payment_verification"


def test_include_user_context(recording: Recording) -> None:
    # --- the guide
    from mita_otel import UserContext, set_financial_user

    # Always set user context for financial operations
    set_financial_user(UserContext(
        user_id=user.id,
        subscription_tier=user.tier,
        risk_level=user.risk_assessment
    ))
    # ---
    with recording.tracer.start_as_current_span("below"):
        pass
    assert attributes(recording, "below")["mita.user.risk_level"] == "low"


async def test_monitor_critical_paths(recording: Recording) -> None:
    # --- the guide
    from mita_otel import financial_operation_monitor, FinancialErrorCategory

    # Always monitor financial operations
    @financial_operation_monitor(
        operation_name="process_transaction",
        category=FinancialErrorCategory.TRANSACTION_PROCESSING
    )
    async def process_transaction():
        pass
    # ---

    await process_transaction()
    assert attributes(recording, "process_transaction")["mita.operation.category"] == "transaction_processing"


def test_use_breadcrumbs_effectively(recording: Recording) -> None:
    method, amount = "credit_card", 9.9
    with recording.tracer.start_as_current_span("work"):
        # --- the guide
        from mita_otel import add_financial_breadcrumb

        add_financial_breadcrumb(
            message="Starting payment verification",
            data={
                'payment_method': method,
                'amount': amount,
                'verification_step': 'initial'
            }
        )
        # ---
    [event] = recording.span("work").events
    assert (event.attributes or {})["mita.breadcrumb.data.verification_step"] == "initial"


def test_always_filter_sensitive_data() -> None:
    # --- the guide
    # Sensitive data is automatically filtered, but verify
    def is_sensitive_field(field_name):
        sensitive_patterns = ['card', 'pin', 'ssn', 'account']
        return any(pattern in field_name.lower() for pattern in sensitive_patterns)
    # ---

    redactor = Redactor(default_policy().redaction)
    for name in ("card", "cardNumber", "PIN", "user.ssn", "account"):
        assert is_sensitive_field(name)
        assert "1234" not in str(redactor.attributes({name: "1234"})), name


def test_include_compliance_context(recording: Recording) -> None:
    # --- the guide
    from mita_otel import set_compliance_context

    set_compliance_context(
        regulation="PCI_DSS",
        requirement="specific_requirement",
        status="compliant"
    )
    # ---
    with recording.tracer.start_as_current_span("below"):
        pass
    assert attributes(recording, "below")["mita.compliance.requirement"] == "specific_requirement"


@pytest.fixture
def with_audit_trail(isolated_telemetry: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configured process with an audit trail in the test's folder."""
    import mita_otel

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MITA_OTEL_DATABASE_URL", f"sqlite:///{tmp_path}/audit.db")
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "*")
    mita_otel.configure(exporters=["none"])


def test_audit_trail(with_audit_trail: None, tmp_path: Path) -> None:
    from mita_otel import AuditEventType, record_audit_event

    record_audit_event(AuditEventType.TRANSACTION_CREATE, user.id, resource_id="tx-1")
    # --- the guide
    from mita_otel import sentry_context_manager

    # Get audit trail for compliance reporting
    audit_trail = sentry_context_manager.get_audit_trail(
        user_id=user.id,
        event_type=AuditEventType.TRANSACTION_CREATE,
        hours_back=24
    )

    # Export compliance report
    sentry_context_manager.export_compliance_report(
        output_file="compliance_report.json",
        user_id=user.id,
        days_back=30
    )
    # ---

    [entry] = audit_trail
    assert entry.user_id == "u-1"
    report = json.loads((tmp_path / "compliance_report.json").read_text("utf-8"))
    assert "transaction_create" in json.dumps(report)


def test_maintain_audit_trails(with_audit_trail: None) -> None:
    admin_user = SimpleNamespace(id="admin-1")
    from mita_otel import AuditEventType, sentry_context_manager

    # --- the guide
    # Audit events are automatically recorded, but you can add custom events
    sentry_context_manager._record_audit_event(
        event_type=AuditEventType.CONFIGURATION_CHANGE,
        user_id=admin_user.id,
        details={'changed_setting': 'payment_threshold'}
    )
    # ---

    changes = sentry_context_manager.get_audit_trail(user_id="admin-1")
    assert [change.event_type for change in changes] == ["configuration_change"]


# --- the API reference: signatures ----------------------------------------------------------------------


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_api_reference_capture_financial_error() -> None:
    from mita_otel import capture_financial_error

    guide = ["exception", "category", "severity", "user_id", "transaction_id", "amount", "currency", "request", "additional_context"]
    assert parameters(capture_financial_error)[: len(guide)] == guide
    assert isinstance(asyncio.run(_awaited(capture_financial_error(ValueError("x")))), str)


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def test_api_reference_monitor_financial_performance() -> None:
    from mita_otel import monitor_financial_performance

    assert parameters(monitor_financial_performance)[:4] == ["operation_name", "operation_type", "user_id", "transaction_data"]
    assert inspect.signature(monitor_financial_performance).parameters["operation_type"].default == "financial_operation"
    assert isinstance(monitor_financial_performance("x"), AbstractContextManager)


def test_api_reference_monitor_api_request() -> None:
    from mita_otel import monitor_api_request

    assert parameters(monitor_api_request) == ["request", "user_id", "additional_context"]
    assert isinstance(monitor_api_request(None), AbstractAsyncContextManager)


def test_api_reference_get_performance_summary() -> None:
    from mita_otel import get_performance_summary, performance_monitor

    assert parameters(get_performance_summary) == ["last_hours", "category"]
    assert performance_monitor.get_performance_summary(last_hours=1)["count"] >= 0


def test_categories_have_the_severities_of_the_guides_table() -> None:
    from mita_otel import FinancialErrorCategory

    guide = json.loads("""{
        "authentication": "high", "transaction_processing": "critical", "payment_processing": "critical",
        "budget_calculation": "high", "financial_analysis": "medium", "security_violation": "critical",
        "compliance_issue": "critical"
    }""")
    policy = default_policy().finance.categories
    assert {category: policy[category] for category in guide} == guide
    assert set(policy) == {category.value for category in FinancialErrorCategory}
