"""`mita-otel alerts plan|apply|validate|list|delete`, and the guide's script with its options."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import distribution

import pytest

from cli.conftest import Command, Said
from sentry.api.fake import TOKEN, FakeSentry

Script = Callable[..., Said]
GUIDE = ["--org", "acme", "--project", "mita-backend", "--environment", "production"]


@pytest.fixture(autouse=True)
def _settings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    name = next((one for one in ("sentry",) if one in request.fixturenames), None)
    if name:
        monkeypatch.setenv("SENTRY_URL", request.getfixturevalue(name).url)
        monkeypatch.setenv("SENTRY_AUTH_TOKEN", TOKEN)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """Run the installed `setup_sentry_alerts` in this process."""
    entry = next(one for one in distribution("mita-otel").entry_points if one.name == "setup_sentry_alerts")

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["setup_sentry_alerts", *arguments])
        with pytest.raises(SystemExit) as end:
            entry.load()()
        captured = capsys.readouterr()
        return Said(end.value.code or 0, captured.out, captured.err)

    return run


def test_rules_are_planned_applied_listed_and_deleted(command: Command, sentry: FakeSentry) -> None:
    planned = command("alerts", "plan", *GUIDE)
    assert planned.code == 0
    assert "  + " in planned.out and "to create, 0 to update, 0 to delete" in planned.out
    assert sentry.changes == []
    assert command("alerts", "plan", "--check", *GUIDE).code == 1
    applied = command("alerts", "apply", *GUIDE)
    assert applied.code == 0 and "done: + " in applied.out
    assert command("alerts", "plan", "--check", *GUIDE).code == 0
    again = command("alerts", "apply", *GUIDE)
    assert "0 to create, 0 to update, 0 to delete" in again.out and "done:" not in again.out
    listed = command("alerts", "list", *GUIDE)
    assert "mita-otel mita-backend/production: Critical financial errors" in listed.out
    refused = command("alerts", "delete", *GUIDE)
    assert (refused.code, refused.err) == (2, "nothing was deleted: confirm with --yes\n")
    assert command("alerts", "delete", "--yes", *GUIDE).code == 0
    assert command("alerts", "list", *GUIDE).lines[-1] == "0 alerts managed by mita-otel in mita-backend"


def test_the_script_of_the_guide_accepts_its_options(script: Script, sentry: FakeSentry) -> None:
    made = script(*GUIDE)
    assert made.code == 0 and "done: + alert mita-otel mita-backend/production: High error rate" in made.out
    listed = script("--list-rules", "--org", "acme", "--project", "mita-backend")
    assert listed.code == 0 and "Payment processing failures" in listed.out
    before = len(sentry.changes)
    checked = script("--org", "acme", "--project", "mita-backend", "--validate-only")
    assert len(sentry.changes) == before
    assert "0 to create, 0 to update" in checked.out
    assert script("--validate-only", "--list-rules", *GUIDE).code == 2


def test_validate_lists_recipients_and_missing_settings(command: Command, sentry: FakeSentry) -> None:
    said = command(
        "alerts", "validate", *GUIDE, env={"SLACK_FINANCE_WEBHOOK": "https://hooks.slack.example/x"}
    )
    assert said.code == 1
    assert "payment_processing_failures: finance_slack" in said.lines
    assert "  finance_pagerduty: PAGERDUTY_FINANCE_KEY is not set" in said.out
    assert (
        "compliance_violation: no channel" in said.out
    )  # security_slack is not set, and not delivered by Sentry
    assert "! pci_violation: Sentry has no team compliance" in said.out


def test_validate_without_a_token_does_not_check_sentry(command: Command) -> None:
    said = command(
        "alerts", "validate", env={"SLACK_FINANCE_WEBHOOK": "https://x.example", "SLACK_SECURITY_WEBHOOK": "https://x.example"}
    )  # fmt: skip
    assert "SENTRY_AUTH_TOKEN is not set: Sentry is not checked" in said.out
    assert (said.code, said.err) == (0, "")


def test_the_variables_name_organization_and_both_projects(command: Command, sentry: FakeSentry) -> None:
    env = {
        "SENTRY_ORG": "acme",
        "SENTRY_PROJECT_BACKEND": "mita-backend",
        "SENTRY_PROJECT_MOBILE": "mita-mobile",
    }
    said = command("alerts", "apply", env=env)
    assert "mita-mobile:\n" in said.out
    assert "done: + monitor mita-otel mita-mobile/production: Mobile crashes" in said.out


APP = "Mobile crashes"
SERVICE = "Critical financial errors"


@pytest.mark.parametrize(
    ("arguments", "backend", "mobile", "rules"),
    [
        ([], "mita-backend", "mita-mobile", {"mita-backend": {SERVICE}, "mita-mobile": {APP}}),
        ([], "mita-backend", "mita-backend", {"mita-backend": {SERVICE, APP}}),
        ([], "", "mita-mobile", {"mita-mobile": {APP}}),
        (["--project", "mita-mobile"], "mita-backend", "mita-mobile", {"mita-mobile": {APP}}),
        (
            ["--project", "mita-backend", "--mobile-project", "mita-backend"],
            "",
            "",
            {"mita-backend": {SERVICE, APP}},
        ),
    ],
)
def test_a_project_gets_the_rules_of_the_services_that_report_to_it(
    command: Command,
    sentry: FakeSentry,
    arguments: list[str],
    backend: str,
    mobile: str,
    rules: dict[str, set[str]],
) -> None:
    env = {"SENTRY_ORG": "acme", "SENTRY_PROJECT_BACKEND": backend, "SENTRY_PROJECT_MOBILE": mobile}
    assert command("alerts", "apply", *arguments, env=env).code == 0
    made: dict[str, set[str]] = {}
    for one in sentry.workflows.values():
        prefix, _, title = one["name"].partition("/production: ")
        if title in {SERVICE, APP}:
            made.setdefault(prefix.removeprefix("mita-otel "), set()).add(title)
    assert made == rules
    assert command("alerts", "plan", "--check", *arguments).code == 0


def test_recipients_missing_in_sentry_are_a_problem_despite_local_channels(
    command: Command, sentry: FakeSentry
) -> None:
    slack = "https://hooks.slack.com/services/T0000/B0000/x0000000000000000000000x"
    env = {"SLACK_FINANCE_WEBHOOK": slack, "SLACK_SECURITY_WEBHOOK": slack}
    said = command("alerts", "validate", *GUIDE, env=env)
    assert (said.code, said.err) == (1, "2 problems\n")  # the team and the service of compliance
    sentry.teams.append({**sentry.teams[0], "id": "599", "slug": "compliance", "name": "Compliance"})
    services = sentry.integrations[1]["configData"]["service_table"]
    services.append({"service": "Compliance Critical", "integration_key": "x", "id": 83})
    assert command("alerts", "validate", *GUIDE).code == 0


def test_the_script_of_the_guide_accepts_an_environment(script: Script, sentry: FakeSentry) -> None:
    assert script("--org", "acme", "--project", "mita-backend", "--environment", "staging").code == 0
    ours = [one for one in sentry.workflows.values() if one["name"].startswith("mita-otel")]
    assert ours and {one["environment"] for one in ours} == {"staging"}


def test_deleting_no_rules_needs_no_confirmation(command: Command, sentry: FakeSentry) -> None:
    assert command("alerts", "delete", *GUIDE).code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--org", "acme"], "no project: use --project, or set SENTRY_PROJECT_BACKEND\n"),
        (["--project", "p"], "no organization is given; use --org or set SENTRY_ORG\n"),
        (["--org", "acme", "--project", "a/b"], "'a/b' is not the slug of a project; copy it from Sentry's address bar\n"),
        (["--org", "other", "--project", "mita-backend"], "Sentry has no project mita-backend in the organization other"),
    ],
)  # fmt: skip
def test_an_invalid_argument_is_an_error_with_the_fix(
    command: Command, sentry: FakeSentry, arguments: list[str], said: str
) -> None:
    ran = command("alerts", "plan", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(said)


def test_a_missing_token_is_an_error_with_the_fix(command: Command) -> None:
    ran = command("alerts", "plan", *GUIDE)
    assert (ran.code, ran.err) == (
        2,
        "SENTRY_AUTH_TOKEN is not set; create a token in Sentry under Settings, Auth Tokens\n",
    )


def test_a_missing_extra_is_an_error_with_the_fix(
    command: Command, sentry: FakeSentry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in sys.modules if one.startswith("mita_otel.sentry.api.client")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "stamina", None)
    ran = command("alerts", "plan", *GUIDE)
    assert ran.code == 2
    assert ran.err == "Sentry's API needs stamina; install it with: pip install 'mita-otel[alerts]'\n"
