"""The outcome of an operation: not every exception is an error."""

from __future__ import annotations

from typing import Final, Literal

from mita_otel.finance.runtime import FinanceRuntime

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
