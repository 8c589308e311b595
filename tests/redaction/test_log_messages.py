"""Arguments of log messages are judged with the preceding words; template and arity are kept."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest
from benchmarks.redaction_corpus import cases
from uvicorn.logging import AccessFormatter

from mita_otel.redaction import RedactingFilter, Redactor, SafeMessage

CVV, PIN, PASSWORD = "[redacted:cvv]", "[redacted:pin]", "[redacted:password]"


@pytest.mark.parametrize(
    ("template", "arguments", "expected"),
    [
        ("cvv %s wrong for %s", ("737", "ada"), ("cvv %s wrong for %s", (CVV, "ada"))),
        ("cvv %d wrong for %s", (737, "ada"), ("cvv %s wrong for %s", (CVV, "ada"))),
        ("PIN %04d entered", (4821,), ("PIN %s entered", (PIN,))),
        ("password for %s is %s", ("ada", "hunter2-Zx"), ("password for %s is %s", ("ada", PASSWORD))),
        ("wrong password (%s) for %s", ("hunter2-Zx", "ada"), ("wrong password (%s) for %s", (PASSWORD, "ada"))),
        ("password=%r", ("hunter2-Zx",), ("password=%r", (PASSWORD,))),
        ("Bearer %s refused", ("9f8e7d6c5b4a",), ("Bearer %s refused", ("[redacted:authorization]",))),
        ("pin %(pin)s of %(user)s", {"pin": 4821, "user": "ada"}, ("pin %(pin)s of %(user)s", {"pin": PIN, "user": "ada"})),
        ("pin %(a)d of %(b)s", {"a": 4821, "b": "ada"}, ("pin %(a)s of %(b)s", {"a": PIN, "b": "ada"})),
        ("pin {} of {}", (4821, "ada"), ("pin {} of {}", (PIN, "ada"))),
        ("pin {1:d} of {0}", ("ada", 4821), ("pin {1} of {0}", ("ada", PIN))),
        ("pin {pin!r}", {"pin": "4821"}, ("pin {pin!r}", {"pin": PIN})),
        ("cvv", ("737",), ("cvv", (CVV,))),
        ("card %s %s %s %s", ["4111", "1111", "1111", "1111"], ("card %s %s %s %s", ["[redacted:pan]"] * 4)),
        ("sent %s", ({"password": "hunter2-Zx", "n": 1},), ("sent %s", ({"password": PASSWORD, "n": 1},))),
        ("cvv %s", (["737"],), ("cvv %s", (CVV,))),
        ("see %s", ("pin=4821&a=1",), ("see %s", ("pin=[redacted:pin]&a=1",))),
        ("password=hunter2-Zx for %s", ("ada",), (f"password={PASSWORD} for %s", ("ada",))),
        ("%5.1f%% of %s in %dms", (99.5, "x", 12), ("%5.1f%% of %s in %dms", (99.5, "x", 12))),
        ("no arguments", (), ("no arguments", ())),
        ("too few %s %s", ("a",), ("too few %s %s", ("a",))),
        ("{not a field", ("a",), ("{not a field", ("a",))),
    ],
)  # fmt: skip
def test_an_argument_is_judged_with_the_preceding_words(
    redactor: Redactor, template: str, arguments: Any, expected: tuple[str, Any]
) -> None:
    safe = redactor.message(template, arguments)
    assert safe == expected
    assert type(safe.arguments) is type(arguments)


def test_every_secret_of_the_corpus_is_redacted_as_an_argument(redactor: Redactor) -> None:
    """Each text of the corpus is a template, and its secret is the argument."""
    failures = []
    tried = 0
    for case in cases():
        if case.place != "text" or len(case.secrets) > 1 or case.value.startswith("{"):
            continue
        if case.secrets and case.value.count(case.secrets[0]) == 1:
            tried += 1
            template = case.value.replace("%", "%%").replace(case.secrets[0].replace("%", "%%"), "%s")
            safe = redactor.message(template, (case.secrets[0],))
            if case.secrets[0] in str(safe.arguments[0]):
                failures.append(f"{case.name}: {safe}")
    assert tried > 300
    assert not failures, "\n".join(["", *failures])


def test_benign_texts_of_the_corpus_are_unchanged_as_templates(redactor: Redactor) -> None:
    for case in cases():
        if case.benign and case.place == "text" and not set(case.value) & set("{%"):
            assert redactor.message(case.value, ()).template == case.value, case.name
            assert redactor.message(f"%s\n{case.value}", ("x",)).template == f"%s\n{case.value}", case.name


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_an_unprintable_argument_is_replaced_and_the_others_are_kept(redactor: Redactor) -> None:
    tally: Counter[str] = Counter()
    safe = redactor.message("pin %s for %s", (Hostile(), "ada"), tally)
    assert safe == SafeMessage("pin %s for %s", ("[redacted:type]", "ada"))
    assert tally == {"type": 1}


def test_arguments_that_raise_are_replaced_and_their_number_is_kept(redactor: Redactor) -> None:
    class Broken(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError

    assert redactor.message("%(a)s", Broken(a="4821")).arguments == {"a": "[redacted:error]"}


@pytest.mark.parametrize(
    "record",
    [
        {"sentry.message.template": "cvv %s for %s", "sentry.message.parameter.0": "737", "sentry.message.parameter.1": "ada"},
        {"sentry.message.template": "cvv {cvv} for {u}", "sentry.message.parameter.cvv": "737", "sentry.message.parameter.u": "ada"},
        {"msg": "cvv %s for %s", "args": ["737", "ada"]},
        {"message": "cvv %s for %s", "params": ("737", "ada")},
        {"event": "cvv %s for %s", "positional_args": ("737", "ada")},
        {"log": {"template": "cvv %s for %s", "arguments": ["737", "ada"]}},
    ],
)  # fmt: skip
def test_arguments_in_attributes_are_judged_with_their_template(redactor: Redactor, record: Any) -> None:
    safe = redactor.attributes(record)
    assert "737" not in repr(safe)
    assert "ada" in repr(safe)
    assert list(safe) == list(record)


def test_the_arguments_of_a_sentry_event_are_judged_with_its_message(redactor: Redactor) -> None:
    entry = {"message": "cvv %s for %s", "params": ["737", "ada"], "formatted": "cvv 737 for ada"}
    assert redactor.event({"logentry": entry})["logentry"] == {
        "message": "cvv %s for %s",
        "params": [CVV, "ada"],
        "formatted": f"cvv {CVV} for ada",
    }


def test_an_exception_argument_is_logged_as_redacted_text(redactor: Redactor) -> None:
    assert redactor.message(
        "failed: %s, %r", (ValueError("card 4111111111111111 declined"), KeyError("id"))
    ) == (SafeMessage("failed: %s, %s", ("card [redacted:pan] declined", "KeyError('id')")))


def access_record() -> logging.LogRecord:
    arguments = ("127.0.0.1:5", "GET", "/pay?token=9f8e7d6c5b4a&page=2", "1.1", 200)
    return logging.LogRecord("uvicorn.access", 20, __file__, 1, '%s - "%s %s HTTP/%s" %d', arguments, None)


def test_the_filter_keeps_template_and_arity_of_an_access_log() -> None:
    record = access_record()
    assert RedactingFilter().filter(record)
    assert record.msg == '%s - "%s %s HTTP/%s" %d'
    assert record.args == ("127.0.0.1:5", "GET", "/pay?token=[redacted:token]&page=2", "1.1", 200)
    shown = AccessFormatter('%(client_addr)s "%(request_line)s" %(status_code)s', use_colors=False).format(
        record
    )
    assert shown == '127.0.0.1:5 "GET /pay?token=[redacted:token]&page=2 HTTP/1.1" 200 OK'


def test_the_filter_redacts_a_secret_of_the_extras_in_the_message() -> None:
    record = logging.makeLogRecord(
        {"msg": "row %s", "args": (("ada", "hunter2-Zx"),), "password": "hunter2-Zx"}
    )
    RedactingFilter().filter(record)
    assert "hunter2" not in record.getMessage()
