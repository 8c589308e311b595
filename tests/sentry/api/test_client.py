"""Requests to Sentry's API: pagination, rate limits, retries, and errors that name the fix."""

from __future__ import annotations

import time

import httpx
import pytest

from mita_otel.sentry.api.client import SentryApiError
from sentry.api.conftest import MakeApi
from sentry.api.fake import TOKEN, FakeSentry, Fault, limited


def test_a_list_is_read_page_by_page(sentry: FakeSentry, api_of: MakeApi) -> None:
    teams = [one["slug"] for one in api_of(sentry).pages("organizations/acme/teams/")]
    assert teams == ["finance", "security", "devops", "payments"]
    cursors = [one.query.get("cursor") for one in sentry.asked]
    assert cursors == [None, "0:2:0"]


def test_pagination_ends_if_the_cursor_does_not_advance(sentry: FakeSentry, api_of: MakeApi) -> None:
    sentry.page = 0
    assert list(api_of(sentry).pages("organizations/acme/teams/")) == []


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "the token is not valid; check SENTRY_AUTH_TOKEN, and SENTRY_URL for another region"),
        (403, "the token lacks a scope; it needs alerts:write. Create one in Sentry under Settings, Auth Tokens"),
        (404, "it does not exist; check SENTRY_ORG and the project"),
        (409, "Sentry answered 409 to GET organizations/acme/teams/: of the test"),
        (400, "Sentry answered 400 to GET organizations/acme/teams/: of the test"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_fix_and_is_not_retried(
    sentry: FakeSentry, api_of: MakeApi, status: int, message: str
) -> None:
    sentry.faults = [Fault(status, times=9)]
    with pytest.raises(SentryApiError, match=message.replace("(", r"\(")) as raised:
        api_of(sentry).get("organizations/acme/teams/")
    assert raised.value.status == status
    assert TOKEN not in str(raised.value)
    assert len(sentry.asked) == 1


def test_an_invalid_token_is_refused(sentry: FakeSentry, api_of: MakeApi) -> None:
    with pytest.raises(SentryApiError, match=r"Sentry answered 401 .* Invalid token; the token is not valid"):
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
def test_a_server_error_is_retried(sentry: FakeSentry, api_of: MakeApi, status: int) -> None:
    sentry.faults = [Fault(status, times=2)]
    assert len(api_of(sentry).get("organizations/acme/teams/")) == 2
    assert len(sentry.asked) == 3


def test_a_lasting_server_error_is_raised(sentry: FakeSentry, api_of: MakeApi) -> None:
    sentry.faults = [Fault(503, times=99)]
    with pytest.raises(SentryApiError, match="Sentry answered 503"):
        api_of(sentry).get("organizations/acme/teams/")
    assert len(sentry.asked) == 3


def test_requests_wait_for_the_end_of_a_rate_limit(sentry: FakeSentry, api_of: MakeApi) -> None:
    sentry.faults = [Fault(429, headers=limited(0.4))]
    api_of(sentry).get("organizations/acme/teams/")
    assert len(sentry.asked) == 2


@pytest.mark.parametrize(("reset_in_s", "waits_s"), [(3600, 2.0), (-50, 0.1)])
def test_the_wait_for_a_rate_limit_is_bounded(
    sentry: FakeSentry, api_of: MakeApi, reset_in_s: float, waits_s: float
) -> None:
    """Clocks may be wrong, and a CI pipeline must not wait for an hour."""
    answer = httpx.Response(429, headers={"X-Sentry-Rate-Limit-Reset": str(time.time() + reset_in_s)})
    assert api_of(sentry)._reset_s(answer) == waits_s


def test_a_redirect_is_refused_and_the_token_is_not_sent_elsewhere(
    sentry: FakeSentry, api_of: MakeApi
) -> None:
    sentry.faults = [
        Fault(302, headers=lambda: {"Location": f"{sentry.url}/api/0/organizations/acme/teams/"})
    ]
    with pytest.raises(
        SentryApiError, match=r"Sentry answered 302 .* Sentry has another address; .* SENTRY_URL"
    ):
        api_of(sentry).get("organizations/acme/teams/")
    assert len(sentry.asked) == 1


def test_a_post_is_not_repeated_after_a_server_error(sentry: FakeSentry, api_of: MakeApi) -> None:
    sentry.faults = [Fault(502, method="POST", times=9)]
    with pytest.raises(SentryApiError, match="502"):
        api_of(sentry).post("organizations/acme/workflows/", {})
    assert len(sentry.asked) == 1
    sentry.faults = [Fault(429, method="POST", times=1)]
    with pytest.raises(SentryApiError, match="404"):
        api_of(sentry).post("organizations/acme/nothing/", {})
    assert len(sentry.asked) == 3


def test_deleting_a_missing_resource_is_not_an_error(sentry: FakeSentry, api_of: MakeApi) -> None:
    api_of(sentry).delete("organizations/acme/workflows/4711/")


def test_a_missing_response_is_reported_with_the_address(api_of: MakeApi) -> None:
    fake = FakeSentry()
    fake.close()
    with pytest.raises(SentryApiError, match=rf"Sentry at {fake.url} does not answer \(ConnectError\)"):
        api_of(fake).get("organizations/acme/teams/")
