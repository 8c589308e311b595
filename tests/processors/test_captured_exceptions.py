"""Frames of exceptions and of their formatted text."""

from __future__ import annotations

import traceback

import pytest

from mita_otel.processors.captured_exceptions import innermost, parse_stacktrace


def fail(depth: int) -> None:
    if depth:
        fail(depth - 1)
    raise ValueError("no")


def raised(depth: int = 2) -> ValueError:
    try:
        fail(depth)
    except ValueError as error:
        return error
    raise AssertionError


def test_the_frames_of_a_text_are_those_of_the_exception() -> None:
    error = raised()
    frames = parse_stacktrace("".join(traceback.format_exception(error)))
    assert [frame["function"] for frame in frames] == ["raised", "fail", "fail", "fail"]
    last = frames[-1]
    assert last["context_line"].strip() == 'raise ValueError("no")'
    assert last["filename"] == "test_captured_exceptions.py"
    assert f"{last['abs_path']}:{last['lineno']}" == innermost(error.__traceback__)


def test_the_frames_of_a_chain_are_those_of_the_last_exception() -> None:
    try:
        try:
            fail(0)
        except ValueError as error:
            raise KeyError("outer") from error
    except KeyError as error:
        outer = error
    frames = parse_stacktrace("".join(traceback.format_exception(outer)))
    assert [frame["function"] for frame in frames] == [
        "test_the_frames_of_a_chain_are_those_of_the_last_exception"
    ]
    assert f"{frames[-1]['abs_path']}:{frames[-1]['lineno']}" == innermost(outer.__traceback__)


def test_the_frames_of_a_group_are_not_those_of_its_members() -> None:
    try:
        raise ExceptionGroup("several", [raised(), ExceptionGroup("inner", [raised(0)])])
    except ExceptionGroup as error:
        group = error
    frames = parse_stacktrace("".join(traceback.format_exception(group)))
    assert [frame["function"] for frame in frames] == [
        "test_the_frames_of_a_group_are_not_those_of_its_members"
    ]
    assert f"{frames[-1]['abs_path']}:{frames[-1]['lineno']}" == innermost(group.__traceback__)


@pytest.mark.parametrize("text", ["", "no traceback", '  File "x"', '  File "x", line y, in z', "\x00" * 9])
def test_text_without_a_traceback_has_no_frames(text: str) -> None:
    assert parse_stacktrace(text) == []


def test_a_frame_without_source_or_function_is_parsed() -> None:
    assert parse_stacktrace('  File "C:\\srv\\app.py", line 7') == [
        {"abs_path": "C:\\srv\\app.py", "filename": "app.py", "lineno": 7, "function": "<unknown>"}
    ]


def test_a_deep_recursion_keeps_the_innermost_frames() -> None:
    text = "".join(f'  File "a.py", line {n}, in f\n    f()\n' for n in range(5000))
    frames = parse_stacktrace(text)
    assert len(frames) == 250
    assert frames[-1]["lineno"] == 4999


def test_an_exception_that_was_never_raised_has_no_frame() -> None:
    assert innermost(ValueError().__traceback__) == ""
