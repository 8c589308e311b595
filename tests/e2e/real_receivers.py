"""Independent receivers, as `make receivers` installs them: Spotlight's sidecar, and Bugsink."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from e2e.service import Output

_ROOT = Path(__file__).parents[2]
_SETTINGS = _ROOT / "tests" / "receivers"
SPOTLIGHT = _ROOT / ".receivers" / "spotlight"
BUGSINK = _ROOT / ".receivers" / "bugsink"

_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")
_NOTHING_OF_OURS = ("OTEL_", "MITA_", "SENTRY_", "PYTHON", "NODE_", "DJANGO_")


def why_not_spotlight() -> str | None:
    """Return why Spotlight cannot be started; None if it can."""
    if shutil.which("node") is None:
        return "Spotlight needs Node.js, which is not installed"
    if not (SPOTLIGHT / ".installed").exists():
        return "Spotlight is not installed: make receivers"
    return None


def why_not_bugsink() -> str | None:
    """Return why Bugsink cannot be started; None if it can."""
    return None if (BUGSINK / ".installed").exists() else "Bugsink is not installed: make receivers"


class _Server:
    """A process that prints its port on 127.0.0.1."""

    def __init__(self, command: list[str], folder: Path, env: Mapping[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOTHING_OF_OURS)}
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**kept, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        changed = threading.Condition()
        self._output = Output(self._process.stdout, changed)
        with changed:
            changed.wait_for(lambda: self._output.ended or _ADDRESS.search("\n".join(self._output.lines)), 60)
        found = _ADDRESS.search(self._output.text)
        if found is None:
            self.close()
            raise AssertionError(f"{command[0]} did not start:\n{self._output.text}")
        self.port = int(found.group(1))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._output.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Spotlight:
    """Spotlight's sidecar: the items that it received and shows."""

    def __init__(self, folder: Path) -> None:
        self._server = _Server(["node", str(_SETTINGS / "spotlight.mjs"), str(SPOTLIGHT)], folder, {})
        self.client = httpx.Client(base_url=self._server.url, timeout=60)

    @property
    def dsn(self) -> str:
        return f"http://publickey@127.0.0.1:{self._server.port}/1"

    @property
    def stream_url(self) -> str:
        """The value for `SENTRY_SPOTLIGHT`."""
        return f"{self._server.url}/stream"

    def items(self, kind: str) -> list[dict[str, Any]]:
        """Return the items of one type, as its interface receives them."""
        found = []
        # The stream has no end: this marker shows that all earlier items were read.
        mark = f"text/x-{uuid4().hex}"
        self.client.post("/stream", content=b"{}\n", headers={"Content-Type": mark}).raise_for_status()
        with self.client.stream("GET", "/stream") as stream:
            event = ""
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data: ") and event == mark:
                    break
                elif line.startswith("data: ") and event == "application/x-sentry-envelope":
                    _, items = json.loads(line.removeprefix("data: "))
                    found += [payload for header, payload in items if header["type"] == kind]
        return found

    def shown(self, tool: str, **arguments: Any) -> list[str]:
        """Return the output of one of its tools: `search_errors`, `search_traces`, `get_traces`, `search_logs`."""
        answer = self.client.post(
            "/mcp",
            json={
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {"name": tool, "arguments": arguments},
            },
            headers={"Accept": "application/json, text/event-stream"},
        )
        [data] = [line for line in answer.text.splitlines() if line.startswith("data: ")]
        return [one["text"] for one in json.loads(data.removeprefix("data: "))["result"]["content"]]

    def close(self) -> None:
        self.client.close()
        self._server.close()


class Bugsink:
    """Bugsink with an empty database and one project."""

    def __init__(self, folder: Path) -> None:
        env = {
            "BUGSINK_FOLDER": str(folder),
            "DJANGO_SETTINGS_MODULE": "bugsink_conf",
            "PYTHONPATH": str(_SETTINGS),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        shutil.copy(BUGSINK / "bugsink.sqlite3", folder)
        manage = [str(BUGSINK / "bin" / "bugsink-manage"), "create_auth_token"]
        token = subprocess.run(
            manage, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, check=True
        ).stdout.split()[-1]
        gunicorn = [
            str(BUGSINK / "bin" / "gunicorn"),
            "bugsink.wsgi",
            "-b",
            "127.0.0.1:0",
            "--no-control-socket",
        ]
        self._server = _Server(gunicorn, folder, env)
        self.client = httpx.Client(
            base_url=f"{self._server.url}/api/canonical/0",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )
        team = self._post("/teams/", {"name": "Bank"})
        project = self._post("/projects/", {"team": team["id"], "name": "Payments"})
        self._project = project["id"]
        [listed] = self._get("/projects/")["results"]
        key = listed["dsn"].partition("://")[2].partition("@")[0]
        number = listed["dsn"].rpartition("/")[2]
        self.dsn = f"http://{key}@127.0.0.1:{self._server.port}/{number}"

    def issues(self) -> list[dict[str, Any]]:
        """Return the issues, each with its `tags`, and its `events` with `data` and the displayed stack."""
        issues = self._get(f"/issues/?project={self._project}")["results"]
        for issue in issues:
            tags = self._get(f"/issues/{issue['id']}/tags/")["results"]
            issue["tags"] = {tag["key"]: tag["value"] for tag in tags}
            listed = self._get(f"/events/?issue={issue['id']}")["results"]
            issue["events"] = [self._get(f"/events/{event['id']}/") for event in listed]
        return list(issues)

    def wait_for_events(self, count: int) -> list[dict[str, Any]]:
        """Wait for a number of events, and return the issues."""
        deadline = time.monotonic() + 60
        while True:
            issues = self.issues()
            if sum(len(issue["events"]) for issue in issues) >= count or time.monotonic() > deadline:
                return issues

    def close(self) -> None:
        self.client.close()
        self._server.close()

    def _get(self, path: str) -> Any:
        return self.client.get(path).raise_for_status().json()

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self.client.post(path, json=body).raise_for_status().json()
