"""Fuzzing of statements, URLs, JSON and texts: no exception, and no secret is left."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

from hypothesis import given, settings
from hypothesis import strategies as st

from exploring import examples
from mita_otel.redaction import Redactor

fuzzed = settings(max_examples=examples(150))
REDACTOR = Redactor()

SECRET = "4012888888881881"
"""A number that the grammars below cannot generate by chance."""
WORD = "qzxhidden"

SQL_PARTS = st.sampled_from(
    ["SELECT a", " FROM t", " WHERE b = ", " AND ", " IN (", ")", ", ", " -- c\n", " /* c */ ", " /* ", "'", '"', "`", "\\", "$$", "$x$",
     "E", "N", "x", "0x1F", "1.5e10", "::int", ":name", "%s", "?", "$1", "@p", "#", ";", "\n", "VALUES (", "INSERT INTO t ", "q'[", "''", "_utf8 "]
)  # fmt: skip
DIALECTS = st.sampled_from([None, "postgresql", "mysql", "sqlite", "oracle", "mssql", "redis"])


@fuzzed
@given(st.lists(SQL_PARTS, max_size=20), DIALECTS, st.lists(SQL_PARTS, max_size=20))
def test_a_number_in_any_statement_is_redacted(
    before: list[str], dialect: str | None, after: list[str]
) -> None:
    tally: Counter[str] = Counter()
    statement = f"{''.join(before)} {SECRET} {''.join(after)}"
    once = REDACTOR.sql(statement, tally, dialect=dialect)
    assert SECRET not in once
    assert not tally["error"]
    assert REDACTOR.sql(once, dialect=dialect) == once


@fuzzed
@given(
    st.lists(SQL_PARTS.filter(lambda part: not set(part) & set("'\"`\\$#/-q")), max_size=12),
    DIALECTS.filter(lambda name: name != "redis"),
)
def test_a_string_of_a_well_formed_statement_is_redacted(parts: list[str], dialect: str | None) -> None:
    result = REDACTOR.sql(f"{''.join(parts)} '{WORD}' {''.join(parts)}", dialect=dialect)
    assert WORD not in result


@fuzzed
@given(
    st.sampled_from(["http", "https", "postgresql", "redis", "amqp", "mongodb+srv"]),
    st.text("abc-._~", max_size=8),
    st.text(max_size=12),
    st.sampled_from(["a.test", "localhost", "[::1]", "10.0.0.1:80"]),
    st.lists(st.text(max_size=8), max_size=3),
    st.sampled_from(["token", "api_key", "password", "card[number]", "user.pin", "sig", "Access_Token"]),
    st.booleans(),
)
def test_credentials_and_secret_parameters_of_any_url_are_redacted(
    scheme: str, user: str, noise: str, host: str, path: list[str], name: str, twice: bool
) -> None:
    encode = (
        (lambda text: quote(quote(text, safe=""), safe="")) if twice else (lambda text: quote(text, safe=""))
    )
    url = (
        f"{scheme}://{user}:{WORD}@{host}/{'/'.join(map(encode, path))}"
        f"?x={encode(noise)}&{encode(name) if twice else name}={WORD}{encode(noise)}"
    )
    tally: Counter[str] = Counter()
    once = REDACTOR.url(url, tally)
    assert WORD not in once, url
    assert not tally["error"]
    assert REDACTOR.url(once) == once


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**6), 10**6), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
WRAPPINGS = st.lists(
    st.sampled_from(["dumps", "ascii", "indent", "quote", "plus", "bytes", "list", "dict", "repr", "sentence", "form"]), max_size=4
)  # fmt: skip


def wrapped(value: Any, wrappings: list[str]) -> Any:
    """Return the value wrapped in other structures."""
    for wrapping in wrappings:
        value = wrapped_once(value, wrapping)
    return value


def wrapped_once(value: Any, wrapping: str) -> Any:
    text = value if isinstance(value, str) else json.dumps(value, default=lambda it: it.decode())
    wrappers: dict[str, Callable[[], Any]] = {
        "dumps": lambda: json.dumps(value if not isinstance(value, bytes) else text, ensure_ascii=False, default=lambda it: it.decode()),
        "ascii": lambda: json.dumps(text),
        "indent": lambda: json.dumps(value if not isinstance(value, bytes) else text, indent=2, default=lambda it: it.decode()),
        "quote": lambda: quote(text, safe=""),
        "plus": lambda: quote_plus(text),
        "bytes": lambda: text.encode("utf-8", "surrogatepass"),
        "list": lambda: [value],
        "dict": lambda: {"payload": value},
        "repr": lambda: repr(value),
        "sentence": lambda: f"upstream said {text} and closed",
        "form": lambda: f"a=1&payload={quote_plus(text)}&b=2",
    }  # fmt: skip
    return wrappers[wrapping]()


@fuzzed
@given(JSON_VALUES, st.sampled_from(["password", "cvv", "apiKey", "card_number", "user.ssn"]), WRAPPINGS)
def test_a_secret_member_of_any_nested_json_is_redacted(noise: Any, name: str, wrappings: list[str]) -> None:
    tally: Counter[str] = Counter()
    value = wrapped({"noise": noise, name: WORD, "n": f"card {SECRET}"}, wrappings)
    shown = repr(REDACTOR.attributes({"data": value}, tally))
    assert SECRET not in shown
    assert WORD not in shown
    assert not tally["error"]


TEXT_PARTS = st.sampled_from(
    ["password=", "pin ", "card ", "4111", "1111", " ", "-", "\n", "'", '"', "{", "}", "[", "]", "(", ")", ":", "=", ",", "&", "%20", "%", "\\", "\\n",
     "://", "@", "Bearer ", "eyJ", "[redacted:", "[redacted:pan]", "input_value=", "[SQL: ", "[parameters: ", "Key (a)=(", "é", "４", "\u200b", "&quot;", "cookie: ", "LINE 1: "]
)  # fmt: skip


@fuzzed
@given(st.lists(TEXT_PARTS, max_size=25))
def test_redacting_any_text_raises_nothing_and_is_idempotent(parts: list[str]) -> None:
    tally: Counter[str] = Counter()
    once = REDACTOR.text("".join(parts), tally)
    assert not tally["error"]
    assert REDACTOR.text(once) == once


@fuzzed
@given(st.lists(TEXT_PARTS, max_size=12), st.lists(TEXT_PARTS, max_size=12))
def test_a_card_number_in_any_text_is_redacted(before: list[str], after: list[str]) -> None:
    assert SECRET not in REDACTOR.text(f"{''.join(before)} {SECRET} {''.join(after)}")


@fuzzed
@given(JSON_VALUES)
def test_redacting_any_event_raises_nothing(noise: Any) -> None:
    tally: Counter[str] = Counter()
    event = {"extra": noise, "request": noise, "exception": noise, "breadcrumbs": noise, "spans": noise, "other": noise, "message": noise}  # fmt: skip
    REDACTOR.event({**event, "user": {"note": f"card {SECRET}"}}, tally)
    assert not tally["error"]
    assert SECRET not in repr(REDACTOR.event({**event, "tags": {"t": SECRET}}))
