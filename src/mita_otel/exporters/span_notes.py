"""What is said under a span: the limit that it broke, the error, the values that were redacted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from mita_otel import semconv
from mita_otel.exporters.glyphs import Glyphs, printable
from mita_otel.exporters.span_record import SpanRecord
from mita_otel.exporters.span_tree import Row
from mita_otel.exporters.styled_text import StyledText
from mita_otel.redaction import MARKER

_EXCERPTS = 3
"""Values with a redaction that are quoted under a span; the rest is counted."""
_BEFORE = 24
"""Characters of a long value that are shown before its first redaction."""

_REDACTED = "bold magenta"


def notes_of(row: Row, glyphs: Glyphs) -> Iterator[StyledText]:
    """Return the notes of a row. One that stands for several spans has none, or it would not."""
    if len(row.spans) > 1:
        return
    span = row.span
    statement = semconv.first(span.attributes, semconv.DB_STATEMENT)
    if span.exceeded:
        yield _breach(span, glyphs)
    if semconv.REPEATED_QUERIES in span.attributes:
        yield from _repeats(span, glyphs)
    if span.failed:
        yield from _error(span, glyphs)
    if span.redacted:
        yield from _redactions(span, glyphs)
    # Of a statement's literals nothing is left but a question mark: no marker, hence no quotation above.
    remarkable = span.exceeded or span.failed or span.redacted
    if statement is not None and remarkable and not MARKER.search(str(statement)):
        yield StyledText(f"  {printable(str(statement))}", "dim")


def _breach(span: SpanRecord, glyphs: Glyphs) -> StyledText:
    limit_ms = float(span.attributes.get(semconv.LATENCY_LIMIT_MS) or 0)
    rule = printable(str(span.attributes.get(semconv.LATENCY_RULE, "")))
    took = next(
        text
        for digits in range(7)
        if (text := f"{span.duration_ms:,.{digits}f}") != f"{limit_ms:,.{digits}f}" or digits == 6
    )
    return StyledText(f"{glyphs.breach} {took} ms > {limit_ms:,g} ms", "bold red").append(f"  {rule}", "red")


def _repeats(span: SpanRecord, glyphs: Glyphs) -> Iterator[StyledText]:
    count, most = (
        span.attributes.get(name) for name in (semconv.REPEATED_QUERIES, semconv.REPEATED_QUERIES_MAX)
    )
    line = StyledText(
        f"{glyphs.breach} the same statement {printable(str(count))} times > {printable(str(most))}",
        "bold red",
    )
    yield line.append(f"  {semconv.REPEATED_QUERIES_RULE}", "red")
    yield StyledText(
        f"  {printable(str(span.attributes.get(semconv.REPEATED_QUERIES_STATEMENT, '')))}", "dim"
    )


def _error(span: SpanRecord, glyphs: Glyphs) -> Iterator[StyledText]:
    said = False
    for event in span.events:
        if event.name == semconv.EXCEPTION_EVENT:
            said = True
            kind = event.attributes.get(semconv.EXCEPTION_TYPE, "exception")
            message = event.attributes.get(semconv.EXCEPTION_MESSAGE)
            yield _error_line(glyphs, kind, message)
    if not said:
        yield _error_line(glyphs, span.attributes.get(semconv.ERROR_TYPE, "error"), span.status_description)


def _error_line(glyphs: Glyphs, kind: Any, message: Any) -> StyledText:
    line = StyledText(f"{glyphs.failed} {printable(str(kind))}", "bold red")
    if message:
        line.append(": ", "red").append(marked(printable(str(message)), "red"))
    return line


def _redactions(span: SpanRecord, glyphs: Glyphs) -> Iterator[StyledText]:
    """Say how many values were redacted, and quote the first ones around their markers."""
    rules = span.attributes.get(semconv.REDACTED_RULES)
    names = (
        ", ".join(str(rule).rpartition(":")[0] for rule in rules) if isinstance(rules, list | tuple) else ""
    )
    line = StyledText(f"{glyphs.redacted} {span.redacted:,} redacted", _REDACTED)
    yield line.append(f"  {printable(names)}", "magenta")
    quotes = ((key, value) for key, value in _texts(span) if MARKER.search(value))
    for key, value in islice(quotes, _EXCERPTS):
        found = MARKER.search(value)
        start = max(0, found.start() - _BEFORE) if found else 0
        excerpt = (glyphs.ellipsis if start else "") + value[start:]
        yield StyledText(f"  {printable(key)}  ", "dim").append(marked(printable(excerpt), "dim"))


def _texts(span: SpanRecord) -> Iterator[tuple[str, str]]:
    for key, value in span.attributes.items():
        yield key, value if isinstance(value, str) else str(value)
    for event in span.events:
        # An exception's message is shown already; its stack trace is too long to quote.
        if event.name != semconv.EXCEPTION_EVENT:
            for key, value in event.attributes.items():
                yield f"{event.name} {key}", str(value)


def marked(text: str, style: str) -> StyledText:
    """Return the text with each marker of a redaction highlighted."""
    line, end = StyledText(), 0
    for found in MARKER.finditer(text):
        line.append(text[end : found.start()], style).append(found[0], _REDACTED)
        end = found.end()
    return line.append(text[end:], style)
