"""Release health: every request is one session, counted by outcome, before sampling."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from opentelemetry.sdk.trace import Event
from opentelemetry.trace import StatusCode
from sentry_sdk.envelope import Envelope

from mita_otel.processors.captured_exceptions import CapturedExceptions
from mita_otel.processors.observation import Observation, has_failed
from mita_otel.sentry.sessions import Sessions
from mita_otel.sentry.transport.sender_identity import Identity

from .spans import START_NS, make, server

MINUTE_NS = 60_000_000_000


class Counting:
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.now = START_NS
        self.captured = CapturedExceptions(100)
        self.sessions = Sessions(
            lambda: Identity("production", "bank@1.0"), self.captured, self._take, clock=lambda: self.now
        )

    def _take(self, envelope: Envelope) -> None:
        [item] = envelope.items
        assert item.headers["type"] == "sessions"
        self.sent.append(json.loads(item.get_bytes()))

    def observe(self, span: Any) -> None:
        self.sessions.observe(cast("Observation", Seen(span)))

    @property
    def counts(self) -> dict[str, int]:
        total: dict[str, int] = {}
        for one in self.sent:
            for aggregate in one["aggregates"]:
                for name, value in aggregate.items():
                    if name != "started":
                        total[name] = total.get(name, 0) + value
        return total


class Seen:
    def __init__(self, span: Any) -> None:
        self.span = span
        self.failed = has_failed(span)


CRASH = {"status": StatusCode.ERROR, "events": [Event("exception", {}, timestamp=START_NS)]}
ENDINGS: dict[str, tuple[dict[str, Any], str]] = {
    "well": ({}, "exited"),
    "not found": ({"attributes": {"http.response.status_code": 404}}, "exited"),
    "unavailable": ({"attributes": {"http.response.status_code": 503}}, "errored"),
    "unhandled": (CRASH, "crashed"),
    "handled, recorded": ({"events": CRASH["events"]}, "exited"),
}


@pytest.mark.parametrize(("more", "ending"), ENDINGS.values(), ids=ENDINGS.keys())
def test_each_outcome_of_a_request_has_its_session_status(more: dict[str, Any], ending: str) -> None:
    counting = Counting()
    counting.observe(server(**more))
    counting.sessions.flush()
    assert counting.counts == {ending: 1}


def test_a_request_with_a_reported_error_is_errored() -> None:
    counting = Counting()
    counting.captured.note(1)
    counting.observe(server(trace_id=1))
    counting.observe(server(trace_id=2))
    counting.sessions.flush()
    assert counting.counts == {"errored": 1, "exited": 1}


def test_only_requests_are_sessions() -> None:
    counting = Counting()
    counting.observe(make(1))
    counting.sessions.flush()
    assert counting.sent == []


def test_sessions_of_a_minute_are_sent_after_it() -> None:
    counting = Counting()
    for minute in (0, 1):
        for _ in range(5):
            counting.observe(server(at_ms=(minute * 60_000, minute * 60_000 + 1)))
    counting.sessions.tick()
    assert counting.sent == []
    counting.now = START_NS + MINUTE_NS
    counting.sessions.tick()
    counting.sessions.tick()
    assert counting.sent == [
        {
            "attrs": {"release": "bank@1.0", "environment": "production"},
            "aggregates": [{"started": "2023-11-14T22:13:00Z", "exited": 5}],
        }
    ]
    counting.sessions.flush()
    assert counting.counts == {"exited": 10}


def test_unflushed_sessions_are_bounded_and_none_is_lost() -> None:
    counting = Counting()
    for minute in range(200):
        counting.observe(server(at_ms=(minute * 60_000, minute * 60_000 + 1)))
    counting.sessions.flush()
    assert counting.counts == {"exited": 200}


def test_a_forked_child_starts_with_no_sessions() -> None:
    counting = Counting()
    counting.observe(server())
    counting.sessions.clear()
    counting.observe(server())
    counting.sessions.flush()
    assert counting.counts == {"exited": 1}
