"""The financial API: errors, operations, contexts and the middleware, built on OpenTelemetry only.

It does not depend on Sentry: an error is a log record, an operation a span, a context an attribute. Exporters map
them to their backends. Without `mita_otel.configure()` every call does nothing.
"""
