"""`mita-otel redact`: a filter that removes secrets only, and explains its decisions."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cli.conftest import COMMAND, Command
from e2e.service import clean_environment

CARD = "4111111111111111"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQ\nIBADAN\n-----END PRIVATE KEY-----\n"


def piped(data: bytes, *arguments: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [COMMAND, "redact", *arguments], input=data, cwd=folder, env=clean_environment({}), capture_output=True, check=False
    )  # fmt: skip


def test_a_file_is_redacted_line_by_line(command: Command, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_bytes(f"paid with {CARD}\r\n\nuser=bob password=hunter2x\nlast line".encode())
    said = command("redact", str(log), "--counts")
    assert said.code == 0
    assert said.out == "paid with [redacted:pan]\r\n\nuser=bob password=[redacted:password]\nlast line"
    assert said.err.splitlines() == ["pan 1", "password 1"]


def test_standard_input_is_redacted_and_binary_bytes_are_unchanged(tmp_path: Path) -> None:
    data = b"\xff\xfe raw " + CARD.encode() + b"\n\x00end\n"
    done = piped(data, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"\xff\xfe raw [redacted:pan]\n\x00end\n"
    assert piped(data, "-", folder=tmp_path).stdout == done.stdout


def test_secrets_over_several_lines_are_redacted(tmp_path: Path) -> None:
    laid_out = '{\n  "card": {\n    "number": "zz99",\n    "brand": "visa"\n  }\n}\n'
    done = piped((laid_out + KEY + "after\n").encode(), folder=tmp_path)
    assert b"zz99" not in done.stdout
    assert b"visa" in done.stdout
    assert b"MIIEvQ" not in done.stdout
    assert b"IBADAN" not in done.stdout
    assert done.stdout.endswith(b"[redacted:private_key]\nafter\n")


def test_a_long_line_is_redacted_completely(tmp_path: Path) -> None:
    line = "word " * 10_000
    assert piped((line + CARD + "\n").encode(), folder=tmp_path).stdout.decode() == line + "[redacted:pan]\n"


def test_check_reports_a_secret_by_its_exit_status_only(tmp_path: Path) -> None:
    assert piped(b"fine\n", "--check", folder=tmp_path).returncode == 0
    found = piped(f"card {CARD}\n".encode(), "--check", folder=tmp_path)
    assert (found.returncode, found.stdout) == (1, b"")


def test_explain_names_key_rule_and_position_without_the_secret(command: Command) -> None:
    assert command("redact", "--explain", "user.password=hunter2x").lines == [
        "key 'user.password': its words name a secret (rule password)",
        "redacted: password 1",
        "result: [redacted:password]",
    ]
    assert command("redact", "--explain", f"note=card {CARD} ok").lines == [
        "key 'note': is not sensitive",
        "value, characters 5 to 21: looks like a secret (rule pan)",
        "redacted: pan 1",
        "result: card [redacted:pan] ok",
    ]
    nested = command("redact", "--explain", f'body={{"cards": [{{"number": "{CARD}"}}], "ok": 1}}')
    assert "value, at $.cards[0].number: [redacted:pan]" in nested.lines
    statement = command("redact", "--explain", "db.statement=SELECT a FROM t WHERE b = 'x'")
    assert (
        statement.lines[0]
        == "key 'db.statement': holds a database statement; its literals are masked (rule sql)"
    )
    assert command("redact", "--explain", "note=fine").lines[1:] == ["nothing is redacted", "result: fine"]


def test_the_policy_of_the_folder_or_a_selected_one_applies(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mita-otel.toml").write_text('[redaction.custom.member]\npattern = "MBR-[0-9]{6}"\n')
    other = tmp_path / "other.toml"
    other.write_text('[redaction.modes]\npan = "last4"\n')
    assert "[redacted:member]" in command("redact", "--explain", "note=MBR-123456").out
    assert (
        "[redacted:pan:*1111]" in command("redact", "--policy", str(other), "--explain", f"note={CARD}").out
    )


def test_a_pattern_with_exponential_runtime_is_refused_with_its_key(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mita-otel.toml").write_text('[redaction.custom.bad]\npattern = "(a+)+b"\n')
    said = command("redact", "--explain", "a=b")
    assert said.code == 2
    assert "redaction.custom.bad.pattern" in said.err
    assert "repeats a repeat" in said.err


def test_a_missing_file_is_one_line(command: Command) -> None:
    said = command("redact", "absent.log")
    assert said.code == 1
    assert said.err.splitlines() == ["absent.log: No such file or directory"]


@pytest.mark.parametrize("arguments", [(), ("--environment", "staging")])
def test_doctor_reports_no_failure(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [COMMAND, "doctor", *arguments], cwd=tmp_path, env=clean_environment({}), capture_output=True, text=True, check=False
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert not [line for line in done.stdout.splitlines() if line.startswith("fail")]
    assert "\npass  redaction: 40 canaries sent, all redacted\n" in done.stdout


def test_doctor_fails_if_a_canary_is_not_redacted(tmp_path: Path) -> None:
    env = clean_environment({"MITA_OTEL_REDACTION__ENABLED": "false"})
    done = subprocess.run(
        [COMMAND, "doctor"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "span: canaries were not redacted by the rules pan, iban" in done.stdout
