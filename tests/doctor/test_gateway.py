"""The gateway for mobile apps: its upstreams accept data, and its spool has space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alerts.receivers import HttpReceiver, Reply
from doctor.kit import PUBLIC_KEY, by_name, failing, policy_with, warning
from mita_otel.doctor.gateway import gateway_checks
from mita_otel.mobile.spool import Spool
from mita_otel.policy import Policy
from mita_otel.policy.mobile import MobileProject
from mita_otel.sdk.health.check import Check, Status
from mobile.spool_kit import Lost, record, spool_policy

SPOOL = "MITA_OTEL_MOBILE_SPOOL"
NOW = 1_800_000_000.0


def gateway(
    spool: dict[str, Any] | None = None, doctor: dict[str, float] | None = None, **projects: Any
) -> Policy:
    policy = policy_with(**(doctor or {}))
    apps = {
        name: MobileProject(**{"id": name, "keys": (PUBLIC_KEY,), **app}) for name, app in projects.items()
    }
    changed = policy.mobile.replace(projects=apps, spool=spool_policy(**(spool or {})))
    return policy.replace(mobile=changed)


def upstream_of(http: HttpReceiver) -> str:
    return f"{http.url.replace('://', f'://{PUBLIC_KEY}@')}/42"


def looked(policy: Policy, folder: Path | str, *, network: bool = True, **env: str) -> dict[str, Check]:
    return by_name(gateway_checks(policy, {SPOOL: str(folder), **env}, network=network, clock=lambda: NOW))


def put(folder: Path, *ages_s: float, **bounds: Any) -> None:
    spool = Spool(spool_policy(**bounds), folder, Lost())
    for age_s in ages_s:
        spool.put(record(received_s=NOW - age_s), b"x" * 1000)
    spool.close()


def test_without_an_app_and_a_spool_nothing_is_checked() -> None:
    assert list(gateway_checks(policy_with(), {})) == []


def test_a_spool_without_an_app_in_the_policy_is_a_warning() -> None:
    found = looked(policy_with(), "/somewhere")["mobile"]
    assert found.status is Status.WARN
    assert found.said.startswith(
        f"{SPOOL} is set, but the policy contains no app, so the gateway refuses everything; add [mobile"
    )


def test_a_working_gateway_passes(http: HttpReceiver, tmp_path: Path) -> None:
    http.usual = Reply(200, "{}", {"Content-Type": "application/json"})
    put(tmp_path / "spool", 60)
    found = looked(gateway(app={"upstream": upstream_of(http)}), tmp_path / "spool")
    assert failing(found) == warning(found) == {}
    assert found["mobile:spool"].said == f"1 envelopes wait in {tmp_path}/spool"
    assert found["mobile:spool"].observed["waiting"] == 1
    assert found["mobile:spool"].observed["oldest_seconds"] == 60
    [posted] = http.posted
    headers = {name.lower(): value for name, value in posted.headers.items()}
    assert (posted.path, posted.body) == ("/api/42/envelope/", b"{}\n")
    assert f"sentry_key={PUBLIC_KEY}" in headers["x-sentry-auth"]


def test_a_key_that_the_upstream_rejects_fails(http: HttpReceiver, tmp_path: Path) -> None:
    http.usual = Reply(403)
    found = looked(gateway(app={"upstream": upstream_of(http)}), tmp_path)
    assert list(failing(found)) == ["mobile:app"]
    assert "unknown key or project in mobile.projects.app.upstream; copy" in found["mobile:app"].said
    assert PUBLIC_KEY not in found["mobile:app"].said


def test_an_unreachable_upstream_fails(http: HttpReceiver, tmp_path: Path) -> None:
    http.close()
    found = looked(gateway(app={"upstream": upstream_of(http)}), tmp_path)
    where = http.url.removeprefix("http://")
    said = f"{where} refuses connections; check the port in mobile.projects.app.upstream, and that the server is running"
    assert failing(found) == {"mobile:app": said}


def test_each_app_is_checked(http: HttpReceiver, tmp_path: Path) -> None:
    http.replies = [Reply(200, "{}"), Reply(401)]
    policy = gateway(good={"upstream": upstream_of(http)}, bad={"upstream": upstream_of(http)})
    assert list(failing(looked(policy, tmp_path))) == ["mobile:bad"]


def test_an_offline_check_contacts_no_upstream(http: HttpReceiver, tmp_path: Path) -> None:
    found = looked(gateway(app={"upstream": upstream_of(http)}), tmp_path, network=False)
    assert found["mobile:app"] == Check(
        "mobile:app", Status.PASS, "mobile.projects.app.upstream not contacted"
    )
    assert http.posted == []


def test_storing_app_telemetry_in_the_default_store_is_a_warning(tmp_path: Path) -> None:
    policy = gateway(app={"store": True})
    said = "telemetry of mobile-app goes to this machine's store only; set MITA_OTEL_DATABASE_URL"
    assert warning(looked(policy, tmp_path)) == {"mobile:app:store": said}
    assert warning(looked(policy, tmp_path, MITA_OTEL_DATABASE_URL="sqlite:///x.db")) == {}


def test_an_unwritable_spool_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = looked(gateway(app={"store": True}), tmp_path / "file")["mobile:spool"]
    said = f"{tmp_path}/file is not a folder: telemetry from apps is refused; free space or grant write access there, or set"
    assert found.status is Status.FAIL
    assert found.said.startswith(said)


@pytest.mark.parametrize(
    ("limit", "status"), [(2, Status.FAIL), (3, Status.PASS), (4, Status.PASS)],
)  # fmt: skip
def test_a_full_spool_fails(tmp_path: Path, limit: int, status: Status) -> None:
    put(tmp_path, 1, 1)
    found = looked(gateway({"max_records": limit}, app={"store": True}), tmp_path)["mobile:spool"]
    assert found.status is status
    if status is not Status.PASS:
        assert found.said.startswith(f"{tmp_path} is 100% full (2 envelopes, 0 MB), and a full spool drops")


def test_a_spool_close_to_its_byte_limit_is_a_warning(tmp_path: Path) -> None:
    folder = tmp_path / "process"
    folder.mkdir()
    (folder / f"0-{int(NOW * 1e9):020d}-00000001.record").write_bytes(b"x" * 900_000)
    found = looked(gateway({"max_megabytes": 1}, app={"store": True}), tmp_path)["mobile:spool"]
    assert found.status is Status.WARN
    assert found.said.startswith(f"{tmp_path} is 90% full (1 envelopes, 1 MB)")


def test_the_limit_of_a_spool_applies_to_each_process(tmp_path: Path) -> None:
    for _ in range(3):
        put(tmp_path, 1, 1)
    found = looked(gateway({"max_records": 4}, app={"store": True}), tmp_path)["mobile:spool"]
    assert (found.status, found.observed["waiting"]) == (Status.PASS, 6)


@pytest.mark.parametrize(("age_s", "status"), [(3600.0, Status.PASS), (3660.0, Status.WARN)])
def test_envelopes_that_wait_too_long_are_a_warning(tmp_path: Path, age_s: float, status: Status) -> None:
    put(tmp_path, 5, age_s)
    found = looked(gateway(doctor={"max_waiting_s": 3600}, app={"store": True}), tmp_path)["mobile:spool"]
    assert found.status is status
    if status is Status.WARN:
        assert found.said.startswith(
            f"2 envelopes wait in {tmp_path}, the oldest for 61 minutes; check that the gateway runs"
        )


def test_a_spool_on_a_nearly_full_disk_is_a_warning(tmp_path: Path) -> None:
    found = looked(gateway(doctor={"min_free_megabytes": 1e12}, app={"store": True}), tmp_path)[
        "mobile:spool"
    ]
    assert found.status is Status.WARN
    assert found.said.endswith(
        "less than doctor.min_free_megabytes; free space before envelopes of apps are refused"
    )
