"""In a broken environment, `doctor` reports the fault with a fix, and still runs the other checks."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from alerts.receivers import HttpReceiver, Reply
from doctor.kit import (
    PUBLIC_KEY,
    Examined,
    dsn_of,
    failing,
    warning,
    write_package,
)
from mita_otel.sdk.health.check import Check, Status

StartWire = Callable[..., int]

SOUND = {"OTEL_SERVICE_NAME": "bank", "MITA_OTEL_AUDIT_KEY": "k" * 32, "MITA_OTEL_DOCTOR__SLOW_S": "600"}


def test_a_correct_environment_passes_every_check(examined: Examined, http: HttpReceiver) -> None:
    http.usual = Reply(200, "{}", {"Content-Type": "application/json"})
    found = examined(**SOUND, SENTRY_DSN=dsn_of(http), SLACK_FINANCE_WEBHOOK=http.url)
    assert failing(found) == warning(found) == {}
    [asked] = http.posted
    assert (asked.path, asked.body) == ("/api/1/envelope/", b"{}\n")
    assert found["clock"].status is Status.PASS
    assert set(found["sentry"].observed) == {"status", "milliseconds_to_first_byte"}
    assert set(found) >= {
        "policy", "switch", "service", "distro", "configurator", "exporter:sentry", "sampling", "versions",
        "library:fastapi", "library:sqlalchemy", "library:threads", "store", "audit", "alerts", "sentry", "clock",
        "redaction",
    }  # fmt: skip
    assert all(one.said for one in found.values())


def test_an_invalid_policy_value_fails_with_its_line_and_key(examined: Examined, tmp_path: Path) -> None:
    (tmp_path / "mita-otel.toml").write_text('[thresholds.api.methods]\nGET = "fast"\n')
    found = failing(examined())
    assert list(found) == ["policy"]
    assert "mita-otel.toml:2" in found["policy"] and "thresholds.api.methods.GET" in found["policy"]


def test_a_policy_that_is_not_toml_fails_with_its_line(examined: Examined, tmp_path: Path) -> None:
    (tmp_path / "mita-otel.toml").write_text("[thresholds\n")
    assert "mita-otel.toml:1" in failing(examined())["policy"]


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "environment production (default, SENTRY_ENVIRONMENT is not set)"),
        ({"SENTRY_ENVIRONMENT": "production"}, "environment production"),
        ({"ENVIRONMENT": "staging"}, "environment staging"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=production"}, "environment production"),
    ],
)
def test_the_environment_and_its_source_are_reported(
    examined: Examined, env: dict[str, str], said: str
) -> None:
    assert examined(**env)["policy"].said == f"defaults, no policy file, {said}"


def test_disabled_telemetry_fails(examined: Examined) -> None:
    found = failing(examined(OTEL_SDK_DISABLED="true"))
    assert found == {"switch": "OTEL_SDK_DISABLED is true: telemetry is off; unset it"}


def test_an_uninstalled_distribution_fails(examined: Examined) -> None:
    found = failing(examined(OTEL_PYTHON_DISTRO="mita"))
    assert found == {"distro": "OTEL_PYTHON_DISTRO=mita: not installed; set it to mita_otel"}


@pytest.mark.parametrize(
    ("name", "variable"),
    [("distro", "OTEL_PYTHON_DISTRO"), ("configurator", "OTEL_PYTHON_CONFIGURATOR")],
)
@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("", "other is installed as well, and either may start: set {}=mita_otel"),
        ("other", "{}=other selects another one, so mita-otel does not start; set it to mita_otel"),
        ("mita_otel", None),
    ],
)
def test_several_distributions_need_the_variable_that_selects_one(
    examined: Examined,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    variable: str,
    chosen: str,
    said: str | None,
) -> None:
    folder = tmp_path / "packages"
    write_package(folder, "other-distro", "1.0", points=f"[opentelemetry_{name}]\nother = other:Other\n")
    monkeypatch.syspath_prepend(str(folder))
    expected = {name: said.format(variable)} if said else {}
    assert failing(examined(**({variable: chosen} if chosen else {}))) == expected


def test_an_unknown_exporter_fails(examined: Examined) -> None:
    found = failing(examined(OTEL_TRACES_EXPORTER="sentri"))
    assert found["exporter:sentri"].startswith("unknown exporter 'sentri'; use one of ")


def test_an_uninstalled_otlp_protocol_fails(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mita_otel.exporters.registry.entry_points", lambda **_: [])
    found = failing(examined(OTEL_TRACES_EXPORTER="otlp", OTEL_EXPORTER_OTLP_PROTOCOL="grpc"))
    assert found == {"exporter:otlp": "the otlp exporter is not installed; install mita-otel[otlp-grpc]"}


def test_a_sampler_that_keeps_no_trace_fails(examined: Examined) -> None:
    found = failing(examined(OTEL_TRACES_SAMPLER="always_off"))
    assert found["sampling"] == "OTEL_TRACES_SAMPLER=always_off: no trace is kept; unset it"


def test_unknown_exporters_of_metrics_and_logs_fail(examined: Examined) -> None:
    found = failing(examined(OTEL_METRICS_EXPORTER="promethius", OTEL_LOGS_EXPORTER="otlp,zipkin"))
    assert set(found) == {"exporters:metrics", "exporters:logs"}
    assert "'promethius'" in found["exporters:metrics"]
    assert found["exporters:metrics"].endswith("; check OTEL_METRICS_EXPORTER")
    assert "'zipkin'" in found["exporters:logs"] and found["exporters:logs"].endswith(
        "; check OTEL_LOGS_EXPORTER"
    )


def test_an_invalid_value_of_an_opentelemetry_variable_fails(examined: Examined) -> None:
    checks = examined(OTEL_ATTRIBUTE_COUNT_LIMIT="abc", OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT="", **SOUND)
    said = "OTEL_ATTRIBUTE_COUNT_LIMIT: 'abc' is not a whole number of at least 0; used instead: 128; correct or unset them"
    assert failing(checks) == {"variables": said}
    assert checks["redaction"].status is Status.PASS
    assert os.environ["OTEL_ATTRIBUTE_COUNT_LIMIT"] == "abc"


def test_a_missing_configuration_file_fails(examined: Examined) -> None:
    said = "OTEL_CONFIG_FILE=/nowhere.yaml: no such file; correct or unset it"
    assert failing(examined(OTEL_CONFIG_FILE="/nowhere.yaml")) == {"config-file": said}


def test_an_unreachable_store_fails(examined: Examined) -> None:
    found = failing(examined(MITA_OTEL_DATABASE_URL="postgresql://mita:hunter2hunter2@127.0.0.1:1/bank"))
    assert list(found) == ["store"]
    assert "check MITA_OTEL_DATABASE_URL and that the server runs" in found["store"]
    assert "hunter2" not in found["store"]


def test_a_locked_store_fails(examined: Examined, tmp_path: Path) -> None:
    holder = sqlite3.connect(tmp_path / "mita.db", isolation_level=None)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN IMMEDIATE")
    url = f"sqlite:///{tmp_path}/mita.db"
    found = failing(examined(MITA_OTEL_DATABASE_URL=url, MITA_OTEL_STORE__LOCK_TIMEOUT_S="0.2"))
    holder.close()
    assert list(found) == ["store"]
    assert "database is locked: another process holds the lock; find it with fuser -v" in found["store"]


def test_a_missing_folder_of_the_store_fails(examined: Examined, tmp_path: Path) -> None:
    found = failing(examined(MITA_OTEL_DATABASE_URL=f"sqlite:///{tmp_path}/absent/mita.db"))
    assert list(found) == ["store"]
    assert found["store"].startswith(f"the folder {tmp_path}/absent of the store does not exist; create it")


def test_a_file_instead_of_the_spool_folder_fails(examined: Examined, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    found = failing(examined(MITA_OTEL_AUDIT_SPOOL=str(tmp_path / "spool")))
    assert list(found) == ["audit"]
    assert found["audit"].startswith(
        f"{tmp_path}/spool is not a folder: audit entries cannot be stored; free space or grant write access there, or set"
    )


def test_a_missing_audit_key_and_a_missing_service_name_are_warnings(examined: Examined) -> None:
    found = warning(examined())
    assert (
        found["audit"].startswith(
            "the audit chain is unsigned: anyone with write access to the database can forge it"
        )
        and "set MITA_OTEL_AUDIT_KEY; create one with: python -c" in found["audit"]
    )
    assert found["service"].startswith("the service has no name and is shown as unknown_service")
    assert found["service"].endswith(": set OTEL_SERVICE_NAME")


def test_invalid_addresses_of_channels_fail(examined: Examined) -> None:
    found = failing(
        examined(
            MITA_OTEL_SMTP_URL="mail.bank.example",
            SLACK_FINANCE_WEBHOOK="https://hooks.slack.com/services/T000",
            PAGERDUTY_FINANCE_KEY="k" * 31,
        )
    )
    assert set(found) == {"alerts:mail-server", "alerts:finance_slack", "alerts:finance_pagerduty"}


def test_a_disabled_instrumentation_is_a_warning(examined: Examined) -> None:
    found = warning(examined(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="sqlalchemy"))
    said = found["library:sqlalchemy"]
    assert said.endswith(
        " is installed, not instrumented: remove sqlalchemy from OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
    )


def test_a_rejected_upstream_key_of_the_gateway_fails(
    examined: Examined, http: HttpReceiver, tmp_path: Path
) -> None:
    http.usual = Reply(403)
    (tmp_path / "mita-otel.toml").write_text(
        f'[mobile.projects.app]\nid = "42"\nkeys = ["{PUBLIC_KEY}"]\nupstream = "{dsn_of(http)}"\n'
    )
    found = failing(examined())
    assert list(found) == ["mobile:app"]
    assert "unknown key or project in mobile.projects.app.upstream" in found["mobile:app"]


def test_disabled_redaction_fails(examined: Examined) -> None:
    found = failing(examined(MITA_OTEL_REDACTION__ENABLED="false"))
    assert "canaries were not redacted by the rules pan" in found["redaction"]


def test_sqlalchemy_2_1_beside_an_older_instrumentation_does_not_fail(
    examined: Examined, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = "opentelemetry-instrumentation-sqlalchemy"
    folder = tmp_path / "packages"
    write_package(folder, "sqlalchemy", "2.1.9")
    write_package(folder, package, "0.66b1", requires=("sqlalchemy<2.1.0,>=1.0.0; extra == 'instruments'",))
    monkeypatch.syspath_prepend(str(folder))
    found = examined()
    assert failing(found) == {}
    assert found["library:sqlalchemy"] == Check(
        "library:sqlalchemy", Status.PASS, "2.1.9 is installed and instrumented by mita-otel"
    )


def test_incompatible_versions_fail(
    examined: Examined, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_package(tmp_path / "packages", "sentry-sdk", "1.45.0")
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    found = failing(examined())
    assert list(found) == ["versions:sentry-sdk"]
    assert found["versions:sentry-sdk"].endswith("but 1.45.0 is installed: pip install 'sentry-sdk<4,>=2.17'")
