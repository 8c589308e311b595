"""The secrets of command lines come from a table of the policy, wherever a command is written."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.redaction import Redactor

SECRET = "Klatsch7mohn"


@pytest.mark.parametrize(
    "write",
    [
        lambda words: " ".join(words),
        lambda words: f"running {words}",
        lambda words: f"sh -c '{' '.join(words)}' failed",
        lambda words: f"don't run /opt/bin/{' '.join(words)} | tee log",
        lambda words: "backup \\\n".join((words[0] + " ", " ".join(words[1:]))),
    ],
    ids=["line", "list", "nested", "path", "continued"],
)
@pytest.mark.parametrize(
    "words",
    [
        ["mysql", f"-p{SECRET}", "pay"],
        ["sshpass", "-p", SECRET, "ssh"],
        ["curl", "-su", f"ada:{SECRET}", "x"],
    ],
    ids=lambda words: words[0],
)
def test_a_secret_is_found_however_the_command_is_written(
    write: Callable[[list[str]], str], words: list[str], redactor: Redactor
) -> None:
    assert SECRET not in redactor.text(write(words))


def test_a_command_of_the_policy_is_found_in_texts_and_in_lists(policy: RedactionPolicy) -> None:
    own = Redactor(policy.replace(commands={"payctl": ("login _ *", "--via _/*")}))
    assert own.text(f"payctl login ada {SECRET}") == "payctl login ada [redacted:password]"
    arguments = {"process.command_args": ["/usr/bin/payctl", "--via", f"hsm/{SECRET}", "now"]}
    assert own.attributes(arguments)["process.command_args"] == [
        *("/usr/bin/payctl", "--via", "hsm/[redacted:password]", "now"),
    ]


def test_without_commands_nothing_of_a_command_is_found(policy: RedactionPolicy) -> None:
    text = f"payctl {SECRET}"
    assert Redactor(policy.replace(commands={})).text(text) == text


@pytest.mark.parametrize("value", ["$SECRET", "${SECRET}", "%SECRET%", "<secret>", "{secret}", "***", "-h"])
def test_a_placeholder_is_no_secret(value: str, redactor: Redactor) -> None:
    text = f"sshpass -p {value} ssh host"
    assert redactor.text(text) == text
