"""The forms in which a policy is shown: a table, TOML, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import typer

from mita_otel.cli.output import console, here
from mita_otel.policy import LoadedPolicy, Setting
from mita_otel.policy.toml_text import KeyPath, write_key, write_value

_SHOWN = 56
"""Characters of a value that the table shows where all settings are listed."""


def as_table(loaded: LoadedPolicy, settings: list[Setting], *, shorten: bool) -> None:
    """Print a row a setting: key, value, place."""
    from rich.table import Table
    from rich.text import Text

    out = console()
    out.print(Text(_title(loaded), style="bold"))
    if not settings:
        out.print("Nothing differs from the defaults.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("setting", "value", "from"):
        table.add_column(heading, no_wrap=not out.is_terminal, overflow="fold")
    section = settings[0].key[0]
    for one in settings:
        if one.key[0] != section and out.is_terminal:
            table.add_row()
        section = one.key[0]
        value = write_value(one.value)
        style = "" if one.is_default else "bold yellow"
        table.add_row(
            Text(write_key(one.key), style=style),
            Text(_shortened(one.value, value) if shorten else value, style=style),
            Text(here(one.place), style="dim" if one.is_default else style),
        )
    out.print(table)


def _title(loaded: LoadedPolicy) -> str:
    origin = f"from {here(str(loaded.file))}" if loaded.file else "no policy file"
    return f"Policy of {loaded.environment}, {origin}"


def _shortened(value: Any, text: str) -> str:
    if len(text) <= _SHOWN:
        return text
    cut = text[:_SHOWN]
    if isinstance(value, list):
        return f"{cut[: cut.rfind(', ')]}, … {len(value)} in all]"
    return f"{cut}…"


def as_toml(loaded: LoadedPolicy, settings: Iterable[Setting]) -> None:
    """Print a policy file, with the place of what is no default behind it."""
    typer.echo(f"# {_title(loaded)}")
    tables: dict[KeyPath, list[Setting]] = {}
    for one in settings:
        tables.setdefault(one.key[:-1], []).append(one)
    for table, members in tables.items():
        typer.echo(f"\n[{write_key(table)}]")
        for one in members:
            place = "" if one.is_default else f"  # {here(one.place)}"
            typer.echo(f"{write_key(one.key[-1:])} = {write_value(one.value)}{place}")


def as_json(loaded: LoadedPolicy, settings: Iterable[Setting]) -> None:
    """Print an object: the environment, the file, the policy as a tree, and the place of each of its values."""
    tree: dict[str, Any] = {}
    places: dict[str, str] = {}
    for one in settings:
        node = tree
        for part in one.key[:-1]:
            node = node.setdefault(part, {})
        node[one.key[-1]] = one.value
        places[write_key(one.key)] = one.place
    file = None if loaded.file is None else str(loaded.file)
    shown = {"environment": loaded.environment, "file": file, "policy": tree, "from": places}
    typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
