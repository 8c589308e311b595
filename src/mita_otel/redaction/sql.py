"""Database statements: every literal becomes `?`, what is left is the statement's shape.

A small lexer of PostgreSQL, MySQL and SQLite, linear in the statement's length. Where the dialects differ
and the dialect is not known, what is a literal in any of them is hidden. A statement that cannot be lexed
(a quote that never closes) is cut there.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import Final, NamedTuple

from mita_otel.redaction.marker import MARKER

PLACEHOLDER: Final = "?"
CUT: Final = "[redacted:sql]"
"""Stands for the rest of a statement that cannot be lexed."""

_BACKSLASH_DIALECTS: Final = ("mysql", "mariadb", "tidb", "clickhouse", "bigquery", "snowflake")
_STANDARD_DIALECTS: Final = ("postgresql", "postgres", "sqlite", "oracle", "mssql", "cockroachdb", "redshift")
_COMMAND_DIALECTS: Final = ("redis", "valkey", "memcached", "keydb")

_TOKEN: Final = re.compile(
    r"""
      (?P<marker>"""
    + MARKER.pattern
    + r""")
    | (?P<plain>(?:[^\W\d][\w$]*+|[\s,.()=<>!+|&*;~^{}\]]++)++)
    | (?P<comment>--[^\n]*|/\*)
    | (?P<string>')
    | (?P<dollar>\$(?:[^\W\d]\w*)?\$)
    | (?P<placeholder>%\(\w+\)[sd]|%[sd](?!\w)|\?\d{0,3}(?!\d)|\$\d{1,4}(?!\d)|::|(?<!:):\w*[A-Za-z_]\w*|(?<![\w:\]]):\d{1,3}(?!\d)|@@?[A-Za-z_][\w$]*)
    | (?P<hash>\#)
    | (?P<identifier>\"|`)
    | (?P<number>0[xX][0-9A-Fa-f_]+|0[bBoO][0-7_]+|\d[\d_]*(?:\.\d*)?(?:[eE][+\-]?\d+)?\w*|\.\d+(?:[eE][+\-]?\d+)?\w*)
    """,
    re.VERBOSE,
)
_PREFIX: Final = re.compile(r"(?<![\w$])(?:[EeNnBbXxRr]|[Uu]&|_[a-z0-9]{1,16} ?)\Z")
_LONGEST_PREFIX: Final = 20
_STANDARD_STRING: Final = re.compile(r"'[^']*'(?:'[^']*')*")
_BACKSLASH_STRING: Final = re.compile(r"'[^'\\]*(?:(?:\\.|'')[^'\\]*)*'", re.DOTALL)
_IDENTIFIER: Final = {'"': re.compile(r'"[^"]*"(?:"[^"]*")*'), "`": re.compile(r"`[^`]*`(?:`[^`]*`)*")}
_BACKSLASH_QUOTED: Final = re.compile(r'"[^"\\]*(?:(?:\\.|"")[^"\\]*)*"', re.DOTALL)
_NAME: Final = re.compile(r"\"[^\W\d][\w$ \-]*\"\Z")
_COMPARES: Final = re.compile(r"(?:=|<>|!=|\blike|\bilike)\s*\Z", re.IGNORECASE)
_BLOCK: Final = re.compile(r"/\*|\*/")


class _Literal(NamedTuple):
    start: int
    end: int
    cut: bool = False


def mask_literals(statement: str, dialect: str | None = None) -> tuple[str, int]:
    """Return the statement with `?` for each literal, and how many there were.

    Args:
        statement: A statement, or several.
        dialect: `db.system.name`, if known.
    """
    dialect = (dialect or "").lower()
    if dialect.startswith(_COMMAND_DIALECTS):
        return _mask_command(statement)
    literals: list[_Literal]
    if dialect.startswith(_BACKSLASH_DIALECTS):
        literals = list(_lex(statement, backslash=True, strings=True))
    elif dialect.startswith(_STANDARD_DIALECTS):
        literals = list(_lex(statement, backslash=False, strings=False))
    else:
        literals = list(_lex(statement, backslash=False, strings=False))
        if "\\" in statement and "'" in statement:
            literals = _union(literals, list(_lex(statement, backslash=True, strings=False)))
    return _replace(statement, literals)


def _lex(sql: str, *, backslash: bool, strings: bool) -> Iterator[_Literal]:
    """Yield the literals. `strings` says that double quotes hold strings, as in MySQL."""
    position, size = 0, len(sql)
    while position < size:
        token = _TOKEN.match(sql, position)
        if token is None:
            position += 1
            continue
        kind, start, position = token.lastgroup, position, token.end()
        if kind == "number":
            yield _Literal(start, position)
        elif kind == "string":
            prefix = _PREFIX.search(sql, max(0, start - _LONGEST_PREFIX), start)
            escaped = backslash or (prefix is not None and prefix.group() in "Ee")
            end = _closed(_BACKSLASH_STRING if escaped else _STANDARD_STRING, sql, start)
            yield _Literal(prefix.start() if prefix else start, end or size, end is None)
            position = end or size
        elif kind == "dollar":
            close = sql.find(token.group(), position)
            end = close + len(token.group()) if close >= 0 else None
            yield _Literal(start, end or size, end is None)
            position = end or size
        elif kind == "identifier":
            quote = token.group()
            pattern = _BACKSLASH_QUOTED if strings and quote == '"' else _IDENTIFIER[quote]
            end = _closed(pattern, sql, start)
            if end is None:
                yield _Literal(start, size, cut=True)
            elif quote == '"' and _is_string(sql, start, end, strings=strings):
                yield _Literal(start, end)
            position = end or size
        elif kind == "comment" or (kind == "hash" and strings):
            position = yield from _comment(sql, start, backslash=backslash, strings=strings)


def _comment(sql: str, start: int, *, backslash: bool, strings: bool) -> Generator[_Literal, None, int]:
    """Yield the literals in a comment, and return where it ends. Comments hide statements, too."""
    if sql.startswith("/*", start):
        inner, depth, end = start + 2, 1, len(sql)
        position = inner
        while depth and (match := _BLOCK.search(sql, position)):
            depth += 1 if match.group() == "/*" else -1
            position = match.end()
            end = match.end()
        if depth:
            yield _Literal(start, len(sql), cut=True)
            return len(sql)
        text_end = end - 2
    else:
        inner = start + (1 if sql[start] == "#" else 2)
        newline = sql.find("\n", start)
        end = text_end = newline if newline >= 0 else len(sql)
    for literal in _lex(_flat(sql[inner:text_end]), backslash=backslash, strings=strings):
        yield _Literal(inner + literal.start, inner + literal.end)
    return end


def _flat(comment: str) -> str:
    """Return the comment without comment signs in it, character for character: a comment nests only once."""
    return comment.replace("/*", "  ").replace("*/", "  ").replace("--", "  ").replace("#", " ")


def _closed(pattern: re.Pattern[str], sql: str, start: int) -> int | None:
    match = pattern.match(sql, start)
    return match.end() if match else None


def _is_string(sql: str, start: int, end: int, *, strings: bool) -> bool:
    """Tell whether double quotes hold a string: always in MySQL, elsewhere where no name can stand."""
    if strings:
        return True
    if not _NAME.match(sql[start:end]):
        return True
    return bool(_COMPARES.search(sql, max(0, start - 12), start)) and sql[end : end + 1] != "."


def _union(first: list[_Literal], second: list[_Literal]) -> list[_Literal]:
    merged: list[_Literal] = []
    for literal in sorted(first + second):
        if merged and literal.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = _Literal(last.start, max(last.end, literal.end), last.cut or literal.cut)
        else:
            merged.append(literal)
    return merged


def _replace(sql: str, literals: list[_Literal]) -> tuple[str, int]:
    pieces: list[str] = []
    position = 0
    for start, end, cut in literals:
        pieces.append(sql[position:start])
        pieces.append(CUT if cut else PLACEHOLDER)
        position = end
    pieces.append(sql[position:])
    return "".join(pieces), len(literals)


def _mask_command(command: str) -> tuple[str, int]:
    """Return the command of a key-value store with its arguments hidden: `SET ? ?`."""
    masked: list[str] = []
    count = 0
    for line in command.split("\n"):
        verb, *arguments = line.split()[:64] or [""]
        count += sum(argument != PLACEHOLDER for argument in arguments)
        masked.append(" ".join((verb, *(PLACEHOLDER for _ in arguments))))
    return ("\n".join(masked), count) if count else (command, 0)
