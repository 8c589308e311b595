"""Private names of OpenTelemetry and sentry-sdk are used in the compat modules only."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "mita_otel"
COMPAT = {"opentelemetry": "_otel_compat", "sentry_sdk": "_sentry_compat"}
PUBLIC = {"_logs", "_log_exporter"}
"""OpenTelemetry documents these modules; their API is not stable yet."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in PUBLIC


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def sources(compat: str, *, inside: bool) -> Iterator[tuple[Path, ast.Module]]:
    """Yield the files of a compat module, or the other files."""
    for path in sorted(SOURCE.rglob("*.py")):
        if (path.relative_to(SOURCE).parts[0].removesuffix(".py") == compat) is inside:
            yield path, parsed(path)


def imported(tree: ast.Module, library: str) -> Iterator[tuple[int, str]]:
    """Yield the names that a file imports from a library, with their lines."""
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        prefix = f"{node.module or ''}." if isinstance(node, ast.ImportFrom) else ""
        for one in node.names:
            if f"{prefix}{one.name}".startswith(f"{library}."):
                yield node.lineno, prefix + one.name


def private_attributes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the private attributes that a file uses of other objects than `self` and `cls`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = node.value
            if not (isinstance(owner, ast.Name) and owner.id in {"self", "cls"}):
                yield node.lineno, node.attr


@pytest.mark.parametrize(("library", "compat"), COMPAT.items())
def test_only_the_compat_module_imports_private_names(library: str, compat: str) -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {name}"
        for path, tree in sources(compat, inside=False)
        for line, name in imported(tree, library)
        if any(is_private(part) for part in name.split("."))
    ]
    assert found == []


def test_no_other_file_uses_the_private_attributes_of_opentelemetry() -> None:
    fenced = {
        name for _, tree in sources("_otel_compat", inside=True) for _, name in private_attributes(tree)
    }
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {name}"
        for path, tree in sources("_otel_compat", inside=False)
        for line, name in private_attributes(tree)
        if name in fenced
    ]
    assert fenced
    assert found == []
