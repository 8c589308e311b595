"""`mita-otel test`, and the guide's `test_sentry_integration` and `test_pagerduty_integration`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

from alerts.receivers import HttpReceiver
from cli.conftest import Command
from e2e.receiver import Receiver


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


def test_the_exit_status_shows_whether_a_message_arrived(command: Command, http: HttpReceiver) -> None:
    said = command("test", "slack", env={"SLACK_FINANCE_WEBHOOK": http.url})
    assert said.code == 0
    assert said.lines[0] == "pass  finance_slack: Slack answered ok"
    http.usual.status = 404
    assert command("test", "slack", "--channel", "finance_slack").code == 1


def test_a_test_without_a_configured_channel_fails(command: Command) -> None:
    assert command("test", "email").code == 1
    said = command("test", "webhook")
    assert (said.code, said.out) == (
        1,
        "the policy has no channel of this kind; see: mita-otel policy show alerts.channels\n",
    )
    assert command("test", "apprise").code == 1


def test_an_unknown_channel_is_one_line(command: Command) -> None:
    said = command("test", "slack", "--channel", "nowhere")
    assert said.code == 2
    assert said.err.startswith("no slack channel nowhere")


@pytest.mark.parametrize("script", ["test_sentry_integration", "test_pagerduty_integration"])
def test_the_scripts_of_the_guide_are_installed(
    script: str,
    isolated_telemetry: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    receiver, http = Receiver(), HttpReceiver()
    http.usual.status, http.usual.body = 202, '{"status": "success", "dedup_key": "k"}'
    monkeypatch.setenv("SENTRY_DSN", receiver.dsn)
    monkeypatch.setenv("PAGERDUTY_FINANCE_KEY", "k" * 32)
    monkeypatch.setenv("MITA_OTEL_ALERTS__DELIVERY__PAGERDUTY_URL", http.url)
    monkeypatch.setattr(sys, "argv", [script])
    entry = next(one for one in distribution("mita-otel").entry_points if one.name == script)
    with pytest.raises(SystemExit) as end:
        entry.load()()
    receiver.close()
    http.close()
    assert end.value.code in (0, None), capsys.readouterr().err
    assert (
        "Sentry accepted event " if "sentry" in script else "PagerDuty accepted event k, and resolved it"
    ) in capsys.readouterr().out
