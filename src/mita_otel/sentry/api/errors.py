"""How Sentry's API can refuse, in words that name the mend."""

from __future__ import annotations

from typing import Final

from mita_otel import environment_variables as variables
from mita_otel.errors import ConfigurationError

_MENDS: Final = {
    401: f"it does not know the token; check {variables.SENTRY_AUTH_TOKEN}, and {variables.SENTRY_URL} if you are in another region",
    403: f"the token may not do this; it needs {{scope}}. Make one in Sentry under Settings, Auth Tokens, and put it into {variables.SENTRY_AUTH_TOKEN}",
    404: f"it does not know this; check {variables.SENTRY_ORG} and the project, and {variables.SENTRY_URL} if you are in another region",
}
_ELSEWHERE: Final = (
    f"it is somewhere else; write its whole address, with https://, into {variables.SENTRY_URL}"
)


class SentryApiError(ConfigurationError):
    """Sentry refuses, or does not answer.

    Args:
        message: What happened, and the mend.
        status: The answer's status; 0: there was no answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def refusal(status: int, what: str, said: str, scope: str, replacement: str = "") -> SentryApiError:
    """Return the error of an answer that is no success.

    Args:
        status: Its status.
        what: Method and path.
        said: What it says.
        scope: The scope that a token needs for this.
        replacement: The endpoint that Sentry names instead of one that it has retired.
    """
    if 300 <= status < 400:
        mend = _ELSEWHERE
    elif status == 410:
        mend = _retired(replacement)
    else:
        mend = _MENDS.get(status, "").replace("{scope}", scope)
    message = f"Sentry answered {status} to {what}"
    message = f"{message}: {said}" if said else message
    return SentryApiError(f"{message}; {mend}" if mend else message, status)


def _retired(replacement: str) -> str:
    instead = f" in favour of {replacement}" if replacement else ""
    return (
        f"Sentry has retired this endpoint{instead}; upgrade mita-otel, and report it if the latest release still uses "
        "the endpoint"
    )
