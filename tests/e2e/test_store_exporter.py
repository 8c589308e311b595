"""A service that exports to the store only; statements of the store are never traced."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from e2e import canaries
from e2e.conftest import StartService
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.verification.verify import verify
from mita_otel.policy import default_policy
from mita_otel.store.database import Database

pytestmark = pytest.mark.e2e
KEY = "a key that only these tests know"


def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    with database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


@pytest.mark.parametrize("launcher", ["single", "gunicorn"])
def test_traces_breaches_errors_and_audit_entries_are_in_the_store(
    start_service: StartService, database_url: str, tmp_path: Path, launcher: str
) -> None:
    service = start_service(
        {
            "OTEL_TRACES_EXPORTER": "store",
            "OTEL_SERVICE_NAME": "shop",
            "MITA_OTEL_DATABASE_URL": database_url,
            "MITA_OTEL_AUDIT_KEY": KEY,
        },
        launcher=launcher,
    )
    for number in range(5):
        service.client.get(f"/api/items/{number}").raise_for_status()
    service.client.get("/api/accounts/1/balance?wait_s=0.35").raise_for_status()
    assert service.client.post(f"/api/same-card/{canaries.IDENTITY.secret}").status_code == 500
    service.stop()

    with closing(Database(database_url, default_policy().store)) as database:
        names = [name for (name,) in rows(database, "SELECT name FROM mita_spans WHERE kind = 'SERVER'")]
        assert names.count("GET /api/items/{item_id}") == 5
        assert rows(database, "SELECT rule, limit_ms FROM mita_breaches") == [("api.financial.GET", 300.0)]
        texts = rows(database, "SELECT record FROM mita_spans") + rows(database, "SELECT * FROM mita_errors")
        assert canaries.leaks(str(texts).encode(), {"integrity error": canaries.IDENTITY.secret}) == []
        assert not any(
            "mita_" in record
            for (record,) in rows(database, "SELECT record FROM mita_spans")
            if "mita_spans" in record
        )
        [(kind, name)] = rows(database, "SELECT kind, name FROM mita_errors")
        assert kind == "error"
        assert "IntegrityError" in name
        assert rows(database, "SELECT count FROM mita_redactions")
        # A configured database starts the audit trail; it ended with the processes.
        types = [
            kind
            for (kind,) in rows(
                database, "SELECT event_type FROM mita_audit_entries ORDER BY chain, sequence"
            )
        ]
        chain = ["audit_start", "configuration_change", "audit_stop"]
        assert [one for one in types if one in chain] == chain * types.count("audit_start")
        assert types.count("audit_start") >= 1
        # Operations of the financial API are audited automatically, in forked workers as well.
        [(outcome, body)] = rows(
            database, "SELECT outcome, body FROM mita_audit_entries WHERE event_type = 'error'"
        )
        assert outcome == "failure"
        assert "IntegrityError" not in body or canaries.IDENTITY.secret not in body
        assert verify(database, AuditKeys(KEY.encode())).ok


def test_a_missing_extra_is_one_log_line_and_the_service_runs(
    start_service: StartService, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "alembic.py").write_text("raise ImportError('gone', name='alembic')")
    service = start_service(
        {
            "OTEL_TRACES_EXPORTER": "store,console",
            "PYTHONPATH": str(tmp_path / "site"),
            "MITA_OTEL_DATABASE_URL": f"sqlite:///{tmp_path / 'mita.db'}",
        }
    )
    service.client.get("/api/items/1").raise_for_status()
    service.stop()
    said = [line for line in service.stderr.lines if "pip install 'mita-otel[store]'" in line]
    assert said
    assert "Traceback" not in service.stderr.text
