"""Asks Sentry's API: pages, rate limits, patience, and answers in words."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import httpx
import stamina
from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel.sentry.api.address import SentryAddress
from mita_otel.sentry.api.errors import SentryApiError, refusal

_RESET: Final = "X-Sentry-Rate-Limit-Reset"
_REPLACEMENT: Final = "X-Sentry-Replacement-Endpoint"
_NEXT: Final = re.compile(r'<([^>]+)>;[^,]*rel="next";[^,]*results="true"(?:;[^,]*cursor="([^"]*)")?')
_MAX_PAGES: Final = 200
_LONGEST_WAIT_S: Final = 120.0
_MAX_SAID: Final = 400
_SAFE: Final = frozenset({"GET", "PUT", "DELETE"})
"""Methods that do no harm twice. A POST whose answer got lost may have worked: the next run finds out."""

Parameters = Mapping[str, str | Sequence[str]]
"""A sequence is a parameter that is there more than once."""


class _AgainError(Exception):
    """A request that may work later."""

    def __init__(self, error: SentryApiError, after_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after_s = after_s


class SentryApi:
    """Sentry's API for one organization.

    Args:
        address: Where it is, and who asks.
        timeout_s: Seconds that one request may take.
        attempts: Tries of one request.
        scope: What a token needs, for messages.
        clock: Seconds since the epoch.
        longest_wait_s: Seconds that a rate limit is waited for at most.
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
        """The beginning of paths of the organization."""
        return f"organizations/{self.address.org}"

    def get(self, path: str, parameters: Parameters | None = None) -> Any:
        """Return what is at a path.

        Raises:
            SentryApiError: Sentry refuses, or does not answer. So with the methods below.
        """
        return _body(self._request("GET", path, parameters))

    def pages(
        self, path: str, parameters: Parameters | None = None, *, within: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the members of a list, over all its pages.

        Args:
            path: Where the list is.
            parameters: The query.
            within: The field of the answer that is the list. None: the answer itself is.
        """
        wanted = dict(parameters or {})
        for _ in range(_MAX_PAGES):
            answer = self._request("GET", path, wanted)
            members = _body(answer)
            if within is not None and isinstance(members, dict):
                members = members.get(within)
            if not isinstance(members, list):
                raise SentryApiError(f"Sentry answered GET {path} with something else than a list")
            yield from (one for one in members if isinstance(one, dict))
            following = _NEXT.search(answer.headers.get("Link", ""))
            if following is None:
                return
            cursor = following[2] or httpx.URL(following[1]).params.get("cursor", "")
            if not cursor or cursor == wanted.get("cursor"):
                return
            wanted["cursor"] = cursor

    def post(self, path: str, body: Mapping[str, Any], *, again: bool = False) -> Any:
        """Make something, and return it.

        Args:
            path: Where.
            body: What.
            again: Whether it does no harm twice, and so may be tried again when it is not known what came of it.
        """
        return _body(self._request("POST", path, body=body, harmless=again))

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Put something in the place of what is there, and return it."""
        return _body(self._request("PUT", path, body=body))

    def delete(self, path: str) -> None:
        """Delete something. That it is gone already is no error."""
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
        harmless: bool = False,
    ) -> httpx.Response:
        harmless = harmless or method in _SAFE
        caller = stamina.RetryingCaller(
            attempts=self._attempts, timeout=None, wait_initial=0.5, wait_max=10.0, wait_jitter=0.5
        )
        try:
            return caller(_wait, self._once, method, path, parameters, body, harmless)
        except _AgainError as again:
            raise again.error from again.__cause__

    def _once(
        self,
        method: str,
        path: str,
        parameters: Parameters | None,
        body: Mapping[str, Any] | None,
        harmless: bool,
    ) -> httpx.Response:
        what = f"{method} {path}"
        try:
            with suppress_instrumentation():
                answer = self._client.request(method, path, params=parameters, json=body)
        except httpx.HTTPError as error:
            failure = SentryApiError(
                f"Sentry at {self.address.url} does not answer ({type(error).__name__}); is it reachable from here?"
            )
            # A connection that never came about did nothing, whatever the method.
            if harmless or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                raise _AgainError(failure) from error
            raise failure from error
        except httpx.InvalidURL as error:
            raise SentryApiError(f"{self.address.url} is not a web address") from error
        if answer.is_success:
            return answer
        replacement = " ".join(answer.headers.get(_REPLACEMENT, "").split())[:_MAX_SAID]
        refused = refusal(answer.status_code, what, _said(answer), self._scope, replacement)
        if answer.status_code == 429:
            raise _AgainError(refused, self._reset_s(answer))
        # 409 to a PUT: somebody else is changing the same thing just now.
        if (answer.status_code >= 500 and harmless) or (answer.status_code == 409 and method == "PUT"):
            raise _AgainError(refused)
        raise refused

    def _reset_s(self, answer: httpx.Response) -> float | None:
        """Return how many seconds the rate limit lasts; None: it does not say."""
        try:
            reset_s = float(answer.headers.get(_RESET, ""))
        except ValueError:
            return None
        return min(self._longest_wait_s, max(0.1, reset_s - self._clock()))


def _wait(error: Exception) -> bool | float:
    """Tell stamina whether to try again, and after how many seconds."""
    if not isinstance(error, _AgainError):
        return False
    return True if error.after_s is None else error.after_s


def _body(answer: httpx.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError as error:
        where = f"{answer.request.method} {answer.request.url.path}"
        raise SentryApiError(f"{where} was answered with something else than JSON; is it Sentry?") from error


def _said(answer: httpx.Response) -> str:
    """Return the reason that a refusal gives, in one short line."""
    try:
        body = answer.json()
    except ValueError:
        return ""
    reason = body
    if isinstance(body, dict):
        whole = next((body[key] for key in ("detail", "message") if isinstance(body.get(key), str)), None)
        reason = whole or "; ".join(f"{field}: {_joined(why)}" for field, why in body.items())
    return " ".join(str(reason or "").split())[:_MAX_SAID]


def _joined(why: Any) -> str:
    return ", ".join(map(str, why)) if isinstance(why, list) else str(why)
