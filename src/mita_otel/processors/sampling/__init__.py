"""Which traces are kept: pure decisions, bounded memory; the processor is `mita_otel.processors.tail_sampling`."""
