"""Every attribute name that mita-otel reads or writes, in one table.

OpenTelemetry's semantic conventions changed their names on the way to stability. Each pair below is
(stable, old); readers take the first that is there, because instrumentations emit either.

Sources: OpenTelemetry semantic conventions 1.37 (HTTP, database, exceptions); `mita.*` is our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Names = tuple[str, ...]

# --- HTTP ---------------------------------------------------------------------------------------
HTTP_METHOD: Final[Names] = ("http.request.method", "http.method")
HTTP_STATUS_CODE: Final[Names] = ("http.response.status_code", "http.status_code")
HTTP_ROUTE: Final[Names] = ("http.route",)
HTTP_URL: Final[Names] = ("url.full", "http.url")
HTTP_PATH: Final[Names] = ("url.path", "http.target")
HTTP_QUERY: Final[Names] = ("url.query",)
HTTP_SCHEME: Final[Names] = ("url.scheme", "http.scheme")
SERVER_ADDRESS: Final[Names] = ("server.address", "net.host.name", "net.peer.name", "http.host")
SERVER_PORT: Final[Names] = ("server.port", "net.host.port", "net.peer.port")
CLIENT_ADDRESS: Final[Names] = ("client.address", "http.client_ip", "net.peer.ip")
USER_AGENT: Final[Names] = ("user_agent.original", "http.user_agent")

# --- database -----------------------------------------------------------------------------------
DB_SYSTEM: Final[Names] = ("db.system.name", "db.system")
DB_STATEMENT: Final[Names] = ("db.query.text", "db.statement")
DB_OPERATION: Final[Names] = ("db.operation.name", "db.operation")
DB_COLLECTION: Final[Names] = ("db.collection.name", "db.sql.table")
DB_NAMESPACE: Final[Names] = ("db.namespace", "db.name")
DB_QUERY_SUMMARY: Final[Names] = ("db.query.summary",)
DB_POOL_NAME: Final = "db.client.connection.pool.name"

# --- messaging, RPC -----------------------------------------------------------------------------
RPC_SYSTEM: Final[Names] = ("rpc.system.name", "rpc.system")
MESSAGING_SYSTEM: Final[Names] = ("messaging.system",)
MESSAGING_OPERATION: Final[Names] = ("messaging.operation.type", "messaging.operation")
MESSAGING_DESTINATION: Final[Names] = (
    "messaging.destination.template",
    "messaging.destination.name",
    "messaging.destination",
)

# --- Sentry's own -------------------------------------------------------------------------------
SENTRY_OP: Final = "sentry.op"
"""Set by a service: the operation that Sentry shows."""
SENTRY_NAME: Final = "sentry.custom_span_name"
"""Set by a service: the name that Sentry shows."""
SENTRY_DESCRIPTION: Final = "sentry.description"
"""Description of a span in Sentry. It is not the name of a transaction."""
SENTRY_SOURCE: Final = "sentry.source"
"""Set by a service: where the name comes from, as in `route` or `custom`."""
SENTRY_ORIGIN: Final = "sentry.origin"
"""Set by a service: what made the span, as in `manual`."""

# --- errors -------------------------------------------------------------------------------------
ERROR_TYPE: Final = "error.type"
EXCEPTION_EVENT: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
EXCEPTION_ESCAPED: Final = "exception.escaped"

# --- resource -----------------------------------------------------------------------------------
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
DEPLOYMENT_ENVIRONMENT: Final[Names] = ("deployment.environment.name", "deployment.environment")

# --- ours: operations ---------------------------------------------------------------------------
OPERATION: Final = "mita.operation"
"""Name of a financial operation, as in `payment_processing`. Only on the operation's own span: its limit applies."""
OPERATION_CATEGORY: Final = "mita.operation.category"
"""Category of a financial operation; its limit applies where the name has none."""
OPERATION_KIND: Final = "mita.operation.kind"
"""The kind of limit that applies: one of `latency.kinds.Kind`. Not set: what the span's other attributes say."""
OPERATION_PART_OF: Final = "mita.operation.part_of"
"""Name of the financial operation that a span is part of: on the server span, and on every span below."""
OPERATION_OUTCOME: Final = "mita.operation.outcome"
"""`success`, `failure`, `refused` (an expected error) or `cancelled`."""
OPERATION_RESULT: Final = "mita.operation.result"
"""What the operation said of its result; its members are `mita.operation.result.*`."""
OPERATION_DATA: Final = "mita.operation.data"
"""Prefix of what the application says of an operation, as in `mita.operation.data.merchant`."""
TAG: Final = "mita.tag"
"""Prefix of tags that the application sets, as in `mita.tag.channel`."""
SEVERITY: Final = "mita.severity"
"""`security_critical`, `critical`, `high`, `medium` or `low`."""
TRANSACTION_ID: Final = "mita.transaction.id"
"""Id of the financial transaction, as the application knows it."""
AMOUNT: Final = "mita.amount"
"""An exact decimal as text, as in `12.50`."""
CURRENCY: Final = "mita.currency"
"""ISO 4217, as in `USD`."""

# --- ours: who, and under which rules -----------------------------------------------------------
USER_ID: Final = "user.id"
USER_TIER: Final = "mita.user.subscription_tier"
"""The user's subscription, as in `premium`."""
USER_ACCOUNT_TYPE: Final = "mita.user.account_type"
"""The user's kind of account, as in `business`."""
USER_RISK_LEVEL: Final = "mita.user.risk_level"
"""The user's risk, as the application assesses it."""
REQUEST_ID: Final = "mita.request.id"
"""Id of the HTTP request, as in its `X-Request-ID`."""
PCI_SCOPE: Final = "mita.pci.scope"
"""True where cardholder data is handled."""
COMPLIANCE_REGULATION: Final = "mita.compliance.regulation"
"""As in `PCI_DSS`."""
COMPLIANCE_REQUIREMENT: Final = "mita.compliance.requirement"
"""As in `3.4_Secure_Cardholder_Data`."""
COMPLIANCE_STATUS: Final = "mita.compliance.status"
"""As in `compliant`."""
SECURITY_EVENT_TYPE: Final = "mita.security.event_type"
"""As in `failed_login`."""
SECURITY_ATTEMPTS: Final = "mita.security.attempts"
"""How many events of this kind the user or address caused within the policy's window."""

# --- ours: errors and events, as log records ----------------------------------------------------
ERROR_EVENT: Final = "mita.error"
"""Event name of a captured error: on the log record, and on the span event that points to it."""
SECURITY_EVENT: Final = "mita.security"
"""Event name of a security event."""
COMPLIANCE_EVENT: Final = "mita.compliance"
"""Event name of a statement about compliance."""
BREADCRUMB_EVENT: Final = "mita.breadcrumb"
"""Name of the span event that a breadcrumb leaves."""
EVENT_ID: Final = "mita.event.id"
"""32 hexadecimal digits; becomes the event's id in Sentry. An event without it is no issue."""
ERROR_CATEGORY: Final = "mita.error.category"
"""As in `payment_processing`."""
ERROR_SOURCE: Final = "mita.error.source"
"""`mobile` on an error that the mobile app reported. Not set: the service's own."""
MOBILE: Final = "mobile"
FINGERPRINT: Final = "mita.fingerprint"
"""Errors with the same list of strings are one issue."""
HANDLED: Final = "mita.handled"
"""False on an error that left the operation or request it happened in."""
CONTEXTS: Final = "mita.contexts"
"""Mappings by name: financial, user, request, compliance, security, performance, additional."""
TAGS: Final = "mita.tags"
"""Tags of an event: texts by name."""
BREADCRUMBS: Final = "mita.breadcrumbs"
"""What led to an error, oldest first: timestamp (seconds), message, category, level, data."""
AUDIT_EVENT: Final = "mita.audit"
"""Name of the log record that each audit entry is as well, and prefix of what it shows of the entry."""
AUDIT_CHAIN: Final = "mita.audit.chain"
"""The chain that the entry belongs to."""
AUDIT_SEQUENCE: Final = "mita.audit.sequence"
"""The entry's place in its chain."""
AUDIT_MAC: Final = "mita.audit.mac"
"""The entry's signature."""
ERROR_COUNTER: Final = "mita.errors"
"""Name of the counter of errors, by category, severity, source (`service` or `mobile`) and whether they were handled."""
SECURITY_COUNTER: Final = "mita.security.events"
"""Name of the counter of security events, by type, category and severity."""
VIOLATION_COUNTER: Final = "mita.compliance.violations"
"""Name of the counter of violations, by regulation, category and severity."""

IS_TEST: Final = "mita.test"
"""True on what `mita-otel test` sends: attribute of its span, tag of its error."""

# --- ours: limits -------------------------------------------------------------------------------
LATENCY_EXCEEDED: Final = "mita.latency.exceeded"
"""True on a span that took longer than its limit."""
LATENCY_LIMIT_MS: Final = "mita.latency.limit_ms"
"""Milliseconds that the span might have taken."""
LATENCY_DURATION_MS: Final = "mita.latency.duration_ms"
"""Milliseconds that it took."""
LATENCY_OVERRUN_MS: Final = "mita.latency.overrun_ms"
"""Milliseconds above the limit."""
LATENCY_RULE: Final = "mita.latency.rule"
"""The rule that set the limit, as in `api.financial.GET` or `database.SELECT`."""
LATENCY_KIND: Final = "mita.latency.kind"
"""The kind of limit, as in `api` or `database`."""
LATENCY_EVENT: Final = "mita.latency.breach"
"""Name of the span event that a breach leaves."""
LATENCY_COUNTER: Final = "mita.latency.breaches"
"""Name of the counter of breaches, by kind and rule."""
LATENCY_CHECKED: Final = "mita.latency.checked"
"""Name of the counter of spans that a limit applied to, by rule and whether they broke it."""
LATENCY_OVERRUN_HISTOGRAM: Final = "mita.latency.overrun"
"""Name of the histogram of seconds above the limit, by kind and rule."""
LATENCY_BURN_RATE: Final = "mita.latency.burn_rate"
"""Name of the gauge of error-budget burn rates, by rule and window."""
REPEATED_QUERIES_RULE: Final = "repeated_queries.max_repeats"
"""The rule of the same statement many times under one parent."""
REPEATED_QUERIES: Final = "mita.repeated_queries.count"
"""How often the same statement ran under this span, where that was too often."""
REPEATED_QUERIES_MAX: Final = "mita.repeated_queries.max"
"""How often it may."""
REPEATED_QUERIES_STATEMENT: Final = "mita.repeated_queries.statement"
"""The statement without its values."""
REPEATED_QUERIES_MS: Final = "mita.repeated_queries.duration_ms"
"""Milliseconds that these statements took together."""

DB_MEASURED_BY: Final = "mita.db.measured_by"
"""On a statement's span: the instrumentation whose span of the same statement is counted in its place."""

# --- ours: sampling -----------------------------------------------------------------------------
SAMPLING_RATE: Final = "mita.sampling.rate"
"""On a local root: the share of such traces that is kept, above 0 to 1. It stands for 1 / rate traces. Not set: 1."""
SAMPLING_REASON: Final = "mita.sampling.reason"
"""On a local root: why the trace was kept: `breach`, `error`, `rule`, `ratio` or `caller`."""
SAMPLING_RULE: Final = "mita.sampling.rule"
"""On a local root: the rule of the policy that set the rate."""

# --- metrics of OpenTelemetry's conventions -----------------------------------------------------
HTTP_SERVER_DURATION: Final = "http.server.request.duration"
HTTP_CLIENT_DURATION: Final = "http.client.request.duration"
DB_CLIENT_DURATION: Final = "db.client.operation.duration"
DB_WAIT_TIME: Final = "db.client.connection.wait_time"
MESSAGING_PROCESS_DURATION: Final = "messaging.process.duration"
OPERATION_DURATION: Final = "mita.operation.duration"
"""Name of the histogram of what no convention covers: financial operations, background tasks, caches, mobile."""

# --- ours: redaction and the pipeline -----------------------------------------------------------
REDACTED: Final = "mita.redacted"
"""How many values of the span were redacted."""
REDACTED_RULES: Final = "mita.redacted.rules"
"""Which rules redacted them, as `rule:count`, sorted."""
REDACTED_COUNTER: Final = "mita.redaction.values"
"""Name of the counter of values that were redacted, by rule."""
DROPPED_COUNTER: Final = "mita.pipeline.dropped"
"""Name of the counter of spans, log records and errors that were lost on the way, by stage and reason."""
SAMPLING_TRACES: Final = "mita.sampling.traces"
"""Name of the counter of traces, by whether they were kept and why."""
SAMPLING_SPANS: Final = "mita.sampling.spans"
"""Name of the counter of spans, by whether they were kept."""
SAMPLING_EARLY: Final = "mita.sampling.early"
"""Name of the counter of traces that were decided before their end because a bound was reached."""
SAMPLING_HELD: Final = "mita.sampling.held"
"""Prefix of the gauges of what waits for its decision: `.traces`, `.spans`, `.bytes`."""
# --- ours: what mobile apps send ----------------------------------------------------------------
MOBILE_REQUESTS: Final = "mita.mobile.requests"
"""Name of the counter of requests to the mobile gateway, by status and, if it was refused, by reason."""
MOBILE_ITEMS: Final = "mita.mobile.items"
"""Name of the counter of items that apps sent, by type and by what became of them."""
MOBILE_REDACTED: Final = "mita.mobile.redacted"
"""Name of the counter of values that were redacted in what apps sent, by rule."""
MOBILE_DELIVERED: Final = "mita.mobile.delivered"
"""Name of the counter of envelopes that arrived in Sentry or the store."""
MOBILE_LOST: Final = "mita.mobile.lost"
"""Name of the counter of envelopes that were accepted and dropped, by reason and priority."""
MOBILE_SPOOL: Final = "mita.mobile.spool"
"""Prefix of the gauges of what waits: `.records` and `.bytes`."""

QUEUE_SIZE: Final = "otel.sdk.processor.span.queue.size"
QUEUE_CAPACITY: Final = "otel.sdk.processor.span.queue.capacity"
EXPORTED_COUNTER: Final = "otel.sdk.exporter.span.exported"
EXPORTED_LOGS_COUNTER: Final = "otel.sdk.exporter.log.exported"
EXPORT_DURATION: Final = "otel.sdk.exporter.operation.duration"
COMPONENT_NAME: Final = "otel.component.name"
COMPONENT_TYPE: Final = "otel.component.type"


def first(attributes: Mapping[str, Any], names: Names) -> Any:
    """Return the value of the first of `names` that is there and not None, else None."""
    for name in names:
        value = attributes.get(name)
        if value is not None:
            return value
    return None


def route(attributes: Mapping[str, Any]) -> str | None:
    """Return the template of a request's route, or None. It starts with `/`, also where Django leaves that out."""
    template = first(attributes, HTTP_ROUTE)
    if not template:
        return None
    return str(template) if str(template).startswith("/") else f"/{str(template).removeprefix('^')}"
