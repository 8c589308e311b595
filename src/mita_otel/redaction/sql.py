"""Masks database statements: every literal becomes `?`.

A small lexer for PostgreSQL, MySQL and SQLite, linear in the statement's length. If the dialect is not known, a
literal of any dialect is masked. A statement that cannot be lexed (an unclosed quote) is cut there.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import Final, NamedTuple

from mita_otel.redaction.marker import MARKER
from mita_otel.redaction.sql_rows import ValueLists, copied_rows

PLACEHOLDER: Final = "?"
CUT: Final = "[redacted:sql]"
"""Replaces the rest of a statement that cannot be lexed."""

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
_PREFIX: Final = re.compile(r"(?<![\w$])(?:[EeNnBbXxRrQq]|[Nn][Qq]|[Uu]&|_[a-z0-9]{1,16} ?)\Z")
_QUOTE_CLOSE: Final = {"[": "]", "{": "}", "(": ")", "<": ">"}
_LONGEST_PREFIX: Final = 20
_STANDARD_STRING: Final = re.compile(r"'[^']*'(?:'[^']*')*")
_BACKSLASH_STRING: Final = re.compile(r"'[^'\\]*(?:(?:\\.|'')[^'\\]*)*'", re.DOTALL)
_IDENTIFIER: Final = {'"': re.compile(r'"[^"]*"(?:"[^"]*")*'), "`": re.compile(r"`[^`]*`(?:`[^`]*`)*")}
_BACKSLASH_QUOTED: Final = re.compile(r'"[^"\\]*(?:(?:\\.|"")[^"\\]*)*"', re.DOTALL)
_NAME: Final = re.compile(r"\"[^\W\d][\w$ \-]*\"\Z")
_COMPARES: Final = re.compile(
    r"(?:=|<>|!=|\bi?like|\bregexp|\brlike|\bglob|\bpassword\s?\(|\bagainst\s?\()\s*\Z", re.IGNORECASE
)
_BLOCK: Final = re.compile(r"/\*|\*/")


class _Literal(NamedTuple):
    start: int
    end: int
    cut: bool = False


def mask_literals(statement: str, dialect: str | None = None, *, is_escaped: bool = False) -> tuple[str, int]:
    """Return the statement with `?` for each literal, and the number of literals.

    Args:
        statement: A statement, or several.
        dialect: `db.system.name`, if known.
        is_escaped: Whether the statement may be written with escapes, as in the `repr` of an exception.
    """
    dialect = (dialect or "").lower()
    if dialect.startswith(_COMMAND_DIALECTS):
        return _mask_command(statement)
    found = _literals(statement, dialect)
    if is_escaped and _ESCAPED_QUOTE.search(statement):
        found = _union(found, _escaped_literals(statement, dialect))
    return _replace(statement, found)


def quoted_literals(statement: str, dialect: str | None = None) -> list[tuple[int, int]]:
    """Return the start and end of each literal that is not a number."""
    dialect = (dialect or "").lower()
    if dialect.startswith(_COMMAND_DIALECTS):
        return [(0, len(statement))]
    return [
        (start, end)
        for start, end, _ in _literals(statement, dialect)
        if not (statement[start].isdigit() or statement[start] == ".")
    ]


_ESCAPED: Final = re.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|.)", re.DOTALL)
_ESCAPED_QUOTE: Final = re.compile(r"\\[\\'\"]")
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t"}


def _escaped_literals(statement: str, dialect: str) -> list[_Literal]:
    """Return the literals of a statement that is written with escapes."""
    chars: list[str] = []
    places: list[int] = []
    position = 0
    for match in _ESCAPED.finditer(statement):
        chars.append(statement[position : match.start()])
        places.extend(range(position, match.start() + 1))
        position = match.end()
        chars.append(_CONTROLS.get(statement[match.start() + 1], statement[position - 1]))
    chars.append(statement[position:])
    places.extend(range(position, len(statement) + 1))
    return [
        _Literal(places[one.start], places[one.end], one.cut) for one in _literals("".join(chars), dialect)
    ]


def _literals(statement: str, dialect: str) -> list[_Literal]:
    found = _lexed(statement, dialect)
    rows = [
        _Literal(start, end) for start, end in copied_rows(statement) if statement[start:end] != PLACEHOLDER
    ]
    return _union(found, rows) if rows else found


def _lexed(statement: str, dialect: str) -> list[_Literal]:
    backslash = strings = dialect.startswith(_BACKSLASH_DIALECTS)
    found = list(_lex(statement, backslash=backslash, strings=strings))
    if "\\" in statement and "'" in statement:
        unknown = not strings and not dialect.startswith(_STANDARD_DIALECTS)
        # A statement that ends inside a string may have been written for a server with the other setting.
        if unknown or any(literal.cut for literal in found):
            found = _union(found, list(_lex(statement, backslash=not backslash, strings=strings)))
    return found


def literals(line: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each literal in a line of a statement. A string may be cut at the line's end."""
    for start, end, cut in _lex(line, backslash=False, strings=False):
        if not (cut and line[start] in _IDENTIFIER):
            yield start, end


def comments(statement: str, dialect: str | None = None) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each comment of a masked statement."""
    hashes = not dialect or dialect.lower().startswith(_BACKSLASH_DIALECTS)
    position = 0
    while position < len(statement):
        token = _TOKEN.match(statement, position)
        if token is None:
            position += 1
            continue
        kind, start, position = token.lastgroup, position, token.end()
        if kind == "comment" or (kind == "hash" and hashes):
            _, text_end, position = _comment_span(statement, start)
            yield start, text_end if text_end >= 0 else position
        elif kind == "identifier":
            position = _closed(_IDENTIFIER[token.group()], statement, start) or len(statement)


def _lex(sql: str, *, backslash: bool, strings: bool) -> Iterator[_Literal]:
    """Yield the literals. `strings` says that double quotes hold strings, as in MySQL."""
    position, size = 0, len(sql)
    never: set[str] = set()
    lists = None if strings or '"' not in sql else ValueLists()
    while position < size:
        token = _TOKEN.match(sql, position)
        if token is None:
            position += 1
            continue
        kind, start, position = token.lastgroup, position, token.end()
        if kind == "number":
            yield _Literal(start, position)
        elif kind == "string":
            yield (literal := _string(sql, start, never, backslash=backslash))
            position = literal.end
        elif kind == "dollar":
            close = sql.find(token.group(), position)
            end = close + len(token.group()) if close >= 0 else None
            yield _Literal(start, end or size, end is None)
            position = end or size
        elif kind == "identifier":
            inside = lists is not None and lists.inside
            quoted, is_literal = _quoted(sql, start, strings=strings, inside=inside)
            if is_literal:
                yield quoted
            position = quoted.end
        elif kind == "comment" or (kind == "hash" and strings):
            position = yield from _comment(sql, start, backslash=backslash, strings=strings)
        elif kind == "plain" and lists is not None:
            lists.feed(token.group())


def _string(sql: str, start: int, never: set[str], *, backslash: bool) -> _Literal:
    """Return the string that opens at `start`, with its prefix: `E'…'`, `_utf8mb4'…'`, `q'[…]'`.

    `never` holds delimiters that do not occur any more, so that each is searched for once.
    """
    prefix = _PREFIX.search(sql, max(0, start - _LONGEST_PREFIX), start)
    kind = prefix.group().lower() if prefix else ""
    end = _oracle_end(sql, start, never) if kind in ("q", "nq") else None
    if end is None:
        end = _closed(_BACKSLASH_STRING if backslash or kind == "e" else _STANDARD_STRING, sql, start)
    return _Literal(prefix.start() if prefix else start, end or len(sql), end is None)


def _quoted(sql: str, start: int, *, strings: bool, inside: bool) -> tuple[_Literal, bool]:
    """Return the quoted part at `start`, and whether it is a value."""
    quote = sql[start]
    end = _closed(_BACKSLASH_QUOTED if strings and quote == '"' else _IDENTIFIER[quote], sql, start)
    if end is None:
        return _Literal(start, len(sql), cut=True), True
    return _Literal(start, end), quote == '"' and (inside or _is_string(sql, start, end, strings=strings))


def _comment(sql: str, start: int, *, backslash: bool, strings: bool) -> Generator[_Literal, None, int]:
    """Yield the literals in a comment, and return its end. A comment may contain a statement."""
    inner, text_end, end = _comment_span(sql, start)
    if text_end < 0:
        yield _Literal(start, end, cut=True)
        return end
    for literal in _lex(_flat(sql[inner:text_end]), backslash=backslash, strings=strings):
        yield _Literal(inner + literal.start, inner + literal.end)
    return end


def _comment_span(sql: str, start: int) -> tuple[int, int, int]:
    """Return the start and end of a comment's text, and the end of the comment. The text of an unclosed one ends at -1."""
    if not sql.startswith("/*", start):
        newline = sql.find("\n", start)
        end = newline if newline >= 0 else len(sql)
        return start + (1 if sql[start] == "#" else 2), end, end
    depth, position = 1, start + 2
    while depth and (match := _BLOCK.search(sql, position)):
        depth += 1 if match.group() == "/*" else -1
        position = match.end()
    return (start + 2, position - 2, position) if not depth else (start + 2, -1, len(sql))


def _flat(comment: str) -> str:
    """Return the comment with the comment signs inside it blanked, so that it nests only once."""
    return comment.replace("/*", "  ").replace("*/", "  ").replace("--", "  ").replace("#", " ")


def _closed(pattern: re.Pattern[str], sql: str, start: int) -> int | None:
    match = pattern.match(sql, start)
    return match.end() if match else None


def _oracle_end(sql: str, start: int, never: set[str]) -> int | None:
    """Return where Oracle's `q'[…]'` ends."""
    opening = sql[start + 1 : start + 2]
    if not opening or opening.isalnum() or opening.isspace():
        return None
    closing = _QUOTE_CLOSE.get(opening, opening) + "'"
    close = sql.find(closing, start + 2) if closing not in never else -1
    if close < 0:
        never.add(closing)
        return None
    return close + 2


def _is_string(sql: str, start: int, end: int, *, strings: bool) -> bool:
    """Return whether double quotes enclose a string: always in MySQL, elsewhere where no name is possible."""
    if strings:
        return True
    if not _NAME.match(MARKER.sub("x", sql[start:end])):
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
    """Return the command of a key-value store with masked arguments: `SET ? ?`."""
    masked: list[str] = []
    count = 0
    for line in command.split("\n"):
        verb, *arguments = line.split()[:64] or [""]
        count += sum(argument != PLACEHOLDER for argument in arguments)
        masked.append(" ".join((verb, *(PLACEHOLDER for _ in arguments))))
    return ("\n".join(masked), count) if count else (command, 0)
