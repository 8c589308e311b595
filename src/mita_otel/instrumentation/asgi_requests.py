"""A hook at the beginning of each request of a Starlette or FastAPI application, whether it becomes a span or not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import wrapt

_logger = logging.getLogger("mita_otel")

_REQUESTS: Final = frozenset({"http", "websocket"})
_SEEN: Final = "mita_otel.seen"
"""In the ASGI scope of a request that was seen: an application that is mounted in another gets it as well."""


def at_each_request(enter: Callable[[], None]) -> None:
    """Call `enter` when a request comes in, in the context that it is served in.

    Takes effect when starlette is imported, at once if it has been.
    """

    def patch(module: Any) -> None:
        wrapt.wrap_function_wrapper(module, "Starlette.__call__", call)

    def call(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        scope = args[0] if args else kwargs.get("scope")
        if isinstance(scope, dict) and scope.get("type") in _REQUESTS and not scope.get(_SEEN):
            scope[_SEEN] = True
            try:
                enter()
            except Exception:
                _logger.debug("a hook failed at a request's beginning", exc_info=True)
        return wrapped(*args, **kwargs)

    wrapt.register_post_import_hook(patch, "starlette.applications")
