"""Why a host was not reached, in words that name the mend: from the exceptions of http.client, requests and urllib3."""

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

from mita_otel.sentry.transport.certificates import Trust

_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_OTHER_NAME: Final = frozenset({62, 64})
"""OpenSSL's codes of what a certificate's verification came to (X509_V_ERR_...)."""
_NO_WAY: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})


@dataclass(frozen=True)
class Peer:
    """Who was asked."""

    address: str
    """Host and port, as in `o1.ingest.sentry.io:443`."""
    named_by: str
    """The variable or setting that names it."""
    trust: Trust
    """Whose certificates are believed."""
    trust_variable: str = "SSL_CERT_FILE"
    """The variable that names others."""

    @classmethod
    def of(cls, url: str, named_by: str, trust: Trust, trust_variable: str = "SSL_CERT_FILE") -> Peer:
        """Return the host of a URL. What else is in the URL may be secret: it is left out."""
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(f"{host}:{port}", named_by, trust, trust_variable)


def why_unreachable(error: BaseException, peer: Peer) -> str:
    """Return why nothing was heard of a host, and the mend.

    Args:
        error: What asking it raised.
        peer: The host.
    """
    causes = list(_causes(error))
    through_proxy = any(isinstance(one, urllib3.exceptions.ProxyError) for one in causes)
    if through_proxy and not any(isinstance(one, ssl.SSLError) for one in causes):
        return f"the proxy on the way to {peer.address} cannot be used ({_root(causes)}); check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    for cause in reversed(causes):  # the innermost knows best: a refusal is a time-out to urllib3
        said = _said(cause, peer)
        if said:
            return said
    return f"{peer.address} cannot be reached ({_root(causes)}); check {peer.named_by} and the network"


def _said(cause: BaseException, peer: Peer) -> str:
    where, named_by = peer.address, peer.named_by
    match cause:
        case ssl.SSLCertVerificationError():
            return _certificate(cause, peer)
        case ssl.SSLError():
            return f"{where} does not speak TLS as it should ({cause.reason or 'no reason given'}); is https right in {named_by}, and the port?"
        case socket.gaierror():
            return f"there is no host {where.rpartition(':')[0]} ({cause.strerror}); check {named_by} and the name server"
        case ConnectionRefusedError():
            return f"nobody listens at {where}; check the port in {named_by}, and that what should listen there runs"
        case http.client.RemoteDisconnected() | ConnectionResetError() | BrokenPipeError():
            return f"{where} hangs up without an answer; does it expect https, or is a firewall or load balancer in between? Check {named_by}"
        case http.client.HTTPException():
            return f"what listens at {where} does not speak HTTP; check the port in {named_by}"
        case TimeoutError() | urllib3.exceptions.TimeoutError():
            return f"{where} does not answer in time; does a firewall swallow it? If there is a proxy, set HTTPS_PROXY"
        case urllib3.exceptions.LocationValueError() | ValueError():
            return f"{named_by} is no address that can be asked; write it as in https://host:port"
        case OSError() if cause.errno in _NO_WAY:
            return f"there is no way to {where} ({cause.strerror}); look at this machine's network and routes"
    return ""


def _certificate(error: ssl.SSLCertVerificationError, peer: Peer) -> str:
    where = peer.address
    match error.verify_code:
        case code if code == _EXPIRED:
            return f"the certificate of {where} has expired; it is renewed there. (Or is this machine's clock ahead?)"
        case code if code == _NOT_YET_VALID:
            return f"the certificate of {where} is not valid yet; is this machine's clock behind? Start its time synchronisation"
        case code if code in _OTHER_NAME:
            return (
                f"the certificate of {where} is for another name ({error.verify_message.rstrip('.')}); "
                f"name the host in {peer.named_by} as its certificate does"
            )
    by = f" that {peer.trust.named_by} names" if peer.trust.named_by else ""
    return (
        f"the certificate of {where} is not trusted ({error.verify_message}): nothing in {peer.trust.file}{by} vouches for "
        f"it. To trust it, append its authority's certificate to a copy of that file, and set "
        f"{peer.trust.named_by or peer.trust_variable} to the copy"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it was made of, innermost last."""
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
    """Return what happened at the bottom, without addresses: they may hold a key."""
    last = causes[-1]
    if isinstance(last, OSError) and last.strerror:
        return last.strerror
    return str(last) if type(last) is OSError else type(last).__name__
