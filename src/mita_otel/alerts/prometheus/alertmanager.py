"""The policy's channels and escalations as a configuration of Alertmanager (0.25 and later; webhooks need 0.26)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mita_otel.alerts.prometheus.rule_file import STEP
from mita_otel.alerts.prometheus.yaml_format import Node, duration, quoted, yaml
from mita_otel.policy import Policy
from mita_otel.policy.alerts import AlertPolicy, AlertRule
from mita_otel.policy.channels import ChannelPolicy

_NO_RECEIVER: Final = "none"
_MAIL_SERVER: Final = "mail.example.invalid:587"
_FIRST: Final = "{{ (index .AlertComponents 0).Annotations.summary }}"
_ALL: Final = "{{ range .AlertComponents }}{{ .Status }}: {{ .Annotations.summary }}\n{{ end }}"


@dataclass(frozen=True, slots=True)
class AlertmanagerFile:
    """The configuration, and the channels that it cannot contain."""

    document: Mapping[str, Node]
    notes: tuple[str, ...]
    """What operators must know, as comments."""
    left_out: Mapping[str, str]
    """Channels that Alertmanager cannot use, and the reasons."""

    def yaml(self) -> str:
        """Return the file."""
        left_out = (f"not in here: {name}: {why}" for name, why in self.left_out.items())
        return yaml(self.document, [*self.notes, *left_out])


def alertmanager_file(policy: Policy, environment: str) -> AlertmanagerFile:
    """Return the configuration that routes the alerts of the policy's rule file."""
    alerts, receivers = policy.alerts, _Receivers(policy.alerts)
    routes: list[Node] = [
        route
        for name, rule in alerts.exported_rules.items()
        for route in _routes(alerts, receivers, name, rule)
    ]
    at_once = duration(alerts.evaluate_s)
    ours: Node = {
        "matchers": [f"environment={quoted(environment)}", f'{STEP}=~".+"'],
        "receiver": _NO_RECEIVER,
        "group_by": ["alertname", "job"],
        "group_wait": at_once,
        "group_interval": at_once,
        "repeat_interval": _repeat(alerts, alerts.cool_down_s),
        "routes": routes,
    }
    document: dict[str, Node] = {
        "global": {
            "smtp_smarthost": _MAIL_SERVER,
            "smtp_from": alerts.email.sender,
            "smtp_require_tls": alerts.email.starttls != "off",
        },
        "route": {"receiver": _NO_RECEIVER, "routes": [ours]},
        "receivers": list(receivers.nodes.values()),
    }
    left_out = {**alerts.why_none, **receivers.left_out}
    return AlertmanagerFile(document, tuple(_notes(alerts)), left_out)


def _routes(alerts: AlertPolicy, receivers: _Receivers, name: str, rule: AlertRule) -> Iterator[Node]:
    """Yield the route of a rule's alert, and of each step of its escalation."""
    steps = alerts.escalations.get(rule.escalation, ())
    for number, channels in enumerate([rule.channels, *(step.channels for step in steps)]):
        route: dict[str, Node] = {
            "matchers": [f"rule={quoted(name)}", f'{STEP}="{number}"'],
            "receiver": receivers.of(channels),
        }
        if rule.cool_down_s is not None:
            route["repeat_interval"] = _repeat(alerts, rule.cool_down_s)
        yield route


def _repeat(alerts: AlertPolicy, cool_down_s: float) -> str:
    return duration(max(cool_down_s, alerts.evaluate_s))


def _notes(alerts: AlertPolicy) -> Iterator[str]:
    yield f"Put webhook URLs and keys into files in {alerts.prometheus.secrets_folder}, under the names below."
    yield f"Replace {_MAIL_SERVER} by your mail server."
    yield "Alertmanager has no acknowledgement: silence an alert by its label rule, which ends its escalation as well."
    for name, channel in alerts.channels.items():
        if channel.signing_variable:
            yield f"not signed: {name}: Alertmanager cannot sign webhooks"


class _Receivers:
    """Collects the receivers of routes."""

    def __init__(self, alerts: AlertPolicy) -> None:
        self._alerts = alerts
        self.nodes: dict[str, Node] = {_NO_RECEIVER: {"name": _NO_RECEIVER}}
        self.left_out: dict[str, str] = {}

    def of(self, channels: tuple[str, ...]) -> str:
        """Return the name of the receiver that notifies all the channels."""
        configs: dict[str, list[Node]] = {}
        names = []
        for name in dict.fromkeys(channels):
            channel = self._alerts.channels[name]
            reason = self._reason_against(channel)
            if reason:
                self.left_out[name] = reason
                continue
            names.append(name)
            kind, config = self._config(channel)
            configs.setdefault(kind, []).append({**config, "send_resolved": True})
        together = "+".join(names) or _NO_RECEIVER
        self.nodes.setdefault(together, {"name": together, **configs})
        return together

    def _reason_against(self, channel: ChannelPolicy) -> str:
        if channel.kind == "apprise":
            return "Alertmanager does not support apprise"
        placeholders = self._alerts.email.placeholders(channel.to)
        return f"{', '.join(placeholders)} is a placeholder; set your own address" if placeholders else ""

    def _config(self, channel: ChannelPolicy) -> tuple[str, dict[str, Node]]:
        file = f"{self._alerts.prometheus.secrets_folder.rstrip('/')}/{channel.variable}"
        match channel.kind:
            case "slack":
                return "slack_configs", {"api_url_file": file, "title": _FIRST, "text": _ALL}
            case "pagerduty":
                return "pagerduty_configs", {
                    "routing_key_file": file,
                    "url": self._alerts.delivery.pagerduty_url,
                    "severity": "{{ .CommonLabels.severity }}",
                    "description": _FIRST,
                }
            case "email":
                return "email_configs", {"to": ", ".join(channel.to), "headers": {"Subject": _FIRST}}
        return "webhook_configs", {"url_file": file}
