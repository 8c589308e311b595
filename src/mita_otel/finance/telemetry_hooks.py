"""Hooks of the financial API into the rest of telemetry: started spans and unhandled exceptions."""

from __future__ import annotations

from opentelemetry.sdk.trace import Span
from opentelemetry.trace import SpanKind

from mita_otel.finance.capture import ErrorReport, capture
from mita_otel.finance.facts import known_attributes, local_facts
from mita_otel.finance.operation import outcome_of
from mita_otel.finance.runtime import running


def enrich_span(span: Span) -> None:
    """Add the known facts to a span that starts. Cheap if there are none."""
    attributes = known_attributes()
    if not attributes:
        return
    span.set_attributes(attributes)
    if span.kind is SpanKind.SERVER:
        shared = local_facts().shared
        if shared is not None and shared.server_span is None:
            shared.server_span = span  # the instrumentation is inside the middleware


def capture_from_request(error: Exception, handled: bool) -> None:
    """Capture an exception that a framework handled or let through, if the middleware serves the request."""
    runtime = running()
    if runtime is None or local_facts().shared is None:
        return
    if runtime.guard("capturing an error of a request", outcome_of, error, runtime) == "failure":
        report = ErrorReport(exception=error, handled=handled)
        runtime.guard("capturing an error of a request", capture, report, runtime)
