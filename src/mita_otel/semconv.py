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

# --- messaging, RPC -----------------------------------------------------------------------------
RPC_SYSTEM: Final[Names] = ("rpc.system.name", "rpc.system")
MESSAGING_SYSTEM: Final[Names] = ("messaging.system",)
MESSAGING_OPERATION: Final[Names] = ("messaging.operation.type", "messaging.operation")

# --- errors -------------------------------------------------------------------------------------
ERROR_TYPE: Final = "error.type"
EXCEPTION_EVENT: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"

# --- resource -----------------------------------------------------------------------------------
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
DEPLOYMENT_ENVIRONMENT: Final[Names] = ("deployment.environment.name", "deployment.environment")

# --- ours: operations ---------------------------------------------------------------------------
OPERATION: Final = "mita.operation"
"""Name of a financial operation, as in `payment_processing`."""
OPERATION_CATEGORY: Final = "mita.operation.category"
"""Category of a financial operation; its limit applies where the name has none."""
OPERATION_KIND: Final = "mita.operation.kind"
"""`financial` (the default) or `background`."""
SEVERITY: Final = "mita.severity"
ERROR_CATEGORY: Final = "mita.error.category"
TRANSACTION_ID: Final = "mita.transaction.id"
USER_ID: Final = "user.id"
AMOUNT: Final = "mita.amount"
CURRENCY: Final = "mita.currency"

# --- ours: limits -------------------------------------------------------------------------------
LATENCY_EXCEEDED: Final = "mita.latency.exceeded"
"""True on a span that took longer than its limit."""
LATENCY_LIMIT_MS: Final = "mita.latency.limit_ms"
LATENCY_DURATION_MS: Final = "mita.latency.duration_ms"
LATENCY_OVERRUN_MS: Final = "mita.latency.overrun_ms"
LATENCY_RULE: Final = "mita.latency.rule"
"""The rule that set the limit, as in `api.financial.GET` or `database.SELECT`."""
LATENCY_KIND: Final = "mita.latency.kind"
"""`api`, `database`, `financial` or `background`."""
LATENCY_EVENT: Final = "mita.latency.breach"
"""Name of the span event that a breach leaves."""
LATENCY_COUNTER: Final = "mita.latency.breaches"
"""Name of the counter of breaches, by kind and rule."""

# --- ours: redaction and the pipeline -----------------------------------------------------------
REDACTED: Final = "mita.redacted"
"""How many values of the span were redacted."""
REDACTED_RULES: Final = "mita.redacted.rules"
"""Which rules redacted them, as `rule:count`, sorted."""
DROPPED_COUNTER: Final = "mita.pipeline.dropped"
"""Name of the counter of spans that were lost on the way, by stage and reason."""


def first(attributes: Mapping[str, Any], names: Names) -> Any:
    """Return the value of the first of `names` that is there and not None, else None."""
    for name in names:
        value = attributes.get(name)
        if value is not None:
            return value
    return None
