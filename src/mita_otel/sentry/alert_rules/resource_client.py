"""Reads and writes the monitors and alerts of a Sentry project.

Source: Sentry's published OpenAPI (`detectors/`, `workflows/`). Declared keys are in snake case; the free-form lists
inside are in camel case, and so are responses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mita_otel.errors import ConfigurationError
from mita_otel.sentry.alert_rules.alert_payloads import alert_request, alert_settings, alert_settings_of
from mita_otel.sentry.alert_rules.desired_state import AlertSpec, MetricTrigger
from mita_otel.sentry.alert_rules.monitor_payloads import (
    monitor_request,
    monitor_settings,
    monitor_settings_of,
)
from mita_otel.sentry.alert_rules.plan import ExistingResource, Resource
from mita_otel.sentry.alert_rules.recipients import RecipientDirectory
from mita_otel.sentry.api.client import SentryApi, SentryApiError

SELF_HOSTED_RELEASE: Final = "26.7.0"
"""First release of self-hosted Sentry that has monitors and alerts switched on (source: its changelog)."""
MONITOR: Final = "monitor"
ALERT: Final = "alert"
_ERROR_MONITOR: Final = "all errors of the project"
"""The project's own error monitor, to which alerts on single events are connected."""


class ResourceClient:
    """Lists, creates, updates and deletes monitors and alerts.

    Args:
        api: Sentry's API.
        directory: Looks recipients up.
        project: Slug of the project.
        project_id: Id of the project.
    """

    def __init__(self, api: SentryApi, directory: RecipientDirectory, project: str, project_id: str) -> None:
        self._api = api
        self._directory = directory
        self._project = project
        self._project_id = project_id
        self._monitor_ids: dict[str, str] = {}

    def desired(self, specs: Sequence[AlertSpec]) -> tuple[list[Resource], list[str]]:
        """Return the monitors and then the alerts that are connected to them, and what is missing in Sentry."""
        monitors: list[Resource] = []
        alerts: list[Resource] = []
        missing: list[str] = []
        for spec in specs:
            monitor = _ERROR_MONITOR
            if isinstance(spec.trigger, MetricTrigger):
                monitors.append(Resource(MONITOR, spec.name, monitor_settings(spec, spec.trigger)))
                monitor = spec.name
            recipients, problems = self._directory.recipients(spec.targets)
            missing += [f"{spec.rule}: {problem}" for problem in problems]
            alerts.append(Resource(ALERT, spec.name, alert_settings(spec, recipients, monitor)))
        return [*monitors, *alerts], missing

    def existing(self, prefix: str) -> list[ExistingResource]:
        """Return the monitors and alerts whose names start with a prefix.

        Raises:
            SentryApiError: The server has no monitors, or refuses.
        """
        monitors = self._monitors()
        errors = next((one for one in monitors if one.get("type") == "error"), None)
        if errors is not None:
            self._monitor_ids[_ERROR_MONITOR] = str(errors["id"])
        ours = [one for one in monitors if str(one.get("name")).startswith(prefix)]
        # Of several monitors of one name, the oldest is ours; see `make_plan`.
        oldest_last = sorted(ours, key=lambda one: int(one["id"]), reverse=True)
        self._monitor_ids |= {str(one["name"]): str(one["id"]) for one in oldest_last}
        names = {monitor_id: name for name, monitor_id in self._monitor_ids.items()}
        alerts = [
            one
            for one in self._api.pages(f"{self._api.org_path}/workflows/")
            if str(one.get("name")).startswith(prefix)
        ]
        return [
            *(
                ExistingResource(MONITOR, one["name"], monitor_settings_of(one), str(one["id"]), one)
                for one in ours
            ),
            *(
                ExistingResource(ALERT, one["name"], alert_settings_of(one, names), str(one["id"]), one)
                for one in alerts
            ),
        ]

    def create(self, resource: Resource) -> None:
        """Create a monitor or an alert."""
        if resource.kind == MONITOR:
            path = f"{self._api.org_path}/projects/{self._project}/detectors/"
            created = self._api.post(path, monitor_request(resource.name, resource.settings))
            self._monitor_ids[resource.name] = str(created["id"])
        else:
            self._api.post(f"{self._api.org_path}/workflows/", self._alert_request(resource))

    def update(self, existing: ExistingResource, resource: Resource) -> None:
        """Replace a resource. What others have added in Sentry, such as an owner, is kept."""
        if resource.kind == MONITOR:
            # The connection belongs to the alert: a monitor's request only has to repeat what is connected.
            body = {
                **monitor_request(resource.name, resource.settings),
                "workflow_ids": [int(one) for one in existing.response.get("workflowIds") or []],
                **_owner(existing.response),
            }
            self._api.put(f"{self._api.org_path}/detectors/{existing.id}/", body)
        else:
            body = {"id": existing.id, **self._alert_request(resource), **_owner(existing.response)}
            self._api.put(f"{self._api.org_path}/workflows/{existing.id}/", body)

    def delete(self, existing: ExistingResource) -> None:
        """Delete a monitor or an alert."""
        kind = "detectors" if existing.kind == MONITOR else "workflows"
        self._api.delete(f"{self._api.org_path}/{kind}/{existing.id}/")

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
                f"self-hosted Sentry {SELF_HOSTED_RELEASE} or later; upgrade the server, or evaluate the rules with this "
                'library only (evaluated_by = "local")',
                404,
            ) from error
        return [one for one in found if str(one.get("projectId")) == self._project_id]

    def _alert_request(self, resource: Resource) -> dict[str, Any]:
        monitor_ids = [self._monitor_id(name) for name in resource.settings["monitors"]]
        return alert_request(resource.name, resource.settings, monitor_ids)

    def _monitor_id(self, name: str) -> int:
        if name not in self._monitor_ids:
            raise ConfigurationError(
                f"the project {self._project} has no error monitor in Sentry, and alerts need one; check its list of "
                "monitors, and whether it has ever received an error"
            )
        return int(self._monitor_ids[name])


def _owner(response: Mapping[str, Any]) -> dict[str, str]:
    """Return the owner that somebody has set in Sentry, as a request repeats it."""
    owner = response.get("owner")
    if isinstance(owner, Mapping):
        return {"owner": f"{owner.get('type')}:{owner.get('id')}"}
    return {"owner": owner} if isinstance(owner, str) else {}
