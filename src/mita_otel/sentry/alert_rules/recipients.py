"""Looks up teams, Slack workspaces and PagerDuty services in Sentry by the names that the policy uses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from mita_otel.policy.alerts import SentryAlertPolicy
from mita_otel.sentry.alert_rules.desired_state import NotificationTarget
from mita_otel.sentry.api.client import SentryApi, SentryApiError


@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient that Sentry can notify."""

    kind: str
    """`slack`, `pagerduty`, `team` or `owners` (the issue's suggested assignees)."""
    id: str = ""
    """Id of the team or of the PagerDuty service."""
    name: str = ""
    """Name of the channel, without `#`, or of the service."""
    integration_id: str = ""


OWNERS: Final = Recipient("owners")


class RecipientDirectory:
    """Looks recipients up. Asks Sentry for each kind at most once.

    Args:
        api: Sentry's API.
        policy: The workspace and account to use if there are several.
    """

    def __init__(self, api: SentryApi, policy: SentryAlertPolicy) -> None:
        self._api = api
        self._policy = policy

    def recipients(self, targets: Iterable[NotificationTarget]) -> tuple[list[Recipient], list[str]]:
        """Return the recipients that Sentry can notify, and a sentence about each target that it cannot.

        If Sentry cannot notify any target, the issue's owners are the recipients.
        """
        found: dict[Recipient, None] = {}
        problems: list[str] = []
        for target in targets:
            try:
                found[self._recipient(target)] = None
            except LookupError as error:
                problems.append(str(error))
        return list(found) or [OWNERS], problems

    def _recipient(self, target: NotificationTarget) -> Recipient:
        match target.kind:
            case "slack":
                workspace = self._only(self._slack, self._policy.slack_workspace, "Slack", "slack_workspace")
                return Recipient("slack", name=target.name.lstrip("#"), integration_id=str(workspace["id"]))
            case "pagerduty":
                return self._service(target.name)
        for team in self._teams:
            if target.name in (team.get("slug"), team.get("name")):
                return Recipient("team", id=str(team["id"]), name=str(team.get("slug")))
        raise LookupError(f"Sentry has no team {target.name}; create it under Settings, Teams")

    def _service(self, name: str) -> Recipient:
        account = self._only(
            self._pagerduty, self._policy.pagerduty_account, "PagerDuty", "pagerduty_account"
        )
        data = account.get("configData")
        services = data.get("service_table") if isinstance(data, dict) else None
        names = []
        for service in services if isinstance(services, list) else []:
            names.append(str(service.get("service")))
            if names[-1].casefold() == name.casefold():
                return Recipient("pagerduty", str(service["id"]), names[-1], str(account["id"]))
        known = f" (it has {', '.join(names)})" if names else ""
        raise LookupError(
            f"Sentry's PagerDuty integration has no service {name}{known}; add it under Settings, Integrations"
        )

    def _only(
        self, integrations: list[dict[str, Any]], name: str, product: str, setting: str
    ) -> dict[str, Any]:
        usable = [one for one in integrations if one.get("status", "active") == "active"]
        if name:
            usable = [one for one in usable if one.get("name") == name]
        if len(usable) == 1:
            return usable[0]
        if usable:
            names = ", ".join(str(one.get("name")) for one in usable)
            raise LookupError(
                f"Sentry has several {product} integrations ({names}); choose one with alerts.sentry.{setting}"
            )
        named = f" named {name}" if name else ""
        raise LookupError(
            f"Sentry has no {product} integration{named}; install it under Settings, Integrations (Sentry's alerts cannot "
            "use a webhook URL or a routing key)"
        )

    @cached_property
    def _teams(self) -> list[dict[str, Any]]:
        return list(self._api.pages(f"{self._api.org_path}/teams/"))

    @cached_property
    def _slack(self) -> list[dict[str, Any]]:
        return self._integrations("slack")

    @cached_property
    def _pagerduty(self) -> list[dict[str, Any]]:
        return self._integrations("pagerduty")

    def _integrations(self, key: str) -> list[dict[str, Any]]:
        parameters = {"providerKey": key, "includeConfig": "true"}
        try:
            found = list(self._api.pages(f"{self._api.org_path}/integrations/", parameters))
        except SentryApiError as error:
            if error.status != 403:
                raise
            raise LookupError(
                f"the token cannot list integrations ({key}); it needs org:read or org:integrations"
            ) from error
        return [one for one in found if (one.get("provider") or {}).get("key", key) == key]
