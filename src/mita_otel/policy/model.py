"""The policy: one immutable object that says what is fast enough, what must never leave, and where the rest goes."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from mita_otel.policy.alerts import AlertPolicy
from mita_otel.policy.finance import FinancePolicy
from mita_otel.policy.mobile import MobilePolicy
from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.policy.runtime import (
    DoctorPolicy,
    ExportPolicy,
    HealthPolicy,
    InstrumentationPolicy,
    LifecyclePolicy,
)
from mita_otel.policy.sampling import SamplingPolicy
from mita_otel.policy.schema import is_table, kind_at
from mita_otel.policy.section import InvalidKeys, Section
from mita_otel.policy.sentry import SentryPolicy
from mita_otel.policy.storage import AuditPolicy, ReportPolicy, RetentionPolicy, StorePolicy, SummaryPolicy
from mita_otel.policy.thresholds import ThresholdPolicy
from mita_otel.policy.toml_text import KeyPath


class Policy(Section):
    """The effective policy of one environment.

    Build it with `mita_otel.policy.load_policy()`: the model itself has no default values, they are
    in `defaults.toml`.
    """

    thresholds: ThresholdPolicy
    sampling: SamplingPolicy
    summary: SummaryPolicy
    redaction: RedactionPolicy
    finance: FinancePolicy
    export: ExportPolicy
    sentry: SentryPolicy
    instrumentation: InstrumentationPolicy
    lifecycle: LifecyclePolicy
    store: StorePolicy
    audit: AuditPolicy
    retention: RetentionPolicy
    mobile: MobilePolicy
    reports: ReportPolicy
    alerts: AlertPolicy
    health: HealthPolicy
    doctor: DoctorPolicy

    def check(self) -> None:
        """Require that each name that refers to another part of the policy refers to something.

        Raises:
            InvalidKeys: With each name that does not.
        """
        wrong = dict(_dangling(self))
        if wrong:
            raise InvalidKeys(wrong)

    def values(self) -> Iterator[tuple[KeyPath, Any]]:
        """Yield the key and the value of each setting that was given, as TOML has it. An empty table is a value."""
        yield from _values(self.to_dict(only_given=True), ())

    def digest(self) -> str:
        """Return the SHA-256 of the policy, hexadecimal. It does not depend on how the policy was written."""
        tree = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(tree.encode()).hexdigest()


def _values(table: Mapping[str, Any], key: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    for name, value in table.items():
        here = (*key, name)
        if value and isinstance(value, dict) and is_table(kind_at(Policy, here)):
            yield from _values(value, here)
        else:
            yield here, value


def _dangling(policy: "Policy") -> Iterator[tuple[KeyPath, str]]:
    """Yield the key of each name that refers to nothing, and what is wrong."""
    alerts = policy.alerts
    for name, channel in alerts.channels.items():
        if channel.instead:
            yield from _refers(("channels", name, "instead"), [channel.instead], "channel", alerts.channels)
    for name, steps in alerts.escalations.items():
        for number, step in enumerate(steps):
            place = ("escalations", name, str(number), "channels")
            yield from _refers(place, step.channels, "channel", alerts.channels, listed=True)
    titles: dict[str, str] = {}
    for name, rule in alerts.rules.items():
        key = ("rules", name)
        yield from _refers((*key, "channels"), rule.channels, "channel", alerts.channels, listed=True)
        if rule.escalation:
            yield from _refers((*key, "escalation"), [rule.escalation], "escalation", alerts.escalations)
        windows = policy.thresholds.objective.windows
        yield from _refers(
            (*key, "windows"), rule.windows, "pair of windows in thresholds.objective", windows, listed=True
        )
        other = titles.setdefault(rule.title, name)
        if other != name:
            yield ("alerts", *key, "title"), f"the rule {other} has this title too; change one of them"


def _refers(
    key: KeyPath, names: Iterable[str], what: str, known: Iterable[str], *, listed: bool = False
) -> Iterator[tuple[KeyPath, str]]:
    known = list(known)
    for number, name in enumerate(names):
        if name not in known:
            close = get_close_matches(name, known, n=1)
            fix = f"did you mean {close[0]}?" if close else f"there are {', '.join(known) or 'none'}"
            yield ("alerts", *key, *([str(number)] if listed else [])), f"there is no {what} {name!r}; {fix}"
