"""Trees of spans are complete and correctly nested, in any order of span ends."""

from __future__ import annotations

import random
import threading
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from exploring import examples
from mita_otel.sentry.mapping.span_tree import Assembler, Tree, is_local_root, key_of
from sentry.spans import make


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def assembler(clock: Clock | None = None, **bounds: float) -> Assembler:
    settings_ = {"max_waiting": 1000, "max_bytes": 1e9, "max_wait_s": 60, **bounds}
    return Assembler(clock=clock or Clock(), **settings_)  # type: ignore[arg-type]


def ids(tree: Tree) -> tuple[int, list[int]]:
    return key_of(tree.root)[1], sorted(key_of(child)[1] for child in tree.children)


def test_children_wait_for_their_root() -> None:
    one = assembler()
    assert one.add(make(3, 2)) == []
    assert one.add(make(2, 1)) == []
    assert one.waiting == 2
    [tree] = one.add(make(1))
    assert ids(tree) == (1, [2, 3])
    assert not tree.orphan
    assert one.waiting == one.waiting_bytes == 0


def test_spans_with_a_remote_parent_and_server_and_consumer_spans_are_roots() -> None:
    one = assembler()
    assert [ids(tree) for tree in one.add(make(1, 99, remote=True))] == [(1, [])]
    one.add(make(3, 2))
    assert [ids(tree) for tree in one.add(make(2, 1, kind=SpanKind.SERVER))] == [(2, [3])]
    assert [ids(tree) for tree in one.add(make(4, 1, kind=SpanKind.CONSUMER))] == [(4, [])]


def test_a_late_child_is_a_separate_tree_marked_as_orphan() -> None:
    one = assembler()
    one.add(make(1))
    assert one.add(make(3, 2)) == []
    [late] = one.add(make(2, 1))
    assert ids(late) == (2, [3])
    assert late.orphan
    [later] = one.add(make(4, 3))
    assert ids(later) == (4, [])
    assert later.orphan


def test_traces_with_equal_span_ids_are_kept_apart() -> None:
    one = assembler()
    one.add(make(2, 1, trace_id=1))
    one.add(make(2, 1, trace_id=2))
    [tree] = one.add(make(1, trace_id=2))
    assert {key_of(span) for span in [tree.root, *tree.children]} == {(2, 1), (2, 2)}
    assert one.waiting == 1


def test_overdue_spans_are_released_and_later_ones_are_marked() -> None:
    clock = Clock()
    one = assembler(clock, max_wait_s=10)
    one.add(make(3, 2))
    clock.now = 5
    one.add(make(4, 1))
    assert one.overdue() == []
    clock.now = 10
    assert sorted(ids(tree) for tree in one.overdue()) == [(3, []), (4, [])]
    assert one.waiting == 0
    # The late root is a transaction with the spans that were not sent yet.
    [tree] = one.add(make(1))
    assert ids(tree) == (1, [])


def test_a_clock_that_steps_back_releases_nothing() -> None:
    clock = Clock()
    clock.now = 1000
    one = assembler(clock, max_wait_s=10)
    one.add(make(2, 1))
    clock.now = 0
    assert one.overdue() == []
    assert ids(one.add(make(1))[0]) == (1, [2])


def test_above_the_bound_the_oldest_trace_is_released_and_not_dropped() -> None:
    one = assembler(max_waiting=3)
    for trace_id in range(1, 4):
        assert one.add(make(2, 1, trace_id=trace_id)) == []
    [tree] = one.add(make(2, 1, trace_id=4))
    assert key_of(tree.root)[0] == 1
    assert tree.orphan
    assert one.waiting == 3


def test_waiting_spans_are_bounded_in_bytes() -> None:
    one = assembler(max_bytes=50_000)
    released = [
        tree
        for trace_id in range(1, 101)
        for tree in one.add(make(2, 1, trace_id=trace_id, attributes={"text": "x" * 10_000}))
    ]
    assert one.waiting_bytes <= 50_000
    assert len(released) + one.waiting == 100


def test_spans_in_a_cycle_are_released() -> None:
    one = assembler()
    one.add(make(1, 2))
    one.add(make(2, 1))
    assert sorted(ids(tree)[0] for tree in one.drain()) == [1, 2]
    assert one.waiting == 0


def test_clear_drops_all_waiting_spans() -> None:
    one = assembler()
    one.add(make(2, 1))
    one.clear()
    assert one.drain() == []
    assert one.waiting == one.waiting_bytes == 0


@st.composite
def forests(draw: st.DrawFn) -> list[ReadableSpan]:
    """Traces of up to 30 spans, each below an earlier one or a root, in any order."""
    spans: list[ReadableSpan] = []
    for trace_id in range(1, draw(st.integers(1, 4)) + 1):
        for span_id in range(1, draw(st.integers(1, 30)) + 1):
            parent = draw(st.integers(0, span_id - 1))
            remote = parent > 0 and draw(st.booleans()) and draw(st.booleans())
            spans.append(make(span_id, parent or None, trace_id=trace_id, remote=remote))
    return draw(st.permutations(spans))


@settings(max_examples=examples(150))
@given(forests(), st.integers(1, 40))
def test_every_span_is_released_once_below_an_ancestor_in_any_order(
    spans: list[ReadableSpan], max_waiting: int
) -> None:
    one = assembler(max_waiting=max_waiting)
    trees = [tree for span in spans for tree in one.add(span)] + one.drain()
    out = Counter(key_of(span) for tree in trees for span in [tree.root, *tree.children])
    assert out == Counter(key_of(span) for span in spans)
    for tree in trees:
        assert tree.orphan != is_local_root(tree.root)
        inside = {key_of(tree.root)[1], *(key_of(child)[1] for child in tree.children)}
        for child in tree.children:
            assert key_of(child)[0] == key_of(tree.root)[0]
            assert child.parent is not None
            assert child.parent.span_id in inside
            assert not is_local_root(child)
    assert one.waiting == one.waiting_bytes == 0


def test_spans_ended_by_many_threads_are_released_once() -> None:
    one, lock = assembler(max_waiting=100_000), threading.Lock()
    spans = [make(n, n // 2 or None, trace_id=trace) for trace in range(1, 40) for n in range(1, 50)]
    random.Random(7).shuffle(spans)
    trees: list[Tree] = []

    def end(part: list[ReadableSpan]) -> None:
        for span in part:
            with lock:
                trees.extend(one.add(span))

    threads = [threading.Thread(target=end, args=(spans[k::8],)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trees.extend(one.drain())
    out = Counter(key_of(span) for tree in trees for span in [tree.root, *tree.children])
    assert out == Counter(map(key_of, spans))
