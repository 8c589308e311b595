"""The checks of telemetry's health. Each reads values that are known already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from mita_otel import environment_variables as variables
from mita_otel.policy.mobile import MobileSpoolPolicy
from mita_otel.policy.runtime import HealthPolicy, QueuePolicy
from mita_otel.processors.pipeline import Pipeline
from mita_otel.processors.queues.losses import Losses
from mita_otel.redaction import Redactor
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sdk.health.libraries import libraries

if TYPE_CHECKING:
    from mita_otel.alerts.engine import AlertEngine
    from mita_otel.audit.trail import AuditTrail

if TYPE_CHECKING:
    from mita_otel.mobile.gateway_metrics import GatewayMetrics


def sentry_check(names: Iterable[str]) -> Check:
    """Check that spans go to Sentry."""
    if "sentry" in names:
        return Check("sentry:configured", Status.PASS)
    instead = ", ".join(names) or "nowhere"
    return Check(
        "sentry:configured",
        Status.WARN,
        f"nothing goes to Sentry, traces go to {instead}: set {variables.SENTRY_DSN}",
    )


def export_checks(pipeline: Pipeline, policy: HealthPolicy, now_s: float) -> Iterator[Check]:
    """Check the latest exports of each exporter."""
    for queue in pipeline.queues:
        state = queue.deliveries.state
        observed = {
            "last_success": None if state.last_success_s is None else round(state.last_success_s, 3),
            "waiting": queue.waiting,
        }
        name = f"export:{queue.name}"
        if state.failing_since_s is None:
            said = "" if state.last_success_s is not None else "nothing has been exported yet"
            yield Check(name, Status.PASS, said, observed)
            continue
        failing_s = max(0.0, now_s - state.failing_since_s)
        status = Status.FAIL if failing_s >= policy.stale_s else Status.WARN
        yield Check(
            name,
            status,
            f"no export has worked for {failing_s:.0f} seconds: {state.why}",
            {**observed, "failing_seconds": round(failing_s, 1)},
        )


def queue_checks(pipeline: Pipeline, queue_policy: QueuePolicy, policy: HealthPolicy) -> Iterator[Check]:
    """Check how full the queues are."""
    waiting = [("pipeline", pipeline.first.waiting, queue_policy.max_spans)]
    waiting += [(queue.name, queue.waiting, queue_policy.exporter_max_spans) for queue in pipeline.queues]
    for name, count, capacity in waiting:
        full = count / capacity
        status = Status.WARN if full > policy.queue_share else Status.PASS
        said = f"{count} of {capacity} places are taken" if status is Status.WARN else ""
        yield Check(f"queue:{name}", status, said, {"waiting": count, "capacity": capacity})


def loss_check(losses: Losses, policy: HealthPolicy) -> Check:
    """Check for recent losses."""
    total = {f"{stage}: {reason}": count for (stage, reason), count in sorted(losses.counts().items())}
    recent = sorted(f"{stage}: {reason}" for stage, reason in losses.recent(policy.losses_s))
    if not recent:
        return Check("telemetry:losses", Status.PASS, observed=total)
    return Check("telemetry:losses", Status.WARN, f"lost recently: {', '.join(recent)}", total)


def redaction_check(redactor: Redactor) -> Check:
    """Check that the redactor finds canaries."""
    from mita_otel.redaction.canaries import leaking

    leaks = leaking(redactor)
    if not leaks:
        return Check("redaction:canary", Status.PASS)
    return Check(
        "redaction:canary",
        Status.FAIL,
        f"canaries come out, of the rules {', '.join(leaks)}: run mita-otel doctor",
        {"leaking": leaks},
    )


def audit_checks(trail: AuditTrail | None) -> Iterator[Check]:
    """Check that audit entries are durable and reach the database."""
    if trail is None:
        yield Check("audit:spool", Status.PASS, "the audit trail is off (audit.start)")
        return
    health = trail.health()
    if not trail.started and health.ok:
        yield Check("audit:spool", Status.PASS, "nothing has been recorded yet")
        return
    observed = {
        "waiting_bytes": health.waiting_bytes,
        "refused": health.refused,
        "seconds_failing": round(health.seconds_failing, 1),
    }
    if not health.ok:
        yield Check("audit:spool", Status.FAIL, f"entries cannot be recorded: {health.error}", observed)
    elif health.seconds_failing:
        said = f"entries wait in the spool, the database has not taken any for {health.seconds_failing:.0f} seconds"
        yield Check("audit:spool", Status.WARN, f"{said}: {health.error}", observed)
    elif health.waiting_too_much:
        yield Check(
            "audit:spool", Status.WARN, "more waits in the spool than audit.spool.warn_megabytes", observed
        )
    else:
        yield Check("audit:spool", Status.PASS, observed=observed)
    unsigned = f"the audit chain is unsigned: set {variables.AUDIT_KEY}"
    yield Check(
        "audit:chain",
        Status.PASS if health.keyed else Status.WARN,
        "" if health.keyed else unsigned,
        {"chain": health.chain},
    )


def alert_check(engine: AlertEngine | None) -> Check:
    """Check that alert rules are active and messages arrive."""
    if engine is None:
        return Check("alerts:delivery", Status.PASS, "no alert channel is configured")
    failing = engine.failing
    if engine.unavailable:
        return Check("alerts:delivery", Status.WARN, engine.unavailable)
    if failing:
        said = "; ".join(f"{channel}: {why}" for channel, why in sorted(failing.items()))
        return Check("alerts:delivery", Status.WARN, f"messages do not arrive: {said}")
    return Check("alerts:delivery", Status.PASS)


def instrumentation_check(not_missed: Callable[[tuple[str, ...]], frozenset[str]]) -> Check:
    """Look which libraries are measured, and which could be.

    Args:
        not_missed: Returns which of those that nothing measures telemetry alone needs.
    """
    found = libraries(not_missed=not_missed)
    observed = {one.name: f"{one.version} {one.state}" for one in found}
    missing = [one for one in found if one.state == "missing"]
    said = "; ".join(f"{one.name} is not measured: {one.fix}" for one in missing)
    return Check("instrumentation:libraries", Status.PASS, said, observed)


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
