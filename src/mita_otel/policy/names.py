"""Names that a limit may be set for: for another it would never apply, so another can only be a slip."""

from __future__ import annotations

from typing import Final

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
