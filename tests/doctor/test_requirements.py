"""The fix for incompatible versions resolves all conflicts and causes no new one."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from doctor.kit import write_package
from mita_otel.doctor.requirements import cause_of, conflicts, fix, installed_packages

SDK_1_44 = ("opentelemetry-api==1.44.0", "opentelemetry-semantic-conventions==0.65b0")
HTTP_1_44 = (
    "opentelemetry-sdk~=1.44.0",
    "opentelemetry-api~=1.15",
    "opentelemetry-exporter-otlp-proto-common==1.44.0",
)
BROKEN: dict[str, dict[str, tuple[str, ...]]] = {
    "an old api": {"opentelemetry-api 1.44.0": ()},
    "an old sdk": {"opentelemetry-sdk 1.44.0": SDK_1_44},
    "an old exporter": {"opentelemetry-exporter-otlp-proto-http 1.44.0": HTTP_1_44},
    "only the api is new": {
        "opentelemetry-sdk 1.44.0": SDK_1_44,
        "opentelemetry-semantic-conventions 0.65b0": ("opentelemetry-api==1.44.0",),
        "opentelemetry-exporter-otlp-proto-common 1.44.0": (),
        "opentelemetry-exporter-otlp-proto-http 1.44.0": HTTP_1_44,
    },
    "an old sentry-sdk": {"sentry-sdk 1.45.0": ()},
    "pydantic 1 under FastAPI": {"pydantic 1.10.2": ()},
}
"""Packages in place of the installed ones, with their requirements."""
ROOTS = ("mita-otel", "sentry-sdk", "fastapi", "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")


def package(version: str, *requires: str) -> Distribution:
    return cast("Distribution", SimpleNamespace(version=version, requires=list(requires), name=None))


def broken(name: str) -> dict[str, Distribution]:
    replaced = {one.split()[0]: package(one.split()[1], *requires) for one, requires in BROKEN[name].items()}
    return {**installed_packages(), **replaced}


@pytest.mark.parametrize("name", BROKEN)
def test_pip_resolves_the_fix_and_no_conflict_is_left(name: str, tmp_path: Path) -> None:
    packages = broken(name)
    found = conflicts(packages, ROOTS, ())
    assert found
    for one, requires in BROKEN[name].items():
        write_package(tmp_path, *one.split(), requires=requires)  # type: ignore[misc]
    command = shlex.split(fix(found, packages))
    assert command[:2] == ["pip", "install"]
    run = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-", *command[2:]]
    done = subprocess.run(
        run, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    for one in json.loads(done.stdout)["install"]:
        fields: dict[str, Any] = one["metadata"]
        packages[canonicalize_name(fields["name"])] = package(
            fields["version"], *fields.get("requires_dist", ())
        )
    assert conflicts(packages, ROOTS, ()) == []


def test_the_fix_names_only_packages_that_must_change() -> None:
    packages = broken("an old sdk")
    version = packages["opentelemetry-api"].version
    command = fix(conflicts(packages, ROOTS, ()), packages)
    assert command.startswith("pip install 'opentelemetry-sdk")
    assert command.endswith(
        f" opentelemetry-api=={version} opentelemetry-semantic-conventions=={packages['opentelemetry-semantic-conventions'].version}"
    )


def test_a_package_that_needs_an_old_version_is_updated_with_the_bounds_of_the_others() -> None:
    packages = {**installed_packages(), "legacy": package("1.0", "sentry-sdk<2")}
    found = conflicts(packages, ROOTS, ())
    assert [(one.requirer, one.required, one.is_of_telemetry) for one in found] == [
        ("legacy", "sentry-sdk", False)
    ]
    assert fix(found, packages) == "pip install --upgrade legacy 'sentry-sdk<4,>=2.17'"
    packages["sentry-sdk"] = package("1.45.0")
    assert (
        fix(conflicts(packages, ROOTS, ()), packages) == "pip install --upgrade legacy 'sentry-sdk<4,>=2.17'"
    )


def test_extras_are_requirements_only_if_they_are_in_use() -> None:
    packages = {**installed_packages(), "alembic": package("1.13.0"), "sqlalchemy": package("1.4.54")}
    assert [one for one in conflicts(packages, ROOTS, ()) if one.requirer == "mita-otel"] == []
    for extra in ("store", "reports", "postgresql"):
        found = conflicts(packages, ROOTS, [extra])
        assert {one.required for one in found if one.requirer == "mita-otel"} == {"alembic", "sqlalchemy"}
    del packages["alembic"]
    assert {one.required for one in conflicts(packages, ROOTS, ["store"]) if one.requirer == "mita-otel"} == {
        "sqlalchemy"
    }


def test_the_cause_of_an_import_error_is_the_package_in_which_it_was_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_package(tmp_path, "outer", "2.0", requires=("inner>=2",))
    write_package(tmp_path, "inner", "1.0")
    for name, code in (("outer", "import inner"), ("inner", "raise ImportError('cannot import name X')")):
        (tmp_path / f"{name}.py").write_text(code)
        (tmp_path / f"{name}-{'2.0' if name == 'outer' else '1.0'}.dist-info" / "top_level.txt").write_text(
            name
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match="cannot import name X") as caught:
        __import__("outer")
    packages = installed_packages()
    assert cause_of(caught.value, packages) == (
        "outer 2.0 needs inner>=2, but 1.0 is installed: pip install 'inner>=2'"
    )
    packages["inner"] = package("2.0")
    assert cause_of(caught.value, packages) == "raised in inner 2.0: pip install --force-reinstall inner"


def test_bounds_that_exclude_each_other_are_recognised() -> None:
    for one, other, possible in (("<2", ">=2", False), ("~=1.4", "==1.45.1", True), ("!=3", ">2", True)):
        packages = {
            "a": package("1", f"x{one}"),
            "b": package("1", f"x{other}"),
            "x": package("1.0" if one != "<2" else "1.9"),
        }
        named = "a" in fix(conflicts(packages, ["b"], ()), packages).split()
        assert named != possible
    assert SpecifierSet("<2").contains("1.9")
