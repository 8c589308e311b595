"""`mita-otel policy`: the effective policy and where it came from, and what is wrong with one."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from mita_otel._plural import counted
from mita_otel.cli.frame import BAD_POLICY
from mita_otel.cli.output import here
from mita_otel.cli.policy_forms import as_json, as_table, as_toml
from mita_otel.errors import ConfigurationError
from mita_otel.policy import (
    CheckedPolicy,
    LoadedPolicy,
    Setting,
    check_policy,
    load_policy,
    load_with_origins,
)
from mita_otel.policy.toml_text import KeyPath, read_key, write_key
from mita_otel.redaction import Redactor

app = typer.Typer(add_completion=False)


@app.command()
def show(
    section: Annotated[
        str | None, typer.Argument(help="Only this section or setting, as in thresholds.api.")
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option("--environment", "-e", help="Of this environment, not of the one that this is."),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", "-p", help="Of this file, not of the one that is found.")
    ] = None,
    changed: Annotated[bool, typer.Option("--changed", help="Only what differs from the defaults.")] = False,
    toml: Annotated[bool, typer.Option("--toml", help="As a policy file.")] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show the effective policy, and where each value came from."""
    if toml and json:
        raise typer.BadParameter("choose one of --toml and --json")
    loaded = load_with_origins(policy, environment=environment)
    settings = _without_passwords(loaded, _chosen(loaded, section, changed=changed))
    if json:
        as_json(loaded, settings)
    elif toml:
        as_toml(loaded, settings)
    else:
        as_table(loaded, settings, shorten=section is None)


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
    mend = (
        f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted({key[0] for key in known}))}"
    )
    raise ConfigurationError(f"{section}: there is no such section or setting; {mend}")


def _without_passwords(loaded: LoadedPolicy, settings: list[Setting]) -> list[Setting]:
    """Return the settings; of a URL, without the password that somebody may have left in it."""
    redactor = Redactor(loaded.policy.redaction)
    return [
        replace(one, value=redactor.text(one.value))
        if isinstance(one.value, str) and "://" in one.value
        else one
        for one in settings
    ]


@app.command()
def check(
    path: Annotated[
        Path | None, typer.Argument(help="A policy file. Not given: the one that is found.")
    ] = None,
) -> None:
    """Check a policy for every environment. Exit status: 0 if it is good, 1 if not."""
    checked = check_policy(path)
    problems = [here(str(problem)) for problem in checked.problems] or _missing_finders(path, checked)
    for problem in problems:
        typer.echo(problem)
    for note in _notes(checked):
        typer.echo(note)
    if problems:
        typer.echo(counted(len(problems), "problem"), err=True)
        raise typer.Exit(BAD_POLICY)
    file = here(str(checked.file)) if checked.file else "no policy file, the defaults"
    typer.echo(f"{file}: good for {', '.join(checked.environments)}")


@app.command()
def export(
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Limits and rules as a Prometheus rule file.")
    ] = False,
    alertmanager: Annotated[
        bool,
        typer.Option("--alertmanager", help="Channels and escalations as an Alertmanager configuration."),
    ] = False,
    environment: Annotated[
        str | None,
        typer.Option("--environment", "-e", help="Of this environment, not of the one that this is."),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", "-p", help="Of this file, not of the one that is found.")
    ] = None,
) -> None:
    """Write the policy's limits and rules for another system."""
    if prometheus == alertmanager:
        raise typer.BadParameter("say what for: one of --prometheus and --alertmanager")
    from mita_otel.alerts.prometheus.alertmanager import alertmanager_file
    from mita_otel.alerts.prometheus.rule_file import rule_file

    loaded = load_with_origins(policy, environment=environment)
    if prometheus:
        typer.echo(rule_file(loaded.policy, loaded.environment).yaml(), nl=False)
    else:
        typer.echo(alertmanager_file(loaded.policy, loaded.environment).yaml(), nl=False)


def _missing_finders(path: Path | None, checked: CheckedPolicy) -> list[str]:
    """Return what is wrong with the callables that rules of redaction name: packages, not values."""
    problems: dict[str, None] = {}
    for name in checked.environments:
        try:
            Redactor(load_policy(path, environment=name).redaction)
        except ConfigurationError as error:
            problems[str(error)] = None
    return list(problems)


_USUAL = ("production", "staging", "development")


def _notes(checked: CheckedPolicy) -> list[str]:
    """Environments have any name, so one that resembles another is no problem; most often it is a slip."""
    close = {name: get_close_matches(name, _USUAL, n=1, cutoff=0.8) for name in checked.environments}
    return [
        f"{here(str(checked.file))}: environments.{write_key((name,))}: a note: is {meant[0]} meant?"
        for name, meant in close.items()
        if meant and name not in _USUAL
    ]
