"""The methods with which code adds data, tags and a result to its operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from opentelemetry import context, trace

from mita_otel import semconv
from mita_otel.errors import raise_interrupt
from mita_otel.finance.attribute_values import attribute_value
from mita_otel.finance.facts import local_facts, with_facts
from mita_otel.finance.runtime import FinanceRuntime

_RESULT_FIELDS: Final = ("id", "status", "transaction_id", "payment_method", "merchant", "currency")
"""The only fields that are read from a result object."""


class OperationSpan:
    """Adds data to one span. Does nothing while telemetry is off. Never raises."""

    def __init__(self) -> None:
        self._runtime: FinanceRuntime | None = None
        self._span: trace.Span = trace.INVALID_SPAN

    @property
    def span(self) -> trace.Span:
        """The span; a no-op span while telemetry is off."""
        return self._span

    def set_data(self, key: str, value: Any) -> None:
        """Set the attribute `mita.operation.data.KEY`, redacted before export."""
        self._guarded(self._set, key, value)

    def add_metadata(self, key: str, value: Any) -> None:
        """Set an attribute, as `set_data` does."""
        self._guarded(self._set, key, value)

    def set_tag(self, key: str, value: str | float | bool) -> None:
        """Tag the span, and errors that happen from now on."""
        self._guarded(self._tag, key, value)

    def set_result(self, result: Any) -> None:
        """Set the result. For an object, only its type, id, status and similar fields are used."""
        self._guarded(self._result, result)

    def _guarded(self, what: Callable[..., None], *args: Any) -> None:
        if self._runtime is not None:
            self._runtime.guard("adding data to an operation", what, self._runtime, *args)

    def _set(self, runtime: FinanceRuntime, key: str, value: Any) -> None:
        if self._span.is_recording():
            self._span.set_attribute(
                f"{semconv.OPERATION_DATA}.{key}", attribute_value(value, runtime.policy.context)
            )

    def _tag(self, runtime: FinanceRuntime, key: str, value: Any) -> None:
        text = str(attribute_value(value, runtime.policy.context))
        if self._span.is_recording():
            self._span.set_attribute(f"{semconv.TAG}.{key}", text)
        facts = local_facts()
        context.attach(with_facts(facts.replace(tags={**(facts.tags or {}), str(key): text})))

    def _result(self, runtime: FinanceRuntime, result: Any) -> None:
        if not self._span.is_recording():
            return
        bounds = runtime.policy.context
        if result is None or isinstance(result, str | int | float | Enum):
            shown = "none" if result is None else attribute_value(result, bounds)
            self._span.set_attribute(semconv.OPERATION_RESULT, shown)
            return
        self._span.set_attribute(semconv.OPERATION_RESULT, type(result).__qualname__)
        for name in _RESULT_FIELDS:
            value = _member(result, name)
            if isinstance(value, str | int | float | Enum):
                self._span.set_attribute(f"{semconv.OPERATION_RESULT}.{name}", attribute_value(value, bounds))


def _member(result: Any, name: str) -> Any:
    try:
        if isinstance(result, Mapping):
            return result.get(name)
        return (
            vars(result).get(name) if hasattr(result, "_sa_instance_state") else getattr(result, name, None)
        )
    except BaseException as error:  # noqa: BLE001 - an application's property may raise anything
        raise_interrupt(error)
        return None
