"""Flushes telemetry when an ASGI application has shut down, before its server ends the process.

Under SIGTERM uvicorn raises the signal again once it has stopped, and gunicorn's worker has no handler
left by then: `atexit` never runs and queued spans are lost. The lifespan's end comes before both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import wrapt

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

_ENDINGS = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed", "lifespan.startup.failed"})


def flush_after_lifespan(flush: Callable[[], object]) -> None:
    """Call `flush`, on a thread, when a Starlette or FastAPI application has shut down.

    Takes effect when starlette is imported, at once if it has been.
    """

    def patch(module: Any) -> None:
        wrapt.wrap_function_wrapper(module, "Starlette.__call__", call)

    def call(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if not args or len(args) < 3 or args[0].get("type") != "lifespan":
            return wrapped(*args, **kwargs)
        scope, receive, send, *rest = args
        return wrapped(scope, receive, _flushing(send, flush), *rest, **kwargs)

    wrapt.register_post_import_hook(patch, "starlette.applications")


def _flushing(send: Send, flush: Callable[[], object]) -> Send:
    async def send_after_flush(message: Message) -> None:
        if message["type"] in _ENDINGS:
            from anyio.to_thread import run_sync

            await run_sync(flush)
        await send(message)

    return send_after_flush
