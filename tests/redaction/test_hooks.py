"""The redactor without OpenTelemetry: a logging filter, before_send, explanations."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mita_otel.policy import default_policy
from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.redaction import BeforeSend, RedactingFilter, Redactor
from mita_otel.redaction.explain import explain, parse_pair
from mita_otel.redaction.lines import redact_lines

CARD = "4111111111111111"


@pytest.fixture
def log(redactor: Redactor) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s %(order)s"))
    handler.addFilter(RedactingFilter(redactor))
    logger = logging.Logger("app")
    logger.addHandler(handler)
    yield logger, stream
    handler.close()


def test_message_arguments_and_extras_of_a_log_record_are_redacted(
    log: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, stream = log
    logger.warning("card %s of %s", CARD, "bob", extra={"order": "password=hunter2x"})
    assert stream.getvalue() == "WARNING card [redacted:pan] of bob password=[redacted:password]\n"


def test_the_exception_of_a_log_record_is_redacted(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    try:
        raise ValueError(f"card {CARD}")
    except ValueError:
        logger.exception("failed", extra={"order": 1}, stack_info=True)
    assert CARD not in stream.getvalue()
    assert "ValueError: card [redacted:pan]" in stream.getvalue()


def test_a_log_record_that_cannot_be_formatted_is_replaced(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    logger.warning("card %d", CARD + "x", extra={"order": CARD})
    assert stream.getvalue() == "WARNING [redacted:error] [redacted:error]\n"


def test_before_send_redacts_events_and_removes_attachments(redactor: Redactor) -> None:
    hint: dict[str, Any] = {"attachments": ["file"]}
    event = BeforeSend(redactor)({"message": f"card {CARD}", "extra": {"token": "abc"}}, hint)
    assert event == {"message": "card [redacted:pan]", "extra": {"token": "[redacted:token]"}}
    assert hint["attachments"] == []


def test_the_policy_can_allow_attachments(policy: RedactionPolicy) -> None:
    hint: dict[str, Any] = {"attachments": ["file"]}
    BeforeSend(Redactor(policy.replace(attachments=True)))({"message": "x"}, hint)
    assert hint["attachments"] == ["file"]


def test_without_an_argument_the_default_policy_applies() -> None:
    assert Redactor().text(CARD) == Redactor(default_policy()).text(CARD) == "[redacted:pan]"
    assert BeforeSend()({"message": CARD}, {}) == {"message": "[redacted:pan]"}
    record = logging.makeLogRecord({"msg": CARD})
    assert RedactingFilter().filter(record)
    assert record.getMessage() == "[redacted:pan]"


def test_the_redactor_imports_neither_opentelemetry_nor_sentry(tmp_path: Path) -> None:
    code = (
        "import sys; from mita_otel import BeforeSend, RedactingFilter, Redactor; BeforeSend(); RedactingFilter();"
        f"print(Redactor().text('card {CARD}'), [m for m in sys.modules if m.startswith(('opentelemetry', 'sentry_sdk'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "card [redacted:pan] []\n"


def test_before_send_drops_an_event_that_cannot_be_redacted(redactor: Redactor) -> None:
    class Broken(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError

    assert BeforeSend(redactor)(Broken(message=CARD), {}) is None


def test_an_explanation_names_rule_and_position_without_the_secret(redactor: Redactor) -> None:
    by_key = explain(redactor, "user.password", "hunter2x")
    assert by_key.by_key == "password"
    assert by_key.result == "[redacted:password]"
    by_value = explain(redactor, "note", f"card {CARD} ok")
    assert by_value.by_key is None
    assert [tuple(finding) for finding in by_value.by_value] == [("pan", 5, 21)]
    assert by_value.rules == {"pan": 1}
    for explanation in (by_key, by_value):
        assert "hunter2x" not in "\n".join(explanation.lines())
        assert CARD not in "\n".join(explanation.lines())
    assert "nothing is redacted" in explain(redactor, "note", "fine").lines()


@pytest.mark.parametrize(
    ("argument", "pair"),
    [
        ("password=a=b", ("password", "a=b")),
        ("just text", ("", "just text")),
        ("a b=c", ("", "a b=c")),
        ("=x", ("", "=x")),
    ],
)
def test_explain_parses_pairs_and_texts(argument: str, pair: tuple[str, str]) -> None:
    assert parse_pair(argument) == pair


def test_lines_keep_their_line_endings(redactor: Redactor) -> None:
    tally: Counter[str] = Counter()
    lines = list(redact_lines(redactor, [f"a {CARD}\r\n", "b\n", "c"], tally))
    assert lines == ["a [redacted:pan]\r\n", "b\n", "c"]
    assert tally == {"pan": 1}
