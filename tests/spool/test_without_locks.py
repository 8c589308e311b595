"""Without file locks (Windows), audit trail and mobile gateway report it, and the service runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == "fcntl":
            raise ImportError("No module named 'fcntl'", name="fcntl")

sys.modules.pop("fcntl", None)
sys.meta_path.insert(0, Blocker())
"""

AUDIT = """
from pathlib import Path
from audit.kit import changed, kit
from audit.recording import event
from mita_otel.audit.errors import AuditWriteError

folder = Path(sys.argv[1])
url = f"sqlite:///{folder}/mita-otel.db"
with kit(folder, url=url) as made:
    try:
        made.trail.record(event())
    except AuditWriteError as error:
        print(error)
    health = made.trail.health()
    print("ok", health.ok, "-", health.error)
with kit(folder, url=url, policy=changed(audit__on_failure="log")) as made:
    print(made.trail.record(event()))
print(list(folder.iterdir()))
"""

MOBILE = """
import asyncio
from pathlib import Path
from mita_otel.mobile import MobileGateway
from mobile.kit import envelope, intake, policy_with

gateway = MobileGateway(policy_with(Path(sys.argv[1]) / "spool"), env={})
gateway.start()
reply = asyncio.run(gateway.take(intake(envelope(("event", {"message": "m", "level": "error"})))))
print(reply.status, reply.reason, reply.hold, reply.body["detail"])
print("records", gateway.status().records)
gateway.close(0)
"""


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKER + script, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )


def test_the_audit_trail_refuses_each_entry_with_the_reason_and_the_fix(tmp_path: Path) -> None:
    done = run(AUDIT, tmp_path)
    refusal, health, logged, left = done.stdout.splitlines()
    assert refusal == (
        f"an audit entry could not be written to {tmp_path}/spool: this system has no file locks (Python's module "
        "fcntl is missing), and the audit spool needs them; run the service on a POSIX system, or switch the audit "
        'trail off: audit.start = "off"; it is not in the trail'
    )
    assert health.startswith("ok False - this system has no file locks")
    assert logged == "None"
    assert left == "[]"
    assert "Traceback" not in done.stderr


def test_the_mobile_gateway_refuses_each_request_and_keeps_running(tmp_path: Path) -> None:
    done = run(MOBILE, tmp_path)
    assert done.stdout.splitlines() == [
        "503 spool_full True the gateway cannot keep what mobile-app sends",
        "records 0",
    ]
    assert "the mobile gateway refuses every request: this system has no file locks" in done.stderr
    assert "Traceback" not in done.stderr
