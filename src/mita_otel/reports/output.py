"""Renders reports as JSON, CSV, Markdown and HTML, writes them to files atomically, and generates the JSON schema."""

from __future__ import annotations

import csv
import dataclasses
import inspect
import io
import os
import re
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import orjson

from mita_otel._text import spreadsheet_cell, visible, visible_json
from mita_otel.errors import ConfigurationError
from mita_otel.policy.section import docstrings_of
from mita_otel.reports.model import Report
from mita_otel.reports.table import Column, Table, Value, format_value
from mita_otel.reports.tables import tables

FORMATS: Final = ("json", "csv", "md", "html")
"""Formats of reports; also the endings of their files."""
_SCHEMA_TYPES: Final[dict[Any, dict[str, str]]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    NoneType: {"type": "null"},
}
HEADER: Final = ("section", "table", "item", "measure", "value")
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|~])")
_NUMBERS: Final = frozenset({"count", "ms", "percent"})


def as_json(report: Report) -> str:
    """Return the report as JSON; its schema is `json_schema()`."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
    return visible_json(orjson.dumps(report, option=options).decode())


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


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a report."""
    definitions: dict[str, Any] = {}
    schema = _object_schema(Report, definitions)
    return {"$defs": dict(sorted(definitions.items())), **schema}


def _object_schema(part: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    types, docstrings = get_type_hints(part), docstrings_of(part)
    properties: dict[str, Any] = {}
    required = []
    for field in dataclasses.fields(part):
        schema = _schema(types[field.name], definitions)
        if field.default is not dataclasses.MISSING:
            schema["default"] = field.default
        elif field.default_factory is dataclasses.MISSING:
            required.append(field.name)
        if field.name in docstrings:
            schema["description"] = docstrings[field.name]
        properties[field.name] = schema
    return {
        "additionalProperties": False,
        "description": inspect.cleandoc(part.__doc__ or ""),
        "properties": properties,
        "required": required,
        "title": part.__name__,
        "type": "object",
    }


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    form, arguments = get_origin(kind), get_args(kind)
    if form is Literal:
        return (
            {"const": arguments[0], "type": "string"}
            if len(arguments) == 1
            else {"enum": list(arguments), "type": "string"}
        )
    if form is list:
        return {"items": _schema(arguments[0], definitions), "type": "array"}
    if form in (Union, UnionType):
        return {"anyOf": [_schema(one, definitions) for one in arguments]}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if kind.__name__ not in definitions:
            definitions[kind.__name__] = {}
            definitions[kind.__name__] = _object_schema(kind, definitions)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    return dict(_SCHEMA_TYPES[kind])


def as_csv(report: Report) -> str:
    """Return the report as CSV (RFC 4180, UTF-8), one number a line: section, table, item, measure, value.

    Text that a spreadsheet would run as a formula is prefixed with an apostrophe. Control characters are escaped.
    """
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(HEADER)
    for table in tables(report):
        labels = [index for index, column in enumerate(table.columns) if column.label]
        for row in table.rows:
            item = " / ".join(_csv_value(row[index]) for index in labels)
            for index, column in enumerate(table.columns):
                if index not in labels:
                    writer.writerow((table.section, table.name, item, column.name, _csv_value(row[index])))
    for note in report.notes:
        writer.writerow(("report", "notes", "", "note", spreadsheet_cell(note)))
    return lines.getvalue()


def _csv_value(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    return spreadsheet_cell(value) if isinstance(value, str) else str(value)


def as_markdown(report: Report) -> str:
    """Return the report as Markdown, with GitHub's tables."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# {report.title}"
    for note in report.notes:
        yield from ("", f"> {escape_markdown(note)}")
    if report.coverage is not None:
        yield from ("", escape_markdown(report.coverage.note))
    for table in tables(report):
        yield from ("", f"## {table.title}", "")
        yield from _table(table)
        if table.note:
            yield from ("", f"{escape_markdown(table.note)}.")


def _table(table: Table) -> Iterator[str]:
    if not table.rows:
        yield "None."
        return
    yield _row([column.name for column in table.columns])
    yield _row(["---:" if column.kind in _NUMBERS else "---" for column in table.columns])
    for row in table.rows:
        yield _row([_cell(value, column) for value, column in zip(row, table.columns, strict=True)])


def _cell(value: Value, column: Column) -> str:
    return escape_markdown(format_value(value, column.kind))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escape_markdown(text: str) -> str:
    """Return the text on one line, with Markdown, HTML, control and invisible characters escaped."""
    return _SPECIAL.sub(r"\\\1", visible(" ".join(text.split())))
