"""The checks of the mobile gateway, from the latest values that its engine reported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mita_otel.policy.health import HealthPolicy
from mita_otel.policy.mobile import MobileSpoolPolicy
from mita_otel.sdk.health.check import Check, Status

if TYPE_CHECKING:
    from mita_otel.mobile.gateway_metrics import GatewayMetrics


def mobile_checks(metrics: GatewayMetrics, spool: MobileSpoolPolicy, policy: HealthPolicy) -> Iterator[Check]:
    """Check that the gateway accepts what apps send, delivers it, and drops nothing."""
    yield _engine(metrics, policy)
    yield _spool(metrics, spool, policy)
    yield _destinations(metrics, policy)
    yield _losses(metrics, policy)


def _engine(metrics: GatewayMetrics, policy: HealthPolicy) -> Check:
    silent_s = metrics.status.silent_s()
    if silent_s is None:
        return Check("mobile:engine", Status.PASS)
    said = (
        f"the gateway's engine has not answered for {silent_s:.0f} seconds: see mita_otel.mobile in the log"
    )
    return Check("mobile:engine", _by_length(silent_s, policy), said)


def _spool(metrics: GatewayMetrics, spool: MobileSpoolPolicy, policy: HealthPolicy) -> Check:
    status = metrics.engine_status
    observed = {
        "records": status.records,
        "bytes": status.bytes,
        "waiting": dict(status.waiting),
        "capacity_records": spool.max_records,
        "capacity_bytes": spool.max_bytes,
    }
    full = spool.share_taken(status.records, status.bytes)
    if full <= policy.queue_share:
        return Check("mobile:spool", Status.PASS, observed=observed)
    said = f"{full:.0%} of mobile.spool is used: when it is full, the least important records are dropped"
    return Check("mobile:spool", Status.WARN, said, observed)


def _destinations(metrics: GatewayMetrics, policy: HealthPolicy) -> Check:
    failing = metrics.status.failing_s()
    observed = {
        **metrics.engine_status.destinations,
        **{name: f"failing for {s:.0f} s" for name, s in failing.items()},
    }
    if not failing:
        return Check("mobile:destinations", Status.PASS, observed=observed)
    longest_s = max(failing.values())
    said = (
        f"nothing is taken by {', '.join(failing)} for up to {longest_s:.0f} seconds; it waits in the spool"
    )
    return Check("mobile:destinations", _by_length(longest_s, policy), said, observed)


def _losses(metrics: GatewayMetrics, policy: HealthPolicy) -> Check:
    total = dict(sorted(metrics.lost.copy().items()))
    recent = metrics.status.lost_within(policy.losses_s)
    if not recent:
        return Check("mobile:losses", Status.PASS, observed=total)
    return Check("mobile:losses", Status.WARN, f"lost recently: {', '.join(recent)}", total)


def _by_length(failing_s: float, policy: HealthPolicy) -> Status:
    return Status.FAIL if failing_s >= policy.stale_s else Status.WARN
