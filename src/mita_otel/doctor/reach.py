"""Sentry: whether the DSN is one, its host answers, knows the key, how soon, and what time it is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel import environment_variables as variables
from mita_otel.doctor.settings import wanted_exporters
from mita_otel.doctor.unreachable import Peer, why_unreachable
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy
from mita_otel.policy.health import DoctorPolicy
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sentry.client import checked_dsn
from mita_otel.sentry.transport.certificates import trust
from mita_otel.sentry.transport.ingest_client import ENVELOPE, UNREACHABLE, IngestClient, Response

EMPTY_ENVELOPE: Final = b"{}\n"
"""Makes no event."""
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
    """Look at the DSN, and ask its host the way that the exporter goes: its certificates, its proxy.

    Args:
        policy: How long it may take, and what is slow.
        env: The environment variables.
        network: Whether the host is asked.
        clock: Seconds since the epoch.
    """
    written, exporters = env.get(variables.SENTRY_DSN, "").strip(), wanted_exporters(policy, env)
    if "sentry" not in exporters:
        yield _not_wanted(written, exporters)
    elif not written and variables.is_set(env.get(variables.SENTRY_SPOTLIGHT)):
        yield Check("sentry", Status.PASS, f"{variables.SENTRY_DSN} is not set: traces go to Spotlight alone")
    elif not written:
        instead = ", ".join(policy.export.without_dsn) or "nowhere"
        said = f"{variables.SENTRY_DSN} is not set: nothing goes to Sentry, traces go to {instead}; set it to your project's DSN"
        yield Check("sentry", Status.WARN, said)
    if not written:
        return
    try:
        client = IngestClient(checked_dsn(written), {}, timeout_s=policy.doctor.timeout_s, max_connections=1)
    except ConfigurationError as error:
        yield Check("sentry", Status.FAIL, str(error))
        return
    peer = Peer.of(client.origin, variables.SENTRY_DSN, trust({}))
    if not network:
        yield Check("sentry", Status.PASS, f"{peer.address} was not asked")
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


def _not_wanted(dsn: str, exporters: list[str]) -> Check:
    instead = ", ".join(exporters) or "nowhere"
    if not dsn:
        return Check("sentry:exporter", Status.PASS, f"traces go to {instead}, as they should: not to Sentry")
    said = f"{variables.SENTRY_DSN} is set, and traces go to {instead}: add sentry to {variables.TRACES_EXPORTER}, or unset the DSN"
    return Check("sentry:exporter", Status.WARN, said)


def answered(name: str, heard: Response, peer: Peer, took_s: float, policy: DoctorPolicy) -> Check:
    """Return what an answer of Sentry means.

    Args:
        name: What the check is called.
        heard: The answer.
        peer: Who gave it.
        took_s: Seconds to its first byte.
        policy: What is slow.
    """
    observed = {"status": heard.status, "milliseconds_to_first_byte": round(took_s * 1000)}
    status, said = _meaning(heard, peer)
    if status is Status.PASS and took_s > policy.slow_s:
        status = Status.WARN
        said = (
            f"{peer.address} took {took_s:.1f} seconds to the first byte of its answer, more than doctor.slow_s; is a "
            "nearer region or a relay to be had, is a proxy or name server slow?"
        )
    return Check(
        name,
        status,
        said or f"{peer.address} answered after {observed['milliseconds_to_first_byte']} ms",
        observed,
    )


def _meaning(heard: Response, peer: Peer) -> tuple[Status, str]:
    where, status = f"{peer.address} answered {heard.status}", heard.status
    if status in _UNKNOWN:
        return Status.FAIL, (
            f"{where}: it does not know the key or the project of {peer.named_by}; copy the DSN again from Sentry's "
            "project settings, Client Keys, and see there that the key is not disabled"
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        said = f"{where}: the quota is used up, or the project is rate limited, events are dropped; see Sentry's Stats, or raise the quota"
        return Status.WARN, said
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return Status.FAIL, f"{where}: the proxy wants a user; check HTTPS_PROXY"
    if 300 <= status < 400:
        return (
            Status.FAIL,
            f"{where}, a redirection, which is not followed; correct the host in {peer.named_by}",
        )
    if status >= 500:
        said = f"{where}: Sentry, or a proxy before it, is in trouble; look at status.sentry.io, or at your own Sentry's log"
        return Status.FAIL, said
    if status >= 400:
        return Status.FAIL, f"{where}, which Sentry does not; is the host of {peer.named_by} Sentry's?"
    if heard.headers.get("content-type", "").startswith("text/html"):
        return (
            Status.FAIL,
            f"{where} with a web page, as Sentry does not; is the host of {peer.named_by} Sentry's?",
        )
    return Status.PASS, ""


def clock_check(heard: Response, now_s: float, policy: DoctorPolicy) -> Iterator[Check]:
    """Compare this machine's clock with an answer's date, if it has one.

    Args:
        heard: The answer.
        now_s: This machine's seconds since the epoch.
        policy: How far they may be apart.
    """
    try:
        at = parsedate_to_datetime(heard.headers.get("date", ""))
    except ValueError:
        return
    skew_s = now_s - (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    observed = {"seconds_ahead": round(skew_s)}
    if abs(skew_s) > policy.max_skew_s:
        way = "ahead of" if skew_s > 0 else "behind"
        said = (
            f"this machine's clock is {abs(skew_s):.0f} seconds {way} that of the server that was asked; start its time "
            "synchronisation (timedatectl set-ntp true, or chronyd)"
        )
        yield Check("clock", Status.FAIL, said, observed)
    else:
        yield Check(
            "clock",
            Status.PASS,
            f"within {policy.max_skew_s:.0f} seconds of the server's that was asked",
            observed,
        )
