"""The section of a policy that says who is told of what, and when (the guide's Alert Rules and Notifications)."""

from collections.abc import Callable
from typing import Annotated, Final, Literal

from mita_otel.policy.channels import ChannelPolicy, DeliveryPolicy, EmailPolicy
from mita_otel.policy.finance import Severity
from mita_otel.policy.limits import Kind
from mita_otel.policy.section import Bounds, PositiveInt, Seconds, Section

Stream = Literal["errors", "security", "compliance", "breaches", "failures", "volume", "burn_rate", "health"]
"""What a rule watches."""

SIGNALS: Final = frozenset({"errors", "security", "compliance", "breaches"})
"""Streams of single events, which are counted one by one. The others are sums."""

Grouping = Literal["category", "severity", "name", "operation", "kind"]
"""What alerts of one rule may be told apart by."""

Urgency = Literal["critical", "error", "warning", "info"]
"""How urgent an alert is, in PagerDuty's words."""

Pattern = Annotated[str, Bounds(min_length=1, max_length=256)]


class EscalationStep(Section):
    """Who is told if nobody has acknowledged an alert."""

    after_minutes: Annotated[float, Bounds(gt=0, le=10_080)]
    """Minutes since the alert began."""
    channels: tuple[str, ...]
    """Who is told then."""


class AlertRule(Section):
    """What makes an alert, and who is told. Everything that a rule names must be true of an event."""

    title: Annotated[str, Bounds(min_length=1, max_length=120)]
    """What people read."""
    on: tuple[Stream, ...]
    """What is watched. `errors`, `security`, `compliance` (violations) and `breaches` (broken limits) are counted
    one by one and may stand together; `failures` (spans that failed), `volume` (spans at all), `burn_rate` (error budgets
    of limits) and `health` (of telemetry itself) stand alone."""
    categories: tuple[str, ...] = ()
    """Categories of the financial API; none: any."""
    severities: tuple[Severity, ...] = ()
    """Severities of the financial API; none: any."""
    names: tuple[Pattern, ...] = ()
    """Types of exceptions or security events, regulations, limits (`api.financial.GET`) or checks of health. `*` stands
    for anything; none: any."""
    except_names: tuple[Pattern, ...] = ()
    """Names that do not count."""
    operations: tuple[Pattern, ...] = ()
    """Financial operations. `*` stands for anything; none: any."""
    kinds: tuple[Kind, ...] = ()
    """Kinds of spans: of `failures`, `volume`, `breaches` and `burn_rate`; none: any."""
    source: Literal["any", "service", "mobile"] = "any"
    """Where an error happened: in the service, or in the mobile app."""
    unhandled: bool = False
    """Whether only errors count that nothing caught."""
    group_by: tuple[Grouping, ...] = ()
    """What makes an alert of its own; none: the rule has one alert."""
    count: PositiveInt | None = None
    """How many events within `window_s` make an alert."""
    above: Annotated[float, Bounds(gt=0, lt=1)] | None = None
    """The share of spans above which `failures` are an alert, as in 0.05. Exactly that share is not."""
    above_usual: Annotated[float, Bounds(gt=1)] | None = None
    """How many times as many spans as usual make an alert of `volume`."""
    below_usual: Annotated[float, Bounds(ge=0, lt=1)] | None = None
    """The share of the usual spans below which `volume` is an alert."""
    windows: tuple[str, ...] = ()
    """Pairs of windows of `thresholds.objective` that `burn_rate` is watched in."""
    min_count: PositiveInt = 1
    """Spans without which a share, a rate or a volume says nothing: those in the window, or usually in it."""
    window_s: Annotated[int, Bounds(ge=10, le=86_400)]
    """Seconds that are looked back on. An event exactly that long ago counts."""
    urgency: Urgency
    """How urgent it is."""
    channels: tuple[str, ...]
    """Who is told at once."""
    escalation: str = ""
    """Who is told later if nobody acknowledges; empty: nobody else."""
    cool_down_s: Annotated[float, Bounds(ge=0, le=86_400)] | None = None
    """Seconds between two messages that the same alert began. None: `alerts.cool_down_s`."""
    quiet_s: Annotated[float, Bounds(ge=0, le=604_800)] | None = None
    """Seconds without a reason after which an alert is over. None: `alerts.quiet_s` for single events, `window_s` for
    sums."""
    evaluated_by: Literal["local", "sentry", "both"] = "both"
    """Who watches: this library, Sentry's alerts (`mita-otel alerts apply`), or both."""
    project: Literal["backend", "mobile"] = "backend"
    """Whose Sentry project the rule belongs to."""
    enabled: bool = True
    """Whether the rule is watched at all."""

    @property
    def is_counted(self) -> bool:
        """Whether single events are counted; otherwise sums of spans are."""
        return SIGNALS.issuperset(self.on)

    @property
    def is_local(self) -> bool:
        """Whether this library watches."""
        return self.enabled and self.evaluated_by != "sentry"

    @property
    def is_sentrys(self) -> bool:
        """Whether Sentry watches."""
        return self.enabled and self.evaluated_by != "local"

    def check(self) -> None:
        """Require a condition that fits what the rule watches."""
        if not self.on:
            raise ValueError('the rule watches nothing; write on = ["errors"], say')
        if not self.is_counted and len(self.on) > 1:
            alone = next(one for one in self.on if one not in SIGNALS)
            raise ValueError(f"{alone!r} stands alone in on; make a rule of its own for the rest")
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
"""What a rule cannot do without, by what it watches."""


class SentryAlertPolicy(Section):
    """Rules in Sentry: `mita-otel alerts apply`."""

    prefix: Annotated[str, Bounds(min_length=1, max_length=40)]
    """What the names of our alerts begin with. Anything else in Sentry is left alone."""
    slack_workspace: str
    """Name of the Slack workspace, if Sentry knows several."""
    pagerduty_account: str
    """Name of the PagerDuty account, if Sentry knows several."""
    timeout_s: Seconds
    """Seconds that one request may take."""
    attempts: Annotated[int, Bounds(ge=1, le=20)]
    """Tries of one request."""


class UsualPolicy(Section):
    """What is usual: the median of earlier windows of the same length."""

    windows: Annotated[int, Bounds(ge=1, le=1000)]
    """Windows before the current one that are looked at."""
    min_windows: PositiveInt
    """With fewer of them nothing is usual yet."""

    def check(self) -> None:
        """Require enough windows for `min_windows`."""
        if self.min_windows > self.windows:
            raise ValueError(f"min_windows ({self.min_windows}) is more than windows ({self.windows})")


class PrometheusAlertPolicy(Section):
    """Rules for Prometheus and Alertmanager: `mita-otel policy export`."""

    interval_s: Annotated[float, Bounds(ge=1, le=60)]
    """Seconds between two looks at the rules."""
    scrape_s: Annotated[float, Bounds(ge=1, le=240)]
    """Most seconds between two scrapes of the service."""
    secrets_folder: Annotated[str, Bounds(pattern=r"^/")]
    """Where Alertmanager finds webhooks and keys, a whole path: a file each, named like the channel's variable."""


class AlertPolicy(Section):
    """Who is told of what, and when."""

    start: Literal["auto", "on", "record", "off"]
    """`auto`: rules are watched where a channel of theirs has somewhere to go. `on`: always. `record`: what they count is
    written to the store, and `mita-otel alerts run` does the rest. `off`: nothing is."""
    state: Literal["auto", "store", "memory"]
    """`store`: all workers count together, and what is open survives a restart. `memory`: each process counts for
    itself. `auto`: the store where `MITA_OTEL_DATABASE_URL` is set."""
    evaluate_s: Annotated[float, Bounds(gt=0, le=60)]
    """Seconds between two looks at rules that are not of single events, at escalations and at what is over."""
    lease_s: Annotated[float, Bounds(ge=5, le=600)]
    """Seconds after which another worker takes over from one that died."""
    cool_down_s: Annotated[float, Bounds(ge=0, le=86_400)]
    """Seconds between two messages that the same alert began: one that is over, and begins again sooner, waits."""
    quiet_s: Annotated[float, Bounds(ge=0, le=604_800)]
    """Seconds without a further event after which an alert is over: long enough for somebody to have seen it."""
    max_alerts: PositiveInt
    """Alerts that may be open at once, and subjects that one rule tells apart; the rest is one alert, `(other)`."""
    max_events: PositiveInt
    """Events of one rule that are remembered, and that may wait to be counted. One more is dropped and counted."""
    channels: dict[str, ChannelPolicy]
    """Where messages go, by a name of your choice."""
    escalations: dict[str, tuple[EscalationStep, ...]]
    """Who is told later, by name, in the order of time."""
    rules: dict[str, AlertRule]
    """The rules by name."""
    delivery: DeliveryPolicy
    email: EmailPolicy
    sentry: SentryAlertPolicy
    usual: UsualPolicy
    prometheus: PrometheusAlertPolicy
