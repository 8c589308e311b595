"""The table that compares us with sentry-sdk's own tracing is what really happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.side_by_side import PAGE, measured, on_the_page

pytestmark = pytest.mark.e2e


def test_the_documentations_table_is_what_happens(tmp_path: Path) -> None:
    assert on_the_page(PAGE.read_text("utf-8")) == measured(tmp_path), "make side-by-side"
