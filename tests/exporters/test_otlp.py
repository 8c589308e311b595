"""Failures of OTLP exporters are logged once a minute and cause, and the application's own log lines all pass."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel.exporters.registry import log_failures_once
from mita_otel.instrumentation.patches import Patches

EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
RETRY = "Transient error %s encountered while exporting %s batch, retrying in %.2fs."


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_failures_that_alternate_are_logged_once_a_minute_each(
    patches: Patches, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    log_failures_once(patches, clock)
    logger = logging.getLogger(EXPORTER)
    with suppress_instrumentation():
        for second in range(120):
            clock.now_s = float(second)
            logger.warning(RETRY, "Service Unavailable", "traces", 1.5 + second)
            logger.warning(RETRY, "Bad Gateway", "traces", 0.5)
            logger.error("Failed to export %s batch code: %s, reason: %s", "traces", 400 + second, "no")
    assert sorted(str(record.args[0]) for record in caplog.records if isinstance(record.args, tuple)) == [
        *["Bad Gateway"] * 2,
        *["Service Unavailable"] * 2,
        *["traces"] * 2,
    ]


def test_very_many_failures_are_not_remembered_for_ever(
    patches: Patches, caplog: pytest.LogCaptureFixture
) -> None:
    log_failures_once(patches)
    [once] = logging.getLogger(EXPORTER).filters
    with suppress_instrumentation():
        for number in range(1000):
            logging.getLogger(EXPORTER).warning("failure %s", str(number))
    assert len(caplog.records) == 1000
    assert len(vars(once)["_passed"]) <= 64


def test_requests_of_the_application_are_logged_in_full(
    patches: Patches, caplog: pytest.LogCaptureFixture
) -> None:
    log_failures_once(patches)
    for _ in range(3):
        logging.getLogger("urllib3.connectionpool").warning("Retrying after connection broken: %s", "/rates")
    assert len(caplog.records) == 3


def test_the_filters_go_with_the_patches(patches: Patches) -> None:
    before = list(logging.getLogger(EXPORTER).filters)
    log_failures_once(patches)
    patches.revert()
    assert logging.getLogger(EXPORTER).filters == before
