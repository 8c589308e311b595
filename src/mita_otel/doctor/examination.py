"""The whole examination: every check, whatever the others come to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mita_otel.canary import check_canaries
from mita_otel.composition import switched_off
from mita_otel.configuration import configure
from mita_otel.doctor.libraries import library_checks
from mita_otel.doctor.places import channel_checks, spool_check, store_check
from mita_otel.doctor.reach import sentry_checks
from mita_otel.doctor.settings import (
    distro_checks,
    exporter_checks,
    policy_check,
    sampler_check,
    switch_check,
)
from mita_otel.errors import ConfigurationError
from mita_otel.health.check import Check, Status
from mita_otel.policy import Policy, environment_name, salvage_policy
from mita_otel.self_tests.quiet import quiet


def examine(
    policy: Path | None = None, environment: str | None = None, *, network: bool = True
) -> Iterator[Check]:
    """Look at everything, and yield what was found.

    Args:
        policy: Of this file. None: the one that is found.
        environment: Of this environment. None: the one that this is.
        network: Whether Sentry's host is asked.
    """
    env = os.environ
    try:
        loaded = salvage_policy(policy, environment=environment_name(environment))
    except ConfigurationError as error:
        yield Check("policy", Status.FAIL, str(error))
        return
    yield policy_check(loaded, tuple(str(one) for one in loaded.problems))
    effective = loaded.policy
    yield from _guarded("switch", lambda: [switch_check(env)])
    yield from _guarded("distro", lambda: distro_checks(env))
    yield from _guarded("exporters", lambda: exporter_checks(effective, env))
    yield from _guarded("sampling", lambda: [sampler_check(env)])
    yield from _guarded("libraries", library_checks)
    yield from _guarded("store", lambda: [store_check(effective, env)])
    yield from _guarded("audit", lambda: [spool_check(effective, env)])
    yield from _guarded("alerts", lambda: channel_checks(effective, env))
    if network:
        yield from _guarded("sentry", lambda: sentry_checks(env))
    if not switched_off(env):
        yield from _guarded("redaction", lambda: _canaries(effective, environment))


def _canaries(policy: Policy, environment: str | None) -> Iterator[Check]:
    telemetry = configure(policy=quiet(policy), environment=environment, exporters=["memory"], strict=True)
    try:
        report = check_canaries(telemetry)
    finally:
        telemetry.shutdown(0)
    for line in report.lines():
        yield Check("redaction", Status.PASS if report.ok else Status.FAIL, line)


def _guarded(name: str, look: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """Yield what a check finds. One that fails itself says so, and the others go on."""
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - a broken environment may break anything
        yield Check(name, Status.FAIL, f"could not be looked at ({type(error).__name__}: {error})")
