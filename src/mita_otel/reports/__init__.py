"""Reports from the store or from Sentry, as JSON, CSV, Markdown and a self-contained HTML page."""

from mita_otel.reports.export import create_report, export_compliance_report
from mita_otel.reports.model import Report, ReportKind
from mita_otel.reports.output import FORMATS, render_report, write_report

__all__ = [
    "FORMATS",
    "Report",
    "ReportKind",
    "create_report",
    "export_compliance_report",
    "render_report",
    "write_report",
]
