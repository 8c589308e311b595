"""`doctor` ends even if a host or a check hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doctor.kit import by_name, dripping, dsn_at, silent
from mita_otel.doctor import diagnosis
from mita_otel.doctor.diagnosis import diagnose
from mita_otel.sdk.health.check import Check, Status

StartWire = Callable[..., int]


@pytest.mark.parametrize("behaviour", [silent, dripping])
def test_the_wait_for_a_silent_or_slow_host_is_bounded(
    isolated_telemetry: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    wire: StartWire,
    behaviour: Callable[..., None],
) -> None:
    """Each read from a slow host ends in time: only a limit for the whole check ends it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENTRY_DSN", dsn_at(wire(behaviour)))
    monkeypatch.setenv("MITA_OTEL_DOCTOR__TIMEOUT_S", "2")
    found = by_name(diagnose())
    assert found["sentry"].status is Status.FAIL
    if behaviour is dripping:
        said = (
            "no result within 4 seconds; check for a firewall, a name server or a disk that does not answer"
        )
        assert found["sentry"].said == said
    assert found["redaction"].status is Status.PASS


def test_results_before_a_hanging_check_are_reported() -> None:
    never = threading.Event()

    def look() -> Iterator[Check]:
        yield Check("first", Status.PASS)
        never.wait(30)

    try:
        found = list(diagnosis._bounded("thing", look, 3))
    finally:
        never.set()
    assert [(one.name, one.status) for one in found] == [("first", Status.PASS), ("thing", Status.FAIL)]


def test_the_other_checks_run_if_one_check_raises(
    isolated_telemetry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object) -> Check:
        raise RuntimeError("of the test")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(diagnosis, "store_check", broken)
    found = by_name(diagnose())
    assert found["store"].said == "the check itself failed (RuntimeError: of the test); please report it"
    assert found["redaction"].status is Status.PASS
