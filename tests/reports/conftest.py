"""A store filled with data, once for each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from audit.kit import Kit
from mita_otel.audit.verification.verify import verify
from mita_otel.reports.report_builder import ReportInputs
from reports.seed import NOW, NOW_S, fill, fill_trail


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    now = [NOW_S * 10**9]
    kit = Kit(tmp_path_factory.mktemp("reports"), clock_ns=lambda: now[0])

    def set_clock(ns: int) -> None:
        now[0] = ns

    fill(kit, step_s=3600)
    fill_trail(kit, set_clock)
    yield kit
    kit.close()


@pytest.fixture
def inputs(filled: Kit) -> ReportInputs:
    return ReportInputs(
        filled.database,
        filled.policy,
        NOW,
        verify=lambda: verify(filled.database, filled.keys, anchors=filled.anchors(), spool=filled.folder),
        waiting_bytes=0,
    )
