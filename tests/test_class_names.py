"""Each class of the package has a name that no other module uses for a class."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "mita_otel"


def modules_by_class_name(package: Path) -> dict[str, set[str]]:
    modules = defaultdict(set)
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                modules[node.name].add(str(path.relative_to(package)))
    return modules


def test_no_class_name_is_used_in_two_modules() -> None:
    modules = modules_by_class_name(PACKAGE)
    assert modules
    assert {name: sorted(paths) for name, paths in modules.items() if len(paths) > 1} == {}


def test_private_and_nested_classes_are_checked(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("class _Line: ...\n")
    (tmp_path / "b.py").write_text("def f():\n    class _Line: ...\n")
    assert modules_by_class_name(tmp_path) == {"_Line": {"a.py", "b.py"}}
