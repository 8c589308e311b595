"""`@financial_operation_monitor` decorates any callable."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any

import pytest
from opentelemetry import context, trace

from finance.conftest import Record
from finance.recording import Recording
from mita_otel import (
    FinancialErrorCategory,
    MissingUserError,
    financial_operation_monitor,
    monitor_financial_operation,
    set_financial_user,
    set_transaction,
)


def attributes(recording: Recording, name: str) -> dict[str, Any]:
    return dict(recording.span(name).attributes or {})


def current_operation() -> str | None:
    span = trace.get_current_span()
    return getattr(span, "name", None) if span.is_recording() else None


def test_parameters_give_user_amount_and_transaction(recording: Recording) -> None:
    @financial_operation_monitor("process_payment", FinancialErrorCategory.PAYMENT_PROCESSING)
    def process(
        user_id: str, amount: float, currency: str = "EUR", *, transaction_id: str | None = None
    ) -> str:
        """Pay."""
        return f"{user_id} paid {amount}"

    assert process("u-1", amount=5, transaction_id="tx-1") == "u-1 paid 5"
    span = attributes(recording, "process_payment")
    assert (span["user.id"], span["mita.transaction.id"]) == ("u-1", "tx-1")
    assert (span["mita.amount"], span["mita.currency"]) == ("5.00", "EUR")
    assert span["mita.operation.category"] == "payment_processing"
    assert (process.__name__, process.__doc__) == ("process", "Pay.")


def test_without_parentheses_the_operation_has_the_functions_name(recording: Recording) -> None:
    @financial_operation_monitor
    def settle() -> int:
        return 1

    assert settle() == 1
    assert recording.span("settle")


async def test_a_decorated_coroutine_function_stays_a_coroutine_function(recording: Recording) -> None:
    @financial_operation_monitor("pay", track_performance=True)
    async def pay(user_id: str) -> str | None:
        await asyncio.sleep(0)
        return current_operation()

    assert inspect.iscoroutinefunction(pay)
    assert await pay("u-1") == "pay"
    assert current_operation() is None


def test_methods_class_methods_and_static_methods_can_be_decorated(recording: Recording) -> None:
    class Bank:
        fee = 2

        @financial_operation_monitor("method")
        def charge(self, user_id: str, amount: int) -> int:
            return amount + self.fee

        @financial_operation_monitor("outside")
        @classmethod
        def classy(cls, amount: int) -> int:
            return amount + cls.fee

        @classmethod
        @financial_operation_monitor("inside")
        def classy_inside(cls, amount: int) -> int:
            return amount + cls.fee

        @financial_operation_monitor("static")
        @staticmethod
        def static(amount: int) -> int:
            return amount

    bank = Bank()
    assert (bank.charge("u-1", 1), bank.classy(1), bank.classy_inside(1), bank.static(1)) == (3, 3, 3, 1)
    assert attributes(recording, "method")["user.id"] == "u-1"
    assert [
        attributes(recording, name)["mita.amount"] for name in ("method", "outside", "inside", "static")
    ] == ["1"] * 4


def test_a_generators_operation_is_current_only_while_the_generator_runs(
    recording: Recording,
) -> None:
    @financial_operation_monitor("stream")
    def stream(user_id: str) -> Generator[tuple[int, str | None], str, str]:
        sent: list[str] = []
        for number in range(3):
            if number == 1:
                set_transaction("tx-1")
            with recording.tracer.start_as_current_span(f"step {number}"):
                pass
            sent.append((yield number, current_operation()))
        return "".join(sent)

    assert inspect.isgeneratorfunction(stream)
    generator = stream("u-1")
    assert next(generator) == (0, "stream")
    assert current_operation() is None
    set_financial_user("the caller's")
    assert generator.send("a") == (1, "stream")
    assert generator.send("b") == (2, "stream")
    with pytest.raises(StopIteration) as stop:
        generator.send("c")
    assert stop.value.value == "abc"
    assert {attributes(recording, f"step {number}")["user.id"] for number in range(3)} == {"u-1"}
    assert "mita.transaction.id" not in attributes(recording, "step 0")
    assert attributes(recording, "step 2")["mita.transaction.id"] == "tx-1"
    assert len([span for span in recording.spans if span.name == "stream"]) == 1


def test_a_generator_can_handle_an_exception_thrown_into_it(recording: Recording) -> None:
    @financial_operation_monitor("stream")
    def stream() -> Iterator[str]:
        try:
            yield "first"
        except KeyError:
            yield "handled"

    generator = stream()
    next(generator)
    assert generator.throw(KeyError("x")) == "handled"  # type: ignore[attr-defined]
    assert list(generator) == []
    assert recording.events() == []


@pytest.mark.parametrize("end", ["close", "forget"])
def test_an_unfinished_generator_is_not_an_error(recording: Recording, end: str) -> None:
    closed = []

    @financial_operation_monitor("stream")
    def stream() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    generator = stream()
    next(generator)
    if end == "close":
        generator.close()  # type: ignore[attr-defined]
    else:
        del generator
    assert closed == [True]
    assert attributes(recording, "stream")["mita.operation.outcome"] == "cancelled"
    assert recording.events() == []


async def test_an_asynchronous_generator_is_an_operation(recording: Recording) -> None:
    @financial_operation_monitor("stream")
    async def stream(user_id: str) -> AsyncGenerator[str | None, int]:
        total = 0
        while total < 3:
            total += (yield current_operation()) or 1
            await asyncio.sleep(0)

    assert inspect.isasyncgenfunction(stream)
    generator = stream("u-1")
    assert await anext(generator) == "stream"
    assert current_operation() is None
    assert await generator.asend(1) == "stream"
    assert [item async for item in generator] == ["stream"]
    assert attributes(recording, "stream")["mita.operation.outcome"] == "success"


async def test_a_closed_async_generator_is_not_an_error_and_a_failing_one_is(recording: Recording) -> None:
    @financial_operation_monitor("stream")
    async def stream(fails: bool) -> AsyncIterator[int]:
        yield 1
        if fails:
            raise ValueError("x")
        yield 2

    first = stream(False)
    await anext(first)
    await first.aclose()  # type: ignore[attr-defined]
    second = stream(True)
    await anext(second)
    with pytest.raises(ValueError, match="x"):
        await anext(second)
    outcomes = [(span.attributes or {})["mita.operation.outcome"] for span in recording.spans]
    assert outcomes == ["cancelled", "failure"]
    assert len(recording.events()) == 1


async def test_different_tasks_can_advance_an_asynchronous_generator(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    @financial_operation_monitor("stream")
    async def stream() -> AsyncIterator[str | None]:
        for _ in range(3):
            yield current_operation()

    generator = stream()
    seen: list[str | None] = [await asyncio.create_task(generator.__anext__()) for _ in range(3)]  # type: ignore[arg-type]
    await asyncio.create_task(generator.aclose())  # type: ignore[attr-defined]
    assert seen == ["stream"] * 3
    assert current_operation() is None
    assert caplog.records == []


def test_errors_are_captured_without_a_span(recording: Recording) -> None:
    @financial_operation_monitor("pay", "payment_processing", track_performance=False)
    def pay(user_id: str) -> None:
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        pay("u-1")
    assert recording.spans == []
    assert recording.error["mita.error.category"] == "payment_processing"
    assert recording.error["user.id"] == "u-1"


def test_severity_and_expected_errors_can_be_set(recording: Recording) -> None:
    @financial_operation_monitor("pay", severity="low", expected_errors=[KeyError])
    def pay(error: Exception) -> None:
        raise error

    for error in (KeyError("x"), ValueError("y")):
        with pytest.raises(type(error)):
            pay(error)
    assert recording.error["mita.severity"] == "low"
    assert recording.error["exception.type"] == "ValueError"


@financial_operation_monitor("pay", require_user=True)
def pay_as(user_id: str | None = None) -> str:
    return "paid"


@pytest.mark.parametrize("given", [(), (None,), ("",)])
def test_a_missing_user_is_a_security_event(recording: Recording, given: tuple[Any, ...]) -> None:
    assert pay_as(*given) == "paid"
    assert "user.id" not in attributes(recording, "pay")
    [event] = recording.events("mita.security")
    assert event["mita.security.event_type"] == "operation_without_user"
    assert event["mita.contexts"]["security"]["operation"] == "pay"
    with recording.tracer.start_as_current_span("after"):
        pass
    assert attributes(recording, "after") == {}


def test_a_missing_user_raises_by_policy(record: Record) -> None:
    recording = record(operations={"require_user": "raise"})
    with pytest.raises(MissingUserError, match="the operation pay requires a user"):
        pay_as()
    assert recording.spans == []
    assert len(recording.events("mita.security")) == 1


@pytest.mark.parametrize("how", ["argument", "context"])
def test_a_user_comes_from_an_argument_or_the_context(record: Record, how: str) -> None:
    recording = record(operations={"require_user": "raise"})
    if how == "argument":
        assert pay_as("u-1") == "paid"
    else:
        set_financial_user("u-1")
        assert pay_as() == "paid"
    assert attributes(recording, "pay")["user.id"] == "u-1"


def test_context_managers_are_decorators_too(recording: Recording) -> None:
    @monitor_financial_operation("calculate", "u-9")
    def calculate(user_id: str, amount: int) -> int:
        return amount

    assert calculate("u-1", 5) == 5
    assert calculate("u-1", amount=6) == 6
    spans = [span.attributes or {} for span in recording.spans]
    assert [span["mita.amount"] for span in spans] == ["5", "6"]
    assert {span["user.id"] for span in spans} == {"u-9"}, "what the decorator says wins"


def test_resolvable_annotations_of_a_signature_are_resolved(recording: Recording) -> None:
    @financial_operation_monitor("pay")
    def pay(user_id: Recording, amount: int = 1) -> None: ...

    @financial_operation_monitor("later")
    def later(user_id: NotYet) -> None: ...  # type: ignore[name-defined] # noqa: F821

    assert inspect.signature(pay).parameters["user_id"].annotation is Recording
    assert inspect.signature(later).parameters["user_id"].annotation == "NotYet"


def test_builtins_and_partials_can_be_decorated(recording: Recording) -> None:
    import functools

    assert financial_operation_monitor("largest")(max)(1, 2) == 2
    assert financial_operation_monitor("largest")(functools.partial(max, 5))(1, 2) == 5
    assert len(recording.spans) == 2


def test_without_configuration_the_function_runs_unchanged() -> None:
    before = context.get_current()

    @financial_operation_monitor("pay", require_user=True)
    def pay() -> object:
        return context.get_current()

    @financial_operation_monitor("stream", require_user=True)
    def stream() -> Iterator[object]:
        yield context.get_current()

    @financial_operation_monitor("astream")
    async def astream() -> AsyncIterator[int]:
        yield 1

    async def consume() -> list[int]:
        return [item async for item in astream()]

    assert pay() is before
    assert list(stream()) == [before]
    assert asyncio.run(consume()) == [1]
