"""The verb and the table of a statement are found in one pass."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mita_otel.latency.sql import summarise_statement, table, verb, verb_of
from mita_otel.policy.limits import STATEMENT_VERBS

STATEMENTS = {
    "SELECT 1": "SELECT",
    "select * from t": "SELECT",
    "  \n\tInsert into t values (1)": "INSERT",
    "UPDATE t SET a = 1": "UPDATE",
    "delete from t": "DELETE",
    "-- who: DELETE\nSELECT 1": "SELECT",
    "--\nSELECT 1": "SELECT",
    "/* DELETE */ UPDATE t SET a = 1": "UPDATE",
    "/* a * b ** */UPDATE t": "UPDATE",
    "/* traceparent='00-abc' */ /* x */ SELECT 1": "SELECT",
    "# MySQL's comment\nSELECT 1": "SELECT",
    "(SELECT 1) UNION (SELECT 2)": "SELECT",
    "((( select 1 )))": "SELECT",
    "( -- c\n /* d */ (SELECT 1))": "SELECT",
    ";SELECT 1": "SELECT",
    "EXPLAIN SELECT 1": "SELECT",
    "EXPLAIN ANALYZE VERBOSE UPDATE t SET a = 1": "UPDATE",
    "EXPLAIN (ANALYZE, COSTS OFF, FORMAT JSON) DELETE FROM t": "DELETE",
    "EXPLAIN QUERY PLAN SELECT 1": "SELECT",
    "EXPLAIN FORMAT=JSON SELECT 1": "SELECT",
    "ANALYZE accounts": "ANALYZE",
    "WITH a AS (SELECT 1) SELECT * FROM a": "SELECT",
    "with a as (select 1) insert into t select * from a": "INSERT",
    "WITH a AS (SELECT 1), b AS (DELETE FROM t RETURNING id) UPDATE t SET x = 1": "UPDATE",
    "WITH a AS (SELECT (SELECT (1))) DELETE FROM t": "DELETE",
    "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) SELECT n FROM a": "SELECT",
    "WITH a AS MATERIALIZED (SELECT ')' AS p, \"delete\" FROM t) UPDATE t SET x = 1": "UPDATE",
    "WITH a AS (SELECT 'it''s (' ) DELETE FROM t": "DELETE",
    r"WITH a AS (SELECT 'it\'s (' ) DELETE FROM t": "DELETE",
    r"WITH a AS (SELECT 'C:\' AS d) DELETE FROM t": "DELETE",
    "WITH a AS (SELECT j #> '{x}' FROM t) UPDATE t SET x = 1": "UPDATE",
    "WITH a AS (SELECT j #>> '{x}', k #- '{y}' FROM t) UPDATE t SET x = 1": "UPDATE",
    "WITH a AS (SELECT $$ ) delete $$ FROM t) UPDATE t SET x = 1": "UPDATE",
    "WITH a AS (SELECT $q$ ) delete $q$, $1 FROM t) UPDATE t SET x = 1": "UPDATE",
    "WITH a AS (SELECT `)` FROM t) UPDATE t SET x = 1": "UPDATE",
    "WITH a AS (SELECT [)] FROM t) UPDATE t SET x = 1": "UPDATE",
    "(WITH a AS (SELECT 1) SELECT * FROM a)": "SELECT",
    "MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE": "MERGE",
    "CREATE TABLE t (a int)": "CREATE",
    "BEGIN": "BEGIN",
    "{call charge(?)}": "CALL",
    "HGETALL user:1": None,
    "db.accounts.find({})": None,
    "WITH": None,
    "WITH a AS (SELECT 1": None,
    "EXPLAIN": None,
    "'SELECT'": None,
    "-- SELECT 1": None,
    "/* SELECT 1": None,
    "": None,
    "()": None,
    "123": None,
}


@pytest.mark.parametrize(("statement", "expected"), STATEMENTS.items())
def test_each_statement_has_its_verb(statement: str, expected: str | None) -> None:
    assert verb(statement) == expected


@pytest.mark.parametrize(
    ("operation", "statement", "expected"),
    [
        ("SELECT", None, "SELECT"),
        ("select", "DELETE FROM t", "SELECT"),
        ("INSERT bank", "INSERT INTO t VALUES (1)", "INSERT"),
        ("insert /data/bank.db", None, "INSERT"),
        ("with", "WITH a AS (SELECT 1) DELETE FROM t", "DELETE"),
        ("WITH bank", "WITH a AS (SELECT 1) DELETE FROM t", "DELETE"),
        ("(select", "(select 1)", "SELECT"),
        ("/*", "/* c */ UPDATE t", "UPDATE"),
        ("  ", "UPDATE t", "UPDATE"),
        ("", "UPDATE t", "UPDATE"),
        (None, "UPDATE t", "UPDATE"),
        ("with", None, None),
        (None, None, None),
        ("HGETALL", "HGETALL user:1", None),
    ],
)
def test_a_known_operation_takes_precedence_over_the_statement(
    operation: str | None, statement: str | None, expected: str | None
) -> None:
    assert verb_of(operation, statement) == expected


_NOISE = st.sampled_from([" ", "\n", "\t", "-- UPDATE ( '\n", "/* DELETE ) */", "(", "/**/", "# INSERT\n"])


@given(st.lists(_NOISE, max_size=8).map("".join), st.sampled_from(["SELECT", "INSERT", "UPDATE", "DELETE"]))
def test_comments_spaces_and_parentheses_before_the_verb_are_skipped(noise: str, word: str) -> None:
    assert verb(f"{noise}{word.lower()} x") == word


@given(st.text(max_size=200))
def test_any_text_has_a_known_verb_or_none(text: str) -> None:
    assert verb(text) in STATEMENT_VERBS | {None}


@given(st.text(alphabet="()'\"`[]$#-/*\\ \naS", max_size=60))
def test_a_verb_inside_a_string_literal_is_ignored(text: str) -> None:
    quoted = text.replace("\\", "").replace("'", "''")
    assert verb(f"WITH a AS (SELECT '{quoted} delete ') UPDATE t SET x = 1") == "UPDATE"


@pytest.mark.parametrize(
    "statement",
    [
        "'" * 200_000,
        "/*" * 200_000,
        "$a" * 200_000,
        "$a$" * 200_000,
        "(" * 200_000,
        "WITH " + "('\\" * 200_000,
        "EXPLAIN " + "a " * 200_000,
        "--" * 200_000,
        "[" * 200_000,
        "*" * 200_000,
    ],
    ids=lambda statement: statement[:10],
)
def test_hostile_statements_are_parsed_in_bounded_steps(statement: str) -> None:
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "c_call"

    sys.setprofile(count)
    try:
        verb(statement)
    finally:
        sys.setprofile(None)
    assert calls < 5 * 20_000 * 2


def test_a_verb_beyond_the_length_bound_is_not_found() -> None:
    assert verb("-- " + "x" * 30_000 + "\nSELECT 1") is None


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("INSERT INTO notes VALUES ('a gift from Hunter2secret')", "notes"),
        ("SELECT 'a gift from Hunter2secret'", None),
        ("SELECT 1 -- a gift from Hunter2secret", None),
        ("/* from x */ -- from y\nSELECT * FROM public.accounts", "accounts"),
        ("SELECT extract(year FROM created_at), sum(amount) FROM payments", "payments"),
        ("SELECT substring(a FROM 1 FOR 3) FROM s.t1", "t1"),
        ("SELECT trim(both 'x' from name) FROM users", "users"),
        ("SELECT a FROM (SELECT b FROM inner_t) x", "inner_t"),
        ("WITH c AS (SELECT 1 FROM real_t) SELECT * FROM c", "real_t"),
        ("SELECT a IS DISTINCT FROM b FROM c", "c"),
        ("SELECT 1 FOR UPDATE", None),
        ('UPDATE ONLY "my table" SET a = 1', "my table"),
        ("INSERT INTO t (a) VALUES (1) ON CONFLICT DO UPDATE SET a = 2", "t"),
        ("INSERT INTO t(a) VALUES (1)", "t"),
        ("DELETE FROM `db`.`orders`", "orders"),
        ("CREATE TABLE IF NOT EXISTS z (a int)", "z"),
        ("DROP TABLE [dbo].[x]", "x"),
        ("SELECT * FROM generate_series(1, 2)", None),
        ("SELECT * FROM generate_series(1, 2) g JOIN t ON true", "t"),
        ("SELECT 1", None),
        ("", None),
    ],
)
def test_the_table_comes_from_the_lexed_statement(statement: str, name: str | None) -> None:
    assert table(statement) == name
    assert summarise_statement(statement)[1] == name
