"""The lifecycle of an alert: notified once, escalated, acknowledged, silenced, closed; also over restarts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, update

from alerts.conftest import OpenStore
from alerts.kit import SECOND, START, Bank, error, policy_with
from exploring import examples
from mita_otel.alerts.alert import AlertScope, Silence
from mita_otel.alerts.memory_store import MemoryAlertStore
from mita_otel.alerts.sql_store import SqlAlertStore
from mita_otel.alerts.sql_transaction import ALERTS, MESSAGES, SAMPLES
from mita_otel.policy import Policy, default_policy

MakeBank = Callable[..., Bank]
MINUTE = 60
FAILURES = (error(0), error(1), error(2))


def silence(rule: str = "*", *, from_s: float = 0, until_s: float = 1000, subject: str = "*") -> Silence:
    return Silence(
        id="s1", rule=rule, subject=subject, from_ns=START + int(from_s * SECOND), until_ns=START + int(until_s * SECOND),
        by="ann", why="a release",
    )  # fmt: skip


# --- escalation --------------------------------------------------------------------------------------
def test_an_unacknowledged_alert_is_escalated_step_by_step(open_store: OpenStore) -> None:
    bank = Bank(open_store())
    bank.happens(*FAILURES)
    assert bank.sent_to() == ["payments_email", "payments_slack"]
    assert bank.evaluate(2 + 14 * MINUTE + 59) == []
    assert bank.evaluate(2 + 15 * MINUTE) == [("finance_pagerduty", "escalate")]
    assert bank.sent[-1][1].reason == "3 events within 5 minutes; not acknowledged for 15 minutes"
    assert bank.evaluate(2 + 29 * MINUTE) == []
    assert bank.evaluate(2 + 30 * MINUTE) == [("devops_pagerduty", "escalate"), ("finance_email", "escalate")]
    assert bank.evaluate(2 + 59 * MINUTE) == []


def test_an_acknowledgement_stops_the_escalation_and_is_notified(
    open_store: OpenStore,
) -> None:
    bank = Bank(open_store())
    bank.happens(*FAILURES)
    [alert] = bank.alerts()
    taken = bank.store.acknowledge(alert.id, "ann", bank.now_ns)
    assert taken is not None and taken.acknowledged_by == "ann"
    assert bank.evaluate(10) == [("payments_email", "acknowledge"), ("payments_slack", "acknowledge")]
    assert bank.sent[-1][1].reason.endswith("; by ann")
    assert bank.evaluate(11) == []
    assert bank.evaluate(2 + 45 * MINUTE) == []


def test_queued_notifications_are_redacted(memory_bank: MakeBank) -> None:
    """The queue is in the store: nothing reaches a disk as it was."""
    bank = memory_bank()
    bank.happens(*FAILURES)
    [alert] = bank.alerts()
    bank.store.acknowledge(alert.id, "ann, 4111 1111 1111 1111", bank.now_ns)
    bank.evaluate(10)
    assert bank.sent[-1][1].reason.endswith("; by ann, [redacted:pan]")


def test_the_acknowledge_command_is_sent_only_for_shared_alerts(open_store: OpenStore) -> None:
    """Commands cannot see alerts in the memory of another process."""
    bank = Bank(open_store())
    bank.happens(*FAILURES)
    [alert] = bank.alerts()
    bank.evaluate(2 + 15 * MINUTE)
    bank.evaluate(2 + 3601)
    command = f"mita-otel alerts ack {alert.id} -s bank -e production" if bank.store.shared else ""
    said = {body.action: body.acknowledge_command for _, body in bank.sent}
    assert said == {"trigger": command, "escalate": command, "resolve": ""}


def test_only_an_open_alert_can_be_acknowledged(open_store: OpenStore) -> None:
    bank = Bank(open_store())
    assert bank.store.acknowledge("nothing", "ann", bank.now_ns) is None
    bank.happens(*FAILURES)
    [alert] = bank.alerts()
    bank.evaluate(2 * 3600)
    assert bank.store.acknowledge(alert.id, "ann", bank.now_ns) is None


def test_evaluated_events_do_not_reopen_an_alert(open_store: OpenStore) -> None:
    bank = Bank(open_store(), policy_with({"payment_processing_failures": {"quiet_s": 60, "cool_down_s": 0}}))
    bank.happens(*FAILURES)
    assert [action for _, action in bank.evaluate(100)] == ["resolve", "resolve"]
    assert bank.evaluate(110) == []
    assert [alert.open for alert in bank.alerts()] == [False]


def test_missed_escalation_steps_are_taken_together(open_store: OpenStore) -> None:
    bank = Bank(open_store())
    bank.happens(*FAILURES)
    notified = bank.evaluate(2 + 40 * MINUTE)
    assert notified == [
        ("finance_pagerduty", "escalate"),
        ("devops_pagerduty", "escalate"),
        ("finance_email", "escalate"),
    ]


# --- over --------------------------------------------------------------------------------------------
def test_an_event_alert_closes_after_an_hour_and_every_notified_channel_is_notified(
    open_store: OpenStore,
) -> None:
    bank = Bank(open_store())
    bank.happens(*FAILURES)
    bank.happens(error(600), error(601), error(602))
    bank.evaluate(2 + 15 * MINUTE)
    assert bank.evaluate(602 + 3600) == [("devops_pagerduty", "escalate"), ("finance_email", "escalate")]
    everybody = ["payments_email", "payments_slack", "finance_pagerduty", "devops_pagerduty", "finance_email"]
    assert bank.evaluate(602 + 3601) == [(channel, "resolve") for channel in everybody]
    assert bank.evaluate(602 + 3700) == []
    assert [alert.open for alert in bank.alerts()] == [False]


def test_a_late_event_does_not_close_an_alert_sooner(open_store: OpenStore) -> None:
    """For example of another worker that could not reach the store for a while."""
    bank = Bank(open_store())
    bank.happens(error(600), error(601), error(602))
    bank.happens(*FAILURES)
    assert bank.evaluate(602 + 3600)  # an escalation: it is still open
    assert {action for _, action in bank.evaluate(602 + 3601)} == {"resolve"}


def test_an_error_rate_alert_closes_after_a_window_below_the_limit(open_store: OpenStore) -> None:
    bank = Bank(open_store())
    bank.spans("high_error_rate", 50, 100, at_s=0)
    assert bank.evaluate(1) != []
    bank.spans("high_error_rate", 0, 1000, at_s=100)
    assert bank.evaluate(250) == []
    assert bank.evaluate(302) == [("devops_email", "resolve"), ("devops_slack", "resolve")]


def test_the_alert_of_a_removed_rule_is_closed(open_store: OpenStore) -> None:
    bank = Bank(open_store())
    bank.happens(*FAILURES)
    after = Bank(open_store(), policy_with({"critical_financial_errors": {}}), now_s=60)
    assert after.evaluate() == []
    assert [alert.open for alert in after.alerts()] == [False]


# --- cool-down ---------------------------------------------------------------------------------------
def test_an_alert_that_reopens_within_the_cool_down_is_notified_after_it(
    open_store: OpenStore,
) -> None:
    policy = policy_with({"payment_processing_failures": {"quiet_s": 60, "escalation": ""}})
    bank = Bank(open_store(), policy)
    bank.happens(*FAILURES)
    assert [action for _, action in bank.evaluate(100)] == ["resolve", "resolve"]
    bank.happens(error(600), error(601), error(602))
    assert bank.evaluate(610) == []
    assert bank.evaluate(700) == []  # closed without a notification, because its opening was not notified
    bank.happens(error(880), error(881), error(882))
    assert bank.evaluate(901) == []
    assert [action for _, action in bank.evaluate(902)] == ["trigger", "trigger"]


def test_a_rule_may_set_its_cool_down(memory_bank: MakeBank) -> None:
    bank = memory_bank(policy_with({"payment_processing_failures": {"quiet_s": 10, "cool_down_s": 0}}))
    bank.happens(*FAILURES)
    bank.evaluate(20)
    bank.happens(error(400), error(401), error(402))
    assert len(bank.sent_to()) == 4


# --- silences ----------------------------------------------------------------------------------------
def test_a_silenced_alert_is_notified_after_the_silence(open_store: OpenStore) -> None:
    bank = Bank(open_store())
    bank.store.add_silence(silence("payment_*"))
    bank.happens(*FAILURES)
    assert [alert.open for alert in bank.alerts()] == [True]
    assert bank.evaluate(999) == []
    assert bank.evaluate(1000) == [("payments_email", "trigger"), ("payments_slack", "trigger")]


def test_an_acknowledged_silenced_alert_is_not_notified_later(open_store: OpenStore) -> None:
    bank = Bank(open_store())
    bank.store.add_silence(silence())
    bank.happens(*FAILURES)
    [alert] = bank.alerts()
    assert bank.store.acknowledge(alert.id, "ann", bank.now_ns)
    assert bank.evaluate(1000) == []
    assert bank.evaluate(2 + 45 * MINUTE) == []
    assert bank.evaluate(2 + 3601) == []  # its opening was not notified


def test_a_silence_only_applies_to_its_rule_and_subject(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    bank.store.add_silence(silence("high_error_rate"))
    bank.store.add_silence(silence("payment_processing_failures", subject="other"))
    bank.happens(*FAILURES)
    assert len(bank.sent) == 2


def test_a_silence_stops_escalation_but_not_the_resolution(open_store: OpenStore) -> None:
    bank = Bank(open_store())
    bank.happens(*FAILURES)
    bank.store.add_silence(silence(until_s=10_000))
    assert bank.evaluate(2 + 30 * MINUTE) == []
    assert [action for _, action in bank.evaluate(3700)] == ["resolve", "resolve"]


def test_a_silence_can_be_ended(open_store: OpenStore) -> None:
    bank = Bank(open_store())
    bank.store.add_silence(silence())
    assert bank.store.end_silence("s1")
    assert not bank.store.end_silence("s1")
    bank.happens(*FAILURES)
    assert len(bank.sent) == 2


# --- deletion -------------------------------------------------------------------------------
def test_old_samples_and_closed_alerts_are_deleted(
    open_store: OpenStore,
) -> None:
    bank = Bank(open_store())
    bank.happens(*FAILURES)
    bank.store.add_silence(silence(until_s=60, rule="nothing"))
    bank.spans("high_error_rate", 1, 1000, at_s=0)
    bank.evaluate(3603)  # the alert is over
    with bank.store.transaction() as transaction:
        assert (
            transaction.samples("payment_processing_failures", 0)
            == transaction.samples("high_error_rate", 0)
            == []
        )
    week = 7 * 86_400
    bank.evaluate(3600 + week)
    assert len(bank.alerts()) == 1
    bank.evaluate(3604 + week)
    with bank.store.transaction() as transaction:
        assert transaction.alerts() == [] and transaction.silences() == []


# --- restarts, several processes ---------------------------------------------------------------------
@pytest.mark.parametrize("open_store", ["sqlite", "postgresql"], indirect=True)
def test_another_process_continues_with_stored_samples(open_store: OpenStore) -> None:
    first = Bank(open_store())
    first.happens(error(0), error(1))
    assert first.sent == []
    second = Bank(open_store(), now_s=100)
    second.happens(error(100))
    assert second.sent_to() == ["payments_email", "payments_slack"]
    third = Bank(open_store())
    assert third.evaluate(2 + 10) == []
    assert third.evaluate(100 + 15 * MINUTE) == [("finance_pagerduty", "escalate")]
    assert [body.alert_id for _, body in third.sent] == [second.sent[0][1].alert_id]


@pytest.mark.parametrize("open_store", ["sqlite"], indirect=True)
def test_fields_of_a_newer_version_are_ignored(open_store: OpenStore) -> None:
    """Workers are replaced one by one: for a while two versions share the store."""
    store = open_store()
    assert isinstance(store, SqlAlertStore)
    bank = Bank(store)
    bank.happens(*FAILURES)
    before = bank.alerts(), store.due(bank.now_ns, ["payments_slack"], 9)
    with store.database.write() as connection:
        for table, column in ((ALERTS, "state"), (MESSAGES, "body"), (SAMPLES, "sample")):
            more = func.json_set(table.c[column], "$.of_tomorrow", 1)
            connection.execute(update(table).values({column: more}))
    assert (bank.alerts(), store.due(bank.now_ns, ["payments_slack"], 9)) == before
    with store.transaction() as transaction:
        assert transaction.samples("payment_processing_failures", 0)[0].exemplar is not None


@pytest.mark.parametrize("open_store", ["sqlite", "postgresql"], indirect=True)
def test_three_errors_in_three_processes_are_three(open_store: OpenStore) -> None:
    banks = [Bank(open_store()) for _ in range(3)]
    for number, bank in enumerate(banks):
        bank.happens(error(number))
    assert [len(bank.sent) for bank in banks] == [0, 0, 2]


@pytest.mark.parametrize("open_store", ["sqlite", "postgresql"], indirect=True)
def test_scopes_in_one_store_are_isolated(
    open_store: OpenStore,
) -> None:
    first = open_store()
    assert isinstance(first, SqlAlertStore)
    Bank(first).happens(*FAILURES)
    first.add_silence(silence("nothing"))
    [alert] = first.read_alerts()
    other = SqlAlertStore(
        first.database, AlertScope("shop", "production"), lease_s=30, migrate=True, max_queued=10
    )
    assert other.read_alerts() == other.read_silences() == []
    assert other.waiting() == 0
    assert other.due(START + SECOND, ["payments_email", "payments_slack"], 9) == []
    assert other.acknowledge(alert.id, "ann", START) is None
    assert not other.end_silence("s1")
    with other.transaction() as transaction:
        assert transaction.unevaluated("payment_processing_failures") == []
        assert transaction.samples("payment_processing_failures", 0) == []
        transaction.delete_samples("payment_processing_failures", START + 10**6 * SECOND)
        transaction.delete_closed(START + 10**6 * SECOND)
    assert first.read_alerts() == [alert]
    assert len(first.read_silences()) == 1 and first.waiting() == 2
    with first.transaction() as transaction:
        assert len(transaction.samples("payment_processing_failures", 0)) == 3


@pytest.mark.parametrize("open_store", ["sqlite", "postgresql"], indirect=True)
def test_the_lease_stays_with_one_process_until_it_expires(open_store: OpenStore) -> None:
    from mita_otel.store.database import Database

    first = open_store()
    assert isinstance(first, SqlAlertStore)
    clock = [START]

    def store() -> SqlAlertStore:
        database = Database(first.database.url.render_as_string(hide_password=False), default_policy().store)
        return SqlAlertStore(
            database, first.scope, lease_s=30, migrate=True, max_queued=10, clock_ns=lambda: clock[0]
        )

    one, other = store(), store()
    assert one.acquire_lease() and not other.acquire_lease()
    clock[0] += 29 * SECOND
    assert one.acquire_lease()
    clock[0] += 29 * SECOND
    assert not other.acquire_lease()
    clock[0] += 2 * SECOND
    assert other.acquire_lease() and not one.acquire_lease()
    one.close()
    other.close()


# --- whatever happens --------------------------------------------------------------------------------
@settings(max_examples=examples(60))
@given(
    st.lists(st.tuples(st.integers(0, 900), st.booleans()), max_size=40),
    st.lists(st.integers(0, 7200), max_size=30),
)
def test_an_alert_opens_and_closes_once_whenever_it_is_evaluated(
    events: list[tuple[int, bool]], looks: list[int]
) -> None:
    """Compare with the definition: an alert if any five minutes contain three payment failures."""
    bank = Bank(MemoryAlertStore(max_samples=10_000, max_queued=1000), _only_payments())
    happened = sorted(at for at, _ in events)
    for at, late in sorted(events):
        bank.now_s = max(bank.now_s, at + 100 * late)
        bank.happens(error(at))
    for at in sorted(looks):
        bank.evaluate(max(bank.now_s, at))
    bank.evaluate(20_000)
    too_many = any(later - earlier <= 300 for earlier, later in zip(happened, happened[2:], strict=False))
    triggers = [
        body for channel, body in bank.sent if body.action == "trigger" and channel == "payments_slack"
    ]
    resolves = [
        body for channel, body in bank.sent if body.action == "resolve" and channel == "payments_slack"
    ]
    assert len(triggers) == len(resolves) == int(too_many)


def _only_payments() -> Policy:
    return policy_with({"payment_processing_failures": {"escalation": "", "quiet_s": 3600}})
