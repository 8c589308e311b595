"""Loading: precedence of sources, overlays of environments, and the source of each value."""

from __future__ import annotations

from pathlib import Path

import pytest

from mita_otel.policy import (
    PolicyError,
    default_policy,
    environment_name,
    load_policy,
    load_with_origins,
    loading,
)
from mita_otel.policy.toml_text import read_key
from policy.conftest import WriteFile

NOWHERE = Path("/nowhere")


# --- the environment's name --------------------------------------------------------------------------
NAMED = {
    "SENTRY_ENVIRONMENT": "by-sentry",
    "ENVIRONMENT": "by-environment",
    "OTEL_RESOURCE_ATTRIBUTES": "service.name=x,deployment.environment.name=by-resource",
}


def test_the_environment_argument_takes_precedence_over_variables() -> None:
    assert environment_name("by-argument", NAMED) == "by-argument"


def test_variables_name_the_environment_in_this_order() -> None:
    env = dict(NAMED)
    names = []
    for variable in NAMED:
        names.append(environment_name(None, env))
        del env[variable]
    assert names == ["by-sentry", "by-environment", "by-resource"]
    assert environment_name(None, env) == "production"


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_environment_name_is_ignored(blank: str) -> None:
    env = {"SENTRY_ENVIRONMENT": blank, "ENVIRONMENT": " staging "}
    assert environment_name(blank, env) == "staging"
    attributes = {"OTEL_RESOURCE_ATTRIBUTES": f"deployment.environment.name={blank}"}
    assert environment_name(None, attributes) == "production"


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ("deployment.environment=old", "old"),
        ("deployment.environment=old,deployment.environment.name=new", "new"),
        ("deployment.environment.name=eu%20west", "eu west"),
        ("deployment.environment.name = spaced , a=b", "spaced"),
        ("nonsense,,=", "production"),
    ],
)
def test_resource_attributes_name_the_environment_in_either_spelling(attributes: str, name: str) -> None:
    assert environment_name(None, {"OTEL_RESOURCE_ATTRIBUTES": attributes}) == name


# --- precedence --------------------------------------------------------------------------------------
def test_variables_override_the_file_and_the_file_overrides_the_defaults(write: WriteFile) -> None:
    path = write("[sentry]\nmax_spans = 11\nmax_envelopes = 12\n")
    env = {"MITA_OTEL_SENTRY__MAX_SPANS": "21"}
    sentry = load_policy(path, env=env).sentry
    assert (sentry.max_spans, sentry.max_envelopes) == (21, 12)
    assert sentry.send_timeout_s == default_policy().sentry.send_timeout_s


def test_the_file_argument_takes_precedence_over_the_variable(write: WriteFile, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("[sentry]\nmax_spans = 5\n")
    env = {"MITA_OTEL_POLICY": str(other)}
    assert load_policy(env=env).sentry.max_spans == 5
    assert load_policy(write("[sentry]\nmax_spans = 6\n"), env=env).sentry.max_spans == 6


def test_an_overlay_overrides_the_base_of_its_file(write: WriteFile) -> None:
    path = write("[environments.qa.sentry]\nmax_spans = 2\n[sentry]\nmax_spans = 1\n")
    assert load_policy(path, env={}, environment="qa").sentry.max_spans == 2
    assert load_policy(path, env={}, environment="staging").sentry.max_spans == 1


def test_the_base_of_a_file_overrides_default_overlays(write: WriteFile) -> None:
    path = write("[thresholds.api.methods]\nGET = 100\n")
    methods = load_policy(path, env={}, environment="staging").thresholds.api.methods
    assert methods["GET"] == 100
    assert methods["POST"] == 1500


def test_an_overlay_can_be_for_any_environment(write: WriteFile) -> None:
    path = write("[environments.'EU west'.thresholds.database]\nSELECT = 7\n")
    assert load_policy(path, env={"ENVIRONMENT": "EU west"}).thresholds.database["SELECT"] == 7
    assert load_policy(path, env={"ENVIRONMENT": "eu WEST"}).thresholds.database["SELECT"] == 7
    assert load_policy(path, env={"ENVIRONMENT": "EU east"}).thresholds.database["SELECT"] == 200


@pytest.mark.parametrize("name", ["Staging", "STAGING", " staging "])
def test_environment_names_ignore_case(name: str) -> None:
    env = {"SENTRY_ENVIRONMENT": name}
    assert environment_name(None, env) == "staging"
    assert load_with_origins(env=env).unknown_environment is None
    assert load_policy(env=env).sampling.mode == "always"
    assert default_policy(name.strip()).sampling.mode == "always"


def test_an_unknown_environment_is_named(write: WriteFile) -> None:
    path = write("[environments.qa.sentry]\nmax_spans = 2\n")
    assert load_with_origins(path, env={}, environment="QA").unknown_environment is None
    sentence = load_with_origins(path, env={}, environment="prod").unknown_environment
    assert sentence == (
        "environment 'prod' is unknown: the settings of production apply; known are "
        "development, production, qa, staging"
    )


def test_opentelemetrys_variables_of_the_queue_set_the_policy() -> None:
    env = {
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_BSP_MAX_QUEUE_SIZE": "100",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10",
    }
    queue = load_policy(env=env).export.queue
    assert (queue.delay_ms, queue.exporter_max_spans, queue.max_batch) == (50, 100, 10)


def test_variables_override_an_overlay(write: WriteFile) -> None:
    path = write("[environments.qa.sentry]\nmax_spans = 2\n")
    env = {"ENVIRONMENT": "qa", "MITA_OTEL_SENTRY__MAX_SPANS": "3"}
    assert load_policy(path, env=env).sentry.max_spans == 3


def test_tables_are_merged_and_lists_are_replaced(write: WriteFile) -> None:
    path = write(
        "[thresholds]\ndatabase = { MERGE = 9 }\napi.financial.GET = { segments = ['cash'] }\n"
        "[export]\ntraces = ['file']\n"
    )
    policy = load_policy(path, env={})
    assert policy.thresholds.database == {**default_policy().thresholds.database, "MERGE": 9}
    assert policy.thresholds.api.financial["GET"].segments == ("cash",)
    assert policy.thresholds.api.financial["GET"].limit_ms == 300
    assert policy.export.traces == ("file",)


def test_a_limit_can_be_disabled(write: WriteFile) -> None:
    path = write("[thresholds.database]\nSELECT = 'off'\n")
    assert load_policy(path, env={}).thresholds.database["SELECT"] == "off"


def test_adaptive_and_fixed_limits_replace_each_other(write: WriteFile) -> None:
    path = write(
        "[thresholds.database]\nSELECT = { follow = 'p99 * 2', floor_ms = 1, ceiling_ms = 9 }\n"
        "[environments.qa.thresholds.database]\nSELECT = 100\n"
    )
    limit = load_policy(path, env={}).thresholds.database["SELECT"]
    assert getattr(limit, "ceiling_ms", None) == 9
    assert load_policy(path, env={}, environment="qa").thresholds.database["SELECT"] == 100


def test_loading_does_not_change_the_defaults(write: WriteFile) -> None:
    before = default_policy()
    load_policy(write("[thresholds.api.methods]\nGET = 1\n[redaction.keys]\nallow = ['x']\n"), env={})
    assert default_policy() == before


# --- origins -----------------------------------------------------------------------------------------
def test_each_value_has_its_source(write: WriteFile) -> None:
    path = write(
        "[thresholds.api]\nmethods.GET = 1\n\n[environments.staging]\nexport = { traces = [\n'file'] }\n"
    )
    env = {"MITA_OTEL_SENTRY__MAX_SPANS": "3", "ENVIRONMENT": "staging"}
    loaded = load_with_origins(path, env=env)
    places = {
        "thresholds.api.methods.GET": f"{path}:2",
        "thresholds.api.methods.POST": "defaults (staging)",
        "thresholds.enabled": "defaults",
        "export.traces": f"{path}:5",
        "sentry.max_spans": "MITA_OTEL_SENTRY__MAX_SPANS",
    }
    assert {dotted: loaded.origins[read_key(dotted)] for dotted in places} == places
    assert (loaded.file, loaded.environment, loaded.overlays) == (path, "staging", ("staging",))


def test_without_a_file_everything_is_a_default() -> None:
    loaded = load_with_origins(env={}, folder=NOWHERE)
    assert (loaded.file, loaded.overlays, set(loaded.origins.values())) == (None, (), {"defaults"})
    assert loaded.policy == default_policy()


def test_a_missing_file_is_an_error_only_if_it_was_selected() -> None:
    assert load_policy(env={"MITA_OTEL_POLICY": ""}, folder=NOWHERE) == default_policy()
    with pytest.raises(PolicyError, match="there is no such file"):
        load_policy(env={"MITA_OTEL_POLICY": "/nowhere/x.toml"}, folder=NOWHERE)


def test_the_parsed_defaults_are_those_of_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loading.PARSED_DEFAULTS.read_text("utf-8") == loading.parsed_defaults(), "run `make docs`"
    parsed = loading._defaults.__wrapped__()
    edited = tmp_path / "defaults.toml"
    edited.write_text(loading.DEFAULTS.read_text("utf-8") + "\n[edited]\nnow = true\n", "utf-8")
    monkeypatch.setattr(loading, "DEFAULTS", edited)
    assert loading._defaults.__wrapped__().tree == {**parsed.tree, "edited": {"now": True}}
    edited.write_bytes(loading.PARSED_DEFAULTS.with_name("defaults.toml").read_bytes())
    monkeypatch.setattr(loading, "PARSED_DEFAULTS", tmp_path / "missing.json")
    assert loading._defaults.__wrapped__() == parsed
