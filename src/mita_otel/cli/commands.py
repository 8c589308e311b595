"""The table of commands. A command is a module with a `typer.Typer` named `app`, imported when it is used."""

from __future__ import annotations

from typing import Final, NamedTuple


class Command(NamedTuple):
    """A row of the table."""

    module: str
    """Where its `app` is. An app of one command is that command; of several, a group."""
    summary: str
    """What the list of commands says about it."""


COMMANDS: Final = {
    "policy": Command(
        "mita_otel.cli.policy", "What is fast enough and what must never leave: show it, check it."
    ),
    "redact": Command("mita_otel.cli.redact", "Take the secrets out of a text, or explain a verdict."),
    "audit": Command("mita_otel.cli.audit", "Read the audit trail, verify it, note where it stands."),
    "report": Command("mita_otel.cli.report", "Performance, compliance and security reports from the store."),
    "retention": Command(
        "mita_otel.cli.retention", "Delete what has had its time; place and release legal holds."
    ),
    "subject": Command("mita_otel.cli.subject", "What is kept about a person, and their erasure."),
    "store": Command("mita_otel.cli.store", "The store's tables, and who may do what to them."),
    "alerts": Command(
        "mita_otel.cli.alerts", "What is open, who takes it, silences; and the rules in Sentry."
    ),
    "mobile": Command(
        "mita_otel.cli.mobile", "The gateway for mobile apps: serve it, show what an app needs."
    ),
    "release": Command("mita_otel.cli.release", "Releases in Sentry: make, say what is in them, deploy."),
    "test": Command(
        "mita_otel.cli.self_test", "Send a marked, real event: to Sentry, Slack, PagerDuty, by e-mail."
    ),
    "doctor": Command(
        "mita_otel.cli.doctor", "Look for what is wrong with this environment, and name the mend."
    ),
}
"""The commands by name, in the order in which `--help` lists them."""
