"""Sentry as it is: monitors that find something, and alerts that tell of it.

Sources: Sentry's published OpenAPI (detectors, workflows). Keys that it declares are in snake case; the free-form lists
inside are in camel case, and so are answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mita_otel.errors import ConfigurationError
from mita_otel.sentry.alert_rules.alert_forms import action_body, alert_form, alert_form_of
from mita_otel.sentry.alert_rules.directory import Directory
from mita_otel.sentry.alert_rules.monitor_forms import (
    monitor_body,
    monitor_form,
    monitor_form_of,
    owner_of,
    workflow_ids,
)
from mita_otel.sentry.alert_rules.resources import Existing, Resource
from mita_otel.sentry.alert_rules.wanted import OnMetric, WantedAlert
from mita_otel.sentry.api.client import SentryApi
from mita_otel.sentry.api.errors import SentryApiError

SELF_HOSTED_RELEASE: Final = "26.7.0"
"""First release of self-hosted Sentry that has monitors and alerts switched on (source: its changelog)."""
MONITOR: Final = "monitor"
ALERT: Final = "alert"
ERRORS: Final = "all errors of the project"
"""What an alert is connected to that no monitor of ours feeds: the project's own error monitor."""


class MonitorsAndAlerts:
    """Reads and writes the monitors and alerts of a project.

    Args:
        api: Sentry.
        directory: Who is who.
        project: The project's slug.
        project_id: Its id.
    """

    def __init__(self, api: SentryApi, directory: Directory, project: str, project_id: str) -> None:
        self._api = api
        self._directory = directory
        self._project = project
        self._project_id = project_id
        self._ids: dict[str, str] = {}
        """Ids of monitors by their names."""

    def wanted(self, alerts: Sequence[WantedAlert]) -> tuple[list[Resource], list[str]]:
        """Return monitors, then the alerts that are connected to them."""
        monitors: list[Resource] = []
        told: list[Resource] = []
        notes: list[str] = []
        for alert in alerts:
            connected = ERRORS
            if isinstance(alert.trigger, OnMetric):
                monitors.append(Resource(MONITOR, alert.name, monitor_form(alert, alert.trigger)))
                connected = alert.name
            recipients, missing = self._directory.recipients(alert.targets)
            notes += [f"{alert.rule}: {note}" for note in missing]
            told.append(Resource(ALERT, alert.name, alert_form(alert, recipients, connected)))
        return [*monitors, *told], notes

    def existing(self, prefix: str) -> list[Existing]:
        """Return our monitors and alerts.

        Raises:
            SentryApiError: The server has no monitors, or refuses.
        """
        monitors = self._monitors()
        errors = next((one for one in monitors if one.get("type") == "error"), None)
        if errors is not None:
            self._ids[ERRORS] = str(errors["id"])
        ours = [one for one in monitors if str(one.get("name")).startswith(prefix)]
        self._ids |= {str(one["name"]): str(one["id"]) for one in ours}
        names = {monitor_id: name for name, monitor_id in self._ids.items()}
        alerts = [
            one
            for one in self._api.pages(f"{self._api.org_path}/workflows/")
            if str(one.get("name")).startswith(prefix)
        ]
        return [
            *(Existing(MONITOR, one["name"], monitor_form_of(one), str(one["id"]), one) for one in ours),
            *(Existing(ALERT, one["name"], alert_form_of(one, names), str(one["id"]), one) for one in alerts),
        ]

    def _monitors(self) -> list[dict[str, Any]]:
        path = f"{self._api.org_path}/detectors/"
        try:
            found = list(self._api.pages(path, {"project": self._project_id}))
        except SentryApiError as error:
            if error.status != 404:
                raise
            # The project exists, so it is the endpoint that the server lacks.
            raise SentryApiError(
                f"Sentry at {self._api.address.url} has no monitors ({path} answers 404): alert rules need sentry.io or "
                f"self-hosted Sentry {SELF_HOSTED_RELEASE} or later; upgrade the server, or watch the rules with this "
                'library alone (evaluated_by = "local")',
                404,
            ) from error
        return [one for one in found if str(one.get("projectId")) == self._project_id]

    def create(self, resource: Resource) -> None:
        """Make a monitor or an alert."""
        if resource.kind == MONITOR:
            path = f"{self._api.org_path}/projects/{self._project}/detectors/"
            made = self._api.post(path, monitor_body(resource))
            self._ids[resource.name] = str(made["id"])
        else:
            self._api.post(f"{self._api.org_path}/workflows/", self._alert_body(resource))

    def update(self, existing: Existing, resource: Resource) -> None:
        """Put it in the place of what is there: Sentry keeps nothing of that."""
        if resource.kind == MONITOR:
            # Its alerts are connected from their side: what is connected stays so.
            body = {
                **monitor_body(resource),
                "workflow_ids": workflow_ids(existing),
                **owner_of(existing),
            }
            self._api.put(f"{self._api.org_path}/detectors/{existing.id}/", body)
        else:
            body = {"id": existing.id, **self._alert_body(resource), **owner_of(existing)}
            self._api.put(f"{self._api.org_path}/workflows/{existing.id}/", body)

    def delete(self, existing: Existing) -> None:
        """Take it away."""
        kind = "detectors" if existing.kind == MONITOR else "workflows"
        self._api.delete(f"{self._api.org_path}/{kind}/{existing.id}/")

    def _alert_body(self, resource: Resource) -> dict[str, Any]:
        form = resource.form
        return {
            "name": resource.name,
            "enabled": True,
            "environment": form["environment"],
            "config": {"frequency": form["frequency"]},
            "detector_ids": [self._id_of(name) for name in form["monitors"]],
            "triggers": {"logic_type": form["when"]["logic"], "conditions": form["when"]["conditions"]},
            "action_filters": [
                {
                    "logicType": group["logic"],
                    "conditions": group["conditions"],
                    "actions": [action_body(**action) for action in group["actions"]],
                }
                for group in form["then"]
            ],
        }

    def _id_of(self, name: str) -> int:
        if name not in self._ids:
            raise ConfigurationError(
                f"the project {self._project} has no error monitor in Sentry, to which an alert could be connected; "
                "has it ever had an error?"
            )
        return int(self._ids[name])
