"""Prints the result of the demo: one trace of each kind, a table of operations, the next step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from demo_operations import operations_table, summarise_operations
from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from mita_otel.exporters.span_record import SpanRecord, read_spans
from mita_otel.exporters.waterfall import Waterfall
from mita_otel.latency.limits import LimitBook
from mita_otel.policy import default_policy

Trace = list[SpanRecord]

_WIDTH = 100


def _served(trace: Trace) -> SpanRecord:
    return next((span for span in trace if span.kind == "SERVER"), trace[0])


def _is(name: str) -> Callable[[Trace], bool]:
    return lambda trace: _served(trace).name == name


def _breaks(rule: str) -> Callable[[Trace], bool]:
    return lambda trace: any(span.attributes.get("mita.latency.rule") == rule for span in trace)


def _is_healthy(trace: Trace) -> bool:
    return not any(span.exceeded or span.failed for span in trace)


KINDS: tuple[tuple[str, str, Callable[[Trace], bool]], ...] = (
    (
        "a healthy read",
        "A request with its steps and queries.",
        lambda trace: _is("GET /api/customers/{customer_id}/profile")(trace) and _is_healthy(trace),
    ),
    (
        "a slow balance",
        "The limit for reading a balance is 300 ms. The time above the limit is drawn dotted.",
        lambda trace: _is("GET /api/accounts/{account_id}/balance")(trace) and _served(trace).exceeded,
    ),
    (
        "a slow query",
        "The request stayed within its 500 ms limit; its query exceeded the 200 ms limit for SELECT.",
        lambda trace: (
            _is("GET /api/accounts/{account_id}/statement")(trace) and _breaks("database.SELECT")(trace)
        ),
    ),
    (
        "a query in a loop",
        "One query for the budgets, and one more for each budget.",
        lambda trace: _is("GET /api/accounts/{account_id}/budgets")(trace) and _is_healthy(trace),
    ),
    (
        "a payment over its limit",
        "The request and its UPDATE both exceeded their limits.",
        lambda trace: _breaks("api.financial.PUT")(trace) and _breaks("database.UPDATE")(trace),
    ),
    (
        "a failed payment",
        "The exception message contained the card number and the CVV.",
        lambda trace: _is("POST /api/payments")(trace) and _served(trace).failed,
    ),
    (
        "a background task",
        "The receipt is sent after the response: it does not delay the request, and it is in the same trace.",
        lambda trace: any("background" in span.name.lower() for span in trace) and _is_healthy(trace),
    ),
    (
        "redacted values",
        "The query string contained a card number and a PIN; the SQL statement contained the card number.",
        _is("GET /api/cards/search"),
    ),
)


def _picture(trace: Trace, width: int) -> Text:
    return Text.from_ansi(Waterfall(trace, max_rows=60).drawn(width, colours=True))


class DemoReport:
    """Prints the result of the demo.

    Args:
        console: A terminal or a file.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = min(console.width, _WIDTH)

    def introduce(self, command: str) -> None:
        """Print what the demo does."""
        self._rule("mita-otel demo", "bold")
        self.say("An unmodified FastAPI and SQLAlchemy service, started with")
        self._print(Text(f"    {command}", "bold cyan"))
        self.say("SENTRY_DSN is not set, so spans go to a file. The production limits apply.")
        self._print()

    def say(self, text: str) -> None:
        """Print a sentence."""
        self._print(Text(text))

    def show(self, spans_file: Path, secrets: Sequence[str]) -> None:
        """Show the spans in the file.

        Raises:
            ValueError: A kind of trace is missing, or a secret was exported.
        """
        spans = list(read_spans(spans_file))
        traces: dict[str, Trace] = defaultdict(list)
        for span in spans:
            traces[span.trace_id].append(span)
        for title, explanation, wanted in KINDS:
            # The last one, because the service is warm by then.
            trace = next((trace for trace in reversed(traces.values()) if wanted(trace)), None)
            if trace is None:
                raise ValueError(f"the service exported no trace of {title}")
            self._print()
            self._rule(title)
            self._print(Text(explanation, "dim"))
            self._print(_picture(trace, self._width))
        self._print()
        self._rule("all operations")
        operations = summarise_operations(spans, LimitBook(default_policy("production").thresholds))
        self._print(operations_table(operations))
        self._print()
        self._count(spans, len(traces))
        self._search(spans_file, secrets)
        self._next()

    def _count(self, spans: Sequence[SpanRecord], traces: int) -> None:
        breaches = sum(span.exceeded for span in spans)
        redacted = sum(span.redacted for span in spans)
        self.say(
            f"{len(spans):,} spans in {traces:,} traces, {breaches:,} exceeded their limit, {redacted:,} values redacted."
        )

    def _search(self, spans_file: Path, secrets: Sequence[str]) -> None:
        written = spans_file.read_text("utf-8")
        found = sum(secret in written for secret in secrets)
        if found:
            raise ValueError(f"{found} of {len(secrets)} secrets were exported")
        self.say(
            f"{len(secrets)} secrets were sent in paths, queries, headers, bodies, SQL and exceptions; "
            f"none was exported."
        )

    def _next(self) -> None:
        self._print()
        self._rule("next")
        self.say("The same traces in Sentry, with the DSN of your project:")
        command = "cd examples/payments && SENTRY_DSN=https://… opentelemetry-instrument uvicorn app:app"
        self._print(Text(f"    {command}", "bold cyan"))

    def _rule(self, title: str, style: str = "bold cyan") -> None:
        self._print(Rule(Text(title, style), align="left", style="dim"))

    def _print(self, renderable: object = "") -> None:
        self._console.print(renderable, width=self._width)
