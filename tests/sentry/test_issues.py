"""Simultaneous errors are all sent."""

from __future__ import annotations

import contextvars
import threading
from typing import Any

import pytest
import sentry_sdk
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider

from mita_otel.processors.captured_exceptions import CapturedExceptions
from mita_otel.sentry.issues import Issues


@pytest.fixture
def sent() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def issues(sent: list[dict[str, Any]]) -> Issues:
    client = sentry_sdk.Client(
        dsn="http://key@127.0.0.1:9/1",
        default_integrations=False,
        before_send=lambda event, hint: sent.append(dict(event)),  # type: ignore[func-returns-value]
    )
    return Issues(lambda: client, CapturedExceptions(100))


def emit(issues: Issues, text: str) -> None:
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(issues)
    provider.get_logger("test").emit(
        body=text, exception=ValueError(text), severity_number=SeverityNumber.ERROR, event_name="bank.error"
    )


def test_an_error_is_not_lost_while_another_thread_sends_one(
    issues: Issues, sent: list[dict[str, Any]]
) -> None:
    """sentry-sdk refuses events while it applies a scope, and threads share the current scope."""

    def meanwhile(event: Any, hint: Any) -> Any:
        if event["exception"]["values"][0]["value"] == "first":
            # Like a server's thread: in a copy of the context, so with the same scope.
            thread = threading.Thread(target=contextvars.copy_context().run, args=(emit, issues, "second"))
            thread.start()
            thread.join()
        return event

    with sentry_sdk.new_scope() as scope:
        scope.add_event_processor(meanwhile)
        emit(issues, "first")
    assert sorted(event["exception"]["values"][0]["value"] for event in sent) == ["first", "second"]


def test_issues_contain_tags_of_the_hosts_scopes(issues: Issues, sent: list[dict[str, Any]]) -> None:
    with sentry_sdk.isolation_scope() as isolation, sentry_sdk.new_scope() as scope:
        isolation.set_tag("tenant", "north")
        scope.set_tag("job", "nightly")
        emit(issues, "first")
    [event] = sent
    assert (event["tags"]["tenant"], event["tags"]["job"]) == ("north", "nightly")
