"""The installed package: entry points, and the wheel from the repository and the source distribution."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
from email import message_from_bytes
from importlib.metadata import EntryPoint, distribution, packages_distributions
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]  # its module is untyped
from opentelemetry.sdk.trace.export import SpanExporter
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from e2e.script import run_script

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


# --- entry points ------------------------------------------------------------------------------------
def installed() -> dict[tuple[str, str], EntryPoint]:
    return {(point.group, point.name): point for point in distribution("mita-otel").entry_points}


def test_the_installed_entry_points_are_those_of_the_project() -> None:
    groups = {**PROJECT["entry-points"], "console_scripts": PROJECT["scripts"]}
    written = {(group, name): value for group, points in groups.items() for name, value in points.items()}
    found = {key: point.value for key, point in installed().items()}
    assert found == written, "the installation is older than pyproject.toml: run `make .venv/.installed`"


@pytest.mark.parametrize("key", installed(), ids=" ".join)
def test_every_entry_point_can_be_loaded(key: tuple[str, str]) -> None:
    assert installed()[key].load() is not None


def test_each_entry_point_has_the_type_of_its_group() -> None:
    def of(group: str, name: str = "mita_otel") -> Any:
        return installed()[group, name].load()

    assert issubclass(of("opentelemetry_distro"), BaseDistro)
    assert callable(of("opentelemetry_configurator")().configure)
    assert callable(of("opentelemetry_post_instrument"))
    assert callable(of("console_scripts", "mita-otel"))
    for group, name in installed():
        if group == "opentelemetry_traces_exporter":
            assert issubclass(of(group, name), SpanExporter)


def test_mita_otel_variables_do_not_become_launcher_arguments() -> None:
    """The launcher adds an argument for each name that starts with OTEL_; the SDK declares those already."""
    module = installed()["opentelemetry_environment_variables", "mita_otel"].load()
    assert [name for name in dir(module) if name.startswith("OTEL_")] == []


# --- the wheel ---------------------------------------------------------------------------------------
def build(target: str, source: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    [built] = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source distribution, as pip does it."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [source] = folder.iterdir()
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_contains_only_the_package(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "src/mita_otel"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    names = [name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert all(name.startswith("mita_otel/") for name in names)
    assert {"mita_otel/py.typed", "mita_otel/policy/defaults.toml", "mita_otel/policy/defaults.json"} <= set(
        names
    )
    assert not [name for name in names if "/test_" in name or name.endswith((".pyc", ".db", ".jsonl"))]
    if tracked.returncode == 0:  # a source distribution has no repository
        files = {line.removeprefix("src/") for line in tracked.stdout.splitlines()}
        assert files <= set(names), "the source distribution leaves files out"


def test_the_wheels_from_repository_and_source_distribution_are_equal(wheel: Path, tmp_path: Path) -> None:
    direct = build("wheel", ROOT, tmp_path)
    assert sorted(ZipFile(direct).namelist()) == sorted(ZipFile(wheel).namelist())


def test_the_metadata_of_the_wheel_equal_those_of_the_project(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = message_from_bytes(archive.read(name))
        [name] = [name for name in archive.namelist() if name.endswith("/licenses/LICENSE")]
        assert b"Apache License" in archive.read(name)
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert str(metadata.get_payload()).startswith("# mita-otel\n")


def test_the_core_requires_no_framework_and_no_database(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = message_from_bytes(archive.read(name))
    needed = [one for one in metadata.get_all("Requires-Dist", []) if "extra ==" not in one]
    assert needed
    for word in ("sqlalchemy", "psycopg", "jinja", "alembic", "grpc", "uvicorn"):
        assert not [one for one in needed if one.lower().startswith(word)]
    assert not [one for one in needed if one.lower().startswith("fastapi")]


@pytest.mark.e2e
def test_the_pip_bundled_with_python_resolves_all_extras(wheel: Path, tmp_path: Path) -> None:
    """pip before 24 gives up on requirements that newer ones resolve."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path)], check=True)
    everything = f"{wheel}[{','.join(PROJECT['optional-dependencies'])}]"
    done = subprocess.run(
        [str(tmp_path / "bin" / "python"), "-m", "pip", "install", "-q", "--dry-run", everything],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_source_distribution_contains_the_development_files(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in (
        "pyproject.toml",
        "Makefile",
        "constraints.txt",
        "README.md",
        "LICENSE",
        "tests/conftest.py",
    ):
        assert needed in names
    assert {"examples/payments/demo.py", "docs/tutorial.md", "benchmarks/bench_redaction.py"} <= names
    assert not [
        name for name in names if name.startswith((".venv", "dist", ".git/")) or name.endswith(".pyc")
    ]


def test_the_package_works_when_installed_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")  # noqa: S202 - we have just built it
    code = """
        import mita_otel
        answer([mita_otel.__file__, mita_otel.load_policy().thresholds.api.methods["GET"]])
    """
    file, limit = run_script(code, tmp_path, {"PYTHONPATH": str(tmp_path / "site")}).answer
    assert Path(file).is_relative_to(tmp_path)
    assert limit == 500


# --- the core without extras --------------------------------------------------------------------------
def core_distributions() -> set[str]:
    """Return the distributions that mita-otel without extras installs."""
    found: set[str] = set()
    waiting = [Requirement(one) for one in PROJECT["dependencies"]]
    while waiting:
        name = canonicalize_name(waiting.pop().name)
        if name not in found:
            found.add(name)
            waiting += [
                one
                for one in map(Requirement, distribution(name).requires or [])
                if one.marker is None or one.marker.evaluate({"extra": ""})
            ]
    return found


def test_the_core_starts_exports_and_ends_without_extras(tmp_path: Path) -> None:
    core = core_distributions() | {"mita-otel"}
    extra = [
        module
        for module, names in packages_distributions().items()
        if not core & {canonicalize_name(name) for name in names}
    ]
    assert {"httpx", "sqlalchemy", "fastapi", "rich"} <= set(extra)
    env = {
        "SENTRY_DSN": "http://key@127.0.0.1:9/1",
        "OTEL_METRICS_EXPORTER": "none",
    }
    code = f"""
        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {set(extra)!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Absent())
        from opentelemetry import trace
        import mita_otel
        for name in mita_otel.__all__:
            getattr(mita_otel, name)
        telemetry = mita_otel.configure(exporters=["memory", "console", "sentry"])
        trace.get_tracer("t").start_span("work").end()
        telemetry.flush(20)
        answer([telemetry.enabled, len(telemetry.exporters["memory"].spans)])
        telemetry.shutdown(1)
    """
    ran = run_script(code, tmp_path, env)
    assert ran.answer == [True, 1]
    assert "Traceback" not in ran.stderr
    assert "No module named" not in ran.stderr
