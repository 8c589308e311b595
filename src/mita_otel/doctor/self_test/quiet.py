"""Telemetry for self-tests: without alerts, audit trail and retention."""

from __future__ import annotations

import logging
import os

from mita_otel import environment_variables as variables
from mita_otel.instrumentation.patches import Patches
from mita_otel.policy import Policy
from mita_otel.sdk.configuration import configure
from mita_otel.sdk.env_check import changed, without_unusable
from mita_otel.sdk.telemetry import Telemetry
from mita_otel.sdk.unused_variables import Setup, without_effect

_logger = logging.getLogger("mita_otel")


def configure_quietly(policy: Policy, environment: str | None, exporter: str) -> Telemetry:
    """Start telemetry with one exporter, and without alerts, audit trail and retention.

    Metrics and logs have no exporter: the running service uses the Prometheus port, and other exporters would send.

    Args:
        policy: The policy.
        environment: Environment to use (default: the current one).
        exporter: Name of the exporter of traces.

    Raises:
        ConfigurationError: The exporter is not available.
    """
    off = dict.fromkeys((variables.METRICS_EXPORTER, variables.LOGS_EXPORTER), "none")
    with without_unusable(os.environ, Patches()) as problems, changed(os.environ, off):
        for problem in problems:
            _logger.warning(problem)
        # The service may use them with its own exporters; the start would log that this one does not.
        unused = without_effect(Setup.of(policy, [exporter], os.environ), os.environ)
        with changed(os.environ, dict.fromkeys(unused)):
            return configure(
                policy=_quiet(policy), environment=environment, exporters=[exporter], strict=True
            )


def _quiet(policy: Policy) -> Policy:
    return policy.replace(
        alerts=policy.alerts.replace(start="off"),
        audit=policy.audit.replace(start="off"),
        retention=policy.retention.replace(schedule="off"),
    )
