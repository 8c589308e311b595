"""The series that a PromQL expression selects, by an independent parser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

promql_parser = pytest.importorskip("promql_parser", reason="promql-parser has no wheel for this Python")


def selected(expr: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the name of each series that an expression selects, with the labels that it is chosen by."""
    for selector in _selectors(promql_parser.parse(expr)):
        matchers = {one.name: one.value for one in selector.matchers.matchers}
        names = [selector.name] if selector.name else matchers.pop("__name__").split("|")
        for name in names:
            yield name, frozenset(matchers)


def _selectors(node: Any) -> Iterator[Any]:
    if isinstance(node, promql_parser.VectorSelector):
        yield node
        return
    parts = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "vector_selector")]
    for part in [*parts, *getattr(node, "args", ())]:
        if part is not None:
            yield from _selectors(part)
