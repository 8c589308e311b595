"""Events of sentry-sdk are sent once each, redacted, with their request and breadcrumbs."""

from __future__ import annotations

import contextvars
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from leaks import shows
from mita_otel import semconv
from mita_otel.captured import event_id_of, mark
from mita_otel.policy import default_policy
from mita_otel.processors.captured_exceptions import CapturedExceptions
from mita_otel.processors.ended_requests import remember_end
from mita_otel.processors.queues.losses import Losses
from mita_otel.redaction import Redactor
from mita_otel.sentry.active_roots import ActiveRoots
from mita_otel.sentry.before_send import BeforeSendHook
from mita_otel.sentry.breadcrumbs import Breadcrumbs, Steps

from .spans import START_NS, make, query, server

TRACE = {"trace": {"trace_id": f"{7:032x}", "span_id": f"{1:016x}"}}


class Hook(BeforeSendHook):
    def __init__(self, then: Any = None, redactor: Redactor | None = None) -> None:
        self.losses = Losses(cool_down_s=3600)
        redactor = redactor or Redactor(default_policy().redaction)
        roots = ActiveRoots(10, 10)
        super().__init__(
            redactor,
            Breadcrumbs(10, 3),
            roots,
            Steps(roots, redactor, max_traces=10, max_steps=3),
            CapturedExceptions(100),
            self.losses,
            then,
        )


def event(**more: Any) -> dict[str, Any]:
    return {"event_id": "a" * 32, "contexts": dict(TRACE), **more}


def hint(exception: BaseException) -> dict[str, Any]:
    return {"exc_info": (type(exception), exception, exception.__traceback__)}


def test_an_exception_is_sent_once_and_marked() -> None:
    hook, error = Hook(), ValueError("no")
    assert hook(event(), hint(error)) is not None
    assert event_id_of(error) == "a" * 32
    assert hook(event(event_id="b" * 32), hint(error)) is None
    assert hook(event(), hint(error)) is not None, "the same event may pass twice"
    assert hook.losses.counts() == {}, "a second report of the same exception is no loss"


def test_an_event_redacted_at_once_has_the_sampling_context_of_its_trace() -> None:
    hook = Hook()
    hook.sampling_context = lambda trace_id: {"trace_id": f"{trace_id:032x}", "public_key": "key"}
    sent = hook(event(), {})
    expected = {"trace_id": f"{7:032x}", "public_key": "key"}
    assert sent["contexts"]["trace"]["dynamic_sampling_context"] == expected
    assert "dynamic_sampling_context" not in TRACE["trace"]


def test_an_exception_captured_elsewhere_is_sent_with_that_id_only() -> None:
    hook, error = Hook(), ValueError("no")
    mark(error, "c" * 32)
    assert hook(event(), hint(error)) is None
    assert hook(event(event_id="c" * 32), hint(error)) is not None


def test_an_exception_is_not_reported_again_from_a_span() -> None:
    hook = Hook()
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ExceptionGroup("outer", [OSError()]) from inner
    except ExceptionGroup as outer:
        hook(event(), hint(outer))
        place = f"{__file__}:{outer.__traceback__.tb_lineno}"  # type: ignore[union-attr]
    assert not hook.captured.add(7, "ExceptionGroup", place)
    assert not hook.captured.add(7, "OSError", "")
    assert hook.captured.add(8, "OSError", ""), "another trace"


def test_the_hosts_hook_runs_before_the_redaction() -> None:
    seen: list[Any] = []

    def then(event: Any, hint: Any) -> Any:
        seen.append(event["message"])
        return {**event, "extra": {"password": "hunter2"}}

    out = Hook(then)(event(message="card 4111 1111 1111 1111"), {})
    assert seen == ["card 4111 1111 1111 1111"]
    assert not shows(out)
    assert "hunter2" not in str(out)
    assert Hook(lambda event, hint: None)(event(), {}) is None


def test_an_event_that_cannot_be_redacted_is_withheld_and_counted() -> None:
    class Broken(Redactor):
        def event(self, event: Any, tally: Any = None) -> dict[str, Any]:
            return {}

    hook = Hook(redactor=Broken(default_policy().redaction))
    assert hook(event(), {}) is None
    assert hook.losses.counts() == {("sentry.other", "not_redactable"): 1}


def test_attachments_are_removed() -> None:
    given = {"attachments": ["raw"]}
    Hook()(event(), given)
    assert given["attachments"] == []


def test_an_event_has_transaction_and_request_of_the_active_root() -> None:
    hook = Hook()
    root = server(
        trace_id=7, attributes={semconv.USER_ID: "u1", semconv.OPERATION_PART_OF: "payment_processing"}
    )
    hook.roots.started(root)
    out = hook(event(tags={"component": "mine"}, user={"id": "other"}), {})
    assert out["transaction"] == "GET /api/accounts/{id}"
    assert out["request"] == {"method": "GET", "url": "https://bank.example/api/accounts/7"}
    assert out["tags"] == {
        "component": "mine",
        "financial_operation": "payment_processing",
        "financial_service": "true",
    }
    assert out["user"] == {"id": "other"}
    assert out["contexts"]["app"]["app_name"] == "payments"


@pytest.mark.parametrize("trace_id", [None, "", "xyz", 5])
def test_an_event_without_a_trace_has_no_breadcrumbs(trace_id: Any) -> None:
    hook = Hook()
    hook.breadcrumbs.add(7, {"message": "m"})
    out = hook({"event_id": "a" * 32, "contexts": {"trace": {"trace_id": trace_id}}}, {})
    assert "breadcrumbs" not in out


def test_breadcrumbs_of_its_trace_are_added_in_order() -> None:
    hook = Hook()
    hook.breadcrumbs.add(7, {"message": "two", "timestamp": "2026-01-01T00:00:02+00:00"})
    hook.breadcrumbs.add(8, {"message": "another trace", "timestamp": "2026-01-01T00:00:01+00:00"})
    present = {
        "values": [{"message": "one", "timestamp": 1767225601.5}, {"message": "three", "timestamp": 4e9}]
    }
    out = hook(event(breadcrumbs=present), {})
    assert [crumb["message"] for crumb in out["breadcrumbs"]["values"]] == ["one", "two", "three"]


def test_a_transactions_breadcrumbs_are_redacted() -> None:
    hook = Hook()
    hook.breadcrumbs.add(7, {"message": "card 4111 1111 1111 1111", "data": {"password": "hunter2"}})
    crumbs = hook.redacted_breadcrumbs(7)
    assert len(crumbs) == 1
    assert not shows(crumbs)
    assert "hunter2" not in str(crumbs)
    assert hook.redacted_breadcrumbs(99) == []


def test_steps_of_the_request_are_added_as_breadcrumbs_in_order() -> None:
    hook = Hook()
    provider = TracerProvider(shutdown_on_exit=False)
    root: Any = provider.get_tracer("test").start_span("GET /", kind=SpanKind.SERVER)
    hook.roots.started(root)
    trace_id = root.context.trace_id
    hook.breadcrumbs.add(trace_id, {"message": "logged", "timestamp": START_NS / 1e9})
    assert hook.steps is not None
    hook.steps.ended(query(2, 1, trace_id=trace_id, at_ms=(1, 2)))
    root.add_event("cache.miss", {"table": "rates", "password": "hunter2"}, timestamp=START_NS + 3_000_000)
    root.add_event("mita.breadcrumb", {"mita.breadcrumb.message": "comes with the event"})
    root.record_exception(ValueError("is the issue"))
    trace = {"trace_id": f"{trace_id:032x}", "span_id": f"{1:016x}"}
    out = hook(event(contexts={"trace": trace}), {})
    crumbs = out["breadcrumbs"]["values"]
    assert [one["message"] for one in crumbs] == ["logged", "SELECT ? FROM accounts", "cache.miss"]
    assert crumbs[2]["data"]["table"] == "rates"
    assert "hunter2" not in str(crumbs)


def test_breadcrumbs_are_bounded_by_trace_and_in_number() -> None:
    crumbs = Breadcrumbs(max_traces=2, max_each=3)
    for number in range(5):
        crumbs.add(1, {"n": number})
    assert [one["n"] for one in crumbs.of(1)] == [2, 3, 4]
    crumbs.add(2, {})
    crumbs.add(3, {})
    assert crumbs.of(1) == []
    crumbs.add(0, {"trace": "unknown"})
    assert crumbs.of(0) == []


def test_active_roots_are_bounded_and_a_server_span_is_kept() -> None:
    roots = ActiveRoots(max_traces=2, max_ended=2)
    roots.started(make(5, 1, trace_id=1))
    assert roots.root_of(1) is None, "a child is no root"
    for trace_id in (1, 2, 3):
        roots.started(make(1, trace_id=trace_id))
    assert roots.root_of(1) is None
    assert roots.attributes_of(99) == {}
    live = make(1, trace_id=4, attributes={"a": 1})
    roots.started(live)
    assert roots.attributes_of(4) == {"a": 1}


def test_ended_roots_are_bounded_and_evict_no_active_root() -> None:
    roots = ActiveRoots(max_traces=2, max_ended=2)
    active = make(1, trace_id=1)
    roots.started(active)
    for trace_id in (2, 3, 4):
        root = make(1, trace_id=trace_id, attributes={"number": trace_id})
        roots.started(root)
        roots.ended(root)
    assert roots.root_of(1) is active
    assert [roots.attributes_of(trace_id) for trace_id in (2, 3, 4)] == [{}, {"number": 3}, {"number": 4}]
    again = make(2, trace_id=4)
    again._parent = None
    roots.started(again)
    assert roots.root_of(4) is again


def test_an_error_of_a_request_is_one_event_although_django_logs_the_answer_after_its_span() -> None:
    def answer(known: bool) -> Any:
        hook = Hook()
        provider = TracerProvider(shutdown_on_exit=False)
        with provider.get_tracer("t").start_as_current_span(
            "GET /pay", kind=SpanKind.SERVER, attributes={"url.path": "/pay"}
        ) as span:
            trace_id = span.get_span_context().trace_id
            if known:
                own = {"trace": {"trace_id": f"{trace_id:032x}"}}
                assert hook(event(contexts=own, logentry={"formatted": "no"}), {}) is not None
        remember_end(span)  # type: ignore[arg-type]
        record = logging.LogRecord(
            "django.request", logging.ERROR, "log.py", 1, "Internal Server Error", (), None
        )
        record.request = SimpleNamespace(path="/pay")
        sent = hook(event(event_id="b" * 32, logentry={"formatted": record.msg}), {"log_record": record})
        return sent and (sent["contexts"]["trace"]["trace_id"], f"{trace_id:032x}")

    run = contextvars.Context().run
    assert run(answer, known=True) is None
    found, expected = run(answer, known=False)
    assert found == expected


def test_an_exception_that_its_span_has_reported_is_not_sent_for_a_later_record() -> None:
    def report(reported_before: bool) -> Any:
        hook, error = Hook(), RuntimeError("no")
        provider = TracerProvider(shutdown_on_exit=False)
        with provider.get_tracer("t").start_as_current_span("GET /pay", kind=SpanKind.SERVER) as span:
            span.record_exception(error)
        remember_end(span)  # type: ignore[arg-type]
        if reported_before:
            hook.captured.add(span.get_span_context().trace_id, "RuntimeError", "")
        return hook(event(), hint(error))

    run = contextvars.Context().run
    assert run(report, reported_before=True) is None
    assert run(report, reported_before=False) is not None
