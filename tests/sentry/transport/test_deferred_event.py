"""Errors are redacted by the sending thread, and are never sent unredacted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sentry_sdk.envelope import Envelope

from e2e.receiver import Receiver
from leaks import shows
from mita_otel.policy import default_policy
from mita_otel.processors.captured_exceptions import CapturedExceptions
from mita_otel.processors.queues.losses import Losses
from mita_otel.redaction import Redactor
from mita_otel.sentry.active_roots import ActiveRoots
from mita_otel.sentry.before_send import BeforeSendHook
from mita_otel.sentry.breadcrumbs import Breadcrumbs, Steps
from mita_otel.sentry.transport.envelope_items import DeferredEvent
from mita_otel.sentry.transport.transport import SentryTransport

from ..spans import query, server

CARD = "4111 1111 1111 1111"


class WatchedRedactor(Redactor):
    """Records the threads on which events are redacted."""

    def __init__(self) -> None:
        super().__init__(default_policy().redaction)
        self.threads: list[threading.Thread] = []
        self.result: Callable[[dict[str, Any]], dict[str, Any]] = lambda event: event

    def event(self, event: Any, tally: Any = None) -> dict[str, Any]:
        self.threads.append(threading.current_thread())
        return self.result(super().event(event, tally))


class Client:
    """The parts of a client that the hook needs; the hook's result is handled as sentry-sdk does."""

    def __init__(self, transport: Any, then: Any = None) -> None:
        self.transport = transport
        self.spotlight: Any = None
        self.losses = Losses(cool_down_s=3600)
        self.redactor = WatchedRedactor()
        roots = ActiveRoots(10, 10)
        steps = Steps(roots, self.redactor, max_traces=10, max_steps=10)
        self.hook = BeforeSendHook(
            self.redactor, Breadcrumbs(10, 10), roots, steps, CapturedExceptions(10), self.losses, then
        )
        self.hook.client = self  # type: ignore[assignment]

    def send(self, event: dict[str, Any]) -> Any:
        result = self.hook({"event_id": "a" * 32, "level": "error", **event}, {})
        if isinstance(self.transport, SentryTransport) and result is not None:
            envelope = Envelope({"event_id": "a" * 32})
            envelope.add_event(result)
            self.transport.capture_envelope(envelope)
        return result


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    backend = Receiver()
    yield backend
    backend.close()


@pytest.fixture
def client(receiver: Receiver) -> Iterator[Client]:
    one = make_client(receiver)
    yield one
    one.transport.kill()


def make_client(receiver: Receiver, then: Any = None, **changes: Any) -> Client:
    client = Client(None, then)
    policy = default_policy().sentry.replace(**changes)
    client.transport = SentryTransport({"dsn": receiver.dsn}, policy, client.losses)
    return client


def test_an_error_is_redacted_on_a_senders_thread(receiver: Receiver, client: Client) -> None:
    result = client.send({"message": f"card {CARD}", "extra": {"password": "hunter2"}})
    assert not shows(result), "what another transport would send shows nothing"
    assert "hunter2" not in str(result)
    client.transport.flush(60)
    assert [thread.name for thread in client.redactor.threads] == ["mita-otel-sentry-0"]
    [event] = receiver.events
    assert event["message"] == "card [redacted:pan]"
    assert event["extra"] == {"password": "[redacted:password]"}
    assert client.losses.counts() == {}


def test_steps_become_breadcrumbs_with_the_redaction(receiver: Receiver, client: Client) -> None:
    root = server(trace_id=7)
    hook = client.hook
    root._end_time = None  # it is active
    hook.roots.started(root)
    assert hook.steps is not None
    hook.steps.ended(query(2, 1, trace_id=7, at_ms=(1, 2)))
    client.send({"contexts": {"trace": {"trace_id": f"{7:032x}", "span_id": f"{1:016x}"}}})
    client.transport.flush(60)
    [event] = receiver.events
    assert [one["message"] for one in event["breadcrumbs"]["values"]] == ["SELECT ? FROM accounts"]
    assert event["transaction"] == "GET /api/accounts/{id}"


def test_the_services_hook_is_called_at_once_with_the_complete_event(receiver: Receiver) -> None:
    seen: list[Any] = []

    def then(event: Any, hint: Any) -> Any:
        seen.append((threading.current_thread(), event["message"]))
        return {**event, "extra": {"card": CARD}}

    client = make_client(receiver, then)
    client.send({"message": "m"})
    assert seen == [(threading.current_thread(), "m")]
    client.transport.flush(60)
    client.transport.kill()
    [event] = receiver.events
    assert event["extra"] == {"card": "[redacted:card]"}


def test_later_changes_of_the_services_objects_are_not_sent(receiver: Receiver) -> None:
    cart = {"items": ["book"]}
    client = make_client(receiver, lambda event, hint: {**event, "extra": {"cart": cart}})
    client.send({})
    cart["items"].append("pen")
    client.transport.flush(60)
    client.transport.kill()
    assert receiver.events[0]["extra"] == {"cart": {"items": ["book"]}}


class Account:
    def __str__(self) -> str:
        return f"Account({CARD})"


def foreign_transport(client: Client) -> None:
    client.transport = object()


def spotlight(client: Client) -> None:
    client.spotlight = object()


def unknown_client(client: Client) -> None:
    client.hook.client = None


@pytest.mark.parametrize("change", [foreign_transport, spotlight, unknown_client])
def test_an_event_for_another_transport_is_redacted_at_once(
    client: Client, change: Callable[[Client], None]
) -> None:
    own = client.transport
    change(client)
    result = client.send({"message": f"card {CARD}"})
    client.transport = own
    assert result["message"] == "card [redacted:pan]"
    assert client.redactor.threads == [threading.current_thread()]


@pytest.mark.parametrize(
    "event", [{"extra": {"account": Account()}}, {"type": "check_in", "monitor_slug": "s"}]
)
def test_an_event_other_than_an_error_is_redacted_at_once(client: Client, event: dict[str, Any]) -> None:
    result = client.send({"message": f"card {CARD}", **event})
    assert not isinstance(result, DeferredEvent)
    assert not shows(result)


def test_an_event_that_cannot_be_redacted_is_counted_and_not_sent(receiver: Receiver, client: Client) -> None:
    client.redactor.result = lambda event: {}
    client.send({"message": "first"})
    client.transport.flush(60)

    def fail(event: dict[str, Any]) -> dict[str, Any]:
        raise ValueError(CARD)

    client.redactor.result = fail
    client.send({"message": "second"})
    client.transport.flush(60)
    client.transport.ending = True
    client.transport.flush(60)  # sends the client report
    assert receiver.events == []
    assert client.losses.counts() == {("sentry.other", "not_redactable"): 2}
    reports = [one for report in receiver.client_reports for one in report["discarded_events"]]
    assert reports == [{"reason": "internal_sdk_error", "category": "error", "quantity": 2}]


def test_waiting_events_are_bounded_in_bytes(receiver: Receiver) -> None:
    client = make_client(receiver, max_megabytes=0.1, senders=1)
    receiver.behaviour = "hang"
    client.send({"message": "is sent"})
    for number in range(10):
        client.send({"message": f"{number}" + "x" * 40_000})
    lost = client.losses.counts()[("sentry.other", "queue_overflow")]
    assert lost == 8, "two of 40 kB fit"
    assert client.redactor.threads[1:] == [], "what is dropped is not redacted"
    client.transport.kill()


def test_a_rate_limited_event_is_not_redacted(receiver: Receiver, client: Client) -> None:
    receiver.answer_headers = {"X-Sentry-Rate-Limits": "60:error:project"}
    client.send({"message": "first"})
    client.transport.flush(60)
    client.send({"message": "second"})
    client.transport.flush(60)
    assert len(client.redactor.threads) == 1
    assert client.losses.counts() == {("sentry.other", "ratelimit_backoff"): 1}


def test_the_sampling_context_is_redacted_and_becomes_a_header(receiver: Receiver, client: Client) -> None:
    context = {"trace_id": f"{7:032x}", "transaction": f"GET /cards/{CARD}"}
    client.send({"contexts": {"trace": {"trace_id": f"{7:032x}", "dynamic_sampling_context": context}}})
    client.transport.flush(60)
    [request] = receiver.requests
    assert request.header["trace"]["trace_id"] == f"{7:032x}"
    assert not shows(request.header)
    assert "dynamic_sampling_context" not in receiver.events[0]["contexts"]["trace"]
