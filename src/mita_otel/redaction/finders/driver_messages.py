"""Messages of databases and validators: values that they quote, and statements inside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Finder, Hit
from mita_otel.redaction.finders.value_bounds import value_span
from mita_otel.redaction.keys import KeyRules, reads_like_number
from mita_otel.redaction.marker import MARKER
from mita_otel.redaction.sql import literals
from mita_otel.redaction.sql_rows import copied_rows

_KEY: Final = re.compile(r"\(([\w\", ]{1,256})(?:::\w+)?\)=\(")
_NAMED_KEY: Final = re.compile(
    r"(?:existing key|Schlussel|[Cc]lef?|[Ll]lave|[Cc]lave|[Cc]have|[Cc]hiave|[Kk]lucz|[Nn]yckel|[Aa]nahtar|[Кк]люч|キー|键|키)[ \t\"'`]{0,3}\Z"
)
"""How PostgreSQL calls a key before its columns, in its languages; folded."""
_LONGEST_KEY_NAME: Final = 16
_VIOLATION: Final = re.compile(
    r"\) (?:already exists|is (?:not present|still referenced|duplicated)|conflicts with|violates)"
)
"""How PostgreSQL goes on after the values of a violated constraint."""
_DUPLICATE: Final = re.compile(
    r"(?:[Dd]uplicate entry|Duplicata du champ|Doppelter Eintrag|Entrada duplicada|Valore duplicato) (['\"])([^\n]{0,512}?)\1"
    r" (?:for key|pour la clef|fur Schlussel|para la clave|para a chave|per la chiave) ['\"]?([\w.$\-]+)"
)
"""MySQL's message in its languages; folded."""
_ROW: Final = re.compile(
    r"(?:(?:Failing row contains|Fehlgeschlagene Zeile enthalt|La ligne en echec contient|La fila que falla contiene|Registro que falhou contem"
    r"|La riga in errore contiene|Ошибочная строка содержит|失败的行包含)|COPY \w+, line \d+(?:, column \w+)?:) ?:?"
)
_LONGEST_MARKER: Final = 80
_MAX_VALUE: Final = 2048
"""Characters of a value that a message quotes."""
_LOCATION: Final = re.compile(r"(?:[\"']loc[\"']: ?|\bloc=)[(\[]([^()\[\]]{1,256})[)\]]")
_LOCATED_INPUT: Final = re.compile(r"[\"']input[\"']: ?|\binput=")
_NEXT_ERROR: Final = re.compile(r"[})] ?, ?\n?\s{0,16}(?:\w{1,32} ?\(|\{)")
"""Between two errors of a list, as dictionaries or objects."""
_INPUT: Final = "input_value="
_SHOWS_NOTHING: Final = re.compile(rf"{MARKER.pattern}|(?:None|null|\{{\}}|\[\])(?!\w)")
_NOTHING: Final = frozenset({"", "{}", "[]", "()", "''", "None"})
_INPUT_END: Final = ", input_type="
_PARAMETERS: Final = "[parameters: "
_STATEMENT: Final = "[SQL: "
_SQL_END: Final = re.compile(r"\](?=\n|\s*\Z|\s*\[parameters: |\s*\(Background)")


class DriverMessageFinder:
    """Finds values in the messages of databases and validators.

    Args:
        keys: Which columns are sensitive.
    """

    WORDS: Final = (
        ")=(", "uplicate entry", "duplicata", "eintrag", "duplicada", "duplicato", "row contains", "zeile enthalt", "echec contient", "falla contiene",
        "falhou contem", "errore contiene", "строка содержит", "行包含", "copy ", _INPUT, "loc",
    )  # fmt: skip

    def __init__(self, keys: KeyRules) -> None:
        self._keys = keys

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield values that a message quotes."""
        if ")=(" in text:
            yield from self._constraints(text)
        for match in _DUPLICATE.finditer(text):
            if not MARKER.fullmatch(match[2]) and match[2]:
                yield Hit(match.start(2), match.end(2), self._rule(match[3], match[2]) or "input")
        for match in _ROW.finditer(text):
            yield from _line(text, match.end())
        if _INPUT in text:
            yield from _inputs(text)
        if "loc" in text:
            yield from self._located(text)

    def _constraints(self, text: str) -> Iterator[Hit]:
        """Yield the values of `Key (account_number)=(12345678) already exists.`."""
        for match in _KEY.finditer(text):
            start, reach = match.end(), match.end() + _MAX_VALUE
            newline = text.find("\n", start, reach)
            line_end = min(len(text), reach) if newline < 0 else newline
            close = text.find(") ", start, line_end)
            if close < 0:
                close = text.rfind(")", start, line_end)
            end = line_end if close < 0 else close
            rule = self._rule(match[1], text[start:end])
            if rule is None and (
                end == len(text) or _VIOLATION.match(text, end) or _is_key(text, match.start())
            ):
                rule = "input"
            if rule and end > start and not MARKER.fullmatch(text, start, end):
                yield Hit(start, end, rule)

    def _located(self, text: str) -> Iterator[Hit]:
        """Yield what pydantic's error dictionaries quote of a sensitive field: `'loc': ('body', 'pin'), …, 'input': …`, in either order."""
        locations = list(_LOCATION.finditer(text))
        for at, location in enumerate(locations):
            if (rule := self._rule(re.sub("[\"' ]", "", location[1]), "")) is None:
                continue
            least = locations[at - 1].end() if at else 0
            most = locations[at + 1].start() if at + 1 < len(locations) else len(text)
            quoting = _input_of(text, location, least, most)
            if quoting is None or quoting >= len(text) or _SHOWS_NOTHING.match(text, quoting):
                continue
            start, end = value_span(text, quoting)
            if end > start and not MARKER.fullmatch(text, start, end):
                yield Hit(start, end, rule)

    def _rule(self, columns: str, value: str) -> str | None:
        for column in re.split(r"[\", .]+", columns):
            verdict = self._keys.judge(column)
            if verdict.rule and not (verdict.reference and not reads_like_number(value)):
                return verdict.rule
        return None


def _input_of(text: str, location: re.Match[str], least: int, most: int) -> int | None:
    """Return where the value starts that an error quotes: behind its location, or before it in the same error."""
    boundary = _NEXT_ERROR.search(text, location.end(), most)
    after = _LOCATED_INPUT.search(text, location.end(), boundary.start() if boundary else most)
    if after is not None:
        return after.end()
    for boundary in _NEXT_ERROR.finditer(text, least, location.start()):
        least = boundary.end()
    before = _LOCATED_INPUT.search(text, least, location.start())
    return before.end() if before else None


def _is_key(text: str, start: int) -> bool:
    """Return whether the word before the columns calls them a key."""
    return bool(_NAMED_KEY.search(text, max(0, start - _LONGEST_KEY_NAME), start))


def statements(text: str) -> Iterator[tuple[int, int, bool]]:
    """Yield SQLAlchemy's `[SQL: …]` (True) and `[parameters: …]` (False): where the content starts and ends."""
    position = 0
    while True:
        sql, parameters = text.find(_STATEMENT, position), text.find(_PARAMETERS, position)
        if sql < 0 and parameters < 0:
            return
        is_sql = parameters < 0 or 0 <= sql < parameters
        start = sql + len(_STATEMENT) if is_sql else parameters + len(_PARAMETERS)
        close = _SQL_END.search(text, start)
        while close is not None and _ends_a_marker(text, close.end()):
            close = _SQL_END.search(text, close.end())
        end = close.start() if close else len(text)
        yield start, end, is_sql
        position = end


def _ends_a_marker(text: str, end: int) -> bool:
    marker = MARKER.match(text, max(0, text.rfind("[redacted:", max(0, end - _LONGEST_MARKER), end)))
    return marker is not None and marker.end() == end


def _inputs(text: str) -> Iterator[Hit]:
    """Yield what pydantic quotes: `input_value='…', input_type=str`."""
    start = text.find(_INPUT)
    while start >= 0:
        start += len(_INPUT)
        end = text.find(_INPUT_END, start)
        if end < 0:
            newline = text.find("\n", start)
            end = len(text) if newline < 0 else newline
        if text[start:end] not in _NOTHING and not MARKER.fullmatch(text, start, end):
            yield Hit(start, end, "input")
        start = text.find(_INPUT, end)


def _line(text: str, start: int) -> Iterator[Hit]:
    newline = text.find("\n", start)
    end = len(text) if newline < 0 else newline
    if end > start and not MARKER.match(text, start):
        yield Hit(start, end, "row")


_EMBEDDED: Final = re.compile(
    r"\b(?:INSERT INTO|MERGE INTO|(?:EXEC|EXECUTE|CALL) [\w.\"`\[\]]{1,128} ?\(?(?=[@N':\d])|UPDATE [\w.\"`]{1,128} SET|DELETE FROM|SELECT\b(?=[^\n]{1,1024}\bFROM\b)|VALUES ?\()"
    r"|(?i:\binsert into [\w.\"`]{1,128} ?(?:\([^()]{0,512}\) ?)?values|\bupdate [\w.\"`]{1,128} set\b|\bdelete from [\w.\"`]{1,128} where\b)"
    r"|(?i:\bselect\b(?=[^\n]{1,1024}\bfrom [\w.\"`]{1,128}(?: (?:as )?\w{1,32})? (?:where|join|inner|left|right|group|order|limit)\b))"
)
_QUOTED_LINE: Final = re.compile(
    r"^(?:LINE \d+: +|(?:[^\n]{0,80}?(?:STATEMENT|QUERY|statement|execute [^:\n]{1,64}): +)"
    r"(?=(?i:select|insert|update|delete|with|alter|create|drop|set|call|copy|grant|merge|prepare|explain|do)\b))([^\n]*)",
    re.MULTILINE,
)
"""A line of PostgreSQL's messages or log that quotes a statement."""
_LITERAL: Final = re.compile(
    r"(?:[=<>(,]|\b(?:I?LIKE|AND|BETWEEN|LIMIT|OFFSET|THEN|ELSE|INTERVAL|DATE|TIMESTAMP)\b|\b(?:EXEC|EXECUTE|CALL) [\w.\"`\[\]]{1,128}(?= N?'))\s{0,8}"
    r"(?:[EeNnBbXx]?(?P<text>'[^']*(?:''[^']*)*'?)|(?P<number>-?\d[\d.]{0,64})(?!\w))"
)


def find_embedded_literals(text: str) -> Iterator[Hit]:
    """Yield the literals of statements in a text.

    In a line that quotes a statement that is every literal; in natural language quoted texts and numbers after an
    operator, a bracket or a comma, from a statement's verb on.
    """
    for line in _QUOTED_LINE.finditer(text):
        yield from (
            Hit(line.start(1) + start, line.start(1) + end, "sql") for start, end in literals(line[1])
        )
    yield from (Hit(start, end, "sql") for start, end in copied_rows(text))
    verb = _EMBEDDED.search(text)
    if verb is None:
        return
    for match in _LITERAL.finditer(text, verb.start()):
        kind = "text" if match["text"] else "number"
        yield Hit(match.start(kind), match.end(kind), "sql")


EMBEDDED_SQL_FINDER: Final = Finder(
    find_embedded_literals,
    words=(
        "insert into",
        "merge into",
        "exec",
        "call ",
        "update ",
        "delete from",
        "select",
        "values",
        "line ",
        "statement: ",
        "query: ",
        "execute ",
        "from stdin",
    ),
    signs=" ",
)
