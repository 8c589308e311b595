"""The section of a policy on alert rules, channels and escalations."""

from collections.abc import Callable
from typing import Annotated, Final, Literal

from mita_otel.policy.channels import ChannelPolicy, DeliveryPolicy, EmailPolicy
from mita_otel.policy.finance import Severity
from mita_otel.policy.limits import Kind
from mita_otel.policy.section import Bounds, PositiveInt, Seconds, Section

Stream = Literal["errors", "security", "compliance", "breaches", "failures", "volume", "burn_rate", "health"]
"""The stream that a rule watches."""

SIGNALS: Final = frozenset({"errors", "security", "compliance", "breaches"})
"""Streams of single events. The other streams are counters."""

Grouping = Literal["category", "severity", "name", "operation", "kind"]
"""By what alerts of one rule are grouped."""

Urgency = Literal["critical", "error", "warning", "info"]
"""How urgent an alert is, in PagerDuty's words."""

Pattern = Annotated[str, Bounds(min_length=1, max_length=256)]


class EscalationStep(Section):
    """The channels that are notified if an alert is not acknowledged."""

    after_minutes: Annotated[float, Bounds(gt=0, le=10_080)]
    """Minutes since the alert began."""
    channels: tuple[str, ...]
    """The channels that are notified then."""


class AlertRule(Section):
    """What triggers an alert, and the channels that are notified. An event matches if it fits every condition of the rule."""

    title: Annotated[str, Bounds(min_length=1, max_length=120)]
    """The title that notifications show."""
    on: tuple[Stream, ...]
    """The streams that the rule watches. `errors`, `security`, `compliance` (violations) and `breaches` (exceeded limits) are
    single events and may be combined. `failures` (failed spans), `volume` (all spans), `burn_rate` (error budgets of limits)
    and `health` (of telemetry) cannot be combined."""
    categories: tuple[str, ...] = ()
    """Categories of the financial API. Empty: any."""
    severities: tuple[Severity, ...] = ()
    """Severities of the financial API. Empty: any."""
    names: tuple[Pattern, ...] = ()
    """Types of exceptions or security events, regulations, limits (`api.financial.GET`) or health checks. `*` matches any
    text. Empty: any."""
    except_names: tuple[Pattern, ...] = ()
    """Names that are excluded."""
    operations: tuple[Pattern, ...] = ()
    """Financial operations. `*` matches any text. Empty: any."""
    kinds: tuple[Kind, ...] = ()
    """Kinds of spans, for `failures`, `volume`, `breaches` and `burn_rate`. Empty: any."""
    source: Literal["any", "service", "mobile"] = "any"
    """Whether errors of the service, of the mobile app, or both count."""
    unhandled: bool = False
    """Whether only unhandled errors count."""
    group_by: tuple[Grouping, ...] = ()
    """Each combination of these values has a separate alert. Empty: the rule has one alert."""
    count: PositiveInt | None = None
    """Number of events within `window_s` that triggers an alert."""
    above: Annotated[float, Bounds(gt=0, lt=1)] | None = None
    """The fraction of failed spans above which `failures` trigger an alert, as in 0.05. Exactly that fraction does not."""
    above_usual: Annotated[float, Bounds(gt=1)] | None = None
    """`volume` triggers an alert above this multiple of the usual number of spans."""
    below_usual: Annotated[float, Bounds(ge=0, lt=1)] | None = None
    """`volume` triggers an alert below this fraction of the usual number of spans."""
    windows: tuple[str, ...] = ()
    """Pairs of windows of `thresholds.objective` that `burn_rate` uses."""
    min_count: PositiveInt = 1
    """Fewest spans, in the window or usually in it, for a fraction, a rate or a volume to trigger an alert."""
    window_s: Annotated[int, Bounds(ge=10, le=86_400)]
    """Length of the window in seconds. An event exactly that old counts."""
    urgency: Urgency
    """How urgent it is."""
    channels: tuple[str, ...]
    """The channels that are notified at once."""
    escalation: str = ""
    """The escalation that runs until the alert is acknowledged. Empty: no escalation."""
    cool_down_s: Annotated[float, Bounds(ge=0, le=86_400)] | None = None
    """Seconds between two notifications that the same alert began. None: `alerts.cool_down_s`."""
    quiet_s: Annotated[float, Bounds(ge=0, le=604_800)] | None = None
    """Seconds without a further event after which an alert ends. None: `alerts.quiet_s` for single events, `window_s` for
    counters."""
    evaluated_by: Literal["local", "sentry", "both"] = "both"
    """Where the rule is evaluated: in this library, by Sentry's alerts (`mita-otel alerts apply`), or both."""
    project: Literal["backend", "mobile"] = "backend"
    """The Sentry project that the rule belongs to."""
    enabled: bool = True
    """Whether the rule is evaluated."""

    @property
    def is_counted(self) -> bool:
        """Whether the rule counts single events; otherwise it uses counters of spans."""
        return SIGNALS.issuperset(self.on)

    @property
    def is_local(self) -> bool:
        """Whether this library evaluates the rule."""
        return self.enabled and self.evaluated_by != "sentry"

    @property
    def is_sentrys(self) -> bool:
        """Whether Sentry evaluates the rule."""
        return self.enabled and self.evaluated_by != "local"

    def check(self) -> None:
        """Require a condition that fits what the rule watches."""
        if not self.on:
            raise ValueError('the rule watches no stream; write on = ["errors"], say')
        if not self.is_counted and len(self.on) > 1:
            alone = next(one for one in self.on if one not in SIGNALS)
            raise ValueError(f"{alone!r} cannot be combined in on; write a separate rule for the rest")
        missing = _NEEDED[self.on[0] if not self.is_counted else "errors"](self)
        if missing:
            raise ValueError(f"a rule on {', '.join(self.on)} needs {missing}")


def _any_of(**examples: str) -> Callable[[AlertRule], str]:
    def missing(rule: AlertRule) -> str:
        if any(getattr(rule, name) not in (None, ()) for name in examples):
            return ""
        names, shown = " or ".join(examples), next(iter(examples.items()))
        return f"{names}; add one, as in {shown[0]} = {shown[1]}"

    return missing


_NEEDED: Final[dict[str, Callable[[AlertRule], str]]] = {
    "errors": _any_of(count="3"),
    "failures": _any_of(above="0.05", count="10"),
    "volume": _any_of(below_usual="0.2", above_usual="5"),
    "burn_rate": _any_of(windows='["fast"]'),
    "health": _any_of(count="1"),
}
"""The condition that a rule requires, by stream."""


class SentryAlertPolicy(Section):
    """Rules in Sentry: `mita-otel alerts apply`."""

    prefix: Annotated[str, Bounds(min_length=1, max_length=40)]
    """Prefix of the names of our alerts. Other alerts in Sentry are not changed."""
    slack_workspace: str
    """Name of the Slack workspace, if Sentry knows several."""
    pagerduty_account: str
    """Name of the PagerDuty account, if Sentry knows several."""
    timeout_s: Seconds
    """Seconds that one request may take."""
    attempts: Annotated[int, Bounds(ge=1, le=20)]
    """Tries of one request."""


class UsualPolicy(Section):
    """The usual volume: the median of earlier windows of the same length."""

    windows: Annotated[int, Bounds(ge=1, le=1000)]
    """Number of windows before the current one that the median is of."""
    min_windows: PositiveInt
    """Fewest windows for a median."""

    def check(self) -> None:
        """Require enough windows for `min_windows`."""
        if self.min_windows > self.windows:
            raise ValueError(f"min_windows ({self.min_windows}) is more than windows ({self.windows})")


class PrometheusAlertPolicy(Section):
    """Rules for Prometheus and Alertmanager: `mita-otel policy export`."""

    interval_s: Annotated[float, Bounds(ge=1, le=60)]
    """Seconds between two evaluations of the rules."""
    scrape_s: Annotated[float, Bounds(ge=1, le=240)]
    """Longest interval between two scrapes of the service, in seconds."""
    secrets_folder: Annotated[str, Bounds(pattern=r"^/")]
    """Absolute path of the folder where Alertmanager reads webhooks and keys: one file each, named like the channel's variable."""


class AlertPolicy(Section):
    """Alert rules, channels and escalations."""

    start: Literal["auto", "on", "record", "off"]
    """`auto`: a rule is active if at least one of its channels is configured. `on`: every rule is active. `record`: events
    are written to the store, and `mita-otel alerts run` evaluates them. `off`: no rule is active."""
    state: Literal["auto", "store", "memory"]
    """`store`: all workers count together, and open alerts survive a restart. `memory`: each process counts separately.
    `auto`: the store if `MITA_OTEL_DATABASE_URL` is set, else memory."""
    evaluate_s: Annotated[float, Bounds(gt=0, le=60)]
    """Seconds between two evaluations of counters, escalations and alerts that end."""
    lease_s: Annotated[float, Bounds(ge=5, le=600)]
    """Seconds after which another worker takes over from one that died."""
    cool_down_s: Annotated[float, Bounds(ge=0, le=86_400)]
    """Seconds between two notifications that the same alert began. An alert that begins again sooner waits."""
    quiet_s: Annotated[float, Bounds(ge=0, le=604_800)]
    """Seconds without a further event after which an alert ends."""
    max_alerts: PositiveInt
    """Alerts that may be open at once, and groups of one rule. Further groups share one alert, `(other)`."""
    max_events: PositiveInt
    """Events of one rule that are kept, and events that may wait to be counted. Further events are dropped and counted."""
    channels: dict[str, ChannelPolicy]
    """Channels, by a name of your choice."""
    escalations: dict[str, tuple[EscalationStep, ...]]
    """Escalations by name: steps in order of time."""
    rules: dict[str, AlertRule]
    """The rules by name."""
    delivery: DeliveryPolicy
    email: EmailPolicy
    sentry: SentryAlertPolicy
    usual: UsualPolicy
    prometheus: PrometheusAlertPolicy

    @property
    def exported_rules(self) -> dict[str, AlertRule]:
        """The enabled rules, for another system to evaluate; none if `start` is `off`."""
        return (
            {} if self.start == "off" else {name: rule for name, rule in self.rules.items() if rule.enabled}
        )

    @property
    def why_none(self) -> dict[str, str]:
        """The reason why another system gets no rules; empty if it gets them."""
        return {"all alert rules": 'alerts.start is "off"'} if self.start == "off" else {}
