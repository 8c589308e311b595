"""The section of a policy on Sentry."""

from typing import Annotated, Literal

from mita_otel.policy.redaction import check_pattern
from mita_otel.policy.section import Bounds, PositiveInt, Seconds, Section, Validator


class SentryBreadcrumbPolicy(Section):
    """Breadcrumbs of errors."""

    enabled: bool
    """Whether log records, queries and outgoing requests become breadcrumbs of the error that follows in their trace."""
    level: Annotated[str, Bounds(pattern=r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$")]
    """The lowest level of a log record that becomes one."""
    max_breadcrumbs: PositiveInt
    """Newest breadcrumbs that are kept, by trace: log records, and as many queries and outgoing requests."""
    max_traces: PositiveInt
    """Newest traces whose breadcrumbs are kept."""


class PropagationPolicy(Section):
    """Sentry's headers on the way in and out."""

    enabled: bool
    """Whether `sentry-trace` and Sentry's part of `baggage` are read and written, beside OpenTelemetry's headers."""
    targets: tuple[Annotated[str, Validator(check_pattern)], ...]
    """Patterns of URLs, searched, that get Sentry's headers. OpenTelemetry's go everywhere."""
    prefer: Literal["traceparent", "sentry-trace"]
    """Which header is continued if they are of different traces."""
    strict_continuation: bool
    """Whether a trace is continued only if it names our organisation, or neither side names one."""
    org_id: str
    """The organisation's id. Empty: as the DSN's host says, as in `o123.ingest.sentry.io`."""
    max_traces: PositiveInt
    """Newest traces whose sampling context is remembered."""


class SentryPolicy(Section):
    """The Sentry bridge."""

    protocol: Literal["transactions", "spans", "otlp"]
    """How spans travel: as `transactions`, as streamed `spans`, or over `otlp`. See the table in the documentation."""
    max_spans: PositiveInt
    """Child spans of one transaction. The other protocols have no such bound."""
    max_event_kilobytes: Annotated[int, Bounds(ge=100)]
    """Size of one transaction or error, as JSON; Sentry refuses more than 1 MiB. A transaction leaves spans out, an
    error local variables first."""
    max_waiting_spans: PositiveInt
    """Finished children that may wait for their roots, all traces together."""
    max_waiting_megabytes: Annotated[float, Bounds(gt=0)]
    """Their estimated size."""
    max_wait_s: Seconds
    """Seconds after which children are sent although their root has not ended."""
    max_envelopes: PositiveInt
    """Envelopes that may wait for the network. If there are more, those without a breach or an error are dropped first."""
    max_megabytes: Annotated[float, Bounds(gt=0)]
    """Size of the envelopes that may wait for the network."""
    senders: Annotated[int, Bounds(ge=1, le=32)]
    """Envelopes that may be on their way to Sentry at the same time."""
    send_timeout_s: Seconds
    """Seconds one HTTP request to Sentry may take."""
    compression_level: Annotated[int, Bounds(ge=0, le=9)]
    """Of gzip; 0: nothing is compressed."""
    capture_errors: bool
    """Whether unhandled, logged and recorded exceptions become Sentry issues."""
    logs: bool
    """Whether log records are sent as Sentry logs, redacted, linked to trace and span."""
    sessions: bool
    """Whether requests are counted for release health, before any sampling. Needs a release."""
    max_captured: PositiveInt
    """Newest issues that are remembered, so that an exception is reported once."""
    max_live_traces: PositiveInt
    """Newest requests and tasks that are remembered while they are under way, so that an error can name its own."""
    max_ended_traces: PositiveInt
    """Newest requests and tasks that are remembered after their end, for errors of their background work."""
    ignored_errors: tuple[str, ...]
    """Exceptions recorded on spans that are answers rather than errors, by qualified name."""
    ignored_log_lines: tuple[str, ...]
    """Log lines of level ERROR that are no errors: `LOGGER: MESSAGE`, in which `*` matches anything."""
    breadcrumbs: SentryBreadcrumbPolicy
    propagation: PropagationPolicy
    tags: tuple[str, ...]
    """Tags that a transaction may have. The alert rules of the MITA monitoring guide trigger on them."""
