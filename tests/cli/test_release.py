"""`mita-otel release create|commits|deploy|finalize`, with a Sentry server that validates every request."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from cli.conftest import COMMAND, Command
from e2e.service import clean_environment
from leaks import shows
from sentry.api.fake import TOKEN, FakeSentry, Fault

NAME = "mita-finance@1.0.0"


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, sentry: FakeSentry) -> None:
    monkeypatch.setenv("SENTRY_URL", sentry.url)
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


def test_a_release_is_created_and_deployed_with_its_commits(
    command: Command, work_tree: Path, sentry: FakeSentry
) -> None:
    first = commit(work_tree, "the first")
    assert command("release", "create").out == f"{NAME}: created\n"
    assert command("release", "commits").out == f"{NAME}: 1 commit\n"
    second = commit(work_tree, "the second\n\nwith card 4111 1111 1111 1111")
    third = commit(work_tree, "the third")
    following = ["--version", "mita-finance@1.1.0+a b"]
    assert command("release", "create", *following, "--url", "https://bank.example/1.1").code == 0
    said = command("release", "commits", *following, "--repository", "bank/backend")
    assert said.out == f"mita-finance@1.1.0+a b: 2 commits since {first[:12]}\n"
    result = sentry.commits["mita-finance@1.1.0+a b"]
    assert [one["id"] for one in result] == [third, second]
    assert result[0]["author_email"] == "dev@bank.example" and result[0]["repository"] == "bank/backend"
    assert not shows(result[1]["message"]) and "[redacted:pan]" in result[1]["message"]
    assert command("release", "finalize", *following).out == "mita-finance@1.1.0+a b: finalized\n"
    release = sentry.releases["mita-finance@1.1.0+a b"]
    assert release["dateReleased"] and release["ref"] == third
    assert release["url"] == "https://bank.example/1.1"
    assert command("release", "deploy", *following, "-e", "staging").code == 0
    [deploy] = sentry.deploys["mita-finance@1.1.0+a b"]
    assert (deploy["environment"], deploy["name"]) == ("staging", None)
    assert deploy["dateStarted"] <= deploy["dateFinished"]


def test_the_previous_release_is_of_the_same_project(
    command: Command, work_tree: Path, sentry: FakeSentry
) -> None:
    """Releases belong to the organization: a newer one of the app is not the service's previous release."""
    first = commit(work_tree, "the first")
    command("release", "create", "--version", "backend@1")
    commit(work_tree, "the second")
    command("release", "create", "--version", "app@1", "--project", "mita-mobile")
    commit(work_tree, "the third")
    command("release", "create")
    assert command("release", "commits").out == f"{NAME}: 2 commits since {first[:12]}\n"


def test_creating_a_release_twice_is_not_an_error(command: Command, sentry: FakeSentry) -> None:
    assert command("release", "create").code == command("release", "create").code == 0
    assert list(sentry.releases) == [NAME]
    assert sentry.releases[NAME]["ref"] is None  # not in a repository


def test_the_deploy_command_is_run_and_its_failure_is_recorded(command: Command, sentry: FakeSentry) -> None:
    command("release", "create")
    good = command("release", "deploy", "--", sys.executable, "-c", "")
    assert good.code == 0
    bad = command("release", "deploy", "-e", "staging", "--", sys.executable, "-c", "raise SystemExit(3)")
    assert bad.code == 3
    assert bad.out.endswith("to staging, failed: exit status 3\n")
    absent = command("release", "deploy", "--", "./absent.sh")
    assert (absent.code, absent.err) == (127, "./absent.sh: No such file or directory\n")
    command("release", "deploy", "--failed")
    names = [one["name"] for one in sentry.deploys[NAME]]
    assert names == [None, "failed: exit status 3", "failed: exit status 127", "failed"]


def test_the_version_comes_from_the_package_or_the_commit(
    command: Command, work_tree: Path, sentry: FakeSentry, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("release", "create", "--package", "mita-otel")
    monkeypatch.delenv("SENTRY_RELEASE")
    head = commit(work_tree, "x")
    command("release", "create")
    assert [one.split("@")[0] for one in sentry.releases] == ["mita-otel", head]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--version", "a/b"], "'a/b' is not a valid release name"),
        (["--version", "x" * 201], "is not a valid release name"),
        (["--package", "absent"], "the package absent is not installed here"),
        (["--project", "a/b"], "'a/b' is not the slug of a project"),
    ],
)
def test_an_invalid_argument_is_reported(command: Command, arguments: list[str], said: str) -> None:
    refused = command("release", "create", *arguments)
    assert refused.code == 2
    assert said in refused.err


def test_a_missing_version_is_an_error_with_the_fix(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SENTRY_RELEASE")
    refused = command("release", "create")
    assert refused.code == 2
    assert refused.err.startswith("no release is given; use --version or set SENTRY_RELEASE (/")


# --- responses of Sentry ----------------------------------------------------------------------------------
COMMANDS = {
    "create": ["create"],
    "commits": ["commits"],
    "finalize": ["finalize"],
    "deploy": ["deploy", "-e", "staging"],
}
FIXES = {
    400: "of the test",
    401: "SENTRY_AUTH_TOKEN",
    403: "it needs project:releases",
    404: "check ",
    409: "of the test",
    429: "of the test",
    500: "of the test",
    503: "of the test",
    0: "does not answer (RemoteProtocolError); check SENTRY_URL and the network",
}


@pytest.mark.parametrize("status", FIXES)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_refusal_of_sentry_is_one_message_with_the_fix(
    command: Command, work_tree: Path, sentry: FakeSentry, name: str, status: int
) -> None:
    commit(work_tree, "the first")
    if name != "create":
        command("release", "create")
    sentry.faults.append(Fault(status, path="/releases/", times=99))
    refused = command("release", *COMMANDS[name])
    assert (refused.code, refused.out) == (2, "")
    assert FIXES[status] in refused.err
    assert refused.err.count("\n") == 1
    assert status in {0, 404} or f"Sentry answered {status} to " in refused.err
    assert TOKEN not in refused.err


@pytest.mark.parametrize(
    ("name", "status"),
    [*product(COMMANDS, [429, 500, 502, 0]), ("commits", 409), ("finalize", 409)],
)
def test_a_temporary_failure_is_retried(
    command: Command, work_tree: Path, sentry: FakeSentry, name: str, status: int
) -> None:
    """409: Sentry still processes commits of another request for the same release."""
    commit(work_tree, "the first")
    if name != "create":
        command("release", "create")
    method = "POST" if name in {"create", "deploy"} else "PUT"
    sentry.faults.append(Fault(status, method=method))
    assert command("release", *COMMANDS[name]).code == 0
    assert not sentry.faults
    release = sentry.releases[NAME]
    done = {
        "create": release["version"],
        "commits": sentry.commits.get(NAME),
        "finalize": release["dateReleased"],
        "deploy": len(sentry.deploys.get(NAME, ())) == 1,
    }
    assert done[name]


def test_an_unknown_release_is_an_error_with_the_fix(command: Command, work_tree: Path) -> None:
    commit(work_tree, "the first")
    for name in ("commits", "finalize", "deploy"):
        refused = command("release", *COMMANDS[name])
        assert refused.code == 2
        assert refused.err.startswith(f"Sentry has no release {NAME} in the organization acme at ")
        assert "create it with mita-otel release create" in refused.err


def test_an_unknown_project_is_an_error(command: Command) -> None:
    refused = command("release", "create", "--project", "absent")
    assert refused.code == 2
    assert "Sentry answered 400" in refused.err
    assert "projects: Invalid project ids or slugs" in refused.err


# --- deploys -------------------------------------------------------------------------------------------
EXIT = [sys.executable, "-c", "import sys; sys.exit(int(sys.argv[1]))"]


@pytest.mark.parametrize("own", [0, 3])
@pytest.mark.parametrize("trouble", ["503", "no answer", "unreachable", "unknown release"])
def test_a_failure_after_the_command_is_one_message_with_the_commands_status(
    command: Command, sentry: FakeSentry, own: int, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trouble != "unknown release":
        command("release", "create")
    if trouble == "unreachable":
        monkeypatch.setenv("SENTRY_URL", "http://127.0.0.1:1")
    else:
        sentry.faults.append(Fault(503 if trouble == "503" else 0, path="/deploys/", times=99))
    if trouble == "unknown release":
        sentry.faults.clear()
    result = command("release", "deploy", "-e", "staging", "--", *EXIT, str(own))
    assert result.code == (own or 2)
    assert result.out == ""
    ended = "failed with exit status 3" if own else "succeeded"
    assert result.err.startswith(f"the command {ended}, but the deploy was not recorded in Sentry: ")
    failed = " --failed" if own else ""
    assert result.err.endswith(
        f"Record it with: mita-otel release deploy --version {NAME} -e staging{failed}\n"
    )
    assert result.err.count("\n") == 1
    assert not sentry.deploys.get(NAME)


@pytest.mark.parametrize("status", [502, 0])
def test_a_deploy_with_a_lost_response_is_recorded_once(
    command: Command, sentry: FakeSentry, status: int
) -> None:
    command("release", "create")
    sentry.faults.append(Fault(status, method="POST", path="/deploys/", after=True))
    assert command("release", "deploy", "-e", "staging").code == 0
    assert len(sentry.deploys[NAME]) == 1


def test_a_missing_setting_is_reported_before_the_command_runs(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SENTRY_AUTH_TOKEN")
    refused = command("release", "deploy", "--", "touch", str(tmp_path / "deployed"))
    assert refused.code == 2
    assert "SENTRY_AUTH_TOKEN is not set" in refused.err
    assert not (tmp_path / "deployed").exists()


def test_a_command_without_permission_exits_with_126(
    command: Command, sentry: FakeSentry, tmp_path: Path
) -> None:
    command("release", "create")
    (tmp_path / "deploy.sh").write_text("#!/bin/sh\n")
    refused = command("release", "deploy", "--", "./deploy.sh")
    assert (refused.code, refused.err) == (126, "./deploy.sh: Permission denied\n")
    assert [one["name"] for one in sentry.deploys[NAME]] == ["failed: exit status 126"]


def test_a_command_ended_by_a_signal_is_a_failed_deploy(command: Command, sentry: FakeSentry) -> None:
    command("release", "create")
    ended = command("release", "deploy", "--", "sh", "-c", "kill -9 $$")
    assert ended.code == 137
    assert [one["name"] for one in sentry.deploys[NAME]] == ["failed: exit status 137"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_cancelled_pipeline_ends_the_command_and_records_the_failure(
    tmp_path: Path, command: Command, sentry: FakeSentry, number: signal.Signals
) -> None:
    command("release", "create")
    settings = {name: os.environ[name] for name in os.environ if name.startswith("SENTRY_")}
    deploying = ["sh", "-c", "trap 'exit 9' TERM INT; echo deploying; while :; do sleep 0.05; done"]
    pipeline = subprocess.Popen(
        [str(COMMAND), "release", "deploy", "-e", "staging", "--", *deploying],
        cwd=tmp_path,
        env=clean_environment(settings),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with pipeline:
        assert pipeline.stdout is not None
        assert pipeline.stdout.readline() == "deploying\n"
        if number is signal.SIGTERM:
            pipeline.send_signal(number)
        else:  # like a terminal
            os.killpg(pipeline.pid, number)
        assert pipeline.stdout.read().endswith("failed: exit status 9\n")
    assert pipeline.returncode == 9
    [result] = sentry.deploys[NAME]
    assert (result["environment"], result["name"]) == ("staging", "failed: exit status 9")


# --- git -----------------------------------------------------------------------------------------------
def test_commits_outside_a_repository_are_refused_with_the_folder(
    command: Command, sentry: FakeSentry, tmp_path: Path
) -> None:
    command("release", "create")
    refused = command("release", "commits")
    assert (refused.code, refused.err) == (2, f"{tmp_path} is not in a git repository\n")
    assert sentry.commits == {}


def test_commits_without_git_are_refused(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command("release", "commits").err == "git is not installed\n"


def test_commits_of_an_empty_repository_are_refused(command: Command, work_tree: Path) -> None:
    command("release", "create")
    refused = command("release", "commits")
    assert refused.code == 2
    assert refused.err.startswith("git log: fatal: bad revision 'HEAD'")


def clone_of(origin: Path, folder: Path, depth: int) -> Path:
    git(origin, "clone", "-q", "--depth", str(depth), f"file://{origin}", str(folder))
    return folder


def test_a_shallow_clone_without_the_previous_release_is_reported(
    command: Command, work_tree: Path, sentry: FakeSentry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = commit(work_tree, "the first")
    command("release", "create", "--version", "before@1")
    commit(work_tree, "the second")
    third = commit(work_tree, "the third")
    command("release", "create")
    monkeypatch.chdir(clone_of(work_tree, tmp_path / "clone", 1))
    result = command("release", "commits")
    assert result.code == 0
    assert result.out == f"{NAME}: 1 commit\n"
    assert "this clone is shallow" in result.err and "git fetch --unshallow" in result.err
    assert [one["id"] for one in sentry.commits[NAME]] == [third]
    refused = command("release", "commits", "--since", first)
    assert refused.code == 2
    assert refused.err.startswith(
        f"git finds no commit {first} here; this clone is shallow, fetch its history: "
    )
    monkeypatch.chdir(clone_of(work_tree, tmp_path / "deeper", 3))
    result = command("release", "commits")
    assert (result.out, result.err) == (f"{NAME}: 2 commits since {first[:12]}\n", "")


@pytest.mark.parametrize("name", ["absent", "--output=stolen", "HEAD..HEAD"])
def test_an_unknown_start_commit_is_an_error(
    command: Command, work_tree: Path, sentry: FakeSentry, name: str
) -> None:
    commit(work_tree, "the first")
    refused = command("release", "commits", "--since", name)
    assert (refused.code, refused.err) == (2, f"git finds no commit {name} here\n")
    assert not (work_tree / "stolen").exists()


def test_the_start_commit_can_be_a_tag(command: Command, work_tree: Path, sentry: FakeSentry) -> None:
    first = commit(work_tree, "the first")
    git(work_tree, "tag", "v1")
    second = commit(work_tree, "the second")
    command("release", "create")
    assert command("release", "commits", "--since", "v1").out == f"{NAME}: 1 commit since {first[:12]}\n"
    assert [one["id"] for one in sentry.commits[NAME]] == [second]


def many_commits(folder: Path, count: int) -> None:
    """Create many commits."""
    lines = []
    for number in range(count):
        message = f"commit {number}\n" + "x" * 9000
        lines.append(
            f"commit refs/heads/many\ncommitter A Dev <dev@bank.example> {1_700_000_000 + number} +0000\n"
            f"data {len(message)}\n{message}\n"
        )
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input="".join(lines), text=True, check=True)
    git(folder, "checkout", "-q", "many")


def test_only_the_newest_of_many_commits_are_sent_and_this_is_reported(
    command: Command, work_tree: Path, sentry: FakeSentry
) -> None:
    """Each request replaces the commits of earlier ones, so they cannot be sent in several requests."""
    many_commits(work_tree, 1002)
    command("release", "create")
    result = command("release", "commits")
    assert result.out == f"{NAME}: 200 commits, only the newest: use --most for up to 1,000\n"
    assert len(sentry.commits[NAME]) == 200
    result = command("release", "commits", "--most", "1000")
    assert result.out == f"{NAME}: 1,000 commits, only the newest: use --most for up to 1,000\n"
    sent = sentry.commits[NAME]
    assert len(sent) == 1000
    assert sent[0]["message"].startswith("commit 1001\n")
    assert max(len(one["message"]) for one in sent) == 4000
    assert len([one for one in sentry.changes if one[0] == "PUT"]) == 2
