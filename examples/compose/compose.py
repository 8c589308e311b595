"""A pipeline composed by hand: limits, redaction, console exporter."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Tracer

from mita_otel import Policy, RedactionProcessor, ThresholdProcessor, load_policy
from mita_otel.exporters.console import ConsoleWaterfallExporter


def make_provider(policy: Policy, stream: TextIO) -> TracerProvider:
    """Return a provider whose spans are checked against limits, redacted, and drawn on `stream`."""
    exporter = ConsoleWaterfallExporter(stream=stream, policy=policy.export.console)
    provider = TracerProvider()
    provider.add_span_processor(
        ThresholdProcessor(
            policy.thresholds,
            RedactionProcessor(
                policy.redaction,
                BatchSpanProcessor(exporter),
            ),
        )
    )
    return provider


def transfer(tracer: Tracer) -> None:
    """Exceed a limit, with card numbers in a SQL statement and in an attribute."""
    with tracer.start_as_current_span("transfer", attributes={"mita.operation": "transaction_processing"}):
        query = {
            "db.system.name": "postgresql",
            "db.query.text": "SELECT id FROM cards WHERE number = '4111111111111111'",
        }
        with tracer.start_as_current_span("SELECT cards", kind=SpanKind.CLIENT, attributes=query):
            time.sleep(0.21)
        with tracer.start_as_current_span(
            "ask the ledger", attributes={"note": "for card 5555 5555 5555 4444"}
        ):
            time.sleep(0.85)


def main() -> None:
    provider = make_provider(load_policy(), sys.stdout)
    transfer(provider.get_tracer("compose"))
    provider.shutdown()


if __name__ == "__main__":
    main()
