"""Explains the exceptions of http.client, requests and urllib3 as a cause and a fix."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import urllib3.exceptions

from mita_otel.sentry.transport.ingest_client import Trust

_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_OTHER_NAME: Final = frozenset({62, 64})
"""OpenSSL's codes for the verification of certificates (X509_V_ERR_...)."""
_NO_WAY: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})


@dataclass(frozen=True)
class Peer:
    """The host that was contacted."""

    address: str
    """Host and port, as in `o1.ingest.sentry.io:443`."""
    named_by: str
    """The variable or setting that names it."""
    trust: Trust
    """The trusted certificates."""
    trust_variable: str = "SSL_CERT_FILE"
    """The variable that sets other certificates."""

    @classmethod
    def of(cls, url: str, named_by: str, trust: Trust, trust_variable: str = "SSL_CERT_FILE") -> Peer:
        """Return the host of a URL. The rest of the URL may be secret and is left out."""
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(f"{host}:{port}", named_by, trust, trust_variable)


def why_unreachable(error: BaseException, peer: Peer) -> str:
    """Return why a host could not be reached, and the fix.

    Args:
        error: The exception of the request.
        peer: The host.
    """
    causes = list(_causes(error))
    through_proxy = any(isinstance(one, urllib3.exceptions.ProxyError) for one in causes)
    if through_proxy and not any(isinstance(one, ssl.SSLError) for one in causes):
        return f"the proxy on the way to {peer.address} cannot be used ({_root(causes)}); check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    for cause in reversed(
        causes
    ):  # the innermost is the most precise: urllib3 reports a refused connection as a timeout
        explanation = _explain(cause, peer)
        if explanation:
            return explanation
    return f"{peer.address} cannot be reached ({_root(causes)}); check {peer.named_by} and the network"


def _explain(cause: BaseException, peer: Peer) -> str:
    where, named_by = peer.address, peer.named_by
    match cause:
        case ssl.SSLCertVerificationError():
            return _certificate(cause, peer)
        case ssl.SSLError():
            return f"{where} failed the TLS handshake ({cause.reason or 'no reason given'}); check https and the port in {named_by}"
        case socket.gaierror():
            return f"unknown host {where.rpartition(':')[0]} ({cause.strerror}); check {named_by} and the name server"
        case ConnectionRefusedError():
            return (
                f"{where} refuses connections; check the port in {named_by}, and that the server is running"
            )
        case http.client.RemoteDisconnected() | ConnectionResetError() | BrokenPipeError():
            return f"{where} closes the connection without an answer; check https in {named_by}, firewalls and load balancers"
        case http.client.HTTPException():
            return f"{where} does not speak HTTP; check the port in {named_by}"
        case TimeoutError() | urllib3.exceptions.TimeoutError():
            return (
                f"{where} does not answer in time; check firewalls, and set HTTPS_PROXY if there is a proxy"
            )
        case urllib3.exceptions.LocationValueError() | ValueError():
            return f"{named_by} is not a valid address; use the form https://host:port"
        case OSError() if cause.errno in _NO_WAY:
            return f"no route to {where} ({cause.strerror}); check this machine's network and routes"
    return ""


def _certificate(error: ssl.SSLCertVerificationError, peer: Peer) -> str:
    where = peer.address
    match error.verify_code:
        case code if code == _EXPIRED:
            return f"the certificate of {where} has expired; renew it there, or check whether this machine's clock is ahead"
        case code if code == _NOT_YET_VALID:
            return f"the certificate of {where} is not valid yet; if this machine's clock is behind, start time synchronisation"
        case code if code in _OTHER_NAME:
            return (
                f"the certificate of {where} is for another name ({error.verify_message.rstrip('.')}); "
                f"use the certificate's host name in {peer.named_by}"
            )
    source = f" (from {peer.trust.named_by})" if peer.trust.named_by else ""
    return (
        f"the certificate of {where} is not trusted ({error.verify_message}): its authority is not in {peer.trust.file}{source}. "
        f"To trust it, append the authority's certificate to a copy of that file, and set "
        f"{peer.trust.named_by or peer.trust_variable} to the copy"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes, innermost last."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        parts = (getattr(one, "reason", None), *one.args, one.__cause__, one.__context__)
        waiting += [part for part in parts if isinstance(part, BaseException)]


def _root(causes: list[BaseException]) -> str:
    """Return the innermost cause without addresses, which may contain a key."""
    last = causes[-1]
    if isinstance(last, OSError) and last.strerror:
        return last.strerror
    return str(last) if type(last) is OSError else type(last).__name__
