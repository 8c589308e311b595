"""The health endpoints: for FastAPI, and as a plain ASGI application."""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from mita_otel import environment_variables as variables
from mita_otel._json import json_bytes
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy, salvage_policy
from mita_otel.policy.runtime import HealthPaths
from mita_otel.sdk.configuration import configured
from mita_otel.sdk.health.check import MEDIA_TYPE, Check, HealthReport, Status
from mita_otel.sdk.health.health import View
from mita_otel.sdk.telemetry import Telemetry

if TYPE_CHECKING:
    from fastapi import APIRouter

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_VIEWS: Final[tuple[View, ...]] = ("sentry", "error_monitoring", "live", "ready")
_BEARER: Final = b"bearer "
_HEADERS: Final = [(b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store")]


class HealthApp:
    """An ASGI application that answers at the policy's health paths, wherever it is mounted.

    Anybody may ask how each check went. Why, numbers, versions and the policy's digest are shown to those who send
    `Authorization: Bearer` with the token of `MITA_OTEL_HEALTH_TOKEN`.

    Args:
        telemetry: What `configure()` returned. None: whatever is configured when somebody asks.
        env: The environment variables.
    """

    def __init__(self, telemetry: Telemetry | None = None, *, env: Mapping[str, str] | None = None) -> None:
        self._telemetry = telemetry
        self._env = os.environ if env is None else env
        policy = telemetry.policy if telemetry is not None else None
        self.views = _views((policy or _policy()).health.paths)
        """What is asked, by path."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            return
        view = self._view(scope)
        if view is None:
            await _send(send, 404, {"status": "fail", "output": "there is nothing here"})
        elif scope["method"] not in {"GET", "HEAD"}:
            await _send(send, 405, {"status": "fail", "output": "ask with GET"}, [(b"allow", b"GET, HEAD")])
        else:
            status, document = await self.answer(view, dict(scope["headers"]).get(b"authorization", b""))
            await _send(send, status, document, with_body=scope["method"] == "GET")

    async def answer(self, view: View, authorization: bytes) -> tuple[int, dict[str, Any]]:
        """Return status and body of an answer. Looking may touch a disk: it is done beside the event loop."""
        report = await asyncio.to_thread(self._report, view)
        return report.http_status, report.document(detailed=self._may_see_details(authorization))

    def _report(self, view: View) -> HealthReport:
        telemetry = self._telemetry or configured()
        health = telemetry.health if telemetry is not None else None
        if health is not None:
            return health.report(view)
        said = f"telemetry is off: configure() was not called, or failed, or {variables.SDK_DISABLED} is set"
        # A service without telemetry may serve all the same.
        checks = (Check("telemetry:configured", Status.FAIL, said),) if view not in {"live", "ready"} else ()
        return HealthReport(checks, 0.0)

    def _view(self, scope: Scope) -> View | None:
        path = str(scope.get("path", ""))
        found = self.views.get(path.rstrip("/") or "/")
        if found is None:
            root = str(scope.get("root_path", ""))
            found = self.views.get(path.removeprefix(root).rstrip("/") or "/")
        return found

    def _may_see_details(self, authorization: bytes) -> bool:
        token = self._env.get(variables.HEALTH_TOKEN, "").strip().encode()
        if not token or authorization[: len(_BEARER)].lower() != _BEARER:
            return False
        return hmac.compare_digest(authorization[len(_BEARER) :].strip(), token)


def health_app(telemetry: Telemetry | None = None) -> HealthApp:
    """Return the health endpoints as an ASGI application, to be mounted anywhere or served alone.

    Args:
        telemetry: What `configure()` returned. None: whatever is configured when somebody asks.

    Example:
        `app.mount("/", health_app())` behind the application's own routes.
    """
    return HealthApp(telemetry)


def health_router(telemetry: Telemetry | None = None) -> APIRouter:
    """Return the health endpoints for a FastAPI application: `app.include_router(health_router())`.

    Args:
        telemetry: What `configure()` returned. None: whatever is configured when somebody asks.

    Raises:
        ConfigurationError: FastAPI is not installed.
    """
    try:
        from fastapi import APIRouter, Request
        from fastapi.responses import Response
    except ImportError as error:
        raise ConfigurationError(
            "health_router() needs FastAPI; install it with: pip install fastapi, or use health_app()"
        ) from error
    app = HealthApp(telemetry)
    router = APIRouter(tags=["health"])

    def endpoint(view: View) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            authorization = request.headers.get("authorization", "").encode("latin-1", "replace")
            status, document = await app.answer(view, authorization)
            return Response(
                json_bytes(document), status, headers={"cache-control": "no-store"}, media_type=MEDIA_TYPE
            )

        return answer

    for path, view in app.views.items():
        router.add_route(path, endpoint(view), methods=["GET", "HEAD"], include_in_schema=False)
    return router


def _policy() -> Policy:
    telemetry = configured()
    # What is wrong with it, `configure()` says; a slip there is no reason for the service not to start.
    return telemetry.policy if telemetry is not None else salvage_policy().policy


def _views(paths: HealthPaths) -> dict[str, View]:
    return {path.rstrip("/") or "/": view for view in _VIEWS for path in getattr(paths, view)}


async def _send(
    send: Send,
    status: int,
    document: dict[str, Any],
    headers: list[tuple[bytes, bytes]] | None = None,
    *,
    with_body: bool = True,
) -> None:
    body = json_bytes(document)
    length = (b"content-length", str(len(body)).encode())
    await send(
        {"type": "http.response.start", "status": status, "headers": [*_HEADERS, length, *(headers or [])]}
    )
    await send({"type": "http.response.body", "body": body if with_body else b""})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
