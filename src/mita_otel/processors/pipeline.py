"""The chain as every service gets it, in the order that makes it safe; visible in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opentelemetry.sdk.trace import Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter

from mita_otel.policy import Policy
from mita_otel.processors.context import ContextProcessor
from mita_otel.processors.export_queue import ExportQueue
from mita_otel.processors.fan_out import FanOut
from mita_otel.processors.hand_off import HandOff
from mita_otel.processors.losses import Losses
from mita_otel.processors.redaction import RedactionProcessor
from mita_otel.processors.threshold import ThresholdProcessor
from mita_otel.redaction import Redactor


class Pipeline:
    """Hand-off, context, limits, redaction, exporters.

    Args:
        policy: The policy.
        redactor: The only door out.
        exporters: Names and exporters; each gets a queue of its own.
        losses: Where lost spans are counted.
        behind: Processors of third parties that shall get redacted spans as well.
        enrich: Sets what is known of user and transaction on each span that begins.
    """

    def __init__(
        self,
        policy: Policy,
        redactor: Redactor,
        exporters: Sequence[tuple[str, SpanExporter]],
        losses: Losses,
        behind: Sequence[SpanProcessor] = (),
        enrich: Callable[[Span], None] | None = None,
    ) -> None:
        self.exporters = dict(exporters)
        queue = policy.export.queue
        self.fan_out = FanOut(
            [
                *behind,
                *(
                    ExportQueue(
                        name,
                        exporter,
                        queue,
                        losses,
                        stop_timeout_s=policy.lifecycle.shutdown_timeout_s,
                    )
                    for name, exporter in exporters
                ),
            ]
        )
        chain: SpanProcessor = RedactionProcessor(redactor, self.fan_out)
        chain = ThresholdProcessor(policy.thresholds, chain)
        if enrich is not None:
            chain = ContextProcessor(enrich, chain)
        self.first: SpanProcessor = HandOff(queue, chain, losses)
        """The processor that a tracer provider gets."""
