"""Runs all checks. A check that fails or hangs does not stop the others. Messages contain no secrets."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from mita_otel.doctor.canary import check_canaries
from mita_otel.doctor.channels import channel_checks
from mita_otel.doctor.exporter_endpoints import otlp_checks, prometheus_checks
from mita_otel.doctor.gateway import gateway_checks
from mita_otel.doctor.libraries import extras_in_use, instrumentation_checks, library_checks
from mita_otel.doctor.self_test import configure_quietly
from mita_otel.doctor.sentry import sentry_checks
from mita_otel.doctor.settings import (
    config_file_check,
    distro_checks,
    exporter_checks,
    misspelt_checks,
    policy_check,
    sampler_check,
    service_check,
    switch_check,
    unused_variables_check,
    wanted_exporters,
)
from mita_otel.doctor.storage import file_exporter_check, spool_check, store_check
from mita_otel.errors import ConfigurationError
from mita_otel.instrumentation.patches import Patches
from mita_otel.policy import Policy, environment_name, salvage_policy
from mita_otel.sdk.configuration import switched_off
from mita_otel.sdk.env_check import without_unusable
from mita_otel.sdk.health.check import Check, Status

RunCheck = Callable[[], Iterable[Check]]
_REPLACEMENT: Final = "[redacted]"
_NAMES: Final = frozenset({"KEY", "KEYS", "TOKEN", "SECRET", "PASSWORD", "WEBHOOK", "HEADERS", "CREDENTIALS"})
"""A variable is secret if its name contains one of these words."""
_SHORTEST: Final = 6
"""Minimum length of a secret, in characters. Shorter ones are ordinary words."""


def diagnose(
    policy: Path | None = None, environment: str | None = None, *, network: bool = True
) -> Iterator[Check]:
    """Run all checks and yield their results. Secrets are removed from the messages.

    Args:
        policy: Policy file (default: discovered).
        environment: Environment to use (default: the current one).
        network: Whether to contact Sentry, the OTLP endpoint and the upstreams of mobile apps. The store is always
            checked.
    """
    with without_unusable(os.environ, Patches()) as unusable:
        yield from _diagnosed(policy, environment, unusable, network=network)


def _diagnosed(
    policy: Path | None, environment: str | None, unusable: list[str], *, network: bool
) -> Iterator[Check]:
    try:
        loaded = salvage_policy(policy, environment=environment_name(environment))
    except ConfigurationError as error:
        yield Check("policy", Status.FAIL, str(error))
        return
    secrets = SecretFilter(loaded.policy, os.environ)
    yield secrets.check(policy_check(loaded, tuple(str(one) for one in loaded.problems), os.environ))
    if unusable:
        yield secrets.check(Check("variables", Status.FAIL, f"{'; '.join(unusable)}; correct or unset them"))
    for name, run in _checks(loaded.policy, loaded.environment, network=network):
        for check in _bounded(name, run, 2 * loaded.policy.doctor.timeout_s):
            yield secrets.check(check)
    if not switched_off(os.environ):
        for check in _guarded("redaction", lambda: _canaries(loaded.policy, environment)):
            yield secrets.check(check)


def _checks(policy: Policy, environment: str, *, network: bool) -> Iterator[tuple[str, RunCheck]]:
    env = os.environ
    yield "switch", lambda: [switch_check(env)]
    yield "service", lambda: [service_check(environment, env)]
    yield "distro", lambda: distro_checks(env)
    yield "config-file", lambda: config_file_check(env)
    yield "exporters", lambda: exporter_checks(policy, env)
    yield "unused-variables", lambda: unused_variables_check(policy, env)
    yield "sampling", lambda: [sampler_check(env)]
    yield "variables", lambda: misspelt_checks(env)
    yield "prometheus", lambda: prometheus_checks(policy.doctor, env)
    yield "versions", lambda: library_checks(extras_in_use(policy, wanted_exporters(policy, env), env))
    yield "libraries", lambda: instrumentation_checks(policy, env)
    if "file" in wanted_exporters(policy, env):
        yield "exporter:file", lambda: [file_exporter_check(policy, env)]
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
        message = line.removeprefix("redaction: ")
        fix = "" if report.ok else "; check the redaction rules: mita-otel policy show redaction"
        yield Check("redaction", Status.PASS if report.ok else Status.FAIL, f"{message}{fix}")


def _bounded(name: str, run: RunCheck, timeout_s: float) -> Iterator[Check]:
    """Yield the results that a check has within the timeout. A name server or a disk may never answer."""
    found: list[Check] = []

    thread = threading.Thread(
        target=lambda: found.extend(_guarded(name, run)), name=f"mita-otel-doctor-{name}", daemon=True
    )
    thread.start()
    thread.join(timeout_s)
    late = thread.is_alive()
    yield from list(found)
    if late:
        message = f"no result within {timeout_s:.0f} seconds; check for a firewall, a name server or a disk that does not answer"
        yield Check(name, Status.FAIL, message)


def _guarded(name: str, run: RunCheck) -> Iterator[Check]:
    """Yield the results of a check. An exception becomes a failed result."""
    try:
        yield from run()
    except Exception as error:  # noqa: BLE001 - a broken environment may break anything
        yield Check(
            name, Status.FAIL, f"the check itself failed ({type(error).__name__}: {error}); please report it"
        )


class SecretFilter:
    """Removes secrets from messages. Our own messages contain none, but those of libraries may.

    Args:
        policy: Names secret variables, and contains DSNs.
        env: The environment variables.
    """

    def __init__(self, policy: Policy, env: Mapping[str, str]) -> None:
        found = {one.strip() for one in _secrets(policy, env)}
        self._secrets = sorted((one for one in found if len(one) >= _SHORTEST), key=len, reverse=True)

    def check(self, check: Check) -> Check:
        """Return the check without secrets."""
        return replace(check, name=self.text(check.name), said=self.text(check.said))

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, _REPLACEMENT)
        return text


def _secrets(policy: Policy, env: Mapping[str, str]) -> Iterator[str]:
    channels = policy.alerts.channels.values()
    named = {name for one in channels for name in (one.variable, one.signing_variable) if name}
    for name, value in env.items():
        if name in named or _NAMES & set(name.upper().split("_")):
            yield from (value, *value.split(","), *_after(value, "="), *_path(value))
        yield from _of_url(value)
    yield from _of_urls(project.upstream for project in policy.mobile.projects.values())
    yield from _of_urls([policy.store.url, policy.audit.anchors.url])


def _of_urls(urls: Iterable[str]) -> Iterator[str]:
    for url in urls:
        yield from _of_url(url)


def _of_url(url: str) -> Iterator[str]:
    """Yield the password of a URL, or the user if there is no password, as in a DSN."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    secret = parts.password or parts.username
    if secret and parts.netloc:
        yield from (secret, unquote(secret))


def _path(url: str) -> Iterator[str]:
    """Yield the path of a secret URL. A library may name it without the host."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return
    if "://" in url:
        yield from (path, path.rpartition("/")[2])


def _after(value: str, sign: str) -> Iterator[str]:
    """Yield each value, as in `authorization=Bearer …,x-tenant=…`."""
    yield from (one.partition(sign)[2] for one in value.split(","))
