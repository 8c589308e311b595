"""What the financial API costs, without configuration and with it, in units of one plain OpenTelemetry span.

CPU time; rounds are interleaved and the median of each is taken, so that a busy machine slows all alike. Nothing
is exported: what is compared is what the request's own thread pays.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from mita_otel import (
    FinancialErrorCategory,
    FinancialSentryMiddleware,
    add_financial_breadcrumb,
    capture_financial_error,
    financial_operation_monitor,
    financial_transaction_context,
    set_financial_user,
)
from mita_otel.finance.facts import known_attributes
from mita_otel.finance.middleware import enrich_span
from mita_otel.finance.runtime import FinanceRuntime, install
from mita_otel.policy import default_policy
from mita_otel.processors.context import ContextLogProcessor, ContextProcessor

ROUNDS = 15
CALLS = 300
ATTRIBUTES = {"a": "x", "b": 1, "c": True, "d": "y", "e": 2.0}


class Nothing(SpanProcessor):
    """The end of the chain."""


def plain(user_id: str, amount: str) -> str:
    return user_id


monitored = financial_operation_monitor("process_payment", FinancialErrorCategory.PAYMENT_PROCESSING)(plain)


def operation() -> None:
    with financial_transaction_context("u-1", "payment_processing", "tx-1", "9.90", "EUR"):
        pass


def error() -> Exception:
    try:
        raise ValueError("gateway refused")
    except ValueError as raised:
        return raised


def capture() -> None:
    capture_financial_error(error(), "payment_processing", additional_context={"step": 1})


async def bare(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def send(message: Any) -> None:
    pass


def requests(app: Any) -> Callable[[], None]:
    scope = {
        "type": "http", "method": "POST", "path": "/api/payments", "query_string": b"", "state": {"user": "u-1"},
        "headers": [(b"host", b"bank.example"), (b"content-type", b"application/json"), (b"user-agent", b"curl")],
    }  # fmt: skip
    loop = asyncio.new_event_loop()
    return lambda: loop.run_until_complete(app(dict(scope), None, send))


def microseconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - start) / CALLS * 1e6


def medians(cases: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median of each case's rounds, taken in turn."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, call in cases.items():
            taken[name].append(microseconds(call))
    return {name: statistics.median(times) for name, times in taken.items()}


def main() -> None:
    """Print both tables."""
    bare_provider, provider, logs = TracerProvider(), TracerProvider(), LoggerProvider()
    bare_provider.add_span_processor(Nothing())
    provider.add_span_processor(ContextProcessor(enrich_span, Nothing()))
    logs.add_log_record_processor(ContextLogProcessor(known_attributes))
    bare_tracer, tracer, logger = (
        bare_provider.get_tracer("bench"),
        provider.get_tracer("bench"),
        logs.get_logger("bench"),
    )

    def span(tracer: Any = bare_tracer) -> None:
        with tracer.start_as_current_span("x", attributes=ATTRIBUTES):
            pass

    def in_context() -> None:
        span(tracer)

    def log_error() -> None:
        logger.emit(body="x", exception=error(), severity_number=SeverityNumber.ERROR, attributes=ATTRIBUTES)

    base = "a plain span with five attributes"
    api: dict[str, Callable[[], object]] = {
        base: span,
        "a function call": lambda: plain("u-1", "9.90"),
        "the same, decorated": lambda: monitored("u-1", "9.90"),
        "with financial_transaction_context(…)": operation,
        "add_financial_breadcrumb(…)": lambda: add_financial_breadcrumb("step", data={"a": 1}),
        "raising and catching an exception": error,
        "the same, and capture_financial_error(…)": capture,
        "an ASGI application that answers": requests(bare),
        "the same, in the middleware": requests(FinancialSentryMiddleware(bare)),
    }
    _print("without configure()", medians(api), base)
    install(FinanceRuntime(default_policy().finance, tracer=tracer, logger=logger))
    configured = {
        **api,
        "an exception in a plain log record": log_error,
        "a span where nothing is known": in_context,
    }
    result = medians(configured)
    with financial_transaction_context("u-1", "payment_processing", "tx-1"):
        set_financial_user("u-1")
        result.update(medians({"a span where user and transaction are known": in_context}))
    _print("configured", result, base)


def _print(title: str, result: dict[str, float], base: str) -> None:
    print(f"\n{title:<48}{'µs':>8}{'spans':>8}")
    for name, time_us in result.items():
        print(f"  {name:<46}{time_us:>8.2f}{time_us / result[base]:>8.2f}")


if __name__ == "__main__":
    main()
