"""The numbers of a report equal those of the database, in every format."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from dataclasses import asdict
from html.parser import HTMLParser
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from audit.kit import Kit
from mita_otel.latency.sketch import Sketch
from mita_otel.latency.window import add_up
from mita_otel.reports.model import Report, ReportKind
from mita_otel.reports.output import json_schema, render_report
from mita_otel.reports.report_builder import ReportInputs, build_report
from mita_otel.reports.scope import Period, ReportScope, last_days, month_of
from mita_otel.reports.table import format_value
from mita_otel.reports.tables import tables
from mita_otel.store.windows import windows_of
from reports.seed import DAY_S, NOW

PERIOD = last_days(7, NOW)
KINDS: tuple[ReportKind, ...] = get_args(ReportKind)


def rows(kit: Kit, sql: str) -> list[tuple[Any, ...]]:
    with kit.database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


def between(column: str, period: Period = PERIOD) -> str:
    return f"{column} >= {period.start_ns} AND {column} < {period.end_ns}"


def test_performance_merges_the_windows(filled: Kit, inputs: ReportInputs) -> None:
    found = build_report("performance", ReportScope(PERIOD), inputs).performance
    assert found is not None
    with filled.database.read() as connection:
        windows = list(windows_of(connection, PERIOD.start.timestamp(), PERIOD.end.timestamp()))
    whole = add_up(windows, 0.01, 0)
    sketch = Sketch.unpack(whole.sketch)
    assert (found.total.count, found.total.errors, found.total.breaches) == (
        whole.count,
        whole.errors,
        whole.breaches,
    )
    assert found.total.p99_ms == pytest.approx(sketch.percentile(99), abs=0.001)
    assert found.total.mean_ms == pytest.approx(whole.total_ms / whole.count, abs=0.001)
    assert sum(one.count for one in found.categories) == found.total.count
    assert sum(one.count for one in found.operations) == found.total.count
    assert sum(one.count for one in found.steps) == found.total.count
    for one in found.operations:
        mine = [w for w in windows if (w.kind, w.operation) == (one.category, one.operation)]
        assert one.p95_ms == pytest.approx(
            Sketch.unpack(add_up(mine, 0.01, 0).sketch).percentile(95), abs=0.001
        )
        assert one.limit_ms == mine[0].limit_ms
    worst = max(span.duration_ms for window in windows for span in window.slowest)
    assert found.slowest[0].duration_ms == pytest.approx(worst, abs=0.001)


def test_a_report_is_filtered_by_service_and_environment(filled: Kit, inputs: ReportInputs) -> None:
    def count(scope: ReportScope) -> int:
        found = build_report("performance", scope, inputs).performance
        assert found is not None
        return found.total.count

    parts = [count(ReportScope(PERIOD, service=name)) for name in ("payments", "accounts")]
    assert sum(parts) == count(ReportScope(PERIOD))
    assert min(parts) > 0
    assert count(ReportScope(PERIOD, environment="production")) == sum(parts)
    assert count(ReportScope(PERIOD, environment="staging")) == 0


def test_counts_equal_those_of_the_database(filled: Kit, inputs: ReportInputs) -> None:
    report = build_report("compliance", ReportScope(PERIOD), inputs)
    assert report.performance is not None
    assert report.errors is not None
    assert report.security is not None
    by_rule = dict(
        rows(filled, f"SELECT rule, count(*) FROM mita_breaches WHERE {between('occurred_ns')} GROUP BY rule")
    )
    assert {one.rule: one.count for one in report.performance.breaches} == by_rule
    for one in report.performance.breaches:
        [(worst,)] = rows(
            filled,
            f"SELECT max(duration_ms) FROM mita_breaches WHERE rule = '{one.rule}' AND {between('occurred_ns')}",
        )
        assert one.worst_ms == worst
    counted = rows(
        filled,
        f"SELECT category, severity, count(*) FROM mita_errors WHERE kind = 'error' AND {between('occurred_ns')} GROUP BY category, severity",
    )
    assert {(one.category, one.severity, one.count) for one in report.errors.by_category} == set(counted)
    assert report.errors.total == sum(count for *_, count in counted)
    assert sum(one.count for one in report.errors.steps) == report.errors.total
    assert sum(one.count for one in report.errors.groups) == report.errors.total
    named = dict(
        rows(
            filled,
            f"SELECT name, count(*) FROM mita_errors WHERE kind = 'security' AND {between('occurred_ns')} GROUP BY name",
        )
    )
    assert {one.name: one.count for one in report.security.by_name} == named
    regulated = rows(
        filled,
        f"SELECT json_extract(details, '$.\"mita.compliance.status\"'), count(*) FROM mita_errors WHERE kind = 'compliance' AND {between('occurred_ns')} GROUP BY 1",
    )
    assert {(one.status, one.count) for one in report.compliance or []} == set(regulated)
    taken = dict(
        rows(filled, f"SELECT rule, sum(count) FROM mita_redactions WHERE {between('hour_ns')} GROUP BY rule")
    )
    assert {one.name: one.count for one in report.redactions or []} == {
        rule: count for rule, count in taken.items() if count
    }


def test_the_audit_trail_is_counted_and_verified(filled: Kit, inputs: ReportInputs) -> None:
    report = build_report("compliance", ReportScope(PERIOD), inputs)
    assert report.audit is not None
    kinds = dict(
        rows(
            filled,
            f"SELECT event_type, count(*) FROM mita_audit_entries WHERE {between('recorded_ns')} GROUP BY event_type",
        )
    )
    assert {one.name: one.count for one in report.audit.by_type} == kinds
    assert report.audit.verification is not None
    assert report.audit.verification.ok
    assert report.audit.verification.entries == len(filled.rows())
    assert [one.sha256 for one in report.policies or []] == ["0" * 64]
    assert report.security is not None
    assert (report.security.denied, report.security.failed_logins) == (20, 20)


def test_a_report_of_one_person_contains_only_their_data(filled: Kit, inputs: ReportInputs) -> None:
    report = build_report("compliance", ReportScope(PERIOD, user_id="user-1"), inputs)
    assert report.audit is not None
    assert report.errors is not None
    assert report.performance is None
    assert report.redactions is None
    [(entries,)] = rows(
        filled,
        f"SELECT count(*) FROM mita_audit_entries WHERE user_id = 'user-1' AND {between('recorded_ns')}",
    )
    assert report.audit.entries == entries > 0
    [(errors,)] = rows(
        filled,
        f"SELECT count(*) FROM mita_errors WHERE user_id = 'user-1' AND kind = 'error' AND {between('occurred_ns')}",
    )
    assert report.errors.total == errors > 0


def test_coverage_lists_the_night_without_measurements(inputs: ReportInputs) -> None:
    report = build_report("performance", ReportScope(PERIOD), inputs)
    assert report.coverage is not None
    [gap, *_] = report.coverage.gaps
    assert (gap.end - gap.start).total_seconds() == 4 * 3600
    assert gap.start.hour == 3
    assert report.coverage.minutes == 7 * 24 * 60 - 30
    assert report.coverage.minutes_measured <= report.coverage.minutes - 240


def test_trends_compare_with_the_previous_period(inputs: ReportInputs) -> None:
    report = build_report("weekly", ReportScope(PERIOD), inputs)
    before = build_report("performance", ReportScope(PERIOD.before()), inputs).performance
    assert before is not None
    trend = {one.name: one for one in report.trends or []}
    assert trend["95th percentile"].before == before.headline().p95_ms
    assert trend["spans, api"].before == before.headline().count


def test_every_report_works_with_an_empty_store(tmp_path: Any) -> None:
    kit = Kit(tmp_path)
    kit.ledger.add([])
    for kind in KINDS:
        report = build_report(kind, ReportScope(PERIOD), ReportInputs(kit.database, kit.policy, NOW))
        for form in ("json", "csv", "md", "html"):
            assert render_report(report, form)
    kit.close()


def test_a_future_period_is_empty(inputs: ReportInputs) -> None:
    report = build_report("compliance", ReportScope(month_of("2030-01", NOW)), inputs)
    assert report.coverage is not None
    assert (report.coverage.minutes, report.coverage.gaps) == (0, [])


# --- every format ------------------------------------------------------------------------------------
class Tables(HTMLParser):
    """Reads the tables of an HTML page."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self._table: list[list[str]] | None = None
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._table = self.tables.setdefault(str(dict(attrs)["id"]), [])
        elif tag == "tr" and self._table is not None:
            self._table.append([])
        elif tag in ("td", "th"):
            self._cell = []

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._table is not None and self._cell is not None:
            self._table[-1].append("".join(self._cell))
            self._cell = None


@pytest.fixture(params=KINDS)
def report(request: pytest.FixtureRequest, inputs: ReportInputs) -> Report:
    return build_report(request.param, ReportScope(PERIOD), inputs)


def test_json_contains_the_whole_report_and_matches_its_schema(report: Report) -> None:
    tree = json.loads(render_report(report, "json"))
    validator = Draft202012Validator(json_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)
    assert [error.message for error in validator.iter_errors(tree)] == []
    assert tree == json.loads(
        json.dumps(asdict(report), default=lambda time: time.isoformat().replace("+00:00", "Z"))
    )


def test_the_schema_rejects_an_invalid_report() -> None:
    validator = Draft202012Validator(json_schema())
    assert list(validator.iter_errors({"kind": "hourly", "more": 1}))


def test_html_shows_the_same_cells_as_the_tables(report: Report) -> None:
    reader = Tables()
    reader.feed(render_report(report, "html"))
    for table in tables(report):
        if table.rows:
            expected = [
                [format_value(value, column.kind) for value, column in zip(row, table.columns, strict=True)]
                for row in table.rows
            ]
            assert reader.tables[table.name][1:] == expected


def test_markdown_shows_the_same_cells_as_the_tables(report: Report) -> None:
    text = render_report(report, "md")
    for table in tables(report):
        section = text.split(f"\n## {table.title}\n")[1].split("\n## ")[0]
        lines = [line for line in section.splitlines() if line.startswith("|")]
        assert len(lines) == (len(table.rows) + 2 if table.rows else 0)
        for line, row in zip(lines[2:], table.rows, strict=False):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            plain = [re.sub(r"\\(.)", r"\1", cell.strip()) for cell in cells]
            assert plain == [
                " ".join(format_value(value, column.kind).split())
                for value, column in zip(row, table.columns, strict=True)
            ]


def test_csv_has_every_number_of_the_tables(report: Report) -> None:
    lines = list(csv.DictReader(io.StringIO(render_report(report, "csv"))))
    counts = Counter((line["table"], line["measure"]) for line in lines)
    for table in tables(report):
        for column in table.columns:
            if not column.label:
                assert counts[table.name, column.name] == len(table.rows)
    for line in lines:
        assert line["section"]
    if report.errors is not None:
        values = {line["item"]: line["value"] for line in lines if line["table"] == "errors_by_category"}
        assert values == {
            f"{one.category} / {one.severity}": str(one.count) for one in report.errors.by_category
        }


def test_csv_contains_no_formulas(report: Report) -> None:
    for line in csv.reader(io.StringIO(render_report(report, "csv"))):
        for cell in line:
            assert not cell.startswith(("=", "+", "@", "\t", "\r"))
            assert not cell.startswith("-") or re.fullmatch(r"-?[\d.]+", cell)


def test_html_escapes_messages(report: Report) -> None:
    html = render_report(report, "html")
    assert "<b>amount</b>" not in html
    assert "<script" not in html
    if report.errors is not None:
        assert "&lt;b&gt;amount&lt;/b&gt;" in html
    assert DAY_S == 86_400
