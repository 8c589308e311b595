"""Reports: what the store holds, as JSON, CSV, Markdown and one self-contained HTML page."""

from mita_otel.reports.making import export_compliance_report, make_report
from mita_otel.reports.model import Report, ReportKind
from mita_otel.reports.writing import FORMATS, rendered, write_report

__all__ = [
    "FORMATS",
    "Report",
    "ReportKind",
    "export_compliance_report",
    "make_report",
    "rendered",
    "write_report",
]
