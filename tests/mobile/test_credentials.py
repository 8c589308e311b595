"""Requests need a key of a known project; the host of the DSN does not matter."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from mita_otel.mobile.credentials import Credentials, Projects, Refused, credentials_of
from mita_otel.policy.mobile import MobileProject

KEY, OTHER = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
PROJECTS = Projects(
    {
        "app": MobileProject(id="42", keys=(KEY, OTHER), upstream=f"https://{KEY}@o1.ingest.sentry.io/42"),
        "web": MobileProject(id="43", keys=("a" * 32,), store=True),
    }
)


@pytest.mark.parametrize(
    "header",
    [
        f"Sentry sentry_version=7, sentry_client=sentry.dart.flutter/9.27.0, sentry_key={KEY}",
        f"Sentry sentry_version=7,sentry_client=sentry.cocoa/8.56.0,sentry_key={KEY}",
        f"sentry sentry_key={KEY}",
        f"Sentry sentry_key={KEY}, sentry_secret=x",
        f"SENTRY   sentry_key = {KEY} ",
        f'Sentry sentry_key="{KEY}"',
    ],
)
@pytest.mark.parametrize("name", ["x-sentry-auth", "authorization"])
def test_the_key_is_read_from_a_header(name: str, header: str) -> None:
    said = credentials_of({name: header}, "")
    assert said is not None
    assert said.key == KEY


def test_the_client_name_has_no_control_or_markup_characters() -> None:
    said = credentials_of({"x-sentry-auth": f"Sentry sentry_key={KEY}, sentry_client=a/1\r\nX: y\x00<b>"}, "")
    assert said == Credentials(KEY, "a/1Xyb")


def test_the_key_is_read_from_the_query() -> None:
    said = credentials_of(
        {}, f"sentry_version=7&sentry_key={KEY}&sentry_client=sentry.javascript.browser%2F10"
    )
    assert said == Credentials(KEY, "sentry.javascript.browser/10")


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, ""),
        ({"authorization": f"Bearer {KEY}"}, ""),
        ({"x-sentry-auth": "Sentry"}, ""),
        ({"x-sentry-auth": "Sentry sentry_key="}, ""),
        ({"x-sentry-auth": "Sentry sentry_version=7"}, "key=1"),
        ({}, "sentry_key="),
        ({}, "sentry_key=" + "x" * 3000),
        ({}, "&".join(f"a{n}={n}" for n in range(100))),
        ({}, "%ff=%ff;"),
    ],
)
def test_without_a_key_there_are_no_credentials(headers: dict[str, str], query: str) -> None:
    assert credentials_of(headers, query) is None


def refused(project: str, key: str | None) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        PROJECTS.find(project, Credentials(key) if key is not None else None)
    return caught.value.status, caught.value.reason


def test_each_key_of_a_project_is_valid_for_that_project_only() -> None:
    assert PROJECTS.find("42", Credentials(KEY)) == "app"
    assert PROJECTS.find("42", Credentials(OTHER)) == "app"
    assert refused("43", KEY) == (403, "unknown_key")


def test_an_unknown_project_and_an_unknown_key_get_the_same_refusal() -> None:
    answers = []
    for project, key in (
        ("42", "b" * 32),
        ("7", KEY),
        ("", KEY),
        ("42", ""),
        ("42", KEY.upper()),
        ("42", KEY[:31]),
    ):
        with pytest.raises(Refused) as caught:
            PROJECTS.find(project, Credentials(key))
        answers.append((caught.value.status, caught.value.reason, caught.value.detail))
    assert len(set(answers)) == 1
    assert refused("42", None) == (401, "no_key")


@pytest.mark.parametrize(
    "dsn",
    [
        f"https://{KEY}@gateway.example/42",
        f"https://{KEY}@evil.example:9999/42",
        f"http://{KEY}@169.254.169.254/42",
        f"https://{KEY}:secret@x/prefix/42",
        f"ftp://{KEY}@/42",
    ],
)
def test_the_host_of_an_envelopes_dsn_does_not_matter(dsn: str) -> None:
    assert PROJECTS.find_by_dsn({"dsn": dsn}) == "app"


@pytest.mark.parametrize(
    "dsn",
    [
        None,
        5,
        "",
        [],
        f"https://{KEY}@x/43",
        f"https://{'b' * 32}@x/42",
        "https://x/42",
        f"https://{KEY}@x/",
        f"https://{KEY}@x/42/",
        f"https://{KEY}@x/{quote('4/2', safe='')}",
        f"https://{KEY}@[::1/42",
        "\x00",
        f"https://{KEY}@{'x' * 3000}/42",
    ],
)
def test_a_dsn_of_another_project_or_key_is_refused(dsn: Any) -> None:
    with pytest.raises(Refused) as caught:
        PROJECTS.find_by_dsn({"dsn": dsn})
    assert caught.value.status in {401, 403}
