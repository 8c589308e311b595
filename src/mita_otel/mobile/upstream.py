"""The connection to Sentry: the host of the policy. Hosts that an envelope names are ignored."""

from __future__ import annotations

import http.client
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3

from mita_otel._versions import version_of
from mita_otel.sentry.transport.ingest_client import tls_context

_MAX_ANSWER: Final = 4096
"""Maximum bytes of a response that are read."""


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """The head of Sentry's response."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""


class UpstreamUnreachable(Exception):  # noqa: N818 - it is an outcome, not an error of the gateway
    """Sentry did not answer."""


class Upstream:
    """Sends to one project in Sentry; thread-safe. Redirects are not followed.

    Args:
        dsn: The project's DSN, from the policy.
        timeout_s: Maximum seconds of one request.
        connections: Number of connections that are kept open.
        env: Environment variables; `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE` apply.
    """

    def __init__(
        self, dsn: str, *, timeout_s: float, connections: int, env: Mapping[str, str] | None = None
    ) -> None:
        parts = urlsplit(dsn)
        port = f":{parts.port}" if parts.port else ""
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        before, _, project = parts.path.rpartition("/")
        self._base = f"{parts.scheme}://{host}{port}{before}/api/{project}"
        self._timeout_s = timeout_s
        self._agent = f"mita-otel-mobile/{version_of('mita-otel')}"
        self._auth = f"Sentry sentry_version=7, sentry_client={self._agent}, sentry_key={parts.username}"
        options: dict[str, Any] = {
            "maxsize": connections,
            "retries": False,
            "timeout": urllib3.Timeout(total=timeout_s),
        }
        if parts.scheme == "https":
            options["ssl_context"] = tls_context({})
        proxy = _proxy_for(parts.scheme, str(parts.hostname), os.environ if env is None else env)
        self._pool: urllib3.PoolManager = (
            urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
        )

    def post_envelope(self, body: bytes, *, compressed: bool) -> UpstreamAnswer:
        """Send an envelope.

        Raises:
            UpstreamUnreachable: Sentry did not answer in time.
        """
        return self._post("/envelope/", body, "application/x-sentry-envelope", compressed=compressed)

    def post_otlp_traces(self, body: bytes, *, compressed: bool) -> UpstreamAnswer:
        """Send an OTLP export request in protobuf.

        Raises:
            UpstreamUnreachable: Sentry did not answer in time.
        """
        path = "/integration/otlp/v1/traces/"
        return self._post(path, body, "application/x-protobuf", compressed=compressed)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _post(self, path: str, body: bytes, content_type: str, *, compressed: bool) -> UpstreamAnswer:
        headers = {"Content-Type": content_type, "X-Sentry-Auth": self._auth, "User-Agent": self._agent}
        if compressed:
            headers["Content-Encoding"] = "gzip"
        try:
            response = self._pool.request(
                "POST", self._base + path, body=body, headers=headers, redirect=False, preload_content=False
            )
            try:
                response.read(_MAX_ANSWER)
                whole = response.read(1) == b""
            finally:
                response.release_conn()
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            raise UpstreamUnreachable(type(error).__name__) from error
        if not whole:
            response.close()
        return UpstreamAnswer(
            response.status, {name.lower(): value for name, value in response.headers.items()}
        )


def upstream_key(dsn: str) -> str:
    """Return a DSN's public key."""
    return urlsplit(dsn).username or ""


def _proxy_for(scheme: str, host: str, env: Mapping[str, str]) -> str | None:
    proxy = env.get(f"{scheme}_proxy") or env.get(f"{scheme.upper()}_PROXY")
    if not proxy:
        return None
    excluded = env.get("no_proxy") or env.get("NO_PROXY") or ""
    return None if urllib.request.proxy_bypass(host, {"no": excluded}) else proxy
