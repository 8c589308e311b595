"""The financial API never raises, and captures an error without arguments that fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import context
from opentelemetry._logs import SeverityNumber

import mita_otel
from finance.asgi import http_scope, request
from finance.recording import Recording
from mita_otel import FinancialSentryMiddleware, capture_financial_error, financial_transaction_context
from mita_otel.captured import event_id_of

CALLS = sorted(
    name
    for name, home in mita_otel._homes().items()  # type: ignore[attr-defined]  # private, so the stub does not have it
    if home.startswith("mita_otel.finance") and name.islower() and name not in {"continue_context"}
)


class Hostile:
    """An object that raises on any operation."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def _fail(self, *args: Any) -> Any:
        raise RuntimeError("no")

    __str__ = __repr__ = __iter__ = __len__ = __hash__ = __eq__ = __bool__ = __float__ = _fail  # type: ignore[assignment]


HOSTILE = [
    Hostile(),
    5,
    "x" * 100_000,
    b"\xff",
    [1],
    {"a": Hostile()},
    {Hostile: 1},
    object,
    "\ud800",
    None,
    float("nan"),
]


def usable(parameter: inspect.Parameter) -> Any:
    """Return a valid value for the parameter."""
    if parameter.name == "exception":
        return ValueError("x")
    if parameter.name in {"request", "carrier"}:
        return http_scope()
    if parameter.default is not parameter.empty:
        return parameter.default
    return "x"


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore")
def test_no_argument_value_makes_a_call_raise(recording: Recording, name: str) -> None:
    function: Callable[..., Any] = getattr(mita_otel, name)
    parameters = [
        one
        for one in inspect.signature(function).parameters.values()
        if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    given = {one.name: usable(one) for one in parameters if one.kind is not one.POSITIONAL_ONLY}
    for parameter in parameters:
        for value in HOSTILE:
            if parameter.name in {"operation_name", "operation", "name", "expected_errors"}:
                continue  # a literal in the decorator call, evaluated on import
            before = context.get_current()
            with recording.tracer.start_as_current_span("around"):
                result = function(**{**given, parameter.name: value})
                if hasattr(result, "__enter__"):
                    with result as operation:
                        for method in ("set_data", "set_tag", "add_metadata"):
                            for key in HOSTILE:
                                getattr(operation, method)(key, value)
                        operation.set_result(value)
            assert context.get_current() is before


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    "argument",
    ["tags", "additional_context", "fingerprint", "amount", "currency", "request", "category", "severity"],
)
def test_an_error_is_captured_without_arguments_that_fail(
    recording: Recording, argument: str, value: Any
) -> None:
    error = ValueError("x")
    event_id = capture_financial_error(error, **{argument: value})
    if event_id:
        assert recording.error["mita.event.id"] == event_id == event_id_of(error)
    else:  # a later call can still capture it
        assert event_id_of(error) is None
        assert recording.events() == []


def test_an_exception_with_a_failing_argument_can_be_captured_again(recording: Recording) -> None:
    error = ValueError("x")
    assert capture_financial_error(error, user_id=Hostile()) == ""  # type: ignore[arg-type]
    assert event_id_of(error) is None
    assert capture_financial_error(error) != ""


def test_a_failing_log_record_processor_does_not_affect_the_application(recording: Recording) -> None:
    def fail(**arguments: Any) -> None:
        raise OSError("disk full")

    recording.runtime.logger.emit = fail  # type: ignore[assignment,method-assign]
    with pytest.raises(ValueError, match="x"), financial_transaction_context(operation="pay"):
        raise ValueError("x")
    assert recording.span("pay").status.status_code.name == "ERROR"
    assert SeverityNumber.ERROR


async def test_a_hostile_user_does_not_break_the_request(recording: Recording) -> None:
    served = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with financial_transaction_context(operation="pay"):
            capture_financial_error(ValueError("x"))
        served.append(True)

    for state in ({"user": Hostile()}, {"user": {"id": Hostile()}}):
        await request(FinancialSentryMiddleware(app), state=state)
    assert served == [True, True]
    assert len(recording.events()) == 2
