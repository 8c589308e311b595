"""The test kit itself: receivers and validators distinguish valid from invalid data."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from typing import Any

import brotli
import httpx
import pytest

from e2e.receiver import Receiver
from e2e.relay import judge

_TRACE = {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331", "op": "http.server"}


def transaction(**changes: Any) -> dict[str, Any]:
    now = round(time.time(), 6)  # like SDKs: Relay may round more digits to another microsecond
    return {
        "event_id": "9ec79c33ec9942ab8353589fcb2e04dc",
        "type": "transaction",
        "transaction": "GET /api/items/{item_id}",
        "platform": "python",
        "start_timestamp": now - 1.25,
        "timestamp": now,
        "contexts": {"trace": _TRACE},
        "tags": {"performance_issue": "true"},
        "spans": [
            {
                **_TRACE,
                "span_id": "00f067aa0ba902b7",
                "parent_span_id": _TRACE["span_id"],
                "op": "db",
                "description": "SELECT 1",
                "start_timestamp": now - 1,
                "timestamp": now - 0.5,
            }
        ],
        **changes,
    }


ENCODINGS = {
    "identity": lambda body: body,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_receiver_decodes_every_encoding_and_both_kinds_of_item(
    receiver: Receiver, encoding: str
) -> None:
    first, second = json.dumps({"transaction": "a\nb"}).encode(), b'{"message":"x"}'
    binary = b"\x00\n\xff"
    body = (
        b'{"dsn":"http://key@127.0.0.1/1"}\n'
        b'{"type":"transaction","length":%d}\n%s\n'
        b'{"type":"attachment","length":%d}\n%s\n'
        b'{"type":"event"}\n%s' % (len(first), first, len(binary), binary, second)
    )
    answer = httpx.post(
        f"{receiver.otlp_endpoint}/api/1/envelope/",
        content=ENCODINGS[encoding](body),
        headers={"content-encoding": encoding},
    )
    assert answer.status_code == 200
    receiver.wait_for(lambda r: r.requests)
    assert receiver.transactions == [{"transaction": "a\nb"}]
    assert receiver.events == [{"message": "x"}]
    assert receiver.raw == body


def test_the_receiver_responds_with_the_configured_status(receiver: Receiver) -> None:
    receiver.behaviour = 429
    receiver.answer_headers = {"Retry-After": "60"}
    answer = httpx.post(f"{receiver.otlp_endpoint}/api/1/envelope/", content=b"{}")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert (receiver.refused, receiver.requests) == (1, [])


@pytest.mark.parametrize("behaviour", ["reset", "hang"])
def test_the_receiver_closes_connections_on_request(receiver: Receiver, behaviour: Any) -> None:
    receiver.behaviour = behaviour
    with pytest.raises(httpx.TransportError):
        httpx.post(f"{receiver.otlp_endpoint}/api/1/envelope/", content=b"{}", timeout=0.5)


def test_a_closed_port_refuses(receiver: Receiver) -> None:
    receiver.refuse()
    with pytest.raises(httpx.ConnectError):
        httpx.post(f"{receiver.otlp_endpoint}/api/1/envelope/", content=b"{}")


def test_relay_accepts_a_valid_transaction() -> None:
    assert judge(transaction())["transaction"] == "GET /api/items/{item_id}"


BAD = {
    "trace id": {"contexts": {"trace": {**_TRACE, "trace_id": "xyz"}}},
    "timestamp": {"timestamp": "yesterday"},
    "ends before it starts": {"start_timestamp": 4_102_444_800.0},
    "tag's name": {"tags": {"not a name!": "x"}},
    "spans": {"spans": ["no"]},
    "level": {"level": "loud"},
}


@pytest.mark.parametrize("changes", BAD.values(), ids=BAD.keys())
def test_relay_rejects_an_invalid_transaction(changes: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="Relay"):
        judge(transaction(**changes))
