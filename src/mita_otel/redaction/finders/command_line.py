"""Options of command lines: `--password …`, `curl -u user:…`, `mysql -p…`; and statements that set a password."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Finder, Hit
from mita_otel.redaction.finders.value_shapes import ValueShapes
from mita_otel.redaction.keys import KeyRules
from mita_otel.redaction.marker import MARKER

_OPTION: Final = re.compile(r"(?<![\w\-])--(?P<name>[A-Za-z][\w\-]+) +(?![-\s])(?P<value>\S+)")
_USER_OPTION: Final = re.compile(
    r"(?<![\w\-])(?:-u|--user|--proxy-user)[ =][\"']?[^\s:\"'/]{1,64}:(?=[^\s\"']*[^\d\s\"'])([^\s\"'/][^\s\"']*)"
)

_SHELL: Final = re.compile(
    r"\b(?:sshpass -p ?|(?:mysql|mariadb)(?:-?(?:dump|admin|import|check))?\b[^\n|;&]{0,200}? -p(?=\S*[^\sa-z])|docker login\b[^\n|;&]{0,200}? -p[ =]?"
    r"|redis-cli\b[^\n|;&]{0,200}? -a )[\"']?([^\s\"'\-][^\s\"']*)"
)
"""Options of one letter that take a password."""
_IDENTIFIED: Final = re.compile(
    r"(?i)\b(?:(?:create|alter)\s+(?:user|role)|grant\b[^;]{1,256}\bto)\s+\S{1,128}\s+identified\s+(?:with\s+\w{1,64}\s+)?by\s+([^\s;,'\"\[:?$%@][^\s;,]*)"
)
"""A password without quotes, as in Oracle's statements."""


class OptionFinder:
    """Finds the values of long options with a sensitive name.

    Args:
        keys: Which names are sensitive.
        shapes: Which values are words of a sentence about the option.
    """

    def __init__(self, keys: KeyRules, shapes: ValueShapes) -> None:
        self._keys = keys
        self._shapes = shapes

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the values."""
        for match in _OPTION.finditer(text):
            value = match["value"]
            if MARKER.fullmatch(value) or self._shapes.is_ordinary_word(value):
                continue
            rule = self._keys.rule_for(match["name"], value)
            if rule:
                yield Hit(*match.span("value"), rule)


def find_option_passwords(text: str) -> Iterator[Hit]:
    """Yield passwords of short options, and those that a statement sets without quotes."""
    for pattern in (_USER_OPTION, _SHELL, _IDENTIFIED):
        for match in pattern.finditer(text):
            yield Hit(match.start(1), match.end(1), "password")


COMMAND_LINE_FINDERS: Final = (
    Finder(
        find_option_passwords,
        words=(
            "-u ",
            "-u=",
            "--user",
            "--proxy-user",
            "sshpass",
            "mysql",
            "mariadb",
            "docker login",
            "redis-cli",
            "identified",
        ),
        signs=" =",
    ),
)
