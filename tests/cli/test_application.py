"""The application: the table of commands, errors, closed pipes, and lazy imports."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from cli.conftest import Command, Said
from e2e.script import run_script
from mita_otel.cli import application
from mita_otel.errors import ConfigurationError

Process = Callable[..., Said]

HEAVY = [
    "sqlalchemy",
    "httpx",
    "requests",
    "fastapi",
    "starlette",
    "sentry_sdk",
    "pydantic",
    "opentelemetry.sdk",
]


@pytest.mark.parametrize("name", application.COMMANDS)
def test_each_command_of_the_table_exists_with_its_summary(name: str) -> None:
    command = application.load(name)
    assert command.name == name
    assert command.help is not None
    assert command.help.startswith(application.COMMANDS[name].summary)


def test_help_lists_the_commands_of_the_table(command: Command) -> None:
    said = command("--help")
    assert said.code == 0
    for name in application.COMMANDS:
        assert re.search(rf"\b{name}\b", said.out)


def test_each_command_has_help(command: Command) -> None:
    for name in application.COMMANDS:
        said = command(name, "--help")
        assert (said.code, said.err) == (0, "")
        assert "Usage: mita-otel " + name in said.out


def test_version_prints_the_installed_version(command: Command) -> None:
    assert command("--version") == Said(0, f"mita-otel {version('mita-otel')}\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nope"], "No such command 'nope'"), (["policy", "shw"], "Did you mean 'show'"), (["--nope"], "No such option")],
)  # fmt: skip
def test_an_invalid_command_line_is_an_error_with_the_fix(
    command: Command, arguments: list[str], said: str
) -> None:
    ran = command(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_without_a_command_help_is_printed(command: Command) -> None:
    ran = command()
    assert "Usage: mita-otel" in ran.out + ran.err


def test_an_invalid_setting_is_one_message_with_exit_status_2(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> None:
        raise ConfigurationError("the thing, the place; the fix")

    monkeypatch.setattr(application, "app", broken)
    assert command() == Said(2, "", "the thing, the place; the fix\n")


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError(28, "No space left on device"), "No space left on device\n"), (FileNotFoundError(2, "gone", "x"), "x: gone\n")],
)  # fmt: skip
def test_a_file_error_is_one_message(
    command: Command, monkeypatch: pytest.MonkeyPatch, error: OSError, said: str
) -> None:
    def broken(**_: object) -> None:
        raise error

    monkeypatch.setattr(application, "app", broken)
    assert command() == Said(1, "", said)


def test_an_unexpected_exception_is_raised(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(application, "app", broken)
    monkeypatch.setattr(sys, "argv", ["mita-otel"])
    with pytest.raises(ZeroDivisionError):
        application.main()


@pytest.mark.parametrize("arguments", ["--help", "policy show", "policy show --toml", "policy show --json"])
def test_a_closed_pipe_is_not_an_error(process: Process, arguments: str) -> None:
    said = process(line=f'"$MITA" {arguments} | true; echo "${{PIPESTATUS[0]}}"')
    assert said == Said(0, "0\n", "")
    said = process(line=f'"$MITA" {arguments} 2>&1 | head -n 1 >/dev/null; echo "${{PIPESTATUS[0]}}"')
    assert said == Said(0, "0\n", "")


def test_a_full_disk_is_reported(process: Process) -> None:
    assert process(line='"$MITA" policy show > /dev/full') == Said(1, "", "No space left on device\n")


def test_a_terminal_without_unicode_gets_question_marks(process: Process) -> None:
    line = '"$MITA" policy show thresholds.api.routes'
    routes = {"PYTHONIOENCODING": "ascii", "MITA_OTEL_THRESHOLDS__API__ROUTES": '{ "GET /é" = 5 }'}
    said = process(line=line, **routes)
    assert said.code == 0
    assert 'thresholds.api.routes."GET /?"  5' in said.out


def test_listing_commands_imports_no_command(tmp_path: object) -> None:
    code = f"""
        from mita_otel.cli import application
        try:
            application.app(["--help"])
        except SystemExit:
            answer([name for name in sys.modules if name.startswith({tuple(HEAVY)!r})
                    or name.startswith("mita_otel.policy")])
    """
    assert run_script(code, tmp_path).answer == []  # type: ignore[arg-type]


def test_the_installed_command_runs(process: Process) -> None:
    said = process("policy", "show", "sentry.max_spans", "--json")
    assert json.loads(said.out)["policy"] == {"sentry": {"max_spans": 1000}}
    assert (said.code, said.err) == (0, "")


def test_log_records_of_retries_are_not_shown(tmp_path: Path) -> None:
    said = run_script(
        """
        import logging
        from mita_otel.cli.application import run_app
        run_app(lambda: logging.getLogger("stamina").warning("stamina.retry_scheduled"))
        """,
        tmp_path,
    )
    assert "retry_scheduled" not in said.stdout + said.stderr
