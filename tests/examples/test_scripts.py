"""Runs the worker and the composed processors as their READMEs describe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from e2e import canaries
from examples.conftest import EXAMPLES, Run
from mita_otel.exporters.span_record import read_spans

CARDS = {"visa": "4111111111111111", "mastercard": "5555555555554444", "amex": "378282246310005"}


def test_the_worker_draws_its_operations(run_script: Run) -> None:
    ran = run_script(EXAMPLES / "worker" / "worker.py", {"OTEL_TRACES_EXPORTER": "console"})
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("settle payment") == 3
    assert re.search(r"▲ 1,2\d\d ms > 1,200 ms  financial\.payment_processing", ran.stdout)
    assert "RefusedError: clearing refused card [redacted:pan]: amount too high" in ran.stdout
    assert re.search(r"close the day .*\n└─ SELECT settled", ran.stdout)
    assert canaries.leaks(ran.stdout.encode(), CARDS) == []


def test_the_worker_writes_its_last_span_before_it_exits(run_script: Run, tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    ran = run_script(
        EXAMPLES / "worker" / "worker.py", {"OTEL_TRACES_EXPORTER": "file", "MITA_OTEL_FILE": str(path)}
    )
    assert ran.returncode == 0, ran.stderr
    spans = list(read_spans(path))
    assert [span.name for span in spans if span.parent_span_id is None][-1] == "close the day"
    settled = [span for span in spans if span.name == "settle payment"]
    assert [span.attributes["mita.transaction.id"] for span in settled] == ["pay-1", "pay-2", "pay-3"]
    assert [(span.exceeded, span.failed) for span in settled] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_composed_processors_mark_breaches_and_redact(run_script: Run) -> None:
    ran = run_script(EXAMPLES / "compose" / "compose.py")
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"▲ 1,\d\d\d ms > 1,000 ms  financial\.transaction_processing", ran.stdout)
    assert "SELECT id FROM cards WHERE number = ?" in ran.stdout
    assert "note  for card [redacted:pan]" in ran.stdout
    assert canaries.leaks(ran.stdout.encode(), CARDS) == []


@pytest.mark.parametrize("readme", sorted(EXAMPLES.rglob("README.md")), ids=lambda path: path.parent.name)
def test_links_in_a_readme_resolve(readme: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", readme.read_text())
    assert all((readme.parent / link).exists() for link in links if "://" not in link), links
