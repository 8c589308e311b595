"""Checks of Sentry: the DSN, the answer of its host, the key, the latency, the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel import environment_variables as variables
from mita_otel.doctor.network_errors import Peer, why_unreachable
from mita_otel.doctor.settings import wanted_exporters
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy
from mita_otel.policy.runtime import DoctorPolicy
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sentry.client import checked_dsn
from mita_otel.sentry.transport.ingest_client import ENVELOPE, UNREACHABLE, IngestClient, Response, trust

EMPTY_ENVELOPE: Final = b"{}\n"
"""An envelope that creates no event."""
TYPE: Final = "application/x-sentry-envelope"
NO_ANSWER: Final = (*UNREACHABLE, ValueError)
"""What a request raises if there is no response."""
_UNKNOWN: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
)


def sentry_checks(
    policy: Policy,
    env: Mapping[str, str],
    *,
    network: bool = True,
    clock: Callable[[], float] = time.time,
) -> Iterator[Check]:
    """Check the DSN, and send an empty request with the exporter's certificates and proxy.

    Args:
        policy: Time limits.
        env: The environment variables.
        network: Whether to contact the host.
        clock: Seconds since the epoch.
    """
    written, exporters = env.get(variables.SENTRY_DSN, "").strip(), wanted_exporters(policy, env)
    if "sentry" not in exporters:
        yield _not_selected(written, exporters)
    elif not written and variables.is_set(env.get(variables.SENTRY_SPOTLIGHT)):
        yield Check("sentry", Status.PASS, f"{variables.SENTRY_DSN} is not set: traces go to Spotlight only")
    elif not written:
        instead = ", ".join(policy.export.without_dsn) or "nowhere"
        message = f"{variables.SENTRY_DSN} is not set, so traces go to {instead} instead of Sentry; set it to your project's DSN"
        yield Check("sentry", Status.WARN, message)
    if not written:
        return
    try:
        client = IngestClient(checked_dsn(written), {}, timeout_s=policy.doctor.timeout_s, max_connections=1)
    except ConfigurationError as error:
        yield Check("sentry", Status.FAIL, str(error))
        return
    peer = Peer.of(client.origin, variables.SENTRY_DSN, trust({}))
    if not network:
        yield Check("sentry", Status.PASS, f"{peer.address} not contacted")
        return
    started = time.monotonic()
    try:
        with suppress_instrumentation():
            heard = client.post(ENVELOPE, EMPTY_ENVELOPE, {"Content-Type": TYPE}, read_body=False)
    except NO_ANSWER as error:
        yield Check("sentry", Status.FAIL, why_unreachable(error, peer))
        return
    finally:
        client.close()
    yield answered("sentry", heard, peer, time.monotonic() - started, policy.doctor)
    yield from clock_check(heard, clock(), policy.doctor)


def _not_selected(dsn: str, exporters: list[str]) -> Check:
    instead = ", ".join(exporters) or "nowhere"
    if not dsn:
        return Check("sentry:exporter", Status.PASS, f"Sentry is not selected; traces go to {instead}")
    message = f"{variables.SENTRY_DSN} is set, but traces go to {instead}: add sentry to {variables.TRACES_EXPORTER}, or unset the DSN"
    return Check("sentry:exporter", Status.WARN, message)


def answered(name: str, heard: Response, peer: Peer, took_s: float, policy: DoctorPolicy) -> Check:
    """Return the result for a response of Sentry.

    Args:
        name: Name of the check.
        heard: The response.
        peer: The host.
        took_s: Seconds to the first byte.
        policy: Time limits.
    """
    observed = {"status": heard.status, "milliseconds_to_first_byte": round(took_s * 1000)}
    status, message = _meaning(heard, peer)
    if status is Status.PASS and took_s > policy.slow_s:
        status = Status.WARN
        message = (
            f"{peer.address} took {took_s:.1f} seconds to the first byte, more than doctor.slow_s; use a nearer region "
            "or a relay, or look for a slow proxy or name server"
        )
    return Check(
        name,
        status,
        message or f"{peer.address} answered after {observed['milliseconds_to_first_byte']} ms",
        observed,
    )


def _meaning(heard: Response, peer: Peer) -> tuple[Status, str]:
    where, status = f"{peer.address} answered {heard.status}", heard.status
    if status in _UNKNOWN:
        return Status.FAIL, (
            f"{where}: unknown key or project in {peer.named_by}; copy the DSN from the project's settings in Sentry, "
            "Client Keys, and check there that the key is enabled"
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        message = f"{where}: events are dropped because the quota is used up or the project is rate limited; see Stats in Sentry, or raise the quota"
        return Status.WARN, message
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return Status.FAIL, f"{where}: the proxy requires a user; check HTTPS_PROXY"
    if 300 <= status < 400:
        return (
            Status.FAIL,
            f"{where}, a redirect, which is not followed; correct the host in {peer.named_by}",
        )
    if status >= 500:
        message = (
            f"{where}: Sentry or a proxy has a problem; see status.sentry.io, or the log of your own Sentry"
        )
        return Status.FAIL, message
    if status >= 400:
        return Status.FAIL, f"{where}, unlike Sentry; check the host in {peer.named_by}"
    if heard.headers.get("content-type", "").startswith("text/html"):
        return (
            Status.FAIL,
            f"{where} with a web page, unlike Sentry; check the host in {peer.named_by}",
        )
    return Status.PASS, ""


def clock_check(heard: Response, now_s: float, policy: DoctorPolicy) -> Iterator[Check]:
    """Compare this machine's clock with the date of a response, if it has one.

    Args:
        heard: The response.
        now_s: This machine's time, in seconds since the epoch.
        policy: The maximum difference.
    """
    try:
        at = parsedate_to_datetime(heard.headers.get("date", ""))
    except ValueError:
        return
    skew_s = now_s - (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    observed = {"seconds_ahead": round(skew_s)}
    if abs(skew_s) > policy.max_skew_s:
        way = "ahead of" if skew_s > 0 else "behind"
        message = (
            f"this machine's clock is {abs(skew_s):.0f} seconds {way} the server's; start time "
            "synchronisation (timedatectl set-ntp true, or chronyd)"
        )
        yield Check("clock", Status.FAIL, message, observed)
    else:
        yield Check(
            "clock",
            Status.PASS,
            f"within {policy.max_skew_s:.0f} seconds of the server's",
            observed,
        )
