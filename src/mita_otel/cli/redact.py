"""`mita-otel redact`: filter text, or explain how a value is redacted."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, TextIO

import typer

from mita_otel.cli.application import BAD_POLICY
from mita_otel.cli.options import Environment, PolicyFile
from mita_otel.policy import Policy, load_policy
from mita_otel.redaction import Redactor
from mita_otel.redaction.explain import explain, parse_pair
from mita_otel.redaction.lines import redact_lines

_LONGEST_LINE: Final = 1_000_000
"""Minimum for `redaction.max_text` here, in characters: lines of files are longer than attributes."""

app = typer.Typer(add_completion=False)


@app.command()
def redact(
    file: Annotated[
        Path | None, typer.Argument(help="File to read (default, or -: standard input).", allow_dash=True)
    ] = None,
    explain_pair: Annotated[
        str | None,
        typer.Option(
            "--explain", metavar="KEY=VALUE", help="Explain how this value is redacted, and by which rule."
        ),
    ] = None,
    policy: PolicyFile = None,
    environment: Environment = None,
    counts: Annotated[
        bool, typer.Option("--counts", help="Print the number of redactions by rule on stderr.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Print nothing. Exit status 1 if there is anything to redact.")
    ] = False,
) -> None:
    """Redact text, or explain how a value is redacted."""
    loaded = load_policy(policy, environment=environment)
    if explain_pair is not None:
        for line in explain(Redactor(loaded), *parse_pair(explain_pair)).lines():
            typer.echo(line)
        return
    tally = _filter(Redactor(_for_files(loaded)), file, quiet=check)
    if counts:
        for rule, count in sorted(tally.items()):
            typer.echo(f"{rule} {count}", err=True)
    if check and tally:
        raise typer.Exit(BAD_POLICY)


def _filter(redactor: Redactor, file: Path | None, *, quiet: bool) -> Counter[str]:
    tally: Counter[str] = Counter()
    with _opened(file) as lines, _output() as output:
        for text in redact_lines(redactor, lines, tally):
            if not quiet:
                output.write(text)
                output.flush()
    return tally


def _for_files(policy: Policy) -> Policy:
    max_text = max(policy.redaction.max_text, _LONGEST_LINE)
    return policy.replace(redaction=policy.redaction.replace(max_text=max_text))


@contextmanager
def _opened(file: Path | None) -> Iterator[TextIO]:
    """Open the input. Bytes that are not UTF-8 pass unchanged."""
    if file is not None and str(file) != "-":
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
            yield lines
    elif hasattr(sys.stdin, "buffer"):
        yield io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="surrogateescape", newline="")
    else:
        yield sys.stdin


@contextmanager
def _output() -> Iterator[TextIO]:
    if not hasattr(sys.stdout, "buffer"):
        yield sys.stdout
        return
    output = io.TextIOWrapper(
        sys.stdout.buffer, encoding="utf-8", errors="surrogateescape", newline="", write_through=True
    )
    try:
        yield output
    finally:
        output.detach()
