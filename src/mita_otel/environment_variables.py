"""Every environment variable that mita-otel reads, declared once.

The standard ones keep their meaning. (The names here do not start with `OTEL_`: OpenTelemetry's launcher makes a
command-line argument of each such name, and the SDK has declared its own already.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# --- Sentry ------------------------------------------------------------------------------------------
SENTRY_DSN: Final = "SENTRY_DSN"
"""Where the `sentry` exporter sends to. Not set: the exporters of `export.without_dsn` in the policy are used."""
SENTRY_ENVIRONMENT: Final = "SENTRY_ENVIRONMENT"
"""Name of the environment; chooses the policy's overlay."""
SENTRY_RELEASE: Final = "SENTRY_RELEASE"
"""Release, as in `mita-finance@1.0.0`. Names the service and its version where nothing else does."""
SENTRY_TRACES_SAMPLE_RATE: Final = "SENTRY_TRACES_SAMPLE_RATE"
"""The share of traces that nothing is wrong with, 0 to 1; slow and failed ones are kept at any rate. Sets
`sampling.ratio`, and `sampling.mode` to `tail`."""
SENTRY_DEBUG: Final = "SENTRY_DEBUG"
"""`true`: the Sentry SDK says on stderr what it does."""
SENTRY_SPOTLIGHT: Final = "SENTRY_SPOTLIGHT"
"""`true`, or the URL of Spotlight's sidecar: it gets all that Sentry gets. Without a DSN it alone does."""
SENTRY_ORG: Final = "SENTRY_ORG"
"""Slug of the organisation, for what is asked of Sentry's API."""
SENTRY_PROJECT_BACKEND: Final = "SENTRY_PROJECT_BACKEND"
"""Slug of the project, for what is asked of Sentry's API. Not set: reports are of all that the token may read."""
SENTRY_PROJECT_MOBILE: Final = "SENTRY_PROJECT_MOBILE"
"""Slug of the mobile app's project, for alerts in Sentry."""
SENTRY_AUTH_TOKEN: Final = "SENTRY_AUTH_TOKEN"  # noqa: S105 - a name, not a token
"""Token for Sentry's API; reports need the scope `org:read`, alerts `alerts:write` and `project:read` as well, releases
`project:releases`."""
SENTRY_URL: Final = "SENTRY_URL"
"""Where Sentry is, for its API. Not set: `https://sentry.io`; `https://de.sentry.io`, or your own."""
ENVIRONMENT: Final = "ENVIRONMENT"
"""Name of the environment, where `SENTRY_ENVIRONMENT` is not set."""

# --- alerts: where messages go -----------------------------------------------------------------------
SLACK_FINANCE_WEBHOOK: Final = "SLACK_FINANCE_WEBHOOK"
"""URL of the incoming webhook of #finance-alerts."""
SLACK_SECURITY_WEBHOOK: Final = "SLACK_SECURITY_WEBHOOK"
"""Of #security-alerts."""
SLACK_PAYMENTS_WEBHOOK: Final = "SLACK_PAYMENTS_WEBHOOK"
"""Of #payments-critical. Not set: #finance-alerts gets its messages."""
SLACK_COMPLIANCE_WEBHOOK: Final = "SLACK_COMPLIANCE_WEBHOOK"
"""Of #compliance-critical. Not set: #security-alerts gets its messages."""
SLACK_DEVOPS_WEBHOOK: Final = "SLACK_DEVOPS_WEBHOOK"
"""Of #devops-alerts. Not set: #finance-alerts gets its messages."""
PAGERDUTY_FINANCE_KEY: Final = "PAGERDUTY_FINANCE_KEY"
"""Integration key (Events API v2) of the service Finance Critical."""
PAGERDUTY_SECURITY_KEY: Final = "PAGERDUTY_SECURITY_KEY"
"""Of Security Critical. Not set, as those below: Finance Critical is notified."""
PAGERDUTY_COMPLIANCE_KEY: Final = "PAGERDUTY_COMPLIANCE_KEY"
"""Of Compliance Critical."""
PAGERDUTY_DEVOPS_KEY: Final = "PAGERDUTY_DEVOPS_KEY"
"""Of DevOps."""
SMTP_URL: Final = "MITA_OTEL_SMTP_URL"
"""The mail server: `smtp://user:password@host:587`, or `smtps://…`. Not set: no e-mail is sent."""

# --- mita-otel's own ---------------------------------------------------------------------------------
POLICY: Final = "MITA_OTEL_POLICY"
"""Path of the policy file."""
FILE: Final = "MITA_OTEL_FILE"
"""Path that the `file` exporter writes to."""
HMAC_KEY: Final = "MITA_OTEL_HMAC_KEY"
"""Key of the redactor's `hmac` mode. Not set: such values are masked."""
DATABASE_URL: Final = "MITA_OTEL_DATABASE_URL"
"""The store: a PostgreSQL or SQLite URL, as SQLAlchemy writes it. Not set: `store.url` of the policy."""
AUDIT_KEY: Final = "MITA_OTEL_AUDIT_KEY"
"""Key of the audit trail's hash chain, at least 16 characters. Not set: the chain has no key."""
AUDIT_OLD_KEYS: Final = "MITA_OTEL_AUDIT_OLD_KEYS"
"""Former keys, separated by commas: entries that they signed can still be verified."""
AUDIT_SPOOL: Final = "MITA_OTEL_AUDIT_SPOOL"
"""Folder where audit entries are made durable first. Not set: `audit.spool.folder` of the policy."""
AUDIT_ANCHORS: Final = "MITA_OTEL_AUDIT_ANCHORS"
"""File of the audit trail's anchors. Not set: `audit.anchors.path` of the policy."""
HEALTH_TOKEN: Final = "MITA_OTEL_HEALTH_TOKEN"  # noqa: S105 - the name of a variable
"""Bearer token that health endpoints show details for. Not set: details are not shown."""
MOBILE_SPOOL: Final = "MITA_OTEL_MOBILE_SPOOL"
"""Folder where what mobile apps sent waits for Sentry. Not set: `mobile.spool.folder` of the policy."""
OVERRIDE_PREFIX: Final = "MITA_OTEL_"
"""`MITA_OTEL_SECTION__KEY=value` sets a value of the policy, as in `MITA_OTEL_SENTRY__MAX_SPANS=500`."""

# --- OpenTelemetry's, those that mita-otel reads itself (the SDK reads the rest) ---------------------
TRACES_EXPORTER: Final = "OTEL_TRACES_EXPORTER"
"""Names of the span exporters, separated by commas."""
METRICS_EXPORTER: Final = "OTEL_METRICS_EXPORTER"
"""Names of the metric exporters. Not set: metrics are not exported."""
LOGS_EXPORTER: Final = "OTEL_LOGS_EXPORTER"
"""Names of the log exporters. Not set: log records are not exported."""
BSP_SCHEDULE_DELAY: Final = "OTEL_BSP_SCHEDULE_DELAY"
"""Milliseconds that a span waits for others before it is sent. Sets `export.queue.delay_ms`."""
BSP_MAX_QUEUE_SIZE: Final = "OTEL_BSP_MAX_QUEUE_SIZE"
"""Spans that may wait for an exporter. Sets `export.queue.exporter_max_spans`."""
BSP_MAX_EXPORT_BATCH_SIZE: Final = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
"""Spans that an exporter receives at once. Sets `export.queue.max_batch`."""
BLRP_SCHEDULE_DELAY: Final = "OTEL_BLRP_SCHEDULE_DELAY"
"""As `OTEL_BSP_SCHEDULE_DELAY`, for log records. Not set: `export.queue.delay_ms` of the policy."""
BLRP_MAX_QUEUE_SIZE: Final = "OTEL_BLRP_MAX_QUEUE_SIZE"
"""As `OTEL_BSP_MAX_QUEUE_SIZE`, for log records."""
BLRP_MAX_EXPORT_BATCH_SIZE: Final = "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE"
"""As `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`, for log records."""
FASTAPI_EXCLUDED_URLS: Final = "OTEL_PYTHON_FASTAPI_EXCLUDED_URLS"
"""Regular expressions of URLs that are not measured, separated by commas. Not set: `OTEL_PYTHON_EXCLUDED_URLS`."""
PROMETHEUS_PORT: Final = "OTEL_EXPORTER_PROMETHEUS_PORT"
"""Where the `prometheus` metrics exporter listens; 9464 if not set. `OTEL_EXPORTER_PROMETHEUS_HOST` is the host."""
TRACES_SAMPLER: Final = "OTEL_TRACES_SAMPLER"
"""Name of the sampler. Set: it alone decides which traces are kept, and `sampling.mode` does not."""
SEMCONV_STABILITY_OPT_IN: Final = "OTEL_SEMCONV_STABILITY_OPT_IN"
"""Which attribute names and metrics the contrib instrumentations use; either are read."""
OTLP_PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
"""`http/protobuf` or `grpc`. Not set: whichever is installed, HTTP first."""
RESOURCE_ATTRIBUTES: Final = "OTEL_RESOURCE_ATTRIBUTES"
"""What the service is; `deployment.environment.name` names the environment where nothing else does."""
SERVICE_NAME: Final = "OTEL_SERVICE_NAME"
"""Name of the service."""
SDK_DISABLED: Final = "OTEL_SDK_DISABLED"
"""`true`: telemetry is off."""
CONFIG_FILE: Final = "OTEL_CONFIG_FILE"
"""OpenTelemetry's declarative configuration; our chain is put in front of its exporters."""
DISABLED_INSTRUMENTATIONS: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
"""Names of libraries that are not measured."""
DISTRO: Final = "OTEL_PYTHON_DISTRO"
"""`mita_otel` chooses this distribution where several are installed."""
CONFIGURATOR: Final = "OTEL_PYTHON_CONFIGURATOR"
"""`mita_otel` chooses this configurator where several are installed."""


def names() -> frozenset[str]:
    """Return the name of every variable above."""
    return frozenset(value for key, value in globals().items() if key.isupper() and key != "OVERRIDE_PREFIX")


def is_true(value: str | None) -> bool:
    """Return whether a variable's value switches something on."""
    return (value or "").strip().lower() in {"1", "true", "t", "yes", "y", "on"}


def is_set(value: str | None) -> bool:
    """Return whether a variable's value is there and switches nothing off."""
    return (value or "").strip().lower() not in {"", "0", "false", "f", "no", "n", "off"}


def disabled_instrumentations(env: Mapping[str, str]) -> frozenset[str]:
    """Return the names in `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`; `*` is all of them."""
    return frozenset(name.strip() for name in env.get(DISABLED_INSTRUMENTATIONS, "").split(","))
