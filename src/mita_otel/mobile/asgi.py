"""The gateway as an ASGI application, at the address that an app's DSN names.

POST /api/{project}/envelope/                          envelopes of Sentry's SDKs
POST /api/{project}/integration/otlp/v1/traces         OTLP
POST /tunnel                                           envelopes of Sentry's JavaScript `tunnel`
GET  /healthz                                          liveness
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from mita_otel._json import json_bytes
from mita_otel.errors import ConfigurationError
from mita_otel.mobile.credentials import Refused, credentials_of
from mita_otel.mobile.gateway import MobileGateway
from mita_otel.mobile.intake_budget import IntakeBusy, Reservation
from mita_otel.mobile.preparation import Intake
from mita_otel.mobile.reply import Reply, refusal

if TYPE_CHECKING:
    from fastapi import APIRouter


_logger = logging.getLogger("mita_otel.mobile")

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_PROJECT: Final = r"/api/(?P<project>[0-9A-Za-z_-]{1,64})"
_ROUTES: Final = (
    # Any prefix is allowed: a DSN may have one, and the application may be mounted anywhere.
    (re.compile(_PROJECT + r"/envelope/?\Z"), "envelope"),
    (re.compile(_PROJECT + r"/integration/otlp/v1/traces/?\Z"), "otlp_traces"),
    (re.compile(r"/tunnel/?\Z"), "tunnel"),
)
PATHS: Final = ("/api/{project}/envelope/", "/api/{project}/integration/otlp/v1/traces", "/tunnel")
"""The same paths for a router."""
_HEALTH: Final = "/healthz"
_MAX_PATH: Final = 512
_EXPOSED: Final = "x-sentry-error, x-sentry-rate-limits, retry-after"
_ALLOWED: Final = (
    "content-type, content-encoding, x-sentry-auth, authorization, sentry-trace, baggage, traceparent"
)


class MobileApp:
    """The ASGI application of a gateway. Mount it anywhere, or serve it alone.

    Args:
        gateway: The gateway.
    """

    def __init__(self, gateway: MobileGateway) -> None:
        self.gateway = gateway
        """The gateway."""
        self._cors = gateway.policy.mobile.cors
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        path = str(scope["path"])
        method = scope["method"]
        if method == "GET" and path.endswith(_HEALTH):
            await _answer(send, Reply(200, {"status": "pass"}), {})
            return
        cors = self._cors_headers(headers.get("origin", ""))
        form, project = _route(path)
        if form is None:
            reply = refusal(404, "no_route", "unknown path")
        elif method == "OPTIONS":
            reply = Reply(200, headers=dict(self._preflight_headers()) if cors else {})
        elif method != "POST":
            reply = refusal(405, "method", "only POST is allowed", Allow="POST")
        else:
            result = await self._post(scope, headers, form, project, receive)
            if result is None or await self._hold(result, receive):
                return
            reply = result
        if form == "otlp_traces" and reply.status == 200 and method == "POST":
            await _answer_otlp(send, reply, cors, headers.get("content-type", ""))
            return
        await _answer(send, reply, cors)

    async def _post(
        self, scope: Scope, headers: dict[str, str], form: str, project: str, receive: Receive
    ) -> Reply | None:
        """Return the reply. None: the client disconnected."""
        gateway = self.gateway
        address = (scope.get("client") or ("", 0))[0]
        wait_s = gateway.rates.wait_s(address)
        if wait_s > 0:
            reply = refusal(429, "client_rate", "too many requests", Retry_After=str(int(wait_s) + 1))
            gateway.metrics.count_reply(reply)
            return reply
        try:
            name = self._project(form, project, headers, scope)
            length = _length(headers)
            most = int(gateway.policy.mobile.intake.max_request_megabytes * 1e6)
            if length is not None and length > most:
                raise Refused(413, "too_large", f"a request is limited to {most} bytes")
            reservation = await gateway.intake_budget.reserve(address)
            try:
                body = await self._body(receive, most, reservation)
                if body is None:
                    return None
                intake = Intake(
                    name,
                    body,
                    headers.get("content-encoding", ""),
                    "otlp_traces" if form == "otlp_traces" else "envelope",
                    headers.get("content-type", ""),
                )
                reply = await gateway.take(intake)
                gateway.rates.charge(address, reply.cpu_s)
                return reply
            finally:
                reservation.release()
        except Refused as no:
            reply = refusal(no.status, no.reason, no.detail)
        except IntakeBusy:
            reply = refusal(429, "busy", "the gateway is busy", Retry_After="10")
            reply.hold = True
        except TimeoutError:
            reply = refusal(408, "too_slow", "the body did not arrive in time")
        gateway.metrics.count_reply(reply)
        return reply

    def _project(self, form: str, project: str, headers: dict[str, str], scope: Scope) -> str:
        """Return the project's name. Empty: the envelope names it."""
        if form == "tunnel":
            return ""
        query = scope.get("query_string", b"").decode("latin-1")
        return self.gateway.projects.find(project, credentials_of(headers, query))

    async def _body(self, receive: Receive, most: int, reservation: Reservation) -> bytes | None:
        """Return a request's body. None: the client disconnected.

        Raises:
            IntakeBusy: It exceeds the budget.
            Refused: It is too large.
            TimeoutError: It did not arrive in time, or too slowly.
        """
        parts: list[bytes] = []
        loop = asyncio.get_running_loop()
        end = loop.time() + self.gateway.policy.mobile.intake.read_timeout_s
        async with asyncio.timeout_at(end) as timeout, reservation.reading(timeout):
            while True:
                timeout.reschedule(min(end, loop.time() + reservation.seconds_left))
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                part = message.get("body", b"")
                if reservation.size + len(part) > most:
                    raise Refused(413, "too_large", f"a request is limited to {most} bytes")
                reservation.arrived(len(part))
                parts.append(part)
                if not message.get("more_body"):
                    return b"".join(parts)

    async def _hold(self, reply: Reply, receive: Receive) -> bool:
        """Send no response, so that the app keeps its data. Returns whether the client disconnected."""
        spool = self.gateway.policy.mobile.spool
        if not reply.hold or self._held >= spool.max_held:
            return False
        self._held += 1
        try:
            async with asyncio.timeout(spool.hold_s):
                while (await receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return False
        finally:
            self._held -= 1
        return True

    def _cors_headers(self, origin: str) -> dict[str, str]:
        allowed = self._cors.origins
        if not origin or not allowed or ("*" not in allowed and origin not in allowed):
            return {}
        said = "*" if "*" in allowed else origin
        return {
            "Access-Control-Allow-Origin": said,
            "Access-Control-Expose-Headers": _EXPOSED,
            "Vary": "Origin",
        }

    def _preflight_headers(self) -> dict[str, str]:
        return {
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": _ALLOWED,
            "Access-Control-Max-Age": str(self._cors.max_age_s),
        }

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            loop = asyncio.get_running_loop()
            if message["type"] == "lifespan.startup":
                await loop.run_in_executor(None, self.gateway.start)
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                timeout_s = self.gateway.policy.lifecycle.shutdown_timeout_s
                await loop.run_in_executor(None, self.gateway.flush, monotonic() + timeout_s)
                await loop.run_in_executor(None, self.gateway.close)
                await send({"type": "lifespan.shutdown.complete"})
                return


def _route(path: str) -> tuple[str | None, str]:
    for pattern, form in _ROUTES if len(path) <= _MAX_PATH else ():
        match = pattern.search(path)
        if match is not None:
            return form, match.groupdict().get("project", "")
    return None, ""


def _length(headers: dict[str, str]) -> int | None:
    said = headers.get("content-length", "")
    return int(said) if said.isdigit() and len(said) < 20 else None


async def _answer(send: Send, reply: Reply, more: dict[str, str]) -> None:
    await _send(send, reply, more, json_bytes(reply.body), "application/json")


async def _answer_otlp(send: Send, reply: Reply, more: dict[str, str], content_type: str) -> None:
    is_json = "json" in content_type
    await _send(
        send,
        reply,
        more,
        b"{}" if is_json else b"",
        "application/json" if is_json else "application/x-protobuf",
    )


async def _send(send: Send, reply: Reply, more: dict[str, str], body: bytes, content_type: str) -> None:
    headers = {**reply.headers, **more, "Content-Type": content_type, "Content-Length": str(len(body))}
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
                for name, value in headers.items()
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


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
