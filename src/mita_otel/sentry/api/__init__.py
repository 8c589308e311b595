"""A small client of Sentry's web API, for alert rules, releases and reports. Needs the extra `alerts`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from mita_otel.errors import ConfigurationError
from mita_otel.policy.alerts import SentryAlertPolicy
from mita_otel.sentry.api.address import SentryAddress

if TYPE_CHECKING:
    from mita_otel.sentry.api.client import SentryApi

_INSTALL: Final = "pip install 'mita-otel[alerts]'"


def open_sentry_api(
    policy: SentryAlertPolicy, env: Mapping[str, str], *, scope: str, org: str | None = None
) -> SentryApi:
    """Return a client. It connects with its first request.

    Args:
        policy: Timeout and attempts of requests.
        env: The environment variables.
        scope: Scopes that the token needs, for messages.
        org: The organization. None: taken from the variables.

    Raises:
        ConfigurationError: The extra `alerts` is not installed, or a variable is missing.
    """
    address = SentryAddress.from_environment(env, org=org)
    try:
        from mita_otel.sentry.api.client import SentryApi
    except ImportError as error:
        raise ConfigurationError(
            f"Sentry's API needs {error.name or 'httpx'}; install it with: {_INSTALL}"
        ) from error
    return SentryApi(address, timeout_s=policy.timeout_s, attempts=policy.attempts, scope=scope)
