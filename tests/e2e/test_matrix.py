"""New virtual environments: older libraries, another installed distribution, only declared dependencies.

Each takes half a minute to build (once, under `.venvs/`), so they run on demand: `MITA_TEST_MATRIX=1 pytest
tests/e2e/test_matrix.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.conftest import StartService
from e2e.receiver import Receiver
from e2e.relay import judge
from e2e.transactions import assert_tree, database_spans, named, requests, trace_of

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        os.environ.get("MITA_TEST_MATRIX") != "1",
        reason="builds virtual environments; say MITA_TEST_MATRIX=1 (make test-matrix)",
    ),
]

ROOT = Path(__file__).parents[2]

_SERVICE = ["uvicorn", "aiosqlite"]
ENVIRONMENTS: dict[str, tuple[list[str], dict[str, str]]] = {
    "newest": (["fastapi", "sqlalchemy[asyncio]"], {}),
    "fastapi-standard": (["fastapi[standard]", "sqlalchemy[asyncio]"], {}),
    "fastapi-0.79-pydantic-1.10": (
        ["fastapi==0.79.*", "pydantic==1.10.*", "anyio<4", "sqlalchemy[asyncio]==1.4.*", "aiosqlite<0.20"],
        {},
    ),
    "pins-of-the-mita-guide": (
        ["fastapi==0.116.*", "pydantic==2.9.2", "sentry-sdk==2.17.0", "sqlalchemy[asyncio]==2.0.*"],
        {},
    ),
    "fastapi-0.115-sqlalchemy-2.0": (["fastapi==0.115.*", "sqlalchemy[asyncio]==2.0.*"], {}),
    "contrib-sqlalchemy-installed": (
        ["fastapi==0.115.*", "sqlalchemy[asyncio]==2.0.*", "opentelemetry-instrumentation-sqlalchemy"],
        {},
    ),
    "contrib-sqlalchemy-chosen": (
        ["fastapi", "sqlalchemy[asyncio]", "opentelemetry-instrumentation-sqlalchemy"],
        {"MITA_OTEL_INSTRUMENTATION__SQLALCHEMY": "contrib"},
    ),
    "contrib-sqlalchemy-0.60-chosen": (
        [
            "fastapi==0.115.*",
            "sqlalchemy[asyncio]==2.0.*",
            "opentelemetry-instrumentation-sqlalchemy==0.60b0",
        ],
        {"MITA_OTEL_INSTRUMENTATION__SQLALCHEMY": "contrib"},
    ),
    "sentry-sdk-2.17": (["fastapi", "sqlalchemy[asyncio]", "sentry-sdk==2.17.0"], {}),
    "sentry-sdk-3.0": (["fastapi", "sqlalchemy[asyncio]", "sentry-sdk==3.0.0b2"], {}),
    "opentelemetry-distro": (
        [
            "fastapi",
            "sqlalchemy[asyncio]",
            "opentelemetry-distro",
            "opentelemetry-instrumentation-sqlalchemy",
        ],
        {"OTEL_PYTHON_DISTRO": "mita_otel", "OTEL_PYTHON_CONFIGURATOR": "mita_otel"},
    ),
}

SENTRY_SDKS = ("sentry-sdk-2.17", "newest", "sentry-sdk-3.0")
"""The lowest and the highest supported sentry-sdk, and today's."""


@pytest.fixture(scope="session")
def built(request: pytest.FixtureRequest) -> Path:
    """Return the bin folder of a virtual environment with mita-otel's wheel and the requirements."""
    name: str = request.param
    requirements, _ = ENVIRONMENTS[name]
    folder = ROOT / ".venvs" / f"e2e-{name}-{sys.version_info.major}.{sys.version_info.minor}"
    stamp = folder / "requirements.txt"
    wanted = "\n".join([*requirements, *_SERVICE])
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q"]
        subprocess.run([*pip, str(ROOT), *requirements, *_SERVICE], check=True)
        stamp.write_text(wanted)
    else:
        # The libraries are installed; mita-otel may have changed.
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall"]
        subprocess.run([*pip, str(ROOT)], check=True)
    return folder / "bin"


@pytest.mark.parametrize(
    ("built", "name"), [(name, name) for name in ENVIRONMENTS], indirect=["built"], ids=list(ENVIRONMENTS)
)
def test_a_fresh_environment_exports_redacted_traces(
    receiver: Receiver, start_service: StartService, built: Path, name: str
) -> None:
    service = start_service({"SENTRY_DSN": receiver.dsn, **ENVIRONMENTS[name][1]}, python_bin=built)
    for number in range(3):
        service.client.get(f"/api/items/{number}").raise_for_status()
        service.client.get(f"/api/async/{number}").raise_for_status()
    service.client.get("/api/accounts/1/balance?wait_s=0.32").raise_for_status()
    service.client.get("/api/reports/1?wait_s=0.22").raise_for_status()
    service.stop()

    receiver.wait_for(lambda r: len(requests(r)) >= 8)
    assert len(requests(receiver)) == 8
    for transaction in requests(receiver):
        assert_tree(transaction)
        judge(transaction)
    for route in ("items", "async"):
        for transaction in named(receiver, f"GET /api/{route}/{{item_id}}"):
            assert len(database_spans(transaction)) == 2
    [balance] = named(receiver, "GET /api/accounts/{account_id}/balance")
    assert balance["tags"]["latency_rule"].startswith("api.financial.GET")
    [report] = named(receiver, "GET /api/reports/{report_id}")
    assert report["tags"]["latency_rule"] == "database.SELECT"
    assert "Traceback" not in service.stderr.text
    assert "ERROR" not in service.stderr.text


@pytest.mark.parametrize("built", SENTRY_SDKS, indirect=True)
@pytest.mark.parametrize("starts_sentry_itself", [False, True], ids=["our client", "client of the service"])
def test_errors_logs_and_transactions_are_redacted_with_each_sentry_sdk(
    receiver: Receiver,
    start_service: StartService,
    built: Path,
    tmp_path: Path,
    starts_sentry_itself: bool,
) -> None:
    folder = tmp_path / "errors"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("errors_app.py"), folder / "errors.py")
    init = "import sentry_sdk\nsentry_sdk.init(traces_sample_rate=1.0)\n" if starts_sentry_itself else ""
    (folder / "app.py").write_text(f"{init}from errors import app as app\n")
    env = {"SENTRY_DSN": receiver.dsn, "MITA_OTEL_SENTRY__LOGS": "true"}
    service = start_service(env, folder, python_bin=built)
    for path in ("unhandled", "logged-and-raised", "only-logged", "only-recorded", "in-a-thread"):
        service.client.get(f"/{path}")
    service.stop()

    receiver.wait_for(lambda r: len(requests(r)) >= 5 and len(r.events) >= 5 and r.items("log"))
    assert sorted(one["transaction"] for one in requests(receiver)) == [
        "GET /in-a-thread",
        "GET /logged-and-raised",
        "GET /only-logged",
        "GET /only-recorded",
        "GET /unhandled",
    ]
    assert len(receiver.events) == 5
    traces = {trace_of(one)["trace_id"]: one["transaction"] for one in requests(receiver)}
    inside = [one for one in receiver.events if trace_of(one)["trace_id"] in traces]
    assert {traces[trace_of(one)["trace_id"]] for one in inside} >= {
        "GET /logged-and-raised",
        "GET /only-logged",
        "GET /only-recorded",
        "GET /unhandled",
    }
    logs = [one["body"] for item in receiver.items("log") for one in item["items"]]
    assert sorted(one for one in logs if "could" in one or "queue" in one) == [
        "could not do it",
        "the queue of payments is full",
    ]
    assert b"failed for [redacted:pan]" in receiver.raw
    assert b"4111 1111 1111 1111" not in receiver.raw
    assert "Unknown option" not in service.stderr.text
