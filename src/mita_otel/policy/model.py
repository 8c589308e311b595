"""The policy: one immutable object that says what is fast enough, what must never leave, and where the rest goes."""

from mita_otel.policy.alerts import AlertPolicy
from mita_otel.policy.audit import AuditPolicy
from mita_otel.policy.doctor import DoctorPolicy
from mita_otel.policy.finance import FinancePolicy
from mita_otel.policy.health import HealthPolicy
from mita_otel.policy.mobile import MobilePolicy
from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.policy.reports import ReportPolicy
from mita_otel.policy.retention import RetentionPolicy
from mita_otel.policy.sampling import SamplingPolicy
from mita_otel.policy.section import Section
from mita_otel.policy.sections import ExportPolicy, InstrumentationPolicy, LifecyclePolicy
from mita_otel.policy.sentry import SentryPolicy
from mita_otel.policy.store import StorePolicy
from mita_otel.policy.summary import SummaryPolicy
from mita_otel.policy.thresholds import ThresholdPolicy


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
