"""Canaries are silent if redaction is complete, and are reported if any part of it is missing."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import propagate
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mita_otel import configure
from mita_otel.doctor.canary import SECRETS, CanaryReport, Leak, check_canaries
from mita_otel.policy import default_policy
from mita_otel.processors.log_redaction import LogRedactionProcessor
from mita_otel.processors.metric_redaction import MetricRedaction
from mita_otel.processors.redaction import RedactionProcessor
from mita_otel.redaction import BeforeSend, Redactor

pytestmark = pytest.mark.usefixtures("isolated_telemetry")


def test_no_canary_leaves_the_live_pipeline() -> None:
    report = check_canaries(configure(exporters=["memory"]))
    assert report == CanaryReport(len(SECRETS) * 5, (), ())
    assert report.ok
    assert report.lines() == ["redaction: 40 canaries sent, all redacted"]


def test_every_canary_is_reported_if_redaction_is_disabled() -> None:
    policy = default_policy()
    policy = policy.replace(redaction=policy.redaction.replace(enabled=False))
    report = check_canaries(configure(policy=policy, exporters=["memory"]))
    assert len(report.leaks) == report.sent
    assert not report.ok
    assert (
        "span: canaries were not redacted by the rules pan, iban, ssn, cvv, jwt, key, password, url"
        in report.lines()
    )


@pytest.mark.parametrize(
    ("part", "name", "place"),
    [
        (RedactionProcessor, "process", "span"),
        (MetricRedaction, "__call__", "metric"),
        (BeforeSend, "__call__", "Sentry event"),
    ],
)
def test_a_processor_that_redacts_nothing_is_reported_by_its_place(
    monkeypatch: pytest.MonkeyPatch, part: Any, name: str, place: str
) -> None:
    monkeypatch.setattr(part, name, lambda self, value, *rest: value)
    report = check_canaries(configure(exporters=["memory"]))
    assert {leak.place for leak in report.leaks} == {place}


def test_unredacted_log_records_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        LogRedactionProcessor, "on_emit", lambda self, record: self.next_processor.on_emit(record)
    )
    assert {leak.place for leak in check_canaries(configure(exporters=["memory"])).leaks} == {"log record"}


def test_unredacted_baggage_is_reported() -> None:
    telemetry = configure(exporters=["memory"])
    propagate.set_global_textmap(propagate.get_global_textmap().propagator)  # type: ignore[attr-defined]
    assert {leak.place for leak in check_canaries(telemetry).leaks} == {"baggage"}


def test_baggage_is_not_checked_without_a_baggage_propagator(monkeypatch: pytest.MonkeyPatch) -> None:
    propagate.set_global_textmap(TraceContextTextMapPropagator())
    report = check_canaries(configure(exporters=["memory"]))
    assert report == CanaryReport(len(SECRETS) * 4, (), ())


def test_a_rule_disabled_in_the_policy_is_named() -> None:
    policy = default_policy()
    modes = {**policy.redaction.modes, "iban": "off"}
    policy = policy.replace(redaction=policy.redaction.replace(modes=modes))
    report = check_canaries(configure(policy=policy, exporters=["memory"]))
    assert Leak("span", "iban") in report.leaks
    assert {leak.rule for leak in report.leaks} == {"iban"}


def test_a_place_without_output_is_not_reported_as_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    report = check_canaries(configure(exporters=["memory"]))
    assert report.silent == ("span",)
    assert not report.ok
    assert "sampling" in report.lines()[0]


def test_a_ratio_sampler_keeps_the_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.001")
    assert check_canaries(configure(exporters=["memory"])).ok


def test_a_check_without_the_memory_exporter_is_an_error() -> None:
    with pytest.raises(ValueError, match="memory"):
        check_canaries(configure(exporters=["none"]))


def test_the_redactor_finds_every_canary() -> None:
    for rule, text in SECRETS.items():
        assert Redactor().text(text) != text, rule
