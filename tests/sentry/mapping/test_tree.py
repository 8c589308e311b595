"""A tree is trimmed to the size of one transaction."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import StatusCode

from exploring import examples
from mita_otel.sentry.mapping.span_tree import Tree, key_of, matters, trim
from sentry.spans import BREACH, make


def ids(tree: Tree) -> list[int]:
    return sorted(key_of(child)[1] for child in tree.children)


def test_a_tree_that_fits_is_unchanged() -> None:
    tree = Tree(make(1), [make(2, 1), make(3, 1)])
    assert trim(tree, 2) is tree


def test_breached_and_failed_spans_are_kept_with_their_ancestors_then_the_longest() -> None:
    children = [make(n, 1, at_ms=(0, n)) for n in range(10, 30)]
    children += [make(2, 1, at_ms=(0, 0.1)), make(3, 2, at_ms=(0, 0.1), attributes=BREACH)]
    children += [make(4, 1, at_ms=(0, 0.1), status=StatusCode.ERROR)]
    tree = trim(Tree(make(1), children), 5)
    assert ids(tree) == [2, 3, 4, 28, 29]
    assert tree.left_out == len(children) - 5


def test_a_span_whose_ancestors_do_not_fit_is_left_out() -> None:
    deep = [make(n, n - 1, at_ms=(0, 1), attributes=BREACH if n == 9 else None) for n in range(2, 10)]
    shallow = [make(20, 1, at_ms=(0, 0.5))]
    tree = trim(Tree(make(1), deep + shallow), 3)
    assert all(child.parent is not None for child in tree.children)
    inside = {1, *ids(tree)}
    assert all(child.parent.span_id in inside for child in tree.children)  # type: ignore[union-attr]


def test_spans_left_out_earlier_stay_in_the_count() -> None:
    tree = trim(Tree(make(1), [make(n, 1) for n in range(2, 12)], left_out=5, orphan=True), 4)
    assert (len(tree.children), tree.left_out, tree.orphan) == (4, 11, True)


def test_a_tree_is_important_if_any_of_its_spans_is() -> None:
    assert not Tree(make(1), [make(2, 1)]).matters
    assert Tree(make(1, attributes=BREACH)).matters
    assert Tree(make(1), [make(2, 1), make(3, 2, status=StatusCode.ERROR)]).matters


@settings(max_examples=examples(100))
@given(st.lists(st.tuples(st.integers(0, 200), st.booleans()), min_size=1, max_size=120), st.integers(1, 60))
def test_trimmed_trees_are_connected_and_count_left_out_spans(
    shape: list[tuple[int, bool]], most: int
) -> None:
    children = [
        make(n, parent % (n - 1) + 1, at_ms=(0, n % 7), attributes=BREACH if hurt else None)
        for n, (parent, hurt) in enumerate(shape, 2)
    ]
    tree = trim(Tree(make(1), children), most)
    assert len(tree.children) <= max(most, 0) or len(children) <= most
    assert len(tree.children) + tree.left_out == len(children)
    inside = {1, *ids(tree)}
    assert all(child.parent.span_id in inside for child in tree.children)  # type: ignore[union-attr]
    hurt = sum(map(matters, children))
    if hurt == 0 and len(children) > most:
        # No important span: the tree is filled up to the limit.
        assert len(tree.children) == most
