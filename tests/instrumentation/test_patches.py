"""Every change to the process is reverted, also below a patch of another library."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from mita_otel.instrumentation.patches import Patches


class Library:
    """A class to patch."""

    def greet(self, name: str) -> str:
        return f"hello {name}"

    @staticmethod
    def add(one: int, two: int) -> int:
        return one + two


class Derived(Library):
    """A class that inherits the method."""


@pytest.fixture
def module() -> ModuleType:
    made = ModuleType("library")
    made.Library, made.Derived = Library, Derived  # type: ignore[attr-defined]
    return made


def louder(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return f"{wrapped(*args, **kwargs)}!"


def test_a_wrapped_method_is_restored(module: ModuleType) -> None:
    patches, before = Patches(), vars(Library).copy()
    patches.wrap(module, "Library.greet", louder)
    patches.wrap(module, "Library.greet", louder)
    patches.wrap(module, "Library.add", lambda wrapped, _, args, kwargs: -wrapped(*args))
    assert (Library().greet("you"), Library.add(1, 2)) == ("hello you!!", -3)
    patches.revert()
    assert vars(Library) == before
    assert (Library().greet("you"), Library.add(1, 2)) == ("hello you", 3)


def test_an_inherited_or_absent_attribute_is_removed_on_revert(module: ModuleType) -> None:
    patches, one = Patches(), Library()
    patches.wrap(module, "Derived.greet", louder)
    patches.set(one, "greet", lambda name: "patched")
    assert (Derived().greet("you"), one.greet("you"), Library().greet("you")) == (
        "hello you!",
        "patched",
        "hello you",
    )
    patches.revert()
    assert "greet" not in vars(Derived)
    assert "greet" not in vars(one)


def test_a_later_patch_is_kept_and_the_reverted_one_has_no_effect(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    patches = Patches()
    patches.wrap(module, "Library.greet", louder)
    below = Library.greet
    monkeypatch.setattr(Library, "greet", lambda self, name: f"on top: {below(self, name)}")
    on_top = Library.greet
    patches.revert()
    assert Library.greet is on_top
    assert Library().greet("you") == "on top: hello you"


def test_changes_are_reverted_once_in_reverse_order_despite_failures() -> None:
    patches, order = Patches(), []
    patches.add(lambda: order.append("first"))
    patches.add(lambda: 1 / 0)
    patches.add(lambda: order.append("last"))
    patches.revert()
    patches.revert()
    assert order == ["last", "first"]


def test_a_change_added_after_the_revert_is_reverted_at_once() -> None:
    patches, order = Patches(), []
    patches.revert()
    patches.add(lambda: order.append("late"))
    assert order == ["late"]


def test_environment_entries_are_restored_unless_changed_since() -> None:
    patches, env = Patches(), {"A": "1", "B": "2", "C": "3"}
    patches.set_items(env, {"A": "x", "B": None, "C": "y", "D": "z"})
    assert env == {"A": "x", "C": "y", "D": "z"}
    env["C"] = "the application's"
    patches.revert()
    assert env == {"A": "1", "B": "2", "C": "the application's"}


def test_members_of_a_mapping_are_restored_unless_changed_since() -> None:
    patches, first = Patches(), object()
    options: dict[str, Any] = {"hook": first, "rate": 1.0, "level": "info"}
    patches.set_members(options, {"hook": None, "rate": 0.5, "level": "debug", "added": True})
    assert options == {"hook": None, "rate": 0.5, "level": "debug", "added": True}
    options["level"] = "the application's"
    patches.revert()
    assert options == {"hook": first, "rate": 1.0, "level": "the application's"}


def test_an_already_imported_module_is_patched_at_once() -> None:
    patches = Patches()
    seen: list[Any] = []
    patches.on_import("json", seen.append)
    patches.revert()
    patches.on_import("json", seen.append)
    assert [module.__name__ for module in seen] == ["json"]


def test_every_registry_watches_imports_until_it_is_reverted() -> None:
    code = """
import logging, sys
from mita_otel.instrumentation.patches import Patches
logging.basicConfig(level="ERROR", format="%(message)s", stream=sys.stdout)
reverted, kept, other = Patches(), Patches(), Patches()
for name, one in (("reverted", reverted), ("kept", kept), ("other", other)):
    one.on_import("colorsys", lambda module, name=name: print(name, module.__name__))
kept.on_import("colorsys", lambda module: 1 / 0)
reverted.revert()
import colorsys
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = ran.stdout.splitlines()
    assert sorted(line for line in lines if line.endswith(" colorsys")) == ["kept colorsys", "other colorsys"]
    assert lines.count("colorsys could not be instrumented") == 1
