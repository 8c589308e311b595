"""A minimal ASGI server: it sends one request to an application, and records its messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any

Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]


def http_scope(
    method: str = "GET",
    path: str = "/",
    headers: Sequence[tuple[str, str]] = (),
    **more: Any,
) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"bank.example"),
            *((name.encode(), value.encode()) for name, value in headers),
        ],
        "client": ("192.0.2.7", 5000),
        "server": ("bank.example", 80),
        "state": {},
        **more,
    }


class Answer:
    """The messages that an application sent."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])


async def request(
    app: App,
    method: str = "GET",
    path: str = "/",
    headers: Sequence[tuple[str, str]] = (),
    body: Iterable[bytes] = (),
    **more: Any,
) -> Answer:
    """Send one request and return the answer; an exception of the application is raised."""
    parts = list(body) or [b""]
    messages = [
        {"type": "http.request", "body": part, "more_body": number < len(parts) - 1}
        for number, part in enumerate(parts)
    ]
    queue = iter(messages)

    async def receive() -> Message:
        message = next(queue, None)
        if message is None:
            await asyncio.Event().wait()  # the client stays connected
            raise AssertionError
        return dict(message)

    answer = Answer()
    await app(http_scope(method, path, headers, **more), receive, answer.send)
    return answer
