"""Libraries that only telemetry needs are not reported; libraries of the service are."""

from __future__ import annotations

from pathlib import Path

import pytest

from doctor.kit import write_package
from mita_otel.sdk.health import libraries
from mita_otel.sdk.health.libraries import there_for_telemetry


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all installed packages."""
    monkeypatch.setattr(libraries, "distributions", lambda: _distributions(tmp_path))
    write_package(tmp_path, "mita-otel", "0.1.0", requires=("urllib3<3,>=2", "httpx; extra == 'alerts'"))
    write_package(tmp_path, "sentry_sdk", "2.75.0", requires=("urllib3>=1.26",), requested=True)
    write_package(tmp_path, "opentelemetry-exporter-otlp-proto-http", "1.45.1", requires=("requests ~=2.7",))
    write_package(tmp_path, "urllib3", "2.8.0")
    write_package(tmp_path, "requests", "2.33.0", requires=("urllib3<3,>=1.26", "PySocks; extra == 'socks'"))
    write_package(tmp_path, "httpx", "0.28.1")
    return tmp_path


def _distributions(folder: Path) -> object:
    from importlib.metadata import distributions

    return distributions(path=[str(folder)])


NAMES = ("urllib3", "requests", "httpx")


def test_libraries_that_only_telemetry_needs_are_recognised(packages: Path) -> None:
    assert there_for_telemetry(NAMES) == set(NAMES)


def test_a_library_requested_by_name_is_the_services(packages: Path) -> None:
    write_package(packages, "fastapi", "0.165.0", requested=True)
    (packages / "httpx-0.28.1.dist-info" / "REQUESTED").touch()
    assert there_for_telemetry(NAMES) == {"urllib3", "requests"}


def test_markers_of_an_installer_that_marks_every_package_are_ignored(packages: Path) -> None:
    for folder in packages.glob("*.dist-info"):
        (folder / "INSTALLER").write_text("uv\n")
        (folder / "REQUESTED").touch()
    assert there_for_telemetry(NAMES) == set(NAMES)
    write_package(packages, "redis", "5.0.0", requested=True)
    write_package(packages, "bank", "1.0", requires=("httpx",))
    assert there_for_telemetry((*NAMES, "redis")) == {"urllib3", "requests"}


def test_markers_of_one_installer_count_beside_such_an_installer(packages: Path) -> None:
    for name in ("urllib3-2.8.0", "requests-2.33.0"):
        (packages / f"{name}.dist-info" / "INSTALLER").write_text("uv\n")
        (packages / f"{name}.dist-info" / "REQUESTED").touch()
    (packages / "httpx-0.28.1.dist-info" / "REQUESTED").touch()
    assert there_for_telemetry(NAMES) == {"urllib3", "requests"}


def test_a_library_required_by_a_package_of_the_service_is_the_services(packages: Path) -> None:
    write_package(packages, "Stripe_Client", "1.0", requires=("Requests>=2",), requested=True)
    assert there_for_telemetry(NAMES) == {"httpx"}


def test_a_package_that_no_other_requires_is_the_services(packages: Path) -> None:
    write_package(packages, "bank", "1.0", requires=("httpx",))
    assert there_for_telemetry(NAMES) == {"urllib3", "requests"}


def test_a_requirement_of_an_unrequested_extra_does_not_count(packages: Path) -> None:
    write_package(packages, "bank", "1.0", requires=("httpx; extra == 'async'",), requested=True)
    assert there_for_telemetry(NAMES) == set(NAMES)


def test_packages_that_require_each_other_are_handled(packages: Path) -> None:
    write_package(packages, "a", "1", requires=("b", "httpx"))
    write_package(packages, "b", "1", requires=("a",))
    assert there_for_telemetry(["httpx"]) == {"httpx"}  # no package outside telemetry is known to need them
    (packages / "b-1.dist-info" / "REQUESTED").touch()
    assert there_for_telemetry(["httpx"]) == frozenset()
