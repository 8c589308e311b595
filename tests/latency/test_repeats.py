"""Statements are compared without their values, and counted by parent in bounded memory and linear time."""

from __future__ import annotations

import pytest

from mita_otel.latency.repeats import RepeatCounter, Repeats, shape_of


@pytest.mark.parametrize(
    ("statement", "shape"),
    [
        ("SELECT 1", "SELECT ?"),
        ("select  *\n from t\twhere id = ?", "select * from t where id = ?"),
        ("SELECT a FROM t WHERE id = 42 AND name = 'O''Brien'", "SELECT a FROM t WHERE id = ? AND name = ?"),
        ("SELECT a FROM t WHERE id = %(id_1)s", "SELECT a FROM t WHERE id = ?"),
        ("SELECT a FROM t WHERE id = $1", "SELECT a FROM t WHERE id = ?"),
        ("SELECT a FROM t WHERE id = :id AND b = :b2", "SELECT a FROM t WHERE id = ? AND b = ?"),
        ("SELECT a::text FROM t2 WHERE x1 = 1.5e3", "SELECT a::text FROM t2 WHERE x1 = ?"),
        ("SELECT a FROM t WHERE id IN (1, 2,3 , 4)", "SELECT a FROM t WHERE id IN (?)"),
        ("SELECT a FROM t WHERE id IN (%s, %s)", "SELECT a FROM t WHERE id IN (?)"),
        ("INSERT INTO t VALUES (1, 'a'), (2, 'b')", "INSERT INTO t VALUES (?)"),
        ("SELECT 1 /* traceparent='00-ab-cd-01' */", "SELECT ?"),
        ("SELECT 1 -- by user 7\nFROM t", "SELECT ? FROM t"),
        ("COMMIT", ""),
        ("begin;", ""),
        ("", ""),
    ],
)
def test_the_shape_of_a_statement_has_no_values(statement: str, shape: str) -> None:
    assert shape_of(statement) == shape


@pytest.mark.parametrize("unit", ["'", "a'", "(1,", "/*", "--", "%(a)s", "$1", ":a", "? ,", "1.e", "(?),"])
def test_a_huge_statement_is_truncated_before_parsing(unit: str) -> None:
    assert shape_of(unit * 400_000) == shape_of((unit * 400_000)[:4000])
    assert len(shape_of(unit * 400_000)) <= 4000


def test_equal_statements_are_counted_under_their_parent() -> None:
    counter = RepeatCounter(10)
    for number in range(5):
        counter.add(1, f"SELECT a FROM t WHERE id = {number}", 2.0)
        counter.add(1, "SELECT b FROM u", 1.0)
        counter.add(2, "SELECT a FROM t WHERE id = 1", 1.0)
    counter.add(1, "SELECT a FROM t WHERE id = 9", 2.0)
    assert counter.take(1) == Repeats("SELECT a FROM t WHERE id = ?", 6, 12.0)
    assert counter.take(1) is None
    assert counter.take(3) is None
    assert len(counter) == 1


def test_transaction_control_statements_do_not_count() -> None:
    counter = RepeatCounter(10)
    for _ in range(5):
        counter.add(1, "COMMIT", 1.0)
    assert counter.take(1) is None


def test_parents_and_statements_are_bounded() -> None:
    counter = RepeatCounter(3)
    for parent in range(10):
        for number in range(300):
            counter.add(parent, f"SELECT c{number}x FROM t", 1.0)
    assert len(counter) == 3
    assert counter.take(0) is None
    assert counter.take(9) is not None
    counter.reset()
    assert len(counter) == 0
