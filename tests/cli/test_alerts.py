"""`mita-otel alerts`: what is open, who takes it, silences, and a run of its own."""

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
    """The service, now."""
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


def test_what_is_open_is_shown_and_is_exit_status_1(command: Command, shared: str) -> None:
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


def test_an_alert_is_acknowledged_by_whoever_says_so(command: Command, shared: str) -> None:
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


def test_silences_are_made_shown_and_ended(command: Command, shared: str) -> None:
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
def test_a_slip_is_answered_with_the_mend(
    command: Command, shared: str, arguments: list[str], said: str
) -> None:
    ran = command("alerts", *arguments)
    assert ran.code == 2
    assert ran.err.startswith(said)


def test_with_several_services_one_has_to_be_named(command: Command, shared: str) -> None:
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
def test_alerts_in_the_memory_of_the_service_cannot_be_reached_and_that_is_said(
    command: Command, tmp_path: Path, arguments: list[str]
) -> None:
    said = command("alerts", *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("commands cannot see alerts held in a process's memory")
    assert "set MITA_OTEL_DATABASE_URL" in said.err
    assert list(tmp_path.iterdir()) == []


def test_no_secret_is_kept_of_what_somebody_says(command: Command, shared: str) -> None:
    command("alerts", "silence", "*", "--for", "2h", "--why", "card 4111 1111 1111 1111", "-s", "bank")
    assert "card [redacted:pan]" in command("alerts", "silences", "-s", "bank").out
    failing(bank(shared))
    [alert] = json.loads(command("alerts", "status", "--json").out)
    said = command("alerts", "ack", alert["id"], "--by", "4111 1111 1111 1111")
    assert said.out.endswith("acknowledged by [redacted:pan]\n")


def test_a_store_that_does_not_answer_is_one_message(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MITA_OTEL_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    said = command("alerts", "status", "-s", "bank")
    assert said.code == 2
    assert "does not answer" in said.err and said.err.count("\n") == 1


def test_a_run_of_its_own_looks_and_delivers(
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
