"""How a piece of work came out: not everything that is raised is an error."""

from __future__ import annotations

from typing import Final, Literal

from mita_otel.finance.runtime import FinanceRuntime

Outcome = Literal["running", "success", "failure", "refused", "cancelled"]

_CLIENT_ERRORS: Final = range(400, 500)


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
        expected exception and for one that stands for an HTTP client error (`status_code` 400 to 499).
    """
    if error is None:
        return "success"
    if not isinstance(error, Exception):
        return "cancelled"
    if isinstance(error, expected) or any(_is_named(kind, runtime) for kind in type(error).__mro__):
        return "refused"
    status = getattr(error, "status_code", None)  # Starlette's and FastAPI's way to say it
    return "refused" if isinstance(status, int) and status in _CLIENT_ERRORS else "failure"


def _is_named(kind: type, runtime: FinanceRuntime) -> bool:
    names = runtime.expected_errors
    return kind.__name__ in names or f"{kind.__module__}.{kind.__qualname__}" in names
