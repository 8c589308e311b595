"""The section of a policy that says how much a report shows."""

from mita_otel.policy.fields import PositiveInt
from mita_otel.policy.section import Section


class ReportPolicy(Section):
    """How much a report shows."""

    max_operations: PositiveInt
    """Operations of a table; the rest is counted."""
    max_groups: PositiveInt
    """Groups of errors of a table; the rest is counted."""
    max_events: PositiveInt
    """Security events, slow spans and findings that are listed."""
    summary_rows: PositiveInt
    """Rows of each of these tables in an executive summary."""
    max_gaps: PositiveInt
    """Stretches without data that are listed."""
    gap_minutes: PositiveInt
    """Minutes without any span that are a gap."""
