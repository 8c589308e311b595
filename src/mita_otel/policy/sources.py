"""The sources of a policy: trees of values with their positions; and the files that contain one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from mita_otel import environment_variables as variables
from mita_otel.policy.errors import PolicyError, Problem
from mita_otel.policy.toml_text import KeyPath, member, places, write_key

Tree = dict[str, Any]

FILE_NAME = "mita-otel.toml"
ENVIRONMENTS = "environments"
"""The table of a file that holds the overlays."""
_TABLE = ("tool", "mita-otel")
"""The table of a pyproject.toml that is the policy."""
_TOO_LARGE = 1_000_000
"""Bytes. A policy is some kilobytes; whatever is larger is some other file."""
TOO_DEEP = 32
"""Levels of tables and lists. A policy has about five."""
_RIGHT_FILE = "name the policy's file"
_LONG_NUMBER = re.compile(r"([=\[,]\s*)[+-]?((?:[0-9]_?){4000,})(?![0-9.eE_])")
"""A number of which Python refuses to read the digits: 4,300 are allowed."""
_READ_AS = re.compile(r"a number of \d+ digits")
"""The text that is read in its place."""
_MOST_KEYS = 20_000
"""Keys and members of lists. A policy has some hundred."""


@dataclass(frozen=True)
class Source:
    """A tree of values, and the position of each."""

    name: str
    """The file's path, or `environment variables`, or `defaults`."""
    tree: Tree
    places: Mapping[KeyPath, str] = field(default_factory=dict)
    """The position of each key: a line of a file, or a variable."""
    problems: tuple[Problem, ...] = ()
    """Values that could not be read and are left out."""

    def place(self, key: KeyPath) -> str:
        """Return the position of the key, as in `mita-otel.toml:12`; of its table if the key has no position."""
        for end in range(len(key), 0, -1):
            if key[:end] in self.places:
                return self.places[key[:end]]
        return self.name

    def positions(self) -> dict[KeyPath, int]:
        """Return the rank of each key among the others."""
        return {key: number for number, key in enumerate(self.places)}

    def without(self, key: KeyPath) -> Source:
        """Return the source without the value at `key`, or what is nearest above it."""
        tree = _without(self.tree, key) if key else {}
        return Source(self.name, tree, self.places if key else {}, self.problems)


def position_of(key: KeyPath, positions: Mapping[KeyPath, int]) -> int:
    """Return the rank of a key, or of its table if the key has no position."""
    return next((positions[key[:end]] for end in range(len(key), 0, -1) if key[:end] in positions), -1)


def _without(node: Any, key: KeyPath) -> Any:
    part, rest = key[0], key[1:]
    inner = member(node, part)
    deeper = bool(rest) and member(inner, rest[0]) is not None
    if isinstance(node, list):
        return [*node[: int(part)], *([_without(inner, rest)] if deeper else []), *node[int(part) + 1 :]]
    rest_of_it = {name: value for name, value in node.items() if name != part}
    return {**node, part: _without(inner, rest)} if deeper else rest_of_it


def find_file(path: Path | None, env: Mapping[str, str], folder: Path) -> tuple[Path, KeyPath] | None:
    """Return the policy file and the table in it that is the policy, or None: the defaults alone.

    In this order: the argument, `MITA_OTEL_POLICY`, `mita-otel.toml` in the working directory,
    `[tool.mita-otel]` in its pyproject.toml.
    """
    named = path or (Path(env[variables.POLICY]) if env.get(variables.POLICY, "").strip() else None)
    if named is not None:
        return named, _TABLE if named.name == "pyproject.toml" else ()
    if (folder / FILE_NAME).exists():
        return folder / FILE_NAME, ()
    project = folder / "pyproject.toml"
    try:
        if project.is_file() and _has_policy(project, project.stat().st_mtime_ns):
            return project, _TABLE
    except (OSError, ValueError, RecursionError):
        return None  # its owner reports the error
    return None


@lru_cache(maxsize=8)
def _has_policy(project: Path, changed_ns: int) -> bool:
    """Return whether a pyproject.toml contains a policy. Tests ask often for the same file, which may be a large one."""
    return _inside(tomllib.loads(project.read_text("utf-8")), _TABLE) is not None


def read_file(path: Path, table: KeyPath = ()) -> Source:
    """Read a policy file.

    Raises:
        PolicyError: It is missing, unreadable, too large, empty, no text or no TOML.
    """
    text = _text_of(path)
    lines = _lines_of(path, text)
    tree = _parsed(path, text)
    inside = _inside(tree, table)
    if inside is None:
        raise _unusable(path, f"has no table [{write_key(table)}]", "add it, or name another file")
    size = len(table)
    below = {key[size:]: at for key, at in with_tables(lines).items() if key[:size] == table}
    return _without_long_numbers(Source(str(path), inside, below))


def _without_long_numbers(source: Source) -> Source:
    """Return the source without the numbers that Python refused to read, and with a problem for each."""
    found = list(_long_numbers(source.tree, ()))
    fix = "write a number of at most 15 digits"
    problems = [Problem(source.place(key), write_key(key), f"has {said}; {fix}") for key, said in found]
    for key, _ in reversed(found):  # so that the positions of a list's other members do not change
        source = source.without(key)
    return Source(source.name, source.tree, source.places, tuple(problems))


def _long_numbers(node: Any, key: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Yield the keys of numbers that Python refused to read, and what was read in their place."""
    if isinstance(node, str) and _READ_AS.fullmatch(node):
        yield key, node
    elif isinstance(node, dict | list):
        members = node.items() if isinstance(node, dict) else enumerate(node)
        for part, one in members:
            yield from _long_numbers(one, (*key, str(part)))


def _parsed(path: Path, text: str) -> Any:
    """Return the values of a TOML text. A number with too many digits becomes a text, so that only it is refused."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError([_not_toml(path, text, str(error))]) from error
    except (RecursionError, MemoryError) as error:
        raise _unusable(path, "is nested too deeply and cannot be a policy", _RIGHT_FILE) from error
    except ValueError as error:
        shorter = _LONG_NUMBER.sub(_named_by_digits, text)
        if shorter == text:
            raise _unusable(path, f"cannot be read ({error})", "correct the value") from error
        return _parsed(path, shorter)


def _named_by_digits(found: re.Match[str]) -> str:
    return f"{found[1]}'a number of {sum(map(str.isdigit, found[2]))} digits'"


def _lines_of(path: Path, text: str) -> dict[KeyPath, str]:
    """Return the place of each key. What is nested too deeply is refused here: it would keep `tomllib` busy."""
    lines: dict[KeyPath, str] = {}
    try:
        for key, line in places(text):
            if len(key) > TOO_DEEP:
                raise RecursionError
            lines[key] = f"{path}:{line}"
            if len(lines) > _MOST_KEYS:
                what = f"has more than {_MOST_KEYS} keys and cannot be a policy"
                raise _unusable(path, what, _RIGHT_FILE)
    except RecursionError:
        what = f"is nested more than {TOO_DEEP} levels deep and cannot be a policy"
        raise _unusable(path, what, _RIGHT_FILE) from None
    return lines


def with_tables(at: Mapping[KeyPath, str]) -> dict[KeyPath, str]:
    """Return the places with that of each table that is written only as part of a longer key."""
    every: dict[KeyPath, str] = {}
    for key, place in at.items():
        for end in range(1, len(key)):
            every.setdefault(key[:end], place)
        every[key] = place
    return every


def _inside(tree: Any, table: KeyPath) -> Tree | None:
    for part in table:
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else None


def _text_of(path: Path) -> str:
    try:
        if path.is_dir():
            raise _unusable(path, "is a directory", f"name the file in it, as in {path / FILE_NAME}")
        if path.exists() and not path.is_file():
            raise _unusable(path, "is not a regular file", "name one that is")
        with path.open("rb") as file:
            data = file.read(_TOO_LARGE + 1)
    except FileNotFoundError as error:
        raise _unusable(
            path, "there is no such file", "name one that exists, or none for the defaults"
        ) from error
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise _unusable(path, f"cannot be read: {why}", "let the service's user read it") from error
    if len(data) > _TOO_LARGE:
        raise _unusable(path, f"is larger than {_TOO_LARGE} bytes and cannot be a policy", _RIGHT_FILE)
    if not data.strip():
        raise _unusable(path, "is empty", "write what differs from the defaults, or name no file")
    return _decoded(path, data)


def _decoded(path: Path, data: bytes) -> str:
    fix = "save it as UTF-8"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _unusable(path, "is UTF-16 text", fix)
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PolicyError(
            [Problem(f"{path}:{line}", "", f"is not UTF-8 text (byte {error.start}); {fix}")]
        ) from error
    if "\0" in text:
        raise _unusable(path, "holds NUL characters, so it is no text", fix)
    return text


def _unusable(path: Path, what: str, fix: str) -> PolicyError:
    return PolicyError([Problem(str(path), "", f"{what}; {fix}")])


_WRITTEN_TWICE = (
    "Cannot overwrite a value",
    "Cannot declare",
    "Cannot mutate immutable namespace",
    "Duplicate inline",
)


def _not_toml(path: Path, text: str, said: str) -> Problem:
    found = re.search(r" \(at line (\d+), column \d+\)", said)
    line = int(found[1]) if found else text.count("\n") + 1
    place = f"{path}:{line}"
    if said.startswith(_WRITTEN_TWICE):
        keys = [key for key, at in places(text) if at == line]
        if keys:
            return Problem(place, write_key(keys[-1]), "is written twice; keep one of the two")
    what = said[: found.start()] if found else said.removesuffix(" (at end of document)")
    return Problem(
        place, "", f"is not TOML: {what[:1].lower()}{what[1:]}; correct the line or quote the text in it"
    )
