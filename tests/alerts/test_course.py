"""How an alert goes on: told once, escalated, acknowledged, silenced, over; also when the process restarts in between."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, update

from alerts.conftest import OpenBook
from alerts.kit import SECOND, START, Bank, error, policy_with
from exploring import examples
from mita_otel.alerts.alert import Scope
from mita_otel.alerts.memory_book import MemoryBook
from mita_otel.alerts.silence import Silence
from mita_otel.alerts.store_book import StoreBook
from mita_otel.alerts.store_turn import ALERTS, MESSAGES, POINTS
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
def test_an_alert_that_nobody_acknowledges_is_escalated_step_by_step(open_book: OpenBook) -> None:
    bank = Bank(open_book())
    bank.happens(*FAILURES)
    assert bank.told_to() == ["payments_email", "payments_slack"]
    assert bank.look(2 + 14 * MINUTE + 59) == []
    assert bank.look(2 + 15 * MINUTE) == [("finance_pagerduty", "escalate")]
    assert bank.told[-1][1].reason == "3 events within 5 minutes; not acknowledged for 15 minutes"
    assert bank.look(2 + 29 * MINUTE) == []
    assert bank.look(2 + 30 * MINUTE) == [("devops_pagerduty", "escalate"), ("finance_email", "escalate")]
    assert bank.look(2 + 59 * MINUTE) == []


def test_an_acknowledged_alert_is_not_escalated_and_everybody_hears_who_takes_it(open_book: OpenBook) -> None:
    bank = Bank(open_book())
    bank.happens(*FAILURES)
    [alert] = bank.alerts()
    taken = bank.book.acknowledge(alert.id, "ann", bank.now_ns)
    assert taken is not None and taken.acknowledged_by == "ann"
    assert bank.look(10) == [("payments_email", "acknowledge"), ("payments_slack", "acknowledge")]
    assert bank.told[-1][1].reason.endswith("; by ann")
    assert bank.look(11) == []
    assert bank.look(2 + 45 * MINUTE) == []


def test_what_is_queued_is_redacted_already(memory_bank: MakeBank) -> None:
    """The queue is in the store: nothing reaches a disk as it was."""
    bank = memory_bank()
    bank.happens(*FAILURES)
    [alert] = bank.alerts()
    bank.book.acknowledge(alert.id, "ann, 4111 1111 1111 1111", bank.now_ns)
    bank.look(10)
    assert bank.told[-1][1].reason.endswith("; by ann, [redacted:pan]")


def test_how_to_acknowledge_is_said_where_it_can_be_done(open_book: OpenBook) -> None:
    """No command finds what is in the memory of another process."""
    bank = Bank(open_book())
    bank.happens(*FAILURES)
    [alert] = bank.alerts()
    bank.look(2 + 15 * MINUTE)
    bank.look(2 + 3601)
    command = f"mita-otel alerts ack {alert.id} -s bank -e production" if bank.book.shared else ""
    said = {body.action: body.acknowledging for _, body in bank.told}
    assert said == {"trigger": command, "escalate": command, "resolve": ""}


def test_only_an_open_alert_can_be_acknowledged(open_book: OpenBook) -> None:
    bank = Bank(open_book())
    assert bank.book.acknowledge("nothing", "ann", bank.now_ns) is None
    bank.happens(*FAILURES)
    [alert] = bank.alerts()
    bank.look(2 * 3600)
    assert bank.book.acknowledge(alert.id, "ann", bank.now_ns) is None


def test_what_has_been_looked_at_makes_no_second_alert(open_book: OpenBook) -> None:
    bank = Bank(open_book(), policy_with({"payment_processing_failures": {"quiet_s": 60, "cool_down_s": 0}}))
    bank.happens(*FAILURES)
    assert [action for _, action in bank.look(100)] == ["resolve", "resolve"]
    assert bank.look(110) == []
    assert [alert.open for alert in bank.alerts()] == [False]


def test_a_process_that_was_away_takes_the_steps_it_missed_in_one(open_book: OpenBook) -> None:
    bank = Bank(open_book())
    bank.happens(*FAILURES)
    told = bank.look(2 + 40 * MINUTE)
    assert told == [
        ("finance_pagerduty", "escalate"),
        ("devops_pagerduty", "escalate"),
        ("finance_email", "escalate"),
    ]


# --- over --------------------------------------------------------------------------------------------
def test_an_alert_of_events_is_over_after_an_hour_of_quiet_and_those_who_knew_are_told(
    open_book: OpenBook,
) -> None:
    bank = Bank(open_book())
    bank.happens(*FAILURES)
    bank.happens(error(600), error(601), error(602))
    bank.look(2 + 15 * MINUTE)
    assert bank.look(602 + 3600) == [("devops_pagerduty", "escalate"), ("finance_email", "escalate")]
    everybody = ["payments_email", "payments_slack", "finance_pagerduty", "devops_pagerduty", "finance_email"]
    assert bank.look(602 + 3601) == [(channel, "resolve") for channel in everybody]
    assert bank.look(602 + 3700) == []
    assert [alert.open for alert in bank.alerts()] == [False]


def test_an_event_that_is_heard_of_late_does_not_end_an_alert_sooner(open_book: OpenBook) -> None:
    """Another worker's, say, that could not reach the store for a while."""
    bank = Bank(open_book())
    bank.happens(error(600), error(601), error(602))
    bank.happens(*FAILURES)
    assert bank.look(602 + 3600)  # an escalation: it is still open
    assert {action for _, action in bank.look(602 + 3601)} == {"resolve"}


def test_an_error_rate_that_is_low_again_for_a_window_is_over(open_book: OpenBook) -> None:
    bank = Bank(open_book())
    bank.spans("high_error_rate", 50, 100, at_s=0)
    assert bank.look(1) != []
    bank.spans("high_error_rate", 0, 1000, at_s=100)
    assert bank.look(250) == []
    assert bank.look(302) == [("devops_email", "resolve"), ("devops_slack", "resolve")]


def test_a_rule_that_the_policy_has_no_more_takes_its_alert_along(open_book: OpenBook) -> None:
    bank = Bank(open_book())
    bank.happens(*FAILURES)
    after = Bank(open_book(), policy_with({"critical_financial_errors": {}}), now_s=60)
    assert after.look() == []
    assert [alert.open for alert in after.alerts()] == [False]


# --- cool-down ---------------------------------------------------------------------------------------
def test_an_alert_that_begins_again_within_the_cool_down_is_told_when_that_is_over(
    open_book: OpenBook,
) -> None:
    policy = policy_with({"payment_processing_failures": {"quiet_s": 60, "escalation": ""}})
    bank = Bank(open_book(), policy)
    bank.happens(*FAILURES)
    assert [action for _, action in bank.look(100)] == ["resolve", "resolve"]
    bank.happens(error(600), error(601), error(602))
    assert bank.look(610) == []
    assert bank.look(700) == []  # it is over: nobody knew of it, so nobody is told
    bank.happens(error(880), error(881), error(882))
    assert bank.look(901) == []
    assert [action for _, action in bank.look(902)] == ["trigger", "trigger"]


def test_a_rule_may_have_a_cool_down_of_its_own(memory_bank: MakeBank) -> None:
    bank = memory_bank(policy_with({"payment_processing_failures": {"quiet_s": 10, "cool_down_s": 0}}))
    bank.happens(*FAILURES)
    bank.look(20)
    bank.happens(error(400), error(401), error(402))
    assert len(bank.told_to()) == 4


# --- silences ----------------------------------------------------------------------------------------
def test_a_silenced_alert_is_watched_and_told_when_the_silence_is_over(open_book: OpenBook) -> None:
    bank = Bank(open_book())
    bank.book.silence(silence("payment_*"))
    bank.happens(*FAILURES)
    assert [alert.open for alert in bank.alerts()] == [True]
    assert bank.look(999) == []
    assert bank.look(1000) == [("payments_email", "trigger"), ("payments_slack", "trigger")]


def test_whoever_takes_a_silenced_alert_is_not_told_of_it_later(open_book: OpenBook) -> None:
    bank = Bank(open_book())
    bank.book.silence(silence())
    bank.happens(*FAILURES)
    [alert] = bank.alerts()
    assert bank.book.acknowledge(alert.id, "ann", bank.now_ns)
    assert bank.look(1000) == []
    assert bank.look(2 + 45 * MINUTE) == []
    assert bank.look(2 + 3601) == []  # nobody knew of it


def test_a_silence_of_another_rule_silences_nothing(memory_bank: MakeBank) -> None:
    bank = memory_bank()
    bank.book.silence(silence("high_error_rate"))
    bank.book.silence(silence("payment_processing_failures", subject="other"))
    bank.happens(*FAILURES)
    assert len(bank.told) == 2


def test_a_silence_stops_an_escalation_and_not_the_news_that_it_is_over(open_book: OpenBook) -> None:
    bank = Bank(open_book())
    bank.happens(*FAILURES)
    bank.book.silence(silence(until_s=10_000))
    assert bank.look(2 + 30 * MINUTE) == []
    assert [action for _, action in bank.look(3700)] == ["resolve", "resolve"]


def test_a_silence_can_be_ended(open_book: OpenBook) -> None:
    bank = Bank(open_book())
    bank.book.silence(silence())
    assert bank.book.end_silence("s1", bank.now_ns)
    assert not bank.book.end_silence("s1", bank.now_ns)
    bank.happens(*FAILURES)
    assert len(bank.told) == 2


# --- what is forgotten -------------------------------------------------------------------------------
def test_what_no_rule_looks_back_on_is_forgotten_and_what_is_over_after_a_week(open_book: OpenBook) -> None:
    bank = Bank(open_book())
    bank.happens(*FAILURES)
    bank.book.silence(silence(until_s=60, rule="nothing"))
    bank.spans("high_error_rate", 1, 1000, at_s=0)
    bank.look(3603)  # the alert is over
    with bank.book.turn() as turn:
        assert turn.points("payment_processing_failures", 0) == turn.points("high_error_rate", 0) == []
    week = 7 * 86_400
    bank.look(3600 + week)
    assert len(bank.alerts()) == 1
    bank.look(3604 + week)
    with bank.book.turn() as turn:
        assert turn.alerts() == [] and turn.silences() == []


# --- restarts, several processes ---------------------------------------------------------------------
@pytest.mark.parametrize("open_book", ["sqlite", "postgresql"], indirect=True)
def test_what_one_process_counted_another_goes_on_with(open_book: OpenBook) -> None:
    first = Bank(open_book())
    first.happens(error(0), error(1))
    assert first.told == []
    second = Bank(open_book(), now_s=100)
    second.happens(error(100))
    assert second.told_to() == ["payments_email", "payments_slack"]
    third = Bank(open_book())
    assert third.look(2 + 10) == []
    assert third.look(100 + 15 * MINUTE) == [("finance_pagerduty", "escalate")]
    assert [body.alert_id for _, body in third.told] == [second.told[0][1].alert_id]


@pytest.mark.parametrize("open_book", ["sqlite"], indirect=True)
def test_what_a_newer_version_has_stored_beside_it_harms_no_older_one(open_book: OpenBook) -> None:
    """Workers are replaced one by one: for a while two versions share the store."""
    book = open_book()
    assert isinstance(book, StoreBook)
    bank = Bank(book)
    bank.happens(*FAILURES)
    before = bank.alerts(), book.next_messages(bank.now_ns, ["payments_slack"], 9)
    with book.database.write() as connection:
        for table, column in ((ALERTS, "state"), (MESSAGES, "body"), (POINTS, "sample")):
            more = func.json_set(table.c[column], "$.of_tomorrow", 1)
            connection.execute(update(table).values({column: more}))
    assert (bank.alerts(), book.next_messages(bank.now_ns, ["payments_slack"], 9)) == before
    with book.turn() as turn:
        assert turn.points("payment_processing_failures", 0)[0].sample is not None


@pytest.mark.parametrize("open_book", ["sqlite", "postgresql"], indirect=True)
def test_three_errors_in_three_processes_are_three(open_book: OpenBook) -> None:
    banks = [Bank(open_book()) for _ in range(3)]
    for number, bank in enumerate(banks):
        bank.happens(error(number))
    assert [len(bank.told) for bank in banks] == [0, 0, 2]


@pytest.mark.parametrize("open_book", ["sqlite", "postgresql"], indirect=True)
def test_services_and_environments_that_share_a_store_see_nothing_of_each_other(open_book: OpenBook) -> None:
    first = open_book()
    assert isinstance(first, StoreBook)
    Bank(first).happens(*FAILURES)
    first.silence(silence("nothing"))
    [alert] = first.read_alerts()
    other = StoreBook(first.database, Scope("shop", "production"), lease_s=30, migrate=True, max_messages=10)
    assert other.read_alerts() == other.read_silences() == []
    assert other.waiting() == 0
    assert other.next_messages(START + SECOND, ["payments_email", "payments_slack"], 9) == []
    assert other.acknowledge(alert.id, "ann", START) is None
    assert not other.end_silence("s1", START)
    with other.turn() as turn:
        assert turn.fresh("payment_processing_failures") == []
        assert turn.points("payment_processing_failures", 0) == []
        turn.forget("payment_processing_failures", START + 10**6 * SECOND)
        turn.forget_closed(START + 10**6 * SECOND)
    assert first.read_alerts() == [alert]
    assert len(first.read_silences()) == 1 and first.waiting() == 2
    with first.turn() as turn:
        assert len(turn.points("payment_processing_failures", 0)) == 3


@pytest.mark.parametrize("open_book", ["sqlite", "postgresql"], indirect=True)
def test_one_process_leads_until_it_has_been_silent_for_its_lease(open_book: OpenBook) -> None:
    from mita_otel.store.database import Database

    first = open_book()
    assert isinstance(first, StoreBook)
    clock = [START]

    def book() -> StoreBook:
        database = Database(first.database.url.render_as_string(hide_password=False), default_policy().store)
        return StoreBook(
            database, first.scope, lease_s=30, migrate=True, max_messages=10, clock_ns=lambda: clock[0]
        )

    one, other = book(), book()
    assert one.leads() and not other.leads()
    clock[0] += 29 * SECOND
    assert one.leads()
    clock[0] += 29 * SECOND
    assert not other.leads()
    clock[0] += 2 * SECOND
    assert other.leads() and not one.leads()
    one.close()
    other.close()


# --- whatever happens --------------------------------------------------------------------------------
@settings(max_examples=examples(60))
@given(
    st.lists(st.tuples(st.integers(0, 900), st.booleans()), max_size=40),
    st.lists(st.integers(0, 7200), max_size=30),
)
def test_whenever_events_come_and_somebody_looks_an_alert_begins_once_and_ends_once(
    events: list[tuple[int, bool]], looks: list[int]
) -> None:
    """Against the plain definition: an alert if any five minutes hold three payment failures."""
    bank = Bank(MemoryBook(max_points=10_000, max_messages=1000), _only_payments())
    happened = sorted(at for at, _ in events)
    for at, late in sorted(events):
        bank.now_s = max(bank.now_s, at + 100 * late)
        bank.happens(error(at))
    for at in sorted(looks):
        bank.look(max(bank.now_s, at))
    bank.look(20_000)
    too_many = any(later - earlier <= 300 for earlier, later in zip(happened, happened[2:], strict=False))
    triggers = [
        body for channel, body in bank.told if body.action == "trigger" and channel == "payments_slack"
    ]
    resolves = [
        body for channel, body in bank.told if body.action == "resolve" and channel == "payments_slack"
    ]
    assert len(triggers) == len(resolves) == int(too_many)


def _only_payments() -> Policy:
    return policy_with({"payment_processing_failures": {"escalation": "", "quiet_s": 3600}})
