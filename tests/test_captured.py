"""Marks on exceptions."""

from __future__ import annotations

import pytest

from mita_otel.captured import event_id_of, mark, remember_request, request_of


class Strict(Exception):  # noqa: N818
    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError("frozen")


@pytest.mark.parametrize("exception", [ValueError("x"), KeyboardInterrupt(), ExceptionGroup("g", [OSError()])])
def test_an_exception_remembers_its_event_and_its_request(exception: BaseException) -> None:
    assert event_id_of(exception) is None
    assert request_of(exception) is None
    mark(exception, "a" * 32)
    remember_request(exception, {"method": "GET"})
    assert event_id_of(exception) == "a" * 32
    assert request_of(exception) == {"method": "GET"}


def test_one_that_takes_no_attributes_is_left_alone() -> None:
    exception = Strict()
    mark(exception, "a" * 32)
    assert event_id_of(exception) is None


def test_an_attribute_of_another_type_is_no_mark() -> None:
    exception = ValueError()
    exception.__mita_event_id__ = 5  # type: ignore[attr-defined]
    assert event_id_of(exception) is None
