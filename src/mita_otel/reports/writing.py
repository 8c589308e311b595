"""Writes a report in the format that is asked for, whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

import orjson

from mita_otel.errors import ConfigurationError
from mita_otel.reports.as_csv import as_csv
from mita_otel.reports.as_markdown import as_markdown
from mita_otel.reports.model import Report

FORMATS: Final = ("json", "csv", "md", "html")
"""What a report can be written as; also the endings of files."""


def as_json(report: Report) -> str:
    """Return the report as JSON; its schema is `json_schema()`."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(report, option=options).decode()


def rendered(report: Report, form: str) -> str:
    """Return the report in a format.

    Raises:
        ConfigurationError: There is no such format, or HTML's extra is not installed.
    """
    writers: dict[str, Callable[[Report], str]] = {
        "json": as_json,
        "csv": as_csv,
        "md": as_markdown,
        "html": _as_html,
    }
    if form not in writers:
        raise ConfigurationError(f"{form!r} is not a format of reports; use one of {', '.join(FORMATS)}")
    return writers[form](report)


def format_of(path: Path) -> str:
    """Return the format that a file's ending names.

    Raises:
        ConfigurationError: It names none.
    """
    form = {"markdown": "md", "htm": "html"}.get(path.suffix[1:].lower(), path.suffix[1:].lower())
    if form not in FORMATS:
        raise ConfigurationError(
            f"{path}: the ending says no format; end it in one of {', '.join(f'.{one}' for one in FORMATS)}"
        )
    return form


def write_report(report: Report, path: Path, form: str | None = None) -> Path:
    """Write a report to a file that only its owner can read. A file that is there is replaced at once, or not.

    Args:
        report: The report.
        path: The file; its folder is made if it is missing.
        form: The format; None: the file's ending says it.

    Raises:
        ConfigurationError: There is no such format.
        OSError: The file cannot be written.
    """
    text = rendered(report, form or format_of(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name that nobody can guess, since the folder may be everybody's.
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
        html = import_module("mita_otel.reports.as_html")
    except ImportError as error:
        raise ConfigurationError(
            f"HTML reports need {error.name}; install it with: pip install 'mita-otel[reports]'"
        ) from error
    return str(html.as_html(report))
