"""A financial operation: its span, its context and its outcome."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import Token
from enum import Enum
from types import TracebackType
from typing import Any, Final, Literal, Self

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Status, StatusCode

from mita_otel import semconv
from mita_otel.finance.attribute_values import attribute_mapping
from mita_otel.finance.audit_signal import notify_audit
from mita_otel.finance.capture import (
    Category,
    ErrorReport,
    Severity,
    capture,
    message_of,
    same_transaction,
    same_user,
)
from mita_otel.finance.categories import name_of, severity_of
from mita_otel.finance.contexts import received_baggage, with_baggage
from mita_otel.finance.facts import Facts, known_facts, local_facts, with_facts
from mita_otel.finance.operation_span import OperationSpan
from mita_otel.finance.runtime import FinanceRuntime, running
from mita_otel.finance.transaction import Amount, TransactionId
from mita_otel.finance.user import UserId

OperationKind = Literal["financial", "background"]
Expected = Iterable[type[BaseException]]


class FinancialOperation(OperationSpan):
    """One run of a financial operation; a context manager for `with` and `async with`.

    It has a span, so that its limit applies (`thresholds.financial` of the policy, by name or category), and its
    user and transaction apply to everything inside. An exception that leaves it is recorded on the span and
    captured once, except expected errors, HTTP client errors and cancellations.

    Args:
        name: For example `payment_processing`.
        category: None: chosen by the policy's tables.
        kind: `background` applies the limit of background tasks.
        user_id: The user. None: the known user.
        transaction_id: The transaction. None: the known transaction; the same applies to the next two.
        amount: The amount.
        currency: ISO 4217.
        data: Further data for the span.
        severity: Severity of its errors. None: the policy's severity of the category.
        expected_errors: Exceptions that are business outcomes, not errors.
        measured: Whether it has a span.
    """

    def __init__(
        self,
        name: str | Enum,
        *,
        category: Category | None = None,
        kind: OperationKind = "financial",
        user_id: UserId | None = None,
        transaction_id: TransactionId | None = None,
        amount: Amount | None = None,
        currency: str | None = None,
        data: Mapping[str, Any] | None = None,
        severity: Severity | None = None,
        expected_errors: Expected = (),
        measured: bool = True,
    ) -> None:
        super().__init__()
        self.name = str(name.value if isinstance(name, Enum) else name).strip() or "operation"
        """The operation's name."""
        self.outcome: Outcome = "running"
        """`running`, then `success`, `failure`, `refused` (an expected error) or `cancelled`."""
        self._category = name_of(category)
        self._kind = kind
        self._user_id = user_id
        self._transaction = (transaction_id, amount, currency)
        self._data = data
        self._severity = severity
        self._expected = tuple(expected_errors)
        self._measured = measured
        self._inside: Context | None = None
        self._token: Token[Context] | None = None
        self._outer = Facts()

    def __enter__(self) -> Self:
        runtime = running()
        if runtime is not None:
            self._runtime = runtime
            runtime.guard("the start of an operation", self._begin, runtime)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        runtime, self._runtime = self._runtime, None
        if runtime is None:
            return
        if self._inside is not None:
            runtime.guard("the end of an operation", self._finish, runtime, error)
        elif self._token is not None:  # it did not start: an object of the application raised
            leave(self._token)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace_back)

    def resume(self) -> None:
        """Make the operation current again in the running context, at each step of a generator."""
        if self._inside is not None and self._token is None:
            self._token = context.attach(self._inside)

    def suspend(self) -> None:
        """Stop being current, and keep the facts that were set inside."""
        if self._token is not None:
            self._inside = context.get_current()
            leave(self._token)
            self._token = None

    def _begin(self, runtime: FinanceRuntime) -> None:
        outer_context = context.get_current()
        self._outer = local_facts(outer_context)
        known = known_facts()
        facts = self._outer
        transaction_id, amount, currency = self._transaction
        if known.transaction is None and transaction_id is None:
            transaction_id = received_baggage(semconv.TRANSACTION_ID, runtime.policy.baggage)
        if self._user_id is not None:
            facts = facts.replace(user=same_user(known.user, self._user_id))
        if (transaction_id, amount, currency) != (None, None, None):
            transaction = same_transaction(known.transaction, transaction_id, amount, currency)
            facts = facts.replace(transaction=transaction)
        _ = facts.attributes  # objects of the application that raise must raise here
        category = self._category or runtime.operations.category(self.name) or facts.category
        # The span starts with the user and transaction, but as a part of the outer operation.
        self._token = context.attach(with_facts(facts, outer_context))
        severity = severity_of(self._severity)
        if self._category is not None or severity is not None:
            runtime.operations.declare(self.name, category, severity)
        inside = facts.replace(
            operation=self.name, category=category, severity=severity, started=runtime.clock()
        )
        within = with_facts(inside)
        if self._measured:
            self._span = runtime.tracer.start_span(
                self.name, attributes=self._attributes(runtime, inside, category)
            )
            within = trace.set_span_in_context(self._span, within)
        self._inside = with_baggage(inside, within, runtime.policy.baggage)
        context.attach(self._inside)
        self._mark_request(inside)

    def _attributes(self, runtime: FinanceRuntime, facts: Facts, category: str | None) -> dict[str, Any]:
        attributes: dict[str, Any] = {semconv.OPERATION: self.name, semconv.OPERATION_KIND: self._kind}
        if category is not None:
            attributes[semconv.OPERATION_CATEGORY] = category
        if facts.transaction is not None:
            currency = runtime.money.currency(facts.transaction.currency)
            amount = runtime.money.amount(facts.transaction.amount, currency)
            if amount is not None:
                attributes[semconv.AMOUNT] = amount
            if currency is not None:
                attributes[semconv.CURRENCY] = currency
        for key, value in attribute_mapping(self._data, runtime.policy.context).items():
            attributes[f"{semconv.OPERATION_DATA}.{key}"] = value
        return attributes

    def _mark_request(self, facts: Facts) -> None:
        """Add the first transaction of a request to the request's span."""
        shared = facts.shared
        if shared is None or shared.server_span is None or facts.transaction is None:
            return
        span = shared.server_span
        shown = (getattr(span, "attributes", None) or {}).get(semconv.TRANSACTION_ID)
        if shown is None and facts.transaction.id is not None and span.is_recording():
            span.set_attribute(semconv.TRANSACTION_ID, facts.transaction.id)

    def _finish(self, runtime: FinanceRuntime, error: BaseException | None) -> None:
        self.resume()
        try:
            facts = known_facts()
            self.outcome = outcome_of(error, runtime, self._expected)
            event_id = None
            if self.outcome == "failure" and error is not None:
                event_id = self._fail(runtime, error)
            elif error is not None and self._span.is_recording():
                self._span.set_attribute(semconv.ERROR_TYPE, type(error).__qualname__)
            if self._span.is_recording():
                self._span.set_attribute(semconv.OPERATION_OUTCOME, self.outcome)
            notify_audit(
                runtime,
                facts,
                self._span.get_span_context(),
                kind="operation",
                name=self.name,
                outcome=self.outcome,
                category=facts.category,
                event_id=event_id,
            )
        finally:
            self._span.end()
            crumbs = local_facts().breadcrumbs
            if self._token is not None and leave(self._token):
                self._pass_breadcrumbs(crumbs)
            self._token = None

    def _pass_breadcrumbs(self, crumbs: tuple[Mapping[str, Any], ...]) -> None:
        """Pass the breadcrumbs to the outer operation, which may fail next."""
        if (
            self._outer.shared is None
            and self._outer.started is not None
            and crumbs != self._outer.breadcrumbs
        ):
            context.attach(with_facts(local_facts().replace(breadcrumbs=crumbs)))

    def _fail(self, runtime: FinanceRuntime, error: BaseException) -> str | None:
        if self._span.is_recording():
            runtime.guard("recording an exception", self._span.record_exception, error)
            self._span.set_status(Status(StatusCode.ERROR, message_of(error)))
        if not runtime.policy.operations.capture_errors:
            return None
        return str(capture(ErrorReport(exception=error, handled=False), runtime))


def leave(token: Token[Context]) -> bool:
    """Restore the previous context. False if another context is current, as in a closed generator."""
    try:
        token.var.reset(token)
    except (ValueError, RuntimeError):
        return False
    return True


Outcome = Literal["running", "success", "failure", "refused", "cancelled"]

_CLIENT_ERRORS: Final = range(400, 500)
_HTTP_EXCEPTION: Final = "HTTPException"
"""The class name in Starlette, FastAPI, Litestar and others, which need not be installed."""


def outcome_of(
    error: BaseException | None, runtime: FinanceRuntime, expected: tuple[type[BaseException], ...] = ()
) -> Outcome:
    """Return `success`, `failure`, `refused` or `cancelled`.

    Args:
        error: The exception, if any.
        runtime: Provides the exceptions that the policy expects.
        expected: Further expected exception classes.

    Returns:
        `cancelled` if it is not an `Exception` (`asyncio.CancelledError`, interpreter exit); `refused` for an
        expected exception and for a framework's `HTTPException` with a `status_code` of 400 to 499. The status of
        other exceptions, such as a payment gateway's, is not the response's, so they are failures.
    """
    if error is None:
        return "success"
    if not isinstance(error, Exception):
        return "cancelled"
    if isinstance(error, expected) or any(_is_named(kind, runtime) for kind in type(error).__mro__):
        return "refused"
    return "refused" if _response_status(error) in _CLIENT_ERRORS else "failure"


def _response_status(error: Exception) -> int | None:
    """Return the HTTP status that the framework will respond with, or None."""
    status = getattr(error, "status_code", None)
    is_response = any(kind.__name__ == _HTTP_EXCEPTION for kind in type(error).__mro__)
    return status if is_response and isinstance(status, int) else None


def _is_named(kind: type, runtime: FinanceRuntime) -> bool:
    names = runtime.expected_errors
    return kind.__name__ in names or f"{kind.__module__}.{kind.__qualname__}" in names
