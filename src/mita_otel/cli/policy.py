"""`mita-otel policy`: show the effective policy with its sources, validate a policy, test it, export it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer

from mita_otel._text import counted, visible
from mita_otel.cli.application import BAD_POLICY
from mita_otel.cli.options import AsJson, Environment, PolicyFile
from mita_otel.cli.output import console, echo, echo_json, here
from mita_otel.errors import ConfigurationError
from mita_otel.policy import (
    CheckedPolicy,
    LoadedPolicy,
    Setting,
    check_policy,
    load_policy,
    load_with_origins,
)
from mita_otel.policy.toml_text import KeyPath, read_key, write_key, write_value
from mita_otel.redaction import Redactor

app = typer.Typer(add_completion=False)


@app.command()
def show(
    section: Annotated[
        str | None, typer.Argument(help="Section or setting to show, as in thresholds.api (default: all).")
    ] = None,
    environment: Environment = None,
    policy: PolicyFile = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Show only settings that differ from the defaults.")
    ] = False,
    toml: Annotated[bool, typer.Option("--toml", help="Print a policy file.")] = False,
    json: AsJson = False,
) -> None:
    """Show the effective policy, and the source of each value."""
    if toml and json:
        raise typer.BadParameter("use either --toml or --json")
    loaded = load_with_origins(policy, environment=environment)
    settings = _without_passwords(loaded, _chosen(loaded, section, changed=changed))
    if json:
        _print_json(loaded, settings)
    elif toml:
        _print_toml(loaded, settings)
    else:
        _print_table(loaded, settings, shorten=section is None)


def _chosen(loaded: LoadedPolicy, section: str | None, *, changed: bool) -> list[Setting]:
    settings = list(loaded.settings())
    if section is not None:
        prefix = _prefix(section, settings)
        settings = [one for one in settings if one.key[: len(prefix)] == prefix]
    return [one for one in settings if not (changed and one.is_default)]


def _prefix(section: str, settings: list[Setting]) -> KeyPath:
    known = {one.key[:end] for one in settings for end in range(1, len(one.key) + 1)}
    try:
        prefix = read_key(section.strip().strip("[]"))
    except ValueError:
        prefix = (section,)
    if prefix in known:
        return prefix
    close = get_close_matches(section, map(write_key, known), n=1)
    fix = (
        f"did you mean {close[0]}?" if close else f"use one of {', '.join(sorted({key[0] for key in known}))}"
    )
    raise ConfigurationError(f"{section}: no such section or setting; {fix}")


def _without_passwords(loaded: LoadedPolicy, settings: list[Setting]) -> list[Setting]:
    """Return the settings without passwords in URLs."""
    redactor = Redactor(loaded.policy.redaction)
    return [
        replace(one, value=redactor.text(one.value))
        if isinstance(one.value, str) and "://" in one.value
        else one
        for one in settings
    ]


@app.command()
def check(
    path: Annotated[Path | None, typer.Argument(help="Policy file (default: discovered).")] = None,
) -> None:
    """Validate a policy for every environment. Exit status: 0 if it is valid, 1 if not."""
    checked = check_policy(path)
    problems = [here(str(problem)) for problem in checked.problems] or _missing_finders(path, checked)
    for problem in problems:
        echo(problem)
    for note in _notes(checked):
        echo(note)
    if problems:
        echo(counted(len(problems), "problem"), err=True)
        raise typer.Exit(BAD_POLICY)
    file = here(str(checked.file)) if checked.file else "no policy file, defaults"
    echo(f"{file}: valid for {', '.join(checked.environments)}")


@app.command(name="test")
def compare(
    cases: Annotated[Path, typer.Argument(help="File of cases (TOML): [[spans]] and [[texts]].")],
    environment: Environment = None,
    policy: PolicyFile = None,
) -> None:
    """Compare the policy's limits and redaction with expected ones. Exit status: 0 if all match, 1 if not."""
    from mita_otel.testing.policy_cases import failures, read_cases

    expected = read_cases(cases)
    failed = list(failures(load_policy(policy, environment=environment), expected))
    for one in failed:
        echo(one)
    count = sum(map(len, expected.values()))
    if failed:
        echo(f"{len(failed)} of {counted(count, 'case')} failed", err=True)
        raise typer.Exit(BAD_POLICY)
    echo(f"{counted(count, 'case')} passed")


@app.command()
def export(
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Write limits and alert rules as a Prometheus rule file.")
    ] = False,
    alertmanager: Annotated[
        bool,
        typer.Option(
            "--alertmanager", help="Write channels and escalations as an Alertmanager configuration."
        ),
    ] = False,
    environment: Environment = None,
    policy: PolicyFile = None,
) -> None:
    """Convert the policy's limits and alert rules for another system."""
    if prometheus == alertmanager:
        raise typer.BadParameter("use either --prometheus or --alertmanager")
    from mita_otel.alerts.prometheus.alertmanager import alertmanager_file
    from mita_otel.alerts.prometheus.rule_file import rule_file

    loaded = load_with_origins(policy, environment=environment)
    if prometheus:
        typer.echo(rule_file(loaded.policy, loaded.environment).yaml(), nl=False)
    else:
        typer.echo(alertmanager_file(loaded.policy, loaded.environment).yaml(), nl=False)


def _missing_finders(path: Path | None, checked: CheckedPolicy) -> list[str]:
    """Return the errors of callables that redaction rules name. Loading a policy does not import them."""
    problems: dict[str, None] = {}
    for name in checked.environments:
        try:
            Redactor(load_policy(path, environment=name).redaction)
        except ConfigurationError as error:
            problems[str(error)] = None
    return list(problems)


_USUAL = ("production", "staging", "development")


def _notes(checked: CheckedPolicy) -> list[str]:
    """Return notes about environments whose name resembles a usual one. Any name is valid, but most are typing errors."""
    close = {name: get_close_matches(name, _USUAL, n=1, cutoff=0.8) for name in checked.environments}
    return [
        f"{here(str(checked.file))}: environments.{write_key((name,))}: note: did you mean {meant[0]}?"
        for name, meant in close.items()
        if meant and name not in _USUAL
    ]


# --- formats -----------------------------------------------------------------------------------------
_SHOWN = 56
"""Number of characters of a value in the table of all settings."""


def _print_table(loaded: LoadedPolicy, settings: list[Setting], *, shorten: bool) -> None:
    """Print one row for each setting: key, value, source."""
    from rich.table import Table
    from rich.text import Text

    out = console()
    out.print(Text(_title(loaded), style="bold"))
    if not settings:
        out.print("All settings are defaults.")
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
            Text(visible(write_key(one.key)), style=style),
            Text(visible(_shortened(one.value, value) if shorten else value), style=style),
            Text(visible(here(one.place)), style="dim" if one.is_default else style),
        )
    out.print(table)


def _title(loaded: LoadedPolicy) -> str:
    origin = f"from {here(str(loaded.file))}" if loaded.file else "no policy file"
    return f"Policy for {loaded.environment}, {origin}"


def _shortened(value: Any, text: str) -> str:
    if len(text) <= _SHOWN:
        return text
    cut = text[:_SHOWN]
    if isinstance(value, list):
        return f"{cut[: cut.rfind(', ')]}, … {len(value)} in all]"
    return f"{cut}…"


def _print_toml(loaded: LoadedPolicy, settings: Iterable[Setting]) -> None:
    """Print a policy file. A comment names the source of each value that is not a default."""
    echo(f"# {_title(loaded)}")
    tables: dict[KeyPath, list[Setting]] = {}
    for one in settings:
        tables.setdefault(one.key[:-1], []).append(one)
    for table, members in tables.items():
        echo()
        echo(f"[{write_key(table)}]")
        for one in members:
            place = "" if one.is_default else f"  # {here(one.place)}"
            echo(f"{write_key(one.key[-1:])} = {write_value(one.value)}{place}")


def _print_json(loaded: LoadedPolicy, settings: Iterable[Setting]) -> None:
    """Print an object: the environment, the file, the policy as a tree, and the source of each value."""
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
    echo_json(shown, indent=2)
