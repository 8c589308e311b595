"""HTTP client for one Sentry project. urllib3 handles proxies, certificates, connections and timeouts."""

from __future__ import annotations

import http.client
import logging
import os
import ssl
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3
from sentry_sdk.transport import KEEP_ALIVE_SOCKET_OPTIONS
from sentry_sdk.utils import Dsn
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError

from mita_otel._versions import version_of
from mita_otel.errors import ConfigurationError
from mita_otel.processors.queues.forks import after_fork_in_child, after_monkey_patch

_logger = logging.getLogger("mita_otel")

ENVELOPE: Final = "/envelope/"
"""Path of the envelope endpoint, relative to the project."""
OTLP_TRACES: Final = "/integration/otlp/v1/traces/"
"""Path of the OTLP traces endpoint, relative to the project."""
UNREACHABLE: Final = (HTTPError, http.client.HTTPException, OSError)
"""Exceptions that `IngestClient.post` raises if there is no response."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_MAX_BODY: Final = 65_536
"""Maximum bytes of a response that are read. Sentry's responses have fewer than 100 bytes."""
_CLOSED_BY_PEER: Final = (
    http.client.RemoteDisconnected,
    ConnectionResetError,
    BrokenPipeError,
    ssl.SSLEOFError,
)
"""Errors of an idle connection that the server has closed."""


class Response(NamedTuple):
    """A response of Sentry or of a proxy."""

    status: int
    headers: Mapping[str, str]
    """Names are in lower case."""
    body: bytes = b""
    """The beginning of the body."""


class IngestClient:
    """Posts to the ingestion endpoints of one Sentry project; thread-safe. It does not follow redirects.

    Args:
        dsn: The DSN of the project.
        options: sentry-sdk's options: `http_proxy`, `https_proxy`, `proxy_headers`, `ca_certs`, `cert_file`,
            `key_file`, `socket_options`, `keep_alive`. Where they are missing, the usual environment variables apply.
        timeout_s: Maximum seconds of one request.
        max_connections: Maximum number of connections that are kept open.

    Raises:
        ConfigurationError: A certificate file cannot be read.
    """

    def __init__(
        self, dsn: str, options: Mapping[str, Any], *, timeout_s: float, max_connections: int
    ) -> None:
        project = Dsn(dsn)
        host = f"[{project.host}]" if ":" in project.host else project.host
        self.address = f"{host}:{project.port}"
        """Host and port."""
        authority = host if project.port == _DEFAULT_PORTS.get(project.scheme) else self.address
        self.origin = f"{project.scheme}://{authority}"
        """Scheme, host and port, as a URL."""
        self._base_url = f"{self.origin}{project.path}api/{project.project_id}"
        self._base_path = urlsplit(self._base_url).path
        agent = f"sentry.python.mita_otel/{version_of('mita-otel')}"
        secret = f", sentry_secret={project.secret_key}" if project.secret_key else ""
        self._headers = {
            "User-Agent": agent,
            "X-Sentry-Auth": f"Sentry sentry_key={project.public_key}, sentry_version=7, sentry_client={agent}{secret}",
        }
        self._proxy = proxy_for(project, options)
        self._proxy_headers = options.get("proxy_headers")
        self._settings: dict[str, Any] = {
            "maxsize": max_connections,
            "timeout": urllib3.Timeout(total=timeout_s),
            "retries": False,
            "socket_options": _socket_options(options),
        }
        if project.scheme == "https" or (self._proxy or "").startswith("https:"):
            self._settings["ssl_context"] = tls_context(options)
        self._open()
        after_fork_in_child(self._open)  # a child must not write into its parent's connections
        after_monkey_patch(self._open)

    def _open(self) -> None:
        self._manager = _pool_manager(self._proxy, self._proxy_headers, self._settings)
        # Without a proxy the pool of the host is used directly, because the manager needs 20 % more CPU for each request.
        self._pool = self._manager.connection_from_url(self._base_url) if self._proxy is None else None

    def post(
        self, endpoint: str, body: bytes, headers: Mapping[str, str], *, read_body: bool = True
    ) -> Response:
        """Post a body to an endpoint.

        Args:
            endpoint: `ENVELOPE` or `OTLP_TRACES`.
            body: The body to send.
            headers: Headers in addition to those with the project's key and the sender.
            read_body: False: return after the headers and close the connection.

        Raises:
            urllib3.exceptions.HTTPError, http.client.HTTPException, OSError: There is no response. See `UNREACHABLE`.
        """
        headers = {**self._headers, **headers}
        try:
            raw = self._request(endpoint, body, headers)
        except HTTPError as error:
            if not any(isinstance(one, _CLOSED_BY_PEER) for one in error.args):
                raise
            raw = self._request(endpoint, body, headers)  # over a new connection
        return Response(
            raw.status,
            {name.lower(): value for name, value in raw.headers.items()},
            _read(raw) if read_body else _close(raw),
        )

    def close(self) -> None:
        """Close the idle connections."""
        if self._pool is not None:
            self._pool.close()
        self._manager.clear()

    def _request(self, endpoint: str, body: bytes, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        options: dict[str, Any] = {"redirect": False, "preload_content": False}
        if self._pool is not None:
            path = f"{self._base_path}{endpoint}"
            return self._pool.urlopen("POST", path, body, headers, retries=False, **options)
        url = f"{self._base_url}{endpoint}"
        return self._manager.urlopen("POST", url, body=body, headers=headers, **options)


def proxy_for(dsn: Dsn, options: Mapping[str, Any]) -> str | None:
    """Return the URL of the proxy to a DSN's host, or None.

    The options `https_proxy` and `http_proxy` take precedence over the environment variables. An empty option disables the
    variable of the same name. `NO_PROXY` applies only to proxies from the environment. If there is no proxy for https,
    the proxy for http is used.
    """
    proxies = getproxies()
    excluded = bool(proxies) and bool(proxy_bypass(f"{dsn.host}:{dsn.port}"))
    for scheme in ("https", "http") if dsn.scheme == "https" else ("http",):
        option = options.get(f"{scheme}_proxy")
        proxy = option if option is not None else None if excluded else proxies.get(scheme)
        if proxy:
            return str(proxy)
    return None


def failure_of(error: BaseException) -> str:
    """Return a short reason why a request got no response. It contains no address, because a URL may contain a key."""
    causes = list(_causes(error))
    for one in reversed(causes):
        if isinstance(one, TimeoutError | urllib3.exceptions.TimeoutError) and not isinstance(
            one, urllib3.exceptions.NewConnectionError
        ):
            return "timed out"
        if isinstance(one, http.client.RemoteDisconnected):
            return "closed without a response"
        if isinstance(one, OSError) and one.strerror:
            return one.strerror[:1].lower() + one.strerror[1:]
    return type(causes[-1]).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes, the innermost last."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            inner = (getattr(one, "reason", None), *one.args, one.__cause__)
            waiting += [each for each in inner if isinstance(each, BaseException)]


def _pool_manager(
    proxy: str | None, headers: Mapping[str, str] | None, settings: dict[str, Any]
) -> urllib3.PoolManager:
    if proxy is None:
        return urllib3.PoolManager(**settings)
    if proxy.startswith("socks"):
        if find_spec("socks") is None:
            _logger.warning(
                "the SOCKS proxy for Sentry is ignored, because PySocks is not installed; run pip install 'urllib3[socks]'"
            )
            return urllib3.PoolManager(**settings)
        from urllib3.contrib.socks import SOCKSProxyManager

        return SOCKSProxyManager(proxy, **settings)
    user = urlsplit(proxy).netloc.rpartition("@")[0]
    own = urllib3.make_headers(proxy_basic_auth=unquote(user)) if user else {}
    context = settings.get("ssl_context") if proxy.startswith("https:") else None
    return urllib3.ProxyManager(
        proxy, proxy_headers={**own, **(headers or {})}, proxy_ssl_context=context, **settings
    )


def _socket_options(options: Mapping[str, Any]) -> list[Any]:
    chosen = list(options.get("socket_options") or HTTPConnection.default_socket_options)
    if options.get("keep_alive"):
        present = {(level, name) for level, name, _ in chosen}
        chosen += [one for one in KEEP_ALIVE_SOCKET_OPTIONS if one[:2] not in present]
    return chosen


def _read(raw: urllib3.BaseHTTPResponse) -> bytes:
    """Return the beginning of a response's body. The connection is kept if the body was read completely."""
    try:
        body = raw.read(_MAX_BODY)
        if raw.read(1):
            raw.close()
    except UNREACHABLE:
        return _close(raw)  # the status is known, and the body is optional
    raw.release_conn()
    return body


def _close(raw: urllib3.BaseHTTPResponse) -> bytes:
    raw.close()
    raw.release_conn()
    return b""


_CA_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


class Trust(NamedTuple):
    """A file of certificate authorities."""

    file: str
    named_by: str
    """The option or variable that sets the file. Empty for the file of the package certifi."""


def trust(options: Mapping[str, Any]) -> Trust:
    """Return the trusted authorities.

    Args:
        options: sentry-sdk's options. `ca_certs` takes precedence over `SSL_CERT_FILE` and `REQUESTS_CA_BUNDLE`.
    """
    if options.get("ca_certs"):
        return Trust(str(options["ca_certs"]), "ca_certs")
    for variable in _CA_VARIABLES:
        if os.environ.get(variable):
            return Trust(os.environ[variable], variable)
    return Trust(certifi.where(), "")


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """Return a TLS context that verifies certificates and host names.

    Args:
        options: sentry-sdk's options. `cert_file` and `key_file` take precedence over the variables `CLIENT_CERT_FILE`
            and `CLIENT_KEY_FILE`. See also `trust`.

    Raises:
        ConfigurationError: A certificate or key file cannot be read.
    """
    trusted = trust(options)
    try:
        context = ssl.create_default_context(cafile=trusted.file)
    except OSError as error:
        raise ConfigurationError(
            f"{trusted.named_by or 'certifi'} names the certificates in {trusted.file}, which cannot be read "
            f"({error.strerror or error}): set it to a file of certificates in PEM format, or unset it"
        ) from error
    certificate = options.get("cert_file") or os.environ.get("CLIENT_CERT_FILE")
    if certificate:
        key = options.get("key_file") or os.environ.get("CLIENT_KEY_FILE")
        try:
            context.load_cert_chain(certificate, key)
        except OSError as error:
            raise ConfigurationError(
                f"the client certificate {certificate} or its key {key} cannot be used ({error.strerror or error}); "
                "check CLIENT_CERT_FILE and CLIENT_KEY_FILE"
            ) from error
    return context
