"""The `mita-otel` command: one file a group of commands, each in the table of `commands.py`."""

from mita_otel.cli.frame import main

__all__ = ["main"]
