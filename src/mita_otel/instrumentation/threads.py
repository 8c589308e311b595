"""Threads and thread pools inherit the context of the code that starts them: its span, user and transaction."""

from __future__ import annotations

from opentelemetry.instrumentation.threading import ThreadingInstrumentor


def carry_context_into_threads() -> None:
    """Let every thread that is started, and all work that is given to a pool, see the context it came from."""
    instrumentor = ThreadingInstrumentor()
    if not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument()
