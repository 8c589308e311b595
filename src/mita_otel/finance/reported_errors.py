"""Errors that become known in other ways than through the financial API: logged, recorded, captured with sentry-sdk.

Inside a financial operation they get the same category, severity, tags and breadcrumbs, and metrics, alerts and the
audit trail count them in the same way, once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.trace import NonRecordingSpan, SpanContext

from mita_otel import semconv
from mita_otel.captured import issue_exists, mark_record
from mita_otel.finance.audit_signal import notify_audit
from mita_otel.finance.capture import ErrorReport, capture, fingerprint, publish
from mita_otel.finance.categories import FinancialErrorCategory
from mita_otel.finance.events import EventId, FinancialEvent
from mita_otel.finance.facts import Facts, known_facts
from mita_otel.finance.operation import outcome_of
from mita_otel.finance.runtime import FinanceRuntime, running
from mita_otel.finance.user import UserContext

_KEPT: Final = (semconv.USER_ID, semconv.TRANSACTION_ID, semconv.REQUEST_ID)
"""Attributes of a span that its error shows."""


def capture_logged(record: logging.LogRecord) -> None:
    """Capture a log record of level ERROR or above as an error, inside a financial operation. Never raises.

    The record is marked with the event's id, so that other handlers do not report it again.
    """
    runtime = running()
    if runtime is not None:
        runtime.guard("capturing a logged error", _capture_logged, record, runtime)


def report_issue(
    event_id: str, exception: BaseException | None, message: str, *, level: int
) -> Mapping[str, Any] | None:
    """Report an error that sentry-sdk is about to send, so that it is counted as others are. Never raises.

    Args:
        event_id: The event's id.
        exception: The exception, if there is one.
        message: The message of an event without an exception.
        level: OpenTelemetry's severity number of the event.

    Returns:
        Attributes that describe the error. None: it did not happen inside a financial operation.
    """
    runtime = running()
    if runtime is None:
        return None
    found = runtime.guard("reporting an issue", _report_issue, event_id, exception, message, level, runtime)
    return found if isinstance(found, Mapping) else None


def report_recorded(
    event_id: str, span: Mapping[str, Any], span_context: SpanContext, exception: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Report an exception that was recorded on a finished span and becomes an issue. Never raises.

    Args:
        event_id: The issue's id.
        span: The span's attributes.
        span_context: The span.
        exception: Attributes of the recorded exception.

    Returns:
        Category and severity of the error; empty if the span is not part of a financial operation.
    """
    runtime = running()
    operation = semconv.first(span, (semconv.OPERATION, semconv.OPERATION_PART_OF))
    if runtime is None or (operation is None and semconv.OPERATION_CATEGORY not in span):
        return {}
    found = runtime.guard(
        "reporting a recorded exception",
        _report_recorded,
        event_id,
        span,
        span_context,
        exception,
        None if operation is None else str(operation),
        runtime,
    )
    return found if isinstance(found, Mapping) else {}


def _capture_logged(record: logging.LogRecord, runtime: FinanceRuntime) -> None:
    facts = known_facts()
    if not _is_financial(facts):
        return
    level = SeverityNumber.FATAL if record.levelno >= logging.CRITICAL else SeverityNumber.ERROR
    exception = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if exception is None:
        event = _event(EventId.new(), None, record.getMessage(), level.value, facts, runtime)
        # The template groups records whose arguments vary.
        event = replace(event, fingerprint=(str(event.category), record.name, str(record.msg)))
        event_id = publish(event, runtime).happening.event_id
    elif outcome_of(exception, runtime) == "failure":
        event_id = capture(ErrorReport(exception=exception, level=level.value, fails_span=False), runtime)
    else:
        return
    mark_record(record, str(event_id))


def _report_issue(
    event_id: str, exception: BaseException | None, message: str, level: int, runtime: FinanceRuntime
) -> Mapping[str, Any] | None:
    facts = known_facts()
    expected = exception is not None and outcome_of(exception, runtime) != "failure"
    if expected or not _is_financial(facts):
        return None
    event = _event(EventId(event_id), exception, message, level, facts, runtime)
    with issue_exists(event_id):
        return publish(event, runtime).attributes


def _event(
    event_id: EventId,
    exception: BaseException | None,
    message: str,
    level: int,
    facts: Facts,
    runtime: FinanceRuntime,
) -> FinancialEvent:
    category = facts.category or FinancialErrorCategory.SYSTEM_ERROR.value
    return FinancialEvent(
        name=semconv.ERROR_EVENT,
        message=message,
        severity=facts.severity or runtime.operations.severity(category),
        category=category,
        event_id=event_id,
        facts=facts,
        exception=exception,
        level=level,
        fails_span=False,
        fingerprint=fingerprint(exception, category) if exception is not None else (),
    )


def _report_recorded(
    event_id: str,
    span: Mapping[str, Any],
    span_context: SpanContext,
    exception: Mapping[str, Any],
    operation: str | None,
    runtime: FinanceRuntime,
) -> Mapping[str, Any]:
    declared, of_operation = runtime.operations.declared(operation)
    category = str(
        span.get(semconv.OPERATION_CATEGORY) or declared or FinancialErrorCategory.SYSTEM_ERROR.value
    )
    severity = (of_operation or runtime.operations.severity(category)).value
    handled = str(exception.get(semconv.EXCEPTION_ESCAPED)).lower() != "true"
    described = {semconv.ERROR_CATEGORY: category, semconv.SEVERITY: severity}
    attributes = {
        **{name: span[name] for name in _KEPT if name in span},
        **({semconv.OPERATION: operation} if operation is not None else {}),
        **described,
        **{name: value for name, value in exception.items() if str(name).startswith("exception.")},
        semconv.EVENT_ID: event_id,
        semconv.HANDLED: handled,
    }
    with issue_exists(event_id):
        runtime.logger.emit(
            timestamp=time.time_ns(),
            context=trace.set_span_in_context(NonRecordingSpan(span_context)),
            severity_number=SeverityNumber.ERROR,
            severity_text="ERROR",
            body=str(exception.get(semconv.EXCEPTION_MESSAGE) or ""),
            attributes=attributes,
            event_name=semconv.ERROR_EVENT,
        )
    runtime.counts.error(category, severity, handled=handled)
    user_id = span.get(semconv.USER_ID)
    notify_audit(
        runtime,
        Facts(user=None if user_id is None else UserContext(str(user_id))),
        span_context,
        kind="error",
        name=category,
        outcome="failure",
        category=category,
        severity=severity,
        event_id=event_id,
    )
    return described


def _is_financial(facts: Facts) -> bool:
    return facts.operation is not None or facts.category is not None
