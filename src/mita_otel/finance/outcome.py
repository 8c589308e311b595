"""How a piece of work came out: not everything that is raised is an error."""

from __future__ import annotations

from typing import Final, Literal

from mita_otel.finance.runtime import FinanceRuntime

Outcome = Literal["running", "success", "failure", "refused", "cancelled"]

_CLIENT_ERRORS: Final = range(400, 500)
_HTTP_EXCEPTION: Final = "HTTPException"
"""The name of the class in Starlette, FastAPI, Litestar and others; none of them has to be installed."""


def outcome_of(
    error: BaseException | None, runtime: FinanceRuntime, expected: tuple[type[BaseException], ...] = ()
) -> Outcome:
    """Return `success`, `failure`, `refused` or `cancelled`.

    Args:
        error: What was raised, if anything.
        runtime: Knows which exceptions the policy expects.
        expected: Classes of exceptions that are expected here.

    Returns:
        `cancelled` for what is no `Exception` (`asyncio.CancelledError`, the interpreter's end), `refused` for an
        expected exception and for a framework's `HTTPException` with a `status_code` of 400 to 499. Others may have
        a status of their own, as a payment gateway's do: theirs is what the gateway said, and a failure here.
    """
    if error is None:
        return "success"
    if not isinstance(error, Exception):
        return "cancelled"
    if isinstance(error, expected) or any(_is_named(kind, runtime) for kind in type(error).__mro__):
        return "refused"
    return "refused" if _answers_with(error) in _CLIENT_ERRORS else "failure"


def _answers_with(error: Exception) -> int | None:
    """Return the HTTP status that a framework will answer with, or None."""
    status = getattr(error, "status_code", None)
    is_answer = any(kind.__name__ == _HTTP_EXCEPTION for kind in type(error).__mro__)
    return status if is_answer and isinstance(status, int) else None


def _is_named(kind: type, runtime: FinanceRuntime) -> bool:
    names = runtime.expected_errors
    return kind.__name__ in names or f"{kind.__module__}.{kind.__qualname__}" in names
