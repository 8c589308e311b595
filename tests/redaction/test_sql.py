"""Masked statements: no literals, with structure and placeholders intact."""

from __future__ import annotations

from collections import Counter

import pytest

from mita_otel.redaction import Redactor
from mita_otel.redaction.sql import mask_literals


@pytest.mark.parametrize(
    ("dialect", "statement", "masked"),
    [
        (None, "SELECT a FROM t WHERE b = 'x' AND c = 5", "SELECT a FROM t WHERE b = ? AND c = ?"),
        (None, "SELECT 'it''s' , b", "SELECT ? , b"),
        (None, "INSERT INTO t VALUES (1, 'a', NULL), (2, 'b', TRUE)", "INSERT INTO t VALUES (?, ?, NULL), (?, ?, TRUE)"),
        (None, "SELECT t1.c2 FROM s3.t1", "SELECT t1.c2 FROM s3.t1"),
        (None, "SELECT a -- why 'x' 5\nFROM t", "SELECT a -- why ? ?\nFROM t"),
        (None, "SELECT /* a /* 'b' */ 5 */ c", "SELECT /* a /* ? */ ? */ c"),
        (None, "a = $1 AND b = %s AND c = :c AND d = ? AND e = %(e)s", "a = $1 AND b = %s AND c = :c AND d = ? AND e = %(e)s"),
        (None, "SELECT 'open", "SELECT [redacted:sql]"),
        (None, 'SELECT "name with space" FROM "t"', 'SELECT "name with space" FROM "t"'),
        (None, 'SELECT a FROM t WHERE b = "x"', "SELECT a FROM t WHERE b = ?"),
        ("postgresql", "SELECT $x$ 'a' $x$, $$b$$, a::int", "SELECT ?, ?, a::int"),
        ("postgresql", r"SELECT 'C:\', 'b', E'd\'e'", "SELECT ?, ?, ?"),
        ("postgresql", "SELECT a #> '{b}' FROM t", "SELECT a #> ? FROM t"),
        ("mysql", r"SELECT 'a\'b', c", "SELECT ?, c"),
        ("mysql", 'SELECT "a", `b` # \'c\'\nFROM t', "SELECT ?, `b` # ?\nFROM t"),
        ("mysql", "SELECT _utf8mb4'a', N'b', x'ff', 0xff", "SELECT ?, ?, ?, ?"),
        ("sqlite", "SELECT x'00', 1e-5, .5 FROM t LIMIT 10 OFFSET 20", "SELECT ?, ?, .? FROM t LIMIT ? OFFSET ?"),
        ("redis", "SET key value EX 5", "SET ? ? ? ?"),
        ("redis", "PING", "PING"),
    ],
)  # fmt: skip
def test_literals_become_question_marks(dialect: str | None, statement: str, masked: str) -> None:
    assert mask_literals(statement, dialect)[0] == masked


def test_without_a_dialect_the_literals_of_every_dialect_are_masked() -> None:
    statement = r"SELECT 'C:\' , 'standard' , 'it\'s mysql' , b"
    masked, _ = mask_literals(statement)
    assert "standard" not in masked
    assert "mysql" not in masked


def test_literals_are_counted_under_the_rule_sql_also_from_the_cache(redactor: Redactor) -> None:
    for _ in range(2):
        tally: Counter[str] = Counter()
        redactor.sql("SELECT 'a', 5", tally)
        assert tally == {"sql": 2}


def test_the_dialect_comes_from_the_attribute_beside_the_statement(redactor: Redactor) -> None:
    statement = 'SELECT "a" FROM t'
    assert (
        redactor.attributes({"db.system": "mysql", "db.statement": statement})["db.statement"]
        == "SELECT ? FROM t"
    )
    assert (
        redactor.attributes({"db.system": "sqlite", "db.statement": statement})["db.statement"] == statement
    )
