"""`@financial_operation_monitor`: makes each call of a function a financial operation."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, ParamSpec, Protocol, Self, TypeVar, cast, overload

from mita_otel.finance.capture import Category, Severity
from mita_otel.finance.facts import known_facts
from mita_otel.finance.operation import Expected, FinancialOperation, OperationKind
from mita_otel.finance.runtime import FinanceRuntime, running
from mita_otel.finance.security import report_security
from mita_otel.finance.user import is_missing

P = ParamSpec("P")
R = TypeVar("R")
Arguments = Mapping[str, Any]


class Runs(Protocol):
    """A context manager that can be suspended and resumed between the steps of a generator."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace_back: TracebackType | None,
        /,
    ) -> None: ...

    def suspend(self) -> None:
        """Stop being current."""

    def resume(self) -> None:
        """Be current again."""


MakeRun = Callable[[Arguments], Runs]

WITHOUT_USER: Final = "operation_without_user"
"""Event type of a missing user."""
_READ: Final = ("user_id", "transaction_id", "amount", "currency")
"""Parameters of a decorated function that describe its operation."""


class MissingUserError(PermissionError):
    """An operation that requires a user was called without one, and the policy says `raise`."""


@overload
def financial_operation_monitor(operation_name: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def financial_operation_monitor(
    operation_name: str | None = None,
    category: Category | None = None,
    track_performance: bool = True,
    require_user: bool = False,
    *,
    severity: Severity | None = None,
    expected_errors: Expected = (),
    kind: OperationKind = "financial",
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def financial_operation_monitor(
    operation_name: Callable[..., Any] | str | None = None,
    category: Category | None = None,
    track_performance: bool = True,
    require_user: bool = False,
    *,
    severity: Severity | None = None,
    expected_errors: Expected = (),
    kind: OperationKind = "financial",
) -> Any:
    """Make each call of a function a financial operation. Works for functions, coroutines, generators and methods.

    The function's parameters `user_id`, `transaction_id`, `amount` and `currency` describe the operation.

    Args:
        operation_name: For example `process_payment`. None: the function's name.
        category: None: chosen by the policy's tables.
        track_performance: Whether it has a span, and thus a limit. Errors are captured in any case.
        require_user: Whether a call needs a user: the parameter, or the known user. Without one,
            `finance.operations.require_user` decides: a security event, or `MissingUserError`.
        severity: Severity of its errors. None: the policy's severity of the category.
        expected_errors: Exceptions that are business outcomes, not errors.
        kind: `background` applies the limit of background tasks.

    Example:
        >>> @financial_operation_monitor("process_payment", FinancialErrorCategory.PAYMENT_PROCESSING)
        ... async def process_payment(user_id: str, amount: Decimal, currency: str) -> None: ...
    """
    if callable(operation_name):
        return financial_operation_monitor()(operation_name)

    def monitored(function: Callable[P, R]) -> Callable[P, R]:
        name = str(operation_name or getattr(function, "__name__", "operation"))

        def make(arguments: Arguments) -> FinancialOperation:
            return FinancialOperation(
                name,
                category=category,
                kind=kind,
                severity=severity,
                expected_errors=expected_errors,
                measured=track_performance,
                **arguments,
            )

        return decorate(function, make, require_user=require_user)

    return monitored


def decorate(function: Callable[P, R], make: MakeRun, *, require_user: bool = False) -> Callable[P, R]:
    """Return a function whose calls run inside the operation that `make` returns for the arguments."""
    if isinstance(function, staticmethod | classmethod):
        wrapped = decorate(function.__func__, make, require_user=require_user)
        return cast("Callable[P, R]", type(function)(wrapped))
    read = _reader(function)

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Runs:
        runtime = running()
        if runtime is None:
            return make({})  # does nothing
        arguments = read(args, kwargs)
        operation = make(arguments)
        if require_user and is_missing(arguments.get("user_id")) and known_facts().user is None:
            _report_missing_user(getattr(operation, "name", function.__name__), runtime)
        return operation

    if inspect.isasyncgenfunction(function):
        wrap = _async_generator
    elif inspect.isgeneratorfunction(function):
        wrap = _generator
    elif inspect.iscoroutinefunction(function):
        wrap = _coroutine
    else:
        wrap = _function
    return cast("Callable[P, R]", _signed(wrap(function, begin), function))


def _signed(wrapper: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the wrapper the function's signature with resolved annotations, if possible.

    FastAPI before 0.117 resolves text annotations in the wrapper's module, which is this one.
    """
    with contextlib.suppress(Exception):  # a name that is defined later, or a callable without a signature
        wrapper.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
    return wrapper


Begin = Callable[[tuple[Any, ...], dict[str, Any]], Runs]


def _function(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if running() is None:
            return function(*args, **kwargs)
        with begin(args, kwargs):
            return function(*args, **kwargs)

    return run


def _coroutine(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    @functools.wraps(function)
    async def run(*args: Any, **kwargs: Any) -> Any:
        if running() is None:
            return await function(*args, **kwargs)
        with begin(args, kwargs):
            return await function(*args, **kwargs)

    return run


def _generator(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    """The operation is current while the generator runs, not while its caller does."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with begin(args, kwargs) as operation:
            inner = function(*args, **kwargs)
            try:
                value = next(inner)
                while True:
                    operation.suspend()
                    try:
                        sent = yield value
                    except GeneratorExit:
                        operation.resume()
                        raise
                    except BaseException as error:  # noqa: BLE001 - thrown in by the caller, for the generator to handle
                        operation.resume()
                        value = inner.throw(error)
                    else:
                        operation.resume()
                        value = next(inner) if sent is None else inner.send(sent)
            except StopIteration as stop:
                return stop.value
            finally:
                inner.close()

    return run


def _async_generator(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    @functools.wraps(function)
    async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with begin(args, kwargs) as operation:
            inner = function(*args, **kwargs)
            try:
                value = await anext(inner)
                while True:
                    operation.suspend()
                    try:
                        sent = yield value
                    except GeneratorExit:
                        operation.resume()
                        raise
                    except BaseException as error:  # noqa: BLE001 - as above
                        operation.resume()
                        value = await inner.athrow(error)
                    else:
                        operation.resume()
                        value = await inner.asend(sent)
            except StopAsyncIteration:
                return
            finally:
                await inner.aclose()

    return run


def _reader(function: Callable[..., Any]) -> Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]]:
    """Return a function that reads user, transaction and amount from a call's arguments."""
    try:
        parameters: Iterable[inspect.Parameter] = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        parameters = ()
    known = {
        parameter.name: (position, None if parameter.default is parameter.empty else parameter.default)
        for position, parameter in enumerate(parameters)
        if parameter.name in _READ and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }

    def read(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        found = {}
        for name, (position, default) in known.items():
            value = kwargs[name] if name in kwargs else args[position] if position < len(args) else default
            if value is not None:
                found[name] = value
        return found

    return read


def _report_missing_user(operation: str, runtime: FinanceRuntime) -> None:
    message = f"the operation {operation} requires a user, but there is none"
    runtime.guard(
        "a security event", report_security, runtime, WITHOUT_USER, details={"operation": operation}
    )
    if runtime.policy.operations.require_user == "raise":
        raise MissingUserError(
            f"{message}: pass user_id, or call set_financial_user() first "
            "(the policy requires it: finance.operations.require_user)"
        )
