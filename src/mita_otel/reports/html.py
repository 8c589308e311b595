"""Renders a report as one HTML page with inline style and SVG, without scripts or external requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mita_otel._text import visible_lines
from mita_otel.reports.charts import Bars, Plot, plots
from mita_otel.reports.model import Report
from mita_otel.reports.table import NOTHING, Table, Value, format_value
from mita_otel.reports.tables import tables

_TITLES: Final = {
    "trends": "Trends",
    "requirements": "Requirements",
    "performance": "Performance",
    "errors": "Errors",
    "security": "Security",
    "audit": "Audit trail",
    "compliance": "Compliance events",
    "redactions": "Redactions",
    "policies": "Policies",
    "retention": "Retention",
    "coverage": "Coverage",
    "report": "About this report",
}
"""The sections in their order on the page."""
_STATES: Final = {
    "evidence": " good", "met": " good", "no fault found": " good", "attention": " bad", "not_met": " bad",
    "FAULTS FOUND": " bad", "not_yet": " wait", "not_covered": " wait", "reviewed": " good", "late": " bad",
    "missing": " bad", "not_due": " wait",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Card:
    """A headline number at the top of the page."""

    name: str
    value: str
    css: str = ""


@dataclass(slots=True)
class HtmlSection:
    """A section of the page."""

    id: str
    title: str
    text: str = ""
    plots: list[Plot | Bars] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def as_html(report: Report) -> str:
    """Return the report as an HTML page."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_text("report.html"))
    page = template.render(
        report=report,
        period=f"{format_value(report.start, 'time')} to {format_value(report.end, 'time')}",
        css=Markup(_text("report.css")),  # noqa: S704 - a file of this package
        page_label=_page_label(report),
        cards=list(_cards(report)),
        sections=list(_sections(report)),
        format_value=format_value,
        state=_state,
    )
    return visible_lines(page.lstrip())


def _page_label(report: Report) -> Markup:
    """Return what each printed page shows beside its number. It has only characters that a CSS string may hold."""
    digest = f", SHA-256 {report.seal.sha256[:16]}" if report.seal is not None else ""
    return Markup(f"{report.title}, {report.start:%Y-%m-%d}{digest}")  # noqa: S704 - a constant, a date and a digest


def _text(name: str) -> str:
    return files("mita_otel.reports").joinpath("templates", name).read_text("utf-8")


def _state(value: Value) -> str:
    return _STATES.get(value, "") if isinstance(value, str) else ""


def _sections(report: Report) -> Iterator[HtmlSection]:
    first = ("security",) if report.kind == "daily" else ()
    sections = {name: HtmlSection(name, _TITLES[name]) for name in (*first, *_TITLES)}
    for table in tables(report):
        sections[table.section].tables.append(table)
    for plot in plots(report):
        sections[plot.section].plots.append(plot)
    if report.coverage is not None:
        covered = report.coverage
        sections[
            "coverage"
        ].text = f"{covered.minutes_measured:,} of {covered.minutes:,} minutes measured. {covered.note}"
    for section in sections.values():
        if section.tables or section.plots or section.text:
            yield section


def _cards(report: Report) -> Iterator[Card]:
    if report.performance is not None:
        total = report.performance.headline()
        suffix = "" if total.category == "all" else f", {total.category}"
        yield Card(f"spans{suffix}", f"{total.count:,}")
        yield Card(f"failed{suffix}", _share(total.errors, total.count))
        yield Card(f"exceeded limit{suffix}", _share(total.breaches, total.count))
        yield Card(f"95th percentile{suffix}", NOTHING if total.p95_ms is None else f"{total.p95_ms:,.1f} ms")
    if report.errors is not None:
        yield Card("errors", f"{report.errors.total:,}")
    if report.security is not None:
        yield Card("security events", f"{report.security.total:,}")
    if report.audit is not None:
        yield Card("audit entries", f"{report.audit.entries:,}")
        yield _integrity(report)
    if report.redactions is not None:
        yield Card("redacted values", f"{sum(one.count for one in report.redactions):,}")


def _integrity(report: Report) -> Card:
    done = report.audit.verification if report.audit else None
    if done is None:
        return Card("audit integrity", "not verified", "wait")
    return Card(
        "audit integrity", "no fault found" if done.ok else "faults found", "good" if done.ok else "bad"
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else NOTHING
