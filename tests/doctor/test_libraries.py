"""Incompatible versions, and libraries that are installed but not instrumented."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from doctor.kit import by_name, failing, policy_with, warning, write_package
from mita_otel.doctor import libraries
from mita_otel.doctor.libraries import extras_in_use, instrumentation_checks, library_checks
from mita_otel.policy import Policy
from mita_otel.sdk.health.check import Check, Status

DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
REDIS = "opentelemetry-instrumentation-redis"
POINT = "[opentelemetry_instrumentor]\nredis = redis_instrumentation:Instrumentor\n"

Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Install:
    """Install the metadata of a package; it takes precedence over an installed one of the same name."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def write(name: str, version: str, code: str = "", **more: object) -> None:
        write_package(folder, name, version, **more)  # type: ignore[arg-type]
        if code:
            (folder / "redis_instrumentation.py").write_text(code)

    return write


def instrumentation(
    policy: Policy | None = None, env: Mapping[str, str] | None = None, **more: str
) -> dict[str, Check]:
    return by_name(instrumentation_checks(policy or policy_with(), {**(env or {}), **more}))


def policy_of(**instrumentation: object) -> Policy:
    policy = policy_with()
    changed = policy.instrumentation.replace(**instrumentation)
    return policy.replace(instrumentation=changed)


# --- versions ----------------------------------------------------------------------------------------
def test_compatible_versions_pass() -> None:
    found = by_name(library_checks())
    assert list(found) == ["versions"]
    assert found["versions"].status is Status.PASS
    assert "opentelemetry-sdk 1." in found["versions"].said


def test_an_incompatible_api_version_fails(install: Install) -> None:
    install("opentelemetry-api", "1.44.0")
    said = failing(by_name(library_checks()))["versions:opentelemetry-api"]
    assert "needs opentelemetry-api" in said
    assert ", but 1.44.0 is installed: pip install opentelemetry-api==" in said


def test_an_old_sentry_sdk_fails_with_the_accepted_versions(install: Install) -> None:
    install("sentry-sdk", "1.45.0")
    found = failing(by_name(library_checks()))
    assert found == {
        "versions:sentry-sdk": "mita-otel 0.1.0 needs sentry-sdk<4,>=2.17, but 1.45.0 is installed: "
        "pip install 'sentry-sdk<4,>=2.17'"
    }


def test_a_library_of_an_extra_is_checked_only_if_the_extra_is_in_use(install: Install) -> None:
    install("alembic", "1.13.3")
    policy = policy_with()
    assert failing(by_name(library_checks(extras_in_use(policy, [], {})))) == {}
    in_use = extras_in_use(policy, [], {"MITA_OTEL_DATABASE_URL": "sqlite:///store.db"})
    found = failing(by_name(library_checks(in_use)))["versions:alembic"]
    assert (
        found
        == "mita-otel 0.1.0 needs alembic<2,>=1.14, but 1.13.3 is installed: pip install 'alembic<2,>=1.14'"
    )


def test_the_extras_in_use_follow_from_the_configuration() -> None:
    policy = policy_of(sqlalchemy="contrib")
    assert extras_in_use(policy_with(), ["console"], {}) == []
    assert extras_in_use(policy_with(), ["store"], {}) == ["store"]
    assert extras_in_use(policy, ["otlp"], {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}) == [
        "otlp-grpc",
        "contrib",
    ]
    env = {
        "MITA_OTEL_DATABASE_URL": "postgresql://db/bank", "OTEL_METRICS_EXPORTER": "prometheus",
        "OTEL_LOGS_EXPORTER": "otlp", "SLACK_FINANCE_WEBHOOK": "https://hooks.example",
    }  # fmt: skip
    assert extras_in_use(policy_with(), [], env) == ["store", "postgresql", "otlp", "prometheus", "alerts"]


# --- installed and active ----------------------------------------------------------------------------
def test_installed_and_active_instrumentations_pass() -> None:
    found = instrumentation()
    assert warning(found) == failing(found) == {}
    assert found["library:fastapi"].said.endswith(" is installed and instrumented by FastAPI's own telemetry")
    assert " is installed and instrumented by mita-otel" in found["library:sqlalchemy"].said
    assert found["library:threads"].said.startswith("context is propagated")
    assert (
        "is installed and instrumented under opentelemetry-instrument by opentelemetry-instrumentation-httpx "
        in (found["library:httpx"].said)
    )
    assert {"library:requests", "library:urllib3", "library:aiohttp", "library:celery"} <= set(found)


def test_fastapi_instrumented_by_the_contrib_package_passes() -> None:
    said = instrumentation(policy_of(fastapi="contrib"))["library:fastapi"].said
    assert said.endswith(" is installed and instrumented by the contrib instrumentation")


def test_drivers_that_measure_the_statements_of_sqlalchemy_too_are_named(install: Install) -> None:
    install(
        "opentelemetry-instrumentation-psycopg",
        "0.66b1",
        points="[opentelemetry_instrumentor]\npsycopg = psycopg_x:X\n",
    )
    check = instrumentation()["library:sqlalchemy"]
    assert check.status is Status.PASS
    assert "psycopg" in check.said
    assert "have two spans, and are counted once. For one span set OTEL_PYTHON_DISABLED" in check.said
    off = instrumentation(env={DISABLED: "psycopg,sqlite3,psycopg2,asyncpg,pymysql"})["library:sqlalchemy"]
    assert "two spans" not in off.said


def test_sqlalchemy_selects_the_contrib_package_only_if_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.instrumentation.sqlalchemy", exc_type=ImportError)
    policy = policy_of(sqlalchemy="contrib")
    check = instrumentation(policy)["library:sqlalchemy"]
    assert check.status is Status.PASS
    assert " is installed and instrumented by the contrib package" in check.said
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.sqlalchemy", None)
    check = instrumentation(policy)["library:sqlalchemy"]
    assert check.status is Status.WARN
    assert check.said.endswith(": pip install 'mita-otel[contrib]'")


@pytest.mark.parametrize(
    "written", ["fastapi,sqlalchemy,threading,httpx", "fastapi , sqlalchemy ,threading, httpx"]
)
def test_instrumentations_disabled_by_the_variable_are_warnings(written: str) -> None:
    off = warning(instrumentation(env={DISABLED: written}))
    assert set(off) == {"library:fastapi", "library:sqlalchemy", "library:threads", "library:httpx"}
    for name in ("fastapi", "sqlalchemy", "httpx"):
        assert off[f"library:{name}"].endswith(
            f" is installed, not instrumented: remove {name} from {DISABLED}"
        )
    assert off["library:threads"].endswith(f": remove threading from {DISABLED}")


def test_a_variable_that_disables_all_instrumentations_is_a_warning_for_each() -> None:
    found = instrumentation(env={DISABLED: "*"})
    assert set(warning(found)) == set(found)
    assert all(one.said.endswith(f"remove * from {DISABLED}") for one in found.values())


def test_instrumentations_disabled_by_the_policy_are_warnings() -> None:
    off = warning(instrumentation(policy_of(fastapi="off", sqlalchemy=False, threads=False)))
    assert {name: said.rpartition(": ")[2] for name, said in off.items()} == {
        "library:fastapi": 'the policy disables it; set instrumentation.fastapi to "auto"',
        "library:sqlalchemy": 'the policy disables it; set instrumentation.sqlalchemy to "auto"',
        "library:threads": "the policy disables it; set instrumentation.threads to true",
    }


@pytest.mark.parametrize("framework", ["flask", "django", "falcon", "pyramid", "tornado"])
def test_a_web_framework_without_instrumentation_is_reported_with_the_fix(
    install: Install, monkeypatch: pytest.MonkeyPatch, framework: str
) -> None:
    others = [point for point in entry_points(group=libraries._GROUP) if point.name != framework]
    monkeypatch.setattr(libraries, "entry_points", lambda *, group: others)
    install(framework, "5.0")
    said = f"5.0 is installed, not instrumented: pip install opentelemetry-instrumentation-{framework}"
    assert instrumentation()[f"library:{framework}"] == Check(f"library:{framework}", Status.WARN, said)


def test_a_library_without_instrumentation_is_a_warning_with_the_fix(install: Install) -> None:
    install("redis", "5.0.0")
    said = f"5.0.0 is installed, not instrumented: pip install {REDIS}"
    assert instrumentation()["library:redis"] == Check("library:redis", Status.WARN, said)


def test_an_unsupported_library_version_is_a_warning_with_the_fix(install: Install) -> None:
    install("redis", "2.4.0")
    install(REDIS, "0.66b1", requires=("redis>=2.6; extra == 'instruments'",), points=POINT)
    said = (
        f"2.4.0 is installed, not instrumented: {REDIS} 0.66b1 needs redis>=2.6, but redis 2.4.0 is installed; pip install "
        "'redis>=2.6'"
    )
    assert instrumentation()["library:redis"] == Check("library:redis", Status.FAIL, said)


def test_a_broken_instrumentation_is_reported_with_the_import_error(install: Install) -> None:
    install("redis", "5.0.0")
    install(
        REDIS,
        "0.66b1",
        "import nothing_of_the_kind\n",
        requires=("redis>=2.6; extra == 'instruments'",),
        points=POINT,
    )
    said = (
        f"5.0.0 is installed, not instrumented: {REDIS} 0.66b1 cannot be imported (ModuleNotFoundError: No module "
        f"named 'nothing_of_the_kind'); pip install --force-reinstall {REDIS}"
    )
    assert instrumentation()["library:redis"] == Check("library:redis", Status.FAIL, said)


def test_an_instrumentation_without_its_library_is_not_reported(install: Install) -> None:
    install(REDIS, "0.66b1", requires=("redis>=2.6; extra == 'instruments'",), points=POINT)
    assert "library:redis" not in instrumentation()


def test_instrumentations_of_other_libraries_are_checked(install: Install) -> None:
    install("ledgerlib", "3.0")
    points = "[opentelemetry_instrumentor]\nledger = redis_instrumentation:Instrumentor\n"
    requires = ("ledgerlib>=2; extra == 'instruments'",)
    install("ledger-instrumentation", "1.0", "class Instrumentor: ...\n", requires=requires, points=points)
    found = instrumentation()["library:ledger"]
    assert (found.status, found.said) == (
        Status.PASS,
        "it is installed and instrumented under opentelemetry-instrument by ledger-instrumentation 1.0",
    )
    assert instrumentation(env={DISABLED: "ledger"})["library:ledger"].status is Status.WARN


def test_a_broken_fastapi_fails_with_the_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fastapi", None)
    found = instrumentation()["library:fastapi"]
    assert found.status is Status.FAIL
    assert found.said.endswith(
        "cannot be imported (ModuleNotFoundError: import of fastapi halted; None in sys.modules); "
        "pip install --force-reinstall fastapi"
    )
