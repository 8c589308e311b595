"""`doctor` in broken environments: each time it names the fault and the mend, and looks at the rest all the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from alerts.receivers import HttpReceiver, Reply
from mita_otel.doctor.examination import examine
from mita_otel.doctor.libraries import library_checks
from mita_otel.doctor.reach import sentry_checks
from mita_otel.health.check import Check, Status

Examined = Callable[..., dict[str, Check]]


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def examined(isolated_telemetry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Examined:
    monkeypatch.chdir(tmp_path)

    def look(**env: str) -> dict[str, Check]:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return {one.name: one for one in examine()}

    return look


def failing(found: dict[str, Check]) -> dict[str, str]:
    return {name: one.said for name, one in found.items() if one.status is Status.FAIL}


def dsn_of(http: HttpReceiver) -> str:
    return f"{http.url.replace('://', '://publickey@')}/1"


def test_a_sound_environment_has_no_fault(examined: Examined, http: HttpReceiver) -> None:
    found = examined(SENTRY_DSN=dsn_of(http), SLACK_FINANCE_WEBHOOK=http.url, MITA_OTEL_AUDIT_KEY="k" * 32)
    assert {name for name, one in found.items() if one.status is not Status.PASS} == set()
    [asked] = http.posted
    assert (asked.path, asked.body) == ("/api/1/envelope/", b"{}\n")
    assert "sentry_key=publickey" in asked.headers["X-Sentry-Auth"]
    assert found["clock"].status is Status.PASS
    assert set(found["sentry"].observed) == {"milliseconds_to_first_byte"}


def test_a_policy_with_a_slip(examined: Examined, tmp_path: Path) -> None:
    (tmp_path / "mita-otel.toml").write_text('[thresholds.api.methods]\nGET = "fast"\n')
    found = failing(examined())
    assert list(found) == ["policy"]
    assert "mita-otel.toml:2" in found["policy"] and "thresholds.api.methods.GET" in found["policy"]


def test_a_policy_that_is_no_toml(examined: Examined, tmp_path: Path) -> None:
    (tmp_path / "mita-otel.toml").write_text("[thresholds\n")
    assert "mita-otel.toml:1" in failing(examined())["policy"]


def test_telemetry_that_is_switched_off(examined: Examined) -> None:
    found = failing(examined(OTEL_SDK_DISABLED="true"))
    assert found == {"switch": "OTEL_SDK_DISABLED is true: telemetry is off; unset it"}


def test_a_distribution_that_is_not_there(examined: Examined) -> None:
    found = failing(examined(OTEL_PYTHON_DISTRO="mita"))
    assert found == {
        "distro": "OTEL_PYTHON_DISTRO=mita: nothing of that name is installed; set it to mita_otel"
    }


def test_two_distributions(examined: Examined, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "packages" / "other_distro-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-distro\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[opentelemetry_distro]\nother = other:Distro\n")
    monkeypatch.syspath_prepend(str(info.parent))
    said = "other is installed as well: set OTEL_PYTHON_DISTRO=mita_otel, or either may start"
    assert failing(examined()) == {"distro": said}
    assert failing(examined(OTEL_PYTHON_DISTRO="mita_otel")) == {}


def test_a_dsn_that_is_none(examined: Examined) -> None:
    assert failing(examined(SENTRY_DSN="https://key@sentry.io/name"))["sentry"].startswith(
        "SENTRY_DSN is no DSN"
    )
    found = failing(examined(SENTRY_DSN="https://sentry.io/1"))
    assert found["sentry"].startswith("SENTRY_DSN is no DSN; copy it from Sentry's project settings")


def test_a_key_that_sentry_does_not_know(examined: Examined, http: HttpReceiver) -> None:
    http.usual = Reply(403, '{"detail": "event submission rejected with_reason: ProjectId"}')
    found = failing(examined(SENTRY_DSN=dsn_of(http)))
    assert found["sentry"].startswith("127.0.0.1 answered 403: it does not know the key or the project")


def test_a_port_that_nobody_listens_at(examined: Examined, http: HttpReceiver) -> None:
    dsn = dsn_of(http)
    http.close()
    found = failing(examined(SENTRY_DSN=dsn))
    assert found == {"sentry": "127.0.0.1 refuses connections; check the port of SENTRY_DSN"}


def test_a_host_that_there_is_not(examined: Examined) -> None:
    found = failing(examined(SENTRY_DSN="https://key@nowhere.invalid/1"))
    assert found["sentry"].startswith(
        ("there is no host nowhere.invalid", "nowhere.invalid cannot be reached")
    )


def test_a_host_that_does_not_answer(http: HttpReceiver) -> None:
    http.replies = ["hang"]
    [check] = sentry_checks({"SENTRY_DSN": dsn_of(http)}, timeout_s=0.3)
    assert check.status is Status.FAIL
    assert check.said.startswith("127.0.0.1 does not answer in time; is there a firewall?")


def test_a_host_that_does_not_speak_tls(http: HttpReceiver) -> None:
    [check] = sentry_checks({"SENTRY_DSN": dsn_of(http).replace("http:", "https:")}, timeout_s=5)
    assert check.status is Status.FAIL
    assert "127.0.0.1" in check.said


def test_a_clock_that_is_wrong(http: HttpReceiver) -> None:
    found = {
        one.name: one for one in sentry_checks({"SENTRY_DSN": dsn_of(http)}, clock=lambda: time.time() - 3600)
    }
    assert found["sentry"].status is Status.PASS
    assert found["clock"].status is Status.FAIL
    assert found["clock"].said.endswith(" seconds behind Sentry's; start its time synchronisation")


def test_an_exporter_that_there_is_not(examined: Examined) -> None:
    found = failing(examined(OTEL_TRACES_EXPORTER="sentri"))
    assert found["exporter:sentri"].startswith("no exporter is called 'sentri'; known: ")


def test_an_otlp_protocol_that_is_not_installed(examined: Examined) -> None:
    found = failing(examined(OTEL_TRACES_EXPORTER="otlp", OTEL_EXPORTER_OTLP_PROTOCOL="grpc"))
    assert found == {
        "exporter:otlp": "the otlp exporter is not installed; install opentelemetry-exporter-otlp-proto-grpc"
    }


def test_a_sampler_that_keeps_nothing(examined: Examined) -> None:
    found = failing(examined(OTEL_TRACES_SAMPLER="always_off"))
    assert found["sampling"] == "OTEL_TRACES_SAMPLER=always_off: no trace is kept; unset it"


def test_a_store_that_is_away(examined: Examined) -> None:
    found = failing(examined(MITA_OTEL_DATABASE_URL="postgresql://mita:secret@127.0.0.1:1/bank"))
    assert found["store"].endswith("check MITA_OTEL_DATABASE_URL")
    assert "secret" not in found["store"]


def test_a_store_whose_folder_there_is_not(examined: Examined, tmp_path: Path) -> None:
    found = failing(examined(MITA_OTEL_DATABASE_URL=f"sqlite:///{tmp_path}/absent/mita.db"))
    assert found["store"].startswith(f"there is no folder {tmp_path}/absent")


def test_a_spool_that_is_a_file(examined: Examined, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    found = failing(examined(MITA_OTEL_AUDIT_SPOOL=str(tmp_path / "spool")))
    assert found["audit"].startswith(
        f"{tmp_path}/spool is no folder, audit entries cannot be kept; set MITA_OTEL_AUDIT_SPOOL"
    )


def test_a_mail_server_that_is_no_address(examined: Examined) -> None:
    found = failing(
        examined(
            MITA_OTEL_SMTP_URL="mail.bank.example", MITA_OTEL_ALERTS__EMAIL__PLACEHOLDER_DOMAIN="none.example"
        )
    )
    assert found["alerts:finance_email"].startswith("MITA_OTEL_SMTP_URL ")


def test_redaction_that_is_off(examined: Examined) -> None:
    found = failing(examined(MITA_OTEL_REDACTION__ENABLED="false"))
    assert "canaries came out, of the rules pan" in found["redaction"]


def test_versions_that_do_not_go_together() -> None:
    versions = {
        "opentelemetry-api": "1.44.0", "opentelemetry-sdk": "1.45.1", "sqlalchemy": "2.1.9",
        "opentelemetry-instrumentation-sqlalchemy": "0.66b1",
    }  # fmt: skip

    def version_of(name: str) -> str:
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    found = {one.name: one for one in library_checks(version_of)}
    assert found["opentelemetry"].said.endswith("pip install opentelemetry-api==1.45.1")
    assert found["sqlalchemy"].said.endswith("pip uninstall opentelemetry-instrumentation-sqlalchemy")
    versions["sqlalchemy"] = "2.0.44"
    assert "sqlalchemy" not in {one.name for one in library_checks(version_of)}


def test_an_examination_goes_on_where_a_check_fails_itself(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mita_otel.doctor import examination

    def broken(*_: object) -> Check:
        raise RuntimeError("of the test")

    monkeypatch.setattr(examination, "store_check", broken)
    found = examined()
    assert found["store"].said == "could not be looked at (RuntimeError: of the test)"
    assert found["redaction"].status is Status.PASS
