"""Writes the pages of `docs/reference/` from what the code says of itself: `make docs`."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mita_otel import environment_variables, semconv
from mita_otel.cli.commands import COMMANDS
from mita_otel.cli.frame import load
from mita_otel.policy import Policy, default_policy
from mita_otel.policy.flat import values
from mita_otel.policy.limits import AdaptiveLimit
from mita_otel.policy.schema import form_of, is_section, kind_at, known_keys, plain
from mita_otel.policy.section import docstrings_of
from mita_otel.policy.spelling import KeyPath, write_key, write_value
from mita_otel.policy.wording import wanted
from mita_otel.reports.schema import json_schema

FOLDER = Path(__file__).parent / "reference"
MADE = "<!-- Made by `make docs`. Edit the code that it is made from. -->"
ENVIRONMENTS = ("production", "staging", "development")
SHOWN = 3
"""Members of a list that a table shows."""


def pages() -> Iterator[tuple[Path, str]]:
    """Yield each page with its text."""
    for name, lines in {
        "policy.md": policy_page(),
        "environment-variables.md": variables_page(),
        "attributes.md": attributes_page(),
        "commands.md": commands_page(),
        "report.md": report_page(),
    }.items():
        yield FOLDER / name, "\n".join([MADE, *lines, ""])
    schema = json.dumps(json_schema(), indent=2)
    yield FOLDER / "report.schema.json", f"{schema}\n"


# --- the policy --------------------------------------------------------------------------------------
def policy_page() -> Iterator[str]:
    yield from (
        "# Policy",
        "",
        "A policy is TOML: `mita-otel.toml` in the working directory, the file that `MITA_OTEL_POLICY` names, or the",
        "table `[tool.mita-otel]` of pyproject.toml. It needs to hold only what differs from the values below, which are",
        "[defaults.toml](../../src/mita_otel/policy/defaults.toml). What a file says under `[environments.NAME]` holds in",
        "that environment alone. Any setting can also be a variable: `sentry.max_spans` is `MITA_OTEL_SENTRY__MAX_SPANS`.",
        "",
        "`mita-otel policy show` prints what holds and where it came from; `mita-otel policy check` looks for mistakes.",
        "Where staging or development differ from production, their values stand in columns of their own.",
    )
    yield from _limits()
    defaults = {name: dict(values(default_policy(name))) for name in ENVIRONMENTS}
    for table, section in _sections(Policy, ()):
        rows = list(_rows(table, section, defaults))
        if rows:
            yield from ("", f"## `[{write_key(table)}]`", "", _first_sentence(section.__doc__), "")
            yield from _table(["setting", "takes", *ENVIRONMENTS, "meaning"], rows)


def _sections(section: Any, table: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Yield each table with known keys; those inside tables with free names are described there."""
    if table:
        yield table, section
    for name in known_keys(section):
        kind = kind_at(section, (name,))
        if is_section(plain(kind)):
            yield from _sections(plain(kind), (*table, name))


def _limits() -> Iterator[str]:
    yield from (
        "",
        "## Limits",
        "",
        "A limit is a number of milliseconds. Exactly at the limit is not a breach; above it is.",
    )
    yield 'In its place may stand `"off"` (measured, never a breach), or a table: a limit that follows what is usual, as in'
    yield '`{ follow = "p99 * 1.5", floor_ms = 100, ceiling_ms = 2000 }`.'
    rows = (
        [f"`{name}`", wanted(kind_at(AdaptiveLimit, (name,))), meaning]
        for name, meaning in docstrings_of(AdaptiveLimit).items()
    )
    yield ""
    yield from _table(["key", "takes", "meaning"], rows)


Defaults = dict[str, dict[KeyPath, Any]]


def _rows(table: KeyPath, section: Any, defaults: Defaults) -> Iterator[list[str]]:
    for name in known_keys(section):
        key, kind = (*table, name), kind_at(section, (name,))
        description = docstrings_of(section).get(name, "")
        if is_section(plain(kind)):
            continue
        if form_of(plain(kind)) is not dict:
            yield [f"`{name}`", wanted(kind), *_values_of(key, defaults), description]
            continue
        member = kind_at(section, (name, "NAME"))
        takes = "" if is_section(plain(member)) else wanted(member)
        yield [f"`{name}.NAME`", takes, "", "", "", description]
        if is_section(plain(member)):
            for field in known_keys(member):
                meaning = docstrings_of(plain(member)).get(field, "")
                yield [f"`{name}.NAME.{field}`", wanted(kind_at(member, (field,))), "", "", "", meaning]
        for one in defaults[ENVIRONMENTS[0]]:
            if one[: len(key)] == key and len(one) > len(key):
                yield [f"`{write_key(one[len(table) :])}`", "", *_values_of(one, defaults), ""]


def _values_of(key: KeyPath, defaults: Defaults) -> list[str]:
    first, *others = (defaults[name].get(key) for name in ENVIRONMENTS)
    return [_value(first), *("" if other == first else _value(other) for other in others)]


def _value(value: Any) -> str:
    if isinstance(value, list) and len(value) > SHOWN:
        return f"`{write_value(value[:SHOWN])[:-1]}, …]` ({len(value)})"
    return f"`{write_value(value)}`"


# --- names that are declared in a module -------------------------------------------------------------
@dataclass(frozen=True)
class Declaration:
    """A constant, and what its docstring says."""

    constant: str
    value: Any
    meaning: str


def declarations(module: Any) -> Iterator[tuple[str, list[Declaration]]]:
    """Yield the headings (`# --- heading ---`) of a module with the constants below each."""
    source = Path(module.__file__).read_text("utf-8")
    headings = [
        (source.count("\n", 0, found.start()) + 1, found[1])
        for found in re.finditer(r"^# --- (.+?) -+$", source, re.MULTILINE)
    ]
    body = ast.parse(source).body
    for number, (line, heading) in enumerate(headings):
        end = headings[number + 1][0] if number + 1 < len(headings) else sys.maxsize
        found = [
            Declaration(node.target.id, getattr(module, node.target.id), _docstring(after))
            for node, after in zip(body, [*body[1:], None], strict=True)
            if isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and line < node.lineno < end
        ]
        yield heading, found


def _docstring(node: ast.stmt | None) -> str:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return str(node.value.value) if is_text else ""  # type: ignore[union-attr]


def variables_page() -> Iterator[str]:
    yield from (
        "# Environment variables",
        "",
        "Arguments of `configure()` win over variables, variables over the policy file, and the file over the defaults.",
        "A variable that is empty counts as not set. A value that cannot be used is left out and named in one line, and the",
        "rest holds; that goes for OpenTelemetry's own variables, too.",
    )
    for heading, found in declarations(environment_variables):
        yield from ("", f"## {heading}", "")
        yield from _table(["variable", "meaning"], ([_variable(one), one.meaning] for one in found))


def _variable(one: Declaration) -> str:
    return f"`{one.value}SECTION__KEY`" if one.value.endswith("_") else f"`{one.value}`"


def attributes_page() -> Iterator[str]:
    yield from (
        "# Names: attributes, events, metrics",
        "",
        "Every name that mita-otel reads or writes, as declared in `mita_otel.semconv`. Names of OpenTelemetry's semantic",
        "conventions mean what they mean there; where a convention changed a name, the older ones are read as well.",
    )
    for heading, found in declarations(semconv):
        yield from ("", f"## {heading[0].upper()}{heading[1:]}", "")
        yield from _table(["name", "older names", "constant", "meaning"], map(_attribute, found))


def _attribute(one: Declaration) -> list[str]:
    name, *older = [one.value] if isinstance(one.value, str) else one.value
    return [f"`{name}`", ", ".join(f"`{other}`" for other in older), f"`{one.constant}`", one.meaning]


# --- commands ----------------------------------------------------------------------------------------
def commands_page() -> Iterator[str]:
    yield from (
        "# Commands",
        "",
        "Exit status: 0, or 1 where a check found something, or 2 where an argument or a setting cannot be used.",
    )
    for name in COMMANDS:
        command = load(name)
        yield from ("", f"## `mita-otel {name}`", "", command.help)
        for sub_name, sub in getattr(command, "commands", {}).items():
            yield from ("", f"### `mita-otel {name} {sub_name}`", "", sub.help)
            yield from _parameters(sub)
        yield from _parameters(command)


# --- reports -----------------------------------------------------------------------------------------
def report_page() -> Iterator[str]:
    yield from (
        "# Reports as JSON",
        "",
        "What `mita-otel report KIND -o FILE.json` writes; as a [schema](report.schema.json) as well. Times are UTC, durations",
        "milliseconds. A section that a kind of report does not have is null.",
    )
    schema = json_schema()
    for name, part in {"Report": schema, **schema["$defs"]}.items():
        yield from ("", f"## {name}", "", part.get("description", "").split("\n\n")[0], "")
        rows = (
            [f"`{field}`", _type_of(one), " ".join(one.get("description", "").split())]
            for field, one in part["properties"].items()
        )
        yield from _table(["field", "type", "meaning"], rows)


def _type_of(field: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(_type_of(one) for one in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_type_of(field['items'])}"
    if "enum" in field or "const" in field:
        return ", ".join(f"`{one}`" for one in field.get("enum", [field.get("const")]))
    return "time" if field.get("format") == "date-time" else str(field.get("type", ""))


def _parameters(command: Any) -> Iterator[str]:
    shown = [one for one in command.params if getattr(one, "help", None) and "--help" not in one.opts]
    if shown:
        yield ""
        yield from _table(["argument", "meaning"], ([_parameter(one), one.help] for one in shown))


def _parameter(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"`{one.name.upper()}`"
    value = "" if one.is_flag else f" {one.name.upper()}"
    return f"`{', '.join(sorted(one.opts, key=len))}{value}`"


# --- Markdown ----------------------------------------------------------------------------------------
def _table(headings: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    rows = [[_cell(cell) for cell in row] for row in rows]
    used = [number for number, _ in enumerate(headings) if any(row[number] for row in rows)]
    for row in [headings, ["---"] * len(headings), *rows]:
        yield f"| {' | '.join(row[number] for number in used)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _first_sentence(docstring: str | None) -> str:
    return (docstring or "").strip().split("\n")[0]


def main() -> None:
    for path, text in pages():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
