"""Asks Sentry's API for tables of events (`GET /organizations/{org}/events/`), page by page, within its limits."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import urllib3

from mita_otel import environment_variables as variables
from mita_otel.errors import ConfigurationError

_TIMEOUT_S: Final = 30.0
_PER_PAGE: Final = 100
_MAX_PAGES: Final = 20
_MAX_WAITS: Final = 5
_LONGEST_WAIT_S: Final = 60.0
_NEXT: Final = re.compile(r'rel="next"; results="true"; cursor="([^"]+)"')
_TOO_MANY: Final = 429
_SAYS: Final = {
    400: "it cannot answer this question (400)",
    401: f"it does not know the token (401); check {variables.SENTRY_AUTH_TOKEN}",
    403: f"the token may not read this (403); {variables.SENTRY_AUTH_TOKEN} needs the scope org:read",
    404: f"it does not know the organisation (404); check {variables.SENTRY_ORG} and {variables.SENTRY_URL}",
}


class SentryApi:
    """Sentry's API for one organisation and project.

    Args:
        env: The environment variables: `SENTRY_ORG`, `SENTRY_AUTH_TOKEN`, `SENTRY_PROJECT_BACKEND`, `SENTRY_URL`.
        sleep: Waits, in seconds.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: A variable is missing.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        needed = (variables.SENTRY_ORG, variables.SENTRY_AUTH_TOKEN)
        missing = [name for name in needed if not env.get(name, "").strip()]
        if missing:
            raise ConfigurationError(
                f"--source sentry needs {' and '.join(missing)}; set it, or use --source store"
            )
        base = env.get(variables.SENTRY_URL, "").strip().rstrip("/") or "https://sentry.io"
        self._url = f"{base}/api/0/organizations/{env[variables.SENTRY_ORG].strip()}/events/"
        self._project = env.get(variables.SENTRY_PROJECT_BACKEND, "").strip()
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=_TIMEOUT_S),
            retries=False,
            headers={"authorization": f"Bearer {env[variables.SENTRY_AUTH_TOKEN].strip()}"},
        )
        self._sleep = sleep
        self._clock = clock

    def rows(self, dataset: str, fields: Sequence[str], **query: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a table.

        Args:
            dataset: `spans` or `errors`.
            fields: What each row has.
            query: The other parameters: `query`, `sort`, `start`, `end`, `environment`.

        Raises:
            ConfigurationError: Sentry refuses, or does not answer.
        """
        parameters: list[tuple[str, str]] = [("dataset", dataset), ("per_page", str(_PER_PAGE))]
        parameters += [("field", one) for one in fields]
        parameters += [(name, value) for name, value in query.items() if value]
        if self._project:
            parameters.append(("project", self._project))
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            answer = self._get([*parameters, ("cursor", cursor)] if cursor else parameters)
            yield from self._data(answer)
            following = _NEXT.search(answer.headers.get("link", ""))
            if following is None:
                return
            cursor = following.group(1)

    def _get(self, parameters: Sequence[tuple[str, str | None]]) -> urllib3.BaseHTTPResponse:
        url = f"{self._url}?{urlencode(parameters)}"
        for _ in range(_MAX_WAITS):
            try:
                answer = self._http.request("GET", url)
            except urllib3.exceptions.HTTPError as error:
                raise ConfigurationError(f"Sentry at {self._url} does not answer: {error}") from error
            if answer.status != _TOO_MANY:
                break
            self._sleep(self._wait_s(answer))
        if answer.status != 200:
            said = _SAYS.get(answer.status, f"it answered {answer.status}")
            detail = _detail(answer) if answer.status == 400 else ""
            raise ConfigurationError(f"Sentry at {self._url}: {said}{detail}")
        return answer

    def _wait_s(self, answer: urllib3.BaseHTTPResponse) -> float:
        try:
            reset_s = float(answer.headers.get("x-sentry-rate-limit-reset", ""))
        except ValueError:
            return 1.0
        return min(_LONGEST_WAIT_S, max(0.5, reset_s - self._clock()))

    def _data(self, answer: urllib3.BaseHTTPResponse) -> list[dict[str, Any]]:
        try:
            found = json.loads(answer.data)["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"Sentry at {self._url} answered something else than a table of events"
            ) from error
        return [row for row in found if isinstance(row, dict)]


def _detail(answer: urllib3.BaseHTTPResponse) -> str:
    try:
        return f": {json.loads(answer.data)['detail']}"
    except (ValueError, KeyError, TypeError):
        return ""
