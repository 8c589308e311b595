"""What the demo shows: a picture of each kind of trace, a table, and what to do next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from mita_otel.exporters.span_record import SpanRecord, read_spans
from mita_otel.exporters.summary_table import summarise_operations, summary_table
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
        "A request, its steps and its queries.",
        lambda trace: _is("GET /api/customers/{customer_id}/profile")(trace) and _is_healthy(trace),
    ),
    (
        "a slow balance",
        "Reading a balance may take 300 ms. What lies beyond is drawn dotted.",
        lambda trace: _is("GET /api/accounts/{account_id}/balance")(trace) and _served(trace).exceeded,
    ),
    (
        "a slow query",
        "The request kept its limit of 500 ms, its query did not keep the 200 of a SELECT.",
        lambda trace: (
            _is("GET /api/accounts/{account_id}/statement")(trace) and _breaks("database.SELECT")(trace)
        ),
    ),
    (
        "a query in a loop",
        "One query for the budgets, and one more for each of them.",
        lambda trace: _is("GET /api/accounts/{account_id}/budgets")(trace) and _is_healthy(trace),
    ),
    (
        "a payment over its limit",
        "Both the request and its UPDATE.",
        lambda trace: _breaks("api.financial.PUT")(trace) and _breaks("database.UPDATE")(trace),
    ),
    (
        "a failed payment",
        "The exception's text held the card's number and its cvv.",
        lambda trace: _is("POST /api/payments")(trace) and _served(trace).failed,
    ),
    (
        "a background task",
        "The receipt is sent after the answer: it does not slow the request, and it is in its trace.",
        lambda trace: any("background" in span.name.lower() for span in trace) and _is_healthy(trace),
    ),
    (
        "redacted values",
        "A card number and a PIN in the query string, the number in the statement.",
        _is("GET /api/cards/search"),
    ),
)


class Report:
    """Prints the demo's results.

    Args:
        console: Where to; a file is as good as a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = min(console.width, _WIDTH)

    def introduce(self, command: str) -> None:
        """Say what happens."""
        self._rule("mita-otel demo", "bold")
        self.tell("A FastAPI and SQLAlchemy service that knows nothing of telemetry, started as")
        self._print(Text(f"    {command}", "bold cyan"))
        self.tell("No SENTRY_DSN is set: spans go to a file. Limits are those of production.")
        self._print()

    def tell(self, text: str) -> None:
        """Print a sentence."""
        self._print(Text(text))

    def show(self, spans_file: Path, secrets: Sequence[str]) -> None:
        """Show what the service's exporter wrote.

        Raises:
            ValueError: A kind of trace is missing, or a secret is there.
        """
        spans = list(read_spans(spans_file))
        traces: dict[str, Trace] = defaultdict(list)
        for span in spans:
            traces[span.trace_id].append(span)
        for title, explanation, wanted in KINDS:
            # The last one: by then the service has warmed up.
            trace = next((trace for trace in reversed(traces.values()) if wanted(trace)), None)
            if trace is None:
                raise ValueError(f"the service wrote no trace that shows {title}")
            self._print()
            self._rule(title)
            self._print(Text(explanation, "dim"))
            self._print(Waterfall(trace, max_rows=60))
        self._print()
        self._rule("all operations")
        operations = summarise_operations(spans, LimitBook(default_policy("production").thresholds))
        self._print(summary_table(operations))
        self._print()
        self._count(spans, len(traces))
        self._search(spans_file, secrets)
        self._next()

    def _count(self, spans: Sequence[SpanRecord], traces: int) -> None:
        breaches = sum(span.exceeded for span in spans)
        redacted = sum(span.redacted for span in spans)
        self.tell(
            f"{len(spans):,} spans in {traces:,} traces, {breaches:,} over their limit, {redacted:,} values redacted."
        )

    def _search(self, spans_file: Path, secrets: Sequence[str]) -> None:
        written = spans_file.read_text("utf-8")
        found = sum(secret in written for secret in secrets)
        if found:
            raise ValueError(f"{found} of the {len(secrets)} secrets that were sent are in what was exported")
        self.tell(
            f"{len(secrets)} secrets were sent, in paths, queries, headers, bodies, statements, exceptions: "
            f"none was exported."
        )

    def _next(self) -> None:
        self._print()
        self._rule("next")
        self.tell("The same in Sentry, with your project's DSN:")
        command = "cd examples/payments && SENTRY_DSN=https://… opentelemetry-instrument uvicorn app:app"
        self._print(Text(f"    {command}", "bold cyan"))

    def _rule(self, title: str, style: str = "bold cyan") -> None:
        self._print(Rule(Text(title, style), align="left", style="dim"))

    def _print(self, what: object = "") -> None:
        self._console.print(what, width=self._width)
