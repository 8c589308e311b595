"""Checks of the mobile gateway: its spool and the destinations of the apps' telemetry."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel import environment_variables as variables
from mita_otel.doctor.network_errors import Peer, why_unreachable
from mita_otel.doctor.sentry import EMPTY_ENVELOPE, answered
from mita_otel.doctor.storage import low_space, megabytes_left, unusable
from mita_otel.errors import ConfigurationError
from mita_otel.mobile.spool import spool_folder, spool_usage
from mita_otel.mobile.upstream import Upstream, UpstreamUnreachable
from mita_otel.policy import Policy
from mita_otel.policy.mobile import MobileProject
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sentry.transport.ingest_client import Response, trust

_NAME = "mobile"


def gateway_checks(
    policy: Policy, env: Mapping[str, str], *, network: bool = True, clock: Callable[[], float] = time.time
) -> Iterator[Check]:
    """Check the gateway, if the policy or the environment configures it.

    Args:
        policy: The apps and their destinations.
        env: The environment variables.
        network: Whether to contact the upstreams.
        clock: Seconds since the epoch.
    """
    projects = policy.mobile.projects
    if not projects:
        if env.get(variables.MOBILE_SPOOL, "").strip():
            message = (
                f"{variables.MOBILE_SPOOL} is set, but the policy contains no app, so the gateway refuses everything; add "
                "[mobile.projects.NAME] with the id and the keys of an app's DSN, and an upstream"
            )
            yield Check(_NAME, Status.WARN, message)
        return
    yield _spool(policy, env, clock())
    for name, project in projects.items():
        yield from _project(name, project, policy, env, network=network)


def _project(
    name: str, project: MobileProject, policy: Policy, env: Mapping[str, str], *, network: bool
) -> Iterator[Check]:
    if project.store and not env.get(variables.DATABASE_URL, "").strip():
        message = (
            f"telemetry of {project.service} goes to this machine's store only; set {variables.DATABASE_URL}"
        )
        yield Check(f"{_NAME}:{name}:store", Status.WARN, message)
    if not project.upstream:
        return
    check, setting = f"{_NAME}:{name}", f"mobile.projects.{name}.upstream"
    if not network:
        yield Check(check, Status.PASS, f"{setting} not contacted")
        return
    peer = Peer.of(project.upstream, setting, trust({}))
    try:
        upstream = Upstream(project.upstream, timeout_s=policy.doctor.timeout_s, connections=1, env=env)
    except ConfigurationError as error:
        yield Check(check, Status.FAIL, str(error))
        return
    started = time.monotonic()
    try:
        with suppress_instrumentation():
            answer = upstream.post_envelope(EMPTY_ENVELOPE, compressed=False)
    except UpstreamUnreachable as error:
        yield Check(check, Status.FAIL, why_unreachable(error, peer))
        return
    finally:
        upstream.close()
    heard = Response(answer.status, answer.headers)
    yield answered(check, heard, peer, time.monotonic() - started, policy.doctor)


def _spool(policy: Policy, env: Mapping[str, str], now_s: float) -> Check:
    """Check that the spool is writable and has free space, and how much waits in it."""
    check, folder = f"{_NAME}:spool", spool_folder(policy.mobile.spool, env).absolute()
    fault = unusable(folder)
    if fault:
        message = (
            f"{fault}: telemetry from apps is refused; free space or grant write access there, or set "
            f"{variables.MOBILE_SPOOL} to a writable folder on a local disk"
        )
        return Check(check, Status.FAIL, message)
    parts = list(spool_usage(folder))
    waiting, size = sum(one.records for one in parts), sum(one.bytes for one in parts)
    oldest_s = max((now_s - one.oldest_s for one in parts), default=0.0)
    left = megabytes_left(folder)
    observed = {
        "waiting": waiting,
        "waiting_bytes": size,
        "oldest_seconds": round(oldest_s),
        "megabytes_left": round(left),
    }
    full = max((policy.mobile.spool.share_taken(one.records, one.bytes) for one in parts), default=0.0)
    if full > policy.health.queue_share:
        message = (
            f"{folder} is {full:.0%} full ({waiting} envelopes, {size / 1e6:.0f} MB), and a full spool drops the least important "
            "ones; fix the upstream reported below, or raise mobile.spool.max_megabytes and max_records"
        )
        return Check(check, Status.FAIL if full >= 1 else Status.WARN, message, observed)
    if message := low_space(folder, left, policy.doctor.min_free_megabytes, refused="envelopes of apps"):
        return Check(check, Status.WARN, message, observed)
    if oldest_s > policy.doctor.max_waiting_s:
        message = (
            f"{waiting} envelopes wait in {folder}, the oldest for {oldest_s / 60:.0f} minutes; check that the gateway runs "
            "(mita-otel mobile serve) and that its upstream accepts them"
        )
        return Check(check, Status.WARN, message, observed)
    return Check(check, Status.PASS, f"{waiting} envelopes wait in {folder}", observed)
