"""The numbers of a report are those of the database, and the same in every format."""

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
from mita_otel.reports.build import Workplace, build_report
from mita_otel.reports.model import Report, ReportKind
from mita_otel.reports.period import Period, last_days, month_of
from mita_otel.reports.schema import json_schema
from mita_otel.reports.scope import Scope
from mita_otel.reports.table import shown
from mita_otel.reports.tables import tables
from mita_otel.reports.writing import rendered
from mita_otel.store.windows import windows_of
from reports.seed import DAY_S, NOW

PERIOD = last_days(7, NOW)
KINDS: tuple[ReportKind, ...] = get_args(ReportKind)


def rows(kit: Kit, sql: str) -> list[tuple[Any, ...]]:
    with kit.database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


def between(column: str, period: Period = PERIOD) -> str:
    return f"{column} >= {period.start_ns} AND {column} < {period.end_ns}"


def test_performance_is_the_sum_of_the_windows(filled: Kit, workplace: Workplace) -> None:
    found = build_report("performance", Scope(PERIOD), workplace).performance
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


def test_one_service_and_one_environment(filled: Kit, workplace: Workplace) -> None:
    def count(scope: Scope) -> int:
        found = build_report("performance", scope, workplace).performance
        assert found is not None
        return found.total.count

    parts = [count(Scope(PERIOD, service=name)) for name in ("payments", "accounts")]
    assert sum(parts) == count(Scope(PERIOD))
    assert min(parts) > 0
    assert count(Scope(PERIOD, environment="production")) == sum(parts)
    assert count(Scope(PERIOD, environment="staging")) == 0


def test_breaches_errors_security_compliance_and_redactions_are_counted_by_the_database(
    filled: Kit, workplace: Workplace
) -> None:
    report = build_report("compliance", Scope(PERIOD), workplace)
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


def test_the_audit_trail_is_counted_and_verified(filled: Kit, workplace: Workplace) -> None:
    report = build_report("compliance", Scope(PERIOD), workplace)
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
    assert (report.security.refused, report.security.failed_logins) == (20, 20)


def test_of_one_person_there_is_only_what_is_theirs(filled: Kit, workplace: Workplace) -> None:
    report = build_report("compliance", Scope(PERIOD, user_id="user-1"), workplace)
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


def test_coverage_names_the_night_in_which_nothing_was_measured(workplace: Workplace) -> None:
    report = build_report("performance", Scope(PERIOD), workplace)
    assert report.coverage is not None
    [gap, *_] = report.coverage.gaps
    assert (gap.end - gap.start).total_seconds() == 4 * 3600
    assert gap.start.hour == 3
    assert report.coverage.minutes == 7 * 24 * 60 - 30
    assert report.coverage.minutes_measured <= report.coverage.minutes - 240


def test_trends_stand_beside_the_period_before(workplace: Workplace) -> None:
    report = build_report("weekly", Scope(PERIOD), workplace)
    before = build_report("performance", Scope(PERIOD.before()), workplace).performance
    assert before is not None
    trend = {one.name: one for one in report.trends or []}
    assert trend["95th percentile"].before == before.headline().p95_ms
    assert trend["spans, api"].before == before.headline().count


def test_an_empty_store_makes_every_report(tmp_path: Any) -> None:
    kit = Kit(tmp_path)
    kit.ledger.add([])
    for kind in KINDS:
        report = build_report(kind, Scope(PERIOD), Workplace(kit.database, kit.policy, NOW))
        for form in ("json", "csv", "md", "html"):
            assert rendered(report, form)
    kit.close()


def test_a_period_in_the_future_is_empty_and_no_error(workplace: Workplace) -> None:
    report = build_report("compliance", Scope(month_of("2030-01", NOW)), workplace)
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
def report(request: pytest.FixtureRequest, workplace: Workplace) -> Report:
    return build_report(request.param, Scope(PERIOD), workplace)


def test_json_holds_the_whole_report_and_fits_its_schema(report: Report) -> None:
    tree = json.loads(rendered(report, "json"))
    validator = Draft202012Validator(json_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)
    assert [error.message for error in validator.iter_errors(tree)] == []
    assert tree == json.loads(
        json.dumps(asdict(report), default=lambda time: time.isoformat().replace("+00:00", "Z"))
    )


def test_the_schema_refuses_another_report() -> None:
    validator = Draft202012Validator(json_schema())
    assert list(validator.iter_errors({"kind": "hourly", "more": 1}))


def test_html_shows_the_same_cells_as_the_tables(report: Report) -> None:
    reader = Tables()
    reader.feed(rendered(report, "html"))
    for table in tables(report):
        if table.rows:
            expected = [
                [shown(value, column.kind) for value, column in zip(row, table.columns, strict=True)]
                for row in table.rows
            ]
            assert reader.tables[table.name][1:] == expected


def test_markdown_shows_the_same_cells_as_the_tables(report: Report) -> None:
    text = rendered(report, "md")
    for table in tables(report):
        section = text.split(f"\n## {table.title}\n")[1].split("\n## ")[0]
        lines = [line for line in section.splitlines() if line.startswith("|")]
        assert len(lines) == (len(table.rows) + 2 if table.rows else 0)
        for line, row in zip(lines[2:], table.rows, strict=False):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            plain = [re.sub(r"\\(.)", r"\1", cell.strip()) for cell in cells]
            assert plain == [
                " ".join(shown(value, column.kind).split())
                for value, column in zip(row, table.columns, strict=True)
            ]


def test_csv_has_every_number_of_the_tables(report: Report) -> None:
    lines = list(csv.DictReader(io.StringIO(rendered(report, "csv"))))
    counts = Counter((line["table"], line["measure"]) for line in lines)
    for table in tables(report):
        for column in table.columns:
            if not column.label:
                assert counts[table.name, column.name] == len(table.rows)
    for line in lines:
        assert line["section"]
    if report.errors is not None:
        values = {line["of"]: line["value"] for line in lines if line["table"] == "errors_by_category"}
        assert values == {
            f"{one.category} / {one.severity}": str(one.count) for one in report.errors.by_category
        }


def test_no_cell_of_a_csv_is_a_formula(report: Report) -> None:
    for line in csv.reader(io.StringIO(rendered(report, "csv"))):
        for cell in line:
            assert not cell.startswith(("=", "+", "@", "\t", "\r"))
            assert not cell.startswith("-") or re.fullmatch(r"-?[\d.]+", cell)


def test_whatever_a_message_says_is_no_markup(report: Report) -> None:
    html = rendered(report, "html")
    assert "<b>amount</b>" not in html
    assert "<script" not in html
    if report.errors is not None:
        assert "&lt;b&gt;amount&lt;/b&gt;" in html
    assert DAY_S == 86_400
