"""The address of Sentry's API, from environment variables."""

from __future__ import annotations

import base64
import json

import pytest

from mita_otel.errors import ConfigurationError
from mita_otel.sentry.api.address import SentryAddress


def org_token(**claims: str) -> str:
    payload = base64.b64encode(json.dumps(claims).encode()).decode()
    return f"sntrys_{payload}_abcdef"


@pytest.mark.parametrize(
    ("env", "url", "org"),
    [
        ({"SENTRY_AUTH_TOKEN": "sntryu_1234", "SENTRY_ORG": "acme"}, "https://sentry.io", "acme"),
        ({"SENTRY_AUTH_TOKEN": "sntryu_1234", "SENTRY_ORG": "acme", "SENTRY_URL": "https://s.example/"}, "https://s.example", "acme"),
        (
            {"SENTRY_AUTH_TOKEN": "sntryu_1234", "SENTRY_ORG": "acme", "SENTRY_DSN": "https://k@o1.ingest.de.sentry.io/2"},
            "https://de.sentry.io",
            "acme",
        ),
        ({"SENTRY_AUTH_TOKEN": org_token(org="acme", region_url="https://us.sentry.io")}, "https://us.sentry.io", "acme"),
        ({"SENTRY_AUTH_TOKEN": "sntrys_!!_x", "SENTRY_ORG": "acme"}, "https://sentry.io", "acme"),
    ],
)  # fmt: skip
def test_url_and_organization_come_from_variables_and_token(env: dict[str, str], url: str, org: str) -> None:
    address = SentryAddress.from_environment(env)
    assert (address.url, address.org) == (url, org)
    assert env["SENTRY_AUTH_TOKEN"] not in repr(address)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({}, "SENTRY_AUTH_TOKEN is not set"),
        ({"SENTRY_AUTH_TOKEN": "sntryu_1234"}, "no organization is given; use --org or set SENTRY_ORG"),
        (
            {"SENTRY_AUTH_TOKEN": "sntryu_1234", "SENTRY_ORG": "a/b"},
            "'a/b' is not the slug of an organization",
        ),
        (
            {"SENTRY_AUTH_TOKEN": "sntryu_1234", "SENTRY_ORG": "a", "SENTRY_URL": "sentry.io"},
            "SENTRY_URL is not a web address",
        ),
    ],
)
def test_a_missing_or_invalid_variable_is_named(env: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SentryAddress.from_environment(env)
