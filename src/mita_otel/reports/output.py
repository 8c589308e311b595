"""Renders reports and writes them to files atomically."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

import orjson

from mita_otel.errors import ConfigurationError
from mita_otel.reports.model import Report
from mita_otel.reports.text_formats import as_csv, as_markdown

FORMATS: Final = ("json", "csv", "md", "html")
"""Formats of reports; also the endings of their files."""


def as_json(report: Report) -> str:
    """Return the report as JSON; its schema is `json_schema()`."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(report, option=options).decode()


def render_report(report: Report, form: str) -> str:
    """Return the report in a format.

    Raises:
        ConfigurationError: The format is unknown, or the extra `reports` that HTML needs is not installed.
    """
    writers: dict[str, Callable[[Report], str]] = {
        "json": as_json,
        "csv": as_csv,
        "md": as_markdown,
        "html": _as_html,
    }
    if form not in writers:
        raise ConfigurationError(f"{form!r} is not a report format; use one of {', '.join(FORMATS)}")
    return writers[form](report)


def format_of(path: Path) -> str:
    """Return the format of a file by its ending.

    Raises:
        ConfigurationError: The ending is unknown.
    """
    form = {"markdown": "md", "htm": "html"}.get(path.suffix[1:].lower(), path.suffix[1:].lower())
    if form not in FORMATS:
        raise ConfigurationError(
            f"{path}: the ending is not a report format; use one of {', '.join(f'.{one}' for one in FORMATS)}"
        )
    return form


def write_report(report: Report, path: Path, form: str | None = None) -> Path:
    """Write a report to a file that only its owner can read. An existing file is replaced atomically.

    Args:
        report: The report.
        path: The file. Its folder is created if it is missing.
        form: The format; None selects it by the ending of the file.

    Raises:
        ConfigurationError: The format is unknown.
        OSError: The file cannot be written.
    """
    text = render_report(report, form or format_of(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name cannot be guessed, because others may write to the folder.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return path


def _as_html(report: Report) -> str:
    try:
        html = import_module("mita_otel.reports.html")
    except ImportError as error:
        raise ConfigurationError(
            f"HTML reports need {error.name}; install it with: pip install 'mita-otel[reports]'"
        ) from error
    return str(html.as_html(report))
