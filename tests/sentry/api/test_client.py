"""The client of Sentry's API: pages, limits, patience, refusals in words."""

from __future__ import annotations

import base64
import json
import time

import httpx
import pytest

from mita_otel.errors import ConfigurationError
from mita_otel.sentry.api.address import SentryAddress
from mita_otel.sentry.api.errors import SentryApiError
from sentry.api.conftest import MakeApi
from sentry.api.fake import TOKEN, FakeSentry, Fault, limited


def test_a_list_is_read_over_all_its_pages(sentry: FakeSentry, api_of: MakeApi) -> None:
    teams = [one["slug"] for one in api_of(sentry).pages("organizations/acme/teams/")]
    assert teams == ["finance", "security", "devops", "payments"]
    cursors = [one.query.get("cursor") for one in sentry.asked]
    assert cursors == [None, "0:2:0"]


def test_a_server_that_turns_in_circles_is_left(sentry: FakeSentry, api_of: MakeApi) -> None:
    sentry.page = 0
    assert list(api_of(sentry).pages("organizations/acme/teams/")) == []


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "it does not know the token; check SENTRY_AUTH_TOKEN, and SENTRY_URL if you are in another region"),
        (403, "the token may not do this; it needs alerts:write. Make one in Sentry under Settings, Auth Tokens"),
        (404, "it does not know this; check SENTRY_ORG and the project"),
        (409, "Sentry answered 409 to GET organizations/acme/teams/: of the test"),
        (400, "Sentry answered 400 to GET organizations/acme/teams/: of the test"),
    ],
)  # fmt: skip
def test_a_refusal_is_said_with_the_mend_and_not_tried_again(
    sentry: FakeSentry, api_of: MakeApi, status: int, said: str
) -> None:
    sentry.faults = [Fault(status, times=9)]
    with pytest.raises(SentryApiError, match=said.replace("(", r"\(")) as raised:
        api_of(sentry).get("organizations/acme/teams/")
    assert raised.value.status == status
    assert TOKEN not in str(raised.value)
    assert len(sentry.asked) == 1


def test_a_wrong_token_is_a_refusal(sentry: FakeSentry, api_of: MakeApi) -> None:
    with pytest.raises(
        SentryApiError, match=r"Sentry answered 401 .* Invalid token; it does not know the token"
    ):
        api_of(sentry, token="another").get("organizations/acme/teams/")


def test_a_retired_endpoint_is_refused_with_its_replacement_and_the_fix(
    sentry: FakeSentry, api_of: MakeApi
) -> None:
    replacement = "/api/0/organizations/acme/workflows/"
    sentry.faults = [
        Fault(
            410,
            headers=lambda: {"X-Sentry-Replacement-Endpoint": replacement},
            body={"message": "This API no longer exists."},
        )
    ]
    with pytest.raises(SentryApiError) as raised:
        api_of(sentry).get("organizations/acme/teams/")
    assert str(raised.value) == (
        "Sentry answered 410 to GET organizations/acme/teams/: This API no longer exists.; Sentry has retired this "
        f"endpoint in favour of {replacement}; upgrade mita-otel, and report it if the latest release still uses the "
        "endpoint"
    )
    assert raised.value.status == 410
    assert len(sentry.asked) == 1


def test_a_retired_endpoint_without_a_replacement_is_refused_with_the_fix(
    sentry: FakeSentry, api_of: MakeApi
) -> None:
    sentry.faults = [Fault(410, body=None)]
    with pytest.raises(SentryApiError, match="Sentry has retired this endpoint; upgrade mita-otel"):
        api_of(sentry).get("organizations/acme/teams/")


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_in_trouble_is_asked_again(sentry: FakeSentry, api_of: MakeApi, status: int) -> None:
    sentry.faults = [Fault(status, times=2)]
    assert len(api_of(sentry).get("organizations/acme/teams/")) == 2
    assert len(sentry.asked) == 3


def test_a_server_that_stays_in_trouble_is_a_refusal(sentry: FakeSentry, api_of: MakeApi) -> None:
    sentry.faults = [Fault(503, times=99)]
    with pytest.raises(SentryApiError, match="Sentry answered 503"):
        api_of(sentry).get("organizations/acme/teams/")
    assert len(sentry.asked) == 3


def test_a_rate_limit_is_waited_for(sentry: FakeSentry, api_of: MakeApi) -> None:
    sentry.faults = [Fault(429, headers=limited(0.4))]
    api_of(sentry).get("organizations/acme/teams/")
    assert len(sentry.asked) == 2


@pytest.mark.parametrize(("reset_in_s", "waits_s"), [(3600, 2.0), (-50, 0.1)])
def test_a_rate_limit_is_waited_for_within_bounds(
    sentry: FakeSentry, api_of: MakeApi, reset_in_s: float, waits_s: float
) -> None:
    """The clock of the one or the other may be wrong; and a pipeline does not wait for an hour."""
    answer = httpx.Response(429, headers={"X-Sentry-Rate-Limit-Reset": str(time.time() + reset_in_s)})
    assert api_of(sentry)._reset_s(answer) == waits_s


def test_a_redirect_is_a_refusal_and_takes_no_token_elsewhere(sentry: FakeSentry, api_of: MakeApi) -> None:
    sentry.faults = [
        Fault(302, headers=lambda: {"Location": f"{sentry.url}/api/0/organizations/acme/teams/"})
    ]
    with pytest.raises(SentryApiError, match=r"Sentry answered 302 .* it is somewhere else; .* SENTRY_URL"):
        api_of(sentry).get("organizations/acme/teams/")
    assert len(sentry.asked) == 1


def test_something_is_made_once_though_the_server_is_in_trouble(sentry: FakeSentry, api_of: MakeApi) -> None:
    sentry.faults = [Fault(502, method="POST", times=9)]
    with pytest.raises(SentryApiError, match="502"):
        api_of(sentry).post("organizations/acme/workflows/", {})
    assert len(sentry.asked) == 1
    sentry.faults = [Fault(429, method="POST", times=1)]
    with pytest.raises(SentryApiError, match="404"):
        api_of(sentry).post("organizations/acme/nothing/", {})
    assert len(sentry.asked) == 3


def test_deleting_what_is_gone_is_no_error(sentry: FakeSentry, api_of: MakeApi) -> None:
    api_of(sentry).delete("organizations/acme/workflows/4711/")


def test_no_answer_is_said_with_the_address(api_of: MakeApi) -> None:
    fake = FakeSentry()
    fake.close()
    with pytest.raises(SentryApiError, match=rf"Sentry at {fake.url} does not answer \(ConnectError\)"):
        api_of(fake).get("organizations/acme/teams/")


# --- the address -------------------------------------------------------------------------------------
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
def test_where_sentry_is_and_whose(env: dict[str, str], url: str, org: str) -> None:
    address = SentryAddress.from_environment(env)
    assert (address.url, address.org) == (url, org)
    assert env["SENTRY_AUTH_TOKEN"] not in repr(address)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "SENTRY_AUTH_TOKEN is not set"),
        ({"SENTRY_AUTH_TOKEN": "sntryu_1234"}, r"which organization\? Give --org, or set SENTRY_ORG"),
        ({"SENTRY_AUTH_TOKEN": "sntryu_1234", "SENTRY_ORG": "a/b"}, "'a/b' is no slug of the organization"),
        (
            {"SENTRY_AUTH_TOKEN": "sntryu_1234", "SENTRY_ORG": "a", "SENTRY_URL": "sentry.io"},
            "SENTRY_URL is not a web address",
        ),
    ],
)
def test_what_is_missing_is_said(env: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        SentryAddress.from_environment(env)
