"""The checks of the mobile gateway, from the latest values that its engine reported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mita_otel.policy.health import HealthPolicy
from mita_otel.policy.mobile import MobileSpoolPolicy
from mita_otel.sdk.health.check import Check, Status

if TYPE_CHECKING:
    from mita_otel.mobile.telling import Telling


def mobile_checks(telling: Telling, spool: MobileSpoolPolicy, policy: HealthPolicy) -> Iterator[Check]:
    """Check that the gateway accepts what apps send, delivers it, and drops nothing."""
    yield _engine(telling, policy)
    yield _spool(telling, spool, policy)
    yield _destinations(telling, policy)
    yield _losses(telling, policy)


def _engine(telling: Telling, policy: HealthPolicy) -> Check:
    silent_s = telling.standing.silent_s()
    if silent_s is None:
        return Check("mobile:engine", Status.PASS)
    said = (
        f"the gateway's engine has not answered for {silent_s:.0f} seconds: see mita_otel.mobile in the log"
    )
    return Check("mobile:engine", _by_length(silent_s, policy), said)


def _spool(telling: Telling, spool: MobileSpoolPolicy, policy: HealthPolicy) -> Check:
    news = telling.news
    observed = {
        "parcels": news.parcels,
        "bytes": news.bytes,
        "waiting": dict(news.waiting),
        "capacity_parcels": spool.max_records,
        "capacity_bytes": spool.max_bytes,
    }
    full = spool.share_taken(news.parcels, news.bytes)
    if full <= policy.queue_share:
        return Check("mobile:spool", Status.PASS, observed=observed)
    said = f"{full:.0%} of mobile.spool is used: when it is full, the least important records are dropped"
    return Check("mobile:spool", Status.WARN, said, observed)


def _destinations(telling: Telling, policy: HealthPolicy) -> Check:
    failing = telling.standing.failing_s()
    observed = {
        **telling.news.destinations,
        **{name: f"failing for {s:.0f} s" for name, s in failing.items()},
    }
    if not failing:
        return Check("mobile:destinations", Status.PASS, observed=observed)
    longest_s = max(failing.values())
    said = (
        f"nothing is taken by {', '.join(failing)} for up to {longest_s:.0f} seconds; it waits in the spool"
    )
    return Check("mobile:destinations", _by_length(longest_s, policy), said, observed)


def _losses(telling: Telling, policy: HealthPolicy) -> Check:
    total = dict(sorted(telling.lost.copy().items()))
    recent = telling.standing.lost_within(policy.losses_s)
    if not recent:
        return Check("mobile:losses", Status.PASS, observed=total)
    return Check("mobile:losses", Status.WARN, f"lost recently: {', '.join(recent)}", total)


def _by_length(failing_s: float, policy: HealthPolicy) -> Status:
    return Status.FAIL if failing_s >= policy.stale_s else Status.WARN
