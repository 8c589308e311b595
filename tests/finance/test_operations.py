"""Context managers of financial operations."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from finance.conftest import Record
from finance.recording import Recording
from mita_otel import (
    FinancialErrorCategory,
    add_financial_breadcrumb,
    capture_financial_error,
    financial_transaction_context,
    monitor_financial_operation,
    monitor_financial_performance,
    set_compliance_context,
    set_financial_user,
    set_transaction,
)
from mita_otel.finance.operation import FinancialOperation
from mita_otel.instrumentation.threads import ThreadInstrumentation


class InsufficientFundsError(Exception):
    pass


class HTTPException(Exception):  # noqa: N818 - as frameworks call it
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


class NotFound(HTTPException):
    def __init__(self) -> None:
        super().__init__(404)


class GatewayError(Exception):
    """An exception of a payment gateway: its status code is not that of this service's response."""

    status_code = 403


def context_of(span: ReadableSpan) -> SpanContext:
    assert span.context is not None
    return span.context


def attributes(recording: Recording, name: str) -> dict[str, Any]:
    return dict(recording.span(name).attributes or {})


def test_an_operation_is_a_span_with_a_limit(recording: Recording) -> None:
    with financial_transaction_context("u-1", "payment_processing", "tx-1", 12.5, "EUR") as operation:
        operation.set_data("attempt", 2)
        operation.add_metadata("payment_method", "card")
        operation.set_tag("channel", "app")
    span = attributes(recording, "payment_processing")
    assert span == {
        "mita.operation": "payment_processing",
        "mita.operation.kind": "financial",
        "mita.operation.category": "payment_processing",
        "mita.operation.outcome": "success",
        "mita.operation.data.attempt": 2,
        "mita.operation.data.payment_method": "card",
        "mita.tag.channel": "app",
        "mita.transaction.id": "tx-1",
        "mita.amount": "12.50",
        "mita.currency": "EUR",
        "user.id": "u-1",
    }


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("budget_calculation", "budget_calculation"),
        ("calculate_monthly_budget", "budget_calculation"),
        ("ProcessPayment", "payment_processing"),
        ("settle-transaction", "transaction_processing"),
        ("frobnicate", None),
    ],
)
def test_the_category_follows_from_the_name(recording: Recording, name: str, category: str | None) -> None:
    with monitor_financial_operation(name):
        pass
    assert attributes(recording, name).get("mita.operation.category") == category


def test_spans_inside_an_operation_have_user_and_transaction(recording: Recording) -> None:
    with (
        financial_transaction_context("u-1", "payment_processing", "tx-1"),
        recording.tracer.start_as_current_span("query"),
    ):
        pass
    query = attributes(recording, "query")
    assert query == {
        "user.id": "u-1",
        "mita.transaction.id": "tx-1",
        "mita.operation.part_of": "payment_processing",
    }
    assert recording.span("query").parent is not None


def test_nested_operations_name_the_outer_one_and_may_have_another_user(
    recording: Recording,
) -> None:
    with (
        financial_transaction_context("u-1", "outer", "tx-1", 5, "EUR"),
        financial_transaction_context("u-2", "inner", "tx-2"),
        recording.tracer.start_as_current_span("leaf"),
    ):
        pass
    inner = attributes(recording, "inner")
    assert (inner["mita.operation.part_of"], inner["user.id"], inner["mita.transaction.id"]) == (
        "outer",
        "u-2",
        "tx-2",
    )
    assert "mita.amount" not in inner, "the amount is another transaction's"
    assert attributes(recording, "leaf")["mita.operation.part_of"] == "inner"
    assert "mita.operation.part_of" not in attributes(recording, "outer")


def test_an_operation_on_the_same_transaction_keeps_amount_and_user(recording: Recording) -> None:
    with (
        financial_transaction_context("u-1", "outer", "tx-1", 5, "EUR"),
        financial_transaction_context(operation="inner", transaction_id="tx-1"),
    ):
        pass
    assert attributes(recording, "inner")["mita.amount"] == "5.00"
    assert attributes(recording, "inner")["user.id"] == "u-1"


def test_context_set_inside_an_operation_ends_with_it(recording: Recording) -> None:
    before = context.get_current()
    with monitor_financial_operation("one"):
        set_financial_user("u-1")
        set_transaction("tx-1")
        set_compliance_context("SOX")
    assert context.get_current() is before
    with recording.tracer.start_as_current_span("after"):
        pass
    assert attributes(recording, "after") == {}


def test_an_exception_is_one_error_and_one_span_event_and_propagates(recording: Recording) -> None:
    with (
        pytest.raises(ValueError, match="refused"),
        financial_transaction_context("u-1", "outer", "tx-1"),
        monitor_financial_operation("process_payment", category=FinancialErrorCategory.PAYMENT_PROCESSING),
    ):
        raise ValueError("refused")
    captured = recording.error
    assert captured["mita.error.category"] == "payment_processing"
    assert captured["mita.severity"] == "critical"
    assert captured["user.id"] == "u-1"
    assert captured["mita.operation"] == "process_payment"
    assert captured["mita.handled"] is False
    inner = recording.span("process_payment")
    assert sorted(event.name for event in inner.events) == ["exception", "mita.error"]
    for name in ("process_payment", "outer"):
        assert recording.span(name).status.status_code.name == "ERROR"
        assert attributes(recording, name)["mita.operation.outcome"] == "failure"
    assert recording.records[0].log_record.span_id == context_of(inner).span_id


def test_an_exception_captured_inside_is_not_captured_again(recording: Recording) -> None:
    error = ValueError("x")
    event_id = capture_financial_error(error, "authentication")
    with pytest.raises(ValueError, match="x"), monitor_financial_operation("pay"):
        raise error
    assert recording.error["mita.event.id"] == event_id
    assert recording.error["mita.error.category"] == "authentication"


def test_the_policy_can_disable_capturing_errors(record: Record) -> None:
    recording = record(operations={"capture_errors": False})
    with pytest.raises(ValueError, match="x"), monitor_financial_operation("pay"):
        raise ValueError("x")
    assert recording.records == []
    assert recording.span("pay").status.status_code.name == "ERROR"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (HTTPException(404), "refused"),
        (NotFound(), "refused"),
        (HTTPException(503), "failure"),
        (GatewayError(), "failure"),
        (InsufficientFundsError(), "refused"),
        (asyncio.CancelledError(), "cancelled"),
        (KeyboardInterrupt(), "cancelled"),
        (GeneratorExit(), "cancelled"),
        (RuntimeError(), "failure"),
    ],
    ids=repr,
)
def test_expected_exceptions_and_exits_are_not_errors(
    recording: Recording, error: BaseException, outcome: str
) -> None:
    with (
        pytest.raises(type(error)),
        financial_transaction_context(operation="pay", expected_errors=[InsufficientFundsError]) as operation,
    ):
        raise error
    assert operation.outcome == outcome
    span = recording.span("pay")
    assert (span.attributes or {})["mita.operation.outcome"] == outcome
    failed = outcome == "failure"
    assert bool(recording.events()) is failed
    assert (span.status.status_code.name == "ERROR") is failed
    if not failed:
        assert span.events == ()
        assert (span.attributes or {})["error.type"] == type(error).__qualname__


@pytest.mark.parametrize(
    "name", ["InsufficientFundsError", f"{__name__}.InsufficientFundsError", "Exception"]
)
def test_expected_errors_in_the_policy_include_subclasses(record: Record, name: str) -> None:
    recording = record(operations={"expected_errors": [name]})
    with pytest.raises(InsufficientFundsError), monitor_financial_operation("pay"):
        raise InsufficientFundsError
    assert recording.events() == []


async def test_a_cancelled_task_is_not_an_error(recording: Recording) -> None:
    started = asyncio.Event()

    async def work() -> None:
        async with financial_transaction_context(operation="pay"):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert recording.events() == []
    assert attributes(recording, "pay")["mita.operation.outcome"] == "cancelled"


async def test_tasks_inherit_the_operation_and_are_isolated(recording: Recording) -> None:
    async def leaf(number: int) -> None:
        set_transaction(f"tx-{number}")
        await asyncio.sleep(0)
        with recording.tracer.start_as_current_span(f"leaf-{number}"):
            await asyncio.sleep(0)

    async with financial_transaction_context("u-1", "batch"), asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(leaf(number))
    for number in range(20):
        seen = attributes(recording, f"leaf-{number}")
        assert (seen["user.id"], seen["mita.transaction.id"]) == ("u-1", f"tx-{number}")


async def test_a_thread_of_asyncio_inherits_the_context(recording: Recording) -> None:
    def work() -> None:
        with recording.tracer.start_as_current_span("in thread"):
            pass

    async with financial_transaction_context("u-1", "pay", "tx-1"):
        await asyncio.to_thread(work)
    assert attributes(recording, "in thread")["mita.transaction.id"] == "tx-1"


def test_a_thread_inherits_the_context_only_if_instrumented(recording: Recording) -> None:
    def work(name: str) -> None:
        with recording.tracer.start_as_current_span(name):
            pass

    def run(name: str) -> None:
        with financial_transaction_context("u-1", "pay", "tx-1"):
            thread = threading.Thread(target=work, args=(name,))
            thread.start()
            thread.join()

    run("alone")
    instrumentation = ThreadInstrumentation()
    instrumentation.install()
    try:
        run("inheriting")
    finally:
        instrumentation.remove()
    assert "user.id" not in attributes(recording, "alone")
    assert attributes(recording, "inheriting")["user.id"] == "u-1"


async def test_an_operation_can_end_in_another_context(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    """A FastAPI dependency with `yield` may be entered and exited in different contexts."""

    @asynccontextmanager
    async def dependency() -> AsyncIterator[None]:
        async with financial_transaction_context("u-1", "pay", "tx-1"):
            yield

    manager = dependency()
    await asyncio.create_task(manager.__aenter__())  # type: ignore[arg-type]
    await asyncio.create_task(manager.__aexit__(None, None, None))  # type: ignore[arg-type]
    assert attributes(recording, "pay")["mita.operation.outcome"] == "success"
    assert caplog.records == []
    assert not trace.get_current_span().is_recording()


@dataclass
class Payment:
    id: str
    status: str
    card_number: str
    payment_method: FinancialErrorCategory = FinancialErrorCategory.AUTHENTICATION


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (None, {"mita.operation.result": "none"}),
        ("accepted", {"mita.operation.result": "accepted"}),
        (True, {"mita.operation.result": True}),
        ({"id": 7, "secret": "x"}, {"mita.operation.result": "dict", "mita.operation.result.id": 7}),
        (
            Payment("p-1", "settled", "4111111111111111"),
            {
                "mita.operation.result": "Payment",
                "mita.operation.result.id": "p-1",
                "mita.operation.result.status": "settled",
                "mita.operation.result.payment_method": "authentication",
            },
        ),
    ],
    ids=repr,
)
def test_only_allowed_attributes_of_a_result_are_recorded(
    recording: Recording, result: object, shown: dict[str, Any]
) -> None:
    with monitor_financial_operation("pay") as operation:
        operation.set_result(result)
    span = attributes(recording, "pay")
    assert {name: value for name, value in span.items() if "result" in name} == shown


def test_a_result_with_failing_properties_is_recorded_by_type(recording: Recording) -> None:
    class Lazy:
        @property
        def status(self) -> str:
            raise RuntimeError("detached from its session")

    with monitor_financial_operation("pay") as operation:
        operation.set_result(Lazy())
    assert attributes(recording, "pay")["mita.operation.result"].endswith("Lazy")


def test_performance_monitoring_records_kind_and_transaction(recording: Recording) -> None:
    data = {"transaction_id": "tx-1", "amount": "3", "currency": "JPY", "items": 4}
    with monitor_financial_performance("nightly", "background_task", "u-1", data):
        pass
    span = attributes(recording, "nightly")
    assert span["mita.operation.kind"] == "background"
    assert (span["mita.transaction.id"], span["mita.amount"], span["mita.operation.data.items"]) == (
        "tx-1",
        "3",
        4,
    )


def test_a_context_mapping_becomes_span_attributes(recording: Recording) -> None:
    context = {"budget_period": "monthly", "nothing": None}
    with monitor_financial_operation("calculate", "u-1", context):
        pass
    span = attributes(recording, "calculate")
    assert span["mita.operation.data.budget_period"] == "monthly"
    assert "mita.operation.data.nothing" not in span


def test_an_error_contains_the_duration_of_the_operation(recording: Recording) -> None:
    with monitor_financial_operation("pay"):
        recording.clock.now += 0.25
        capture_financial_error(ValueError("x"))
    assert recording.error["mita.contexts"]["performance"] == {"operation_ms": 250.0}


def test_errors_contain_the_tags_of_the_operation(recording: Recording) -> None:
    with monitor_financial_operation("pay") as operation:
        operation.set_tag("channel", "app")
        capture_financial_error(ValueError("x"))
    capture_financial_error(ValueError("y"))
    first, second = recording.events()
    assert first["mita.tags"]["channel"] == "app"
    assert "channel" not in second["mita.tags"]


def test_an_error_contains_breadcrumbs_of_nested_operations(recording: Recording) -> None:
    @monitor_financial_operation("outer")
    def work() -> None:
        add_financial_breadcrumb("first", data={"amount": 5})
        with monitor_financial_operation("inner"):
            add_financial_breadcrumb("second", category="auth", level="warning")
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        work()
    crumbs = recording.error["mita.breadcrumbs"]
    assert [crumb["message"] for crumb in crumbs] == ["first", "second"]
    assert crumbs[0]["data"] == {"amount": 5}
    assert (crumbs[1]["category"], crumbs[1]["level"]) == ("auth", "warning")
    [event] = [event for event in recording.span("outer").events if event.name == "mita.breadcrumb"]
    assert event.attributes is not None
    assert event.attributes["mita.breadcrumb.message"] == "first"
    assert event.attributes["mita.breadcrumb.data.amount"] == 5


def test_breadcrumbs_end_with_the_outermost_operation(recording: Recording) -> None:
    with monitor_financial_operation("one"):
        add_financial_breadcrumb("of the first")
    with pytest.raises(ValueError, match="x"), monitor_financial_operation("two"):
        raise ValueError("x")
    assert "mita.breadcrumbs" not in recording.error


def test_only_the_newest_breadcrumbs_are_kept(record: Record) -> None:
    recording = record(breadcrumbs={"max_kept": 3})
    with monitor_financial_operation("pay"):
        for number in range(10):
            add_financial_breadcrumb(str(number))
        capture_financial_error(ValueError("x"))
    assert [crumb["message"] for crumb in recording.error["mita.breadcrumbs"]] == ["7", "8", "9"]


def test_baggage_contains_only_names_allowed_by_the_policy(record: Record) -> None:
    record(baggage={"send": ["mita.transaction.id", "mita.operation", "user.id"]})
    with financial_transaction_context("u-1", "pay", "tx-1", 5, "EUR"):
        assert dict(baggage.get_all()) == {
            "mita.transaction.id": "tx-1",
            "mita.operation": "pay",
            "user.id": "u-1",
        }
    assert dict(baggage.get_all()) == {}


def test_by_default_baggage_contains_no_user(recording: Recording) -> None:
    with financial_transaction_context("u-1", "pay", "tx-1", 5, "EUR"):
        assert dict(baggage.get_all()) == {"mita.transaction.id": "tx-1", "mita.operation": "pay"}


@pytest.mark.parametrize(
    ("sent", "expected"), [("tx-7", "tx-7"), ("x" * 200, None), ("a\nb", None), ("", None)], ids=repr
)
def test_the_callers_baggage_is_the_fallback_for_the_transaction(
    recording: Recording, sent: str, expected: str | None
) -> None:
    context.attach(baggage.set_baggage("mita.transaction.id", sent))
    with monitor_financial_operation("pay"):
        pass
    with monitor_financial_operation("own", transaction_id="tx-1"):
        pass
    assert attributes(recording, "pay").get("mita.transaction.id") == expected
    assert attributes(recording, "own")["mita.transaction.id"] == "tx-1"


def test_a_user_is_never_read_from_baggage(recording: Recording) -> None:
    context.attach(baggage.set_baggage("user.id", "admin"))
    with monitor_financial_operation("pay"):
        pass
    assert "user.id" not in attributes(recording, "pay")


def test_the_outcome_of_an_operation_is_audited(recording: Recording) -> None:
    with financial_transaction_context("u-1", "pay", "tx-1", 5, "EUR"):
        pass
    with pytest.raises(HTTPException), monitor_financial_operation("other"):
        raise HTTPException(403)
    done, refused = recording.audit.signals
    assert (done.kind, done.name, done.outcome, done.user_id) == ("operation", "pay", "success", "u-1")
    assert (done.transaction_id, done.amount, done.currency) == ("tx-1", "5.00", "EUR")
    assert done.trace_id == format(context_of(recording.span("pay")).trace_id, "032x")
    assert (refused.name, refused.outcome) == ("other", "refused")


@pytest.mark.parametrize("name", ["", "   ", "x" * 10_000])
def test_any_operation_name_is_accepted(recording: Recording, name: str) -> None:
    with monitor_financial_operation(name):
        pass
    assert len(recording.spans) == 1


def test_without_configuration_an_operation_does_nothing() -> None:
    before = context.get_current()
    with financial_transaction_context("u-1", "pay", "tx-1", 5, "EUR") as operation:
        operation.set_data("a", 1)
        operation.set_tag("a", 1)
        operation.set_result(object())
        operation.add_metadata("a", object())
        add_financial_breadcrumb("x", data={"a": 1})
        set_financial_user("u")
        set_transaction("t")
        assert set_compliance_context("PCI_DSS", status="violation") == ""
        assert not operation.span.is_recording()
        assert context.get_current() is before
    with pytest.raises(ValueError, match="x"), FinancialOperation("y"):
        raise ValueError("x")
