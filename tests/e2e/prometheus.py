"""Prometheus and Alertmanager, as `make prometheus` unpacks them, on separate ports."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from alerts.prometheus.promtool import UNPACKED, tool

_TRIES = 5


def free_port() -> int:
    """Return a free port: neither program reports the port that it selects itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Server:
    """A process that serves `/-/ready`; restarted on another port if the port is in use."""

    def __init__(self, command: list[str], log: Path, cwd: Path) -> None:
        self._log = log
        for _ in range(_TRIES):
            port = free_port()
            self.url = f"http://127.0.0.1:{port}"
            with self._log.open("ab") as output:
                self._process = subprocess.Popen(
                    [*command, f"--web.listen-address=127.0.0.1:{port}"],
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            if self._is_ready():
                break
            self.close()
        else:
            raise AssertionError(f"{command[0]} did not start:\n{self._log.read_text()}")
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def _is_ready(self) -> bool:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/-/ready", timeout=5).status_code == 200:
                    return self._process.poll() is None
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        return False

    def close(self) -> None:
        if hasattr(self, "client"):
            self.client.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


class Alertmanager(_Server):
    """Alertmanager with a generated configuration.

    Args:
        folder: Where its files go.
        configuration: What `policy export --alertmanager` wrote.
    """

    def __init__(self, folder: Path, configuration: str) -> None:
        program = tool("prometheus-alertmanager", "alertmanager")
        (folder / "alertmanager.yml").write_text(configuration)
        command = [
            program,
            f"--config.file={folder}/alertmanager.yml",
            f"--storage.path={folder}/alertmanager",
        ]
        # It finds its templates relative to this folder.
        cwd = UNPACKED if program.startswith(str(UNPACKED)) else folder
        super().__init__([*command, "--cluster.listen-address="], folder / "alertmanager.log", cwd)

    def alerts(self) -> list[dict[str, Any]]:
        """Return the received alerts."""
        return list(self.client.get("/api/v2/alerts").raise_for_status().json())


class Prometheus(_Server):
    """Prometheus with generated rules.

    Args:
        folder: Where its files go.
        rules: What `policy export --prometheus` wrote.
        target: Host and port that it scrapes, as the job `bank`.
        alertmanager: The Alertmanager to notify.
    """

    def __init__(self, folder: Path, rules: str, target: str, alertmanager: str) -> None:
        program = tool("prometheus")
        (folder / "rules.yml").write_text(rules)
        static = {"static_configs": [{"targets": [target]}]}
        configuration = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "bank", **static}],
            "alerting": {
                "alertmanagers": [{"static_configs": [{"targets": [alertmanager.removeprefix("http://")]}]}]
            },
        }
        (folder / "prometheus.yml").write_text(json.dumps(configuration))
        command = [program, "--config.file=prometheus.yml", "--storage.tsdb.path=prometheus"]
        super().__init__(command, folder / "prometheus.log", folder)

    def firing(self) -> dict[str, dict[str, str]]:
        """Return the labels of firing alerts of step 0, by rule."""
        alerts = self._get("/api/v1/alerts")["alerts"]
        shown = [one["labels"] for one in alerts if one["state"] == "firing"]
        return {one["rule"]: one for one in shown if one["step"] == "0"}

    def value(self, expr: str) -> float | None:
        """Return the value of an expression with one result; None: it has none."""
        result = self._get("/api/v1/query", query=expr)["result"]
        return float(result[0]["value"][1]) if result else None

    def troubles(self) -> list[str]:
        """Return the errors of rules."""
        groups = self._get("/api/v1/rules")["groups"]
        return [rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")]

    def _get(self, path: str, **parameters: str) -> Any:
        return self.client.get(path, params=parameters).raise_for_status().json()["data"]
