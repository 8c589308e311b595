"""Doctor comes to an end, whatever does not answer."""

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
def test_a_host_that_swallows_or_drips_is_given_up(
    isolated_telemetry: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    wire: StartWire,
    behaviour: Callable[..., None],
) -> None:
    """One that drips answers every single wait in time: only a bound of the whole ends it."""
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


def test_what_was_found_before_something_hung_is_told() -> None:
    never = threading.Event()

    def look() -> Iterator[Check]:
        yield Check("first", Status.PASS)
        never.wait(30)

    try:
        found = list(diagnosis._bounded("thing", look, 3))
    finally:
        never.set()
    assert [(one.name, one.status) for one in found] == [("first", Status.PASS), ("thing", Status.FAIL)]


def test_an_examination_goes_on_where_a_check_fails_itself(
    isolated_telemetry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object) -> Check:
        raise RuntimeError("of the test")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(diagnosis, "store_check", broken)
    found = by_name(diagnose())
    assert found["store"].said == "the check itself failed (RuntimeError: of the test); please report it"
    assert found["redaction"].status is Status.PASS
