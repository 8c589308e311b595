"""The public API: its names exist, are sorted and typed, and are imported lazily."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import mita_otel
from e2e.script import run_script

NAMES: list[str] = mita_otel.__all__  # type: ignore[attr-defined]  # made on request: the stub does not have it
HEAVY = [
    "fastapi", "google", "grpc", "httpx", "opentelemetry.sdk", "pydantic", "requests", "rich", "sentry_sdk",
    "sqlalchemy", "starlette", "stdnum", "typer",
]  # fmt: skip


def modules_after(code: str, folder: Path) -> set[str]:
    """Return the heavy packages, and packages of mita-otel, that are imported after the code."""
    script = f"""
        before = set(sys.modules)
        {code}
        answer(sorted(set(sys.modules) - before))
    """
    modules = run_script(script, folder).answer
    return {heavy for heavy in HEAVY for one in modules if one == heavy or one.startswith(f"{heavy}.")}


def declared() -> dict[str, str]:
    """The module of each name that type checkers see."""
    source = Path(mita_otel.__file__).with_name("__init__.pyi").read_text("utf-8")
    return {
        str(name.asname): str(node.module)
        for node in ast.parse(source).body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
        if name.asname == name.name
    }


def test_exported_names_are_those_that_type_checkers_see() -> None:
    assert list(NAMES) == sorted({*declared(), "__version__"})
    assert dir(mita_otel) == list(NAMES)


@pytest.mark.parametrize("name", sorted(declared()))
def test_a_name_is_imported_from_the_module_that_type_checkers_see(name: str) -> None:
    assert getattr(mita_otel, name) is getattr(import_module(declared()[name]), name)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_exists_and_is_documented(name: str) -> None:
    value = getattr(mita_otel, name)
    if name != "__version__":
        assert (value.__doc__ or "").strip(), name
        assert getattr(value, "__name__", name) == name  # the guide's objects have none


def test_the_version_is_the_installed_one() -> None:
    assert mita_otel.__version__ == version("mita-otel")
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", mita_otel.__version__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = mita_otel.nope  # type: ignore[attr-defined]  # missing on purpose
    assert not hasattr(mita_otel, "_private")


def test_importing_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    assert modules_after("import mita_otel", tmp_path) == set()


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("Policy", set()),
        ("Redactor", {"stdnum"}),
        ("ThresholdProcessor", {"opentelemetry.sdk"}),
        ("RedactionProcessor", {"opentelemetry.sdk", "stdnum"}),
        ("capture_financial_error", set()),
        ("FinancialSentryMiddleware", set()),
        ("configure", {"opentelemetry.sdk", "stdnum"}),
    ],
)
def test_a_name_imports_no_more_than_it_needs(tmp_path: Path, name: str, allowed: set[str]) -> None:
    assert modules_after(f"from mita_otel import {name}", tmp_path) <= allowed
