"""The verb of a statement: a scanner that skips what is not a word, in one pass."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mita_otel.policy.limits import STATEMENT_VERBS

_MAIN = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"})
"""Verbs that may follow common table expressions."""

_LOOKED_AT = 20_000
"""Characters of a statement that are looked at; a verb further on is not found."""

# Each alternative starts with another character and none gives back what it took: one pass.
# `#` is a comment in MySQL, and the start of an operator (`#>`, `#>>`, `#-`) in PostgreSQL.
_PATTERN = (
    r"--[^\n]*|\#(?!>|-[^-])[^\n]*|/\*(?:[^*]++|\*(?!/))*+(?:\*/)?|{string}|\"[^\"]*\"?|`[^`]*`?|\[[^\]]*\]?"
    r"|\$(?P<tag>[A-Za-z_]\w*|)\$.*?(?:\$(?P=tag)\$|\Z)|(?P<open>\()|(?P<close>\))|(?P<word>[A-Za-z_][\w$]*+)"
)
_TOKENS = (
    re.compile(_PATTERN.replace("{string}", r"'(?:[^'\\]++|\\.)*+'?"), re.DOTALL),
    # The standard's strings, where a backslash is a character like any other.
    re.compile(_PATTERN.replace("{string}", r"'[^']*+'?"), re.DOTALL),
)


def verb(statement: str) -> str | None:
    """Return the statement's verb in capitals, or None if it has none that is known.

    Comments, parentheses and `EXPLAIN` with its options in front of it are skipped; of common table
    expressions (`WITH … AS (…)`) the verb is the main statement's.
    """
    text = statement[:_LOOKED_AT]
    found = _verb(text, _TOKENS[0])
    return found if found or "\\" not in text else _verb(text, _TOKENS[1])


def _verb(text: str, tokens: re.Pattern[str]) -> str | None:
    explained = False
    with_depth: int | None = None
    for word, depth in _words(text, tokens):
        if with_depth is not None:
            if depth <= with_depth and word in _MAIN:
                return word
        elif word == "WITH":
            with_depth = depth
        elif word in STATEMENT_VERBS and not (explained and word == "ANALYZE"):
            return word
        elif word == "EXPLAIN":
            explained = True
        elif not explained:
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
        if head and head[0].upper() in STATEMENT_VERBS:
            return head[0].upper()
    return verb(statement) if statement else None


def _words(text: str, tokens: re.Pattern[str]) -> Iterator[tuple[str, int]]:
    depth = 0
    for token in tokens.finditer(text):
        if token["open"]:
            depth += 1
        elif token["close"]:
            depth -= 1
        elif token["word"]:
            yield token["word"].upper(), depth
