"""Captures an exception as an error event, once for each exception."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

from mita_otel import semconv
from mita_otel.captured import event_id_of, mark
from mita_otel.errors import raise_interrupt
from mita_otel.finance.audit_signal import notify_audit
from mita_otel.finance.categories import FinancialErrorCategory, FinancialSeverity, name_of, severity_of
from mita_otel.finance.events import EventId, FinancialEvent, PreparedEvent, prepare, send
from mita_otel.finance.facts import Facts, known_facts
from mita_otel.finance.request import RequestState, request_state, scope_of
from mita_otel.finance.runtime import FinanceRuntime
from mita_otel.finance.transaction import Amount, FinancialContext, TransactionId
from mita_otel.finance.user import UserContext, UserId, is_missing

Category = FinancialErrorCategory | str
"""A built-in category, or one that the policy adds."""
Severity = FinancialSeverity | str


@dataclass(frozen=True, kw_only=True)
class ErrorReport:
    """The arguments of a capture; see `capture_financial_error`."""

    exception: BaseException
    category: Category | None = None
    severity: Severity | None = None
    user_id: UserId | None = None
    transaction_id: TransactionId | None = None
    amount: Amount | None = None
    currency: str | None = None
    request: object = None
    additional: Sequence[Mapping[str, Any] | None] = ()
    tags: Mapping[str, str] | None = None
    fingerprint: Sequence[str] | None = None
    handled: bool = True
    level: int = 0
    """Lowest severity number of the error; 0: that of its severity."""
    fails_span: bool = True
    """Whether a severe error sets the status of the current span."""


def capture(report: ErrorReport, runtime: FinanceRuntime) -> EventId:
    """Send the error, unless the exception was captured before. Returns the event's id."""
    exception = report.exception
    known_id = event_id_of(exception)
    if known_id is not None:
        return EventId(known_id)
    event_id = EventId.new()
    facts = facts_for(report, runtime)
    given = name_of(report.category)
    category = given or facts.category or FinancialErrorCategory.SYSTEM_ERROR.value
    of_operation = facts.severity if given in {None, facts.category} else None
    severity = severity_of(report.severity) or of_operation or runtime.operations.severity(category)
    readable = text_of(exception) is not None
    additional = {key: value for part in report.additional for key, value in _members(part)}
    happening = FinancialEvent(
        name=semconv.ERROR_EVENT,
        message=message_of(exception),
        severity=severity,
        category=category,
        event_id=event_id,
        facts=facts,
        exception=exception if readable else None,
        attributes={} if readable else _exception_attributes(exception),
        handled=report.handled,
        level=report.level,
        fails_span=report.fails_span,
        contexts={"additional": additional} if additional else {},
        tags=dict(_members(report.tags)),
        fingerprint=list(report.fingerprint or ()) or fingerprint(exception, category),
    )
    sending = prepare(happening, runtime)
    # Mark it only now: an exception whose event could not be prepared is left to the next handler.
    if (first := mark(exception, event_id)) != event_id:
        return EventId(first)  # another thread was faster
    _publish(sending, runtime)
    return event_id


def publish(event: FinancialEvent, runtime: FinanceRuntime) -> PreparedEvent:
    """Prepare and send an error, count it, and notify the audit trail."""
    prepared = prepare(event, runtime)
    _publish(prepared, runtime)
    return prepared


def _publish(prepared: PreparedEvent, runtime: FinanceRuntime) -> None:
    event = prepared.happening
    category, severity = str(event.category), event.severity.value
    send(prepared, runtime)
    runtime.counts.error(category, severity, handled=event.handled)
    notify_audit(
        runtime,
        event.facts,
        prepared.span_context,
        kind="error",
        name=category,
        outcome="failure",
        category=category,
        severity=severity,
        event_id=event.event_id,
        details=prepared.attributes[semconv.CONTEXTS].get("additional"),
    )


def _members(mapping: object) -> Iterable[tuple[Any, Any]]:
    return mapping.items() if isinstance(mapping, Mapping) else ()


def facts_for(report: ErrorReport, runtime: FinanceRuntime) -> Facts:
    """Return the facts known here, overridden by the caller's arguments."""
    facts = known_facts()
    scope = scope_of(report.request) if report.request is not None else None
    if facts.shared is None and scope is not None:
        facts = facts.replace(shared=request_state(scope) or RequestState(scope, runtime))
    if facts.shared is not None:
        facts.shared.settle()
        facts = facts.over(facts.shared.facts)
    if report.user_id is not None:
        facts = facts.replace(user=same_user(facts.user, report.user_id))
    if report.transaction_id is not None or report.amount is not None or report.currency is not None:
        transaction = same_transaction(
            facts.transaction, report.transaction_id, report.amount, report.currency
        )
        facts = facts.replace(transaction=transaction)
    return facts


def same_user(known: UserContext | None, user_id: UserId) -> UserContext | None:
    """Return the known user if the id matches or is empty; otherwise a user with this id alone."""
    if is_missing(user_id) or (known is not None and known.id == str(user_id)):
        return known
    return UserContext(user_id)


def same_transaction(
    known: FinancialContext | None,
    transaction_id: TransactionId | None,
    amount: Amount | None,
    currency: str | None,
) -> FinancialContext:
    """Return the known transaction with new values, or a new one if the id differs."""
    if known is None or (
        transaction_id is not None and known.id is not None and known.id != str(transaction_id)
    ):
        return FinancialContext(transaction_id, amount, currency)
    news: dict[str, Any] = {"transaction_id": transaction_id, "amount": amount, "currency": currency}
    return replace(known, **{name: value for name, value in news.items() if value is not None})


def message_of(exception: BaseException) -> str:
    """Return the exception's text, or its type's name if it has none."""
    return text_of(exception) or type(exception).__qualname__


def text_of(exception: BaseException) -> str | None:
    """Return the exception's text. None: its own code fails."""
    try:
        return str(exception)
    except BaseException as error:  # noqa: BLE001 - an application's class may raise anything
        raise_interrupt(error)
        return None


def _exception_attributes(exception: BaseException) -> dict[str, str]:
    """Return the attributes of an exception whose text cannot be read, so that the SDK does not try."""
    return {
        semconv.EXCEPTION_TYPE: type(exception).__qualname__,
        semconv.EXCEPTION_STACKTRACE: "".join(traceback.format_exception(exception)),
    }


_LIBRARIES = tuple(
    {
        path
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
        if (path := sysconfig.get_paths().get(name))
    }
)
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_OURS = f"{Path(__file__).parents[1]}{os.sep}"
_MAX_FRAMES = 1000


def fingerprint(exception: BaseException, category: str) -> list[str]:
    """Return the fingerprint of an error.

    Args:
        exception: The exception, raised or not.
        category: Its category.

    Returns:
        For example `["payment_processing", "httpx.ConnectError", "bank.gateway.charge"]`.
    """
    kind = type(exception)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return [category, name, place_of(exception)]


def place_of(exception: BaseException) -> str:
    """Return the innermost function of the application in the traceback.

    For an exception that was never raised, return the running function; for one from libraries only, the library's
    function.
    """
    found, last = None, None
    entry = exception.__traceback__
    for _ in range(_MAX_FRAMES):
        if entry is None:
            break
        last = entry.tb_frame
        if is_application(last.f_code.co_filename):
            found = last
        entry = entry.tb_next
    frame = found or last or _caller()
    return "" if frame is None else f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}"


@lru_cache(maxsize=4096)
def is_application(filename: str) -> bool:
    """Return whether a file belongs to the application, not to the standard library, a package or mita-otel."""
    return not filename.startswith(("<", _OURS, *_LIBRARIES)) and not any(
        part in filename for part in _PACKAGES
    )


def _caller() -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_application(frame.f_code.co_filename):
        frame = frame.f_back
    return frame
