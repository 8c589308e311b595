"""The financial API: errors, operations, contexts and the middleware, in OpenTelemetry's terms alone.

Nothing here knows Sentry: an error is a log record, an operation a span, a context an attribute. Exporters
make of them what their back ends can show. Without `mita_otel.configure()` every call does nothing.
"""
