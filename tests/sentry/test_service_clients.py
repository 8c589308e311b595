"""Sentry clients of the service: events are redacted and sent once, and their setup is restored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk import Scope
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import HttpTransport, Transport

from e2e.script import run_script
from mita_otel import _sentry_compat
from mita_otel.instrumentation.patches import Patches
from mita_otel.policy import default_policy
from mita_otel.processors.captured_exceptions import CapturedExceptions
from mita_otel.processors.queues.losses import Losses
from mita_otel.redaction import Redactor
from mita_otel.sentry.service_clients import (
    ClientWatch,
    ServiceClients,
    redact_client,
    redact_clients,
    redacting,
)
from mita_otel.sentry.transport.sender_identity import agree
from mita_otel.sentry.transport.transport import SentryTransport

DSN = "http://key@127.0.0.1:1/1"
CARD = "4111111111111111"


class Kept(Transport):
    def __init__(self) -> None:
        super().__init__({"dsn": DSN})
        self.sent: list[bytes] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.sent.append(envelope.serialize())


@pytest.fixture
def redactor() -> Redactor:
    return Redactor(default_policy().redaction)


@pytest.fixture(autouse=True)
def _own_client() -> Iterator[None]:
    scope = sentry_sdk.get_global_scope()
    before = scope.client
    with sentry_sdk.isolation_scope():  # a transaction leaves its name in the current scope
        yield
    if scope.client is not before:
        _end(scope.client)
    scope.set_client(before)
    while _clients:
        _end(_clients.pop())


_clients: list[sentry_sdk.Client] = []
"""Clients of the current test; each has threads."""


def _end(one: Any) -> None:
    one.close(timeout=0)
    # A closed client starts the thread of a batcher when something is counted.
    for name in ("log_batcher", "metrics_batcher", "span_batcher"):
        batcher = getattr(one, name, None)
        if batcher is not None:
            batcher.kill()


def hosts(redactor: Redactor, patches: Patches | None = None, **policy: Any) -> ServiceClients:
    return ServiceClients(
        default_policy().sentry.replace(**policy),
        redactor,
        Losses(cool_down_s=3600),
        hook=lambda then, client: redacting(redactor, then),
        integrations=list,
        breadcrumb_hook=lambda own: own or (lambda crumb, hint: crumb),
        joined=lambda client: None,
        captured=CapturedExceptions(10),
        patches=patches or Patches(),
    )


def client(**options: Any) -> Any:
    one = sentry_sdk.Client(**quiet(**options))
    _clients.append(one)
    return one


def quiet(**options: Any) -> dict[str, Any]:
    """Return those options for a client without threads that the installed version supports."""
    wanted = {"dsn": DSN, "default_integrations": False, "enable_backpressure_handling": False, **options}
    return _sentry_compat.known_options(wanted)


def trace(name: str) -> None:
    """Trace with sentry-sdk; version 3.0 streams spans and has no transactions."""
    if hasattr(sentry_sdk, "start_transaction"):
        with sentry_sdk.start_transaction(name=name):
            return
    with sentry_sdk.traces.start_span(name):
        return


def test_all_hooks_of_a_client_redact_and_the_services_hooks_run_first(redactor: Redactor) -> None:
    transport = Kept()

    def own(event: Any, hint: Any) -> Any:
        return {**event, "tags": {"seen": f"with {event['message']}"}}

    theirs = client(transport=transport, before_send=own, traces_sample_rate=1.0)
    redact_client(theirs, redactor, Patches())
    sentry_sdk.get_global_scope().set_client(theirs)
    sentry_sdk.capture_message(f"card {CARD}")
    trace(f"card {CARD}")
    sent = 2
    if hasattr(sentry_sdk.metrics, "count"):  # since 2.44
        sentry_sdk.metrics.count("payments", 1, attributes={"note": CARD})
        sent += 1
    sentry_sdk.flush()
    raw = b"".join(transport.sent)
    assert len(transport.sent) == sent
    assert CARD.encode() not in raw
    assert b"seen" in raw


def test_a_span_that_cannot_be_redacted_is_sent_without_content(redactor: Redactor) -> None:
    theirs = client(trace_lifecycle="stream", before_send_span=lambda span, hint: span)
    redact_client(theirs, redactor, Patches())
    hook = theirs.options["before_send_span"]
    assert hook({"name": f"card {CARD}", "attributes": {}}, {})["name"] == "card [redacted:pan]"
    assert hook(object(), {}) == {"name": "[redacted:error]", "attributes": {}}


def test_a_joined_client_does_not_trace_and_counts_its_losses(redactor: Redactor) -> None:
    theirs = client(traces_sample_rate=1.0, enable_logs=True)
    together = hosts(redactor, logs=True, sessions=True)
    together.join(theirs)
    together.join(theirs)
    assert sentry_sdk.tracing_utils.has_tracing_enabled(theirs.options) is False
    assert theirs.options["auto_session_tracking"] is False
    assert theirs.options["enable_logs"] is False
    assert theirs.transport.is_healthy()
    assert isinstance(theirs.transport, SentryTransport)
    assert together.client is theirs


def test_a_custom_transport_of_the_service_is_kept(redactor: Redactor) -> None:
    theirs = client(transport=Kept())
    hosts(redactor).join(theirs)
    assert isinstance(theirs.transport, Kept)


def test_later_clients_are_joined_until_the_watch_ends(redactor: Redactor) -> None:
    original = Scope.set_client
    patches = Patches()
    together = hosts(redactor, patches)
    together.watch()
    sentry_sdk.init(**quiet())
    joined = sentry_sdk.get_client()
    assert together.client is joined
    sentry_sdk.init(default_integrations=False)
    assert together.client is joined, "a client that sends nothing is ignored"
    patches.revert()
    assert Scope.set_client is original
    sentry_sdk.init(**quiet())
    assert type(sentry_sdk.get_client().transport) is HttpTransport


def test_a_watch_wrapped_by_another_library_ends_without_effect() -> None:
    original = Scope.set_client
    patches = Patches()
    ClientWatch(lambda client: None).begin(patches)
    theirs = lambda scope, client=None: None  # noqa: E731
    Scope.set_client = theirs  # type: ignore[method-assign, assignment]
    try:
        patches.revert()
        assert Scope.set_client is theirs
    finally:
        Scope.set_client = original  # type: ignore[method-assign]


def test_a_client_that_cannot_be_joined_sends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail(client: Any) -> None:
        raise RuntimeError("no")

    transport = Kept()
    patches = Patches()
    ClientWatch(fail).begin(patches)
    sentry_sdk.init(**quiet(transport=transport, traces_sample_rate=1.0))
    patches.revert()
    sentry_sdk.capture_message("raw")
    trace("raw")
    if hasattr(sentry_sdk.metrics, "count"):
        sentry_sdk.metrics.count("raw", 1)
    sentry_sdk.flush()
    assert transport.sent == []
    assert "sends nothing" in caplog.text


def test_without_a_sentry_exporter_existing_and_later_clients_are_redacted(redactor: Redactor) -> None:
    first, second = Kept(), Kept()
    sentry_sdk.init(**quiet(transport=first))
    patches = Patches()
    redact_clients(redactor, patches)
    sentry_sdk.capture_message(f"card {CARD}")
    sentry_sdk.init(**quiet(transport=second))
    sentry_sdk.capture_message(f"card {CARD}")
    patches.revert()
    assert CARD.encode() not in b"".join(first.sent + second.sent)
    assert len(first.sent) == len(second.sent) == 1


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [
        (("staging", None), ("production", "host@1"), ("staging", "host@1")),
        (("production", "bank@2"), ("blue", None), ("blue", "bank@2")),
        (("production", "bank@2"), ("production", "f00d"), ("production", "bank@2")),
        ((None, None), ("production", None), ("production", None)),
    ],
)
def test_both_clients_name_the_same_environment_and_release(
    ours: tuple[Any, Any], theirs: tuple[Any, Any], agreed: tuple[Any, Any]
) -> None:
    own = {"environment": ours[0], "release": ours[1]}
    other = {"environment": theirs[0], "release": theirs[1]}
    patches = Patches()
    agree(own, other, patches)
    for one in (own, other):
        assert (one["environment"], one["release"]) == agreed
    patches.revert()
    assert other == {"environment": theirs[0], "release": theirs[1]}


@pytest.mark.parametrize(
    "first", ["transport.ingest_client", "before_send", "issues", "mapping.status", "api", "service_clients"]
)
def test_a_client_is_redacted_whichever_of_our_modules_imports_sentry_sdk_first(
    tmp_path: Path, first: str
) -> None:
    """The gateway, reports and commands use parts of the Sentry bridge in services without Sentry."""
    ran = run_script(
        f"""
        import mita_otel
        telemetry = mita_otel.configure(exporters=["none"])
        import mita_otel.sentry.{first}
        import sentry_sdk
        from sentry_sdk.transport import Transport
        sent = []

        class Kept(Transport):
            def capture_envelope(self, envelope):
                sent.append(envelope.serialize().decode())

        sentry_sdk.init("http://key@127.0.0.1:1/1", transport=Kept)
        sentry_sdk.capture_message("card {CARD}")
        sentry_sdk.flush()
        answer(sent)
        telemetry.shutdown()
        """,
        tmp_path,
    )
    assert ran.log("could not be instrumented") == []
    [envelope] = [one for one in ran.answer if '"message"' in one or "logentry" in one]
    assert CARD not in envelope
