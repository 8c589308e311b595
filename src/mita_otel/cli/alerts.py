"""`mita-otel alerts`: open alerts, acknowledgements, silences; alert rules in Sentry."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mita_otel import environment_variables as variables
from mita_otel._text import counted
from mita_otel.alerts.alert import Silence
from mita_otel.alerts.store import AlertStoreUnavailableError
from mita_otel.cli import sentry_alerts
from mita_otel.cli.options import AsJson, Environment, seconds
from mita_otel.cli.output import echo, echo_json
from mita_otel.cli.trail_session import current_user
from mita_otel.errors import ConfigurationError

if TYPE_CHECKING:
    from mita_otel.alerts.alert import Alert, AlertScope
    from mita_otel.alerts.sql_store import SqlAlertStore
    from mita_otel.policy import Policy

app = typer.Typer(add_completion=False, no_args_is_help=True)
sentry_alerts.add_to(app)

Service = Annotated[
    str | None,
    typer.Option(
        "--service", "-s", help="Service (default: OTEL_SERVICE_NAME, or the only service with alerts)."
    ),
]
By = Annotated[
    str | None,
    typer.Option("--by", help="Your name for the record (default: the user that runs the command)."),
]

_SECOND = 1_000_000_000


@app.command()
def status(
    everything: Annotated[bool, typer.Option("--all", help="Include resolved alerts.")] = False,
    as_json: AsJson = False,
    service: Service = None,
    environment: Environment = None,
) -> None:
    """Show open alerts. Exit status: 0 if there are no open alerts, else 1."""
    store, policy = _opened(service, environment)
    with _closing(store):
        alerts = [one for one in store.read_alerts() if one.open or everything]
        waiting = store.waiting()
    if as_json:
        echo_json([_plain(one) for one in alerts], indent=2)
    else:
        for one in alerts:
            echo(_line(one, policy))
        if waiting:
            echo(f"{counted(waiting, 'message')} waiting for delivery")
        if not alerts:
            echo(f"{store.scope.key}: no open alerts")
    if any(one.open for one in alerts):
        raise typer.Exit(1)


@app.command()
def ack(
    alert: Annotated[str, typer.Argument(help="Id of the alert, as in its messages.")],
    by: By = None,
    service: Service = None,
    environment: Environment = None,
) -> None:
    """Acknowledge an alert. It is no longer escalated."""
    from mita_otel.redaction import Redactor

    store, policy = _opened(service, environment)
    with _closing(store):
        taken = store.acknowledge(alert.strip(), Redactor(policy).text(by or current_user()), time.time_ns())
    if taken is None:
        raise ConfigurationError(f"{store.scope.key} has no open alert {alert}; run: mita-otel alerts status")
    echo(f"{taken.id} {taken.rule}: acknowledged by {taken.acknowledged_by}")


@app.command()
def silence(
    rule: Annotated[str, typer.Argument(help="Name of the rule; * matches any text.")],
    length: Annotated[str, typer.Option("--for", metavar="TIME", help="Duration: 90m, 2h or 1d.")],
    about: Annotated[
        str, typer.Option("--about", help="Only alerts about this subject; * matches any text.")
    ] = "*",
    why: Annotated[str, typer.Option("--why", help="Reason, for the record.")] = "",
    by: By = None,
    service: Service = None,
    environment: Environment = None,
) -> None:
    """Suppress the notifications of matching alerts for a time. The rules are still evaluated."""
    from mita_otel.redaction import Redactor

    store, policy = _opened(service, environment)
    if "*" not in rule and rule not in policy.alerts.rules:
        raise ConfigurationError(f"no rule {rule}; use one of {', '.join(policy.alerts.rules)}")
    now_ns, redactor = time.time_ns(), Redactor(policy)
    made = Silence(
        id=uuid.uuid4().hex[:12],
        rule=rule,
        subject=about,
        from_ns=now_ns,
        until_ns=now_ns + int(seconds(length, "--for") * _SECOND),
        by=redactor.text(by or current_user()),
        why=redactor.text(why),
    )
    with _closing(store):
        store.add_silence(made)
    echo(f"{made.id} {made.rule}: silent until {_time(made.until_ns)}")


@app.command()
def silences(service: Service = None, environment: Environment = None) -> None:
    """Show active silences."""
    store, _ = _opened(service, environment)
    with _closing(store):
        found = [one for one in store.read_silences() if one.until_ns > time.time_ns()]
    for one in found:
        about = "" if one.subject == "*" else f" about {one.subject}"
        why = f": {one.why}" if one.why else ""
        echo(f"{one.id} {one.rule}{about}: silent until {_time(one.until_ns)}, by {one.by}{why}")
    if not found:
        echo(f"{store.scope.key}: no active silences")


@app.command()
def unsilence(
    silence: Annotated[str, typer.Argument(help="Id of the silence.")],
    service: Service = None,
    environment: Environment = None,
) -> None:
    """End a silence."""
    store, _ = _opened(service, environment)
    with _closing(store):
        ended = store.end_silence(silence.strip())
    if not ended:
        raise ConfigurationError(f"no silence {silence}; run: mita-otel alerts silences")
    echo(f"{silence}: ended")


@app.command()
def run(
    once: Annotated[bool, typer.Option("--once", help="Evaluate once and exit, for cron.")] = False,
    service: Service = None,
    environment: Environment = None,
) -> None:
    """Evaluate rules and deliver messages until interrupted, for workers that only count (alerts.start = "record")."""
    from mita_otel.alerts.alert_setup import make_dispatcher
    from mita_otel.alerts.channels.registry import Channels
    from mita_otel.alerts.evaluator import RuleEvaluator
    from mita_otel.alerts.runner import AlertRunner
    from mita_otel.processors.queues.losses import Losses
    from mita_otel.redaction import Redactor

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    store, policy = _opened(service, environment)
    channels = Channels(policy.alerts, os.environ)
    redactor = Redactor(policy)
    objective = policy.thresholds.objective
    evaluator = RuleEvaluator(policy.alerts, objective, store.scope, redactor, channels.resolve, shared=True)
    dispatcher = make_dispatcher(policy, store, channels, redactor, Losses(cool_down_s=60))
    runner = AlertRunner(store, evaluator, dispatcher)
    with _closing(store), closing(dispatcher):
        if once:
            queued = runner.run_once()
            echo("another process evaluates the rules" if queued is None else counted(queued, "message"))
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        echo(
            f"alerts of {store.scope.key}: {len(evaluator.rules)} rules, {', '.join(channels.configured) or 'no channel configured'}"
        )
        runner.run(stop, policy.alerts.evaluate_s)


@contextmanager
def _closing(store: SqlAlertStore) -> Iterator[None]:
    try:
        yield
    except AlertStoreUnavailableError as error:
        raise ConfigurationError(str(error)) from error
    finally:
        store.close()


def _opened(service: str | None, environment: str | None) -> tuple[SqlAlertStore, Policy]:
    """Open the alert store of a service.

    Raises:
        ConfigurationError: Alerts are not in a shared store, the service is ambiguous, or the store cannot be
            used.
    """
    from mita_otel.alerts.alert_setup import uses_shared_store
    from mita_otel.alerts.sql_store import open_alert_store
    from mita_otel.policy import environment_name, load_policy

    policy = load_policy(environment=environment)
    if not uses_shared_store(policy.alerts, os.environ):
        raise ConfigurationError(
            "commands cannot see alerts held in a process's memory: set "
            f"{variables.DATABASE_URL} for the service and for this command, so that alerts are in the store"
        )
    return open_alert_store(
        policy, _scope(policy, service, environment_name(environment)), os.environ
    ), policy


def _scope(policy: Policy, service: str | None, environment: str) -> AlertScope:
    from mita_otel.alerts.alert import AlertScope
    from mita_otel.alerts.alert_setup import scope_of
    from mita_otel.alerts.sql_store import known_scopes
    from mita_otel.sdk.service import describe_service
    from mita_otel.store import open_database
    from mita_otel.store.migrate import require

    if service:
        return AlertScope(service, environment)
    described = scope_of(describe_service(environment, None, os.environ), environment)
    if not described.service.startswith("unknown_service"):
        return described
    database = open_database(policy.store, os.environ)
    try:
        require(database, migrate=policy.store.migrate)
        known = [key for key in known_scopes(database) if key.endswith(f"/{environment}")]
    finally:
        database.close()
    if len(known) > 1:
        names = ", ".join(sorted(key.removesuffix(f"/{environment}") for key in known))
        raise ConfigurationError(f"several services have alerts; choose one with --service: {names}")
    return AlertScope(known[0].removesuffix(f"/{environment}"), environment) if known else described


def _line(alert: Alert, policy: Policy) -> str:
    rule = policy.alerts.rules.get(alert.rule)
    title = rule.title if rule is not None else alert.rule
    about = f" ({alert.subject})" if alert.subject else ""
    state = "resolved" if not alert.open else "open"
    if alert.open and alert.acknowledged_ns:
        state = f"acknowledged by {alert.acknowledged_by}"
    return f"{alert.id} {state} since {_time(alert.opened_ns)}: {title}{about}: {alert.reason}"


def _plain(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.id,
        "rule": alert.rule,
        "subject": alert.subject,
        "open": alert.open,
        "opened": _time(alert.opened_ns),
        "last_seen": _time(alert.seen_ns),
        "reason": alert.reason,
        "acknowledged_by": alert.acknowledged_by or None,
        "escalation_steps": alert.steps,
        "notified": list(alert.notified),
    }


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns / _SECOND, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
