"""Waterfalls are exact, within their width, without colours where required, and safe to print."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from exploring import examples
from mita_otel import semconv
from mita_otel.exporters.span_record import EventRecord, SpanRecord
from mita_otel.exporters.span_tree import rows_of
from mita_otel.exporters.waterfall import Waterfall

TRACE = "9b92e0677bb58e9565da11804400ed58"


def span(
    span_id: str,
    parent: str | None = None,
    name: str = "work",
    at: tuple[float, float] = (0, 1),
    kind: str = "INTERNAL",
    attributes: dict[str, Any] | None = None,
    **more: Any,
) -> SpanRecord:
    """A span with the given start and end in milliseconds."""
    return SpanRecord(
        trace_id=TRACE,
        span_id=span_id,
        parent_span_id=parent,
        name=name,
        kind=kind,
        start_ns=round(at[0] * 1e6),
        end_ns=round(at[1] * 1e6),
        attributes=attributes or {},
        **more,
    )


def breach(limit_ms: float, rule: str) -> dict[str, Any]:
    return {
        semconv.LATENCY_EXCEEDED: True,
        semconv.LATENCY_LIMIT_MS: limit_ms,
        semconv.LATENCY_RULE: rule,
    }


def draw(spans: Iterable[SpanRecord], width: int = 80, max_rows: int = 60, **how: bool) -> str:
    return Waterfall(list(spans), max_rows=max_rows).drawn(width, **how)


SLOW_PAYMENT = [
    span(
        "a",
        name="PUT /api/payments/{id}",
        at=(0, 1200),
        kind="SERVER",
        attributes={"http.response.status_code": 200, **breach(1000, "api.financial.PUT")},
    ),
    span("b", "a", "SELECT payments", (0, 120), "CLIENT", {"db.system.name": "sqlite"}),
    span(
        "c",
        "a",
        "UPDATE payments",
        (600, 1200),
        "CLIENT",
        {
            "db.system.name": "sqlite",
            "db.query.text": "UPDATE payments SET card = ?",
            semconv.REDACTED: 1,
            semconv.REDACTED_RULES: ["sql:1"],
            **breach(400, "database.UPDATE"),
        },
    ),
]


def test_the_waterfall_of_a_slow_payment() -> None:
    assert draw(SLOW_PAYMENT) == (
        "trace 9b92e0677bb58e9565da11804400ed… 0            500          1,000 ms\n"
        "PUT /api/payments/{id} 200            █████████████████████████▒▒▒▒▒▒   1,200 ms\n"
        "│  ▲ 1,200 ms > 1,000 ms  api.financial.PUT\n"
        "├─ SELECT payments                    ███▌                                120 ms\n"
        "└─ UPDATE payments                                   ▐█████████▒▒▒▒▒▒     600 ms\n"
        "      ▲ 600 ms > 400 ms  database.UPDATE\n"
        "      ◆ 1 redacted  sql\n"
        "        UPDATE payments SET card = ?\n"
    )


def test_the_ascii_waterfall_has_the_same_layout() -> None:
    picture = draw(SLOW_PAYMENT, ascii_only=True)
    assert picture.isascii()
    assert "|  ! 1,200 ms > 1,000 ms  api.financial.PUT" in picture
    assert re.search(r"`- UPDATE payments +=+#+ +600 ms", picture)


def test_a_terminal_gets_colours_and_a_file_none() -> None:
    assert "\x1b[" in draw(SLOW_PAYMENT, colours=True)
    assert "\x1b" not in draw(SLOW_PAYMENT)


@pytest.mark.parametrize(
    ("took_ms", "limit_ms", "has_exception"),
    [
        (332.4, 300.0, "332 ms > 300 ms"),
        (300.4, 300.0, "300.4 ms > 300 ms"),
        (300.004, 300.0, "300.004 ms > 300 ms"),
        (0.75, 0.5, "1 ms > 0.5 ms"),
        (12345.0, 1200.0, "12,345 ms > 1,200 ms"),
    ],
)
def test_a_breach_is_displayed_differently_from_its_limit(
    took_ms: float, limit_ms: float, has_exception: str
) -> None:
    picture = draw([span("a", at=(0, took_ms), attributes=breach(limit_ms, "api.methods.GET"))])
    assert f"▲ {has_exception}  api.methods.GET" in picture


@pytest.mark.parametrize("took_ms", [300.001, 301, 450, 3000, 300000])
def test_the_overrun_is_visible_at_any_size(took_ms: float) -> None:
    picture = draw([span("a", at=(0, took_ms), attributes=breach(300, "r")), span("b", "a")])
    assert "▒" in picture
    assert ("█" in picture.split("\n")[1]) is (took_ms < 10000)


def test_an_exception_and_its_redacted_text_are_shown() -> None:
    message = "card [redacted:pan], cvv [redacted:cvv] refused"
    event = EventRecord("exception", 5, {"exception.type": "bank.Refused", "exception.message": message})
    failed = span(
        "a",
        attributes={semconv.REDACTED: 2, semconv.REDACTED_RULES: ["cvv:1", "pan:1"]},
        status="ERROR",
        events=(event,),
    )
    picture = draw([failed])
    assert f"✗ bank.Refused: {message}" in picture
    assert "◆ 2 redacted  cvv, pan" in picture
    coloured = draw([failed], colours=True)
    assert "\x1b[1;35m[redacted:pan]\x1b[0m" in coloured


@pytest.mark.parametrize(
    ("attributes", "description", "has_exception"),
    [
        (
            {"error.type": "sqlite3.IntegrityError"},
            "UNIQUE failed",
            "✗ sqlite3.IntegrityError: UNIQUE failed",
        ),
        ({"error.type": "500"}, None, "✗ 500"),
        ({}, None, "✗ error"),
    ],
)
def test_an_error_without_an_event_is_shown_by_its_type(
    attributes: dict[str, str], description: str | None, has_exception: str
) -> None:
    assert has_exception in draw(
        [span("a", attributes=attributes, status="ERROR", status_description=description)]
    )


def test_a_redacted_value_is_quoted_around_its_marker() -> None:
    long = "x" * 500 + "number=[redacted:pan]" + "y" * 500
    picture = draw([span("a", attributes={"url.query": long, semconv.REDACTED: 1})])
    assert re.search(r"url\.query  …x+number=\[redacted:pan\]y+…", picture)


def test_repeated_queries_are_folded_into_one_row() -> None:
    spans = [span("a", at=(0, 10))]
    spans += [span(f"b{n}", "a", "SELECT budgets", (n, n + 0.5)) for n in range(8)]
    picture = draw(spans)
    assert picture.count("SELECT budgets") == 1
    assert re.search(r"└─ SELECT budgets ×8 .* 4\.00 ms", picture)


def test_a_slow_failed_or_redacted_span_is_never_folded() -> None:
    spans = [span("a", at=(0, 20))]
    spans += [span(f"b{n}", "a", "SELECT budgets", (n, n + 0.5)) for n in range(9)]
    spans[5] = span("b4", "a", "SELECT budgets", (4, 5), attributes=breach(0.2, "database.SELECT"))
    picture = draw(spans)
    assert picture.count("SELECT budgets ×4") == 2
    assert "database.SELECT" in picture


def test_a_huge_trace_shows_its_first_rows_and_counts_the_others() -> None:
    spans = [span("a", at=(0, 6000))]
    spans += [span(f"{n}", "a", f"step {n}", (n, n + 1)) for n in range(5000)]
    spans[4000] = span("3999", "a", "step 3999", (3999, 4000), attributes=breach(0.5, "r"), status="ERROR")
    lines = draw(spans, max_rows=20).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "… 4,981 more spans, 1 over the limit, 1 failed"


def test_one_span_is_one_line() -> None:
    assert draw([span("a", name="CREATE accounts", at=(0, 0.19))], width=100) == (
        f"CREATE accounts                                 trace {TRACE}       0.19 ms\n"
    )


def test_children_are_in_order_and_a_span_without_a_parent_starts_a_tree() -> None:
    spans = [
        span("d", "gone", "orphan", (9, 10)),
        span("c", "a", "second", (5, 6)),
        span("b", "a", "first", (1, 9)),
    ]
    spans += [span("a", at=(0, 10)), span("e", "b", "inner", (2, 3))]
    rows = [(row.span.name, row.depth, row.last_of) for row in rows_of(spans)]
    assert rows == [
        ("work", 0, (True,)),
        ("first", 1, (True, False)),
        ("inner", 2, (True, False, True)),
        ("second", 1, (True, True)),
        ("orphan", 0, (True,)),
    ]


def test_spans_of_a_cycle_are_shown_once() -> None:
    spans = [span("a", "b", "a"), span("b", "a", "b"), span("c", "c", "c"), span("d", "b", "d")]
    assert sorted(row.span.name for row in rows_of(spans)) == ["a", "b", "c", "d"]


def test_a_trace_can_be_deeper_than_pythons_recursion_limit() -> None:
    spans = [span(f"{n}", f"{n - 1}" if n else None, at=(n, 6000)) for n in range(5000)]
    lines = draw(spans, max_rows=5000).splitlines()
    assert len(lines) == 5001
    assert max(map(cell_len, lines)) <= 80


NASTY = st.text(max_size=60) | st.sampled_from(
    [
        "\x1b[31mred\x1b[0m",
        "a\nb\tc",
        "口座の残高" * 20,
        "👩‍👩‍👧‍👦 family",
        "\u202eevil",
        "[bold]markup[/bold]",
        "\ud800",
    ]
)


@settings(max_examples=examples(60))
@given(
    width=st.integers(5, 160),
    names=st.lists(NASTY, min_size=1, max_size=6),
    value=NASTY,
    ascii_only=st.booleans(),
)
def test_no_line_is_wider_than_the_console(
    width: int, names: list[str], value: str, ascii_only: bool
) -> None:
    attributes = {"note": f"{value}[redacted:pan]{value}", semconv.REDACTED: 1, **breach(0.1, value)}
    spans = [
        span(str(n), str(n - 1) if n else None, name, (n, 50), "SERVER", attributes, status="ERROR")
        for n, name in enumerate(names)
    ]
    picture = draw(spans, width, 9, ascii_only=ascii_only)
    lines = picture.split("\n")
    assert max(map(cell_len, lines)) <= width
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800]", picture)
    assert lines[-1] == ""


def test_repeated_queries_are_noted_under_their_parent() -> None:
    repeated = {
        semconv.REPEATED_QUERIES: 18,
        semconv.REPEATED_QUERIES_MAX: 10,
        semconv.REPEATED_QUERIES_STATEMENT: "SELECT sum(amount) FROM transactions WHERE budget_id = ?",
    }
    lines = draw([span("a", name="GET /budgets", kind="SERVER", attributes=repeated)], 100).splitlines()
    [at] = [number for number, line in enumerate(lines) if "the same statement 18 times > 10" in line]
    assert "repeated_queries.max_repeats" in lines[at]
    assert "SELECT sum(amount) FROM transactions" in lines[at + 1]
