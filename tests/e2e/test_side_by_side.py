"""The comparison table in docs/sentry.md matches a real run."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.side_by_side import PAGE, measured, on_the_page

pytestmark = pytest.mark.e2e


def test_the_table_in_the_documentation_matches_a_run(tmp_path: Path) -> None:
    assert on_the_page(PAGE.read_text("utf-8")) == measured(tmp_path), "make side-by-side"
