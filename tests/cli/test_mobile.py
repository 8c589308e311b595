"""`mita-otel mobile`: the DSN of each app, and the standalone gateway."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from e2e.receiver import Receiver
from e2e.service import clean_environment
from mobile.kit import AUTH, recorded

COMMAND = [str(Path(sys.executable).with_name("mita-otel")), "mobile"]
POLICY = """
[mobile.projects.app]
id = "42"
keys = ["0123456789abcdef0123456789abcdef", "00000000000000000000000000000001"]
upstream = "{dsn}"
store = false
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_show_prints_dsns_destinations_and_refused_items(tmp_path: Path) -> None:
    (tmp_path / "mita-otel.toml").write_text(
        POLICY.format(dsn="https://aaaaaaaaaaaaaaaa@o1.ingest.sentry.io/42")
    )
    done = run(tmp_path, "show", "--url", "https://telemetry.mita.example/mobile/")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "app: Sentry, o1.ingest.sentry.io"
    assert lines[1] == "  dsn https://0123456789abcdef0123456789abcdef@telemetry.mita.example/mobile/42"
    assert lines[2].endswith("00000000000000000000000000000001@telemetry.mita.example/mobile/42")
    assert any(line.startswith("refuse: attachment, profile") for line in lines)


@pytest.mark.parametrize("command", ["show", "serve"])
def test_without_an_app_one_message_contains_the_fix(tmp_path: Path, command: str) -> None:
    done = run(tmp_path, command)
    assert done.returncode == 2
    assert "[mobile.projects.app]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ('[mobile.projects.app]\nid = "42"\nkeys = []\nstore = true', "keys"),
        ('[mobile.projects.app]\nid = "42"\nkeys = ["0123456789abcdef"]', "has no destination"),
        ('[mobile.projects.app]\nid = "42"\nkeys = ["0123456789abcdef"]\nupstream = "sentry.io"', "no DSN"),
        ('[mobile.projects.app]\nid = "4/2"\nkeys = ["0123456789abcdef"]\nstore = true', "no project"),
        ('[mobile.items.attachment]\naction = "forward"', "cannot be redacted"),
        ('[mobile.items.atachment]\naction = "refuse"\npriority = "debug"', "no type of item"),
        ('[mobile.cors]\norigins = ["app.example"]', "no origin"),
        ("[mobile.intake]\nmax_item = 5", "max_items"),
    ],
)
def test_an_error_in_the_policy_is_reported(tmp_path: Path, policy: str, said: str) -> None:
    (tmp_path / "mita-otel.toml").write_text(policy)
    done = run(tmp_path, "show")
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_standalone_gateway_accepts_envelopes_and_ends_on_sigterm(tmp_path: Path) -> None:
    receiver = Receiver()
    (tmp_path / "mita-otel.toml").write_text(
        POLICY.format(dsn=receiver.dsn.replace("publickey", "aaaaaaaaaaaaaaaa"))
    )
    server = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"],
        cwd=tmp_path,
        env=clean_environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert server.stderr is not None
    said = ""
    try:
        while (found := re.search(r"running on http://127.0.0.1:(\d+)", said)) is None:
            line = server.stderr.readline()
            assert line, said
            said += line
        port = found[1]
        # The process creates no traces, so a missing DSN is not logged.
        assert "SENTRY_DSN" not in said
        url = f"http://127.0.0.1:{port}"
        answer = httpx.post(
            f"{url}/api/42/envelope/", content=recorded("payment_error"), headers=AUTH, timeout=60
        )
        assert answer.status_code == 200
        assert httpx.get(f"{url}/healthz", timeout=60).json() == {"status": "pass"}
        receiver.wait_for(lambda one: one.events)
        assert receiver.transactions == []
    finally:
        server.terminate()
        server.communicate(timeout=60)
    receiver.close()
    assert not list((tmp_path / "mita-otel-mobile").rglob("*.record"))
