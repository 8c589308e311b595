"""Names of queues, topics and tasks contain no ids of consumers, users or jobs."""

from __future__ import annotations

from typing import Any

import pytest

from mita_otel.latency.bounded_names import MAX_LENGTH, bounded_destination, bounded_name

UUID = "7f3e9a10-1c2d-4e5f-8a9b-0c1d2e3f4a5b"


@pytest.mark.parametrize(
    ("name", "bounded"),
    [
        ("payments.settled", "payments.settled"),
        ("SELECT order_items", "SELECT order_items"),
        ("payments.v2", "payments.v2"),
        ("BackgroundTask send_receipt", "BackgroundTask send_receipt"),
        ("user-7", "user-{id}"),
        ("user:42:events", "user:{id}:events"),
        (f"reply-{UUID}", "reply-{id}"),
        (f"reply.{UUID.replace('-', '').upper()}", "reply.{id}"),
        ("orders.2026-11-30", "orders.{id}"),
        ("job-deadbeef01", "job-{id}"),
        ("GET /users/ada.b+x@example.com/cards", "GET /users/{id}/cards"),
        ("inbox:ada%40mail.example.co.uk", "inbox:{id}"),
        ("celery@worker-7.celery.pidbox", "{id}"),
        ("@dataclass in v.py", "@dataclass in v.py"),
        ("group.anonymous.Q2xhdWRlIGlzIGE5Zk", "group.anonymous.{id}"),
        (
            "app-KSTREAM-AGGREGATE-STATE-STORE-0000000003-changelog",
            "app-KSTREAM-AGGREGATE-STATE-STORE-{id}-changelog",
        ),
    ],
)
def test_ids_in_names_are_replaced(name: str, bounded: str) -> None:
    assert bounded_name(name) == bounded


def test_names_are_bounded_in_length() -> None:
    assert len(bounded_name("a." * 9999)) == MAX_LENGTH


@pytest.mark.parametrize(
    ("attributes", "bounded"),
    [
        ({"messaging.destination.name": "amq.gen-Xa2mUf9VhQ2bJ0Vbq3w"}, "(temporary)"),
        ({"messaging.destination.name": "amq.rabbitmq.reply-to.g2dkABFyZXBseUAx"}, "(temporary)"),
        ({"messaging.destination.name": "_INBOX.SoGZ5tBWfEqqcjdxGzLsQ"}, "(temporary)"),
        ({"messaging.destination.name": "celery", "messaging.destination.temporary": True}, "(temporary)"),
        ({"messaging.destination": "q", "messaging.temp_destination": True}, "(temporary)"),
        ({"messaging.destination.name": "", "messaging.destination.anonymous": True}, "(anonymous)"),
        (
            {"messaging.destination.name": "user-7", "messaging.destination.template": "user-{user}"},
            "user-{user}",
        ),
        (
            {"messaging.destination.name": "https://sqs.eu-west-1.amazonaws.com/123456789012/payments"},
            "payments",
        ),
        ({"messaging.destination.name": "arn:aws:sns:eu-west-1:123456789012:payments"}, "payments"),
        ({"messaging.destination.name": "projects/bank/subscriptions/payments"}, "payments"),
        ({"messaging.destination.name": "payments"}, "payments"),
        ({}, None),
    ],
)
def test_generated_destinations_share_one_name(attributes: dict[str, Any], bounded: str | None) -> None:
    assert bounded_destination(attributes) == bounded
