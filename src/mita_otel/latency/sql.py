"""The verb and the table of a statement: a scanner that skips strings and comments, in one pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from mita_otel.policy.limits import STATEMENT_VERBS

_MAIN = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"})
"""Verbs that may follow common table expressions."""

_MAX_SCANNED = 20_000
"""Characters of a statement that are scanned. A verb further on is not found."""

# Each alternative starts with another character and none gives back what it took: one pass.
# `#` is a comment in MySQL, and the start of an operator (`#>`, `#>>`, `#-`) in PostgreSQL.
_PATTERN = (
    r"--[^\n]*|\#(?!>|-[^-])[^\n]*|/\*(?:[^*]++|\*(?!/))*+(?:\*/)?|{string}|(?P<quoted>\"[^\"]*\"?|`[^`]*`?|\[[^\]]*\]?)"
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
    text = statement[:_MAX_SCANNED]
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


_BEFORE_TABLE = frozenset({"FROM", "INTO", "UPDATE", "TABLE", "JOIN"})
_OPENS_QUERY = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE"})
"""First words of a parenthesis that holds a query, not the arguments of a function such as `extract(year FROM …)`."""
_NO_TABLE_AFTER = frozenset({"FOR", "KEY", "DO", "DISTINCT", "NO"})
"""Words before one of these that no table follows: `FOR UPDATE`, `ON DUPLICATE KEY UPDATE`, `IS DISTINCT FROM`."""
_PASSED = frozenset(
    {"ONLY", "IF", "NOT", "EXISTS", "LATERAL", "IGNORE", "LOW_PRIORITY", "OVERWRITE", "TABLE"}
)
"""Words between one of these and the table."""
_NAME = re.compile(r"[\w$][\w$ \-]{0,63}")


@lru_cache(maxsize=512)
def summarise_statement(statement: str) -> tuple[str | None, str | None]:
    """Return the statement's verb in capitals, and its first table, as in ("SELECT", "accounts")."""
    return verb(statement), table(statement)


def statement_name(verb: str | None, table: str | None, namespace: str | None, system: str) -> str:
    """Return the name of a statement's span, as in `SELECT accounts`. It holds no part of the text but verb and table.

    Args:
        verb: The statement's verb.
        table: Its first table.
        namespace: The database. It stands for a missing table; of a path, as SQLite's, only the file's name.
        system: The database system. It stands for everything that is missing.
    """
    database = namespace.replace("\\", "/").rsplit("/", 1)[-1] if namespace else None
    return " ".join(part for part in (verb, table or database) if part) or system


def table(statement: str) -> str | None:
    """Return the first table that a statement names, without its schema, or None.

    Words inside strings and comments do not count, nor does the FROM of a function's arguments.
    """
    text = statement[:_MAX_SCANNED]
    found = _table(text, _TOKENS[0])
    return found if found or "\\" not in text else _table(text, _TOKENS[1])


def _table(text: str, tokens: re.Pattern[str]) -> str | None:
    is_query = [True]  # by parenthesis, the innermost last
    opened = expected = False
    before = ""
    for token in tokens.finditer(text):
        name = token["word"] or _unquoted(token["quoted"])
        if token["open"]:
            opened, expected = True, False
            is_query.append(True)
        elif token["close"]:
            is_query = is_query[:-1] or [True]
            opened = expected = False
            before = ""
        elif name is None:
            expected = expected and token[0].startswith(("--", "#", "/*"))
        else:
            upper = name.upper() if token["word"] else ""
            if opened:
                is_query[-1] = upper in _OPENS_QUERY
                opened = False
            if expected and upper not in _PASSED:
                if before == "FROM" and text.startswith("(", token.end()):
                    expected = False  # a function, as in `FROM generate_series(1, 2)`
                elif not text.startswith(".", token.end()):
                    return name
                continue
            expected = expected or (upper in _BEFORE_TABLE and before not in _NO_TABLE_AFTER and is_query[-1])
            before = upper
    return None


def _unquoted(quoted: str | None) -> str | None:
    """Return a quoted name, or None if it cannot be the name of a table."""
    name = quoted[1:-1] if quoted else ""
    return name if _NAME.fullmatch(name) else None
