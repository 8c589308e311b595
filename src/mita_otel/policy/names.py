"""Names that the policy knows from elsewhere: another would never apply, so another can only be a slip."""

from __future__ import annotations

from typing import Final, Literal

Kind = Literal[
    "api",
    "financial",
    "background",
    "consumer",
    "database",
    "checkout",
    "cache",
    "outgoing",
    "mobile_screen",
    "mobile_request",
    "mobile_operation",
]
"""A kind of span, as limits, summaries and alert rules know it."""

HTTP_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"}
)
"""Methods that spans are named after (semantic conventions, `http.request.method`: others become `_OTHER`)."""

_DATA = frozenset(
    {"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "UPSERT", "CALL", "COPY", "TABLE", "VALUES"}
)
_DEFINITION = frozenset(
    {"CREATE", "ALTER", "DROP", "TRUNCATE", "GRANT", "REVOKE", "REFRESH", "REINDEX", "VACUUM", "ANALYZE"}
)
_TRANSACTION = frozenset({"BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "LOCK"})
_CURSOR = frozenset({"DECLARE", "FETCH", "CLOSE", "PREPARE", "EXECUTE", "DEALLOCATE"})
_SESSION = frozenset({"SET", "SHOW", "PRAGMA", "USE", "ATTACH", "DETACH", "LISTEN", "NOTIFY", "UNLISTEN"})

STATEMENT_VERBS: Final = _DATA | _DEFINITION | _TRANSACTION | _CURSOR | _SESSION
"""First words that are a statement's verb."""
