"""Content that a service adds with sentry-sdk stays in its request, is redacted, and is sent once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import StartService
from e2e.receiver import Receiver
from e2e.transactions import named, requests, trace_of

pytestmark = pytest.mark.e2e

SECRETS = (b"4111111111111111", b"hunter2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("sentry_app.py"), folder / "app.py")
    return folder


@pytest.fixture
def hosts_receiver() -> Any:
    backend = Receiver()
    yield backend
    backend.close()
    assert not backend.bad, backend.bad


def event_of(receiver: Receiver, transaction: str) -> dict[str, Any]:
    [event] = [one for one in receiver.events if one["transaction"] == transaction]
    return event


def messages(event: dict[str, Any]) -> list[str]:
    return [one.get("message", "") for one in event.get("breadcrumbs", {}).get("values", [])]


def test_scope_content_of_one_request_is_not_in_another(
    receiver: Receiver, start_service: StartService, folder: Path
) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn}, folder)
    for path in ("/say/alice", "/say-in-a-thread/bob", "/fail", "/say-and-fail/carol", "/fail-later/dave"):
        service.client.get(path)
    service.stop()
    receiver.wait_for(lambda r: len(requests(r)) >= 5 and len(r.events) >= 3)

    nobodys = event_of(receiver, "GET /fail")
    assert "user" not in nobodys
    assert not {"tenant", "channel"} & set(nobodys["tags"])
    assert "basket" not in nobodys["contexts"]
    assert not any("came in" in message for message in messages(nobodys))
    for name, event in (
        ("carol", event_of(receiver, "GET /say-and-fail/{name}")),
        ("dave", event_of(receiver, "GET /fail-later/{name}")),
    ):
        assert event["user"] == {"id": name, "email": f"{name}@example.com"}
        assert event["tags"]["tenant"] == f"of {name}"
        assert event["contexts"]["basket"]["of"] == name
        assert [text for text in messages(event) if "came in" in text] == [f"{name} came in"]
    for name, path in (("alice", "GET /say/{name}"), ("bob", "GET /say-in-a-thread/{name}")):
        [transaction] = named(receiver, path)
        assert transaction["user"]["id"] == name
        assert (transaction["tags"]["tenant"], transaction["tags"]["channel"]) == (f"of {name}", "web")
    [other] = named(receiver, "GET /fail")
    assert "user" not in other
    assert "tenant" not in other["tags"]
    assert b"hunter2" not in receiver.raw


def test_every_signal_of_sentry_sdk_is_redacted(
    receiver: Receiver, start_service: StartService, folder: Path
) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn}, folder)
    for path in ("/other-signals", "/message", "/logged"):
        service.client.get(path)
    service.stop()
    receiver.wait_for(lambda r: r.items("trace_metric") and r.items("log") and len(r.events) >= 2)
    assert [secret for secret in SECRETS if secret in receiver.raw] == []


def test_a_shared_exception_object_is_one_issue_for_each_request(
    receiver: Receiver, start_service: StartService, folder: Path
) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn}, folder)
    for _ in range(3):
        service.client.get("/shared")
    service.stop()
    receiver.wait_for(lambda r: len(requests(r)) >= 3 and len(r.events) >= 3)
    assert len(receiver.events) == 3
    assert len({trace_of(event)["trace_id"] for event in receiver.events}) == 3


FAILING = ("/fail", "/logged", "/captured", "/message")


@pytest.mark.parametrize("how", ["after us", "after us, another project", "before us"])
def test_a_service_that_initialises_sentry_sdk_is_joined(
    receiver: Receiver,
    hosts_receiver: Receiver,
    start_service: StartService,
    folder: Path,
    how: str,
) -> None:
    theirs = hosts_receiver if "another" in how else receiver
    env = {"SENTRY_DSN": receiver.dsn, "HOST_DSN": theirs.dsn}
    if how == "before us":
        service = start_service({**env, "CONFIGURE": "1"}, folder, instrument=False)
    else:
        service = start_service(env, folder)
    for path in (*FAILING, "/other-signals"):
        service.client.get(path)
    url = f"http://127.0.0.1:{service.port}/echo"
    headers = [name for name, _ in service.client.get("/call", params={"url": url}).json()]
    service.stop()
    receiver.wait_for(lambda r: len(requests(r)) >= len(FAILING) + 3)

    events = [*receiver.events, *hosts_receiver.events]
    assert sorted(event["transaction"] for event in events) == sorted(f"GET {path}" for path in FAILING)
    for event in events:
        [transaction] = named(receiver, event["transaction"])
        assert trace_of(event)["trace_id"] == trace_of(transaction)["trace_id"]
        assert event["release"] == transaction["release"] == "host@1.0"
    assert any(event["tags"].get("host") == "was here" for event in events), "its own before_send is heard"
    assert [secret for secret in SECRETS if secret in receiver.raw + hosts_receiver.raw] == []
    assert hosts_receiver.transactions == []
    assert len(receiver.transactions) == len(requests(receiver)), "none for Sentry's own requests"
    assert len(receiver.transactions) == len(FAILING) + 3, "each request once"
    sessions = [one for item in receiver.items("sessions") for one in item["aggregates"]]
    counted = sum(count for one in sessions for name, count in one.items() if name != "started")
    assert counted == len(FAILING) + 3
    assert len(headers) == len(set(headers)), "no header twice"
    [line] = [line for line in service.stderr.lines if "joined the Sentry client" in line]
    assert "traces_sample_rate" in line


@pytest.mark.parametrize("why", ["no DSN of ours", "another exporter"])
def test_an_unjoined_sentry_client_of_the_service_sends_no_secret(
    receiver: Receiver, start_service: StartService, folder: Path, why: str
) -> None:
    more = {"OTEL_TRACES_EXPORTER": "memory"} if why == "another exporter" else {}
    service = start_service({"HOST_DSN": receiver.dsn, **more}, folder)
    for path in (*FAILING, "/other-signals"):
        service.client.get(path)
    receiver.wait_for(lambda r: len(r.events) >= len(FAILING) and len(r.transactions) >= len(FAILING) + 1)
    service.stop()
    assert [secret for secret in SECRETS if secret in receiver.raw] == []
    assert any(event["tags"].get("host") == "was here" for event in receiver.events)
