"""ASGI applications on Starlette: their start, their end, and each request, whether it becomes a span or not."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from mita_otel.errors import raise_interrupt
from mita_otel.instrumentation.patches import Patches

_logger = logging.getLogger("mita_otel")

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

_STARTED: Final = "lifespan.startup.complete"
_ENDED: Final = frozenset(
    {"lifespan.shutdown.complete", "lifespan.shutdown.failed", "lifespan.startup.failed"}
)
_REQUESTS: Final = frozenset({"http", "websocket"})
_RESPONSE: Final = "http.response.start"
_SEEN: Final = "mita_otel.seen"
"""Marks the ASGI scope of a request that was seen. An application that is mounted in another gets the same scope."""


def watch_lifespan(patches: Patches, started: Callable[[], object], ended: Callable[[], object]) -> None:
    """Call `started` when an application has started and `ended` when it has shut down, both on a thread.

    The start is the first moment at which a server has certainly forked its workers. The end comes before the process
    ends: under SIGTERM uvicorn raises the signal again once it has stopped, and a gunicorn worker has no handler left
    by then, so `atexit` never runs.
    """

    def call(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if len(args) < 3 or args[0].get("type") != "lifespan":
            return wrapped(*args, **kwargs)
        scope, receive, send, *rest = args
        return wrapped(scope, receive, _reporting(send, started, ended), *rest, **kwargs)

    patches.on_import(
        "starlette.applications", lambda module: patches.wrap(module, "Starlette.__call__", call)
    )


def at_each_request(patches: Patches, enter: Callable[[], None]) -> None:
    """Call `enter` when a request comes in, in the context in which it is served."""

    def call(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        scope = args[0] if args else kwargs.get("scope")
        if isinstance(scope, dict) and scope.get("type") in _REQUESTS and not scope.get(_SEEN):
            scope[_SEEN] = True
            try:
                enter()
            except BaseException as error:
                raise_interrupt(error)
                _logger.debug("a hook at the start of a request failed", exc_info=True)
        return wrapped(*args, **kwargs)

    patches.on_import(
        "starlette.applications", lambda module: patches.wrap(module, "Starlette.__call__", call)
    )


def at_each_response(patches: Patches, complete: Callable[[Any, Message], None]) -> None:
    """Call `complete` with the scope and the start of each response, outside of every middleware of the application."""

    def call(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if len(args) < 3 or args[0].get("type") != "http":
            return wrapped(*args, **kwargs)
        scope, receive, send, *rest = args

        async def send_completed(message: Message) -> None:
            if message["type"] == _RESPONSE:
                try:
                    complete(scope, message)
                except BaseException as error:
                    raise_interrupt(error)
                    _logger.debug("a response could not be completed", exc_info=True)
            await send(message)

        return wrapped(scope, receive, send_completed, *rest, **kwargs)

    patches.on_import(
        "starlette.applications", lambda module: patches.wrap(module, "Starlette.__call__", call)
    )


def request_facts(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request as Sentry's request interface has it. It is not redacted: the report that holds it will be.

    Args:
        scope: The ASGI connection scope.

    Returns:
        `method`, `url` (without the query), `query_string`, `headers`, and the client's address in `env`.
    """
    headers: dict[str, str] = {}
    for name, value in scope.get("headers") or ():
        key = name.decode("latin-1")
        text = value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    host = headers.get("host") or ":".join(str(part) for part in scope.get("server") or ("localhost",))
    facts: dict[str, Any] = {
        "url": f"{scope.get('scheme', 'http')}://{host}{scope.get('root_path', '')}{scope.get('path', '')}",
        "query_string": (scope.get("query_string") or b"").decode("latin-1"),
        "headers": headers,
    }
    if scope.get("method"):
        facts["method"] = scope["method"]
    client = scope.get("client")
    if client:
        facts["env"] = {"REMOTE_ADDR": client[0]}
    return facts


def _reporting(send: Send, started: Callable[[], object], ended: Callable[[], object]) -> Send:
    async def report_and_send(message: Message) -> None:
        kind = message["type"]
        listener = started if kind == _STARTED else ended if kind in _ENDED else None
        if listener is not None:
            from anyio.to_thread import run_sync

            await run_sync(listener)
        await send(message)

    return report_and_send
