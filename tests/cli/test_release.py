"""`mita-otel release create|commits|deploy|finalize`, against a Sentry that judges every request."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cli.conftest import Command
from leaks import shows
from sentry_api.fake import TOKEN, FakeSentry, Fault

NAME = "mita-finance@1.0.0"


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, today: FakeSentry) -> None:
    monkeypatch.setenv("SENTRY_URL", today.url)
    monkeypatch.setenv("SENTRY_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("SENTRY_ORG", "acme")
    monkeypatch.setenv("SENTRY_PROJECT_BACKEND", "mita-backend")
    monkeypatch.setenv("SENTRY_RELEASE", NAME)


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A Dev", "-c", "user.email=dev@bank.example", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "commit", "--allow-empty", "-qm", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def work_tree(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    return tmp_path


def test_a_release_from_its_making_to_its_deploy(
    command: Command, work_tree: Path, today: FakeSentry
) -> None:
    first = commit(work_tree, "the first")
    assert command("release", "create").out == f"{NAME}: made\n"
    assert command("release", "commits").out == f"{NAME}: 1 commit\n"
    second = commit(work_tree, "the second\n\nwith card 4111 1111 1111 1111")
    third = commit(work_tree, "the third")
    following = ["--version", "mita-finance@1.1.0+a b"]
    assert command("release", "create", *following, "--url", "https://bank.example/1.1").code == 0
    said = command("release", "commits", *following, "--repository", "bank/backend")
    assert said.out == f"mita-finance@1.1.0+a b: 2 commits since {first[:12]}\n"
    told = today.commits["mita-finance@1.1.0+a b"]
    assert [one["id"] for one in told] == [third, second]
    assert told[0]["author_email"] == "dev@bank.example" and told[0]["repository"] == "bank/backend"
    assert not shows(told[1]["message"]) and "[redacted:pan]" in told[1]["message"]
    assert command("release", "finalize", *following).out == "mita-finance@1.1.0+a b: out\n"
    release = today.releases["mita-finance@1.1.0+a b"]
    assert release["dateReleased"] and release["ref"] == third
    assert release["url"] == "https://bank.example/1.1"
    assert command("release", "deploy", *following, "-e", "staging").code == 0
    [deploy] = today.deploys["mita-finance@1.1.0+a b"]
    assert (deploy["environment"], deploy["name"]) == ("staging", None)
    assert deploy["dateStarted"] <= deploy["dateFinished"]


def test_making_a_release_twice_is_no_error(command: Command, today: FakeSentry) -> None:
    assert command("release", "create").code == command("release", "create").code == 0
    assert list(today.releases) == [NAME]
    assert today.releases[NAME]["ref"] is None  # no repository here


def test_a_command_that_deploys_is_run_and_its_failure_marked(command: Command, today: FakeSentry) -> None:
    command("release", "create")
    good = command("release", "deploy", "--", sys.executable, "-c", "")
    assert good.code == 0
    bad = command("release", "deploy", "-e", "staging", "--", sys.executable, "-c", "raise SystemExit(3)")
    assert bad.code == 3
    assert bad.out.endswith("to staging, failed: exit status 3\n")
    absent = command("release", "deploy", "--", "./absent.sh")
    assert (absent.code, absent.err) == (127, "./absent.sh: No such file or directory\n")
    command("release", "deploy", "--failed")
    names = [one["name"] for one in today.deploys[NAME]]
    assert names == [None, "failed: exit status 3", "failed: exit status 127", "failed"]


def test_the_version_is_the_packages_or_the_commits(
    command: Command, work_tree: Path, today: FakeSentry, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("release", "create", "--package", "mita-otel")
    monkeypatch.delenv("SENTRY_RELEASE")
    head = commit(work_tree, "x")
    command("release", "create")
    assert [one.split("@")[0] for one in today.releases] == ["mita-otel", head]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--version", "a/b"], "'a/b' is no name of a release"),
        (["--version", "x" * 201], "is no name of a release"),
        (["--package", "absent"], "the package absent is not installed here"),
        (["--project", "a/b"], "'a/b' is no slug of the project"),
    ],
)
def test_what_cannot_be_used_is_said(command: Command, arguments: list[str], said: str) -> None:
    refused = command("release", "create", *arguments)
    assert refused.code == 2
    assert said in refused.err


def test_without_a_version_or_a_repository_it_is_said(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SENTRY_RELEASE")
    refused = command("release", "create")
    assert refused.code == 2
    assert refused.err.startswith(
        "which release? Give --version, or set SENTRY_RELEASE (git rev-parse: fatal"
    )


@pytest.mark.parametrize(
    ("status", "said"), [(401, "SENTRY_AUTH_TOKEN"), (403, "it needs project:releases"), (404, "SENTRY_ORG")]
)
def test_what_sentry_refuses_is_said_with_its_mend(
    command: Command, today: FakeSentry, status: int, said: str
) -> None:
    today.faults.append(Fault(status))
    refused = command("release", "create")
    assert refused.code == 2
    assert f"Sentry answered {status}" in refused.err and said in refused.err


def test_a_release_that_there_is_not_cannot_be_out(command: Command) -> None:
    assert "Sentry answered 404" in command("release", "finalize").err


@pytest.mark.parametrize(("own", "code"), [(3, 3), (0, 2)])
def test_a_refused_deploy_keeps_the_status_of_a_command_that_failed(
    command: Command, today: FakeSentry, own: int, code: int
) -> None:
    """The release is not known to Sentry: it refuses, after the command has run."""
    told = command("release", "deploy", "--", sys.executable, "-c", f"raise SystemExit({own})")
    assert told.code == code
    assert not today.deploys.get(NAME)
