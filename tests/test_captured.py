"""One exception is one event, however often and wherever it is captured."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from opentelemetry import trace

from mita_otel.captured import event_id_of, mark, remember_request, request_of

FIRST, SECOND = "a" * 32, "b" * 32


class Strict(Exception):  # noqa: N818
    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError("frozen")


@dataclass(frozen=True)
class Frozen(Exception):  # noqa: N818
    code: int


class Slotted(Exception):  # noqa: N818
    __slots__ = ()


@pytest.mark.parametrize(
    "exception",
    [
        ValueError("x"),
        KeyboardInterrupt(),
        ExceptionGroup("g", [OSError()]),
        Strict(),
        Frozen(1),
        Slotted("x"),
    ],
    ids=repr,
)
def test_any_exception_stores_its_event_and_request(exception: BaseException) -> None:
    assert event_id_of(exception) is None
    assert request_of(exception) is None
    assert mark(exception, FIRST) == FIRST
    remember_request(exception, {"method": "GET"})
    assert event_id_of(exception) == FIRST
    assert request_of(exception) == {"method": "GET"}


def test_the_first_mark_is_kept() -> None:
    error = ValueError("x")
    mark(error, FIRST)
    assert mark(error, SECOND) == FIRST
    assert event_id_of(error) == FIRST


def test_an_exception_that_is_raised_again_in_another_trace_is_another_error() -> None:
    error = ValueError("kept for all requests")

    def inside(trace_id: int) -> trace.Span:
        return trace.NonRecordingSpan(trace.SpanContext(trace_id, 1, is_remote=False))

    with trace.use_span(inside(1)):
        mark(error, FIRST)
        assert event_id_of(error) == FIRST
    assert event_id_of(error) == FIRST, "a log line after the request's end is about the same error"
    with trace.use_span(inside(2)):
        assert event_id_of(error) is None
        assert mark(error, SECOND) == SECOND
        assert mark(error, FIRST) == SECOND


def test_an_attribute_of_another_type_is_not_a_mark() -> None:
    exception = ValueError()
    exception.__mita_event_id__ = 5  # type: ignore[attr-defined]
    assert event_id_of(exception) is None


def test_another_exception_raised_from_a_captured_one_is_another_error() -> None:
    cause = ValueError("x")
    mark(cause, FIRST)
    with pytest.raises(RuntimeError) as raised:
        raise RuntimeError("y") from cause
    assert event_id_of(raised.value) is None


def test_a_group_is_captured_when_all_its_members_are() -> None:
    one, other = ValueError("x"), TypeError("y")
    group = ExceptionGroup("both", [one, ExceptionGroup("inner", [other])])
    mark(one, FIRST)
    assert event_id_of(group) is None
    mark(other, SECOND)
    assert event_id_of(group) == FIRST


def test_the_mark_is_kept_when_pickled_and_copied() -> None:
    error = ValueError("x")
    mark(error, FIRST)
    assert event_id_of(pickle.loads(pickle.dumps(error))) == FIRST  # noqa: S301
    assert event_id_of(copy.copy(error)) == FIRST


def test_threads_that_mark_the_same_exception_agree_on_one_id() -> None:
    error = ValueError("x")
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda n: mark(error, f"{n:032x}"), range(200)))
    assert ids == {event_id_of(error)}
