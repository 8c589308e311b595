"""What a test recorded: spans, log records, errors and the rest, and assertions about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from mita_otel import semconv
from mita_otel.alerts.alert import Alert
from mita_otel.alerts.memory_store import MemoryAlertStore
from mita_otel.exporters.span_record import SpanRecord
from mita_otel.policy import Policy
from mita_otel.processors.breach_signal import BreachReport
from mita_otel.redaction import Redactor
from mita_otel.sdk.telemetry import Telemetry
from mita_otel.testing.captured_items import (
    CapturedError,
    CapturedLog,
    CapturedMetric,
    Redaction,
    error_of,
    log_of,
    metrics_of,
    redactions_of,
)
from mita_otel.testing.deterministic import ManualClock
from mita_otel.testing.exported import Exported, sentry_events
from mita_otel.testing.recorders import Recorders

_FLUSH_S: Final = 10.0
_VARYING: Final = frozenset(
    {
        "thread.id",
        "thread.name",
        "code.line.number",
        "code.lineno",
        semconv.EXCEPTION_STACKTRACE,
        semconv.EVENT_ID,
        semconv.REQUEST_ID,
        semconv.LATENCY_DURATION_MS,
        semconv.LATENCY_OVERRUN_MS,
    }
)
"""Attributes that differ from run to run. A nested trace does not contain them."""


class CapturedTelemetry:
    """Telemetry of one test. Each property first waits for what has finished so far.

    Args:
        telemetry: The handle.
        recorders: What was exported.
        reader: Reads the metrics.
        alert_store: The alerts.
        clock: The clock of a deterministic test.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        recorders: Recorders,
        reader: InMemoryMetricReader,
        alert_store: MemoryAlertStore,
        clock: ManualClock | None,
    ) -> None:
        self.telemetry = telemetry
        """The handle, as `configure()` returns it."""
        self._recorders = recorders
        self._reader = reader
        self._alert_store = alert_store
        self._clock = clock

    @property
    def policy(self) -> Policy:
        """The effective policy."""
        return self.telemetry.policy

    @property
    def redactor(self) -> Redactor:
        """The redactor of the policy."""
        return self.telemetry.redactor

    @property
    def clock(self) -> ManualClock:
        """The clock that spans and log records use.

        Raises:
            RuntimeError: The test is not deterministic, so it uses the time of day.
        """
        if self._clock is None:
            raise RuntimeError("this test uses the time of day; ask for a clock with deterministic=True")
        return self._clock

    @property
    def spans(self) -> list[SpanRecord]:
        """Finished spans, marked and redacted, in the order in which they ended."""
        self._flush()
        return [SpanRecord.from_span(span) for span in list(self._recorders.spans.items)]

    @property
    def traces(self) -> list[dict[str, Any]]:
        """Traces as nested dictionaries, for snapshots: `name`, `kind`, `status`, `attributes`, `events`, `children`.

        Ids, times and attributes that differ from run to run are left out. Siblings are in the order of their start.
        """
        spans = sorted(self.spans, key=lambda span: span.start_ns)
        known = {(span.trace_id, span.span_id) for span in spans}
        children: defaultdict[tuple[str, str] | None, list[SpanRecord]] = defaultdict(list)
        for span in spans:
            parent = (span.trace_id, span.parent_span_id or "")
            children[parent if parent in known else None].append(span)

        def nested(span: SpanRecord) -> dict[str, Any]:
            return {
                "name": span.name,
                "kind": span.kind,
                "status": span.status,
                "attributes": _steady(span.attributes),
                "events": [
                    {"name": event.name, "attributes": _steady(event.attributes)} for event in span.events
                ],
                "children": [nested(child) for child in children[span.trace_id, span.span_id]],
            }

        return [nested(root) for root in children[None]]

    @property
    def logs(self) -> list[CapturedLog]:
        """Log records, redacted: of standard logging, and events of the financial API."""
        self._flush()
        return [log_of(emitted) for emitted in list(self._recorders.logs.items)]

    @property
    def metrics(self) -> list[CapturedMetric]:
        """All measured values."""
        self._flush()
        return list(metrics_of(self._reader.get_metrics_data()))

    @property
    def errors(self) -> list[CapturedError]:
        """Errors that would become issues in Sentry, each once."""
        self._flush()
        return [error_of(event) for event in sentry_events(self._recorders.sentry.bodies)]

    @property
    def breaches(self) -> list[BreachReport]:
        """Limits that were exceeded."""
        self._flush()
        return list(self._recorders.breaches.items)

    @property
    def redactions(self) -> list[Redaction]:
        """What was redacted in spans and log records, by rule."""
        marked = [(span.name, span.attributes) for span in self.spans]
        marked += [(f"log record of {log.logger}", log.attributes) for log in self.logs]
        return [redaction for where, attributes in marked for redaction in redactions_of(where, attributes)]

    @property
    def audit(self) -> list[dict[str, Any]]:
        """Entries of the audit trail, redacted."""
        self._flush()
        return list(self._recorders.audit.items)

    @property
    def alerts(self) -> list[Alert]:
        """Open alerts, as if every channel was configured. Rules about telemetry's own health are not evaluated."""
        self._flush()
        with self._alert_store.transaction() as transaction:
            return [alert for alert in transaction.alerts() if alert.open]

    def assert_no_secrets(self, *values: object) -> None:
        """Fail if a value is in anything that was or would be exported, in the form of any exporter.

        Values are also found in JSON, percent and Base64 encoding.

        Args:
            values: Secrets that the test used. Each needs at least three characters.
        """
        self._flush()
        exported = Exported(
            list(self._recorders.spans.items),
            list(self._recorders.logs.items),
            self._reader.get_metrics_data(),
            list(self._recorders.sentry.bodies),
            {"breach": self.breaches, "audit entry": self.audit, "alert": self.alerts},
        )
        found = [line for value in values for line in exported.places_of(str(value))]
        if found:
            raise AssertionError("secrets were exported:\n" + _listed(found))

    def assert_within_limits(self) -> None:
        """Fail if a limit was exceeded."""
        if breaches := self.breaches:
            raise AssertionError("limits were exceeded:\n" + _listed(map(_described, breaches)))

    def assert_breached(self, rule: str) -> None:
        """Fail if the limit of a rule was not exceeded.

        Args:
            rule: As in `api.financial.GET`.
        """
        breaches = self.breaches
        if not any(breach.rule == rule for breach in breaches):
            spans = [f"{span.name}: {span.duration_ms:.1f} ms{_limit_of(span)}" for span in self.spans]
            seen = _listed(map(_described, breaches)) if breaches else "  (none)"
            raise AssertionError(
                f"the limit {rule} was not exceeded. Exceeded limits:\n{seen}\nSpans:\n{_listed(spans) or '  (none)'}"
            )

    def assert_alerted(self, rule: str) -> None:
        """Fail if an alert rule did not fire.

        Args:
            rule: As in `critical_financial_errors`.
        """
        known = self.policy.alerts.rules
        alerts = self.alerts
        if any(alert.rule == rule for alert in alerts):
            return
        seen = [f"{alert.rule} {alert.subject}: {alert.reason}".replace(" :", ":") for alert in alerts]
        unknown = "" if rule in known else f" The policy has no such rule; it has {', '.join(sorted(known))}."
        raise AssertionError(
            f"the alert rule {rule} did not fire.{unknown} Alerts:\n{_listed(seen) or '  (none)'}"
        )

    def _flush(self) -> None:
        self.telemetry.flush(_FLUSH_S)


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def _described(breach: BreachReport) -> str:
    unit = " times" if breach.rule == semconv.REPEATED_QUERIES_RULE else " ms"
    return f"{breach.rule}: {breach.operation}: {breach.value:.1f}{unit}, limit {breach.limit:g}{unit}"


def _limit_of(span: SpanRecord) -> str:
    limit = span.attributes.get(semconv.LATENCY_LIMIT_MS)
    rule = span.attributes.get(semconv.LATENCY_RULE)
    return "" if limit is None else f", limit {limit:g} ms ({rule})"


def _steady(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in sorted(attributes.items()) if name not in _VARYING}
