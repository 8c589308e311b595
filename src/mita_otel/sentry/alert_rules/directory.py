"""Who is who in Sentry: teams, Slack workspaces, PagerDuty services, by the names that the policy uses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mita_otel.policy.alerts import SentryAlertPolicy
from mita_otel.sentry.alert_rules.wanted import Target
from mita_otel.sentry.api.client import SentryApi
from mita_otel.sentry.api.errors import SentryApiError


@dataclass(frozen=True, slots=True)
class Recipient:
    """A target that Sentry can reach."""

    kind: str
    """`slack`, `pagerduty`, `team` or `owners`: whoever the issue is suggested to."""
    id: str = ""
    """The team's, or the PagerDuty service's."""
    name: str = ""
    """The channel's, without `#`, or the service's."""
    integration_id: str = ""


OWNERS = Recipient("owners")


class Directory:
    """Looks targets up, asking Sentry for each kind once.

    Args:
        api: Sentry.
        policy: Which workspace and account, if there are several.
    """

    def __init__(self, api: SentryApi, policy: SentryAlertPolicy) -> None:
        self._api = api
        self._policy = policy

    def recipients(self, targets: Iterable[Target]) -> tuple[list[Recipient], list[str]]:
        """Return whom Sentry can tell, and a sentence for each target that it cannot.

        Whatever is missing, somebody is told: the issue's owners, if nobody else.
        """
        found: dict[Recipient, None] = {}
        notes: list[str] = []
        for target in targets:
            try:
                found[self._recipient(target)] = None
            except LookupError as error:
                notes.append(str(error))
        return list(found) or [OWNERS], notes

    def _recipient(self, target: Target) -> Recipient:
        match target.kind:
            case "slack":
                workspace = self._only(self._slack, self._policy.slack_workspace, "Slack", "slack_workspace")
                return Recipient("slack", name=target.name.lstrip("#"), integration_id=str(workspace["id"]))
            case "pagerduty":
                return self._service(target.name)
        for team in self._teams:
            if target.name in (team.get("slug"), team.get("name")):
                return Recipient("team", id=str(team["id"]), name=str(team.get("slug")))
        raise LookupError(f"there is no team {target.name} in Sentry: the issue's owners are told instead")

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
        known = f"; it knows {', '.join(names)}" if names else ""
        raise LookupError(
            f"Sentry's PagerDuty integration has no service {name}{known}: add it there, under Settings, Integrations"
        )

    def _only(self, integrations: list[dict[str, Any]], name: str, what: str, setting: str) -> dict[str, Any]:
        usable = [one for one in integrations if one.get("status", "active") == "active"]
        if name:
            usable = [one for one in usable if one.get("name") == name]
        if len(usable) == 1:
            return usable[0]
        names = ", ".join(str(one.get("name")) for one in usable)
        if usable:
            raise LookupError(
                f"Sentry knows several of {what} ({names}): choose one in alerts.sentry.{setting}"
            )
        named = f" named {name}" if name else ""
        raise LookupError(
            f"Sentry has no {what} integration{named}: install it under Settings, Integrations (a webhook's URL or a "
            "routing key is nothing that Sentry's alerts can use)"
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
                f"the token may not see which integrations there are ({key}): it needs org:read or org:integrations"
            ) from error
        return [one for one in found if (one.get("provider") or {}).get("key", key) == key]
