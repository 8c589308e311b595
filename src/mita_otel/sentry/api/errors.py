"""Refusals of Sentry's API, as messages that name the fix."""

from __future__ import annotations

from typing import Final

from mita_otel import environment_variables as variables
from mita_otel.errors import ConfigurationError

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
