"""Hears when an ASGI application has started, and when it has shut down, before its server ends the process.

Its start is the first moment at which a worker of a server that forks is itself. Of its end: under SIGTERM uvicorn raises the signal again once it has stopped, and gunicorn's worker has no handler
left by then: `atexit` never runs and queued spans are lost. The lifespan's end comes before both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import wrapt

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

_STARTED = "lifespan.startup.complete"
_ENDINGS = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed", "lifespan.startup.failed"})


def watch_lifespan(started: Callable[[], object], flush: Callable[[], object]) -> None:
    """Call `started` when a Starlette or FastAPI application has started, and `flush` when it has shut down.

    Both on a thread. Takes effect when starlette is imported, at once if it has been.
    """

    def patch(module: Any) -> None:
        wrapt.wrap_function_wrapper(module, "Starlette.__call__", call)

    def call(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if not args or len(args) < 3 or args[0].get("type") != "lifespan":
            return wrapped(*args, **kwargs)
        scope, receive, send, *rest = args
        return wrapped(scope, receive, _telling(send, started, flush), *rest, **kwargs)

    wrapt.register_post_import_hook(patch, "starlette.applications")


def _telling(send: Send, started: Callable[[], object], flush: Callable[[], object]) -> Send:
    async def tell_and_send(message: Message) -> None:
        told = started if message["type"] == _STARTED else flush if message["type"] in _ENDINGS else None
        if told is not None:
            from anyio.to_thread import run_sync

            await run_sync(told)
        await send(message)

    return tell_and_send
