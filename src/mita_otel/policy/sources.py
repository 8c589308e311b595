"""Where a policy comes from: files, with the line of each key, and environment variables."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mita_otel import environment_variables as variables
from mita_otel.policy.errors import PolicyError

Tree = dict[str, Any]
KeyPath = tuple[str, ...]

FILE_NAME = "mita-otel.toml"
_TOO_LARGE = 1_000_000
"""Bytes. A policy is some kilobytes; whatever is larger is some other file."""

_HEADER = re.compile(r"^\s*\[+\s*([^\]]+?)\s*\]+\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(r"""^\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=""")
_PART = re.compile(r""""([^"]*)"|'([^']*)'|([\w-]+)""")


@dataclass(frozen=True)
class Source:
    """A tree of values, and how to tell a person where one of them stands."""

    name: str
    """The file's path, or `environment variables`, or `defaults`."""
    tree: Tree
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    """Line of each key, from 1."""
    places: Mapping[KeyPath, str] = field(default_factory=dict)
    """Place of a key where it has no line: the variable's name."""

    def place(self, key: KeyPath) -> str:
        """Return where the key stands, as in `mita-otel.toml:12`; of its table if it has no line."""
        for end in range(len(key), 0, -1):
            if key[:end] in self.places:
                return self.places[key[:end]]
            if key[:end] in self.lines:
                return f"{self.name}:{self.lines[key[:end]]}"
        return self.name


def find_file(path: Path | None, env: Mapping[str, str], folder: Path) -> tuple[Path, KeyPath] | None:
    """Return the policy file and the table in it that is the policy, or None: the defaults alone.

    In this order: the argument, `MITA_OTEL_POLICY`, `mita-otel.toml` in the working directory,
    `[tool.mita-otel]` in its pyproject.toml.
    """
    named = path or (Path(env[variables.POLICY]) if env.get(variables.POLICY) else None)
    if named is not None:
        return named, ("tool", "mita-otel") if named.name == "pyproject.toml" else ()
    if (folder / FILE_NAME).is_file():
        return folder / FILE_NAME, ()
    project = folder / "pyproject.toml"
    try:
        if project.is_file() and "mita-otel" in tomllib.loads(project.read_text("utf-8")).get("tool", {}):
            return project, ("tool", "mita-otel")
    except (OSError, ValueError):
        return None  # somebody else's file; whoever it belongs to will say what is wrong with it
    return None


def read_file(path: Path, table: KeyPath = ()) -> Source:
    """Read a policy file.

    Raises:
        PolicyError: It is missing, unreadable, too large, no text or no TOML.
    """
    text = _text_of(path)
    try:
        tree: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        place = f"{path}:{found.group(1)}" if found else f"{path}:{text.count(chr(10)) + 1}"
        raise PolicyError(f"{place}: not valid TOML: {error}; mend that line") from error
    lines = dict(_lines_of(text))
    for part in table:
        tree = tree.get(part, {})
    size = len(table)
    inside = {key[size:]: line for key, line in lines.items() if key[:size] == table and len(key) > size}
    return Source(str(path), tree, inside)


def _text_of(path: Path) -> str:
    named = f"the policy file {path}"
    mend = f"set {variables.POLICY} to a file that can be read, or unset it"
    try:
        if path.is_dir():
            raise PolicyError(f"{named} is a directory; name the file in it, as in {path / FILE_NAME}")
        if path.stat().st_size > _TOO_LARGE:
            raise PolicyError(f"{named} is larger than {_TOO_LARGE} bytes and cannot be a policy; {mend}")
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError as error:
        raise PolicyError(f"{named} does not exist; {mend}") from error
    except OSError as error:
        raise PolicyError(f"{named} cannot be read: {error.strerror or error}; {mend}") from error
    except UnicodeDecodeError as error:
        raise PolicyError(f"{named} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _lines_of(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Yield each key with its line. `tomllib` does not say; a policy is plain enough for this."""
    table: KeyPath = ()
    for number, line in enumerate(text.split("\n"), 1):
        header = _HEADER.match(line)
        if header:
            table = _parts(header.group(1))
            yield table, number
            continue
        assignment = _ASSIGNMENT.match(line)
        if assignment:
            yield table + _parts(assignment.group(1)), number


def _parts(dotted: str) -> KeyPath:
    return tuple(a or b or c for a, b, c in _PART.findall(dotted))


def from_environment(env: Mapping[str, str]) -> Source:
    """Return the values that `MITA_OTEL_SECTION__KEY` variables set.

    A value is read as TOML (`500`, `true`, `["a"]`); what is not TOML is text, and text where the
    policy wants a list is split at commas by the caller's model.
    """
    tree: Tree = {}
    places: dict[KeyPath, str] = {}
    aliases = {variables.FILE: ("export", "file", "path")}
    for name, text in sorted(env.items()):
        if name in aliases and text:
            key: KeyPath = aliases[name]
            value: Any = text
        elif name.startswith(variables.OVERRIDE_PREFIX) and "__" in name:
            key = tuple(_key_of(part) for part in name.removeprefix(variables.OVERRIDE_PREFIX).split("__"))
            value = _value_of(text)
        else:
            continue
        node = tree
        for part in key[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise PolicyError(f"{name}: another variable sets {part} as a value; unset one of the two")
        node[key[-1]] = value
        places[key] = name
    return Source("environment variables", tree, places=places)


def _key_of(part: str) -> str:
    # Methods and verbs are written in capitals in the policy, everything else in small letters.
    return (
        part
        if part in {"GET", "POST", "PUT", "DELETE", "PATCH", "SELECT", "INSERT", "UPDATE"}
        else part.lower()
    )


def _value_of(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
