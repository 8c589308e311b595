"""Requests to Sentry's API: pagination, rate limits, retries, and errors that name the fix."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import httpx
import stamina
from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel import environment_variables as variables
from mita_otel.environment_variables import SENTRY_URL
from mita_otel.errors import ConfigurationError
from mita_otel.sentry.api.address import SentryAddress

_RESET: Final = "X-Sentry-Rate-Limit-Reset"
_REPLACEMENT: Final = "X-Sentry-Replacement-Endpoint"
_NEXT: Final = re.compile(r'<([^>]+)>;[^,]*rel="next";[^,]*results="true"(?:;[^,]*cursor="([^"]*)")?')
_MAX_PAGES: Final = 200
_LONGEST_WAIT_S: Final = 120.0
_MAX_REASON: Final = 400
"""Characters of a refusal's reason that a message repeats."""
_IDEMPOTENT: Final = frozenset({"GET", "PUT", "DELETE"})
"""A POST whose response is lost may have succeeded, so it is not repeated."""

Parameters = Mapping[str, str | Sequence[str]]
"""Query parameters. A sequence repeats its parameter."""


class _RetryableError(Exception):
    """A request failed that may succeed later."""

    def __init__(self, error: SentryApiError, after_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after_s = after_s


class SentryApi:
    """Client of Sentry's API for one organization.

    Args:
        address: Base URL, organization and token.
        timeout_s: Seconds that one request may take.
        attempts: Attempts of one request.
        scope: Scopes that the token needs, for messages.
        clock: Seconds since the epoch.
        longest_wait_s: Maximum seconds to wait for a rate limit.
    """

    def __init__(
        self,
        address: SentryAddress,
        *,
        timeout_s: float,
        attempts: int,
        scope: str,
        clock: Callable[[], float] = time.time,
        longest_wait_s: float = _LONGEST_WAIT_S,
    ) -> None:
        self.address = address
        self._attempts = attempts
        self._scope = scope
        self._clock = clock
        self._longest_wait_s = longest_wait_s
        self._client = httpx.Client(
            base_url=f"{address.url}/api/0/",
            headers={"Authorization": f"Bearer {address.token}", "Accept": "application/json"},
            timeout=timeout_s,
            follow_redirects=False,
        )

    @property
    def org_path(self) -> str:
        """Path of the organization, with which other paths start."""
        return f"organizations/{self.address.org}"

    def get(self, path: str, parameters: Parameters | None = None) -> Any:
        """Return the body of a resource.

        Raises:
            SentryApiError: Sentry refuses or does not answer. The methods below raise it as well.
        """
        return _body(self._request("GET", path, parameters))

    def pages(
        self, path: str, parameters: Parameters | None = None, *, within: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, over all its pages.

        Args:
            path: Path of the list.
            parameters: Query parameters.
            within: The field of the response that holds the list. None: the response is the list.
        """
        query = dict(parameters or {})
        for _ in range(_MAX_PAGES):
            response = self._request("GET", path, query)
            items = _body(response)
            if within is not None and isinstance(items, dict):
                items = items.get(within)
            if not isinstance(items, list):
                raise SentryApiError(f"Sentry's response to GET {path} is not a list")
            yield from (one for one in items if isinstance(one, dict))
            following = _NEXT.search(response.headers.get("Link", ""))
            if following is None:
                return
            cursor = following[2] or httpx.URL(following[1]).params.get("cursor", "")
            if not cursor or cursor == query.get("cursor"):
                return
            query["cursor"] = cursor

    def post(self, path: str, body: Mapping[str, Any], *, idempotent: bool = False) -> Any:
        """Create a resource, and return it.

        Args:
            path: Path of the list.
            body: The resource.
            idempotent: Whether a repetition changes nothing. If so, a request whose outcome is unknown is repeated.
        """
        return _body(self._request("POST", path, body=body, idempotent=idempotent))

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Replace a resource, and return it."""
        return _body(self._request("PUT", path, body=body))

    def delete(self, path: str) -> None:
        """Delete a resource. It is no error if the resource does not exist."""
        try:
            self._request("DELETE", path)
        except SentryApiError as error:
            if error.status != 404:
                raise

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _request(
        self,
        method: str,
        path: str,
        parameters: Parameters | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        idempotent: bool = False,
    ) -> httpx.Response:
        idempotent = idempotent or method in _IDEMPOTENT
        caller = stamina.RetryingCaller(
            attempts=self._attempts, timeout=None, wait_initial=0.5, wait_max=10.0, wait_jitter=0.5
        )
        try:
            return caller(_retry, self._request_once, method, path, parameters, body, idempotent)
        except _RetryableError as retryable:
            raise retryable.error from retryable.__cause__

    def _request_once(
        self,
        method: str,
        path: str,
        parameters: Parameters | None,
        body: Mapping[str, Any] | None,
        idempotent: bool,
    ) -> httpx.Response:
        try:
            with suppress_instrumentation():
                response = self._client.request(method, path, params=parameters, json=body)
        except httpx.HTTPError as error:
            failure = SentryApiError(
                f"Sentry at {self.address.url} does not answer ({type(error).__name__}); check {SENTRY_URL} and "
                "the network"
            )
            # Without a connection the server has done nothing, whatever the method.
            if idempotent or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                raise _RetryableError(failure) from error
            raise failure from error
        except httpx.InvalidURL as error:
            raise SentryApiError(f"{self.address.url} is not a web address") from error
        if response.is_success:
            return response
        replacement = _one_line(response.headers.get(_REPLACEMENT, ""))
        refused = refusal(
            response.status_code, f"{method} {path}", _reason(response), self._scope, replacement
        )
        if response.status_code == 429:
            raise _RetryableError(refused, self._reset_s(response))
        # 409 to a PUT: another client is changing the same resource.
        if (response.status_code >= 500 and idempotent) or (response.status_code == 409 and method == "PUT"):
            raise _RetryableError(refused)
        raise refused

    def _reset_s(self, response: httpx.Response) -> float | None:
        """Return the seconds until the rate limit resets. None: the response does not say."""
        try:
            reset_s = float(response.headers.get(_RESET, ""))
        except ValueError:
            return None
        return min(self._longest_wait_s, max(0.1, reset_s - self._clock()))


def _retry(error: Exception) -> bool | float:
    """Return whether stamina should retry, or the seconds to wait before it does."""
    if not isinstance(error, _RetryableError):
        return False
    return True if error.after_s is None else error.after_s


def _body(response: httpx.Response) -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError as error:
        request = f"{response.request.method} {response.request.url.path}"
        raise SentryApiError(
            f"the response to {request} is not JSON; check that {SENTRY_URL} is Sentry's address"
        ) from error


def _reason(response: httpx.Response) -> str:
    """Return the reason that a refusal gives, in one short line."""
    try:
        body = response.json()
    except ValueError:
        return ""
    reason = body
    if isinstance(body, dict):
        whole = next((body[key] for key in ("detail", "message") if isinstance(body.get(key), str)), None)
        reason = whole or "; ".join(f"{field}: {_joined(why)}" for field, why in body.items())
    return _one_line(str(reason or ""))


def _joined(why: Any) -> str:
    return ", ".join(map(str, why)) if isinstance(why, list) else str(why)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MAX_REASON]


_FIXES: Final = {
    401: f"the token is not valid; check {variables.SENTRY_AUTH_TOKEN}, and {variables.SENTRY_URL} for another region",
    403: "the token lacks a scope; it needs {scope}. Create one in Sentry under Settings, Auth Tokens, and put it into "
    f"{variables.SENTRY_AUTH_TOKEN}",
    404: f"it does not exist; check {variables.SENTRY_ORG} and the project, and {variables.SENTRY_URL} for another region",
}
_REDIRECTED: Final = (
    f"Sentry has another address; write it in full, with https://, into {variables.SENTRY_URL}"
)


class SentryApiError(ConfigurationError):
    """Sentry refuses, or does not answer.

    Args:
        message: The failure and its fix.
        status: Status of the response; 0: there was no response.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def refusal(status: int, request: str, reason: str, scope: str, replacement: str = "") -> SentryApiError:
    """Return the error for a response that is not a success.

    Args:
        status: Status of the response.
        request: Method and path.
        reason: The reason that the response gives; may be empty.
        scope: Scopes that a token needs for the request.
        replacement: The endpoint that Sentry names instead of one that it has retired; may be empty.
    """
    if 300 <= status < 400:
        fix = _REDIRECTED
    elif status == 410:
        fix = _retired(replacement)
    else:
        fix = _FIXES.get(status, "").replace("{scope}", scope)
    message = f"Sentry answered {status} to {request}"
    message = f"{message}: {reason}" if reason else message
    return SentryApiError(f"{message}; {fix}" if fix else message, status)


def _retired(replacement: str) -> str:
    instead = f" in favour of {replacement}" if replacement else ""
    return (
        f"Sentry has retired this endpoint{instead}; upgrade mita-otel, and report it if the latest release still uses "
        "the endpoint"
    )
