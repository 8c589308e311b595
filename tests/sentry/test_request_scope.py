"""Scope content that a service sets through sentry-sdk is isolated per request."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind
from sentry_sdk import Scope

from mita_otel.sentry.request_scope import RequestScope, enter_request, enter_root, leave_root


class Hooks(SpanProcessor):
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        enter_root(span)

    def on_end(self, span: ReadableSpan) -> None:
        leave_root(span)
        self.exporter.export([span])


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


@pytest.fixture
def tracer(hooks: Hooks) -> trace.Tracer:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(hooks)
    return provider.get_tracer("test")


@pytest.fixture(autouse=True)
def _own_scopes() -> Iterator[None]:
    with sentry_sdk.isolation_scope():
        yield


def said() -> dict[str, Any]:
    """Return the scope content that an event would get here."""
    event: Any = {}
    scope = Scope()
    for one in (sentry_sdk.get_isolation_scope(), sentry_sdk.get_current_scope()):
        scope.update_from_scope(one)
    scope.apply_to_event(event, {}, {})
    return {"tags": event.get("tags", {}), "user": event.get("user")}


def say(name: str) -> None:
    sentry_sdk.set_tag("tenant", name)
    sentry_sdk.get_current_scope().set_tag("current", name)
    sentry_sdk.set_user({"id": name, "email": f"{name}@example.com"})


NOTHING: dict[str, Any] = {"tags": {}, "user": None}


@pytest.mark.parametrize("kind", [SpanKind.SERVER, SpanKind.CONSUMER, SpanKind.INTERNAL])
def test_successive_requests_in_one_context_have_separate_scopes(
    tracer: trace.Tracer, kind: SpanKind
) -> None:
    for name in ("alice", "bob"):
        with tracer.start_as_current_span("work", kind=kind):
            assert said() == NOTHING
            say(name)
            assert said()["user"]["id"] == name
            with tracer.start_as_current_span("part"):
                assert said()["tags"] == {"tenant": name, "current": name}


def test_the_scope_of_a_task_ends_with_it(tracer: trace.Tracer) -> None:
    with tracer.start_as_current_span("task", kind=SpanKind.CONSUMER):
        say("alice")
    assert said() == NOTHING


def test_content_set_before_requests_is_in_each_request(tracer: trace.Tracer) -> None:
    sentry_sdk.set_tag("region", "eu")
    for name in ("alice", "bob"):
        with tracer.start_as_current_span("work", kind=SpanKind.SERVER):
            assert said()["tags"] == {"region": "eu"}
            sentry_sdk.set_tag("region", name)


def test_concurrent_requests_have_separate_scopes(tracer: trace.Tracer) -> None:
    seen, both = {}, threading.Barrier(2)

    def serve(name: str) -> None:
        with tracer.start_as_current_span("work", kind=SpanKind.SERVER):
            say(name)
            both.wait(10)
            seen[name] = said()

    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=(serve, name))
        for name in ("alice", "bob")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {name: one["user"]["id"] for name, one in seen.items()} == {"alice": "alice", "bob": "bob"}


def test_an_unsampled_request_has_a_scope() -> None:
    tracer = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("test")
    for name in ("alice", "bob"):
        context = contextvars.copy_context()

        def serve(name: str = name) -> None:
            enter_request()
            with tracer.start_as_current_span("work", kind=SpanKind.SERVER):
                assert said() == NOTHING
                say(name)

        context.run(serve)
    assert said() == NOTHING


def test_a_request_entered_before_its_span_has_one_scope(tracer: trace.Tracer) -> None:
    enter_request()
    sentry_sdk.set_tag("early", "yes")
    scope = sentry_sdk.get_isolation_scope()
    with tracer.start_as_current_span("work", kind=SpanKind.SERVER):
        enter_request()
        assert sentry_sdk.get_isolation_scope() is scope
        assert said()["tags"] == {"early": "yes"}


def test_tags_and_user_id_of_the_scope_are_on_the_root_span(tracer: trace.Tracer, hooks: Hooks) -> None:
    with (
        tracer.start_as_current_span("work", kind=SpanKind.SERVER),
        tracer.start_as_current_span("part"),
        sentry_sdk.isolation_scope(),
    ):
        say("alice")
        sentry_sdk.set_tags({"count": 3, "odd": object, "flag": True})
    sentry_sdk.set_tag("late", "the span has ended")
    sentry_sdk.set_user(None)
    [root] = [span for span in hooks.exporter.get_finished_spans() if span.name == "work"]
    attributes = dict(root.attributes or {})
    assert attributes.pop("mita.tag.odd") == str(object)
    assert attributes == {
        "mita.tag.tenant": "alice",
        "mita.tag.count": 3,
        "mita.tag.flag": True,
        "user.id": "alice",
    }


def test_event_processors_of_the_hosts_scope_are_kept(tracer: trace.Tracer) -> None:
    def of_the_host(event: Any, hint: Any) -> Any:
        return {**event, "request": "of the host"}

    with sentry_sdk.isolation_scope() as scope:
        scope.add_event_processor(of_the_host)
        with tracer.start_as_current_span("work", kind=SpanKind.SERVER):
            here = sentry_sdk.get_isolation_scope()
            assert isinstance(here, RequestScope)
            assert (here.apply_to_event({}, {}, {}) or {}).get("request") == "of the host"
    assert sentry_sdk.get_isolation_scope() is not scope


def test_every_slot_of_sentry_sdks_scope_is_copied() -> None:
    outside = sentry_sdk.get_isolation_scope()
    scope = RequestScope(outside, None, sentry_sdk.get_current_scope())
    for name in Scope.__slots__:
        assert hasattr(scope, name) == hasattr(outside.fork(), name)
    assert not hasattr(scope, "__dict__"), "a scope with attributes beside its slots would lose them"
