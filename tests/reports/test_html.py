"""Opens every HTML report in a real browser: no console messages, nothing wider than the screen, all plots drawn."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any, get_args

import pytest

from mita_otel.reports.model import ReportKind
from mita_otel.reports.output import write_report
from mita_otel.reports.report_builder import ReportInputs, build_report
from mita_otel.reports.scope import ReportScope, last_days
from reports.seed import NOW

pytestmark = pytest.mark.e2e

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
KINDS: tuple[ReportKind, ...] = get_args(ReportKind)
WIDTHS = (1280, 390)

HARNESS = """<!doctype html><meta charset="utf-8"><title>harness</title><body>%s<pre id="result"></pre><script>
onload = () => {
  document.getElementById("result").textContent = JSON.stringify([...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, root = page.documentElement;
    const boxes = selector => [...page.querySelectorAll(selector)].map(one => one.getBoundingClientRect());
    const texts = [...page.querySelectorAll("body *")].filter(one => one.children.length === 0 && one.textContent.trim());
    return {
      name: frame.title, title: page.title, text: root.innerText.length,
      content: root.scrollWidth, screen: root.clientWidth,
      undrawn: boxes("figure svg").filter(box => box.width < 5 || box.height < 5).length,
      plots: page.querySelectorAll("figure").length,
      tall: boxes("td").filter(box => box.height > 700).length,
      smallest: Math.min(...texts.map(one => parseFloat(getComputedStyle(one).fontSize))),
      cut: [...page.querySelectorAll("h1, h2, h3, .card, .name, figcaption")].filter(one => one.scrollWidth > one.clientWidth + 1).length,
      requests: frame.contentWindow.performance.getEntriesByType("resource").length,
    };
  }));
};
</script>"""


@pytest.fixture(scope="module")
def seen(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict[str, Any]], list[str]]:
    """Open every report at every width. Returns measurements and console messages."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; install it (apt-get install chromium) to open the reports")
    filled = request.getfixturevalue("filled")
    folder = tmp_path_factory.mktemp("pages")
    frames = []
    for kind in KINDS:
        report = build_report(
            kind, ReportScope(last_days(14, NOW)), ReportInputs(filled.database, filled.policy, NOW)
        )
        write_report(report, folder / f"{kind}.html")
        frames += [
            f'<iframe title="{kind} {width}" src="{kind}.html" style="border:0;width:{width}px;height:900px"></iframe>'
            for width in WIDTHS
        ]
    (folder / "harness.html").write_text(HARNESS % "".join(frames))
    ran = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
            f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=10000",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", (folder / "harness.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    found = re.search(r'<pre id="result">(.*?)</pre>', ran.stdout, re.DOTALL)
    assert found is not None, ran.stderr[-2000:]
    return json.loads(unescape(found.group(1))), [
        line for line in ran.stderr.splitlines() if "CONSOLE" in line
    ]


def test_the_console_has_no_messages(seen: tuple[list[dict[str, Any]], list[str]]) -> None:
    assert seen[1] == []


def test_every_page_fits_every_width(seen: tuple[list[dict[str, Any]], list[str]]) -> None:
    measured = seen[0]
    assert len(measured) == len(KINDS) * len(WIDTHS)
    for page in measured:
        assert page["text"] > 500, page
        assert page["content"] <= page["screen"], f"wider than the screen: {page}"
        assert page["undrawn"] == 0, page
        assert page["smallest"] >= 11, page
        assert page["cut"] == 0, page
        assert page["requests"] == 0, page
        assert page["tall"] == 0, page


def test_every_page_has_its_plots(seen: tuple[list[dict[str, Any]], list[str]]) -> None:
    plots = {page["name"].split()[0]: page["plots"] for page in seen[0]}
    assert plots["performance"] >= 5
    assert plots["compliance"] >= 10
    assert plots["daily"] >= 3


def test_a_page_refers_to_nothing_external(filled: Any, tmp_path: Path) -> None:
    for kind in KINDS:
        report = build_report(
            kind, ReportScope(last_days(14, NOW)), ReportInputs(filled.database, filled.policy, NOW)
        )
        text = write_report(report, tmp_path / f"{kind}.html").read_text()
        assert not re.search(r'\b(?:src|href|action)=(?!"#|"data:)', text)
        assert not re.search(r"url\(|@import|<script|<link(?! rel=\"icon\" href=\"data:)|javascript:", text)
        assert "default-src 'none'" in text
