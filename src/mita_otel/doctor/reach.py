"""Sentry: whether the DSN is one, its host answers, knows the key, how soon, and what time it is there."""

from __future__ import annotations

import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

from opentelemetry.instrumentation.utils import suppress_instrumentation
from sentry_sdk.utils import BadDsn, Dsn

from mita_otel import environment_variables as variables
from mita_otel.health.check import Check, Status

_SLOW_S: Final = 1.0
_MAX_SKEW_S: Final = 60.0
_TIMEOUT_S: Final = 10.0
_COPY: Final = "copy it from Sentry's project settings, Client Keys; it reads like https://KEY@HOST/PROJECT"


def sentry_checks(
    env: Mapping[str, str], *, clock: Callable[[], float] = time.time, timeout_s: float = _TIMEOUT_S
) -> Iterator[Check]:
    """Ask the DSN's host with an empty envelope, which makes no event.

    Args:
        env: The environment variables.
        clock: Seconds since the epoch.
        timeout_s: Seconds that it may take.
    """
    dsn = env.get(variables.SENTRY_DSN, "").strip()
    if not dsn:
        yield Check("sentry", Status.WARN, f"{variables.SENTRY_DSN} is not set: nothing goes to Sentry")
        return
    try:
        parsed = Dsn(dsn)
    except (BadDsn, ValueError):
        yield Check("sentry", Status.FAIL, f"{variables.SENTRY_DSN} is no DSN; {_COPY}")
        return
    auth = parsed.to_auth("mita-otel-doctor")
    request = urllib.request.Request(  # noqa: S310 - the scheme has been looked at
        auth.get_api_url(),
        b"{}\n",
        {"Content-Type": "application/x-sentry-envelope", "X-Sentry-Auth": auth.to_header()},
    )
    started = time.monotonic()
    try:
        with suppress_instrumentation(), urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            status, date = answer.status, answer.headers.get("Date")
    except urllib.error.HTTPError as error:
        status, date = error.code, error.headers.get("Date")
        error.close()
    except (OSError, ValueError) as error:
        yield Check("sentry", Status.FAIL, _unreachable(error, parsed.host))
        return
    took_s = time.monotonic() - started
    yield _answered(status, parsed.host, took_s)
    yield from _clock_check(date, clock())


def _answered(status: int, host: str, took_s: float) -> Check:
    observed = {"milliseconds_to_first_byte": round(took_s * 1000)}
    if status in (400, 401, 403, 404):
        said = f"{host} answered {status}: it does not know the key or the project of {variables.SENTRY_DSN}; {_COPY}"
        return Check("sentry", Status.FAIL, said, observed)
    if status == 429:
        said = (
            f"{host} answered 429: the quota is used up, or the project is rate limited; events are dropped"
        )
        return Check("sentry", Status.WARN, said, observed)
    if status >= 300:
        return Check(
            "sentry", Status.FAIL, f"{host} answered {status}; look at Sentry's status page", observed
        )
    if took_s > _SLOW_S:
        said = f"{host} took {took_s:.1f} seconds to answer; is a nearer region or a relay to be had?"
        return Check("sentry", Status.WARN, said, observed)
    return Check("sentry", Status.PASS, f"{host} answered after {took_s * 1000:.0f} ms", observed)


def _unreachable(error: Exception, host: str) -> str:
    why: Any = getattr(error, "reason", error)
    if isinstance(why, ssl.SSLCertVerificationError):
        return f"the certificate of {host} is not trusted ({why.verify_message}); name your authority's in SSL_CERT_FILE"
    if isinstance(why, ssl.SSLError):
        return f"{host} does not speak TLS; is the DSN's scheme right?"
    if isinstance(why, socket.gaierror):
        return f"there is no host {host}; check {variables.SENTRY_DSN} and the name server"
    if isinstance(why, TimeoutError):
        return f"{host} does not answer in time; is there a firewall? Set HTTPS_PROXY if there is a proxy"
    if isinstance(why, ConnectionRefusedError):
        return f"{host} refuses connections; check the port of {variables.SENTRY_DSN}"
    return f"{host} cannot be reached ({type(why).__name__}); check {variables.SENTRY_DSN} and the network"


def _clock_check(date: str | None, now_s: float) -> Iterator[Check]:
    """Compare this machine's clock with the answer's."""
    try:
        at = parsedate_to_datetime(date or "")
    except ValueError:
        return
    skew_s = now_s - (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if abs(skew_s) > _MAX_SKEW_S:
        way = "ahead of" if skew_s > 0 else "behind"
        said = f"this machine's clock is {abs(skew_s):.0f} seconds {way} Sentry's; start its time synchronisation"
        yield Check("clock", Status.FAIL, said)
    else:
        yield Check("clock", Status.PASS, f"within {_MAX_SKEW_S:.0f} seconds of Sentry's")
