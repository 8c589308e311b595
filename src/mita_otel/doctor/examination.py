"""The whole examination: every check, whatever the others come to, and to an end whatever does not answer."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mita_otel.doctor.canary import check_canaries
from mita_otel.doctor.channels import channel_checks
from mita_otel.doctor.discretion import Discretion
from mita_otel.doctor.gateway import gateway_checks
from mita_otel.doctor.instrumentations import instrumentation_checks
from mita_otel.doctor.libraries import library_checks
from mita_otel.doctor.otlp import otlp_checks
from mita_otel.doctor.places import spool_check, store_check
from mita_otel.doctor.reach import sentry_checks
from mita_otel.doctor.self_test.quiet import configure_quietly
from mita_otel.doctor.settings import (
    config_file_check,
    distro_checks,
    exporter_checks,
    policy_check,
    sampler_check,
    service_check,
    switch_check,
    wanted_exporters,
)
from mita_otel.errors import ConfigurationError
from mita_otel.instrumentation.patches import Patches
from mita_otel.policy import Policy, environment_name, salvage_policy
from mita_otel.sdk.composition import switched_off
from mita_otel.sdk.env_check import without_unusable
from mita_otel.sdk.health.check import Check, Status

Look = Callable[[], Iterable[Check]]


def examine(
    policy: Path | None = None, environment: str | None = None, *, network: bool = True
) -> Iterator[Check]:
    """Look at everything, and yield what was found: no message holds a secret.

    Args:
        policy: Of this file. None: the one that is found.
        environment: Of this environment. None: the one that this is.
        network: Whether other machines are asked: Sentry's, OTLP's, the mobile apps' upstreams. The store is looked at
            anyhow.
    """
    with without_unusable(os.environ, Patches()) as unusable:
        yield from _examined(policy, environment, unusable, network=network)


def _examined(
    policy: Path | None, environment: str | None, unusable: list[str], *, network: bool
) -> Iterator[Check]:
    try:
        loaded = salvage_policy(policy, environment=environment_name(environment))
    except ConfigurationError as error:
        yield Check("policy", Status.FAIL, str(error))
        return
    discretion = Discretion(loaded.policy, os.environ)
    yield discretion.check(policy_check(loaded, tuple(str(one) for one in loaded.problems), os.environ))
    if unusable:
        yield discretion.check(
            Check("variables", Status.FAIL, f"{'; '.join(unusable)}; correct or unset them")
        )
    for name, look in _looks(loaded.policy, loaded.environment, network=network):
        for check in _bounded(name, look, 2 * loaded.policy.doctor.timeout_s):
            yield discretion.check(check)
    if not switched_off(os.environ):
        for check in _guarded("redaction", lambda: _canaries(loaded.policy, environment)):
            yield discretion.check(check)


def _looks(policy: Policy, environment: str, *, network: bool) -> Iterator[tuple[str, Look]]:
    env = os.environ
    yield "switch", lambda: [switch_check(env)]
    yield "service", lambda: [service_check(environment, env)]
    yield "distro", lambda: distro_checks(env)
    yield "config-file", lambda: config_file_check(env)
    yield "exporters", lambda: exporter_checks(policy, env)
    yield "sampling", lambda: [sampler_check(env)]
    yield "versions", library_checks
    yield "libraries", lambda: instrumentation_checks(policy, env)
    yield "store", lambda: [store_check(policy, env)]
    yield "audit", lambda: [spool_check(policy, env)]
    yield "alerts", lambda: channel_checks(policy, env)
    yield "mobile", lambda: gateway_checks(policy, env, network=network)
    if "otlp" in wanted_exporters(policy, env):
        yield "exporter:otlp", lambda: otlp_checks(policy.doctor, env, network=network)
    yield "sentry", lambda: sentry_checks(policy, env, network=network)


def _canaries(policy: Policy, environment: str | None) -> Iterator[Check]:
    telemetry = configure_quietly(policy, environment, "memory")
    try:
        report = check_canaries(telemetry)
    finally:
        telemetry.shutdown(0)
    for line in report.lines():
        said = line.removeprefix("redaction: ")
        mend = "" if report.ok else "; see the rules in section redaction: mita-otel policy show redaction"
        yield Check("redaction", Status.PASS if report.ok else Status.FAIL, f"{said}{mend}")


def _bounded(name: str, look: Look, timeout_s: float) -> Iterator[Check]:
    """Yield what a look finds within some seconds. A name server or a disk may never answer."""
    found: list[Check] = []

    thread = threading.Thread(
        target=lambda: found.extend(_guarded(name, look)), name=f"mita-otel-doctor-{name}", daemon=True
    )
    thread.start()
    thread.join(timeout_s)
    late = thread.is_alive()
    yield from list(found)
    if late:
        said = f"no end within {timeout_s:.0f} seconds, it was given up; does a firewall, a name server or a disk not answer?"
        yield Check(name, Status.FAIL, said)


def _guarded(name: str, look: Look) -> Iterator[Check]:
    """Yield what a look finds. One that fails itself says so, and the others go on."""
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - a broken environment may break anything
        yield Check(
            name, Status.FAIL, f"could not be looked at ({type(error).__name__}: {error}); please report it"
        )
