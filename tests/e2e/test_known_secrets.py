"""A secret found in one span is redacted in earlier spans of its trace while they are held."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e.receiver import Receiver
from e2e.script import run_script

pytestmark = pytest.mark.e2e

SCRIPT = """
import os, mita_otel
from opentelemetry import trace
telemetry = mita_otel.configure(exporters=[os.environ["EXPORTER"]])
tracer = trace.get_tracer("t")
with tracer.start_as_current_span("POST /login", kind=trace.SpanKind.SERVER):
    with tracer.start_as_current_span("load", attributes={"row": "ada, hunter2-Zx"}) as early:
        early.add_event("read", {"row": "ada, hunter2-Zx"})
    telemetry.flush()  # the first span is redacted before the second shows the secret
    with tracer.start_as_current_span("check", attributes={"password": "hunter2-Zx"}):
        pass
if "memory" in telemetry.exporters:
    telemetry.flush()
    spans = [span.to_json() for span in telemetry.exporters["memory"].spans]
    telemetry.shutdown()
    answer(spans)
telemetry.shutdown()
"""


def test_a_later_secret_is_redacted_in_spans_held_by_the_sentry_exporter(
    tmp_path: Path, receiver: Receiver
) -> None:
    env = {"SENTRY_DSN": receiver.dsn, "EXPORTER": "sentry", "MITA_OTEL_SAMPLING__MODE": "always"}
    run_script(SCRIPT, tmp_path, env=env)
    [transaction] = receiver.transactions
    assert {span["description"] for span in transaction["spans"]} == {"load", "check"}
    assert "hunter2" not in json.dumps(transaction)


def test_a_later_secret_is_redacted_in_spans_held_by_tail_sampling(tmp_path: Path) -> None:
    env = {"EXPORTER": "memory", "MITA_OTEL_SAMPLING__MODE": "tail", "MITA_OTEL_SAMPLING__RATIO": "1"}
    spans = run_script(SCRIPT, tmp_path, env=env).answer
    assert len(spans) == 3
    assert "hunter2" not in "".join(spans)
