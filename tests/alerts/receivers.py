"""Receivers on 127.0.0.1: a web server and a mail server that answer as documented, or fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult


@dataclass(frozen=True)
class Posted:
    """A request."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """An answer."""

    status: int = 200
    body: str = "ok"
    headers: dict[str, str] = field(default_factory=dict)


class HttpReceiver:
    """Accepts POST requests. Answers with `replies` in order, then with `usual`."""

    def __init__(self, usual: Reply | None = None) -> None:
        self.usual = usual or Reply()
        self.replies: list[Reply | str] = []
        """Answers in order; `cut`: the connection is, `hang`: there is none."""
        self.posted: list[Posted] = []
        self.connections = 0
        """Connections that were opened so far."""
        self.changed = threading.Condition()
        self._closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                with receiver.changed:
                    receiver.connections += 1

            def log_message(self, *args: Any) -> None:
                """Be quiet."""

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with receiver.changed:
                    receiver.posted.append(Posted(self.path, dict(self.headers.items()), body))
                    reply = receiver.replies.pop(0) if receiver.replies else receiver.usual
                    receiver.changed.notify_all()
                if reply == "hang":
                    receiver._closing.wait(30)
                if isinstance(reply, str):
                    self.close_connection = True
                    return
                content = reply.body.encode()
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(content)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Ignore disconnected clients."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def wait_for(self, count: int, timeout: float = 60.0) -> list[Posted]:
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.posted) >= count, timeout):
                raise AssertionError(f"{len(self.posted)} of {count} requests came in {timeout} s")
            return list(self.posted)

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)


class MailReceiver:
    """A mail server that stores messages.

    Args:
        user: Whom it lets in; None: everybody.
        password: With which password.
        tls: What it encrypts with; None: not at all.
        answer: What it says to a message.
        recipient_answer: What it says to a recipient.
        quit_answer: What it says to a client that takes leave.
    """

    def __init__(
        self,
        *,
        user: str | None = None,
        password: str = "",
        tls: ssl.SSLContext | None = None,
        answer: str = "250 OK",
        recipient_answer: str = "250 OK",
        quit_answer: str = "221 Bye",
    ) -> None:
        self.messages: list[EmailMessage] = []
        self.encrypted: list[bool] = []
        receiver = self

        class Handler:
            async def handle_RCPT(  # noqa: N802
                self, server: Any, session: Any, envelope: Any, address: str, options: Any
            ) -> str:
                if recipient_answer.startswith("250"):
                    envelope.rcpt_tos.append(address)
                return recipient_answer

            async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
                if answer.startswith("250"):
                    receiver.messages.append(message_from_bytes(envelope.content, policy=policy.default))
                    receiver.encrypted.append(session.ssl is not None)
                return answer

            async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
                return quit_answer

        def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
            known = (data.login, data.password) == (str(user).encode(), password.encode())
            return AuthResult(success=known, handled=False)

        class OurController(Controller):
            def _trigger_server(self) -> None:
                assert isinstance(self.server, asyncio.Server)
                self.port = self.server.sockets[0].getsockname()[1]  # the one that port 0 became
                super()._trigger_server()

            def factory(self) -> SMTP:
                return SMTP(
                    self.handler,
                    hostname="mail.test",
                    tls_context=tls,
                    require_starttls=False,
                    auth_required=user is not None,
                    auth_require_tls=tls is not None,
                    authenticator=authenticate if user is not None else None,
                )

        self._controller = OurController(Handler(), hostname="127.0.0.1", port=0)
        self._controller.start()
        self.port = self._controller.port

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._controller.stop()
