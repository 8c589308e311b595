"""A secret found in one part of an event is redacted in its other parts, within bounds."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest

from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.redaction import Redactor

SECRET = "hunter2-Zx"
ODD = 'hunt"er/2'


@pytest.mark.parametrize(
    "elsewhere",
    [
        ("ada", SECRET, 1),
        [[SECRET]],
        {"deep": {"er": f"row ('ada', '{SECRET}')"}},
        f"POST /login?u=ada&x={SECRET}",
        f"{SECRET}, then {SECRET}",
        f"body {SECRET}".encode(),
        {SECRET: 1},
    ],
)
def test_a_secret_found_by_its_name_is_redacted_in_other_values(redactor: Redactor, elsewhere: Any) -> None:
    shown = redactor.attributes({"first": elsewhere, "password": SECRET, "last": elsewhere})
    assert SECRET not in repr(shown)


@pytest.mark.parametrize("written", [json.dumps(ODD)[1:-1], quote(ODD, safe=""), ODD])
def test_a_known_secret_is_redacted_in_other_encodings(redactor: Redactor, written: str) -> None:
    safe = redactor.attributes({"password": ODD, "note": f"sent {written} there"})
    assert safe["note"] == "sent [redacted:password] there"


def test_a_secret_local_variable_is_redacted_in_other_locals_and_the_message(
    redactor: Redactor,
) -> None:
    frame = {"vars": {"row": f"('ada', '{SECRET}', 1)", "password": f"'{SECRET}'"}}
    exception = {"value": f"refused: {SECRET}", "stacktrace": {"frames": [frame]}}
    event = {
        "exception": {"values": [exception]},
        "breadcrumbs": {"values": [{"message": f"typed {SECRET}"}]},
        "logentry": {"message": "refused %s", "params": [SECRET]},
        "tags": {"last": SECRET},
    }
    assert SECRET not in repr(redactor.event(event))


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("api_key", "zx81mq4277aa", "zx81mq4277aa"),
        ("account_number", "12345678", "12345678"),
        ("Authorization", "Bearer 9f8e7d6c5b4a", "9f8e7d6c5b4a"),
        ("Cookie", "theme=dark; sid=9f8e7d6c5b4a", "9f8e7d6c5b4a"),
        ("ssn", "123456789", "123456789"),
        ("dsn", "postgresql://app:hunter2-Zx@db/pay", "hunter2-Zx"),
    ],
)
def test_secrets_of_every_kind_are_redacted_elsewhere(
    redactor: Redactor, name: str, value: str, secret: str
) -> None:
    assert secret not in repr(redactor.attributes({name: value, "note": f"found {secret} there"}))


def test_a_known_number_is_redacted_in_any_type(redactor: Redactor) -> None:
    safe = redactor.attributes({"account_number": "12345678", "row": [7, 12345678], "n": 1234567})
    assert safe["row"] == [7, "[redacted:account]"]
    assert safe["n"] == 1234567


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("abc1", "abc1 is too short"),
        ("aaaaaaa1", "aaaaaaa1 has too few different characters"),
        ("Production", "in Production now"),
        ("swordfish", "a swordfish in the sea"),
        ("hunter2", "xhunter2x is another word"),
        ("737", "code 737"),
        ("4821", "order 4821"),
    ],
)
def test_everyday_values_are_not_redacted_elsewhere(redactor: Redactor, secret: str, text: str) -> None:
    assert redactor.attributes({"password": secret, "note": text})["note"] == text


def test_a_secret_word_is_redacted_as_a_whole_value(redactor: Redactor) -> None:
    safe = redactor.attributes(
        {"password": "swordfish", "row": ("ada", "swordfish"), "r": "('a', 'swordfish')"}
    )
    assert safe["row"] == ("ada", "[redacted:password]")
    assert safe["r"] == "('a', '[redacted:password]')"


@pytest.mark.parametrize("name", ["key", "card", "account"])
def test_values_of_everyday_names_are_not_redacted_elsewhere(redactor: Redactor, name: str) -> None:
    assert redactor.attributes({name: "orders-2024", "note": "see orders-2024"})["note"] == "see orders-2024"


@pytest.mark.parametrize("name", ["email", "ip", "amount"])
def test_values_that_the_policy_shows_are_not_redacted_elsewhere(redactor: Redactor, name: str) -> None:
    value = "ada.l1@example.test"
    assert redactor.attributes({name: value, "note": f"to {value}"}) == {name: value, "note": f"to {value}"}


def test_each_place_is_counted_under_the_rule_that_found_the_secret(redactor: Redactor) -> None:
    tally: Counter[str] = Counter()
    redactor.attributes({"password": SECRET, "a": SECRET, "b": [SECRET]}, tally)
    assert tally == {"password": 3}


def test_known_secrets_are_not_kept_between_events(redactor: Redactor) -> None:
    redactor.attributes({"password": SECRET})
    assert redactor.attributes({"note": SECRET}) == {"note": SECRET}


def test_secrets_of_a_trace_are_redacted_in_its_other_events(redactor: Redactor) -> None:
    redactor.attributes({"password": SECRET}, redactor.findings(0xA))
    assert redactor.text(SECRET, redactor.findings(0xA)) == "[redacted:password]"
    assert redactor.text(SECRET, redactor.findings(0xB)) == SECRET


def test_known_secrets_and_traces_are_bounded(policy: RedactionPolicy) -> None:
    known = policy.known.replace(max_secrets=4, max_traces=2)
    redactor = Redactor(policy.replace(known=known))
    for trace_id in (1, 2, 3):
        findings = redactor.findings(trace_id)
        redactor.attributes({f"password{index}": f"hunter{index}-Zx" for index in range(50)}, findings)
        assert len(findings.known) == 4
    assert len(redactor.findings(1).known) == 0
    assert len(redactor.findings(3).known) == 4


def test_the_policy_can_disable_known_secrets(policy: RedactionPolicy) -> None:
    known = policy.known.replace(max_secrets=0)
    redactor = Redactor(policy.replace(known=known))
    assert redactor.attributes({"password": SECRET, "note": SECRET})["note"] == SECRET


def test_a_secret_of_a_statement_is_redacted_in_the_rest_of_the_span_also_the_second_time(
    redactor: Redactor,
) -> None:
    span = {
        "db.query.text": "/* password=Efeu1234x */ SELECT 1 FROM a",
        "note": "retried with Efeu1234x",
    }
    for _ in range(2):
        assert "Efeu1234x" not in repr(redactor.attributes(span))


def test_a_secret_that_was_bytes_is_redacted_in_other_bytes(redactor: Redactor) -> None:
    variables = {"password": "b'Durin77bane'", "blob": "b'--Durin77bane--'"}
    event = {"exception": {"values": [{"stacktrace": {"frames": [{"vars": variables}]}}]}}
    assert "Durin77bane" not in repr(redactor.event(event))
