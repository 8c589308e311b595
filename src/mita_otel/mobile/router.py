"""The gateway as routes of a FastAPI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from mita_otel.errors import ConfigurationError
from mita_otel.mobile.asgi import PATHS, MobileApp

if TYPE_CHECKING:
    from fastapi import APIRouter


def router_of(app: MobileApp) -> APIRouter:
    """Return the gateway's routes for `app.include_router(…)`. They are not part of the OpenAPI schema.

    Args:
        app: The gateway's application.

    Raises:
        ConfigurationError: FastAPI is not installed.
    """
    try:
        from fastapi import APIRouter
    except ImportError as error:
        raise ConfigurationError(
            "a router needs fastapi; install it, or mount the ASGI application: mita_otel.mobile_app()"
        ) from error

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        # Start the engine before the first request, so that no request waits for it.
        await asyncio.get_running_loop().run_in_executor(None, app.gateway.start)
        yield

    router = APIRouter(lifespan=lifespan)
    for path in PATHS:
        router.add_route(path, app, methods=["POST", "OPTIONS"], include_in_schema=False)  # type: ignore[arg-type]
    return router
