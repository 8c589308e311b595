"""Telemetry of apps in the store: traces, breaches and errors, beside those of the backend."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from leaks import shows
from mita_otel.mobile.destinations import store_destinations
from mita_otel.mobile.engine import Engine
from mita_otel.mobile.otel_spans import error_record, resource_of
from mita_otel.mobile.preparation import Intake
from mita_otel.policy import Policy
from mita_otel.redaction import Redactor
from mita_otel.store import open_database
from mita_otel.store.database import Database
from mita_otel.store.telemetry_tables import BreachRow, ErrorRow, SpanRow
from mobile.kit import intake, policy_with, recorded
from mobile.test_otlp import protobuf


class Kept:
    """An engine that writes to a store, and the store."""

    def __init__(self, folder: Path, **project: Any) -> None:
        self.env = {"MITA_OTEL_DATABASE_URL": f"sqlite:///{folder / 'store.db'}"}
        said = {"upstream": "", "store": True, "service": "mita-mobile", **project}
        self.policy: Policy = policy_with(folder / "spool", project=said)
        self.engine = Engine(self.policy, Redactor(), self.env, store_destinations(self.policy, self.env))

    def take(self, *names: str) -> None:
        for name in names:
            assert self.engine.take(intake(recorded(name))).status == 200
        assert self.engine.flush(60)

    def rows(self, table: Any) -> list[Any]:
        database: Database = open_database(self.policy.store, self.env)
        try:
            with database.read() as connection:
                return list(connection.execute(select(table)).mappings())
        finally:
            database.close()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    one = Kept(tmp_path)
    yield one
    one.engine.stop(1)


def test_a_transaction_is_stored_as_a_trace_with_its_breaches(kept: Kept) -> None:
    kept.take("screen_render")
    root, query, request = sorted(kept.rows(SpanRow), key=lambda row: row["start_ns"])
    assert (root["name"], root["service"], root["environment"]) == (
        "Screen: TransactionScreen",
        "mita-mobile",
        "production",
    )
    assert (root["parent_span_id"], root["exceeded"], root["user_id"]) == (None, True, "user-20417")
    assert root["duration_ms"] == pytest.approx(1350)
    assert {query["parent_span_id"], request["parent_span_id"]} == {root["span_id"]}
    assert (query["kind"], request["kind"]) == ("CLIENT", "CLIENT")
    assert query["name"] == "SELECT * FROM cached_transactions WHERE iban = ?"
    [breach] = kept.rows(BreachRow)
    assert (breach["kind"], breach["rule"], breach["limit_ms"]) == ("mobile_screen", "mobile.screen", 1000)
    assert breach["trace_id"] == root["trace_id"]


def test_streamed_spans_and_otlp_are_stored_as_traces(kept: Kept) -> None:
    kept.take("streamed_spans")
    assert kept.engine.take(Intake("app", protobuf(), "", "otlp_traces")).status == 200
    assert kept.engine.flush(60)
    names = {row["name"] for row in kept.rows(SpanRow)}
    assert "Screen: BudgetScreen" in names
    assert "Screen: PaymentScreen [redacted:pan]" in names
    assert {row["service"] for row in kept.rows(SpanRow)} == {"mita-mobile"}


def test_an_error_is_stored_with_category_severity_amount_and_trace(kept: Kept) -> None:
    kept.take("payment_error")
    [row] = kept.rows(ErrorRow)
    assert (row["kind"], row["category"], row["severity"]) == ("error", "payment_processing", "critical")
    assert (row["name"], row["user_id"], row["transaction_id"]) == (
        "PaymentDeclinedException",
        "user-20417",
        "tx_92ab17",
    )
    assert "[redacted:pan]" in row["message"]
    event = json.loads(recorded("payment_error").split(b"\n")[2])
    assert (row["event_id"], row["trace_id"]) == (event["event_id"], event["contexts"]["trace"]["trace_id"])
    assert not shows(dict(row))


@pytest.mark.parametrize(
    ("name", "severity"),
    [("flutter_crash", "critical"), ("native_crash", "critical"), ("network_error", "medium")],
)
def test_crashes_and_network_errors_have_their_severity(kept: Kept, name: str, severity: str) -> None:
    kept.take(name)
    [row] = kept.rows(ErrorRow)
    assert row["severity"] == severity


def test_other_items_are_not_stored_as_errors(kept: Kept) -> None:
    kept.take("screen_render", "slow_message", "session_start", "client_report", "feedback", "logs")
    assert kept.rows(ErrorRow) == []
    assert len(kept.rows(SpanRow)) == 3


def test_a_repeated_trace_is_stored_once(kept: Kept) -> None:
    kept.take("screen_render", "screen_render")
    assert len(kept.rows(SpanRow)) == 3


def test_records_wait_for_an_unavailable_store(tmp_path: Path) -> None:
    (tmp_path / "store.db").mkdir()
    kept = Kept(tmp_path)
    assert kept.engine.take(intake(recorded("payment_error"))).status == 200
    kept.engine.flush(0.3)
    kept.engine.stop(0)
    assert len(list((tmp_path / "spool").rglob("*.record"))) == 1
    (tmp_path / "store.db").rmdir()
    again = Kept(tmp_path)
    again.engine.status()
    assert again.engine.flush(60)
    assert len(again.rows(ErrorRow)) == 1
    again.engine.stop(1)


def test_sentry_and_the_store_receive_records_independently(tmp_path: Path) -> None:
    kept = Kept(tmp_path, upstream="http://fedcbafedcbafedc@127.0.0.1:9/1")
    assert kept.engine.take(intake(recorded("payment_error"))).status == 200
    kept.engine.flush(60)
    assert len(kept.rows(ErrorRow)) == 1
    assert kept.engine.status().records == 1
    kept.engine.stop(0)


# --- structures -----------------------------------------------------------------------------------------------------
RESOURCE = resource_of({"release": "mita-mobile@1.4.2+142", "environment": "staging"}, "app")


def test_the_resource_of_an_app_has_service_version_and_environment() -> None:
    assert dict(RESOURCE.attributes) == {
        "service.name": "app",
        "service.version": "1.4.2+142",
        "deployment.environment.name": "staging",
    }
    assert dict(resource_of({"release": 5, "environment": None}, "app").attributes) == {"service.name": "app"}
    streamed = resource_of({"sentry.release": "a@2", "sentry.environment": "x"}, "app")
    assert streamed.attributes["service.version"] == "2"


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"exception": []},
        {"exception": {"values": [None]}},
        {"exception": {"values": [{"type": None, "value": None}]}, "contexts": [], "user": "x", "tags": 5},
        {"level": "error", "message": {"formatted": "x"}, "timestamp": "never"},
        {"level": "fatal", "logentry": {"message": "x"}, "contexts": {"trace": {"trace_id": "zz"}}},
    ],
)
def test_a_malformed_event_is_stored_as_an_error(event: dict[str, Any]) -> None:
    record = error_record(event, RESOURCE, 1_700_000_000)
    assert record is not None
    assert record.log_record.timestamp == 1_700_000_000 * 10**9


@pytest.mark.parametrize("level", ["warning", "info", "debug", "log", "x"])
def test_a_message_below_error_level_is_not_an_error(level: str) -> None:
    assert error_record({"level": level, "message": "x"}, RESOURCE, 0) is None
