"""Each assumption of `_sentry_compat` about the installed version of sentry-sdk; valid from 2.17 to 3.0."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from copy import copy
from typing import Any, cast

import pytest
import sentry_sdk
from sentry_sdk import Scope
from sentry_sdk.envelope import Envelope, Item, PayloadRef
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import HttpTransport, Transport

from mita_otel import _sentry_compat

DSN = "http://key@127.0.0.1:1/1"


class Kept(Transport):
    """Stores sent envelopes; implements only the documented methods."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.sent: list[Envelope] = []
        self.lost: list[str] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.sent.append(envelope)

    def record_lost_event(self, reason: str, *_: Any, **__: Any) -> None:
        self.lost.append(reason)

    @property
    def events(self) -> list[Any]:
        return [item.payload.json for one in self.sent for item in one.items if item.type == "event"]


@pytest.fixture
def start() -> Iterator[Any]:
    """Start a client for one test; the options that the installed version does not know are left out."""
    before = sentry_sdk.get_global_scope().client

    def started(**options: Any) -> Any:
        wanted = {
            "dsn": DSN,
            "transport": Kept,
            "default_integrations": False,
            "auto_session_tracking": False,
            "enable_backpressure_handling": False,
            **_sentry_compat.no_scrubbing(),
            **options,
        }
        sentry_sdk.init(**_sentry_compat.known_options(wanted))
        return sentry_sdk.get_client()

    with sentry_sdk.isolation_scope():
        yield started
    ours = sentry_sdk.get_client()
    if ours is not before:
        ours.close(timeout=0)
    sentry_sdk.get_global_scope().set_client(before)


def test_a_transport_class_is_created_with_the_resolved_options(start: Any) -> None:
    client = start(release="bank@1.0")
    assert isinstance(client.transport, Kept)
    assert {"http_proxy", "https_proxy", "ca_certs", "cert_file", "key_file", "proxy_headers"} <= set(
        client.options
    )
    assert {"socket_options", "keep_alive", "send_client_reports", "_experiments"} <= set(client.options)
    assert client.options["release"] == "bank@1.0"
    assert client.transport.options is client.options
    assert client.dsn == DSN


def test_the_base_class_has_the_methods_that_the_client_calls() -> None:
    for name in ("capture_envelope", "flush", "kill", "record_lost_event", "is_healthy"):
        assert callable(getattr(Transport, name))


def test_without_a_transport_the_client_has_the_default_one(start: Any) -> None:
    client = start(transport=None)
    assert type(client.transport) is HttpTransport


def test_an_unknown_option_is_left_out_and_a_known_one_is_not() -> None:
    given = {"dsn": DSN, "before_send": None, "never_heard_of": 1}
    assert _sentry_compat.known_options(given) == {"dsn": DSN, "before_send": None}


def test_values_under_sensitive_names_reach_the_hook(start: Any) -> None:
    seen: list[Any] = []

    def before_send(event: Any, hint: Any) -> Any:
        seen.append(event)
        return event

    start(before_send=before_send)
    password = "visible"  # noqa: F841 - a local variable of the frame, S105 - no password
    try:
        raise ValueError("no")
    except ValueError as error:
        sentry_sdk.capture_exception(error)
    [event] = seen
    [value] = event["exception"]["values"]
    assert value["stacktrace"]["frames"][-1]["vars"]["password"] == "'visible'"


@pytest.mark.parametrize("breadcrumb_level", [logging.WARNING, None])
def test_records_become_events_and_breadcrumbs_from_the_set_levels(
    start: Any, breadcrumb_level: int | None
) -> None:
    hints: list[str] = []

    def before_breadcrumb(crumb: Any, hint: Any) -> Any:
        hints.append(f"{crumb['category']}: {crumb['message']}, {hint['log_record'].levelname}")
        return crumb

    integration = _sentry_compat.logging_integration(
        event_level=logging.ERROR, breadcrumb_level=breadcrumb_level
    )
    assert isinstance(integration, LoggingIntegration)
    client = start(integrations=[integration], before_breadcrumb=before_breadcrumb)
    logger = logging.getLogger("compat")
    logger.info("info %d", 1)
    logger.warning("warning %d", 2)
    logger.error("error %d", 3)
    sentry_sdk.flush()
    assert [event["logentry"]["message"] for event in client.transport.events] == ["error %d"]
    wanted = ["compat: warning 2, WARNING", "compat: error 3, ERROR"]
    assert hints == (wanted if breadcrumb_level else [])
    assert [item.type for one in client.transport.sent for item in one.items] == ["event"], "no Sentry log"


def test_loggers_are_ignored_until_the_inverse_is_called(start: Any) -> None:
    client = start(integrations=[_sentry_compat.logging_integration(event_level=40, breadcrumb_level=None)])
    undo = _sentry_compat.ignore_loggers("compat.ignored")
    undo_again = _sentry_compat.ignore_loggers("compat.ignored")
    undo_again()
    logging.getLogger("compat.ignored").error("ignored before")
    undo()
    logging.getLogger("compat.ignored").error("sent")
    sentry_sdk.flush()
    assert [event["logentry"]["message"] for event in client.transport.events] == ["sent"]


def test_an_exception_becomes_an_event_with_its_hint(start: Any) -> None:
    client = start()
    try:
        amount = 5  # noqa: F841 - a local variable of the frame
        raise ValueError("no")
    except ValueError as error:
        raised = error
        event, hint = _sentry_compat.exception_event(error, client, {"type": "test", "handled": True})
    assert hint["exc_info"][1] is raised
    [value] = event["exception"]["values"]
    assert (value["type"], value["value"], value["mechanism"]["type"]) == ("ValueError", "no", "test")
    assert value["stacktrace"]["frames"][-1]["vars"]["amount"] == "5"


def test_events_follow_the_trace_of_another_sdk_until_reverted(start: Any) -> None:
    undo = _sentry_compat.follow_trace(lambda: ("0" * 31 + "7", "0" * 15 + "1"))
    if undo is None:
        pytest.skip("this version of sentry-sdk cannot follow another SDK")
    client = start()
    try:
        sentry_sdk.capture_message("inside")
    finally:
        undo()
    sentry_sdk.capture_message("outside")
    inside, outside = (event["contexts"]["trace"] for event in client.transport.events)
    assert (inside["trace_id"], inside["span_id"]) == ("0" * 31 + "7", "0" * 15 + "1")
    assert outside["trace_id"] != inside["trace_id"]


def test_a_hook_can_set_the_trace_of_an_event(start: Any) -> None:
    def before_send(event: Any, hint: Any) -> Any:
        event["contexts"] = {"trace": {"trace_id": "0" * 31 + "7", "span_id": "0" * 15 + "1"}}
        return event

    client = start(before_send=before_send)
    sentry_sdk.capture_message("hello")
    [event] = client.transport.events
    assert event["contexts"]["trace"]["trace_id"] == "0" * 31 + "7"


class Marked(Scope):
    __slots__ = ("mark",)
    mark: str


def test_a_scope_is_copied_into_a_subclass_and_both_are_independent(start: Any) -> None:
    client = start()
    source = sentry_sdk.get_isolation_scope().fork()
    source.set_tag("kept", "yes")
    source.set_user({"id": "u1"})
    source.add_event_processor(lambda event, hint: cast("Any", {**event, "processed": True}))
    target = Marked.__new__(Marked)
    _sentry_compat.copy_scope(source, target)
    target.mark = "ours"
    target.set_tag("own", "yes")
    for scope, tags in ((target, {"kept": "yes", "own": "yes"}), (source, {"kept": "yes"})):
        Scope.set_isolation_scope(scope)
        sentry_sdk.capture_message("hello")
        event = client.transport.events[-1]
        assert (event["tags"], event["user"]["id"], event["processed"]) == (tags, "u1", True)
    part = copy(target)
    assert type(part) is Marked


def test_the_transaction_name_of_a_scope_can_be_removed(start: Any) -> None:
    client = start()
    scope = sentry_sdk.get_isolation_scope().fork()
    scope.set_transaction_name("of another one", source="custom")
    _sentry_compat.forget_transaction_name(scope)
    Scope.set_isolation_scope(scope)
    sentry_sdk.capture_message("hello")
    event = client.transport.events[-1]
    assert event.get("transaction") is None
    assert not event.get("transaction_info")


def test_a_new_client_is_announced_to_the_scope(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    original = Scope.set_client
    monkeypatch.setattr(
        Scope, "set_client", lambda self, client=None: (seen.append(client), original(self, client))[1]
    )
    client = start()
    assert seen == [client]


def test_hooks_and_transport_of_a_running_client_can_be_replaced(start: Any) -> None:
    client = start(traces_sample_rate=1.0)
    for name in ("before_send", "before_breadcrumb", "traces_sample_rate", "traces_sampler", "ignore_errors"):
        assert name in client.options
    client.options["before_send"] = lambda event, hint: {**event, "message": "changed"}
    client.transport = Kept(client.options)
    sentry_sdk.capture_message("hello")
    assert [event["message"] for event in client.transport.events] == ["changed"]
    assert client.get_integration("logging") is None
    client.integrations["logging"] = marker = object()
    assert client.get_integration("logging") is marker


def test_statsd_metrics_are_stopped_if_supported(start: Any) -> None:
    client = start()
    _sentry_compat.stop_statsd_metrics(client)
    if hasattr(client, "metrics_aggregator"):
        from sentry_sdk import metrics

        metrics.incr("cards")  # type: ignore[attr-defined]
    client.flush(timeout=1)
    assert client.transport.sent == []


def test_the_payload_of_envelope_items_can_be_replaced() -> None:
    item = Item(PayloadRef(json={"a": 1}), {"item_count": 1}, type="log", content_type="x/y")
    assert item.payload.json == {"a": 1}
    item.payload = PayloadRef(bytes=b"{}")
    assert (item.type, item.headers["item_count"], item.get_bytes()) == ("log", 1, b"{}")
    assert Envelope({"event_id": "a"}, [item]).serialize().startswith(b'{"event_id":"a"}\n{')


def test_the_result_of_the_hook_reaches_the_transport_as_the_same_object(start: Any) -> None:
    class Event(dict[str, Any]):
        pass

    client = start(before_send=lambda event, hint: Event(event_id=event["event_id"]))
    sentry_sdk.capture_message("m")
    [event] = client.transport.events
    assert type(event) is Event


def test_the_content_of_scopes_is_applied_without_event_processors() -> None:
    first, second = Scope(), Scope()
    first.set_tag("tenant", "north")
    first.set_context("basket", {"size": 2})
    first.add_event_processor(lambda event, hint: None)
    second.set_tag("tenant", "south")
    second.set_user({"id": "u-1"})
    content = _sentry_compat.applied([first, second])
    assert (content["tags"], content["user"]) == ({"tenant": "south"}, {"id": "u-1"})
    assert content["contexts"]["basket"] == {"size": 2}
