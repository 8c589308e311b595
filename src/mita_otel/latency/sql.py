"""The verb of a statement: a scanner that skips what is not a word, in one pass."""

from __future__ import annotations

import re
from collections.abc import Iterator

VERBS = frozenset(
    [
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "MERGE",
        "REPLACE",
        "UPSERT",
        "CALL",
        "COPY",
        "CREATE",
        "ALTER",
        "DROP",
        "TRUNCATE",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT",
        "RELEASE",
        "SET",
        "SHOW",
        "PRAGMA",
        "VACUUM",
        "ANALYZE",
        "LOCK",
        "GRANT",
        "REVOKE",
        "DECLARE",
        "FETCH",
        "CLOSE",
        "EXECUTE",
        "PREPARE",
        "DEALLOCATE",
        "LISTEN",
        "NOTIFY",
        "UNLISTEN",
        "REFRESH",
        "REINDEX",
        "ATTACH",
        "DETACH",
        "USE",
        "START",
        "TABLE",
        "VALUES",
    ]
)
"""First words that are a statement's verb."""

_MAIN = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"})
"""Verbs that may follow common table expressions."""

_LOOKED_AT = 20_000
"""Characters of a statement that are looked at; a verb further on is not found."""

# Each alternative starts with another character, and none can fail after a long match: one pass.
_TOKEN = re.compile(
    r"--[^\n]*|\#[^\n]*|/\*.*?(?:\*/|\Z)|'(?:[^'\\]|''|\\.)*'?|\"[^\"]*\"?|`[^`]*`?|\[[^\]]*\]?"
    r"|(?P<open>\()|(?P<close>\))|(?P<word>[A-Za-z_][\w$]*)",
    re.DOTALL,
)


def verb(statement: str) -> str | None:
    """Return the statement's verb in capitals, or None if it has none that is known.

    Comments, parentheses and `EXPLAIN` in front of it are skipped; of common table expressions
    (`WITH … AS (…)`) the verb is the main statement's.
    """
    words = _words(statement[:_LOOKED_AT])
    in_with = False
    explained = False
    with_depth = 0
    for word, depth in words:
        if in_with:
            if depth <= with_depth and word in _MAIN:
                return word
        elif word == "WITH":
            in_with, with_depth = True, depth
        elif word == "EXPLAIN" or (word == "ANALYZE" and explained):
            explained = True
        elif word in VERBS:
            return word
        elif word not in {"VERBOSE", "QUERY", "PLAN", "COSTS", "BUFFERS", "FORMAT"}:
            return None
    return None


def verb_of(operation: str | None, statement: str | None) -> str | None:
    """Return the verb from a span's attributes.

    Args:
        operation: `db.operation.name`. Instrumentations write `"INSERT bank"`, `"select"` or `"with"` there.
        statement: `db.query.text`, where the operation is no verb.
    """
    if operation:
        head = operation.split(None, 1)
        if head and head[0].upper() in VERBS:
            return head[0].upper()
    return verb(statement) if statement else None


def _words(statement: str) -> Iterator[tuple[str, int]]:
    depth = 0
    for token in _TOKEN.finditer(statement):
        if token["open"]:
            depth += 1
        elif token["close"]:
            depth -= 1
        elif token["word"]:
            yield token["word"].upper(), depth
