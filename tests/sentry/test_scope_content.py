"""Content of sentry-sdk's scopes is on the transaction of a request as on its issues."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sentry_sdk
from fastapi import FastAPI

from closing import Closing
from e2e.receiver import Receiver
from mita_otel import capture_financial_error, configure
from mita_otel.sentry.scope_content import ScopeContent, ScopeContents, attributes_of_content, with_content


@pytest.fixture
def receiver(
    isolated_telemetry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closing: Closing
) -> Iterator[Receiver]:
    monkeypatch.chdir(tmp_path)
    backend = closing(Receiver())
    monkeypatch.setenv("SENTRY_DSN", backend.dsn)
    yield backend
    sentry_sdk.get_client().close(timeout=0)


def say() -> None:
    sentry_sdk.set_tag("tenant", "north")
    sentry_sdk.get_current_scope().set_tag("job", "nightly")
    sentry_sdk.set_user({"id": "u-1", "email": "ada@bank.example"})
    sentry_sdk.set_context("basket", {"size": 2, "password": "hunter2", "rows": [{"id": 1}]})
    sentry_sdk.get_current_scope().set_context("shelf", {"row": 7})
    sentry_sdk.set_extra("attempt", 3)
    sentry_sdk.get_current_scope().set_transaction_name("checkout")
    with sentry_sdk.new_scope() as part:
        part.set_tag("part", "only of errors in here")
        part.set_transaction_name("part")


def service() -> FastAPI:
    app = FastAPI()

    @app.get("/asynchronous")
    async def asynchronous() -> None:
        say()
        capture_financial_error(ValueError("no"))

    @app.get("/synchronous")
    def synchronous() -> None:
        say()
        sentry_sdk.capture_exception(ValueError("no"))

    @app.get("/isolated")
    async def isolated() -> None:
        with sentry_sdk.isolation_scope():
            say()
            sentry_sdk.capture_message("no", level="error")

    @app.get("/silent")
    async def silent() -> None:
        sentry_sdk.capture_message("no", level="error")

    return app


def shown(event: dict[str, Any]) -> dict[str, Any]:
    tags, contexts = event.get("tags", {}), event["contexts"]
    return {
        "tags": {name: tags.get(name) for name in ("region", "tenant", "job", "part")},
        "user": event.get("user"),
        "basket": contexts.get("basket"),
        "shelf": contexts.get("shelf"),
        "extra": (event.get("extra") or {}).get("attempt"),
        "name": event["transaction"],
    }


SAID = {
    "tags": {"region": "eu", "tenant": "north", "job": "nightly", "part": None},
    "user": {"id": "u-1", "email": "ada@bank.example"},
    "basket": {"size": 2, "password": "[redacted:password]", "rows": [{"id": 1}]},
    "shelf": {"row": 7},
    "extra": 3,
    "name": "checkout",
}


@pytest.mark.parametrize("joined", [False, True], ids=["our client", "the service's client"])
async def test_transaction_and_issue_have_the_same_scope_content(receiver: Receiver, joined: bool) -> None:
    with sentry_sdk.isolation_scope(), sentry_sdk.new_scope():
        if joined:
            sentry_sdk.init(dsn=receiver.dsn, auto_enabling_integrations=False)
        telemetry = configure(environment="test")
        sentry_sdk.set_tag("region", "eu")
        for outside in (sentry_sdk.get_isolation_scope(), sentry_sdk.get_current_scope()):
            outside.set_transaction_name("of the process")
        transport = httpx.ASGITransport(service(), raise_app_exceptions=False)
        found: dict[str, Any] = {}
        async with httpx.AsyncClient(transport=transport, base_url="http://bank.example") as client:
            for path in ("/asynchronous", "/synchronous", "/isolated", "/silent"):
                await client.get(path)
                assert telemetry.flush(30)
                [event], [transaction] = receiver.events, receiver.transactions
                found[path] = shown(event)
                assert shown(transaction) == found[path], path
                receiver.requests.clear()
    silent = found.pop("/silent")
    assert found == dict.fromkeys(("/asynchronous", "/synchronous", "/isolated"), SAID)
    assert (silent["tags"]["region"], silent["tags"]["tenant"], silent["user"]) == ("eu", None, None)
    assert silent["name"] == "GET /silent"


async def test_streamed_spans_have_scope_content_as_segment_attributes(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MITA_OTEL_SENTRY__PROTOCOL", "spans")
    telemetry = configure(environment="test")
    transport = httpx.ASGITransport(service(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://bank.example") as client:
        await client.get("/asynchronous")
    assert telemetry.flush(30)
    [root] = [span for span in receiver.streamed_spans if span["is_segment"]]
    values = {name: one["value"] for name, one in root["attributes"].items()}
    assert root["name"] == values["sentry.segment.name"] == "checkout"
    assert values["sentry.segment.name.source"] == "custom"
    assert (values["tenant"], values["job"], values["basket.size"]) == ("north", "nightly", 2)
    assert (values["user.id"], values["user.email"]) == ("u-1", "ada@bank.example")
    assert "hunter2" not in str(root)


def test_transaction_names_generated_by_sentry_sdk_are_not_used() -> None:
    content = ScopeContent()
    content.set_transaction("bank.app.pay", "component")
    assert content.members == {}
    content.set_transaction("checkout", None)
    assert content.members["transaction_info"] == {"source": "custom"}


def test_stored_scope_content_is_bounded_and_returned_once() -> None:
    contents = ScopeContents(2)
    for number in range(3):
        content = ScopeContent()
        content.bind(lambda one, number=number: contents.keep((1, number), one))  # type: ignore[misc]
        content.add("tags", {"number": number})
    assert [contents.take((1, number)).get("tags") for number in range(3)] == [
        None,
        {"number": 1},
        {"number": 2},
    ]
    assert contents.take((1, 2)) == {}


def test_spans_take_precedence_over_scopes() -> None:
    event = {"tags": {"tenant": "span"}, "contexts": {"trace": {"op": "x"}}, "transaction": "GET /"}
    merged = with_content(event, {"tags": {"tenant": "scope", "a b": "c\nd"}, "contexts": {"trace": {}}})
    assert merged["tags"] == {"tenant": "span", "a_b": "c d"}
    assert merged["contexts"] == {"trace": {"op": "x"}}
    assert merged["transaction"] == "GET /"
    assert attributes_of_content({"user": {"username": "ada", "ip_address": "192.0.2.1"}}) == {
        "user.name": "ada",
        "user.ip_address": "192.0.2.1",
    }
