"""Exceptions recorded on spans, as issues."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import Event
from opentelemetry.trace import SpanKind, StatusCode

from mita_otel.sentry.mapping.issue_event import recorded_exception

from ..spans import START_NS, make

EXCEPTION = {"exception.type": "bank.DeclinedError", "exception.message": "no", "exception.escaped": "False"}


@pytest.mark.parametrize(
    ("span", "handled"),
    [
        ({"kind": SpanKind.CONSUMER, "status": StatusCode.ERROR}, False),
        ({"kind": SpanKind.CONSUMER, "parent": 7, "remote": True, "status": StatusCode.ERROR}, False),
        ({"kind": SpanKind.INTERNAL, "status": StatusCode.ERROR}, False),
        ({"kind": SpanKind.CONSUMER}, True),
        ({"kind": SpanKind.SERVER, "status": StatusCode.ERROR}, True),
        ({"kind": SpanKind.INTERNAL, "parent": 7, "status": StatusCode.ERROR}, True),
    ],
    ids=["task", "task of a caller", "job", "continuing task", "request", "part of a request"],
)
def test_an_exception_of_a_failed_task_is_unhandled(span: dict[str, Any], handled: bool) -> None:
    event = Event("exception", EXCEPTION, START_NS)
    [value] = recorded_exception(make(1, events=[event], **span), event)["exception"]["values"]
    assert value["mechanism"]["handled"] is handled


def test_an_escaped_exception_is_unhandled() -> None:
    event = Event("exception", {**EXCEPTION, "exception.escaped": "True"}, START_NS)
    [value] = recorded_exception(make(1, 7, events=[event]), event)["exception"]["values"]
    assert value["mechanism"]["handled"] is False
