"""The gateway for mobile apps: whether what they send has somewhere to go, and whether it goes there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel import environment_variables as variables
from mita_otel.doctor.folders import lacks_room, megabytes_left, unusable
from mita_otel.doctor.reach import EMPTY_ENVELOPE, answered
from mita_otel.doctor.unreachable import Peer, why_unreachable
from mita_otel.errors import ConfigurationError
from mita_otel.mobile.spool import spool_folder
from mita_otel.mobile.spool_reader import on_disk
from mita_otel.mobile.upstream import Upstream, UpstreamUnreachable
from mita_otel.policy import Policy
from mita_otel.policy.mobile import MobileProject
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sentry.transport.certificates import trust
from mita_otel.sentry.transport.ingest_client import Response

_NAME = "mobile"


def gateway_checks(
    policy: Policy, env: Mapping[str, str], *, network: bool = True, clock: Callable[[], float] = time.time
) -> Iterator[Check]:
    """Look whether the gateway could work, if the policy or the environment names it.

    Args:
        policy: The apps, and where to.
        env: The environment variables.
        network: Whether the apps' upstreams are asked.
        clock: Seconds since the epoch.
    """
    projects = policy.mobile.projects
    if not projects:
        if env.get(variables.MOBILE_SPOOL, "").strip():
            said = (
                f"{variables.MOBILE_SPOOL} is set, and the policy knows no app: the gateway refuses everything; add "
                "[mobile.projects.NAME] with the id and the keys of an app's DSN, and an upstream"
            )
            yield Check(_NAME, Status.WARN, said)
        return
    yield _spool(policy, env, clock())
    for name, project in projects.items():
        yield from _project(name, project, policy, env, network=network)


def _project(
    name: str, project: MobileProject, policy: Policy, env: Mapping[str, str], *, network: bool
) -> Iterator[Check]:
    if project.store and not env.get(variables.DATABASE_URL, "").strip():
        said = f"what {project.service} sends goes to the store of this machine alone; set {variables.DATABASE_URL}"
        yield Check(f"{_NAME}:{name}:store", Status.WARN, said)
    if not project.upstream:
        return
    check, setting = f"{_NAME}:{name}", f"mobile.projects.{name}.upstream"
    if not network:
        yield Check(check, Status.PASS, f"{setting} was not asked")
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
    """Look whether what apps send can be kept until it is sent on, and how much waits."""
    check, folder = f"{_NAME}:spool", spool_folder(policy.mobile.spool, env).absolute()
    fault = unusable(folder)
    if fault:
        said = (
            f"{fault}: what apps send is refused; make room there, or set {variables.MOBILE_SPOOL} to a folder on a "
            "local disk that the gateway may write to"
        )
        return Check(check, Status.FAIL, said)
    parts = list(on_disk(folder))
    waiting, size = sum(one.parcels for one in parts), sum(one.bytes for one in parts)
    oldest_s = max((now_s - one.oldest_s for one in parts), default=0.0)
    left = megabytes_left(folder)
    observed = {
        "waiting": waiting,
        "waiting_bytes": size,
        "oldest_seconds": round(oldest_s),
        "megabytes_left": round(left),
    }
    full = max((policy.mobile.spool.share_taken(one.parcels, one.bytes) for one in parts), default=0.0)
    if full > policy.health.queue_share:
        said = (
            f"{full:.0%} of the room in {folder} is taken ({waiting} envelopes, {size / 1e6:.0f} MB), beyond it what matters "
            "least is given up; see below why they do not go on, or raise mobile.spool.max_megabytes and max_records"
        )
        return Check(check, Status.FAIL if full >= 1 else Status.WARN, said, observed)
    if said := lacks_room(folder, left, policy.doctor.min_free_megabytes, refused="apps"):
        return Check(check, Status.WARN, said, observed)
    if oldest_s > policy.doctor.max_waiting_s:
        said = (
            f"{waiting} envelopes wait in {folder}, the oldest for {oldest_s / 60:.0f} minutes; does the gateway run "
            "(mita-otel mobile serve), and does its upstream take them?"
        )
        return Check(check, Status.WARN, said, observed)
    return Check(check, Status.PASS, f"{waiting} envelopes wait in {folder}", observed)
