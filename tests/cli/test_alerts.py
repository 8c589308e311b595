"""`mita-otel alerts`: open alerts, acknowledgements, silences, and a separate evaluation run."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from alerts.kit import START, Bank, error
from alerts.receivers import HttpReceiver
from cli.conftest import Command
from mita_otel.alerts.alert import AlertScope
from mita_otel.alerts.sql_store import SqlAlertStore
from mita_otel.policy import default_policy
from mita_otel.store.database import Database


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path}/alerts.db"
    monkeypatch.setenv("MITA_OTEL_DATABASE_URL", url)
    return url


def bank(url: str, service: str = "bank", environment: str = "production") -> Bank:
    """Return the service at the current time."""
    database = Database(url, default_policy().store)
    scope = AlertScope(service, environment)
    store = SqlAlertStore(database, scope, lease_s=30, migrate=True, max_queued=100)
    made = Bank(store, now_s=time.time() - START / 1e9)
    made.evaluator._scope = scope
    return made


def failing(one: Bank) -> Bank:
    one.happens(*(error(one.now_s + number) for number in range(3)))
    one.store.close()
    return one


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


def test_open_alerts_are_shown_with_exit_status_1(command: Command, shared: str) -> None:
    assert command("alerts", "status", "-s", "bank").lines == ["bank/production: no open alerts"]
    failing(bank(shared))
    said = command("alerts", "status", "-s", "bank")
    assert said.code == 1
    assert re.fullmatch(
        r"[0-9a-f]{16} open since \S+Z: Payment processing failures: 3 events within 5 minutes", said.lines[0]
    )
    assert said.lines[1] == "2 messages waiting for delivery"
    shown = json.loads(command("alerts", "status", "--json").out)
    assert [(one["rule"], one["open"]) for one in shown] == [("payment_processing_failures", True)]


def test_an_alert_is_acknowledged_with_a_name(command: Command, shared: str) -> None:
    failing(bank(shared))
    [alert] = json.loads(command("alerts", "status", "--json").out)
    said = command("alerts", "ack", alert["id"], "--by", "ann")
    assert said.lines == [f"{alert['id']} payment_processing_failures: acknowledged by ann"]
    assert "acknowledged by ann since" in command("alerts", "status").out
    said = command("alerts", "ack", "nothing")
    assert (said.code, said.err) == (
        2,
        "bank/production has no open alert nothing; run: mita-otel alerts status\n",
    )


def test_silences_are_created_shown_and_ended(command: Command, shared: str) -> None:
    assert command("alerts", "silences", "-s", "bank").lines == ["bank/production: no active silences"]
    made = command(
        "alerts", "silence", "payment_*", "--for", "2h", "--why", "a release", "--by", "ann", "-s", "bank"
    )
    silence = made.out.split()[0]
    assert re.fullmatch(rf"{silence} payment_\*: silent until \S+Z", made.lines[0])
    assert "by ann: a release" in command("alerts", "silences", "-s", "bank").out
    one = failing(bank(shared))
    assert one.sent == []
    assert command("alerts", "unsilence", silence).lines == [f"{silence}: ended"]
    assert command("alerts", "unsilence", silence).code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["silence", "payment", "--for", "2h"],
            "no rule payment; use one of critical_financial_errors",
        ),
        (
            ["silence", "*", "--for", "tomorrow"],
            "--for tomorrow: not a duration; use 90m, 2h or 7d",
        ),
        (["silence", "*", "--for", "0h"], "--for 0h: not a duration"),
    ],
)
def test_an_invalid_argument_is_an_error_with_the_fix(
    command: Command, shared: str, arguments: list[str], said: str
) -> None:
    ran = command("alerts", *arguments)
    assert ran.code == 2
    assert ran.err.startswith(said)


def test_one_of_several_services_must_be_selected(command: Command, shared: str) -> None:
    failing(bank(shared, "bank"))
    failing(bank(shared, "shop"))
    failing(bank(shared, "other", "staging"))
    said = command("alerts", "status")
    assert (said.code, said.err) == (
        2,
        "several services have alerts; choose one with --service: bank, shop\n",
    )
    assert "Payment processing" in command("alerts", "status", "-s", "shop").out
    assert "Payment processing" in command("alerts", "status", "-e", "staging").out


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["ack", "a1b2"],
        ["silence", "*", "--for", "2h"],
        ["silences"],
        ["unsilence", "a1b2"],
        ["run", "--once"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_without_a_store_commands_explain_that_alerts_are_in_memory(
    command: Command, tmp_path: Path, arguments: list[str]
) -> None:
    said = command("alerts", *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("commands cannot see alerts held in a process's memory")
    assert "set MITA_OTEL_DATABASE_URL" in said.err
    assert list(tmp_path.iterdir()) == []


def test_secrets_in_reasons_and_names_are_redacted(command: Command, shared: str) -> None:
    command("alerts", "silence", "*", "--for", "2h", "--why", "card 4111 1111 1111 1111", "-s", "bank")
    assert "card [redacted:pan]" in command("alerts", "silences", "-s", "bank").out
    failing(bank(shared))
    [alert] = json.loads(command("alerts", "status", "--json").out)
    said = command("alerts", "ack", alert["id"], "--by", "4111 1111 1111 1111")
    assert said.out.endswith("acknowledged by [redacted:pan]\n")


def test_an_unreachable_store_is_reported_in_one_message(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MITA_OTEL_DATABASE_URL", "postgresql://user@127.0.0.1:1/none")
    said = command("alerts", "status", "-s", "bank")
    assert said.code == 2
    assert "does not answer" in said.err and said.err.count("\n") == 1


def test_a_separate_run_evaluates_and_delivers(
    command: Command, shared: str, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_FINANCE_WEBHOOK", receiver.url)
    one = bank(shared)
    one.store.add_samples(sample for number in range(3) for sample in one.samples(error(one.now_s + number)))
    one.store.close()
    assert command("alerts", "run", "--once", "-s", "bank").lines == ["1 message"]
    assert [posted.json["text"] for posted in receiver.posted] == [
        "Payment processing failures: 3 events within 5 minutes"
    ]
    assert command("alerts", "run", "--once", "-s", "bank").lines == ["another process evaluates the rules"]
