"""Reads the responses of OTLP backends: follows safe redirects, and explains failures and partial successes.

OpenTelemetry's exporters take each status from 200 to 399 for a success and ignore what a partial success rejected.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import SplitResult, urljoin, urlsplit

from mita_otel._otel_compat.otlp import GrpcAnswer, OtlpAnswer, intercept_otlp, rejected_by
from mita_otel.processors.queues.losses import Cause

_MAX_REDIRECTS: Final = 3
_SAME_METHOD: Final = frozenset({HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT})
"""Redirects after which the request stays a POST with its body. After the others it would become a GET."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_SIGNALS: Final = ("traces", "metrics", "logs")
_TOO_LARGE: Final = re.compile(
    r"too large|larger than (?:the )?max|exceeds? (?:the )?(?:max|size|limit|configured)|exceeds the limit|status: 413",
    re.IGNORECASE,
)
"""What gRPC's implementations, the Collector and proxies say of a request whose size they refuse."""
_MAX_MESSAGE: Final = 200
"""Characters of a backend's message in a log line."""
_REQUEST_FAILED: Final = "the request failed; check {named_by} and its log"
_ERRORS: Final = (
    (r"CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted; set {certificate} to the certificate of its authority"),
    (r"handshake|SSL|TLS", "the TLS handshake failed; check https and the port in {named_by}"),
    (r"DNS|[Nn]ame resolution|name or service not known|[Dd]omain name", "unknown host; check {named_by} and the name server"),
    (r"Connection refused", "it refuses connections; check the port in {named_by}, and that the server is running"),
    (r"http1|HTTP/1|http2 settings|http2 header|frame|content-type", "it does not speak gRPC; over HTTP the port is 4318, with {protocol}=http/protobuf"),
    (r"Socket closed|Connection reset|Broken pipe|GOAWAY", "it closes the connection; check https in {named_by}, and {protocol}"),
)  # fmt: skip
"""Errors of gRPC's core for failed connections, most specific first, with the fix."""
_RAISE_LIMIT: Final = "it is too large; raise the server's limit for requests"
_CODES: Final = {
    "UNAUTHENTICATED": "access denied; check OTEL_EXPORTER_OTLP_HEADERS",
    "PERMISSION_DENIED": "access denied; check OTEL_EXPORTER_OTLP_HEADERS",
    "UNIMPLEMENTED": "it does not accept {signal}; check that {named_by} is an OTLP endpoint",
    "RESOURCE_EXHAUSTED": "it accepts no data now; see its log",
    "DEADLINE_EXCEEDED": "it does not answer in time; check firewalls, and that it speaks gRPC",
}  # fmt: skip


class OtlpRedirectError(Exception):
    """An OTLP endpoint redirects, and following it is not safe. Every OTLP exporter takes it for a failed request."""


class OtlpSizeError(Exception):
    """An OTLP endpoint over gRPC refuses a request for its size. The exporter would send the same request again."""


class OtlpResponses:
    """Follows one exporter's requests. Each thread sees the responses to its own requests only.

    Args:
        exporter: An exporter of any signal. If it is not OpenTelemetry's OTLP exporter, nothing is observed.
        env: The environment variables. None: those of the process.
    """

    def __init__(self, exporter: object, env: Mapping[str, str] | None = None) -> None:
        self._env = os.environ if env is None else env
        self._local = threading.local()
        self.active = intercept_otlp(exporter, self._post, self._called)
        """Whether the exporter's requests are observed."""

    def begin(self) -> None:
        """Forget the earlier responses on this thread, before an export."""
        self._local.requests = 0
        self._local.failure = None
        self._local.too_large = False
        self._local.rejection = (0, None)

    @property
    def requested(self) -> bool:
        """Whether the exporter sent a request since `begin`. Otherwise it could not encode the batch."""
        return bool(getattr(self._local, "requests", 0))

    @property
    def failure(self) -> Cause | None:
        """Why the last request since `begin` failed."""
        cause: Cause | None = getattr(self._local, "failure", None)
        return cause

    @property
    def too_large(self) -> bool:
        """Whether the backend refused the size of the last request since `begin`."""
        return bool(getattr(self._local, "too_large", False))

    @property
    def rejection(self) -> tuple[int, Cause | None]:
        """How many items of the last request the backend rejected although it took the others, and why."""
        rejection: tuple[int, Cause | None] = getattr(self._local, "rejection", (0, None))
        return rejection

    def _post(self, url: str, send: Callable[[str], tuple[Any, OtlpAnswer]]) -> Any:
        """Post a request over HTTP, to where it is redirected as well if that is safe."""
        self._local.requests = getattr(self._local, "requests", 0) + 1
        for _ in range(1 + _MAX_REDIRECTS):
            try:
                result, answer = send(url)
            except BaseException as error:
                self._note(OtlpAnswer(url, None, {}, error if isinstance(error, Exception) else None))
                raise
            if answer.status is None or not 300 <= answer.status < 400:
                self._note(answer)
                return result
            location = answer.headers.get("location", "")
            refusal = why_not_followed(url, location, answer.status)
            if refusal:
                break
            url = urljoin(url, location)
        else:
            refusal = "it redirects again and again"
        named_by = self._named_by(url)
        fix = f"set {named_by} to the address that accepts the data"
        why = f"answered {answer.status}{_towards(url, location)}: {refusal}"
        self._local.failure = Cause(f"OTLP at {origin_of(url)}", why, fix)
        raise OtlpRedirectError(str(self._local.failure))

    def _note(self, answer: OtlpAnswer) -> None:
        """Remember what a response over HTTP means for the batch."""
        named_by = self._named_by(answer.endpoint)
        destination = f"OTLP at {origin_of(answer.endpoint)}"
        if answer.status is None:
            why = f"no response ({innermost(answer.error)})"
            self._local.failure = Cause(destination, why, f"check {named_by}, and run `mita-otel doctor`")
        elif 200 <= answer.status < 300:
            self._note_rejected(destination, answer.body)
        else:
            self._local.too_large = answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or (
                answer.status == HTTPStatus.BAD_REQUEST and _refuses_size(answer.body)
            )
            fix = _RAISE_LIMIT if self._local.too_large else http_fix(answer.status, named_by)
            self._local.failure = Cause(destination, f"answered {answer.status}", fix)

    def _called(self, answer: GrpcAnswer, body: bytes) -> None:
        """Remember what a response over gRPC means for the batch."""
        self._local.requests = getattr(self._local, "requests", 0) + 1
        destination = f"OTLP at {answer.endpoint}"
        if answer.code == "OK":
            self._note_rejected(destination, body)
        else:
            self._local.too_large = bool(_TOO_LARGE.search(answer.details))
            fix = _RAISE_LIMIT if self._local.too_large else grpc_fix(answer, _ENDPOINT, "the data")
            self._local.failure = Cause(destination, f"answered {answer.code}", fix)
            if self._local.too_large:
                raise OtlpSizeError(str(self._local.failure))

    def _note_rejected(self, destination: str, body: bytes) -> None:
        self._local.failure = None
        rejected, message = rejected_by(body) if body else (0, "")
        text = " ".join(message.split())[:_MAX_MESSAGE]
        why = f"accepted the request but rejected {rejected} item(s)" + (f" ({text})" if text else "")
        cause = Cause(destination, why, "see the backend's limits and its log") if rejected else None
        self._local.rejection = (rejected, cause)

    def _named_by(self, url: str) -> str:
        """Return the variable that names the endpoint."""
        signal = next((one for one in _SIGNALS if urlsplit(url).path.rstrip("/").endswith(one)), "")
        own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
        return own if signal and self._env.get(own) else _ENDPOINT


def why_not_followed(url: str, location: str, status: int) -> str:
    """Return why a redirect is not followed; empty: it is safe to follow.

    Following it sends the data and the credentials in the headers to another address. That is safe only if the address
    is the same host, reached by https, or the same scheme, host and port.

    Args:
        url: The URL that was requested.
        location: The `Location` header of the response.
        status: The status of the response.
    """
    if status not in _SAME_METHOD:
        return "the request would become a GET without data" if location else "that is no answer to a POST"
    if not location:
        return "it does not say where"
    old = urlsplit(url)
    try:
        new = urlsplit(urljoin(url, location))
        same_port = _port(new) == _port(old)
    except ValueError:
        return "the address in its Location header is not valid"
    if not new.hostname or new.hostname.rstrip(".") != (old.hostname or "").rstrip("."):
        return "another host would receive the data and the credentials"
    if new.username or new.password:
        return "the address in its Location header has credentials"
    if new.scheme == "https" or (new.scheme == old.scheme == "http" and same_port):
        return ""
    return "the data would be sent unencrypted or to another service of the host"


def http_fix(status: int, named_by: str, path: str = "this path") -> str:
    """Return the next step for an OTLP endpoint that answered with an error.

    Args:
        status: The status of the response.
        named_by: The variable that names the endpoint.
        path: The path of the request.
    """
    if status in (401, 403):
        return "access denied; check OTEL_EXPORTER_OTLP_HEADERS"
    if status == 404:
        return f"no OTLP at {path}; check host, port and path in {named_by}"
    if status == 413:
        return _RAISE_LIMIT
    if status >= 500 or status == 429:
        return "it accepts no data now; see its log"
    return f"check that {named_by} is an OTLP endpoint"


def grpc_fix(answer: GrpcAnswer, named_by: str, signal: str) -> str:
    """Return the next step for an OTLP endpoint that answered over gRPC with an error.

    Args:
        answer: Its response.
        named_by: The variable that names the endpoint.
        signal: What was sent.
    """
    fix = _CODES.get(answer.code) or next(
        (text for pattern, text in _ERRORS if re.search(pattern, answer.details)), _REQUEST_FAILED
    )
    return fix.format(
        named_by=named_by,
        certificate="OTEL_EXPORTER_OTLP_CERTIFICATE",
        protocol="OTEL_EXPORTER_OTLP_PROTOCOL",
        signal=signal,
    )


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL. The rest of it may be secret."""
    try:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}:{_port(parts)}"
    except ValueError:
        return "an address that is not valid"


def innermost(error: BaseException | None) -> str:
    """Return the innermost cause of an exception without its message, which may contain a URL with a key."""
    while error is not None:
        cause = error.__cause__ or error.__context__
        cause = cause or next((one for one in error.args if isinstance(one, BaseException)), None)
        reason = getattr(error, "reason", None)
        cause = cause or (reason if isinstance(reason, BaseException) else None)
        if cause is None:
            return getattr(error, "strerror", None) or type(error).__name__
        error = cause
    return "unknown"


def _refuses_size(body: bytes) -> bool:
    """Return whether the body of a response with status 400 says that the request is too large, as the Collector's does."""
    return bool(_TOO_LARGE.search(body[: 10 * _MAX_MESSAGE].decode("utf-8", "replace")))


def _port(parts: SplitResult) -> int | None:
    return parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _towards(url: str, location: str) -> str:
    """Return the origin of a `Location` header, for a message."""
    if not location:
        return ""
    try:
        target = origin_of(urljoin(url, location))
    except ValueError:
        return ""
    return " to another path" if target == origin_of(url) else f" to {target}"
